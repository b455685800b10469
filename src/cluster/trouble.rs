//! Why a rollout does not get on, in the words of its pods.
//!
//! Decides which pod speaks for all: one of the new revision, and one that cannot pull before one that
//! only is not ready. Best effort: whatever cannot be read is left out.

use super::request::{Collection, Only};
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
        node: String,
        image: String,
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
    };
    match worst(cluster, id, object).await {
        Some(trouble) => return told(cluster, &id.namespace, trouble).await,
        None if id.kind.is_pod() => return plain(state.to_owned()),
        None => {}
    }
    if let Some(failure) = condition(&object["status"], "ReplicaFailure") {
        return plain(one_line(failure["message"].as_str().unwrap_or(state)));
    }
    let created = events(
        cluster,
        &id.namespace,
        &id.kind.kind,
        &id.name,
        "FailedCreate",
    )
    .await;
    plain(created.unwrap_or_else(|| state.to_owned()))
}

/// Whether a pod of the revision that rolls out cannot get its image.
pub(super) async fn cannot_pull(cluster: &Cluster, id: &WorkloadId, object: &Value) -> bool {
    let worst = worst(cluster, id, object).await;
    matches!(worst, Some(Trouble::Pull { .. }))
}

/// Why pods of this workload cannot get their images, in their words; none where they can.
pub(super) async fn of_pulls(cluster: &Cluster, workload: &Workload) -> Option<NotReady> {
    match worst_of_pods(cluster, workload).await {
        Some(trouble @ Trouble::Pull { .. }) => {
            Some(told(cluster, &workload.id.namespace, trouble).await)
        }
        _ => None,
    }
}

/// What keeps the pods of the revision that rolls out; the worst of it.
async fn worst(cluster: &Cluster, id: &WorkloadId, object: &Value) -> Option<Trouble> {
    if id.kind.is_pod() {
        return trouble(object);
    }
    worst_of_pods(cluster, &workload_of(id, object).ok()?).await
}

async fn worst_of_pods(cluster: &Cluster, workload: &Workload) -> Option<Trouble> {
    let id = &workload.id;
    let collection = Collection::core("pods", "pod", Some(&id.namespace));
    let only = Only {
        labels: Some(workload.pod_selector.as_deref()?),
        ..Only::default()
    };
    let found = cluster.list(&collection, only, |pod| {
        is_current(workload, &pod).then(|| trouble(&pod)).flatten()
    });
    found.await.ok()?.into_iter().min()
}

/// A trouble in words: `web-7c9-abc on n7: the cause`.
pub(super) async fn told(cluster: &Cluster, namespace: &str, trouble: Trouble) -> NotReady {
    match trouble {
        Trouble::Other { pod, text } => NotReady {
            why: format!("{pod}: {text}"),
            hint: None,
            cannot_pull: false,
        },
        Trouble::Pull {
            pod,
            node,
            image,
            message,
        } => {
            // the status alternates between the registry's words and the bare back-off; events keep both
            let detail = events(cluster, namespace, "Pod", &pod, "Failed").await;
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
    let denied = ["401 Unauthorized", "403 Forbidden", "authorization failed"];
    let denied = denied.iter().any(|word| text.contains(word));
    denied.then(|| format!("{node} has no credentials that {registry} takes for this image"))
}

/// The newest warning about an object for this reason.
async fn events(
    cluster: &Cluster,
    namespace: &str,
    kind: &str,
    name: &str,
    reason: &str,
) -> Option<String> {
    let collection = Collection::core("events", "event", Some(namespace));
    let fields = format!("involvedObject.kind={kind},involvedObject.name={name},reason={reason}");
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
    let name = pod["metadata"]["name"].as_str()?.to_owned();
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    let other = |text: String| Trouble::Other {
        pod: name.clone(),
        text,
    };
    let statuses = ["initContainerStatuses", "containerStatuses"];
    let containers = statuses
        .iter()
        .filter_map(|field| status[*field].as_array());
    let found = containers.flatten().filter_map(|container| {
        if let Some(reason) = container["state"]["waiting"]["reason"].as_str() {
            let message = container["state"]["waiting"]["message"].as_str();
            let message = one_line(message.unwrap_or("no message"));
            return match reason {
                "ContainerCreating" | "PodInitializing" => None,
                "ImagePullBackOff"
                | "ErrImagePull"
                | "InvalidImageName"
                | "ErrImageNeverPull"
                | "ImageInspectError"
                | "RegistryUnavailable" => Some(Trouble::Pull {
                    pod: name.clone(),
                    node: node.to_owned(),
                    image: container["image"].as_str().unwrap_or_default().to_owned(),
                    message: format!("{reason}: {message}"),
                }),
                _ => Some(other(format!("{reason}: {message}"))),
            };
        }
        let code = container["state"]["terminated"]["exitCode"].as_i64()?;
        let of = container["name"].as_str().unwrap_or_default();
        (code != 0).then(|| other(format!("container {of} ended with exit code {code}")))
    });
    if let Some(worst) = found.min() {
        return Some(worst);
    }
    let scheduled = condition(status, "PodScheduled").filter(|it| it["status"] == "False");
    if let Some(unscheduled) = scheduled {
        let reason = unscheduled["reason"].as_str().unwrap_or("Unschedulable");
        let message = one_line(unscheduled["message"].as_str().unwrap_or("no message"));
        return Some(other(format!("{reason}: {message}")));
    }
    let ready = condition(status, "Ready").filter(|it| it["status"] == "False")?;
    let message = one_line(ready["message"].as_str().unwrap_or("not ready"));
    Some(other(message))
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
                pod,
                node,
                image: _,
                message,
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
