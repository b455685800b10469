//! Target registries that are pushed to at another address than workloads name.

use crate::bed::{Bed, Ran, idle, var};
use base64::Engine as _;
use serde_json::json;
use std::process::Command;

/// A name that nobody answers to: only the push address leads there.
const NAME: &str = "registry.example";

/// The address of the bed's target registry, by a name that is neither loopback nor the registry's own.
fn address() -> String {
    let target = var("TARGET");
    let (_, port) = target.rsplit_once(':').expect("a port");
    format!("http://0.0.0.0:{port}")
}

fn target(bed: &Bed) -> String {
    format!("{NAME}/{}", bed.namespace)
}

/// The plugin, with the target of that name and its push address in the environment.
fn command(bed: &Bed, args: &[&str]) -> Command {
    let mut command = bed.plugin_command(args);
    command
        .env("IMAGE_CLONER_REGISTRY", target(bed))
        .env("IMAGE_CLONER_REGISTRY_ENDPOINT", address());
    command
}

fn run(bed: &Bed, args: &[&str]) -> Ran {
    bed.ran(command(bed, args).output().expect("the plugin starts"))
}

#[test]
fn what_was_pushed_there_is_looked_at_with_the_same_credentials() {
    let Some(bed) = Bed::share("push-address", false) else {
        return;
    };
    bed.apply(&idle("web", "busybox:1.36"));
    run(&bed, &["clone", "deploy/web"]).exits(0);

    let status = run(&bed, &["status", "--exit-code"]).exits(0);
    assert!(status.stderr.contains("1 image: 1 cloned"), "{status:?}");
    run(&bed, &["verify"]).exits(0).says("1 copy: 1 complete");
    let args = ["doctor", "-n", &bed.namespace, "-o", "json"];
    let doctor = run(&bed, &args);
    let checks: serde_json::Value = serde_json::from_str(&doctor.stdout).expect("JSON");
    let checks = checks["checks"].as_array().expect("checks");
    let pull = checks.iter().find(|check| check["name"] == "pull");
    assert_eq!(pull.expect("a check")["verdict"], "ok", "{checks:#?}");
}

#[test]
fn a_target_that_is_left_is_read_as_it_was_written() {
    let Some(bed) = Bed::share("leaves", false) else {
        return;
    };
    bed.apply(&idle("web", "busybox:1.36"));
    run(&bed, &["clone", "deploy/web"]).exits(0);

    // its user and password are docker's now, the environment's those of the new one
    let folder = bed.folder().join(".docker");
    std::fs::create_dir(&folder).expect("a folder");
    let user = format!("{}:{}", var("TARGET_USER"), var("TARGET_PASS"));
    let login = base64::engine::general_purpose::STANDARD.encode(user);
    let logins = json!({"auths": {NAME: {"auth": login}}});
    std::fs::write(folder.join("config.json"), logins.to_string()).expect("a file");
    let config = bed.folder().join("config.yaml");
    let text = format!("registries: {{{NAME}: {{endpoint: '{}'}}}}\n", address());
    std::fs::write(&config, text).expect("a file");
    let (old, new) = (target(&bed), bed.open_target());
    let args = ["clone", "deploy/web", "--from", &old, "--to", &new];
    bed.plugin_with(&config, &args).exits(0);

    let moved = &bed.get("deploy/web")["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!(*moved, format!("{new}/busybox:1.36"));
}
