//! `restore`, and what happens to the record in between.

use crate::bed::{Bed, deployment, var};
use serde_json::Value;

fn template(bed: &Bed, what: &str) -> Value {
    bed.get(what)["spec"]["template"]["spec"].clone()
}

fn image(bed: &Bed, what: &str) -> String {
    template(bed, what)["containers"][0]["image"]
        .as_str()
        .expect("an image")
        .to_owned()
}

#[test]
fn images_and_pull_secrets_come_back_byte_for_byte() {
    let Some(bed) = Bed::share("back", false) else {
        return;
    };
    bed.kubectl(&[
        "patch",
        "sa/default",
        "-p",
        r#"{"imagePullSecrets":[{"name":"theirs"}]}"#,
    ]);
    bed.apply(&deployment(
        "bare",
        &[("web", "docker.io/nginx:1.21.4-alpine")],
        &[],
    ));
    bed.apply(&deployment(
        "own",
        &[("web", "nginx:1.21.4-alpine")],
        &[("init", "busybox:1.36")],
    ));
    let own = r#"{"spec":{"template":{"spec":{"imagePullSecrets":[{"name":"mine"}]}}}}"#;
    bed.kubectl(&["patch", "deploy/own", "-p", own]);
    for name in ["deploy/bare", "deploy/own"] {
        let before = template(&bed, name);
        bed.plugin(&["clone", name]).exits(0);
        assert_ne!(template(&bed, name), before);
        let ran = bed.plugin(&["restore", name]).exits(0);
        assert_eq!(
            ran.stdout,
            format!("deployment.apps/{} restored\n", &name[7..])
        );
        assert_eq!(template(&bed, name), before);
        let object = bed.get(name);
        let managers = bed.kubectl(&[
            "get",
            name,
            "-o",
            "jsonpath={.metadata.managedFields[*].manager}",
        ]);
        assert!(!managers.contains("image-cloner"), "{managers}");
        assert!(object["metadata"]["annotations"]["image-cloner.io/originals"].is_null());
    }
}

#[test]
fn a_slot_changed_by_hand_is_left_and_named() {
    let Some(bed) = Bed::share("hand", false) else {
        return;
    };
    bed.apply(&deployment(
        "two",
        &[("a", "nginx:1.21.4-alpine"), ("b", "busybox:1.36")],
        &[],
    ));
    bed.plugin(&["clone", "deploy/two"]).exits(0);
    bed.kubectl(&["set", "image", "deploy/two", "a=nginx:1.21.5-alpine"]);
    bed.plugin(&["restore", "deploy/two"])
        .exits(0)
        .says("containers/a");
    let spec = template(&bed, "deploy/two");
    assert_eq!(spec["containers"][0]["image"], "nginx:1.21.5-alpine");
    assert_eq!(spec["containers"][1]["image"], "busybox:1.36");
}

#[test]
fn a_newer_image_cloned_later_is_what_restore_gives() {
    let Some(bed) = Bed::share("newer", false) else {
        return;
    };
    bed.apply(&deployment("web", &[("web", "nginx:1.21.4-alpine")], &[]));
    bed.plugin(&["clone", "deploy/web"]).exits(0);
    bed.kubectl(&["set", "image", "deploy/web", "web=nginx:1.21.5-alpine"]);
    bed.plugin(&["clone", "deploy/web"]).exits(0);
    assert_eq!(
        image(&bed, "deploy/web"),
        format!("{}/nginx:1.21.5-alpine", bed.target())
    );
    bed.plugin(&["restore", "deploy/web"]).exits(0);
    assert_eq!(image(&bed, "deploy/web"), "nginx:1.21.5-alpine");
}

#[test]
fn after_rollout_undo_nothing_is_claimed_that_is_not_so() {
    let Some(bed) = Bed::share("undo", true) else {
        return;
    };
    bed.apply(&deployment("web", &[("web", "nginx:1.21.4-alpine")], &[]));
    bed.rolled_out("deploy/web");
    bed.plugin(&["clone", "deploy/web", "--wait"]).exits(0);

    bed.kubectl(&["rollout", "undo", "deploy/web"]);
    assert_eq!(image(&bed, "deploy/web"), "nginx:1.21.4-alpine");
    let ran = bed.plugin(&["restore", "deploy/web"]).exits(0);
    assert_eq!(ran.stdout, "deployment.apps/web unchanged\n");
    assert_eq!(image(&bed, "deploy/web"), "nginx:1.21.4-alpine");

    // undoing the undo brings the copy back, and its record with it
    bed.kubectl(&["rollout", "undo", "deploy/web"]);
    assert_eq!(
        image(&bed, "deploy/web"),
        format!("{}/nginx:1.21.4-alpine", bed.target())
    );
    bed.plugin(&["restore", "deploy/web"]).exits(0);
    assert_eq!(image(&bed, "deploy/web"), "nginx:1.21.4-alpine");
}

#[test]
fn only_the_named_run_is_undone() {
    let Some(bed) = Bed::share("run", false) else {
        return;
    };
    for name in ["one", "two"] {
        bed.apply(&deployment(name, &[("web", "busybox:1.36")], &[]));
        bed.plugin(&["clone", &format!("deploy/{name}")]).exits(0);
    }
    let record = bed.kubectl(&[
        "get",
        "deploy/one",
        "-o",
        r"jsonpath={.metadata.annotations.image-cloner\.io/originals}",
    ]);
    let record: Value = serde_json::from_str(&record).expect("JSON");
    let run = record["run"].as_str().expect("a run").to_owned();
    bed.plugin(&["restore", "--run", &run, "--yes", "--wait=false"])
        .exits(0);
    assert_eq!(image(&bed, "deploy/one"), "busybox:1.36");
    assert_eq!(
        image(&bed, "deploy/two"),
        format!("{}/busybox:1.36", bed.target())
    );
}

#[test]
fn the_last_run_is_undone_and_then_the_one_before() {
    let Some(bed) = Bed::share("last", false) else {
        return;
    };
    for name in ["one", "two", "three"] {
        bed.apply(&deployment(name, &[("web", "busybox:1.36")], &[]));
    }
    bed.plugin(&["clone", "deploy/one", "deploy/three"])
        .exits(0);
    bed.plugin(&["clone", "deploy/two"]).exits(0);
    let ran = bed
        .plugin(&["restore", "--last", "--yes", "--wait=false"])
        .exits(0);
    assert_eq!(ran.stdout, "deployment.apps/two restored\n");
    let ran = bed
        .plugin(&["restore", "--last", "--yes", "--wait=false"])
        .exits(0);
    let mut lines: Vec<_> = ran.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "deployment.apps/one restored",
            "deployment.apps/three restored"
        ]
    );
    // what was restored stays so until somebody names it
    let space = format!("ns/{}", bed.namespace);
    let ran = bed.plugin(&["clone", &space, "--yes"]).exits(0);
    assert_eq!(ran.stdout.matches(" skipped: restored, ").count(), 3);
}

#[test]
fn an_original_that_is_gone_is_refused_unless_forced() {
    let Some(bed) = Bed::share("gone", false) else {
        return;
    };
    bed.apply(&deployment("web", &[("web", "nginx:1.21.4-alpine")], &[]));
    bed.plugin(&["clone", "deploy/web"]).exits(0);
    let copy = image(&bed, "deploy/web");
    // a docker.io that has nothing of it
    let empty = bed.config(&[("docker.io", &var("OPEN_TARGET"))]);
    bed.plugin_with(&empty, &["restore", "deploy/web"])
        .exits(1)
        .says("its original nginx:1.21.4-alpine cannot be had: ")
        .says("hint: --force");
    assert_eq!(image(&bed, "deploy/web"), copy);
    bed.plugin_with(&empty, &["restore", "deploy/web", "--force"])
        .exits(0);
    assert_eq!(image(&bed, "deploy/web"), "nginx:1.21.4-alpine");
}
