//! Why a rollout does not get on, in the words of its pods.
//!
//! Decides which pod speaks for all: one of the new revision, and one that cannot pull before one that
//! only is not ready. Best effort: whatever cannot be read is left out.

#[cfg(test)]
mod tests;

use super::collection::Collection;
use super::error::one_line;
use super::pulls::{Pulling, Pulls, Try};
use super::request::Only;
use super::rollout::condition;
use super::{Cluster, NotReady, running, workload_of};
use crate::reference::Reference;
use crate::workload::{Workload, WorkloadId};
use serde_json::Value;

/// What keeps a pod from being ready; the worst kind first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trouble {
    /// A pull that counts has failed.
    Pull {
        pod: String,
        uid: String,
        node: String,
        image: String,
        at: Try,
        message: String,
    },
    Other {
        pod: String,
        text: String,
    },
}

/// One line: the pods' own reason, else the controller's, else how far it got.
pub(super) async fn of(
    cluster: &Cluster,
    id: &WorkloadId,
    object: &Value,
    state: &str,
    pulls: &Pulls,
) -> NotReady {
    let plain = |why: String| NotReady {
        why,
        hint: None,
        cannot_pull: false,
        is_denied: false,
    };
    match all(cluster, id, object, pulls).await.into_iter().min() {
        Some(trouble) => return told(cluster, &id.namespace, trouble).await,
        None if id.kind.is_pod() => return plain(state.to_owned()),
        None => {}
    }
    if let Some(failure) = condition(&object["status"], "ReplicaFailure") {
        return plain(one_line(failure["message"].as_str().unwrap_or(state)));
    }
    let (kind, name) = (&id.kind.kind, &id.name);
    let this = format!("involvedObject.kind={kind},involvedObject.name={name}");
    let created = events(cluster, &id.namespace, &this, "FailedCreate").await;
    plain(created.unwrap_or_else(|| state.to_owned()))
}

/// How the pulls of this workload's pods stand, followed from look to look in `pulls`.
pub(super) async fn of_pulls(cluster: &Cluster, workload: &Workload, pulls: &mut Pulls) -> Pulling {
    let pods = of_pods(cluster, workload, |pod| {
        (trouble(pod, pulls), has_pulled(pod, pulls))
    })
    .await;
    let is_done = pods.iter().any(|(_, has_pulled)| *has_pulled);
    let troubles: Vec<Trouble> = pods
        .into_iter()
        .filter_map(|(trouble, _)| trouble)
        .collect();
    let has_failed = pulls.failed_again(&troubles);
    match troubles.into_iter().min() {
        Some(trouble @ Trouble::Pull { .. }) if has_failed => {
            Pulling::Failed(told(cluster, &workload.id.namespace, trouble).await)
        }
        Some(Trouble::Pull { .. }) => Pulling::Retried,
        _ if is_done => Pulling::Done,
        _ => Pulling::Well,
    }
}

/// What keeps the pods of the revision that rolls out.
pub(super) async fn all(
    cluster: &Cluster,
    id: &WorkloadId,
    object: &Value,
    pulls: &Pulls,
) -> Vec<Trouble> {
    if id.kind.is_pod() {
        return trouble(object, pulls).into_iter().collect();
    }
    let Ok(workload) = workload_of(id, object) else {
        return Vec::new();
    };
    let troubles = of_pods(cluster, &workload, |pod| trouble(pod, pulls)).await;
    troubles.into_iter().flatten().collect()
}

/// Whether a pod of the revision that rolls out was seen to have an image whose pull counts.
pub(super) async fn any_has_pulled(cluster: &Cluster, workload: &Workload, pulls: &Pulls) -> bool {
    let pods = of_pods(cluster, workload, |pod| has_pulled(pod, pulls)).await;
    pods.contains(&true)
}

/// What is read of the pods of the revision that rolls out.
async fn of_pods<T>(cluster: &Cluster, workload: &Workload, read: impl Fn(&Value) -> T) -> Vec<T> {
    let Some(selector) = workload.pod_selector.as_deref() else {
        return Vec::new();
    };
    let namespace = Some(workload.id.namespace.as_str());
    let collection = Collection::core("pods", "pod", namespace);
    let only = Only {
        labels: Some(selector),
        ..Only::default()
    };
    let found = cluster.list(&collection, only, |pod| {
        is_current(workload, &pod).then(|| read(&pod))
    });
    found.await.unwrap_or_default()
}

/// A trouble in words: `web-7c9-abc on n7: the cause`.
pub(super) async fn told(cluster: &Cluster, namespace: &str, trouble: Trouble) -> NotReady {
    match trouble {
        Trouble::Other { pod, text } => NotReady {
            why: format!("{pod}: {text}"),
            hint: None,
            cannot_pull: false,
            is_denied: false,
        },
        Trouble::Pull {
            pod,
            uid,
            node,
            image,
            message,
            at: _,
        } => {
            // the status alternates between the registry's words and the bare back-off; events keep both
            let this = format!("involvedObject.uid={uid}");
            let detail = events(cluster, namespace, &this, "Failed").await;
            let detail = detail
                .filter(|text| text.contains("pull"))
                .unwrap_or(message);
            let place = match node.as_str() {
                "" => String::new(),
                node => format!(" on {node}"),
            };
            NotReady {
                why: format!("{pod}{place}: {}", cause(&detail)),
                hint: hint(&detail, &node, &image),
                cannot_pull: true,
                is_denied: is_denied(&detail),
            }
        }
    }
}

/// What a runtime says of a failed pull, without the layers of wrapping that repeat the image's name.
fn cause(text: &str) -> &str {
    let mut rest = text;
    loop {
        let wrapped = [
            ("Failed to pull image ", "\": "),
            ("rpc error: ", "desc = "),
            ("failed to pull and unpack image ", "\": "),
            ("failed to resolve reference ", "\": "),
        ];
        let inner = wrapped.iter().find_map(|(start, end)| {
            let (_, inner) = rest.strip_prefix(start)?.split_once(end)?;
            Some(inner)
        });
        match inner {
            Some(inner) => rest = inner,
            None => return rest,
        }
    }
}

/// What the node lacks, where the runtime's words tell.
fn hint(text: &str, node: &str, image: &str) -> Option<String> {
    let registry = Reference::parse(image).ok()?.registry().to_owned();
    let node = if node.is_empty() { "the node" } else { node };
    if text.contains("x509: certificate signed by unknown authority") {
        return Some(format!("{node} lacks the CA of {registry}"));
    }
    if text.contains("server gave HTTP response to HTTPS client") {
        return Some(format!(
            "the container runtime of {node} must be told that {registry} speaks plain HTTP"
        ));
    }
    if text.contains("no such host") || text.contains("connection refused") {
        return Some(format!("{node} does not reach {registry}"));
    }
    is_denied(text)
        .then(|| format!("{node} has no credentials that {registry} takes for this image"))
}

/// Whether a runtime says that a registry did not let it have the image.
fn is_denied(text: &str) -> bool {
    let words = ["401 Unauthorized", "403 Forbidden", "authorization failed"];
    words.iter().any(|word| text.contains(word))
}

/// The newest warning about an object for this reason.
async fn events(cluster: &Cluster, namespace: &str, object: &str, reason: &str) -> Option<String> {
    let collection = Collection::core("events", "event", Some(namespace));
    let fields = format!("{object},reason={reason}");
    let only = Only {
        fields: Some(&fields),
        ..Only::default()
    };
    let read = |event: Value| {
        let message = event["message"].as_str()?;
        // `Error: ImagePullBackOff` is noted under the same reason and says nothing more
        let says_more = !message.starts_with("Error: ");
        let time = event["lastTimestamp"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        says_more.then(|| (time, one_line(message)))
    };
    let found = cluster.list(&collection, only, read).await.ok()?;
    found.into_iter().max().map(|(_, message)| message)
}

/// Whether a pod is of the revision that rolls out: the workload's own, and its images are the template's.
fn is_current(workload: &Workload, pod: &Value) -> bool {
    // anybody can give a pod the labels that the selector asks for
    let is_its_own = running::is_of(&workload.id, pod);
    is_its_own
        && workload.slots.iter().all(|slot| {
            let containers = pod["spec"][slot.key.list.field()].as_array();
            let container = containers
                .into_iter()
                .flatten()
                .find(|container| container["name"] == slot.key.name.as_str());
            container.is_none_or(|container| {
                container
                    .get("image")
                    .is_none_or(|image| !image.is_string() || *image == slot.image)
            })
        })
}

/// Whether a container of a pod has its image, and by a pull that counts.
pub(super) fn has_pulled(pod: &Value, pulls: &Pulls) -> bool {
    containers(pod).any(|(spec, status)| {
        let counts = spec["image"].as_str().is_some_and(|it| pulls.count(it));
        counts && status["imageID"].as_str().is_some_and(|id| !id.is_empty())
    })
}

/// What keeps a pod from being ready, as far as it says.
pub(super) fn trouble(pod: &Value, pulls: &Pulls) -> Option<Trouble> {
    let status = &pod["status"];
    let found = of_containers(pod, pulls);
    if found.is_some() {
        return found;
    }
    let other = |text: String| {
        Some(Trouble::Other {
            pod: pod["metadata"]["name"].as_str()?.to_owned(),
            text,
        })
    };
    if let Some(unscheduled) = unscheduled(pod) {
        let reason = unscheduled["reason"].as_str().unwrap_or("Unschedulable");
        let message = one_line(unscheduled["message"].as_str().unwrap_or("no message"));
        return other(format!("{reason}: {message}"));
    }
    let ready = condition(status, "Ready").filter(|it| it["status"] == "False")?;
    other(one_line(ready["message"].as_str().unwrap_or("not ready")))
}

/// The condition of a pod that no node takes.
pub(super) fn unscheduled(pod: &Value) -> Option<&Value> {
    condition(&pod["status"], "PodScheduled").filter(|it| it["status"] == "False")
}

/// What keeps a container of a pod; the worst of it.
pub(super) fn of_containers(pod: &Value, pulls: &Pulls) -> Option<Trouble> {
    let found = containers(pod);
    let found = found.filter_map(|(spec, status)| of_container(pod, spec, status, pulls));
    found.min()
}

/// The containers of a pod that have a status: each with its own.
fn containers(pod: &Value) -> impl Iterator<Item = (&Value, &Value)> {
    let lists = [
        ("initContainers", "initContainerStatuses"),
        ("containers", "containerStatuses"),
    ];
    lists.into_iter().flat_map(|(specs, statuses)| {
        let (specs, statuses) = (&pod["spec"][specs], pod["status"][statuses].as_array());
        statuses.into_iter().flatten().map(|status| {
            let mut specs = specs.as_array().into_iter().flatten();
            let spec = specs.find(|spec| spec["name"] == status["name"]);
            (spec.unwrap_or(&Value::Null), status)
        })
    })
}

fn of_container(pod: &Value, spec: &Value, status: &Value, pulls: &Pulls) -> Option<Trouble> {
    let name = pod["metadata"]["name"].as_str()?;
    let other = |text: String| Trouble::Other {
        pod: name.to_owned(),
        text,
    };
    let container = status["name"].as_str().unwrap_or_default();
    let Some(reason) = status["state"]["waiting"]["reason"].as_str() else {
        let code = status["state"]["terminated"]["exitCode"].as_i64()?;
        return (code != 0)
            .then(|| other(format!("container {container} ended with exit code {code}")));
    };
    let message = status["state"]["waiting"]["message"].as_str();
    let message = one_line(message.unwrap_or("no message"));
    let at = match reason {
        "ContainerCreating" | "PodInitializing" => return None,
        "InvalidImageName" | "ErrImageNeverPull" => Try::Last,
        "ErrImagePull" | "ImageInspectError" | "RegistryUnavailable" => Try::Failed,
        "ImagePullBackOff" => Try::Paused,
        _ => return Some(other(format!("{reason}: {message}"))),
    };
    // the status may have the image of the container that a bare Pod had before
    let image = spec["image"].as_str().or(status["image"].as_str());
    let image = image.unwrap_or_default();
    if !pulls.count(image) {
        return Some(other(format!("{reason}: {message}")));
    }
    let at = match at {
        Try::Paused if !message.contains(image) => Try::Failed,
        at => at,
    };
    Some(Trouble::Pull {
        pod: name.to_owned(),
        uid: pod["metadata"]["uid"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        node: pod["spec"]["nodeName"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        image: image.to_owned(),
        at,
        message: format!("{reason}: {message}"),
    })
}
