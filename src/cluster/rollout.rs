//! How far a rollout is, and following it.
//!
//! Decides when a workload counts as settled, by kubectl's rules for `rollout status`. Never changes
//! anything.

#[cfg(test)]
mod tests;

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
