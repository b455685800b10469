//! `-A`: what a whole cluster has that a clone leaves alone unless it is named, against an API server that
//! holds what a test gives it.

use crate::bed::Ran;
use crate::cluster_wire::Server;
use crate::wire::server::Registry;
use crate::wire::simple;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// A workload of one container.
fn workload(kind: &str, place: &str, image: &str, pod: &Value) -> Value {
    let (namespace, name) = place.split_once('/').unwrap();
    let mut spec = json!({"containers": [{"name": "main", "image": image}]});
    for (key, value) in pod.as_object().unwrap() {
        spec[key] = value.clone();
    }
    json!({
        "apiVersion": "apps/v1", "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": {"spec": spec}},
    })
}

fn deployment(place: &str, image: &str) -> Value {
    workload("Deployment", place, image, &json!({}))
}

/// An API server with these objects, each given by its name and in the lists of its kind.
async fn holding(objects: Vec<Value>) -> Server {
    Server::start(move |line, _| {
        let path = line.split(' ').nth(1).unwrap();
        let path = path.split('?').next().unwrap();
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let is_of = |object: &&Value, plural: &str| {
            format!("{}s", object["kind"].as_str().unwrap().to_lowercase()) == plural
        };
        let [.., plural, last] = parts[..] else {
            return (200, json!({"metadata": {}, "items": []}));
        };
        let named = objects.iter().find(|object| {
            let metadata = &object["metadata"];
            let namespace = metadata["namespace"].as_str().unwrap_or_default();
            let is_here = plural == "namespaces" || parts.contains(&namespace);
            is_of(object, plural) && metadata["name"] == last && is_here
        });
        if let Some(object) = named {
            return (200, object.clone());
        }
        let items: Vec<&Value> = objects.iter().filter(|one| is_of(one, last)).collect();
        (200, json!({"kind": "List", "metadata": {}, "items": items}))
    })
    .await
}

fn ran(home: &Path, server: &Server, args: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_kubectl-image_cloner"))
        .args(args)
        .args(["--server", &server.address])
        .env_clear()
        .env("HOME", home)
        .env("IMAGE_CLONER_CONFIG", home.join("config.yaml"))
        .output()
        .unwrap();
    Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_name_opens_is_left_by_a_clone_of_everything_and_said() {
    let (source, target) = (Registry::start().await, Registry::start().await);
    simple(&source);
    let image = format!("{}/a/b:1", source.host);
    let (_, port) = target.host.rsplit_once(':').unwrap();
    let port: u16 = port.parse().unwrap();
    let listens = json!([{"name": "main", "image": image, "ports": [{"hostPort": port}]}]);
    let critical = json!({"priorityClassName": "system-node-critical"});
    let mut out = deployment("shop/out", &image);
    out["metadata"]["labels"] = json!({"image-cloner.io/skip": "true"});
    let quiet = json!({"name": "quiet", "annotations": {"image-cloner.io/skip": "true"}});
    let server = holding(vec![
        json!({"kind": "Namespace", "metadata": quiet}),
        deployment("quiet/web", &image),
        deployment("kube-system/dns", &image),
        deployment("shop/web", &image),
        out,
        workload("DaemonSet", "shop/net", &image, &critical),
        workload(
            "DaemonSet",
            "infra/proxy",
            &image,
            &json!({"containers": listens}),
        ),
        deployment("infra/zot", &image),
        deployment("team-a/web", &image),
        deployment("lab/web", &image),
    ])
    .await;
    let home = tempfile::tempdir().unwrap();
    let config = "protect: [infra/zot]\nskipNamespaces: [lab]\n";
    std::fs::write(home.path().join("config.yaml"), config).unwrap();
    let to = format!("{}/mirror", target.host);

    let skipping = ["--skip-namespace", "team-*"];
    let args = [&["clone", "-A", "--dry-run", "--to", &to][..], &skipping].concat();
    let all = ran(home.path(), &server, &args).exits(0);

    let mut lines: Vec<&str> = all.stdout.lines().collect();
    lines.sort_unstable();
    insta::assert_snapshot!(lines.join("\n"), @r"
    daemonset.apps/net skipped in shop: priority class system-node-critical (client dry run)
    daemonset.apps/proxy skipped in infra: serves the target registry (client dry run)
    deployment.apps/dns skipped in kube-system: namespace kube-system is skipped (client dry run)
    deployment.apps/out skipped in shop: opted out by image-cloner.io/skip (client dry run)
    deployment.apps/web repointed in shop (client dry run)
    deployment.apps/web skipped in lab: namespace lab is skipped (client dry run)
    deployment.apps/web skipped in quiet: namespace quiet opted out by image-cloner.io/skip (client dry run)
    deployment.apps/web skipped in team-a: namespace team-a is skipped (client dry run)
    deployment.apps/zot skipped in infra: serves the target registry (client dry run)
    ");
    let at = all.stderr.find("repoint ").unwrap();
    insta::assert_snapshot!(all.stderr[at..], @r"
    repoint       1  Deployment 1
    skipped       1  namespace kube-system is skipped
                  1  namespace lab is skipped
                  1  namespace quiet opted out by image-cloner.io/skip
                  1  namespace team-a is skipped
                  1  opted out by image-cloner.io/skip
                  1  priority class system-node-critical
                  2  serves the target registry
    ");

    // by its name each is taken but for those that opted out
    for (place, code) in [
        ("kube-system/deploy/dns", 0),
        ("shop/ds/net", 0),
        ("infra/ds/proxy", 0),
        ("infra/deploy/zot", 0),
        ("lab/deploy/web", 0),
        ("shop/deploy/out", 3),
        ("quiet/deploy/web", 3),
    ] {
        let (namespace, name) = place.split_once('/').unwrap();
        let args = ["clone", name, "-n", namespace, "--dry-run", "--to", &to];
        let one = ran(home.path(), &server, &args).exits(code);
        let verb = if code == 0 { "repointed" } else { "skipped" };
        assert!(one.stdout.contains(verb), "{place}: {}", one.stdout);
    }
}
