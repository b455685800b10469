//! `sync-credentials` on the bed: secrets that are gone, old, foreign or of no use any more.

use crate::bed::{Bed, Ran, deployment, var};
use crate::cluster_wire::Server;
use crate::wire::server::Registry;
use base64::Engine as _;
use serde_json::{Value, json};
use std::process::{Command, Output};

const SECRET: &str = "secret/image-cloner-pull";

/// A share with a clone in it, and so with our pull secret.
fn cloned(name: &str) -> Option<Bed> {
    let bed = Bed::share(name, false)?;
    bed.apply(&deployment("web", &[("web", "nginx:1.21.4-alpine")], &[]));
    bed.plugin(&["clone", "deploy/web"]).exits(0);
    Some(bed)
}

fn sync(bed: &Bed, args: &[&str]) -> Ran {
    let args = [&["sync-credentials", "-n", &bed.namespace], args].concat();
    bed.plugin(&args)
}

/// Replaces the entries of our pull secret.
fn put(bed: &Bed, auths: &Value) {
    let content = json!({"auths": auths}).to_string();
    let mut object = bed.get(SECRET);
    object["data"] = Value::Null;
    object["stringData"] = json!({".dockerconfigjson": content});
    let path = bed.folder().join("secret.json");
    std::fs::write(&path, object.to_string()).expect("a file");
    bed.kubectl(&["replace", "-f", path.to_str().expect("UTF-8")]);
}

#[test]
fn old_credentials_are_updated_and_other_targets_keep_theirs() {
    let Some(bed) = cloned("old") else {
        return;
    };
    let ours = bed.target();
    let other = json!({"username": "someone", "password": "else"});
    put(
        &bed,
        &json!({
            &ours: {"username": "puller", "password": "of-last-year"},
            "other.corp": other,
        }),
    );

    let ran = sync(&bed, &["--dry-run"]).exits(0);
    assert_eq!(
        ran.stdout,
        "secret/image-cloner-pull updated (client dry run)\n"
    );
    assert_eq!(bed.pull_logins()[&ours]["password"], "of-last-year");
    sync(&bed, &["--dry-run=server"]).exits(0);
    assert_eq!(bed.pull_logins()[&ours]["password"], "of-last-year");

    // whoever only clones is told of it
    bed.plugin(&["clone", "deploy/web"])
        .exits(0)
        .says("sync-credentials");

    let ran = sync(&bed, &[]).exits(0);
    assert_eq!(ran.stdout, "secret/image-cloner-pull updated\n");
    assert_eq!(ran.stderr, "");
    assert_eq!(
        bed.pull_logins()[&ours]["password"],
        json!(var("PULL_PASS"))
    );
    assert_eq!(bed.pull_logins()["other.corp"], other);

    let ran = sync(&bed, &[]).exits(0);
    assert_eq!(ran.stdout, "secret/image-cloner-pull unchanged\n");
    let quiet = bed.plugin(&["clone", "deploy/web"]).exits(0);
    assert!(
        !quiet.stderr.contains("sync-credentials"),
        "{}",
        quiet.stderr
    );
}

#[test]
fn a_deleted_secret_is_made_again_where_records_say_that_it_is_used() {
    let Some(bed) = cloned("lost") else {
        return;
    };
    let before = bed.pull_logins();
    bed.kubectl(&["delete", SECRET]);
    let ran = sync(&bed, &[]).exits(0);
    assert_eq!(ran.stdout, "secret/image-cloner-pull created\n");
    assert_eq!(bed.pull_logins(), before);
}

#[test]
fn wrong_credentials_are_written_nowhere() {
    let Some(bed) = cloned("wrong") else {
        return;
    };
    let before = bed.get(SECRET);
    let mut command = bed.plugin_command(&["sync-credentials", "-n", &bed.namespace]);
    command.env("IMAGE_CLONER_PULL_PASS", "Wr0ngWord");
    let ran = bed
        .ran(command.output().expect("the plugin starts"))
        .exits(1);
    assert_eq!(bed.get(SECRET), before);
    assert!(!ran.stderr.contains("Wr0ngWord"), "{}", ran.stderr);
    let told = ran.stderr.replace(&var("TARGET"), "TARGET");
    insta::assert_snapshot!(told, @r"
    error: logging in to TARGET to pull: GET http://TARGET/v2/: 401 UNAUTHORIZED authentication required (as puller)
    nothing was changed
    hint: IMAGE_CLONER_PULL_USER and _PASS are for pulling
    ");
}

#[test]
fn a_namesake_is_an_error_of_its_own_namespace_alone() {
    let (Some(one), Some(two)) = (cloned("same"), cloned("same")) else {
        return;
    };
    // one target for both
    let target = two.target();
    one.plugin(&["clone", "deploy/web", "--to", &target])
        .exits(0);
    one.kubectl(&["label", SECRET, "app.kubernetes.io/managed-by-"]);
    two.kubectl(&["delete", SECRET]);
    let places = [
        format!("ns/{}", one.namespace),
        format!("ns/{}", two.namespace),
    ];
    let args = ["sync-credentials", &places[0], &places[1], "--to", &target];

    let ran = two.plugin(&args).exits(1);

    assert_eq!(
        ran.stdout,
        format!("secret/image-cloner-pull created in {}\n", two.namespace)
    );
    insta::assert_snapshot!(ran.stderr.replace(&one.namespace, "NS"), @r"
    error: secret/image-cloner-pull in NS is not ours: it lacks the label app.kubernetes.io/managed-by=image-cloner
    hint: rename or delete it, or name a secret that has credentials for the target with --pull-secret
    ");
}

#[test]
fn a_secret_that_nothing_names_is_told_and_removed_when_asked() {
    let Some(bed) = cloned("unused") else {
        return;
    };
    bed.plugin(&["restore", "deploy/web"]).exits(0);
    bed.kubectl(&["scale", "deploy/web", "--replicas=0"]);
    bed.until("no pod is left", || {
        bed.kubectl(&["get", "pods", "-o", "name"]).is_empty()
    });

    let ran = sync(&bed, &[]).exits(0);
    assert_eq!(ran.stdout, "");
    insta::assert_snapshot!(ran.stderr.replace(&bed.namespace, "NS"), @r"
    note: secret/image-cloner-pull in NS is named by nothing there any more
    hint: kubectl image-cloner sync-credentials ns/NS --prune
    ");
    bed.get(SECRET);

    let ran = sync(&bed, &["--prune", "--dry-run"]).exits(0);
    assert_eq!(
        ran.stdout,
        "secret/image-cloner-pull pruned (client dry run)\n"
    );
    bed.get(SECRET);
    let ran = sync(&bed, &["--prune"]).exits(0);
    assert_eq!(ran.stdout, "secret/image-cloner-pull pruned\n");
    let left = bed.kubectl(&["get", "secrets", "-o", "name"]);
    assert!(!left.contains("image-cloner-pull"), "{left}");
}

/// An API server with these objects of their kinds, and our pull secret where it has such.
async fn server(kinds: [(&'static str, Vec<Value>); 3]) -> Server {
    Server::start(move |line, _| {
        let (method, path) = line.split_once(' ').expect("a path");
        let path = path.split('?').next().expect("a path");
        let within = path.split_once("/namespaces/");
        let within = within.and_then(|(_, rest)| rest.split('/').next());
        let is_here = |object: &&Value| {
            within.is_none_or(|namespace| object["metadata"]["namespace"] == namespace)
        };
        let last = path.rsplit('/').next().expect("a part");
        let of = |plural: &str| {
            let kind = kinds.iter().find(|(name, _)| *name == plural);
            kind.map(|(_, objects)| objects.clone()).unwrap_or_default()
        };
        match method {
            "GET" if last == "image-cloner-pull" => match of("secrets").iter().find(is_here) {
                Some(secret) => (200, secret.clone()),
                None => (
                    404,
                    json!({"kind": "Status", "code": 404, "reason": "NotFound"}),
                ),
            },
            "GET" => {
                let items = of(last);
                let items: Vec<&Value> = items.iter().filter(is_here).collect();
                (200, json!({"kind": "List", "metadata": {}, "items": items}))
            }
            _ => (200, json!({"metadata": {}})),
        }
    })
    .await
}

/// What it comes to against such a server.
fn synced(server: &Server, registry: &Registry, args: &[&str]) -> Output {
    let home = tempfile::tempdir().expect("a folder");
    Command::new(env!("CARGO_BIN_EXE_kubectl-image_cloner"))
        .args(["sync-credentials", "--server", &server.address])
        .args(args)
        .env_clear()
        .env("HOME", home.path())
        .env("IMAGE_CLONER_REGISTRY", &registry.host)
        .env("IMAGE_CLONER_SKIP_NAMESPACES", "untrusted-*")
        .env("IMAGE_CLONER_PULL_USER", "puller")
        .env("IMAGE_CLONER_PULL_PASS", "new")
        .output()
        .expect("the plugin starts")
}

/// What was written, in order: several are at a time.
fn writes(server: &Server) -> Vec<String> {
    let asked = server.asked();
    let writes = asked.iter().filter(|line| !line.starts_with("GET "));
    let mut writes: Vec<String> = writes
        .map(|line| line.split('?').next().expect("a part").to_owned())
        .collect();
    writes.sort_unstable();
    writes
}

/// Our pull secret there, of last year.
fn old_secret(namespace: &str, target: &str) -> Value {
    let old = json!({"auths": {target: {"username": "puller", "password": "old"}}}).to_string();
    json!({
        "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
        "metadata": {"name": "image-cloner-pull", "namespace": namespace, "uid": namespace,
                     "labels": {"app.kubernetes.io/managed-by": "image-cloner"}},
        "data": {".dockerconfigjson": base64::engine::general_purpose::STANDARD.encode(old)},
    })
}

/// A Deployment that runs a copy and pulls it with this secret.
fn pulling(namespace: &str, secret: &str, target: &str) -> Value {
    let image = format!("{target}/nginx:1");
    let record = json!({"run": "1", "slots": {
        "containers/main": {"original": "nginx:1", "target": image}}});
    json!({
        "metadata": {"name": "web", "namespace": namespace,
                     "annotations": {"image-cloner.io/originals": record.to_string()}},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}}, "template": {"spec": {
            "imagePullSecrets": [{"name": secret}],
            "containers": [{"name": "main", "image": image}]}}},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_namespace_in_use_gets_new_credentials_and_no_other_is_written_to() {
    let registry = Registry::start().await;
    let target = &registry.host;
    // two that use it, and one that pulls elsewhere
    let mut deployments = vec![
        pulling("shop", "image-cloner-pull", target),
        pulling("tools", "image-cloner-pull", target),
        pulling("apart", "theirs", target),
    ];
    for deployment in &mut deployments {
        deployment["metadata"]["annotations"] = Value::Null;
    }
    let secrets = ["shop", "tools"].map(|namespace| old_secret(namespace, target));
    let server = server([
        ("namespaces", Vec::new()),
        ("secrets", secrets.to_vec()),
        ("deployments", deployments),
    ])
    .await;

    let output = synced(&server, &registry, &["-A"]);

    assert_eq!(output.status.code(), Some(0), "{output:?}");
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stdout), @r"
    secret/image-cloner-pull updated in shop
    secret/image-cloner-pull updated in tools
    ");
    assert_eq!(
        writes(&server),
        [
            "PUT /api/v1/namespaces/shop/secrets/image-cloner-pull",
            "PUT /api/v1/namespaces/tools/secrets/image-cloner-pull",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_whoever_names_a_namespace_that_is_left_alone_gets_credentials_written_there() {
    let registry = Registry::start().await;
    let target = &registry.host;
    let places = ["shop", "untrusted-1", "kube-system", "out"];
    let deployments = places.map(|namespace| pulling(namespace, "image-cloner-pull", target));
    let out = json!({"metadata": {"name": "out", "labels": {"image-cloner.io/skip": "true"}}});
    // whoever may write a record there may write such a secret, too
    let secrets = vec![old_secret("kube-system", target)];
    let server = server([
        ("namespaces", vec![out]),
        ("secrets", secrets),
        ("deployments", deployments.to_vec()),
    ])
    .await;

    let output = synced(&server, &registry, &["-A"]);

    assert_eq!(output.status.code(), Some(0), "{output:?}");
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stdout), @"secret/image-cloner-pull created in shop");
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stderr), @r"
    note: secret/image-cloner-pull in kube-system is not written: namespace kube-system is skipped
    hint: kubectl image-cloner sync-credentials ns/kube-system
    note: secret/image-cloner-pull in out is not written: namespace out opted out by image-cloner.io/skip
    hint: kubectl image-cloner sync-credentials ns/out
    note: secret/image-cloner-pull in untrusted-1 is not written: namespace untrusted-1 is skipped
    hint: kubectl image-cloner sync-credentials ns/untrusted-1
    ");
    assert_eq!(writes(&server), ["POST /api/v1/namespaces/shop/secrets"]);

    let output = synced(&server, &registry, &["ns/untrusted-1", "ns/kube-system"]);

    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(
        writes(&server),
        [
            "POST /api/v1/namespaces/shop/secrets",
            "POST /api/v1/namespaces/untrusted-1/secrets",
            "PUT /api/v1/namespaces/kube-system/secrets/image-cloner-pull",
        ]
    );
}

#[test]
fn a_word_that_is_no_namespace_is_refused() {
    let Some(bed) = Bed::share("word", false) else {
        return;
    };
    let ran = bed.plugin(&["sync-credentials", "shop"]).exits(2);
    insta::assert_snapshot!(ran.stderr, @r#"
    error: "shop" is no namespace
    nothing was changed
    hint: write ns/shop
    "#);
}
