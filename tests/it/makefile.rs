//! `examples/Makefile`, as far as that goes without Docker and a cluster: who is called for what, and what
//! they are given.

use image_cloner::cluster::LocalRegistry;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

/// Its targets, made with programs that only write down how they were called and what they were given.
struct Made(tempfile::TempDir);

impl Made {
    fn new() -> Self {
        let made = Self(tempfile::tempdir().unwrap());
        let stub = r#"#!/bin/sh
call="${0##*/} $*"
printf '%s\n' "$call" >>"$CALLS"
case $call in
'docker inspect --format'*) echo null ;;
'docker inspect'*) exit 1 ;;
'kind get nodes'*) echo a-node ;;
*'create secret'* | *'--config -' | *'exec -i'* | *'apply -f -') cat >>"$GIVEN" ;;
esac
"#;
        for name in ["kubectl", "docker", "kind"] {
            fs::write(made.path(name), stub).unwrap();
            let chmod = Command::new("chmod")
                .arg("+x")
                .arg(made.path(name))
                .status();
            assert!(chmod.unwrap().success());
        }
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn make(&self, words: &[&str], password: Option<&str>) -> Output {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("make");
        command
            .arg("-C")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/examples"))
            .args(words)
            .env("PATH", format!("{}:{path}", self.0.path().display()))
            .env("CALLS", self.path("calls"))
            .env("GIVEN", self.path("given"))
            .env("IMAGE_CLONER_USER", "robot")
            .env_remove("IMAGE_CLONER_PASS");
        if let Some(password) = password {
            command.env("IMAGE_CLONER_PASS", password);
        }
        command.output().expect("make is here")
    }

    #[track_caller]
    fn makes(&self, words: &[&str], password: Option<&str>) {
        let output = self.make(words, password);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.path("calls")).unwrap()
    }

    fn given(&self) -> String {
        fs::read_to_string(self.path("given")).unwrap()
    }
}

#[test]
fn the_agent_is_given_its_credentials_without_showing_them() {
    let made = Made::new();
    let refused = made.make(&["cr.login", "context=here"], None);
    assert!(!refused.status.success());
    assert!(
        !made.path("calls").exists(),
        "nothing is asked of the cluster without a password"
    );
    for (target, password) in [("cr.login", Some("hunter2 $x")), ("deploy", None)] {
        made.makes(&[target, "context=here"], password);
    }
    let calls = made.calls();
    assert!(!calls.contains("hunter2"), "{calls}");
    assert!(
        calls.lines().all(|call| call.contains("--context here ")),
        "{calls}"
    );
    assert!(
        calls.contains("create secret generic image-cloner-cr-login"),
        "{calls}"
    );
    assert!(
        calls.contains("image-cloner install-agent --context here -A --to localhost:5000 --yes"),
        "{calls}"
    );
    assert_eq!(
        made.given(),
        "IMAGE_CLONER_USER=robot\nIMAGE_CLONER_PASS=hunter2 $x\n"
    );
}

#[test]
fn a_kind_cluster_is_made_that_publishes_its_registry_and_is_ended_with_it() {
    let made = Made::new();
    for target in ["kind.up", "kind.down"] {
        made.makes(&[target], None);
    }
    let calls = made.calls();
    let hosts = "/etc/containerd/certs.d/localhost:5000";
    let mut rest = calls.lines();
    for call in [
        "docker run --detach --restart always --network bridge --name image-cloner-registry \
         --publish 127.0.0.1:5000:5000 registry:2",
        "kind create cluster --name image-cloner --config -",
        &format!("docker exec -i a-node cp /dev/stdin {hosts}/hosts.toml"),
        "docker network connect kind image-cloner-registry",
        "kubectl --context kind-image-cloner apply -f -",
        "kind delete cluster --name image-cloner",
        "docker rm --force --volumes image-cloner-registry",
    ] {
        assert!(rest.any(|line| line == call), "no {call:?} in\n{calls}");
    }
    let given = made.given();
    let (cluster, given) = given.split_once("[host.").expect("hosts.toml");
    let cluster: Value = serde_saphyr::from_str(cluster).unwrap();
    let patch = cluster["containerdConfigPatches"][0].as_str().unwrap();
    assert!(patch.contains("config_path = \"/etc/containerd/certs.d\""));
    let (host, hosting) = given.split_once("]\n").expect("a host");
    assert_eq!(host, "\"http://image-cloner-registry:5000\"");
    let hosting: Value = serde_saphyr::from_str(hosting).unwrap();
    assert_eq!(hosting["metadata"]["name"], "local-registry-hosting");
    assert_eq!(hosting["metadata"]["namespace"], "kube-public");
    let published = hosting["data"]["localRegistryHosting.v1"].as_str().unwrap();
    let published: LocalRegistry = serde_saphyr::from_str(published).unwrap();
    assert_eq!(
        published.pull_and_push(),
        Some(("localhost:5000", "localhost:5000"))
    );
    assert_eq!(
        published.host_from_cluster_network.as_deref(),
        Some("image-cloner-registry:5000")
    );
}
