//! The agent as a real pod that pulled its own image from the target: installed, at work, removed.
//!
//! There is one agent in a cluster: these tests take turns.

mod making;
mod outages;
mod work;

use crate::bed::{Bed, Ran, var};
use serde_json::Value;
use std::cell::Cell;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

const SYSTEM: &str = "image-cloner-system";

/// A test's turn with the one agent.
struct Turn {
    bed: Bed,
    binary: PathBuf,
    /// Where the agent's copies go, and how pods get there.
    target: String,
    endpoint: String,
    /// Sources besides the bed's, as pods reach them: host and address.
    sources: Vec<(String, String)>,
    /// A `config.yaml` for the plugin, where not the bed's.
    config: Option<PathBuf>,
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
            target: bed.target(),
            endpoint: var("TARGET_FROM_PODS"),
            sources: Vec::new(),
            config: None,
            bed,
            binary: binary.into(),
            _alone: alone,
        };
        turn.remove();
        Some(turn)
    }

    /// Runs `install-agent` for this test's namespace.
    fn install(&self, more: &[&str]) -> Ran {
        let output = self.installing(more).output().expect("the plugin starts");
        self.bed.ran(output)
    }

    /// The command of that.
    fn installing(&self, more: &[&str]) -> Command {
        let config = self.agent_config();
        let binary = self.binary.display().to_string();
        let mut args = vec!["install-agent", "--registry-endpoint", &self.endpoint];
        args.extend(["--agent-binary", &binary, "--agent-config", &config]);
        args.extend(["--timeout", "120s"]);
        if !more.contains(&"--namespaces") {
            args.extend(["--namespaces", &self.bed.namespace]);
        }
        args.extend(more);
        let mut command = self.bed.plugin_command(&args);
        command.env("IMAGE_CLONER_REGISTRY", &self.target);
        if let Some(config) = &self.config {
            command.env("IMAGE_CLONER_CONFIG", config);
        }
        command
    }

    /// Where pods find the sources.
    fn agent_config(&self) -> String {
        let path = self.bed.folder().join("agent.yaml");
        let mut text = "registries:\n".to_owned();
        let of_bed = [
            ("docker.io", "DOCKER_IO"),
            ("quay.io", "QUAY_IO"),
            ("registry.corp:5443", "CORP"),
        ];
        let of_bed =
            of_bed.map(|(host, name)| (host.to_owned(), var(&format!("{name}_FROM_PODS"))));
        for (host, address) in of_bed.iter().chain(&self.sources) {
            let _ = writeln!(text, "  '{host}': {{endpoint: 'http://{address}'}}");
        }
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn remove(&self) {
        self.bed.plugin(&["uninstall-agent", "--yes"]);
    }

    /// The copy of an image of Docker Hub.
    fn copy(&self, image: &str) -> String {
        format!("{}/{image}", self.target)
    }

    fn log(&self) -> String {
        self.bed.plugin(&["agent", "logs", "--tail", "2000"]).stdout
    }

    /// Waits until a line of its log has all of these words.
    #[track_caller]
    fn says(&self, words: &[&str]) {
        self.bed.until(&format!("{words:?} in the log"), || {
            let log = self.log();
            let mut lines = log.lines();
            lines.any(|line| words.iter().all(|word| line.contains(word)))
        });
    }

    fn image(&self, what: &str) -> String {
        let object = self.bed.get(what);
        let image = &object["spec"]["template"]["spec"]["containers"][0]["image"];
        image.as_str().unwrap().to_owned()
    }

    fn generation(&self, what: &str) -> u64 {
        let object = self.bed.get(what);
        object["metadata"]["generation"].as_u64().unwrap()
    }

    /// Waits for an image; tells what the agent says where it never comes.
    #[track_caller]
    fn becomes(&self, what: &str, image: &str) {
        let told = Cell::new(0);
        self.bed.until(&format!("{what} with {image}"), || {
            told.set(told.get() + 1);
            if told.get() % 200 == 0 {
                eprintln!("{}\n{}", self.log(), self.status());
            }
            self.image(what) == image
        });
    }

    /// Who leads, as the Lease has it; nothing where none does.
    fn holder(&self) -> String {
        self.bed.kubectl(&[
            "-n",
            SYSTEM,
            "get",
            "lease/image-cloner",
            "-o",
            "jsonpath={.spec.holderIdentity}",
        ])
    }

    /// The pod that leads; nothing where none does.
    fn leader(&self) -> String {
        let holder = self.holder();
        holder.split('_').next().unwrap_or_default().to_owned()
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

    /// Waits until no pod of it is ready, for a reason with these words.
    #[track_caller]
    fn is_unready(&self, words: &[&str]) {
        self.bed.until(&format!("unready: {words:?}"), || {
            let shown = self.bed.plugin(&["agent", "status"]);
            shown.code == 1 && words.iter().all(|word| shown.stdout.contains(word))
        });
    }

    /// Waits until a pod of it is ready.
    #[track_caller]
    fn is_ready(&self) {
        let is_ready = || self.bed.plugin(&["agent", "status"]).code == 0;
        self.bed.until("the agent to be ready", is_ready);
    }

    /// What the cluster has of the agent's own.
    fn own(&self, what: &str) -> Value {
        let object = self.bed.kubectl(&["-n", SYSTEM, "get", what, "-o", "json"]);
        serde_json::from_str(&object).unwrap()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}\n{}", self.log(), self.status());
        }
        self.remove();
    }
}

/// Kills the agent of a pod, as the kernel does when memory is short.
#[track_caller]
fn kill(pod: &str) {
    let variable = format!("POD_NAME={pod}");
    let is_its = |folder: &PathBuf| {
        let variables = fs::read(folder.join("environ")).unwrap_or_default();
        let mut variables = variables.split(|byte| *byte == 0);
        variables.any(|it| it == variable.as_bytes())
    };
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let its: Vec<PathBuf> = processes.map(|entry| entry.path()).filter(is_its).collect();
    assert_eq!(its.len(), 1, "{pod}: {its:?}");
    let id = its[0].file_name().unwrap();
    let kill = Command::new("kill").arg("-KILL").arg(id).status();
    assert!(kill.unwrap().success());
}
