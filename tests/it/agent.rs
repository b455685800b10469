//! The agent's loop against the bed: what it does by itself, and what it leaves.

use crate::bed::{Bed, Tally, deployment, var};
use serde_json::Value;

/// A registry that this machine reaches and no node does.
const NOWHERE: &str = "nowhere.corp";

fn image(object: &Value) -> &str {
    object["spec"]["template"]["spec"]["containers"][0]["image"]
        .as_str()
        .expect("an image")
}

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

/// Waits until the namespace has the pull secret for the target.
fn has_a_pull_secret(bed: &Bed) {
    bed.until("the pull secret", || {
        let secrets = bed.get("secrets");
        let mut secrets = secrets["items"].as_array().expect("a list").iter();
        secrets.any(|secret| secret["metadata"]["name"] == "image-cloner-pull")
    });
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
    let mut told = told(&bed, "web");
    told.sort();
    assert_eq!(told, ["ImageCloned", "Repointed"]);
    drop(agent);
    let before = bed.get("deploy/web")["metadata"]["generation"].clone();
    let writes = bed.writes("TARGET").len();
    let again = bed.agent(&[]);
    again.says(&["image already cloned", &copy(&bed)]);
    assert_eq!(bed.get("deploy/web")["metadata"]["generation"], before);
    assert_eq!(bed.writes("TARGET").len(), writes);
}

#[test]
fn it_copies_at_once_and_repoints_what_is_settled() {
    let Some(bed) = Bed::share("settled", true) else {
        return;
    };
    let paused = busybox("paused").replace("  replicas: 1\n", "  replicas: 1\n  paused: true\n");
    bed.apply(&paused);
    bed.apply(&busybox("none").replace("  replicas: 1\n", "  replicas: 0\n"));
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
    let put_back = ["a", "b", "c"]
        .into_iter()
        .filter(|name| told(&bed, name).iter().any(|reason| reason == "PutBack"));
    let put_back: Vec<&str> = put_back.collect();
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
    let mut first = None;
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
        // until nodes were seen to pull, there is one
        if first.is_none() && cloned > 0 {
            first = Some(cloned);
        }
        if cloned == names.len() && unfinished == 0 {
            break;
        }
        left -= 1;
        assert!(left > 0, "{}", agent.log());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(first, Some(1), "{}", agent.log());
    assert_eq!(most, 2, "{}", agent.log());
}

#[test]
fn images_that_somebody_puts_back_are_cloned_again_three_times_then_left() {
    let Some(bed) = Bed::share("reclaim", true) else {
        return;
    };
    let manifest = busybox("web").replace("  replicas: 1\n", "  replicas: 0\n");
    bed.apply(&manifest);
    let agent = bed.agent(&[]);
    for _ in 0..4 {
        agent.until("deploy/web", |web| image(web) == copy(&bed));
        bed.apply(&manifest);
    }
    bed.until("an event that says so", || {
        told(&bed, "web").iter().any(|reason| reason == "LeftAlone")
    });
    let left = bed.get("deploy/web");
    assert_eq!(image(&left), "busybox:1.36");
    assert!(
        annotation(&left, "reclaimed")
            .as_str()
            .is_some_and(|text| text.contains("\"count\":3")),
        "{left:#}"
    );
    // another image is another matter
    bed.kubectl(&["set", "image", "deploy/web", "web=nginx:1.21.4-alpine"]);
    let nginx = format!("{}/nginx:1.21.4-alpine", bed.target());
    agent.until("deploy/web", |web| {
        image(web) == nginx && annotation(web, "reclaimed").is_null()
    });
}

#[test]
fn restored_owned_and_delicate_workloads_are_left() {
    let Some(bed) = Bed::share("leave", true) else {
        return;
    };
    let zero = |name: &str| busybox(name).replace("  replicas: 1\n", "  replicas: 0\n");
    bed.apply(&zero("web"));
    bed.apply(&zero("argo").replace(
        "{name: argo}\nspec:",
        "{name: argo, annotations: {argocd.argoproj.io/tracking-id: 'shop:apps/Deployment:x/argo'}}\nspec:",
    ));
    bed.apply(&zero("recreate").replace(
        "  replicas: 0\n",
        "  replicas: 0\n  strategy: {type: Recreate}\n",
    ));
    let stateful = zero("db").replace("kind: Deployment", "kind: StatefulSet");
    bed.apply(&stateful.replace("  replicas: 0\n", "  replicas: 0\n  serviceName: db\n"));
    let agent = bed.agent(&[("KINDS", "deployments,statefulsets")]);
    agent.until("deploy/web", |web| image(web) == copy(&bed));
    for name in ["argo", "recreate", "db"] {
        bed.until("an event that says why", || {
            told(&bed, name).iter().any(|reason| reason == "LeftAlone")
        });
    }
    assert_eq!(image(&bed.get("deploy/argo")), "busybox:1.36");
    assert_eq!(image(&bed.get("deploy/recreate")), "busybox:1.36");
    assert_eq!(image(&bed.get("sts/db")), "busybox:1.36");
    bed.plugin(&["restore", "deploy/web"]).exits(0);
    agent.set("STATEFUL", "on");
    agent.until("deploy/recreate", |it| image(it) == copy(&bed));
    agent.until("sts/db", |it| image(it) == copy(&bed));
    assert_eq!(image(&bed.get("deploy/web")), "busybox:1.36");
    assert!(!annotation(&bed.get("deploy/web"), "restored").is_null());
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
    assert_eq!(bed.digest("TARGET", &repository, "1.36"), None);
    bed.until("the copy", || {
        bed.digest("TARGET", &repository, "1.36").as_ref() == Some(&before)
    });
    agent.says(&["a copy is not whole in the target"]);
}

#[test]
fn new_pull_credentials_reach_the_namespaces_in_use() {
    let Some(bed) = Bed::share("rotate", true) else {
        return;
    };
    bed.apply(&busybox("web"));
    let agent = bed.agent(&[]);
    agent.until("deploy/web", |web| image(web) == copy(&bed));
    bed.rolled_out("deploy/web");
    let secret = || bed.get("secret/image-cloner-pull")["data"].clone();
    let before = secret();
    let (user, password) = (var("TARGET_USER"), var("TARGET_PASS"));
    agent.set("PULL_USER", &user);
    agent.set("PULL_PASS", &password);
    bed.until("the new credentials", || secret() != before);
    assert!(!agent.log().contains(&password), "{}", agent.log());
}

#[test]
fn a_pull_secret_that_is_gone_is_made_again_before_a_workload_needs_it() {
    let Some(bed) = Bed::share("again", true) else {
        return;
    };
    bed.apply(&busybox("web"));
    let agent = bed.agent(&[]);
    agent.until("deploy/web", |web| image(web) == copy(&bed));
    bed.rolled_out("deploy/web");
    bed.kubectl(&["delete", "secret", "image-cloner-pull"]);
    bed.apply(&deployment("other", &[("web", "nginx:1.21.4-alpine")], &[]));
    let nginx = format!("{}/nginx:1.21.4-alpine", bed.target());
    agent.until("deploy/other", |other| image(other) == nginx);
    assert!(bed.get("secret/image-cloner-pull")["data"].is_object());
    agent.says(&["image already cloned", &nginx]);
    // one that stands from copies has it again as soon as anything changes of it that a plan looks at
    bed.kubectl(&["delete", "secret", "image-cloner-pull"]);
    let recreates = r#"{"spec":{"strategy":{"type":"Recreate","rollingUpdate":null}}}"#;
    bed.kubectl(&["patch", "deploy/web", "-p", recreates]);
    has_a_pull_secret(&bed);
}

#[test]
fn whoever_writes_all_annotations_anew_is_left_to_his_images_in_the_end() {
    let Some(bed) = Bed::share("anew", true) else {
        return;
    };
    let manifest = busybox("web").replace("  replicas: 1\n", "  replicas: 0\n");
    bed.apply(&manifest);
    let agent = bed.agent(&[]);
    for _ in 0..4 {
        agent.until("deploy/web", |web| image(web) == copy(&bed));
        let anew = r#"[{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "busybox:1.36"},
                       {"op": "replace", "path": "/metadata/annotations", "value": {}}]"#;
        bed.kubectl(&["patch", "deploy/web", "--type=json", "-p", anew]);
    }
    bed.until("an event that says so", || {
        told(&bed, "web").iter().any(|reason| reason == "LeftAlone")
    });
    assert_eq!(image(&bed.get("deploy/web")), "busybox:1.36");
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
    bed.apply(
        &deployment("web", &[("web", "moving.corp/app:1")], &[])
            .replace("  replicas: 1\n", "  replicas: 0\n"),
    );
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
fn without_a_right_to_secrets_it_works_with_its_own_credentials_and_says_so_once() {
    let Some(bed) = Bed::share("rights", true) else {
        return;
    };
    let kubeconfig = bed.account(
        "agent",
        &[
            ("apps", "deployments", "get,list,watch,patch"),
            ("", "pods", "get,list"),
            ("", "serviceaccounts", "get"),
            ("", "events", "list,create,patch"),
        ],
    );
    bed.kubectl(&[
        "patch",
        "serviceaccount",
        "default",
        "-p",
        r#"{"imagePullSecrets": [{"name": "theirs"}]}"#,
    ]);
    for name in ["a", "b"] {
        bed.apply(&busybox(name).replace("  replicas: 1\n", "  replicas: 0\n"));
    }
    let copy = format!("{}/busybox:1.36", bed.open_target());
    let agent = bed.agent_as(&kubeconfig, &[("REGISTRY", &bed.open_target())]);
    for name in ["a", "b"] {
        agent.until(&format!("deploy/{name}"), |it| image(it) == copy);
    }
    assert_eq!(
        agent.count(&["cannot read secrets in"]),
        1,
        "{}",
        agent.log()
    );
    // where pods need a pull secret, there is none to be had
    bed.apply(&busybox("c").replace("  replicas: 1\n", "  replicas: 0\n"));
    agent.until("deploy/c", |it| image(it) == copy);
    agent.set("REGISTRY", &bed.target());
    agent.says(&["settings changed"]);
    bed.kubectl(&["set", "image", "deploy/c", "web=nginx:1.21.4-alpine"]);
    agent.says(&["writing its pull secret", "secrets"]);
    assert_eq!(image(&bed.get("deploy/c")), "nginx:1.21.4-alpine");
}

fn zero(name: &str, image: &str) -> String {
    deployment(name, &[("web", image)], &[]).replace("  replicas: 1\n", "  replicas: 0\n")
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
        let asked = way.asked().into_iter();
        asked.filter(|it| it.ends_with(&format!("/{tag}"))).count()
    };
    bed.apply(&zero("first", "busybox:none-1"));
    fails("none-1", 1);
    let once = asked("none-1");
    assert!(once > 0, "{:?}", way.asked());
    fails("none-1", 3);
    // the next pause is of more than half a minute, the first one of ten seconds at most
    bed.apply(&zero("second", "busybox:none-2"));
    bed.apply(&zero("good", "busybox:1.36"));
    agent.until("deploy/good", |good| image(good) == copy(&bed));
    fails("none-2", 2);
    assert_eq!(asked("none-1"), 3 * once, "{}", agent.log());
    assert_eq!(asked("none-2"), 2 * once, "{}", agent.log());
}

#[test]
fn settings_that_cannot_be_used_yet_hold_as_soon_as_they_can() {
    let Some(bed) = Bed::share("yet", true) else {
        return;
    };
    bed.apply(&zero("web", "busybox:1.36"));
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

#[test]
fn a_pull_secret_that_could_not_be_renewed_is_renewed_as_soon_as_it_can() {
    let Some(bed) = Bed::share("renew", true) else {
        return;
    };
    bed.apply(&zero("web", "busybox:1.36"));
    let agent = bed.agent(&[]);
    agent.until("deploy/web", |web| image(web) == copy(&bed));
    drop(agent);
    bed.kubectl(&["delete", "secret", "image-cloner-pull"]);
    let kubeconfig = bed.account(
        "agent",
        &[
            ("apps", "deployments", "get,list,watch,patch"),
            ("", "pods", "get,list"),
            ("", "serviceaccounts", "get"),
            ("", "events", "list,create,patch"),
        ],
    );
    let agent = bed.agent_as(&kubeconfig, &[]);
    agent.says(&["keeping up the pull secret", "secrets"]);
    let verbs = "--verb=get,list,create,update,patch";
    bed.kubectl(&["create", "role", "secrets", verbs, "--resource=secrets"]);
    let account = format!("--serviceaccount={}:agent", bed.namespace);
    bed.kubectl(&[
        "create",
        "rolebinding",
        "secrets",
        "--role=secrets",
        &account,
    ]);
    has_a_pull_secret(&bed);
}

#[test]
fn a_namespace_that_no_longer_opts_out_is_worked_in_at_once() {
    let Some(bed) = Bed::share("zz-lifted", true) else {
        return;
    };
    let skip = |value: &str| {
        let label = format!("image-cloner.io/skip{value}");
        bed.kubectl(&["label", "namespace", &bed.namespace, &label]);
    };
    skip("=true");
    bed.apply(&zero("web", "busybox:1.36"));
    // all namespaces, but for those of other tests
    let agent = bed.agent(&[("NAMESPACES", ","), ("SKIP_NAMESPACES", "[!z]*")]);
    agent.says(&["inspecting deployment", &bed.namespace]);
    assert_eq!(image(&bed.get("deploy/web")), "busybox:1.36");
    skip("-");
    agent.until("deploy/web", |web| image(web) == copy(&bed));
}
