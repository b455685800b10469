//! How far a rollout is, and following it.
//!
//! Decides when a workload counts as settled, by kubectl's rules for `rollout status`. Changes nothing but
//! for [`Cluster::free`], which deletes pods that hold a StatefulSet up.

#[cfg(test)]
mod tests;

use super::collection::Collection;
use super::pulls::Pulls;
use super::request::Only;
use super::{Cluster, Error, Rollout, Write, trouble, workload_of};
use crate::workload::{Kind, SlotKey, SlotList, WorkloadId};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// Between two looks: pods take seconds, and one small GET a second is no load.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two looks at the pods of a rollout that waits; a kubelet shows a failed pull for about ten.
const PODS_PAUSE: Duration = Duration::from_secs(4);

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

/// How a workload stands, by its object alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// As it is meant to be: every replica is updated and available.
    Settled,
    /// No pod follows from a change now: it is scaled to zero, or its pods are made later.
    Idle,
    /// It is paused: a change would wait for whoever paused it.
    Paused,
    /// A change of it is being rolled out.
    Rolling,
    /// Nothing rolls out any more, and not every replica is available.
    Ailing,
}

impl Standing {
    /// Reads it from an object of this kind.
    pub fn of(kind: &Kind, object: &Value) -> Self {
        if object["spec"]["paused"] == true {
            return Self::Paused;
        }
        match progress(kind, object, None) {
            Progress::Ready(_) => Self::Settled,
            Progress::Later(_) => Self::Idle,
            Progress::Stuck(_) => Self::Ailing,
            // once all of its replicas were available, and since then one is not
            Progress::Waiting(_) if is_observed(object) && was_complete(kind, object) => {
                Self::Ailing
            }
            Progress::Waiting(_) => Self::Rolling,
        }
    }
}

/// Whether the newest revision was rolled out completely once, as far as its status keeps that.
fn was_complete(kind: &Kind, object: &Value) -> bool {
    let status = &object["status"];
    match kind.kind.as_str() {
        "Deployment" => condition(status, "Progressing")
            .is_some_and(|condition| condition["reason"] == "NewReplicaSetAvailable"),
        "StatefulSet" => status["updateRevision"] == status["currentRevision"],
        _ => false,
    }
}

impl Cluster {
    /// Follows a rollout until it is ready, cannot be followed, or `timeout` has passed. `write` is what it
    /// follows from: without it, a bare Pod that still runs what it did before counts as ready.
    pub async fn wait(
        &self,
        id: &WorkloadId,
        write: Option<Write<'_>>,
        timeout: Duration,
    ) -> Result<Rollout, Error> {
        // none: a time that no clock reaches
        let deadline = Instant::now().checked_add(timeout);
        let mut pulls = write.map(|write| Pulls::of(write.slots.iter().map(|change| &change.to)));
        let mut looked = None;
        loop {
            let answer = self.get(id).await;
            let left = deadline.map_or(Duration::MAX, |at| at.duration_since(Instant::now()));
            let is_last = left < PAUSE;
            match answer.map(|object| (progress(&id.kind, &object, write), object)) {
                Ok((Progress::Ready(state), _)) => return Ok(Rollout::Ready(state)),
                Ok((Progress::Later(reason), _)) => return Ok(Rollout::Later(reason)),
                Ok((Progress::Stuck(state), object)) => {
                    let pulls = pulls.unwrap_or_else(|| of_template(id, &object));
                    let why = trouble::of(self, id, &object, &state, &pulls).await;
                    return Ok(Rollout::NotReady(why));
                }
                Ok((Progress::Waiting(state), object)) => {
                    let pulls = pulls.get_or_insert_with(|| of_template(id, &object));
                    let is_due = looked.is_none_or(|at: Instant| at.elapsed() >= PODS_PAUSE);
                    let is_hopeless = is_due && {
                        looked = Some(Instant::now());
                        pulls.failed_again(&trouble::all(self, id, &object, pulls).await)
                    };
                    if is_last || is_hopeless {
                        let why = trouble::of(self, id, &object, &state, pulls).await;
                        return Ok(Rollout::NotReady(why));
                    }
                }
                // a control plane that restarts under the rollout is asked again
                Err(Error::Unreachable { .. } | Error::Failed(_)) if !is_last => {}
                Err(error) => return Err(error),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Follows a workload whose images were put back, as [`Self::wait`] does; pods of the failed revision
    /// that a StatefulSet would wait for without end are deleted.
    pub async fn recover(
        &self,
        id: &WorkloadId,
        write: Option<Write<'_>>,
        timeout: Duration,
    ) -> Result<Rollout, Error> {
        let is_free = self.free(id, timeout).await?;
        let timeout = if is_free { timeout } else { Duration::ZERO };
        self.wait(id, write, timeout).await
    }

    /// Deletes the pods of the failed revision that a StatefulSet whose images were put back would wait for
    /// without end, as soon as its controller has seen that. Whether it has within so long; other kinds
    /// wait for no pod.
    pub async fn free(&self, id: &WorkloadId, timeout: Duration) -> Result<bool, Error> {
        if id.kind.group != "apps" || id.kind.kind != "StatefulSet" {
            return Ok(true);
        }
        let seen = async {
            loop {
                let object = self.get(id).await?;
                if is_observed(&object) {
                    return Ok(object);
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        match tokio::time::timeout(timeout, seen).await {
            Ok(object) => delete_stuck(self, id, &object?).await.map(|()| true),
            Err(_) => Ok(false),
        }
    }
}

/// The pulls that count where nothing was written: of all that the workload names itself.
fn of_template(id: &WorkloadId, object: &Value) -> Pulls {
    let workload = workload_of(id, object).ok();
    let slots = workload.into_iter().flat_map(|workload| workload.slots);
    Pulls::of(slots.map(|slot| slot.image))
}

/// Deletes the pods of other revisions than the one that rolls out, where they are not ready.
async fn delete_stuck(cluster: &Cluster, id: &WorkloadId, object: &Value) -> Result<(), Error> {
    let workload = workload_of(id, object)?;
    let (Some(selector), Some(revision)) = (
        workload.pod_selector.as_deref(),
        object["status"]["updateRevision"].as_str(),
    ) else {
        return Ok(());
    };
    let pods = Collection::core("pods", "pod", Some(&id.namespace));
    let only = Only {
        labels: Some(selector),
        ..Only::default()
    };
    let stuck = cluster.list(&pods, only, |pod| {
        let metadata = &pod["metadata"];
        let owners = metadata["ownerReferences"].as_array()?;
        let is_of_it = owners
            .iter()
            .any(|owner| owner["uid"] == object["metadata"]["uid"]);
        let is_ready = condition(&pod["status"], "Ready").is_some_and(|it| it["status"] == "True");
        let is_old = metadata["labels"]["controller-revision-hash"] != revision;
        let is_going = !metadata["deletionTimestamp"].is_null();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        (is_of_it && is_old && !is_ready && !is_going)
            .then(|| Some((text(&metadata["name"])?, text(&metadata["uid"])?)))?
    });
    for (name, uid) in stuck.await? {
        match cluster.delete(&pods, &name, Some(&uid)).await {
            // another pod by now, which is as good
            Ok(()) | Err(Error::NotFound(_) | Error::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// How far the rollout of an object is.
fn progress(kind: &Kind, object: &Value, write: Option<Write<'_>>) -> Progress {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("apps", "Deployment") => deployment(object),
        ("apps", "StatefulSet") => stateful_set(object),
        ("apps", "DaemonSet") => daemon_set(object),
        ("apps", "ReplicaSet") => later("for the pods that it makes from now on"),
        ("batch", "CronJob") => later("at the next scheduled Job"),
        ("batch", "Job") => later("the template of a Job does not change"),
        ("", "Pod") => pod(object, write),
        _ => later("the rollout of this kind is not followed"),
    }
}

/// Why nothing rolls out where no pod is wanted.
const SCALED_TO_ZERO: &str = "scaled to zero, when it is scaled up";

fn deployment(object: &Value) -> Progress {
    let status = &object["status"];
    if object["spec"]["paused"] == true {
        return later("paused, when it is resumed");
    }
    if !is_observed(object) {
        return waiting("not seen by its controller yet");
    }
    let wanted = wanted(object);
    if wanted == 0 {
        return later(SCALED_TO_ZERO);
    }
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
        return later("OnDelete, as its pods are deleted");
    }
    if !is_observed(object) {
        return waiting("not seen by its controller yet");
    }
    let wanted = wanted(object);
    if wanted == 0 {
        return later(SCALED_TO_ZERO);
    }
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
    if status["updateRevision"] != status["currentRevision"] {
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
        return later("OnDelete, as its pods are deleted");
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
