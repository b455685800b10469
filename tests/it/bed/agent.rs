//! The agent as a bare process, kept to a test's own namespace.

use super::{Bed, var};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// An agent that runs until it is dropped.
pub(crate) struct Agent<'a> {
    bed: &'a Bed,
    process: Child,
    log: PathBuf,
    settings: PathBuf,
}

impl Bed {
    /// Starts an agent with these settings, in a folder that it follows, over those of the bed.
    pub(crate) fn agent(&self, settings: &[(&str, &str)]) -> Agent<'_> {
        self.agent_as(
            &std::env::var("KUBECONFIG").expect("the bed sets it"),
            settings,
        )
    }

    /// The same with another kubeconfig.
    pub(crate) fn agent_as(&self, kubeconfig: &str, settings: &[(&str, &str)]) -> Agent<'_> {
        self.start_agent(kubeconfig, settings, None)
    }

    /// An agent that stands for leadership in this test's namespace under this name.
    pub(crate) fn candidate(&self, name: &str, settings: &[(&str, &str)]) -> Agent<'_> {
        let kubeconfig = std::env::var("KUBECONFIG").expect("the bed sets it");
        self.candidate_as(&kubeconfig, name, settings)
    }

    /// The same with another kubeconfig.
    pub(crate) fn candidate_as(
        &self,
        kubeconfig: &str,
        name: &str,
        settings: &[(&str, &str)],
    ) -> Agent<'_> {
        self.start_agent(kubeconfig, settings, Some(name))
    }

    fn start_agent(
        &self,
        kubeconfig: &str,
        settings: &[(&str, &str)],
        pod: Option<&str>,
    ) -> Agent<'_> {
        let folder = tempfile::tempdir_in(self.folder())
            .expect("a folder")
            .keep();
        let log = folder.with_extension("log");
        for (name, value) in settings {
            fs::write(folder.join(format!("IMAGE_CLONER_{name}")), value).expect("a file");
        }
        let process = Command::new(env!("CARGO_BIN_EXE_image-cloner-agent"))
            .arg("--settings")
            .arg(&folder)
            .arg("--metrics-bind-address=127.0.0.1:0")
            .arg("--health-probe-bind-address=127.0.0.1:0")
            .env_clear()
            .env("HOME", self.folder())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("KUBECONFIG", kubeconfig)
            .env("IMAGE_CLONER_CONFIG", var("CONFIG"))
            .env("IMAGE_CLONER_REGISTRY", self.target())
            .env("IMAGE_CLONER_USER", var("TARGET_USER"))
            .env("IMAGE_CLONER_PASS", var("TARGET_PASS"))
            .env("IMAGE_CLONER_PULL_USER", var("PULL_USER"))
            .env("IMAGE_CLONER_PULL_PASS", var("PULL_PASS"))
            .env("IMAGE_CLONER_NAMESPACES", &self.namespace)
            .envs(pod.map(|name| ("POD_NAME", name)))
            .envs(pod.map(|_| ("POD_NAMESPACE", self.namespace.as_str())))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).expect("a log"))
            .spawn()
            .expect("the agent starts");
        Agent {
            bed: self,
            process,
            log,
            settings: folder,
        }
    }
}

impl Agent<'_> {
    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("a log")
    }

    /// How many of its lines have all of these words.
    pub(crate) fn count(&self, words: &[&str]) -> usize {
        let log = self.log();
        let lines = log.lines();
        lines
            .filter(|line| words.iter().all(|word| line.contains(word)))
            .count()
    }

    /// Waits until one of its lines has all of these words.
    #[track_caller]
    pub(crate) fn says(&self, words: &[&str]) {
        let mut left = 600;
        while self.count(words) == 0 {
            assert!(left > 0, "never said: {words:?}\n{}", self.log());
            left -= 1;
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
    }

    /// Waits until this holds of an object; panics with its log when it never does.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, holds: impl Fn(&serde_json::Value) -> bool) {
        let mut left = 600;
        loop {
            let object = self.bed.get(what);
            if holds(&object) {
                return;
            }
            assert!(
                left > 0,
                "{what} never came to that: {object:#}\n{}",
                self.log()
            );
            left -= 1;
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
    }

    /// Sends it a signal: `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let process = self.process.id().to_string();
        let kill = Command::new("kill").args(["-s", name, &process]).status();
        assert!(kill.expect("kill starts").success(), "kill -s {name}");
    }

    /// Waits until it has ended; its exit code, none after SIGKILL.
    #[track_caller]
    pub(crate) fn ends(&mut self) -> Option<i32> {
        let mut left = 600;
        loop {
            if let Some(status) = self.process.try_wait().expect("a child") {
                return status.code();
            }
            assert!(left > 0, "it never ends:\n{}", self.log());
            left -= 1;
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
    }

    /// What its `probes` or `metrics` server answers, with the HTTP status.
    pub(crate) fn answers(&self, server: &str, path: &str) -> (String, String) {
        let said = format!("serving {server} address=");
        self.says(&[&said]);
        let log = self.log();
        let address = log.split_once(&said).expect("just said").1;
        let address = address.split_whitespace().next().unwrap_or_default();
        let url = format!("http://{address}{path}");
        let curl = Command::new("curl")
            .args(["-s", "-m", "20", "-w", "\n%{http_code}", &url])
            .output()
            .expect("curl is installed by the bed");
        let answer = String::from_utf8(curl.stdout).expect("UTF-8");
        let (body, code) = answer.rsplit_once('\n').expect("a code");
        (code.to_owned(), body.to_owned())
    }

    /// Waits until one of its figures is this.
    #[track_caller]
    pub(crate) fn figure(&self, name: &str, value: &str) {
        let line = format!("image_cloner_{name} {value}");
        let mut left = 600;
        loop {
            let (_, figures) = self.answers("metrics", "/metrics");
            if figures.lines().any(|it| it == line) {
                return;
            }
            assert!(left > 0, "never came: {line}\n{figures}\n{}", self.log());
            left -= 1;
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
    }

    /// Changes a setting while it runs.
    pub(crate) fn set(&self, name: &str, value: &str) {
        let path = self.settings.join(format!("IMAGE_CLONER_{name}"));
        // at once, as a kubelet does: half of it would be another setting
        let whole = self.settings.join(".new");
        fs::write(&whole, value).expect("a file");
        fs::rename(whole, path).expect("a file");
    }
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Bed {
    /// A kubeconfig of a ServiceAccount with these rights in this test's namespace: API group, resource and
    /// verbs.
    pub(crate) fn account(&self, name: &str, rights: &[(&str, &str, &str)]) -> String {
        self.kubectl(&["create", "serviceaccount", name]);
        let rules = rights.iter().map(|(group, resource, verbs)| {
            format!("- {{apiGroups: ['{group}'], resources: [{resource}], verbs: [{verbs}]}}\n")
        });
        let namespace = &self.namespace;
        self.apply(&format!(
            "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: {name}}}
rules:
{}---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: {name}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: {name}}}
subjects: [{{kind: ServiceAccount, name: {name}, namespace: {namespace}}}]
",
            rules.collect::<String>()
        ));
        let secret = || self.get(&format!("serviceaccount/{name}"))["secrets"][0]["name"].clone();
        self.until("the account's token", || secret().is_string());
        let secret = secret();
        let secret = secret.as_str().expect("a name");
        let token = self.kubectl(&[
            "get",
            "secret",
            secret,
            "-o",
            "go-template={{.data.token|base64decode}}",
        ]);
        let shown = self.kubectl(&[
            "config",
            "view",
            "--raw",
            "--minify",
            "--flatten",
            "-o",
            "json",
        ]);
        let mut config: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
        config["users"][0]["user"] = serde_json::json!({"token": token});
        let path = self.folder().join(format!("{name}.kubeconfig"));
        fs::write(&path, config.to_string()).expect("a file");
        path.display().to_string()
    }
}
