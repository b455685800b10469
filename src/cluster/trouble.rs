//! Why a rollout does not get on, in the words of its pods.
//!
//! Decides which pod speaks for all: one of the new revision, and one that cannot pull before one that
//! only is not ready. Best effort: whatever cannot be read is left out.

use super::collection::Collection;
use super::pulls::{Pulling, Pulls, Try};
use super::request::Only;
use super::rollout::condition;
use super::{Cluster, NotReady, workload_of};
use crate::reference::Reference;
use crate::workload::{Workload, WorkloadId};
use serde_json::Value;

/// What keeps a pod from being ready; the worst kind first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trouble {
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
) -> NotReady {
    let plain = |why: String| NotReady {
        why,
        hint: None,
        cannot_pull: false,
        is_denied: false,
    };
    match all(cluster, id, object).await.into_iter().min() {
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
    let troubles = of_pods(cluster, workload).await;
    let has_failed = pulls.failed_again(&troubles);
    match troubles.into_iter().min() {
        Some(trouble @ Trouble::Pull { .. }) if has_failed => {
            Pulling::Failed(told(cluster, &workload.id.namespace, trouble).await)
        }
        Some(Trouble::Pull { .. }) => Pulling::Retried,
        _ => Pulling::Well,
    }
}

/// What keeps the pods of the revision that rolls out.
pub(super) async fn all(cluster: &Cluster, id: &WorkloadId, object: &Value) -> Vec<Trouble> {
    if id.kind.is_pod() {
        return trouble(object).into_iter().collect();
    }
    match workload_of(id, object) {
        Ok(workload) => of_pods(cluster, &workload).await,
        Err(_) => Vec::new(),
    }
}

async fn of_pods(cluster: &Cluster, workload: &Workload) -> Vec<Trouble> {
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
        is_current(workload, &pod).then(|| trouble(&pod)).flatten()
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

/// Whether a pod is of the revision that rolls out: its images are the template's.
fn is_current(workload: &Workload, pod: &Value) -> bool {
    workload.slots.iter().all(|slot| {
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

/// What keeps a pod from being ready, as far as it says.
pub(super) fn trouble(pod: &Value) -> Option<Trouble> {
    let status = &pod["status"];
    let found = of_containers(pod);
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
pub(super) fn of_containers(pod: &Value) -> Option<Trouble> {
    let lists = [
        ("initContainers", "initContainerStatuses"),
        ("containers", "containerStatuses"),
    ];
    let found = lists.iter().flat_map(|(specs, statuses)| {
        let (specs, statuses) = (&pod["spec"][specs], pod["status"][statuses].as_array());
        let statuses = statuses.into_iter().flatten();
        statuses.filter_map(move |status| of_container(pod, specs, status))
    });
    found.min()
}

fn of_container(pod: &Value, specs: &Value, status: &Value) -> Option<Trouble> {
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
    let specs = specs.as_array();
    let mut specs = specs.into_iter().flatten();
    let spec = specs.find(|spec| spec["name"] == container);
    let image = spec.map_or(&status["image"], |spec| &spec["image"]);
    let image = image.as_str().unwrap_or_default();
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

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
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
        let text = |status: Value| match trouble(&pod(&status)) {
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
        assert!(of_containers(&pod(&pulling)).is_none());
    }

    #[test]
    fn a_pause_after_the_pull_of_another_image_is_no_pause_after_this_ones() {
        let check = |status: Value, expected: Try| {
            let mut pod = pod(&json!({"containerStatuses": [status]}));
            pod["spec"]["containers"] = json!([{"name": "c", "image": "reg.corp/new:1"}]);
            let Some(Trouble::Pull { image, at, .. }) = of_containers(&pod) else {
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
            &format!(
                "{wrapped}failed to do request: x509: certificate signed by unknown authority"
            ),
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
        let of = |image: &str| json!({"spec": {"containers": [{"name": "c", "image": image}]}});
        assert!(is_current(&workload, &of("new")));
        assert!(!is_current(&workload, &of("old")));
    }
}
