//! A test's hold on the test bed: a namespace and a place in the target registry of its own, kubectl, the
//! plugin, and the registries' access logs.
//!
//! The bed itself is brought up by `tests/run.sh`, which tells of it in `TESTBED_*`.

mod agent;
mod api;
mod cable;
mod gate;
mod hold;
mod kubectl;
mod manifests;
mod part;
mod tally;

pub(crate) use agent::Agent;
pub(crate) use api::ApiProxy;
pub(crate) use cable::Cable;
pub(crate) use gate::Gate;
pub(crate) use hold::Hold;
pub(crate) use manifests::{deployment, idle, image};
pub(crate) use part::free_port;
use serde_json::Value;
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
pub(crate) use tally::Tally;

/// How long anything in the cluster may take; far more than it does.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is asked of registries.
const ACCEPT: &str = "Accept: application/vnd.oci.image.index.v1+json, \
                      application/vnd.oci.image.manifest.v1+json, \
                      application/vnd.docker.distribution.manifest.list.v2+json, \
                      application/vnd.docker.distribution.manifest.v2+json";

/// One test's share of the bed.
pub(crate) struct Bed {
    /// A namespace of its own.
    pub(crate) namespace: String,
    home: tempfile::TempDir,
}

/// What a run of the plugin came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Panics with all output unless the exit code is this one.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "stdout:\n{}\nstderr:\n{}",
            self.stdout, self.stderr
        );
        self
    }

    /// Panics unless standard error has this text.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(
            self.stderr.contains(text),
            "{text:?} is not in:\n{}",
            self.stderr
        );
        self
    }
}

/// The value of `TESTBED_<name>`.
pub(crate) fn var(name: &str) -> String {
    std::env::var(format!("TESTBED_{name}")).unwrap_or_else(|_| panic!("TESTBED_{name} is not set"))
}

impl Bed {
    /// This test's share, in a namespace whose name starts with `name`; none, with the reason printed,
    /// where there is no bed. `needs_node` is for tests whose pods must run.
    pub(crate) fn share(name: &str, needs_node: bool) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let missing = match std::env::var("TESTBED_NODE").as_deref() {
            Err(_) => "no test bed: tests/run.sh brings one up",
            Ok("0") if needs_node => "this test bed has no node",
            Ok(_) => "",
        };
        if !missing.is_empty() {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "skipped in CI: {missing}"
            );
            eprintln!("skipped: {missing}");
            return None;
        }
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let bed = Self {
            namespace: format!("{name}-{}-{count}", std::process::id()),
            home: tempfile::tempdir().expect("a temporary folder"),
        };
        bed.kubectl(&["create", "namespace", &bed.namespace]);
        // pods cannot be created before their ServiceAccount is
        bed.until("the default ServiceAccount", || {
            bed.try_kubectl(&["get", "serviceaccount", "default"])
                .status
                .success()
        });
        Some(bed)
    }

    /// A turn with what there is one of in a cluster: the agent in its own namespace, and its webhook's
    /// configuration. A lock on a file of the bed, since runs may share a bed.
    pub(crate) fn alone(&self) -> File {
        self.turn("agent")
    }

    /// The same with something else that has one name in a cluster.
    #[allow(clippy::unused_self, reason = "reads as the bed's turn")]
    pub(crate) fn turn(&self, what: &str) -> File {
        let path = PathBuf::from(var("DIR")).join(format!("{what}.turn"));
        let turn = File::create(path).expect("a file");
        turn.lock().expect("a lock");
        turn
    }

    /// The target registry of this test: a prefix of its own in the bed's target.
    pub(crate) fn target(&self) -> String {
        format!("{}/{}", var("TARGET"), self.namespace)
    }

    /// The same in the target that asks for no credentials.
    pub(crate) fn open_target(&self) -> String {
        format!("{}/{}", var("OPEN_TARGET"), self.namespace)
    }

    /// A configuration file in which these registries are found at these addresses.
    pub(crate) fn config(&self, endpoints: &[(&str, &str)]) -> PathBuf {
        let path = self.folder().join("config.yaml");
        let mut text = "registries:\n".to_owned();
        for (registry, address) in endpoints {
            let _ = writeln!(text, "  '{registry}': {{endpoint: 'http://{address}'}}");
        }
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// Runs the plugin with this configuration.
    pub(crate) fn plugin_with(&self, config: &Path, args: &[&str]) -> Ran {
        let mut command = self.plugin_command(args);
        command.env("IMAGE_CLONER_CONFIG", config);
        self.ran(command.output().expect("the plugin starts"))
    }

    /// Runs the plugin, and does something `meanwhile`, after it asked `docker.io` for the first time and
    /// before it gets an answer. `also` names further registries of its configuration.
    pub(crate) fn plugin_held(
        &self,
        args: &[&str],
        also: &[(&str, &str)],
        meanwhile: impl FnOnce(&mut Child),
    ) -> Ran {
        let gate = Gate::before(var("DOCKER_IO"));
        let config = self.config(&[&[("docker.io", gate.address())], also].concat());
        let mut plugin = self
            .plugin_command(args)
            .env("IMAGE_CLONER_CONFIG", &config)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the plugin starts");
        gate.knocked();
        meanwhile(&mut plugin);
        gate.open();
        self.ran(plugin.wait_with_output().expect("the plugin ends"))
    }

    /// A pull secret for the bed's private registry.
    pub(crate) fn corp_secret(&self, name: &str, password: &str) {
        self.kubectl(&[
            "create",
            "secret",
            "docker-registry",
            name,
            "--docker-server=registry.corp:5443",
            &format!("--docker-username={}", var("CORP_USER")),
            &format!("--docker-password={password}"),
        ]);
    }

    /// A pull secret for the target registry, or another password in one.
    pub(crate) fn target_secret(&self, name: &str, password: &str) {
        let logins = serde_json::json!({"auths": {
            var("TARGET"): {"username": var("PULL_USER"), "password": password},
        }});
        let secret = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/dockerconfigjson",
            "metadata": {"name": name},
            "stringData": {".dockerconfigjson": logins.to_string()},
        });
        self.apply(&secret.to_string());
    }

    /// The entries of our pull secret here.
    #[track_caller]
    pub(crate) fn pull_logins(&self) -> Value {
        let template = r#"go-template={{index .data ".dockerconfigjson" | base64decode}}"#;
        let text = self.kubectl(&["get", "secret/image-cloner-pull", "-o", template]);
        serde_json::from_str::<Value>(&text).expect("JSON")["auths"].take()
    }

    /// Waits until a kubelet has failed to pull an image here.
    pub(crate) fn a_pull_failed(&self) {
        self.until("a pull that fails", || {
            let events = self.kubectl(&["get", "events", "-o", "jsonpath={.items[*].message}"]);
            events.contains("Failed to pull image")
        });
    }

    /// A folder that goes away with the test.
    pub(crate) fn folder(&self) -> PathBuf {
        self.home.path().to_owned()
    }

    /// Runs the plugin in this test's namespace, with credentials for pushing and pulling in its
    /// environment.
    pub(crate) fn plugin(&self, args: &[&str]) -> Ran {
        self.ran(
            self.plugin_command(args)
                .output()
                .expect("the plugin starts"),
        )
    }

    /// The plugin's command, to change its environment or watch it run.
    pub(crate) fn plugin_command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-image_cloner"));
        let asks_cluster = matches!(
            args.first(),
            Some(&"clone" | &"restore" | &"status" | &"verify")
        );
        if asks_cluster && !args.contains(&"-f") {
            command.args(args).args(["-n", &self.namespace]);
        } else {
            command.args(args);
        }
        command
            .env_clear()
            .env("HOME", self.home.path())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env(
                "KUBECONFIG",
                std::env::var_os("KUBECONFIG").expect("run.sh sets KUBECONFIG"),
            )
            .env("IMAGE_CLONER_CONFIG", var("CONFIG"))
            .env("IMAGE_CLONER_REGISTRY", self.target())
            .env("IMAGE_CLONER_USER", var("TARGET_USER"))
            .env("IMAGE_CLONER_PASS", var("TARGET_PASS"))
            .env("IMAGE_CLONER_PULL_USER", var("PULL_USER"))
            .env("IMAGE_CLONER_PULL_PASS", var("PULL_PASS"))
            .stdin(Stdio::null());
        command
    }

    /// What a finished plugin process came to.
    #[allow(clippy::unused_self, reason = "reads as what the bed's plugin did")]
    pub(crate) fn ran(&self, output: Output) -> Ran {
        Ran {
            code: output.status.code().expect("the plugin is not killed"),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// Waits until this holds; panics when it never does.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let started = Instant::now();
        while !holds() {
            if started.elapsed() > PATIENCE {
                let state = self.try_kubectl(&["get", "all,events"]);
                panic!(
                    "never came: {what}\n{}",
                    String::from_utf8_lossy(&state.stdout)
                );
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The requests of one registry that name this test's repositories and change something.
    pub(crate) fn writes(&self, registry: &str) -> Vec<String> {
        let log = std::fs::read_to_string(var(&format!("{registry}_LOG"))).expect("an access log");
        let reading = ["\"GET ", "\"HEAD "];
        log.lines()
            .filter(|line| line.contains(&format!("/{}/", self.namespace)))
            .filter(|line| !reading.iter().any(|verb| line.contains(verb)))
            .map(str::to_owned)
            .collect()
    }

    /// How often the target took a blob.
    pub(crate) fn times_taken(&self, digest: &str) -> usize {
        let digest = format!("digest={}", digest.replace(':', "%3A"));
        let writes = self.writes("TARGET").into_iter();
        let puts = writes.filter(|line| line.contains("\"PUT ") && line.contains("\" 201 "));
        puts.filter(|line| line.contains(&digest)).count()
    }

    /// Deletes something in a registry, named below `/v2/`.
    #[allow(clippy::unused_self, reason = "reads as what the bed's registry has")]
    pub(crate) fn delete(&self, registry: &str, what: &str) {
        let user = format!("{}:{}", var("TARGET_USER"), var("TARGET_PASS"));
        let url = format!("http://{}/v2/{what}", var(registry));
        let curl = Command::new("curl")
            .args(["-sf", "-X", "DELETE", "-u", &user, &url])
            .output()
            .expect("curl is installed by the bed");
        assert!(curl.status.success(), "deleting {url}: {:?}", curl.status);
    }

    /// A manifest of a registry, as JSON.
    #[allow(clippy::unused_self, reason = "reads as what the bed's registry has")]
    pub(crate) fn manifest(&self, registry: &str, repository: &str, point: &str) -> Value {
        let user = format!("{}:{}", var("TARGET_USER"), var("TARGET_PASS"));
        let url = format!("http://{}/v2/{repository}/manifests/{point}", var(registry));
        let curl = Command::new("curl")
            .args(["-sf", "-u", &user, "-H", ACCEPT, &url])
            .output()
            .expect("curl is installed by the bed");
        serde_json::from_slice(&curl.stdout).expect("a manifest")
    }

    /// The digest that a registry gives a manifest, asked with plain HTTP.
    #[allow(clippy::unused_self, reason = "reads as what the bed's registry has")]
    pub(crate) fn digest(&self, registry: &str, repository: &str, tag: &str) -> Option<String> {
        let user = format!("{}:{}", var("TARGET_USER"), var("TARGET_PASS"));
        let url = format!("http://{}/v2/{repository}/manifests/{tag}", var(registry));
        let mut curl = Command::new("curl");
        curl.args(["-sfI", "-H", ACCEPT, &url]);
        if registry == "TARGET" {
            curl.args(["-u", &user]);
        }
        let answer = curl.output().expect("curl is installed by the bed");
        let head = String::from_utf8(answer.stdout)
            .expect("UTF-8")
            .to_lowercase();
        let line = head
            .lines()
            .find(|line| line.starts_with("docker-content-digest:"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let _ = self.try_kubectl(&["delete", "namespace", &self.namespace, "--wait=false"]);
    }
}
