//! How far a rollout is, and following it.
//!
//! Decides when a workload counts as settled, by kubectl's rules for `rollout status`. Never changes
//! anything.

use super::{Cluster, Error, Rollout, Write, trouble};
use crate::workload::{Kind, SlotKey, SlotList, WorkloadId};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// Between two looks: pods take seconds, and one small GET a second is no load.
const PAUSE: Duration = Duration::from_secs(1);

/// How far a rollout is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    /// It is done: `3/3 ready`.
    Ready(String),
    /// Nothing rolls out now, for this reason.
    Later(String),
    /// It is under way: `1/3 updated`.
    Waiting(String),
    /// The controller has given up on it.
    Stuck(String),
}

pub(super) async fn wait(
    cluster: &Cluster,
    id: &WorkloadId,
    write: Option<Write<'_>>,
    timeout: Duration,
) -> Result<Rollout, Error> {
    // none: a time that no clock reaches
    let deadline = Instant::now().checked_add(timeout);
    loop {
        let answer = cluster.get(id).await;
        let left = deadline.map_or(Duration::MAX, |at| at.duration_since(Instant::now()));
        let is_last = left < PAUSE;
        match answer.map(|object| (progress(&id.kind, &object, write), object)) {
            Ok((Progress::Ready(state), _)) => return Ok(Rollout::Ready(state)),
            Ok((Progress::Later(reason), _)) => return Ok(Rollout::Later(reason)),
            Ok((Progress::Stuck(state), object)) => {
                return Ok(Rollout::TimedOut(
                    trouble::of(cluster, id, &object, &state).await,
                ));
            }
            Ok((Progress::Waiting(state), object)) if is_last => {
                return Ok(Rollout::TimedOut(
                    trouble::of(cluster, id, &object, &state).await,
                ));
            }
            // a control plane that restarts under the rollout is asked again
            Err(error @ (Error::Unreachable { .. } | Error::Failed(_))) if is_last => {
                return Err(error);
            }
            Err(error @ (Error::NotFound(_) | Error::Forbidden(_) | Error::Invalid { .. })) => {
                return Err(error);
            }
            Ok((Progress::Waiting(_), _)) | Err(_) => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// How far the rollout of an object is.
fn progress(kind: &Kind, object: &Value, write: Option<Write<'_>>) -> Progress {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("apps", "Deployment") => deployment(object),
        ("apps", "StatefulSet") => stateful_set(object),
        ("apps", "DaemonSet") => daemon_set(object),
        ("apps", "ReplicaSet") => later("takes effect when its pods are replaced"),
        ("batch", "CronJob") => later("takes effect at the next scheduled Job"),
        ("batch", "Job") => later("the template of a Job does not change"),
        ("", "Pod") => pod(object, write),
        _ => later("the rollout of this kind is not followed"),
    }
}

fn deployment(object: &Value) -> Progress {
    let status = &object["status"];
    if object["spec"]["paused"] == true {
        return later("paused");
    }
    if !is_observed(object) {
        return waiting("not seen by its controller yet");
    }
    let wanted = wanted(object);
    let total = count(status, "replicas");
    let updated = count(status, "updatedReplicas");
    let available = count(status, "availableReplicas");
    let state = if updated < wanted {
        format!("{updated}/{wanted} updated")
    } else if total > updated {
        format!("{} old pods are still there", total - updated)
    } else if available < updated {
        format!("{available}/{updated} available")
    } else {
        return Progress::Ready(format!("{available}/{wanted} ready"));
    };
    let progressing = condition(status, "Progressing");
    if progressing.is_some_and(|condition| condition["reason"] == "ProgressDeadlineExceeded") {
        return Progress::Stuck(format!("{state}, progress deadline exceeded"));
    }
    Progress::Waiting(state)
}

fn stateful_set(object: &Value) -> Progress {
    let (spec, status) = (&object["spec"], &object["status"]);
    if spec["updateStrategy"]["type"] == "OnDelete" {
        return later("OnDelete: takes effect when its pods are deleted");
    }
    if !is_observed(object) {
        return waiting("not seen by its controller yet");
    }
    let wanted = wanted(object);
    let ready = count(status, "readyReplicas");
    let updated = count(status, "updatedReplicas");
    let partition = spec["updateStrategy"]["rollingUpdate"]["partition"]
        .as_i64()
        .unwrap_or(0);
    if partition > 0 {
        let due = (wanted - partition).max(0);
        if due == 0 {
            return later("its partition holds every pod back");
        }
        if updated < due {
            return Progress::Waiting(format!("{updated}/{due} updated, partition {partition}"));
        }
        if ready < wanted {
            return Progress::Waiting(format!("{ready}/{wanted} ready"));
        }
        return Progress::Ready(format!("{updated}/{wanted} updated, partition {partition}"));
    }
    // `updatedReplicas` is absent once the last update is complete, on old servers
    if wanted > 0 && status["updateRevision"] != status["currentRevision"] {
        return Progress::Waiting(format!("{updated}/{wanted} updated"));
    }
    if ready < wanted {
        return Progress::Waiting(format!("{ready}/{wanted} ready"));
    }
    Progress::Ready(format!("{ready}/{wanted} ready"))
}

fn daemon_set(object: &Value) -> Progress {
    let status = &object["status"];
    if object["spec"]["updateStrategy"]["type"] == "OnDelete" {
        return later("OnDelete: takes effect when its pods are deleted");
    }
    if !is_observed(object) {
        return waiting("not seen by its controller yet");
    }
    let wanted = count(status, "desiredNumberScheduled");
    let updated = count(status, "updatedNumberScheduled");
    let available = count(status, "numberAvailable");
    if updated < wanted {
        return Progress::Waiting(format!("{updated}/{wanted} updated"));
    }
    if available < wanted {
        return Progress::Waiting(format!("{available}/{wanted} available"));
    }
    Progress::Ready(format!("{available}/{wanted} ready"))
}

/// A bare Pod's containers restart in place, and only a new container ID tells that one did: the image and
/// its ID in a status may be those of another name for the same content (containerd reports the first it
/// knows), and the Pod stays ready until the old container ends.
fn pod(object: &Value, write: Option<Write<'_>>) -> Progress {
    let status = &object["status"];
    if let Some(phase @ ("Succeeded" | "Failed")) = status["phase"].as_str() {
        return Progress::Stuck(format!("the pod has ended: {phase}"));
    }
    if let Some(write) = write {
        // init containers do not run again
        let names = write.slots.iter().map(|change| &change.slot);
        let mut names = names.filter(|slot| slot.list == SlotList::Containers);
        let is_old = |slot: &&SlotKey| {
            let now = container_id(object, &slot.name);
            now.is_none() || now == container_id(write.object, &slot.name)
        };
        if let Some(old) = names.find(is_old) {
            return Progress::Waiting(format!("container {} has not restarted yet", old.name));
        }
    }
    let containers = object["spec"]["containers"].as_array().map_or(0, Vec::len);
    let statuses = status["containerStatuses"].as_array();
    let ready = statuses
        .into_iter()
        .flatten()
        .filter(|status| status["ready"] == true);
    let state = format!("{}/{containers} ready", ready.count());
    let is_ready = condition(status, "Ready").is_some_and(|ready| ready["status"] == "True");
    if is_ready {
        Progress::Ready(state)
    } else {
        Progress::Waiting(state)
    }
}

fn container_id<'a>(pod: &'a Value, name: &str) -> Option<&'a str> {
    let statuses = pod["status"]["containerStatuses"].as_array()?;
    let status = statuses.iter().find(|status| status["name"] == name)?;
    status["containerID"].as_str().filter(|id| !id.is_empty())
}

/// Whether the controller has seen the object as it is now; its status is about an older one else.
fn is_observed(object: &Value) -> bool {
    let generation = object["metadata"]["generation"].as_i64().unwrap_or(0);
    let observed = object["status"]["observedGeneration"].as_i64();
    observed.is_some_and(|observed| observed >= generation)
}

fn wanted(object: &Value) -> i64 {
    object["spec"]["replicas"].as_i64().unwrap_or(1)
}

fn count(status: &Value, field: &str) -> i64 {
    status[field].as_i64().unwrap_or(0)
}

/// A condition of a status.
pub(super) fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = status["conditions"].as_array()?;
    conditions
        .iter()
        .find(|condition| condition["type"] == kind)
}

fn later(reason: &str) -> Progress {
    Progress::Later(reason.to_owned())
}

fn waiting(state: &str) -> Progress {
    Progress::Waiting(state.to_owned())
}

#[cfg(test)]
mod tests {
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
            ready("0/0 ready"),
        );
        check("deploy", json!({}), status(1, 1, 1), ready("1/1 ready"));
        check(
            "deploy",
            json!({"replicas": 3, "paused": true}),
            status(3, 0, 3),
            later("paused"),
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
            ready("0/0 ready"),
        );
        let on_delete = json!({"updateStrategy": {"type": "OnDelete"}});
        check(
            "sts",
            on_delete,
            status(1, 0, "db-1"),
            later("OnDelete: takes effect when its pods are deleted"),
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
            later("takes effect at the next scheduled Job"),
        );
    }
}
