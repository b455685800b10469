//! What a test has kubectl do.

use super::Bed;
use jiff::Timestamp;
use serde_json::Value;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

impl Bed {
    /// Runs kubectl in this test's namespace; panics when it fails.
    #[track_caller]
    pub(crate) fn kubectl(&self, args: &[&str]) -> String {
        let output = self.try_kubectl(args);
        assert!(
            output.status.success(),
            "kubectl {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    pub(crate) fn try_kubectl(&self, args: &[&str]) -> Output {
        let run = || {
            Command::new("kubectl")
                .args(["-n", &self.namespace])
                .args(args)
                .output()
                .expect("kubectl is installed by the bed")
        };
        // what was created all the same is there already the second time
        again_while_stalled(!args.contains(&"create"), run)
    }

    /// Applies YAML with kubectl.
    pub(crate) fn apply(&self, yaml: &str) {
        let run = || {
            let mut kubectl = Command::new("kubectl")
                .args(["-n", &self.namespace, "apply", "-f", "-"])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .expect("kubectl is installed by the bed");
            let mut stdin = kubectl.stdin.take().expect("piped");
            stdin.write_all(yaml.as_bytes()).expect("kubectl reads");
            drop(stdin);
            kubectl.wait_with_output().expect("kubectl ends")
        };
        let output = again_while_stalled(true, run);
        assert!(
            output.status.success(),
            "kubectl apply: {}\n{yaml}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// An object, as JSON.
    #[track_caller]
    pub(crate) fn get(&self, what: &str) -> Value {
        serde_json::from_str(&self.kubectl(&["get", what, "-o", "json"]))
            .expect("kubectl prints JSON")
    }

    /// When the pods here that are to stay were made, in seconds, in this order.
    pub(crate) fn times_of_pods(&self) -> Vec<i64> {
        let pods = self.get("pods");
        let pods = pods["items"].as_array().expect("a list").iter();
        let pods = pods.map(|pod| &pod["metadata"]);
        let stay = pods.filter(|pod| pod["deletionTimestamp"].is_null());
        let mut times: Vec<i64> = stay
            .map(|pod| {
                let made = pod["creationTimestamp"].as_str().expect("a time");
                made.parse::<Timestamp>().expect("a time").as_second()
            })
            .collect();
        times.sort_unstable();
        times
    }

    /// Waits until a Deployment has rolled out.
    pub(crate) fn rolled_out(&self, what: &str) {
        self.kubectl(&["rollout", "status", what, "--timeout=120s"]);
    }
}

/// Runs kubectl, and again, thrice at most and where it may be, while it fails because a disk or a processor that
/// all share had no time for the API server.
fn again_while_stalled(may_be: bool, run: impl Fn() -> Output) -> Output {
    let stalls = [
        "etcdserver: ",
        "TLS handshake timeout",
        "unable to return a response in the time allotted",
    ];
    let is_stalled = |output: &Output| {
        let said = String::from_utf8_lossy(&output.stderr);
        !output.status.success() && stalls.iter().any(|stall| said.contains(stall))
    };
    let mut output = run();
    for _ in 0..3 {
        if !may_be || !is_stalled(&output) {
            break;
        }
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        output = run();
    }
    output
}
