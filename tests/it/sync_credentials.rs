//! `sync-credentials` on the bed: secrets that are gone, old, foreign or of no use any more.

use crate::bed::{Bed, Ran, deployment, var};
use crate::cluster_wire::Server;
use crate::wire::server::Registry;
use base64::Engine as _;
use serde_json::{Value, json};
use std::process::Command;

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

#[tokio::test(flavor = "multi_thread")]
async fn every_namespace_in_use_gets_new_credentials_and_no_other_is_written_to() {
    let registry = Registry::start().await;
    let target = registry.host.clone();
    let old = json!({"auths": {&target: {"username": "puller", "password": "old"}}}).to_string();
    let old = base64::engine::general_purpose::STANDARD.encode(old);
    let secret = move |namespace: &str| {
        json!({
            "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
            "metadata": {"name": "image-cloner-pull", "namespace": namespace, "uid": namespace,
                         "labels": {"app.kubernetes.io/managed-by": "image-cloner"}},
            "data": {".dockerconfigjson": old},
        })
    };
    let image = format!("{target}/nginx:1");
    // two that use it, and one that pulls elsewhere
    let deployments = [
        ("shop", "image-cloner-pull"),
        ("tools", "image-cloner-pull"),
        ("apart", "theirs"),
    ]
    .map(|(namespace, secret)| {
        json!({"metadata": {"name": "web", "namespace": namespace}, "spec": {
            "selector": {"matchLabels": {"app": "web"}}, "template": {"spec": {
            "imagePullSecrets": [{"name": secret}],
            "containers": [{"name": "main", "image": image}]}}}})
    });
    let server = Server::start(move |line, _| {
        let (method, path) = line.split_once(' ').expect("a path");
        let path = path.split('?').next().expect("a path");
        let namespace = path.split('/').nth(4).unwrap_or_default();
        let items = match path.rsplit('/').next() {
            Some("image-cloner-pull") if method == "GET" => return (200, secret(namespace)),
            _ if method != "GET" => return (200, json!({"metadata": {}})),
            Some("secrets") => json!([secret("shop"), secret("tools")]),
            Some("deployments") => json!(deployments),
            _ => json!([]),
        };
        (200, json!({"kind": "List", "metadata": {}, "items": items}))
    })
    .await;
    let home = tempfile::tempdir().expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_kubectl-image_cloner"))
        .args(["sync-credentials", "-A", "--server", &server.address])
        .env_clear()
        .env("HOME", home.path())
        .env("IMAGE_CLONER_REGISTRY", &registry.host)
        .env("IMAGE_CLONER_PULL_USER", "puller")
        .env("IMAGE_CLONER_PULL_PASS", "new")
        .output()
        .expect("the plugin starts");

    assert_eq!(output.status.code(), Some(0), "{output:?}");
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stdout), @r"
    secret/image-cloner-pull updated in shop
    secret/image-cloner-pull updated in tools
    ");
    let asked = server.asked();
    let writes: Vec<&str> = asked
        .iter()
        .filter(|line| !line.starts_with("GET "))
        .map(|line| line.split('?').next().expect("a part"))
        .collect();
    assert_eq!(
        writes,
        [
            "PUT /api/v1/namespaces/shop/secrets/image-cloner-pull",
            "PUT /api/v1/namespaces/tools/secrets/image-cloner-pull",
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
