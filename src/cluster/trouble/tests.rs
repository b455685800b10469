use super::*;
use crate::workload::Kind;
use serde_json::json;

fn pod(status: &Value) -> Value {
    json!({"metadata": {"name": "web-7c9-abc"}, "spec": {"nodeName": "n7"}, "status": status})
}

fn waiting(reason: &str, message: &str) -> Value {
    json!({"name": "c", "state": {"waiting": {"reason": reason, "message": message}}})
}

#[test]
fn a_pod_says_what_keeps_it_and_a_failed_pull_comes_first() {
    let text = |status: Value| match trouble(&pod(&status), &Pulls::of([""])) {
        None => String::new(),
        Some(Trouble::Other { pod, text }) => format!("{pod}: {text}"),
        Some(Trouble::Pull {
            pod, node, message, ..
        }) => format!("{pod} on {node}: {message}"),
    };
    let crash = waiting("CrashLoopBackOff", "back-off 10s\nrestarting");
    let pull = waiting("ImagePullBackOff", "Back-off pulling image \"x\"");
    assert_eq!(
        text(json!({"containerStatuses": [crash, pull]})),
        "web-7c9-abc on n7: ImagePullBackOff: Back-off pulling image \"x\""
    );
    assert_eq!(
        text(json!({"containerStatuses": [crash]})),
        "web-7c9-abc: CrashLoopBackOff: back-off 10s restarting"
    );
    assert_eq!(
        text(
            json!({"conditions": [{"type": "PodScheduled", "status": "False",
            "reason": "Unschedulable", "message": "0/1 nodes are available"}]})
        ),
        "web-7c9-abc: Unschedulable: 0/1 nodes are available"
    );
    assert_eq!(
        text(
            json!({"containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 3}}}]})
        ),
        "web-7c9-abc: container c ended with exit code 3"
    );
    assert_eq!(
        text(json!({"conditions": [{"type": "Ready", "status": "False",
            "message": "containers with unready status: [c]"}]})),
        "web-7c9-abc: containers with unready status: [c]"
    );
    assert_eq!(
        text(json!({"containerStatuses": [waiting("ContainerCreating", "")]})),
        ""
    );
}

#[test]
fn a_pull_that_takes_its_time_is_no_trouble_of_a_container() {
    let pulling = json!({
        "containerStatuses": [waiting("ContainerCreating", "")],
        "conditions": [{"type": "Ready", "status": "False",
                        "message": "containers with unready status: [c]"}],
    });
    assert!(of_containers(&pod(&pulling), &Pulls::of([""])).is_none());
}

#[test]
fn only_an_image_that_was_set_tells_of_the_registry_it_is_in() {
    let mut pod = pod(&json!({
        "containerStatuses": [
            {"name": "copy", "imageID": "reg.corp/web@sha256:0"},
            waiting("ErrImagePull", "mesh.corp/proxy:1: not found"),
        ],
    }));
    pod["spec"]["containers"] = json!([
        {"name": "copy", "image": "reg.corp/web:1"}, {"name": "c", "image": "mesh.corp/proxy:1"},
    ]);
    let text = "ErrImagePull: mesh.corp/proxy:1: not found".to_owned();
    let other = Trouble::Other {
        pod: "web-7c9-abc".to_owned(),
        text,
    };
    let copy = Pulls::of(["reg.corp/web:1"]);
    assert_eq!(trouble(&pod, &copy), Some(other));
    assert!(has_pulled(&pod, &copy));
    let both = Pulls::of(["reg.corp/web:1", "mesh.corp/proxy:1"]);
    assert!(matches!(trouble(&pod, &both), Some(Trouble::Pull { .. })));
    assert!(!has_pulled(&pod, &Pulls::of(["mesh.corp/proxy:1"])));
    pod["status"]["containerStatuses"][0]["imageID"] = json!("");
    assert!(!has_pulled(&pod, &copy), "it is not there yet");
}

#[test]
fn a_pause_after_the_pull_of_another_image_is_no_pause_after_this_ones() {
    let check = |status: Value, expected: Try| {
        let mut pod = pod(&json!({"containerStatuses": [status]}));
        pod["spec"]["containers"] = json!([{"name": "c", "image": "reg.corp/new:1"}]);
        let pulls = Pulls::of(["reg.corp/new:1"]);
        let Some(Trouble::Pull { image, at, .. }) = of_containers(&pod, &pulls) else {
            panic!("{pod} tells of no failed pull");
        };
        assert_eq!((image.as_str(), at), ("reg.corp/new:1", expected), "{pod}");
    };
    let paused = |image: &str| {
        let message = format!("Back-off pulling image \"{image}\"");
        waiting("ImagePullBackOff", &message)
    };
    check(paused("reg.corp/new:1"), Try::Paused);
    check(paused("old:1"), Try::Failed);
    check(waiting("ErrImagePull", "x"), Try::Failed);
    check(waiting("InvalidImageName", "x"), Try::Last);
}

#[test]
fn the_cause_is_what_is_left_of_a_failed_pull_and_the_hint_what_the_node_lacks() {
    let check = |text: &str, expected: &str, lacks: Option<&str>| {
        assert_eq!(cause(text), expected);
        let hint = hint(text, "n7", "reg.corp:5000/web:1");
        assert_eq!(hint.as_deref(), lacks);
    };
    let wrapped = "Failed to pull image \"reg.corp:5000/web:1\": rpc error: code = Unknown desc = \
                   failed to pull and unpack image \"reg.corp:5000/web:1\": failed to resolve \
                   reference \"reg.corp:5000/web:1\": ";
    check(
        &format!("{wrapped}reg.corp:5000/web:1: not found"),
        "reg.corp:5000/web:1: not found",
        None,
    );
    check(
        &format!("{wrapped}failed to do request: x509: certificate signed by unknown authority"),
        "failed to do request: x509: certificate signed by unknown authority",
        Some("n7 lacks the CA of reg.corp:5000"),
    );
    check(
        "unexpected status code 401 Unauthorized",
        "unexpected status code 401 Unauthorized",
        Some("n7 has no credentials that reg.corp:5000 takes for this image"),
    );
    check(
        "dial tcp: lookup reg.corp: no such host",
        "dial tcp: lookup reg.corp: no such host",
        Some("n7 does not reach reg.corp:5000"),
    );
}

#[test]
fn only_pods_of_the_new_revision_speak() {
    let template = json!({"containers": [{"name": "c", "image": "new"}]});
    let object = json!({"metadata": {"namespace": "a", "name": "web"},
                        "spec": {"template": {"spec": template}}});
    let kind = Kind::from_word("deploy").unwrap();
    let workload = Workload::from_object(&kind, &object).unwrap();
    let of = |image: &str| {
        let owner = json!({"kind": "ReplicaSet", "name": "web-7c9", "controller": true});
        json!({
            "metadata": {"namespace": "a", "name": "web-7c9-abc", "ownerReferences": [owner],
                         "labels": {"app": "web", "pod-template-hash": "7c9"}},
            "spec": {"containers": [{"name": "c", "image": image}]},
        })
    };
    assert!(is_current(&workload, &of("new")));
    assert!(!is_current(&workload, &of("old")));
    // the same labels, and nobody's or another's
    let mut other = of("new");
    other["metadata"]["ownerReferences"][0]["name"] = json!("web-canary-7c9");
    assert!(!is_current(&workload, &other));
    other["metadata"]["ownerReferences"] = json!([]);
    assert!(!is_current(&workload, &other));
}
