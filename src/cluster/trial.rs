//! A trial: a short-lived pod that shows whether a node can pull an image.
//!
//! Decides what such a pod is: it runs nothing of the image, asks for nothing, is told from others by our
//! label, and is deleted whatever came of it. Never decides where or with which image.

use super::pull_secret::{LABEL, OURS};
use super::request::Collection;
use super::{Cluster, Error};
use crate::platform::Platform;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// An image as a workload has its nodes pull it.
#[derive(Debug, Clone)]
pub struct Trial<'a> {
    /// Where.
    pub namespace: &'a str,
    /// The image.
    pub image: &'a str,
    /// The pull secrets of the workload.
    pub pull_secrets: &'a [String],
    /// The workload's ServiceAccount.
    pub service_account: &'a str,
    /// Nodes of this platform.
    pub platform: &'a Platform,
}

/// What came of a trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tried {
    /// This node pulled it.
    Pulled(String),
    /// This node did not, for this reason.
    Refused(String, String),
    /// It is not known, for this reason.
    Unknown(String),
}

/// How often the pod is looked at.
const PACE: Duration = Duration::from_millis(400);

/// When the kubelet ends a pod that nobody deleted.
const DEADLINE: u64 = 120;

/// What the container would run. There is no such program: the kubelet pulls the image and starts nothing.
const NOTHING: &str = "/image-cloner-pulls-and-starts-nothing";

pub(super) async fn run(
    cluster: &Cluster,
    trial: &Trial<'_>,
    patience: Duration,
) -> Result<Tried, Error> {
    let pods = Collection::core("pods", "pod", Some(trial.namespace));
    let pod = cluster
        .create(&pods, "image-cloner-trial", &pod(trial))
        .await?;
    let Some(name) = pod["metadata"]["name"].as_str() else {
        return Err(Error::Failed(
            "creating a trial pod: the server gave it no name".to_owned(),
        ));
    };
    let tried = watch(cluster, &pods, name, patience).await;
    match cluster.delete(&pods, name, None).await {
        Ok(()) | Err(Error::NotFound(_)) => tried,
        Err(error) => tried.and(Err(error)),
    }
}

async fn watch(
    cluster: &Cluster,
    pods: &Collection,
    name: &str,
    patience: Duration,
) -> Result<Tried, Error> {
    let started = Instant::now();
    loop {
        let pod = cluster.get_one(pods, name).await?;
        if let Some(tried) = tried(&pod) {
            return Ok(tried);
        }
        if started.elapsed() > patience {
            return Ok(Tried::Unknown(waiting(&pod)));
        }
        tokio::time::sleep(PACE).await;
    }
}

fn pod(trial: &Trial<'_>) -> Value {
    let secrets = trial.pull_secrets.iter().map(|name| json!({"name": name}));
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "image-cloner-trial-",
            "namespace": trial.namespace,
            "labels": {LABEL: OURS},
        },
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": DEADLINE,
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": false,
            "serviceAccountName": trial.service_account,
            "imagePullSecrets": secrets.collect::<Vec<_>>(),
            "nodeSelector": {
                "kubernetes.io/os": trial.platform.os(),
                "kubernetes.io/arch": trial.platform.architecture(),
            },
            // a taint keeps pods away, not images
            "tolerations": [{"operator": "Exists"}],
            "containers": [{
                "name": "trial",
                "image": trial.image,
                "imagePullPolicy": "Always",
                "command": [NOTHING],
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": {"drop": ["ALL"]},
                },
                "resources": {
                    "requests": {"cpu": "1m", "memory": "8Mi"},
                    "limits": {"cpu": "50m", "memory": "32Mi"},
                },
            }],
        },
    })
}

/// What a pod shows; none while it shows nothing yet.
fn tried(pod: &Value) -> Option<Tried> {
    let node = pod["spec"]["nodeName"].as_str()?.to_owned();
    let container = pod.pointer("/status/containerStatuses/0")?;
    let waiting = &container["state"]["waiting"];
    match waiting["reason"].as_str() {
        None if container["state"].get("waiting").is_some() => None,
        Some("ContainerCreating" | "PodInitializing") => None,
        Some(reason @ ("ErrImagePull" | "ImagePullBackOff" | "InvalidImageName")) => {
            let message = waiting["message"].as_str().unwrap_or(reason);
            let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
            Some(Tried::Refused(node, line))
        }
        // it was to be started, or was: what is behind a pull
        _ => Some(Tried::Pulled(node)),
    }
}

/// Why there is nothing to see: the scheduler's reason where it has one.
fn waiting(pod: &Value) -> String {
    let conditions = pod["status"]["conditions"].as_array();
    let unscheduled = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == "PodScheduled" && condition["status"] == "False");
    let message = unscheduled.and_then(|condition| condition["message"].as_str());
    message.map_or_else(
        || "the pod was not started in time".to_owned(),
        |message| message.split_whitespace().collect::<Vec<_>>().join(" "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_is_known_by_what_comes_after_it() {
        let check = |state: Value, expected: Option<Tried>| {
            let pod = json!({
                "spec": {"nodeName": "n1"},
                "status": {"containerStatuses": [{"state": state}]},
            });
            assert_eq!(tried(&pod), expected, "{pod}");
        };
        let node = || "n1".to_owned();
        check(json!({"waiting": {"reason": "ContainerCreating"}}), None);
        check(
            json!({"waiting": {"reason": "RunContainerError", "message": "no such file"}}),
            Some(Tried::Pulled(node())),
        );
        check(
            json!({"terminated": {"reason": "ContainerCannotRun"}}),
            Some(Tried::Pulled(node())),
        );
        check(
            json!({"waiting": {"reason": "ErrImagePull", "message": "x509:\n unknown"}}),
            Some(Tried::Refused(node(), "x509: unknown".to_owned())),
        );
        assert_eq!(tried(&json!({"spec": {}})), None);
    }
}
