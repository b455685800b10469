//! `verify`: what is gone from the target is found, and brought again.

use crate::bed::{Bed, deployment, idle};
use crate::wire::server::Registry;
use crate::wire::{bytes, simple};
use serde_json::Value;
use std::process::Command;

const BUSYBOX: &str = "busybox:1.36";

/// The digest of a layer of a copy.
fn layer(bed: &Bed) -> String {
    let repository = format!("{}/busybox", bed.namespace);
    let index = bed.manifest("TARGET", &repository, "1.36");
    let manifest = match index["manifests"][0]["digest"].as_str() {
        Some(child) => bed.manifest("TARGET", &repository, child),
        None => index,
    };
    let digest = &manifest["layers"][0]["digest"];
    digest.as_str().expect("a layer").to_owned()
}

#[test]
fn a_lost_layer_is_found_and_brought_again() {
    let Some(bed) = Bed::share("verify", false) else {
        return;
    };
    bed.apply(&deployment("web", &[("web", BUSYBOX)], &[]));
    bed.plugin(&["verify"]).exits(0).says("no copies in use");
    bed.plugin(&["clone", "deploy/web"]).exits(0);
    let sound = bed.plugin(&["verify"]).exits(0).says("1 copy: 1 complete");
    insta::assert_snapshot!(sound.stdout, @"busybox:1.36  complete, 5 blobs, 3.9 MB");
    let deep = bed.plugin(&["verify", "--deep"]).exits(0);
    assert_eq!(deep.stdout, sound.stdout);

    let layer = layer(&bed);
    bed.delete(
        "TARGET",
        &format!("{}/busybox/blobs/{layer}", bed.namespace),
    );
    let hint = format!("kubectl image-cloner verify ns/{} --repair", bed.namespace);
    let broken = bed.plugin(&["verify"]).exits(1).says(&hint);
    assert_eq!(broken.stdout, "busybox:1.36  incomplete: 1 blob missing\n");
    let ran = bed.plugin(&["verify", "-o", "json"]).exits(1);
    let document: Value = serde_json::from_str(&ran.stdout).expect("a document");
    assert_eq!(document["copies"][0]["missingBlobs"][0], layer.as_str());
    assert_eq!(document["summary"]["incomplete"], 1);

    let before = bed.get("deploy/web")["metadata"]["generation"].clone();
    let repaired = bed.plugin(&["verify", "--repair"]).exits(0);
    assert_eq!(repaired.stdout, sound.stdout);
    bed.plugin(&["verify", "--deep"]).exits(0);
    assert_eq!(bed.get("deploy/web")["metadata"]["generation"], before);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_others_are_found_by_reading_them() {
    let Some(bed) = Bed::share("deep", false) else {
        return;
    };
    let (source, target) = (Registry::start().await, Registry::start().await);
    simple(&source);
    bed.apply(&idle("web", "a/b:1"));
    let config = bed.config(&[("docker.io", &source.host)]);
    let run = |args: &[&str]| {
        let mut command = bed.plugin_command(args);
        command
            .env("IMAGE_CLONER_CONFIG", &config)
            .env("IMAGE_CLONER_REGISTRY", &target.host);
        bed.ran(command.output().expect("the plugin starts"))
    };
    run(&["clone", "deploy/web"]).exits(0);
    let sound = run(&["verify", "--deep"]).exits(0);
    assert_eq!(sound.stdout, "a/b:1  complete, 2 blobs, 201 kB\n");

    // as long as it was, under the same digest
    let layer = crate::wire::server::digest(&bytes(2, 200_000));
    target.put_blob_as("a/b", &layer, &bytes(9, 200_000));
    run(&["verify"]).exits(0);
    let broken = run(&["verify", "--deep"]).exits(1).says("1 incomplete");
    assert_eq!(broken.stdout, "a/b:1  incomplete: 1 blob corrupt\n");
}

#[test]
fn a_copy_that_is_gone_altogether_is_told_of_and_comes_back() {
    let Some(bed) = Bed::share("gone", false) else {
        return;
    };
    bed.apply(&deployment("web", &[("web", BUSYBOX)], &[]));
    bed.plugin(&["clone", "deploy/web"]).exits(0);
    let repository = format!("{}/busybox", bed.namespace);
    let digest = bed.digest("TARGET", &repository, "1.36").expect("a copy");
    bed.delete("TARGET", &format!("{repository}/manifests/{digest}"));
    let gone = bed.plugin(&["verify"]).exits(1).says("1 copy: 1 missing");
    assert_eq!(gone.stdout, "busybox:1.36  missing: not in the target\n");
    bed.plugin(&["verify", "--repair"]).exits(0);
    assert_eq!(bed.digest("TARGET", &repository, "1.36"), Some(digest));
}

#[test]
fn a_copy_for_some_platforms_keeps_its_digest_when_it_is_repaired() {
    let Some(bed) = Bed::share("narrow", false) else {
        return;
    };
    bed.apply(&deployment("web", &[("web", BUSYBOX)], &[]));
    bed.plugin(&["clone", "deploy/web", "--platform", "linux/amd64"])
        .exits(0);
    let repository = format!("{}/busybox", bed.namespace);
    let before = bed.digest("TARGET", &repository, "1.36");
    let blob = format!("{}/busybox/blobs/{}", bed.namespace, layer(&bed));
    bed.delete("TARGET", &blob);

    bed.plugin(&["verify", "--repair"]).exits(0);

    assert_eq!(bed.digest("TARGET", &repository, "1.36"), before);
    bed.plugin(&["verify", "--deep"]).exits(0);
}

#[test]
fn an_interrupted_repair_does_not_say_that_nothing_was_changed() {
    let Some(bed) = Bed::share("half", false) else {
        return;
    };
    bed.apply(&deployment("web", &[("web", BUSYBOX)], &[]));
    bed.plugin(&["clone", "deploy/web"]).exits(0);
    let blob = format!("{}/busybox/blobs/{}", bed.namespace, layer(&bed));
    bed.delete("TARGET", &blob);

    let ran = bed
        .plugin_held(&["verify", "--repair"], &[], |plugin| {
            let pid = plugin.id().to_string();
            let sent = Command::new("kill").args(["-INT", &pid]).status();
            assert!(sent.expect("kill").success());
            plugin.wait().expect("the plugin ends");
        })
        .exits(130);

    assert!(ran.stderr.contains("interrupted"), "{}", ran.stderr);
    assert!(
        !ran.stderr.contains("nothing was changed"),
        "{}",
        ran.stderr
    );
}
