//! `--platform` with the real program, real registries and a real node.

use crate::bed::{Bed, deployment, var};
use serde_json::{Value, json};
use std::process::Command;

/// The manifest that the target has under this tag.
fn index(bed: &Bed, repository: &str, tag: &str) -> Value {
    let url = format!(
        "http://{}/v2/{}/{repository}/manifests/{tag}",
        var("TARGET"),
        bed.namespace
    );
    let answer = Command::new("curl")
        .args(["-sf", "-u"])
        .arg(format!("{}:{}", var("TARGET_USER"), var("TARGET_PASS")))
        .args(["-H", "Accept: application/vnd.oci.image.index.v1+json"])
        .args([
            "-H",
            "Accept: application/vnd.docker.distribution.manifest.list.v2+json",
        ])
        .arg(&url)
        .output()
        .expect("curl is installed by the bed");
    serde_json::from_slice(&answer.stdout).expect("a manifest")
}

/// `os/arch` of each entry.
fn platforms(index: &Value) -> Vec<String> {
    let entries = index["manifests"].as_array().expect("entries");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    entries
        .iter()
        .map(|entry| &entry["platform"])
        .map(|named| format!("{}/{}", text(&named["os"]), text(&named["architecture"])))
        .collect()
}

#[test]
fn a_copy_for_one_platform_has_only_that_one_with_its_attestation() {
    let Some(bed) = Bed::share("platform", false) else {
        return;
    };
    let repository = format!("{}/nginx", bed.namespace);
    let copy = ["copy", "nginx:1.21.4-alpine", "--platform", "linux/amd64"];

    let ran = bed.plugin(&copy).exits(0);

    let narrowed = index(&bed, "nginx", "1.21.4-alpine");
    assert_eq!(platforms(&narrowed), ["linux/amd64", "unknown/unknown"]);
    let digest = bed.digest("TARGET", &repository, "1.21.4-alpine");
    let digest = digest.expect("in the target");
    assert!(ran.stdout.trim_end().ends_with(&digest), "{}", ran.stdout);
    assert_ne!(
        Some(&digest),
        bed.digest("DOCKER_IO", "library/nginx", "1.21.4-alpine")
            .as_ref()
    );

    let writes = bed.writes("TARGET");
    let again = bed.plugin(&copy).exits(0);
    assert_eq!(again.stdout, ran.stdout);
    assert_eq!(bed.writes("TARGET"), writes);
    // docker's own lists are narrowed alike
    bed.plugin(&["copy", "busybox:1.36", "--platform", "linux/arm64"])
        .exits(0);
    assert_eq!(platforms(&index(&bed, "busybox", "1.36")), ["linux/arm64"]);
}

#[test]
fn a_deployment_runs_from_a_copy_for_the_nodes_platforms_alone() {
    let Some(bed) = Bed::share("nodes", true) else {
        return;
    };
    for name in ["one", "two"] {
        bed.apply(&deployment(name, &[("web", "nginx:1.21.5-alpine")], &[]));
    }
    bed.rolled_out("deploy/one");
    bed.rolled_out("deploy/two");
    let clone = |name: &str| {
        let args = ["clone", name, "--platform", "cluster", "--wait"];
        bed.plugin(&args).exits(0)
    };

    let ran = clone("deploy/one");

    assert_eq!(ran.stdout, "deployment.apps/one repointed, 1/1 ready\n");
    let node = bed.get("nodes")["items"][0]["status"]["nodeInfo"].clone();
    let own = format!("linux/{}", node["architecture"].as_str().expect("its own"));
    let narrowed = index(&bed, "nginx", "1.21.5-alpine");
    assert_eq!(platforms(&narrowed), [own.as_str(), "unknown/unknown"]);
    let copy = format!("{}/nginx:1.21.5-alpine", bed.target());
    // by which of its digests the runtime calls an image that has two names is its own affair
    bed.until("a pod that runs the copy", || {
        let pods = bed.get("pods");
        pods["items"].as_array().expect("pods").iter().any(|pod| {
            let status = &pod["status"]["containerStatuses"][0];
            pod["spec"]["containers"][0]["image"] == json!(copy) && status["ready"] == json!(true)
        })
    });
    let writes = bed.writes("TARGET");
    assert_eq!(
        clone("deploy/one").stdout,
        "deployment.apps/one unchanged\n"
    );
    // what its pods run is the whole index, and no other image
    let two = clone("deploy/two");
    assert_eq!(two.stdout, "deployment.apps/two repointed, 1/1 ready\n");
    for note in ["upstream", "gone from"] {
        assert!(!two.stderr.contains(note), "{}", two.stderr);
    }
    assert_eq!(bed.writes("TARGET"), writes);
}

#[test]
fn the_plan_names_the_platforms_and_what_is_copied_whole_all_the_same() {
    let Some(bed) = Bed::share("pinned", false) else {
        return;
    };
    let digest = bed.digest("DOCKER_IO", "library/nginx", "1.21.4-alpine");
    let pinned = format!("nginx@{}", digest.expect("in the source"));
    bed.apply(&deployment("web", &[("web", &pinned)], &[]));

    bed.plugin(&[
        "clone",
        "deploy/web",
        "--dry-run",
        "--platform",
        "linux/arm64,linux/amd64",
    ])
    .exits(0)
    .says("platforms        linux/amd64, linux/arm64")
    .says("is pinned to its digest: all of its");
}

#[test]
fn platforms_that_cannot_be_told_are_an_error_with_a_way_out() {
    let Some(bed) = Bed::share("untold", false) else {
        return;
    };
    bed.apply(&deployment("web", &[("web", "nginx:1.21.4-alpine")], &[]));
    let clone = [
        "clone",
        "deploy/web",
        "--platform",
        "cluster",
        "--as",
        "nobody",
    ];
    bed.plugin(&clone)
        .exits(1)
        .says("finding out the platforms of the cluster: listing nodes")
        .says("hint: name them instead: --platform linux/amd64");
    bed.plugin(&["copy", "nginx:1.21.4-alpine", "--platform", "cluster"])
        .exits(2)
        .says("this asks no cluster for its platforms");
    let copy = ["copy", "nginx:1.21.4-alpine"];
    let mut by_environment = bed.plugin_command(&copy);
    by_environment.env("IMAGE_CLONER_PLATFORM", "linux");
    let output = by_environment.output().expect("the plugin starts");
    bed.ran(output)
        .exits(2)
        .says("\"linux\" is not os/arch[/variant]");
    bed.plugin(&["copy", "nginx:1.21.4-alpine", "--platform", "linux/s390x"])
        .exits(1)
        .says("it is not for linux/s390x, but for linux/amd64, linux/arm64/v8");
    assert!(bed.writes("TARGET").is_empty());
}
