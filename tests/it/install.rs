//! The agent as a real pod that pulled its own image from the target: installed, at work, removed.
//!
//! There is one agent in a cluster: these tests take turns.

use crate::bed::{Bed, deployment, idle, var};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde_json::Value;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

const SYSTEM: &str = "image-cloner-system";

/// A test's turn with the one agent.
struct Turn {
    bed: Bed,
    binary: PathBuf,
    _alone: File,
}

impl Turn {
    /// None, with the reason printed, where there is no bed or no static agent.
    fn take(name: &str) -> Option<Self> {
        let bed = Bed::share(name, true)?;
        let Some(binary) = std::env::var_os("TESTBED_AGENT") else {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "skipped in CI: TESTBED_AGENT is not set"
            );
            eprintln!("skipped: no static agent: tests/run.sh builds one");
            return None;
        };
        let alone = bed.alone();
        let turn = Self {
            bed,
            binary: binary.into(),
            _alone: alone,
        };
        turn.remove();
        Some(turn)
    }

    /// Runs `install-agent` for this test's namespace.
    fn install(&self, more: &[&str]) -> crate::bed::Ran {
        let config = self.config();
        let binary = self.binary.display().to_string();
        let endpoint = var("TARGET_FROM_PODS");
        let mut args = vec!["install-agent", "--registry-endpoint", &endpoint];
        args.extend(["--agent-binary", &binary, "--agent-config", &config]);
        args.extend(["--timeout", "120s"]);
        if !more.contains(&"--namespaces") {
            args.extend(["--namespaces", &self.bed.namespace]);
        }
        args.extend(more);
        self.bed.plugin(&args)
    }

    /// Where pods find the sources.
    fn config(&self) -> String {
        let path = self.bed.folder().join("agent.yaml");
        let mut text = "registries:\n".to_owned();
        for (host, name) in [
            ("docker.io", "DOCKER_IO"),
            ("quay.io", "QUAY_IO"),
            ("registry.corp:5443", "CORP"),
        ] {
            let address = var(&format!("{name}_FROM_PODS"));
            let _ = writeln!(text, "  '{host}': {{endpoint: 'http://{address}'}}");
        }
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn remove(&self) {
        self.bed.plugin(&["uninstall-agent", "--yes"]);
    }

    fn log(&self) -> String {
        self.bed.plugin(&["agent", "logs", "--tail", "2000"]).stdout
    }

    fn image(&self, what: &str) -> String {
        let object = self.bed.get(what);
        let image = &object["spec"]["template"]["spec"]["containers"][0]["image"];
        image.as_str().unwrap().to_owned()
    }

    /// Waits for an image; tells what the agent says where it never comes.
    #[track_caller]
    fn becomes(&self, what: &str, image: &str) {
        let told = std::cell::Cell::new(0);
        self.bed.until(&format!("{what} with {image}"), || {
            told.set(told.get() + 1);
            if told.get() % 200 == 0 {
                eprintln!("{}\n{}", self.log(), self.status());
            }
            self.image(what) == image
        });
    }

    /// The pod that leads; nothing where none does.
    fn leader(&self) -> String {
        let lease = self.bed.kubectl(&[
            "-n",
            SYSTEM,
            "get",
            "lease/image-cloner",
            "-o",
            "jsonpath={.spec.holderIdentity}",
        ]);
        lease.split('_').next().unwrap_or_default().to_owned()
    }

    /// What the agent counts, as its leader tells; 0 where that cannot be had.
    fn figure(&self, name: &str) -> u64 {
        let pod = self.leader();
        let path = format!("/api/v1/namespaces/{SYSTEM}/pods/{pod}:8080/proxy/metrics");
        let answer = self.bed.try_kubectl(&["get", "--raw", &path]);
        let figures = String::from_utf8_lossy(&answer.stdout);
        let name = format!("image_cloner_{name} ");
        let value = figures.lines().find_map(|line| line.strip_prefix(&name));
        value.and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    fn status(&self) -> String {
        self.bed.plugin(&["agent", "status"]).stdout
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.remove();
    }
}

#[test]
fn what_is_missing_is_said_before_anything_is_made() {
    let Some(bed) = Bed::share("installing", false) else {
        return;
    };
    // an agent that another test has installed would say what is missing here
    let _alone = bed.alone();
    let endpoint = format!("--registry-endpoint={}", var("TARGET"));
    let plugin = env!("CARGO_BIN_EXE_kubectl-image_cloner");
    bed.plugin(&["install-agent"]).exits(2).says(
        "error: where the agent is to work is not said\nnothing was changed\nhint: -A for all",
    );
    bed.plugin(&["install-agent", "-A"])
        .exits(2)
        .says("hint: --registry-endpoint says where pods reach this registry");
    bed.plugin(&["install-agent", "-A", &endpoint, "--agent-binary", plugin])
        .exits(2)
        .says("is not statically linked")
        .says("hint: RUSTFLAGS='-C target-feature=+crt-static' cargo build --release");
    bed.plugin(&["install-agent", "-A", "--set", "MODE=clone"])
        .exits(2)
        .says("error: --set \"MODE=clone\" is no setting");
    bed.plugin(&[
        "install-agent",
        "-A",
        &endpoint,
        "--kinds",
        "deploy,widgets",
    ])
    .exits(2)
    .says("error: IMAGE_CLONER_KINDS: \"widgets\" is not one of Deployment");
    bed.plugin(&["install-agent", "-A", "-n", "shop"])
        .exits(2)
        .says("hint: --namespaces shop is where it works");
    bed.plugin(&["install-agent", "--namespaces", SYSTEM])
        .exits(2)
        .says("that is the agent's own");
    bed.plugin(&[
        "install-agent",
        "-A",
        "--agent-image",
        "Not An Image",
        &endpoint,
    ])
    .exits(2);
    let image = "--agent-image=localhost:1/agent:1";
    bed.plugin(&["install-agent", "-A", &endpoint, image, "--service-monitor"])
        .exits(2)
        .says("the cluster knows no ServiceMonitor");
}

#[test]
fn the_objects_are_printed_for_whoever_applies_them() {
    let Some(bed) = Bed::share("printing", false) else {
        return;
    };
    let image = format!("{}/agent@sha256:{}", bed.target(), "0a".repeat(32));
    let endpoint = format!("--registry-endpoint={}", var("TARGET"));
    let args = ["install-agent", "-A", &endpoint, "--agent-image", &image];
    let ran = bed
        .plugin(&[&args[..], &["--dry-run", "-o", "yaml"]].concat())
        .exits(0)
        .says("note: the Secrets among these hold credentials");
    // kubectl itself takes them
    let path = bed.folder().join("agent.yaml");
    std::fs::write(&path, &ran.stdout).unwrap();
    let path = path.display().to_string();
    let made = bed.kubectl(&[
        "create",
        "--dry-run=client",
        "-f",
        &path,
        "-o",
        "name",
        "-n",
        SYSTEM,
    ]);
    assert!(made.contains("deployment.apps/image-cloner"), "{made}");
    let ran = bed
        .plugin(&[&args[..], &["--dry-run", "-o", "json"]].concat())
        .exits(0);
    let list: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(list["kind"], "List");
}

/// As krew does it: the programs in a folder, and a link to the plugin in another.
#[test]
fn the_agent_beside_a_plugin_that_is_linked_is_the_one_that_is_installed() {
    let Some(turn) = Turn::take("linked") else {
        return;
    };
    let folder = turn.bed.folder();
    for name in ["store", "bin"] {
        std::fs::create_dir(folder.join(name)).unwrap();
    }
    let architecture = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "amd64",
    };
    let plugin = folder.join("store/kubectl-image_cloner");
    std::fs::copy(env!("CARGO_BIN_EXE_kubectl-image_cloner"), &plugin).unwrap();
    let agent = format!("store/image-cloner-agent-linux-{architecture}");
    std::fs::copy(&turn.binary, folder.join(agent)).unwrap();
    let link = folder.join("bin/kubectl-image_cloner");
    std::os::unix::fs::symlink(plugin, &link).unwrap();

    let endpoint = format!("--registry-endpoint={}", var("TARGET_FROM_PODS"));
    let print = ["install-agent", "-A", &endpoint, "--dry-run", "-o", "yaml"];
    let asked = turn.bed.plugin_command(&print);
    let mut linked = Command::new(link);
    linked.args(asked.get_args()).env_clear();
    linked.envs(
        asked
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let beside = turn.bed.ran(linked.output().unwrap()).exits(0);
    let binary = turn.binary.display().to_string();
    let named = turn
        .bed
        .plugin(&[&print[..], &["--agent-binary", &binary]].concat())
        .exits(0);
    assert!(beside.stdout.contains("@sha256:"), "{}", beside.stdout);
    assert_eq!(beside.stdout, named.stdout);
}

#[test]
fn what_the_agent_is_made_of_is_found_by_its_image() {
    let Some(mut turn) = Turn::take("sbom") else {
        return;
    };
    // as `cargo auditable` does it
    let list = r#"{"packages":[{"name":"a","version":"1.0.0","source":"crates.io","root":true}]}"#;
    let section = turn.bed.folder().join("list");
    let mut zlib = ZlibEncoder::new(File::create(&section).unwrap(), Compression::default());
    zlib.write_all(list.as_bytes()).unwrap();
    zlib.finish().unwrap();
    let binary = turn.bed.folder().join("agent");
    let objcopy = Command::new("objcopy")
        .arg("--add-section")
        .arg(format!(".dep-v0={}", section.display()))
        .args([&turn.binary, &binary])
        .status();
    assert!(objcopy.unwrap().success());
    turn.binary = binary;
    let bed = &turn.bed;

    let repository = format!("{}/image-cloner.internal/agent", bed.namespace);
    let tag = concat!("v", env!("CARGO_PKG_VERSION"));
    turn.install(&["--wait=false"]).exits(0);
    let digest = bed.digest("TARGET", &repository, tag).unwrap();
    let image = bed.manifest("TARGET", &repository, tag);
    // this registry leaves the list of referrers to its clients
    let list = bed.manifest("TARGET", &repository, &digest.replace(':', "-"));
    let entry = &list["manifests"][0];
    assert_eq!(entry["artifactType"], "application/vnd.cyclonedx+json");
    let sbom = bed.manifest("TARGET", &repository, entry["digest"].as_str().unwrap());
    assert_eq!(sbom["subject"]["digest"], digest);
    assert_eq!(
        sbom["layers"][0]["digest"],
        image["annotations"]["io.image-cloner.sbom"]
    );

    // made again it is the same, and nothing is sent
    let writes = bed.writes("TARGET").len();
    turn.install(&["--wait=false"])
        .exits(0)
        .says("nothing changes");
    assert_eq!(bed.writes("TARGET").len(), writes);
}

#[test]
fn an_applied_deployment_is_cloned_kept_and_given_back() {
    let Some(turn) = Turn::take("agent") else {
        return;
    };
    let bed = &turn.bed;
    let installed = turn
        .install(&["--secrets", "all", "--set", "MAX_ROLLOUTS=3"])
        .exits(0)
        .says("the agent runs");
    assert!(
        installed
            .stdout
            .contains("deployment.apps/image-cloner created")
    );
    let pods = bed.kubectl(&["-n", SYSTEM, "get", "pods", "-o", "json"]);
    let pods: Value = serde_json::from_str(&pods).unwrap();
    let image = pods["items"][0]["spec"]["containers"][0]["image"]
        .as_str()
        .unwrap();
    let own = format!("{}/image-cloner.internal/agent:v", bed.target());
    assert!(
        image.starts_with(&own) && image.contains("@sha256:"),
        "{image}"
    );

    // the seed: the example as it is, in a namespace of this test's own
    let example = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/examples/deploy-nginx.yml"
    ));
    bed.apply(&example.unwrap().replace("demo-system", &bed.namespace));
    let copy = format!("{}/nginx:1.21.4-alpine", bed.target());
    turn.becomes("deploy/nginx", &copy);
    bed.rolled_out("deploy/nginx");
    let running = bed.kubectl(&[
        "get",
        "pods",
        "-o",
        "jsonpath={.items[*].spec.containers[*].image}",
    ]);
    assert!(running.contains(&copy), "{running}");

    // looked at again, it is left alone
    let generation = || bed.get("deploy/nginx")["metadata"]["generation"].as_u64();
    let before = generation().unwrap();
    let writes = bed.writes("TARGET").len();
    let looks = || {
        let log = turn.log();
        let looks = log
            .lines()
            .filter(|line| line.contains("image already cloned") && line.contains(&copy));
        looks.count()
    };
    bed.until("a look after its rollout", || looks() > 0);
    let before_it = looks();
    // a change that plans look at, and none of its spec
    bed.kubectl(&["label", "deploy/nginx", "image-cloner.io/skip=true"]);
    bed.kubectl(&["label", "deploy/nginx", "image-cloner.io/skip-"]);
    bed.until("another look", || looks() > before_it);
    assert_eq!(generation(), Some(before));
    assert_eq!(bed.writes("TARGET").len(), writes);

    // installed again, nothing changes; with a flag, that alone does
    let again = turn.install(&[]).exits(0).says("nothing changes");
    assert!(
        !again.stdout.contains("configured") && !again.stdout.contains("created"),
        "{}",
        again.stdout
    );
    let again = bed
        .plugin(&[
            "install-agent",
            "--set",
            "MAX_ROLLOUTS=4",
            "--agent-binary",
            &turn.binary.display().to_string(),
        ])
        .exits(0)
        .says("configmap/image-cloner-config: IMAGE_CLONER_MAX_ROLLOUTS 3 -> 4");
    assert!(
        again
            .stdout
            .contains("deployment.apps/image-cloner unchanged"),
        "{}",
        again.stdout
    );
    let status = turn.status();
    assert!(
        status.contains("ready      1/1") && status.contains("paused     no"),
        "{status}"
    );
    let version = bed.plugin(&["version"]).exits(0).stdout;
    assert!(version.contains("\nagent   v"), "{version}");

    // held, it begins nothing
    bed.plugin(&["agent", "pause"]).exits(0);
    assert!(turn.status().contains("paused     yes"));
    bed.until("the pause to be seen", || turn.figure("paused") == 1);
    let seen = turn.figure("workloads");
    bed.apply(&deployment("held", &[("web", "busybox:1.36")], &[]));
    bed.until("another workload to be seen", || {
        turn.figure("workloads") > seen
    });
    bed.rolled_out("deploy/held");
    assert_eq!(turn.image("deploy/held"), "busybox:1.36");
    let written = bed.writes("TARGET");
    assert!(
        !written.iter().any(|line| line.contains("/busybox/")),
        "{written:?}"
    );
    bed.plugin(&["agent", "resume"]).exits(0);
    turn.becomes("deploy/held", &format!("{}/busybox:1.36", bed.target()));

    // and put back with the rest
    bed.plugin(&["uninstall-agent", "--restore", "--yes"])
        .exits(0);
    assert_eq!(turn.image("deploy/nginx"), "nginx:1.21.4-alpine");
    let left = bed.kubectl(&["get", "role,rolebinding", "-o", "name"]);
    assert!(!left.contains("image-cloner"), "{left}");
    let namespace = bed.kubectl(&[
        "get",
        "namespace",
        SYSTEM,
        "--ignore-not-found",
        "-o",
        "name",
    ]);
    assert_eq!(namespace, "");
    bed.plugin(&["agent", "status"])
        .exits(1)
        .says("there is no agent");
}

/// Whether the API server has a Deployment of this image made as one of its copy.
fn is_repointed_on_creation(bed: &Bed, image: &str) -> bool {
    let file = bed.folder().join("probe.yaml");
    std::fs::write(&file, deployment("probe", &[("web", image)], &[])).unwrap();
    let file = file.display().to_string();
    let made = bed.kubectl(&["create", "--dry-run=server", "-o", "yaml", "-f", &file]);
    made.contains(&format!("{}/{image}", bed.target()))
}

#[test]
fn of_two_pods_one_works_and_answers_the_api_server_and_the_other_takes_over() {
    let Some(turn) = Turn::take("two-pods") else {
        return;
    };
    let bed = &turn.bed;
    // API servers before 1.21 give namespaces no such label
    let own = format!("kubernetes.io/metadata.name={}", bed.namespace);
    bed.kubectl(&["label", "--overwrite", "namespace", &bed.namespace, &own]);
    turn.install(&["--secrets", "all", "--webhook", "--replicas", "2"])
        .exits(0);
    let asked = || {
        let selector = "image-cloner.io/leader=true";
        bed.kubectl(&["-n", SYSTEM, "get", "pods", "-l", selector, "-o", "name"])
    };

    // the first one of an image is the loop's, each further one the webhook's
    let nginx = "nginx:1.21.4-alpine";
    bed.apply(&deployment("first", &[("web", nginx)], &[]));
    turn.becomes("deploy/first", &format!("{}/{nginx}", bed.target()));
    bed.until("the API server asks the pod", || {
        is_repointed_on_creation(bed, nginx)
    });
    let leader = turn.leader();
    assert_eq!(asked(), format!("pod/{leader}\n"));
    bed.apply(&deployment("second", &[("web", nginx)], &[]));
    let second = bed.get("deploy/second");
    let image = &second["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!(*image, format!("{}/{nginx}", bed.target()));
    bed.rolled_out("deploy/second");
    assert_eq!(bed.get("deploy/second")["metadata"]["generation"], 1);

    // the pod goes, and there is work meanwhile
    bed.kubectl(&["-n", SYSTEM, "delete", "pod", &leader, "--wait=false"]);
    bed.apply(&deployment("third", &[("web", "busybox:1.36")], &[]));
    bed.until("another leader", || {
        let now = turn.leader();
        !now.is_empty() && now != leader
    });
    turn.becomes("deploy/third", &format!("{}/busybox:1.36", bed.target()));
    bed.rolled_out("deploy/third");
    bed.until("the API server asks the other pod", || {
        is_repointed_on_creation(bed, "busybox:1.36")
    });
    assert_eq!(asked(), format!("pod/{}\n", turn.leader()));
    for (name, generation) in [("first", 2), ("second", 1), ("third", 2)] {
        let object = bed.get(&format!("deploy/{name}"));
        assert_eq!(object["metadata"]["generation"], generation, "{name}");
    }
}

#[test]
fn many_at_once_converge_although_the_agent_is_killed_and_some_are_deleted() {
    const COUNT: usize = 500;
    let Some(turn) = Turn::take("many-at-once") else {
        return;
    };
    let bed = &turn.bed;
    turn.install(&["--secrets", "all", "--set", "MAX_ROLLOUTS=0"])
        .exits(0);
    let all = (0..COUNT).map(|at| idle(&format!("idle-{at}"), "busybox:1.36"));
    bed.apply(&all.collect::<Vec<_>>().join("---\n"));
    // in the middle of it the agent is killed, and work taken away
    let copy = format!("{}/busybox:1.36", bed.target());
    let cloned = || {
        let all = bed.get("deploy");
        let items = all["items"].as_array().unwrap();
        let image = "/spec/template/spec/containers/0/image";
        let cloned = items
            .iter()
            .filter(|item| item.pointer(image).unwrap() == copy.as_str());
        (cloned.count(), items.len())
    };
    bed.until("the first", || cloned().0 > 0);
    bed.kubectl(&[
        "-n",
        SYSTEM,
        "delete",
        "pod",
        "-l",
        "app=image-cloner",
        "--grace-period=0",
        "--force",
    ]);
    bed.kubectl(&["delete", "deploy/idle-499", "deploy/idle-0", "--wait=false"]);
    bed.until("all of them", || cloned() == (COUNT - 2, COUNT - 2));
}

#[test]
fn a_namespace_in_which_the_agent_may_nothing_stops_no_other() {
    let Some(turn) = Turn::take("no-rights") else {
        return;
    };
    let bed = &turn.bed;
    let other = format!("{}-shut", bed.namespace);
    bed.kubectl(&["create", "namespace", &other]);
    let namespaces = format!("{},{other}", bed.namespace);
    turn.install(&[
        "--secrets",
        "all",
        "--namespaces",
        &namespaces,
        "--wait=false",
    ])
    .exits(0);
    bed.kubectl(&[
        "-n",
        &other,
        "delete",
        "rolebinding",
        "image-cloner-role-binding",
    ]);
    bed.apply(&idle("idle", "busybox:1.36"));
    turn.becomes("deploy/idle", &format!("{}/busybox:1.36", bed.target()));
    bed.kubectl(&["delete", "namespace", &other, "--wait=false"]);
}
