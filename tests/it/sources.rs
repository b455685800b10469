//! Who may read a source, and what happens when it cannot be read.

use crate::bed::{Bed, deployment, idle, var};
use serde_json::json;
use std::net::TcpListener;
use std::process::Command;

const CORP: &str = "registry.corp:5443/team/app:1";

fn image(bed: &Bed, name: &str) -> serde_json::Value {
    bed.get(name)["spec"]["template"]["spec"]["containers"][0]["image"].clone()
}

/// An address on loopback where nobody listens.
fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").to_string()
}

/// Gives a Deployment a pull secret of its own.
fn pulls_with(bed: &Bed, name: &str, secret: &str) {
    let patch = format!(
        r#"{{"spec":{{"template":{{"spec":{{"imagePullSecrets":[{{"name":"{secret}"}}]}}}}}}}}"#
    );
    bed.kubectl(&["patch", name, "-p", &patch]);
}

#[test]
fn a_source_that_is_gone_stops_nobody_whose_copy_is_there() {
    let Some(bed) = Bed::share("gone", false) else {
        return;
    };
    for name in ["one", "two"] {
        bed.apply(&deployment(name, &[("web", "busybox:1.36")], &[]));
    }
    bed.plugin(&["clone", "deploy/one"]).exits(0);
    let config = bed.config(&[("docker.io", &nowhere())]);
    bed.plugin_with(&config, &["clone", "deploy/two"])
        .exits(0)
        .says("cannot be read now, its copy in the target is used");
    assert_eq!(
        image(&bed, "deploy/two"),
        json!(format!("{}/busybox:1.36", bed.target()))
    );
}

#[test]
fn a_source_that_was_deleted_stops_nobody_who_runs_it() {
    let Some(bed) = Bed::share("deleted", true) else {
        return;
    };
    let source = format!("{}/{}/src:1", var("OPEN_TARGET"), bed.namespace);
    bed.plugin(&["copy", "busybox:1.36", "--as", &source])
        .exits(0);
    bed.apply(&deployment("web", &[("web", &source)], &[]));
    bed.rolled_out("deploy/web");
    bed.plugin(&["clone", "deploy/web", "--copy-only"]).exits(0);
    let repository = format!("{}/src", bed.namespace);
    let digest = bed.digest("OPEN_TARGET", &repository, "1");
    let digest = digest.expect("it is there");
    bed.delete("OPEN_TARGET", &format!("{repository}/manifests/{digest}"));

    bed.plugin(&["clone", "deploy/web"])
        .exits(0)
        .says("cannot be read now, its copy in the target is used")
        .says("404");

    let copy = image(&bed, "deploy/web");
    let copy = copy.as_str().expect("an image");
    assert!(copy.starts_with(&bed.target()), "{copy}");
}

#[test]
fn pull_secrets_hold_where_the_kubelet_would_use_them() {
    let Some(bed) = Bed::share("matching", false) else {
        return;
    };
    for (at, (key, code)) in [
        ("*.corp:5443", 0),
        ("https://registry.corp:5443/v2/", 0),
        ("registry.corp:5443/team", 0),
        // by the text, as the kubelet has it
        ("registry.corp:5443/tea", 0),
        ("registry.corp:5443/other", 1),
        ("registry.corp", 1),
        ("*:5443", 1),
    ]
    .into_iter()
    .enumerate()
    {
        let (workload, secret) = (format!("app-{at}"), format!("key-{at}"));
        let logins = json!({"auths": {key: {
            "username": var("CORP_USER"), "password": var("CORP_PASS"),
        }}});
        bed.apply(
            &json!({
                "apiVersion": "v1",
                "kind": "Secret",
                "type": "kubernetes.io/dockerconfigjson",
                "metadata": {"name": secret},
                "stringData": {".dockerconfigjson": logins.to_string()},
            })
            .to_string(),
        );
        bed.apply(&idle(&workload, CORP));
        let name = format!("deploy/{workload}");
        pulls_with(&bed, &name, &secret);
        let ran = bed.plugin(&["clone", &name, "--copy-only"]);
        assert_eq!(ran.code, code, "{key}: {}", ran.stderr);
    }
}

#[test]
fn a_copy_is_no_way_around_the_permissions_of_its_source() {
    let Some(bed) = Bed::share("denied", false) else {
        return;
    };
    bed.corp_secret("right", &var("CORP_PASS"));
    bed.corp_secret("wrong", "not-it");
    for name in ["may", "not"] {
        bed.apply(&deployment(name, &[("app", CORP)], &[]));
    }
    pulls_with(&bed, "deploy/may", "right");
    pulls_with(&bed, "deploy/not", "wrong");
    // together: one copy, and each asked for itself
    let ran = bed.plugin(&["clone", "deploy/may", "deploy/not"]).exits(1);
    assert_eq!(ran.stdout, "deployment.apps/may repointed\n");
    assert!(ran.stderr.contains("deployment.apps/not"), "{}", ran.stderr);
    assert_eq!(image(&bed, "deploy/not"), CORP);
    // alone, while the copy is there
    bed.plugin(&["clone", "deploy/not"]).exits(1).says("401");
    assert_eq!(image(&bed, "deploy/not"), CORP);
}

#[test]
fn a_credential_helper_that_is_missing_keeps_no_workload_from_its_own_pull_secret() {
    let Some(bed) = Bed::share("helper", false) else {
        return;
    };
    bed.corp_secret("right", &var("CORP_PASS"));
    bed.apply(&deployment("web", &[("app", CORP)], &[]));
    pulls_with(&bed, "deploy/web", "right");
    let helper = r#"{"credHelpers": {"registry.corp:5443": "gone"}}"#;
    std::fs::write(bed.folder().join("config.json"), helper).expect("a file");
    let run = |args: &[&str]| {
        let mut command = bed.plugin_command(args);
        command.env("DOCKER_CONFIG", bed.folder());
        bed.ran(command.output().expect("the plugin starts"))
    };
    run(&["clone", "deploy/web"]).exits(0);
    assert_ne!(image(&bed, "deploy/web"), CORP);
    run(&["restore", "deploy/web"]).exits(0);
    assert_eq!(image(&bed, "deploy/web"), CORP);
}

#[test]
fn a_workload_that_joins_an_image_under_way_is_asked_for_itself() {
    let Some(bed) = Bed::share("joins", false) else {
        return;
    };
    bed.corp_secret("right", &var("CORP_PASS"));
    bed.apply(&deployment("holder", &[("app", CORP)], &[]));
    pulls_with(&bed, "deploy/holder", "right");
    bed.apply(&deployment("victim", &[("app", "busybox:1.36")], &[]));
    let corp = var("CORP");
    let args = ["clone", "deploy/holder", "deploy/victim"];
    let ran = bed
        .plugin_held(&args, &[("registry.corp:5443", &corp)], |_| {
            bed.kubectl(&["set", "image", "deploy/victim", &format!("app={CORP}")]);
        })
        .exits(1);
    assert!(
        ran.stdout.contains("deployment.apps/holder repointed"),
        "{}",
        ran.stdout
    );
    assert_eq!(image(&bed, "deploy/victim"), CORP);
}

#[test]
fn an_interrupt_leaves_the_workload_as_it_was() {
    let Some(bed) = Bed::share("halt", false) else {
        return;
    };
    bed.apply(&deployment("web", &[("web", "nginx:1.21.4-alpine")], &[]));
    let before = bed.get("deploy/web")["spec"].clone();
    for signal in ["-INT", "-TERM"] {
        let ran = bed
            .plugin_held(&["clone", "deploy/web"], &[], |plugin| {
                let pid = plugin.id().to_string();
                let sent = Command::new("kill").args([signal, &pid]).status();
                assert!(sent.expect("kill").success());
                plugin.wait().expect("the plugin ends");
            })
            .exits(130);
        // while images are looked at, or while they are copied
        let said = ["nothing was changed", "interrupted"];
        assert!(
            said.iter().any(|said| ran.stderr.contains(said)),
            "{}",
            ran.stderr
        );
        assert_eq!(bed.get("deploy/web")["spec"], before);
    }
}

#[test]
fn the_endpoint_of_the_environment_serves_its_own_registry_alone() {
    let Some(bed) = Bed::share("endpoint", false) else {
        return;
    };
    let mut command =
        bed.plugin_command(&["copy", "busybox:1.36", "--to", "localhost:1/elsewhere"]);
    command.env(
        "IMAGE_CLONER_REGISTRY_ENDPOINT",
        format!("http://{}", var("OPEN_TARGET")),
    );
    bed.ran(command.output().expect("the plugin starts"))
        .exits(1)
        .says("localhost:1");
    let mut command = bed.plugin_command(&["copy", "busybox:1.36"]);
    command
        .env(
            "IMAGE_CLONER_REGISTRY",
            format!("registry.example/{}", bed.namespace),
        )
        .env(
            "IMAGE_CLONER_REGISTRY_ENDPOINT",
            format!("http://{}", var("OPEN_TARGET")),
        );
    bed.ran(command.output().expect("the plugin starts"))
        .exits(0);
    assert!(
        !bed.writes("OPEN_TARGET").is_empty(),
        "the push went to the endpoint"
    );
}
