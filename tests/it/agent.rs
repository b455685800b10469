//! The agent's loop against the bed: what it does by itself, and what it leaves.

mod left;
mod pull_secrets;

use crate::bed::{ApiProxy, Bed, Tally, deployment, idle, image, var};
use serde_json::Value;
use std::time::Instant;

/// A registry that this machine reaches and no node does.
const NOWHERE: &str = "nowhere.corp";

fn annotation<'a>(object: &'a Value, name: &str) -> &'a Value {
    &object["metadata"]["annotations"][format!("image-cloner.io/{name}")]
}

/// The events of image-cloner on an object: `Repointed`.
fn told(bed: &Bed, name: &str) -> Vec<String> {
    let events = bed.get("events");
    let events = events["items"].as_array().expect("a list").iter();
    let ours = events.filter(|event| {
        event["source"]["component"] == "image-cloner" && event["involvedObject"]["name"] == name
    });
    ours.map(|event| event["reason"].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// The copy of busybox, as this test's target names it.
fn copy(bed: &Bed) -> String {
    format!("{}/busybox:1.36", bed.target())
}

fn busybox(name: &str) -> String {
    deployment(name, &[("web", "busybox:1.36")], &[])
}

#[test]
fn a_deployment_ends_up_running_from_its_copy_and_is_not_written_again() {
    let Some(bed) = Bed::share("loop", true) else {
        return;
    };
    let agent = bed.agent(&[]);
    bed.apply(&busybox("web"));
    agent.until("deploy/web", |web| image(web) == copy(&bed));
    bed.rolled_out("deploy/web");
    agent.says(&["image already cloned", &copy(&bed)]);
    for line in [
        "inspecting deployment",
        "checking deployment container",
        "cloning deployment image",
        "updating deployment image",
        "deployment image reference updated",
    ] {
        assert_eq!(agent.count(&[line]).min(1), 1, "{line}\n{}", agent.log());
    }
    agent.says(&["From=\"busybox:1.36\"", &format!("To=\"{}\"", copy(&bed))]);
    let mut seen = Vec::new();
    bed.until("its events", || {
        seen = told(&bed, "web");
        seen.sort();
        seen.len() >= 2
    });
    assert_eq!(seen, ["ImageCloned", "Repointed"]);
    drop(agent);
    let before = bed.get("deploy/web")["metadata"]["generation"].clone();
    let writes = bed.writes("TARGET").len();
    let again = bed.agent(&[]);
    again.says(&["image already cloned", &copy(&bed)]);
    assert_eq!(bed.get("deploy/web")["metadata"]["generation"], before);
    assert_eq!(bed.writes("TARGET").len(), writes);
}

#[test]
fn at_rest_it_asks_for_nothing_but_its_lease() {
    let Some(bed) = Bed::share("at-rest", true) else {
        return;
    };
    let proxy = ApiProxy::start();
    let way = Tally::before(proxy.address());
    let kubeconfig = bed.kubeconfig_at(&format!("http://{}", way.address()));
    bed.apply(&idle("web", "busybox:1.36"));
    let agent = bed.candidate_as(&kubeconfig, "one", &[]);
    agent.until("deploy/web", |web| image(web) == copy(&bed));
    agent.says(&["image already cloned", &copy(&bed)]);
    // as often as it renews that in twenty seconds
    let lease = format!(
        "PUT /apis/coordination.k8s.io/v1/namespaces/{}/leases/image-cloner?",
        bed.namespace
    );
    let is_lease = |request: &String| request.contains(&lease);
    bed.until("ten renewals in a row", || {
        let asked = way.asked();
        asked.len() > 10 && asked.iter().rev().take(10).all(is_lease)
    });
}

#[test]
fn it_copies_at_once_and_repoints_what_is_settled() {
    let Some(bed) = Bed::share("settled", true) else {
        return;
    };
    let paused = busybox("paused").replace("  replicas: 1\n", "  replicas: 1\n  paused: true\n");
    bed.apply(&paused);
    bed.apply(&idle("none", "busybox:1.36"));
    bed.apply(
        &busybox("bad").replace("containers:", "nodeSelector: {no: such}\n      containers:"),
    );
    let agent = bed.agent(&[]);
    agent.until("deploy/none", |none| image(none) == copy(&bed));
    agent.says(&["deployment image cloned"]);
    assert_eq!(image(&bed.get("deploy/paused")), "busybox:1.36");
    assert_eq!(image(&bed.get("deploy/bad")), "busybox:1.36");
    bed.kubectl(&["rollout", "resume", "deploy/paused"]);
    agent.until("deploy/paused", |paused| image(paused) == copy(&bed));
    assert_eq!(image(&bed.get("deploy/bad")), "busybox:1.36");
    assert_eq!(
        agent.count(&["cloning deployment image"]),
        1,
        "{}",
        agent.log()
    );
}

#[test]
fn a_workload_whose_source_nobody_gets_at_is_repointed_to_its_copy() {
    let Some(bed) = Bed::share("limited", true) else {
        return;
    };
    // the nodes know no such registry; whoever copies does
    let name = "limited.corp/busybox:1.36";
    bed.apply(&deployment("web", &[("web", name)], &[]));
    let config = bed.config(&[("limited.corp", &format!("{}/library", var("DOCKER_IO")))]);
    let agent = bed.agent(&[("CONFIG", config.to_str().expect("UTF-8"))]);
    agent.until("deploy/web", |web| image(web).starts_with(&bed.target()));
    bed.rolled_out("deploy/web");
}

#[test]
fn a_mode_that_only_looks_or_copies_leaves_workloads_alone_until_it_is_changed() {
    let Some(bed) = Bed::share("mode", true) else {
        return;
    };
    bed.apply(&busybox("web"));
    bed.rolled_out("deploy/web");
    let agent = bed.agent(&[("MODE", "observe")]);
    agent.says(&["would clone", "busybox:1.36"]);
    assert_eq!(bed.writes("TARGET"), [""; 0]);
    agent.set("MODE", "copy");
    agent.says(&["deployment image cloned"]);
    assert_eq!(image(&bed.get("deploy/web")), "busybox:1.36");
    agent.set("MODE", "clown");
    agent.says(&["the old ones hold", "clown"]);
    agent.set("MODE", "clone");
    agent.until("deploy/web", |web| image(web) == copy(&bed));
}

#[test]
fn what_cannot_be_pulled_is_put_back_and_no_other_is_touched_until_settings_change() {
    let Some(bed) = Bed::share("refused", true) else {
        return;
    };
    for name in ["a", "b", "c"] {
        bed.apply(&busybox(name));
    }
    for name in ["a", "b", "c"] {
        bed.rolled_out(&format!("deploy/{name}"));
    }
    let config = bed.config(&[
        ("docker.io", &var("DOCKER_IO")),
        (NOWHERE, &var("OPEN_TARGET")),
    ]);
    let agent = bed.agent(&[
        ("CONFIG", config.to_str().expect("UTF-8")),
        ("REGISTRY", &format!("{NOWHERE}/{}", bed.namespace)),
    ]);
    agent.says(&["it could not pull its copy", NOWHERE]);
    let names = || ["a", "b", "c"].into_iter();
    let is_put_back = |name: &&str| told(&bed, name).iter().any(|reason| reason == "PutBack");
    bed.until("the event of putting one back", || {
        names().any(|it| is_put_back(&it))
    });
    let put_back: Vec<&str> = names().filter(is_put_back).collect();
    assert_eq!(put_back.len(), 1, "{}", agent.log());
    for name in ["a", "b", "c"] {
        let object = bed.get(&format!("deploy/{name}"));
        assert_eq!(image(&object), "busybox:1.36");
        let generations = if name == put_back[0] { 3 } else { 1 };
        assert_eq!(object["metadata"]["generation"], generations, "{name}");
        assert!(annotation(&object, "originals").is_null());
    }
    agent.set("REGISTRY", &bed.open_target());
    let copy = format!("{}/busybox:1.36", bed.open_target());
    for name in ["a", "b", "c"] {
        agent.until(&format!("deploy/{name}"), |object| image(object) == copy);
    }
}

#[test]
fn no_more_rollouts_are_unfinished_than_are_allowed() {
    let Some(bed) = Bed::share("few", true) else {
        return;
    };
    let names = ["a", "b", "c", "d", "e"];
    for name in names {
        let slow =
            busybox(name).replace("  replicas: 1\n", "  replicas: 1\n  minReadySeconds: 3\n");
        bed.apply(&slow);
    }
    for name in names {
        bed.rolled_out(&format!("deploy/{name}"));
    }
    let agent = bed.agent(&[("MAX_ROLLOUTS", "2")]);
    let mut most = 0;
    let mut left = 1200;
    loop {
        let objects = bed.get("deploy");
        let objects = objects["items"].as_array().expect("a list");
        let cloned = objects.iter().filter(|it| image(it) == copy(&bed));
        let unfinished = cloned.clone().filter(|object| {
            let (status, generation) = (&object["status"], &object["metadata"]["generation"]);
            status["observedGeneration"] != *generation
                || status["updatedReplicas"] != 1
                || status["availableReplicas"] != 1
                || status["replicas"] != 1
        });
        let (cloned, unfinished) = (cloned.clone().count(), unfinished.count());
        most = most.max(unfinished);
        if cloned == names.len() && unfinished == 0 {
            break;
        }
        left -= 1;
        assert!(left > 0, "{}", agent.log());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let at = bed.times_of_pods();
    let after = |n: usize| at[n] - at[n - 1];
    // until nodes were seen to pull, there is one: it has to be available for so long
    assert!(after(1) >= 2, "{at:?}\n{}", agent.log());
    // of the others there were two, seen so or not
    let is_two = most == 2 || (2..names.len()).any(|n| after(n) < 3);
    assert!(is_two && most <= 2, "{most} {at:?}\n{}", agent.log());
}

#[test]
fn a_copy_that_somebody_deleted_comes_back() {
    let Some(bed) = Bed::share("repair", true) else {
        return;
    };
    bed.apply(&busybox("web"));
    let agent = bed.agent(&[("RESYNC", "5s")]);
    agent.until("deploy/web", |web| image(web) == copy(&bed));
    bed.rolled_out("deploy/web");
    let repository = format!("{}/busybox", bed.namespace);
    let before = bed.digest("TARGET", &repository, "1.36").expect("a copy");
    bed.delete("TARGET", &format!("{repository}/manifests/{before}"));
    agent.says(&["a copy is not whole in the target"]);
    bed.until("the copy", || {
        bed.digest("TARGET", &repository, "1.36").as_ref() == Some(&before)
    });
}

#[test]
fn a_sidecar_that_cannot_be_pulled_is_no_fault_of_the_copy() {
    let Some(bed) = Bed::share("sidecar", true) else {
        return;
    };
    bed.apply(&busybox("web"));
    bed.plugin(&["clone", "deploy/web", "--wait"]).exits(0);
    // no node has it, and nobody can copy it
    let side = r#"[{"op": "add", "path": "/spec/template/spec/containers/-",
                    "value": {"name": "side", "image": "localhost:1/none:1"}}]"#;
    bed.kubectl(&["patch", "deploy/web", "--type=json", "-p", side]);
    bed.a_pull_failed();
    bed.apply(&busybox("other"));
    bed.rolled_out("deploy/other");
    let agent = bed.agent(&[]);
    agent.until("deploy/other", |other| image(other) == copy(&bed));
    bed.rolled_out("deploy/other");
    assert_eq!(image(&bed.get("deploy/web")), copy(&bed));
    assert_eq!(agent.count(&["putting"]), 0, "{}", agent.log());
}

#[test]
fn daemon_sets_and_cron_jobs_are_cloned_where_they_are_asked_for() {
    let Some(bed) = Bed::share("kinds", true) else {
        return;
    };
    let pod = "containers: [{name: web, image: 'busybox:1.36'}]";
    bed.apply(&format!(
        "apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: each}}
spec:
  selector: {{matchLabels: {{app: each}}}}
  template: {{metadata: {{labels: {{app: each}}}}, spec: {{terminationGracePeriodSeconds: 0, {pod}}}}}
---
apiVersion: batch/v1beta1
kind: CronJob
metadata: {{name: nightly}}
spec:
  schedule: '0 3 * * *'
  jobTemplate: {{spec: {{template: {{spec: {{restartPolicy: Never, {pod}}}}}}}}}
"
    ));
    let agent = bed.agent(&[("KINDS", "daemonsets")]);
    agent.until("ds/each", |it| image(it) == copy(&bed));
    let nightly = |object: &Value| {
        let pod = &object["spec"]["jobTemplate"]["spec"]["template"]["spec"];
        pod["containers"][0]["image"].as_str().map(str::to_owned)
    };
    assert_eq!(
        nightly(&bed.get("cronjob/nightly")).as_deref(),
        Some("busybox:1.36")
    );
    agent.set("KINDS", "daemonsets,cronjobs");
    agent.until("cronjob/nightly", |it| nightly(it) == Some(copy(&bed)));
}

#[test]
fn a_tag_that_moved_upstream_is_copied_again_where_that_is_asked_for() {
    let Some(bed) = Bed::share("refresh", true) else {
        return;
    };
    // a source of the test's own, which it can move
    let source = format!("{}/{}-source", var("OPEN_TARGET"), bed.namespace);
    let put = |from: &str| {
        let words = ["copy", from, "--as", &format!("{source}/app:1")];
        bed.plugin(&words).exits(0);
    };
    put("busybox:1.36");
    let config = bed.config(&[
        ("docker.io", &var("DOCKER_IO")),
        (
            "moving.corp",
            &format!("{}/{}-source", var("OPEN_TARGET"), bed.namespace),
        ),
    ]);
    bed.apply(&idle("web", "moving.corp/app:1"));
    let agent = bed.agent(&[
        ("CONFIG", config.to_str().expect("UTF-8")),
        ("REFRESH", "3s"),
    ]);
    agent.until("deploy/web", |web| image(web).starts_with(&bed.target()));
    let there = || bed.digest("TARGET", &format!("{}/moving.corp/app", bed.namespace), "1");
    let before = there();
    assert!(before.is_some());
    put("nginx:1.21.4-alpine");
    bed.until("the new copy", || there() != before && there().is_some());
    drop(agent);
}

#[test]
fn a_missing_image_is_asked_for_after_growing_pauses_while_others_flow() {
    let Some(bed) = Bed::share("pauses", true) else {
        return;
    };
    let way = Tally::before(var("DOCKER_IO"));
    let config = bed.config(&[("docker.io", way.address())]);
    let agent = bed.agent(&[("CONFIG", config.to_str().expect("UTF-8"))]);
    let failures = |tag: &str| agent.count(&["ERROR", &format!("from=\"busybox:{tag}\"")]);
    let fails = |tag: &str, times: usize| {
        let what = format!("failure {times} of {tag}:\n{}", agent.log());
        bed.until(&what, || failures(tag) >= times);
    };
    let asked = |tag: &str| {
        let asked = way.times().into_iter();
        let asked = asked.filter(|(it, _)| it.ends_with(&format!("/{tag}")));
        asked.map(|(_, at)| at).collect::<Vec<_>>()
    };
    bed.apply(&idle("first", "busybox:none-1"));
    fails("none-1", 1);
    let once = asked("none-1").len();
    assert!(once > 0, "{:?}", way.asked());
    bed.until("an event that says why", || {
        let events = bed.get("events");
        let mut events = events["items"].as_array().expect("a list").iter();
        events.any(|event| {
            let why = event["message"].as_str().unwrap_or_default();
            event["reason"] == "CloneFailed" && why.contains("busybox:none-1")
        })
    });
    fails("none-1", 3);
    bed.apply(&idle("second", "busybox:none-2"));
    bed.apply(&idle("good", "busybox:1.36"));
    agent.until("deploy/good", |good| image(good) == copy(&bed));
    fails("none-2", 2);
    // of ten seconds, twenty and so on, and a fifth less at most, whatever else fails
    for tag in ["none-1", "none-2"] {
        let tries: Vec<Instant> = asked(tag).into_iter().step_by(once).collect();
        let pauses = tries.windows(2).map(|two| two[1] - two[0]);
        for (pause, least) in pauses.zip([8, 16, 32, 64]) {
            assert!(
                pause.as_secs() >= least,
                "{tag}: {pause:?}\n{}",
                agent.log()
            );
        }
    }
}

#[test]
fn settings_that_cannot_be_used_yet_hold_as_soon_as_they_can() {
    let Some(bed) = Bed::share("too-soon", true) else {
        return;
    };
    bed.apply(&idle("web", "busybox:1.36"));
    let agent = bed.agent(&[("MODE", "observe")]);
    agent.says(&["would clone", "busybox:1.36"]);
    let folder = bed.folder().join(".docker");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("config.json"), "{").unwrap();
    agent.set("MODE", "clone");
    agent.says(&["the old settings hold", "config.json"]);
    std::fs::write(folder.join("config.json"), "{}").unwrap();
    agent.until("deploy/web", |web| image(web) == copy(&bed));
}
