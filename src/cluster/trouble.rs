//! Why a rollout does not get on, in the words of its pods.
//!
//! Decides which pod speaks for all: one of the new revision, and one that cannot pull before one that
//! only is not ready. Best effort: whatever cannot be read is left out.

use super::request::{Collection, Only};
use super::rollout::condition;
use super::{Cluster, workload_of};
use crate::workload::{Workload, WorkloadId};
use serde_json::Value;

/// What keeps a pod from being ready; the worst kind first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    Pull {
        pod: String,
        node: String,
        reason: String,
        message: String,
    },
    Other {
        pod: String,
        text: String,
    },
}

/// One line: the pods' own reason, else the controller's, else how far it got.
pub(super) async fn of(cluster: &Cluster, id: &WorkloadId, object: &Value, state: &str) -> String {
    let Ok(workload) = workload_of(id, object) else {
        return state.to_owned();
    };
    if let Some(text) = pods(cluster, &workload, object).await {
        return text;
    }
    if let Some(failure) = condition(&object["status"], "ReplicaFailure") {
        return one_line(failure["message"].as_str().unwrap_or(state));
    }
    let created = events(cluster, id, &id.kind.kind, &id.name, "FailedCreate").await;
    created.unwrap_or_else(|| state.to_owned())
}

async fn pods(cluster: &Cluster, workload: &Workload, object: &Value) -> Option<String> {
    let id = &workload.id;
    let worst = if id.kind.is_pod() {
        trouble(object)
    } else {
        let collection = Collection::core("pods", "pod", Some(&id.namespace));
        let only = Only {
            labels: Some(workload.pod_selector.as_deref()?),
            ..Only::default()
        };
        let found = cluster.list(&collection, only, |pod| {
            is_current(workload, &pod).then(|| trouble(&pod)).flatten()
        });
        found.await.ok()?.into_iter().min()
    };
    match worst? {
        Trouble::Other { pod, text } => Some(format!("{pod}: {text}")),
        Trouble::Pull {
            pod,
            node,
            reason,
            message,
        } => {
            // the status alternates between the registry's words and the bare back-off; events keep both
            let detail = events(cluster, id, "Pod", &pod, "Failed").await;
            let detail = detail
                .filter(|text| text.contains("pull"))
                .unwrap_or(message);
            Some(format!("{pod}{node}: {reason}: {detail}"))
        }
    }
}

/// The newest warning about an object for this reason.
async fn events(
    cluster: &Cluster,
    id: &WorkloadId,
    kind: &str,
    name: &str,
    reason: &str,
) -> Option<String> {
    let collection = Collection::core("events", "event", Some(&id.namespace));
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

fn trouble(pod: &Value) -> Option<Trouble> {
    let status = &pod["status"];
    let name = pod["metadata"]["name"].as_str()?.to_owned();
    let node = pod["spec"]["nodeName"].as_str();
    let node = node.map_or_else(String::new, |node| format!(" on {node}"));
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
                    node: node.clone(),
                    reason: reason.to_owned(),
                    message,
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
                reason,
                message,
            }) => {
                format!("{pod}{node}: {reason}: {message}")
            }
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
