//! How rollouts are followed: batches, and what becomes of those that come to nothing.

mod later;

use crate::bed::{Bed, Ran, deployment, image, var};
use serde_json::Value;
use std::process::Stdio;

/// A registry that this machine reaches and no node does.
const NOWHERE: &str = "nowhere.corp";

/// A configuration in which it is the open target.
fn nowhere(bed: &Bed) -> std::path::PathBuf {
    bed.config(&[
        ("docker.io", &var("DOCKER_IO")),
        (NOWHERE, &var("OPEN_TARGET")),
    ])
}

fn namespace(bed: &Bed) -> String {
    format!("ns/{}", bed.namespace)
}

fn record(object: &Value) -> &Value {
    &object["metadata"]["annotations"]["image-cloner.io/originals"]
}

/// A Deployment whose pods count as available after so many seconds.
fn slow(name: &str, seconds: u32) -> String {
    deployment(name, &[("web", "busybox:1.36")], &[]).replace(
        "  replicas: 1\n",
        &format!("  replicas: 1\n  minReadySeconds: {seconds}\n"),
    )
}

/// The output without what is another one each time.
fn settled(bed: &Bed, ran: &Ran) -> String {
    let text = ran.stderr.replace(&bed.namespace, "NS");
    let lines = text.lines().map(|line| {
        let words: Vec<String> = line
            .split(' ')
            .map(|word| match word {
                pod if pod.starts_with("a-") || pod.starts_with("b-") => "POD".to_owned(),
                word => word.to_owned(),
            })
            .collect();
        words.join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Runs the plugin and counts how many Deployments at most were changed and not settled at a time.
fn most_unfinished(bed: &Bed, words: &[&str], is_changed: impl Fn(&Value) -> bool) -> (Ran, usize) {
    let mut plugin = bed
        .plugin_command(words)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the plugin starts");
    let mut most = 0;
    while plugin.try_wait().expect("a child").is_none() {
        let objects = bed.get("deploy");
        let unfinished = objects["items"].as_array().expect("a list").iter();
        let unfinished = unfinished.filter(|object| {
            let (status, generation) = (&object["status"], &object["metadata"]["generation"]);
            is_changed(object)
                && (status["observedGeneration"] != *generation
                    || status["updatedReplicas"] != 1
                    || status["availableReplicas"] != 1
                    || status["replicas"] != 1)
        });
        most = most.max(unfinished.count());
    }
    let ran = bed.ran(plugin.wait_with_output().expect("the plugin ends"));
    (ran, most)
}

#[test]
fn no_more_than_a_batch_is_unfinished_at_a_time() {
    let Some(bed) = Bed::share("batches", true) else {
        return;
    };
    let names = ["a", "b", "c", "d"];
    for name in names {
        bed.apply(&slow(name, 3));
    }
    for name in names {
        bed.rolled_out(&format!("deploy/{name}"));
    }
    // seen so or not: each is unfinished for three seconds at least
    let is_two = |most: usize| {
        let at = bed.times_of_pods();
        most == 2 || at[1] - at[0] < 3
    };
    let (all, target) = (namespace(&bed), bed.open_target());
    let words = ["clone", &all, "--yes", "--batch=2", "--to", &target];
    let (ran, most) = most_unfinished(&bed, &words, |object| record(object).is_string());
    let ran = ran.exits(0).says("4 repointed");
    assert_eq!(ran.stdout.matches(" repointed, 1/1 ready").count(), 4);
    assert!(most <= 2 && is_two(most), "{most} {}", ran.stderr);

    // a broad restore is followed as a clone is
    let words = ["restore", &all, "--yes", "--batch=2"];
    let (ran, most) = most_unfinished(&bed, &words, |object| record(object).is_null());
    let ran = ran.exits(0);
    assert_eq!(ran.stdout.matches(" restored, 1/1 ready").count(), 4);
    assert!(most <= 2 && is_two(most), "{most} {}", ran.stderr);
}

#[test]
fn a_restore_whose_first_batch_cannot_be_pulled_begins_no_other() {
    let Some(bed) = Bed::share("unhad", true) else {
        return;
    };
    // originals that this machine reaches and no node does
    let config = nowhere(&bed);
    let place = format!("{NOWHERE}/{}", bed.namespace);
    let words = ["copy", "busybox:1.36", "--to", &place];
    bed.plugin_with(&config, &words).exits(0);
    let original = format!("{place}/busybox:1.36");
    for name in ["a", "b"] {
        bed.apply(&deployment(name, &[("web", &original)], &[]));
    }
    let (all, target) = (namespace(&bed), bed.open_target());
    let words = ["clone", &all, "--yes", "--to", &target];
    bed.plugin_with(&config, &words).exits(0);

    let words = ["restore", &all, "--yes", "--batch=1"];
    let ran = bed.plugin_with(&config, &words).exits(1);
    let ran = ran
        .says("a in ")
        .says(" failed: changed, but not ready: a-");
    assert_eq!(
        ran.stdout,
        "deployment.apps/b skipped: not begun: deployment.apps/a cannot pull its images\n"
    );
    assert_eq!(image(&bed.get("deploy/a")), original);
    assert!(image(&bed.get("deploy/b")).starts_with(&target));
}

#[test]
fn what_the_first_batch_cannot_pull_is_put_back_and_no_other_is_begun() {
    let Some(bed) = Bed::share("first", true) else {
        return;
    };
    for name in ["a", "b"] {
        bed.apply(&deployment(name, &[("web", "busybox:1.36")], &[]));
    }
    for name in ["a", "b"] {
        bed.rolled_out(&format!("deploy/{name}"));
    }
    let before = bed.get("deploy/a");
    let words = [
        "clone",
        &namespace(&bed),
        "--yes",
        "--batch=1",
        "--to",
        NOWHERE,
    ];
    let ran = bed.plugin_with(&nowhere(&bed), &words).exits(1);
    let (restored, left) = if ran.stdout.contains("deployment.apps/b skipped") {
        ("a", "b")
    } else {
        ("b", "a")
    };
    assert_eq!(
        ran.stdout,
        format!(
            "deployment.apps/{left} skipped: not begun: deployment.apps/{restored} cannot pull its images\n"
        )
    );
    let summary = settled(&bed, &ran);
    for line in [
        "workloads   1 restored, 1 skipped",
        &format!("deployment.apps/{restored} in NS restored: POD on testbed-node: "),
        "  hint: testbed-node does not reach nowhere.corp",
    ] {
        assert!(summary.contains(line), "{line:?} is not in:\n{summary}");
    }
    for name in ["a", "b"] {
        let after = bed.get(&format!("deploy/{name}"));
        assert_eq!(image(&after), "busybox:1.36");
        assert!(record(&after).is_null());
        assert!(after["metadata"]["annotations"]["image-cloner.io/restored"].is_null());
    }
    let after = bed.get("deploy/a");
    assert_eq!(after["spec"], before["spec"]);
    let managers = bed.kubectl(&[
        "get",
        "deploy",
        "-o",
        "jsonpath={.items[*].metadata.managedFields[*].manager}",
    ]);
    assert!(!managers.contains("image-cloner"), "{managers}");

    // once nodes can pull, the same command does it: what was put back is not left out
    let target = bed.open_target();
    let ran = bed
        .plugin(&["clone", &namespace(&bed), "--yes", "--to", &target])
        .exits(0);
    assert_eq!(ran.stdout.matches(" repointed, 1/1 ready").count(), 2);
}

#[test]
fn put_back_can_be_switched_off_for_broad_selections() {
    let Some(bed) = Bed::share("off", true) else {
        return;
    };
    bed.apply(&deployment("a", &[("web", "busybox:1.36")], &[]));
    let words = [
        "clone",
        &namespace(&bed),
        "--yes",
        "--restore-on-failure=false",
        "--timeout=5s",
        "--to",
        NOWHERE,
    ];
    let ran = bed.plugin_with(&nowhere(&bed), &words).exits(1);
    let undo = format!("restore deployment.apps/a -n {}", bed.namespace);
    let ran = ran.says("changed, but not ready: ").says(&undo);
    assert!(ran.stderr.contains("undo    "), "{}", ran.stderr);
    assert!(image(&bed.get("deploy/a")).starts_with(NOWHERE));
}

#[test]
fn a_named_workload_that_never_becomes_ready_is_put_back_where_that_is_asked() {
    let Some(bed) = Bed::share("never", true) else {
        return;
    };
    let manifest = deployment("a", &[("web", "busybox:1.36")], &[]).replace(
        "image: 'busybox:1.36'}",
        "image: 'busybox:1.36', readinessProbe: {exec: {command: ['/no-such-file']}}}",
    );
    bed.apply(&manifest);
    let target = bed.open_target();
    let ran = bed
        .plugin(&[
            "clone",
            "deploy/a",
            "--restore-on-failure",
            "--timeout=20s",
            "--to",
            &target,
        ])
        .exits(1)
        .says("deployment.apps/a in ")
        .says(" restored: a-")
        .says("not ready with its own images either");
    assert_eq!(ran.stdout, "");
    let after = bed.get("deploy/a");
    assert_eq!(image(&after), "busybox:1.36");
    assert!(record(&after).is_null());
}

#[test]
fn a_pull_that_fails_once_puts_nothing_back() {
    let Some(bed) = Bed::share("hiccup", true) else {
        return;
    };
    bed.apply(&deployment("a", &[("web", "busybox:1.36")], &[]));
    bed.target_secret("mine", "wrong");
    let plugin = bed
        .plugin_command(&[
            "clone",
            "deploy/a",
            "--restore-on-failure",
            "--pull-secret=mine",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the plugin starts");
    bed.a_pull_failed();
    bed.target_secret("mine", &var("PULL_PASS"));
    let ran = bed.ran(plugin.wait_with_output().expect("the plugin ends"));
    assert_eq!(
        ran.exits(0).stdout,
        "deployment.apps/a repointed, 1/1 ready\n"
    );
}

/// Two pods, one after the other.
fn stateful_set() -> &'static str {
    "apiVersion: apps/v1
kind: StatefulSet
metadata: {name: a}
spec:
  serviceName: none
  replicas: 2
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: a}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: web, image: 'busybox:1.36'}]
"
}

#[test]
fn a_stateful_set_held_up_by_its_own_pod_recovers() {
    let Some(bed) = Bed::share("stuck", true) else {
        return;
    };
    bed.apply(stateful_set());
    bed.rolled_out("sts/a");
    let words = [
        "clone",
        "sts/a",
        "--restore-on-failure",
        "--timeout=60s",
        "--to",
        NOWHERE,
    ];
    let ran = bed.plugin_with(&nowhere(&bed), &words).exits(1);
    let ran = ran
        .says("statefulset.apps/a in ")
        .says(" restored: a-1 on testbed-node: ");
    // it was followed until it was well again
    assert!(!ran.stderr.contains("either"), "{}", ran.stderr);
    let after = bed.get("sts/a");
    assert_eq!(image(&after), "busybox:1.36");
    assert_eq!(after["status"]["readyReplicas"], 2);
}

#[test]
fn a_stateful_set_held_up_by_its_copy_recovers_with_a_restore() {
    let Some(bed) = Bed::share("held", true) else {
        return;
    };
    bed.apply(stateful_set());
    bed.rolled_out("sts/a");
    let words = ["clone", "sts/a", "--to", NOWHERE];
    bed.plugin_with(&nowhere(&bed), &words).exits(0);
    bed.a_pull_failed();
    let ran = bed
        .plugin(&["restore", "sts/a", "--wait", "--timeout=90s"])
        .exits(0);
    assert_eq!(ran.stdout, "statefulset.apps/a restored, 2/2 ready\n");
}

#[test]
fn an_interrupt_in_the_middle_of_a_batch_leaves_whole_workloads_and_says_which() {
    let Some(bed) = Bed::share("cut", true) else {
        return;
    };
    for name in ["a", "b", "c"] {
        bed.apply(&slow(name, 1));
    }
    for name in ["a", "b", "c"] {
        bed.rolled_out(&format!("deploy/{name}"));
        let never = r#"{"spec":{"minReadySeconds":100}}"#;
        bed.kubectl(&["patch", &format!("deploy/{name}"), "-p", never]);
    }
    let target = bed.open_target();
    let plugin = bed
        .plugin_command(&[
            "clone",
            &namespace(&bed),
            "--yes",
            "--batch",
            "2",
            "--to",
            &target,
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the plugin starts");
    let changed = || {
        let objects = bed.get("deploy");
        let objects = objects["items"].as_array().expect("a list").iter();
        let changed = objects.filter(|object| record(object).is_string());
        changed
            .map(|object| {
                object["metadata"]["name"]
                    .as_str()
                    .expect("a name")
                    .to_owned()
            })
            .collect::<Vec<_>>()
    };
    bed.until("a batch of two", || changed().len() == 2);
    let sent = std::process::Command::new("kill")
        .args(["-INT", &plugin.id().to_string()])
        .status();
    assert!(sent.expect("kill is there").success());
    let ran = bed.ran(plugin.wait_with_output().expect("the plugin ends"));
    let ran = ran
        .exits(130)
        .says("interrupted")
        .says("2 repointed, 1 failed")
        .says("interrupted before it was changed")
        .says("undo    kubectl image-cloner restore --run ");
    let changed = changed();
    assert_eq!(changed.len(), 2);
    for name in ["a", "b", "c"] {
        let object = bed.get(&format!("deploy/{name}"));
        let line = format!("deployment.apps/{name} repointed, not waited for: interrupted");
        let is_changed = changed.iter().any(|one| one == name);
        assert_eq!(ran.stdout.contains(&line), is_changed, "{}", ran.stdout);
        assert_eq!(image(&object) != "busybox:1.36", is_changed);
    }
}
