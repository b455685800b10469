//! One image pulled by a pod that never runs it.
//!
//! Decides what such a pod looks like and when its image counts as pulled. A kubelet pulls first and looks
//! at the container's environment then: one that names a ConfigMap which is not there is never made, let
//! alone started, whatever the image has in it.

use super::collection::Collection;
use super::pulls::Pulls;
use super::trouble::{self, Trouble};
use super::{Cluster, Error, NotReady};
use crate::platform::Platform;
use crate::workload::{MANAGED_BY, SKIP};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A pull to be tried.
#[derive(Debug, Clone)]
pub struct Pull {
    /// The image text.
    pub image: String,
    /// Names of pull secrets in the pod's namespace.
    pub pull_secrets: Vec<String>,
    /// The ServiceAccount, whose pull secrets a pod without its own gets.
    pub service_account: String,
    /// The nodes it is tried on; any where none is given.
    pub platform: Option<Platform>,
    /// The pod spec that it takes its place after: selectors, affinity, tolerations.
    pub like: Value,
}

/// What trying a pull came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pulled {
    /// The image is on this node.
    Yes {
        /// Its name.
        node: String,
    },
    /// A node could not have it.
    No(NotReady),
    /// No node tried, for this reason.
    Untried(String),
    /// It was to end early.
    Interrupted,
}

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// A pod that no node takes for so long, or that something else in it keeps, proves nothing.
const PATIENCE: Duration = Duration::from_secs(20);
/// The container's name; whatever else is put into the pod is not ours.
const CONTAINER: &str = "canary";

impl Cluster {
    /// Tries a pull with a pod of this name that never runs its image, for so long at most, and deletes it.
    ///
    /// # Errors
    /// When the pod cannot be made, watched or deleted.
    pub async fn try_pull(
        &self,
        namespace: &str,
        name: &str,
        pull: &Pull,
        timeout: Duration,
        stop: &CancellationToken,
    ) -> Result<Pulled, Error> {
        let pods = Collection::core("pods", "pod", Some(namespace));
        let object = pod(namespace, name, pull, timeout);
        self.create(&pods, name, &object).await?;
        let followed = follow(self, &pods, name, pull, timeout);
        let followed = stop.run_until_cancelled(followed).await;
        match self.delete(&pods, name, None).await {
            Ok(()) | Err(Error::NotFound(_)) => followed.unwrap_or(Ok(Pulled::Interrupted)),
            Err(error) => Err(error),
        }
    }
}

async fn follow(
    cluster: &Cluster,
    pods: &Collection,
    name: &str,
    pull: &Pull,
    timeout: Duration,
) -> Result<Pulled, Error> {
    let started = Instant::now();
    let mut pulls = Pulls::of([&pull.image]);
    let mut kept_since = None;
    loop {
        let pod = cluster.get_one(pods, name).await?;
        if is_pulled(&pod) {
            let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
            return Ok(Pulled::Yes {
                node: node.to_owned(),
            });
        }
        let trouble = trouble::of_containers(&pod, &pulls);
        let is_kept = match &trouble {
            Some(Trouble::Pull { .. }) => false,
            Some(Trouble::Other { .. }) => true,
            None => trouble::unscheduled(&pod).is_some(),
        };
        kept_since = is_kept.then(|| kept_since.unwrap_or_else(Instant::now));
        if pod["status"]["phase"] == "Failed"
            || pulls.failed_again(&trouble)
            || kept_since.is_some_and(|since| since.elapsed() >= PATIENCE)
            || started.elapsed() >= timeout
        {
            return Ok(given_up(cluster, &pod, trouble).await);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What a pull came to that is waited for no longer.
async fn given_up(cluster: &Cluster, pod: &Value, trouble: Option<Trouble>) -> Pulled {
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
    // a pod that was ended meanwhile still says what its pull came to
    if let Some(trouble @ Trouble::Pull { .. }) = trouble {
        return Pulled::No(trouble::told(cluster, namespace, trouble).await);
    }
    let status = &pod["status"];
    if let Some(unscheduled) = trouble::unscheduled(pod) {
        let why = unscheduled["message"].as_str();
        return Pulled::Untried(why.unwrap_or("no node takes its pod").to_owned());
    }
    if status["phase"] == "Failed" {
        let why = status["message"].as_str().or(status["reason"].as_str());
        return Pulled::Untried(why.unwrap_or("its pod failed").to_owned());
    }
    match trouble {
        Some(trouble) => Pulled::Untried(trouble::told(cluster, namespace, trouble).await.why),
        None => Pulled::No(NotReady {
            why: "its pull did not end in time".to_owned(),
            hint: None,
            cannot_pull: true,
            is_denied: false,
        }),
    }
}

/// Whether the kubelet is past the pull.
fn is_pulled(pod: &Value) -> bool {
    let statuses = pod["status"]["containerStatuses"].as_array();
    let mut statuses = statuses.into_iter().flatten();
    let Some(status) = statuses.find(|status| status["name"] == CONTAINER) else {
        return false;
    };
    let state = &status["state"];
    let past = [
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "PostStartHookError",
        "CrashLoopBackOff",
    ];
    let waits = state["waiting"]["reason"].as_str();
    waits.is_some_and(|reason| past.contains(&reason))
        || state["running"].is_object()
        || state["terminated"].is_object()
}

fn pod(namespace: &str, name: &str, pull: &Pull, timeout: Duration) -> Value {
    let like = |field: &str| pull.like[field].clone();
    let mut selector = match like("nodeSelector") {
        selector @ Value::Object(_) => selector,
        _ => json!({}),
    };
    if let Some(platform) = &pull.platform {
        selector["kubernetes.io/os"] = json!(platform.os());
        selector["kubernetes.io/arch"] = json!(platform.architecture());
    }
    let secrets = pull.pull_secrets.iter().filter(|name| !name.is_empty());
    let secrets: Vec<Value> = secrets.map(|name| json!({"name": name})).collect();
    let never = json!({"name": name, "key": "never"});
    // quotas ask for figures; nothing ever runs
    let little = json!({"cpu": "10m", "memory": "16Mi"});
    let (managed_by, ours) = MANAGED_BY;
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {
                managed_by: ours,
                "app.kubernetes.io/component": "canary",
                "sidecar.istio.io/inject": "false",
            },
            "annotations": {
                SKIP: "true",
                "sidecar.istio.io/inject": "false",
                "linkerd.io/inject": "disabled",
            },
        },
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": timeout.as_secs().clamp(1, 86_400) + 60,
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "serviceAccountName": pull.service_account,
            "imagePullSecrets": secrets,
            "nodeSelector": selector,
            "affinity": like("affinity")["nodeAffinity"].as_object().map(|it| json!({"nodeAffinity": it})),
            "tolerations": like("tolerations"),
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": 65534,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": CONTAINER,
                "image": pull.image,
                "imagePullPolicy": "Always",
                "command": ["/image-cloner.io/never"],
                "env": [{"name": "NEVER", "valueFrom": {"configMapKeyRef": never}}],
                "resources": {"requests": little, "limits": little},
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": {"drop": ["ALL"]},
                },
            }],
        },
    })
}
