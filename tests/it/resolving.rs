//! Which digest a tag means: what runs, what it is upstream now, or what a workload is pinned to.

use crate::bed::{Bed, deployment, idle, var};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

const OLD: &str = "nginx:1.21.4-alpine";
const NEW: &str = "nginx:1.21.5-alpine";

fn image(bed: &Bed, name: &str) -> Value {
    bed.get(name)["spec"]["template"]["spec"]["containers"][0]["image"].clone()
}

/// The digest of one of Docker Hub's images.
fn of(bed: &Bed, image: &str) -> String {
    let (repository, tag) = image.split_once(':').expect("a tag");
    let digest = bed.digest("DOCKER_IO", &format!("library/{repository}"), tag);
    digest.expect("it is there")
}

#[test]
fn a_tag_that_moved_is_named_and_copied_as_it_runs_unless_what_it_is_now_is_asked_for() {
    let Some(bed) = Bed::share("resolve", true) else {
        return;
    };
    let (old, new) = (of(&bed, OLD), of(&bed, NEW));
    // a source of its own, so that its tag can move
    let source = format!("{}/{}/src:1", var("OPEN_TARGET"), bed.namespace);
    bed.plugin(&["copy", OLD, "--as", &source]).exits(0);
    bed.apply(&deployment("web", &[("web", &source)], &[]));
    bed.rolled_out("deploy/web");
    bed.plugin(&["copy", NEW, "--as", &source]).exits(0);

    let copied = || {
        let target = &bed.target()[var("TARGET").len() + 1..];
        let path = var("OPEN_TARGET").replace(':', "__");
        bed.digest(
            "TARGET",
            &format!("{target}/{path}/{}/src", bed.namespace),
            "1",
        )
    };
    let clone = ["clone", "deploy/web"];
    let (short_old, short_new) = (&old[7..15], &new[7..15]);
    let moved = format!("is {short_new} upstream; what runs is copied: {short_old}");
    let plan = bed.plugin(&[&clone[..], &["--dry-run"]].concat()).exits(0);
    let words: Vec<&str> = plan.stderr.split_whitespace().collect();
    assert!(words.join(" ").contains(&moved), "{}", plan.stderr);
    assert_eq!(copied(), None);

    let as_upstream = ["--resolve", "tag", "--copy-only"];
    let plan = bed.plugin(&[&clone[..], &as_upstream, &["--dry-run"]].concat());
    assert!(!plan.exits(0).stderr.contains("what runs is copied"));

    bed.plugin(&[&clone[..], &["--copy-only"]].concat())
        .exits(0)
        .says(&moved);
    assert_eq!(copied(), Some(old.clone()));
    // what was there is kept under a second name
    bed.plugin(&[&clone[..], &as_upstream].concat())
        .exits(0)
        .says(&format!("kept as 1-replaced-{}", &old[7..19]));
    assert_eq!(copied(), Some(new));
}

#[test]
fn what_was_cloned_is_pinned_to_what_runs_by_one_change_and_restored_to_what_it_was() {
    let Some(bed) = Bed::share("pins", true) else {
        return;
    };
    let (old, new) = (of(&bed, OLD), of(&bed, NEW));
    bed.apply(&deployment("web", &[("web", OLD)], &[]));
    bed.apply(&idle("idle", "busybox:1.36"));
    bed.plugin(&["clone", "deploy/web", "deploy/idle", "--wait"])
        .exits(0);
    bed.rolled_out("deploy/web");
    let copy = format!("{}/{OLD}", bed.target());
    // somebody moves the tag in the target under the workload
    bed.plugin(&["copy", NEW, "--as", &copy]).exits(0);
    let generation = || bed.get("deploy/web")["metadata"]["generation"].as_i64();
    let before = generation();

    let namespace = format!("ns/{}", bed.namespace);
    let dry = ["clone", &namespace, "--pin", "--dry-run"];
    let dry = bed.plugin(&dry).exits(0);
    assert_eq!(dry.stdout.matches("repointed").count(), 2, "{}", dry.stdout);
    bed.plugin(&["clone", &namespace, "--pin", "--yes"])
        .exits(0);
    let pinned = format!("{copy}@{old}");
    assert_eq!(image(&bed, "deploy/web"), pinned);
    let busybox = format!("{}/busybox:1.36@{}", bed.target(), of(&bed, "busybox:1.36"));
    assert_eq!(image(&bed, "deploy/idle"), busybox);
    assert_eq!(generation(), before.map(|generation| generation + 1));
    let repository = format!("{}/nginx", bed.namespace);
    let tag = OLD.split_once(':').expect("a tag").1;
    assert_eq!(bed.digest("TARGET", &repository, tag), Some(new));
    let record =
        bed.get("deploy/web")["metadata"]["annotations"]["image-cloner.io/originals"].clone();
    let record: Value = serde_json::from_str(record.as_str().expect("a record")).expect("JSON");
    let slot = &record["slots"]["containers/web"];
    assert_eq!(
        (&slot["original"], &slot["target"]),
        (&OLD.into(), &pinned.into())
    );

    let again = bed
        .plugin(&["clone", &namespace, "--pin", "--yes"])
        .exits(0);
    assert_eq!(
        again.stdout.matches(" unchanged").count(),
        2,
        "{}",
        again.stdout
    );
    bed.plugin(&["restore", "deploy/web", "deploy/idle"])
        .exits(0);
    assert_eq!(image(&bed, "deploy/web"), OLD);
    assert_eq!(image(&bed, "deploy/idle"), "busybox:1.36");
}

/// A registry that has had enough of us for an hour.
fn limited() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let head = BufReader::new(client.try_clone().expect("a socket")).lines();
            let _ = head.map_while(Result::ok).find(String::is_empty);
            let _ = client.write_all(
                b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\
                  Connection: close\r\n\r\n",
            );
        }
    });
    address
}

#[test]
fn a_source_that_has_had_enough_stops_nobody_whose_copy_is_complete() {
    let Some(bed) = Bed::share("limited", false) else {
        return;
    };
    for name in ["one", "two", "three"] {
        bed.apply(&deployment(name, &[("web", "busybox:1.36")], &[]));
    }
    bed.plugin(&["clone", "deploy/one"]).exits(0);
    let config = bed.config(&[("docker.io", &limited())]);
    bed.plugin_with(&config, &["clone", "deploy/two"])
        .exits(0)
        .says("busybox:1.36 cannot be read now, its copy in the target is used: ")
        .says("429");
    assert_eq!(
        image(&bed, "deploy/two"),
        format!("{}/busybox:1.36", bed.target())
    );

    // half a copy is none: its layer is gone
    let repository = format!("{}/busybox", bed.namespace);
    let index = bed.manifest("TARGET", &repository, "1.36");
    let manifest = match index["manifests"][0]["digest"].as_str() {
        Some(child) => bed.manifest("TARGET", &repository, child),
        None => index,
    };
    let layer = manifest["layers"][0]["digest"].as_str().expect("a layer");
    bed.delete("TARGET", &format!("{repository}/blobs/{layer}"));
    let ran = bed
        .plugin_with(&config, &["clone", "deploy/three"])
        .exits(1);
    assert_eq!(
        image(&bed, "deploy/three"),
        "busybox:1.36",
        "{}",
        ran.stderr
    );
}
