use super::*;
use crate::plan::SlotChange;
use serde_json::json;
use std::borrow::Borrow;

fn check(
    word: &str,
    spec: impl Borrow<Value>,
    status: impl Borrow<Value>,
    expected: impl Borrow<Progress>,
) {
    let (spec, status) = (spec.borrow(), status.borrow());
    let object = json!({"metadata": {"generation": 3}, "spec": spec, "status": status});
    let kind = Kind::from_word(word).unwrap();
    assert_eq!(
        &progress(&kind, &object, None),
        expected.borrow(),
        "{word} {spec} {status}"
    );
}

fn ready(state: &str) -> Progress {
    Progress::Ready(state.to_owned())
}

#[test]
fn a_deployment_is_ready_when_every_replica_is_updated_available_and_alone() {
    let status = |replicas: i64, updated: i64, available: i64| {
        json!({"observedGeneration": 3, "replicas": replicas, "updatedReplicas": updated,
               "availableReplicas": available})
    };
    let three = json!({"replicas": 3});
    check("deploy", &three, status(3, 3, 3), ready("3/3 ready"));
    check("deploy", &three, status(4, 1, 3), waiting("1/3 updated"));
    check(
        "deploy",
        &three,
        status(4, 3, 3),
        waiting("1 old pods are still there"),
    );
    check("deploy", &three, status(3, 3, 2), waiting("2/3 available"));
    check(
        "deploy",
        json!({"replicas": 0}),
        json!({"observedGeneration": 3}),
        later(SCALED_TO_ZERO),
    );
    check("deploy", json!({}), status(1, 1, 1), ready("1/1 ready"));
    check(
        "deploy",
        json!({"replicas": 3, "paused": true}),
        status(3, 0, 3),
        later("paused, when it is resumed"),
    );
}

#[test]
fn a_status_of_an_older_generation_proves_nothing() {
    let old = json!({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1,
                     "availableReplicas": 1, "readyReplicas": 1});
    for kind in ["deploy", "sts", "ds"] {
        check(
            kind,
            json!({}),
            &old,
            waiting("not seen by its controller yet"),
        );
        check(
            kind,
            json!({}),
            json!({}),
            waiting("not seen by its controller yet"),
        );
    }
}

#[test]
fn a_deployment_past_its_progress_deadline_is_stuck() {
    let mut status = json!({"observedGeneration": 3, "replicas": 2, "updatedReplicas": 1,
        "availableReplicas": 1,
        "conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]});
    let stuck =
        Progress::Stuck("1 old pods are still there, progress deadline exceeded".to_owned());
    check("deploy", json!({}), &status, stuck);
    status["replicas"] = json!(1);
    check("deploy", json!({}), status, ready("1/1 ready"));
}

#[test]
fn a_stateful_set_is_ready_when_its_revisions_agree_and_all_are_ready() {
    let status = |ready: i64, updated: i64, current: &str| {
        json!({"observedGeneration": 3, "readyReplicas": ready, "updatedReplicas": updated,
               "currentRevision": current, "updateRevision": "db-2"})
    };
    let two = json!({"replicas": 2});
    check("sts", &two, status(2, 2, "db-2"), ready("2/2 ready"));
    check("sts", &two, status(2, 0, "db-2"), ready("2/2 ready"));
    check("sts", &two, status(1, 2, "db-2"), waiting("1/2 ready"));
    check("sts", two, status(2, 1, "db-1"), waiting("1/2 updated"));
    check(
        "sts",
        json!({"replicas": 0}),
        status(0, 0, "db-1"),
        later(SCALED_TO_ZERO),
    );
    let on_delete = json!({"updateStrategy": {"type": "OnDelete"}});
    check(
        "sts",
        on_delete,
        status(1, 0, "db-1"),
        later("OnDelete, as its pods are deleted"),
    );
}

#[test]
fn a_partition_holds_pods_of_a_stateful_set_back() {
    let spec = |partition: i64| json!({"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": partition}}});
    let status = |ready: i64, updated: i64| {
        json!({"observedGeneration": 3, "readyReplicas": ready, "updatedReplicas": updated,
               "currentRevision": "db-1", "updateRevision": "db-2"})
    };
    check(
        "sts",
        spec(1),
        status(3, 1),
        waiting("1/2 updated, partition 1"),
    );
    check("sts", spec(1), status(2, 2), waiting("2/3 ready"));
    check(
        "sts",
        spec(1),
        status(3, 2),
        ready("2/3 updated, partition 1"),
    );
    check(
        "sts",
        spec(3),
        status(3, 0),
        later("its partition holds every pod back"),
    );
}

#[test]
fn a_daemon_set_is_ready_when_every_node_has_an_available_updated_pod() {
    let status = |updated: i64, available: i64| {
        json!({"observedGeneration": 3, "desiredNumberScheduled": 2,
               "updatedNumberScheduled": updated, "numberAvailable": available})
    };
    check("ds", json!({}), status(2, 2), ready("2/2 ready"));
    check("ds", json!({}), status(1, 2), waiting("1/2 updated"));
    check("ds", json!({}), status(2, 1), waiting("1/2 available"));
}

#[test]
fn a_pod_is_ready_when_each_changed_container_is_another_one_than_before() {
    let pod = |a: &str, b: &str, ready: &str| {
        let container = |name: &str, id: &str| json!({"name": name, "containerID": id, "ready": ready == "True"});
        json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}]},
               "status": {"phase": "Running",
                          "containerStatuses": [container("a", a), container("b", b)],
                          "conditions": [{"type": "Ready", "status": ready}]}})
    };
    let change = |list: SlotList, name: &str| SlotChange {
        slot: SlotKey {
            list,
            name: name.to_owned(),
        },
        from: "nginx".to_owned(),
        to: "reg.corp/nginx".to_owned(),
    };
    let kind = Kind::from_word("pod").unwrap();
    let before = pod("1", "1", "True");
    let slots = [
        change(SlotList::InitContainers, "init"),
        change(SlotList::Containers, "a"),
    ];
    let write = Write {
        slots: &slots,
        object: &before,
    };
    let check = |object: &Value, expected: Progress| {
        let found = progress(&kind, object, Some(write));
        assert_eq!(found, expected, "{object}");
    };
    let old = waiting("container a has not restarted yet");
    check(&before, old.clone());
    check(&pod("1", "2", "True"), old.clone());
    // while its image is pulled
    check(&pod("", "1", "False"), old);
    check(&pod("2", "1", "False"), waiting("0/2 ready"));
    check(&pod("2", "1", "True"), ready("2/2 ready"));
    let mut ended = pod("2", "1", "False");
    ended["status"]["phase"] = json!("Failed");
    let stuck = Progress::Stuck("the pod has ended: Failed".to_owned());
    check(&ended, stuck);
    assert_eq!(progress(&kind, &before, None), ready("2/2 ready"));
}

#[test]
fn other_kinds_are_not_followed() {
    check(
        "cj",
        json!({}),
        json!({}),
        later("at the next scheduled Job"),
    );
}
