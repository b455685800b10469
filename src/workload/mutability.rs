//! Whether a pod template can be changed, and what a change then leads to.

use super::Kind;
use serde_json::Value;

/// What a change of the pod template leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mutability {
    /// The controller replaces the pods; a bare Pod's containers restart.
    RollsOut,
    /// It takes effect later, for the reason given: the next scheduled Job, `OnDelete`, a ReplicaSet's next pod.
    TakesEffectLater(&'static str),
    /// It is not stored yet: it will be made as its template says by then.
    Unmade,
    /// The API refuses the change, or it would kill what runs: images are copied only, for this reason.
    Immutable(&'static str),
}

impl Mutability {
    /// What a change of this object's pod template leads to.
    pub(super) fn of(kind: &Kind, object: &Value) -> Self {
        use Mutability::{Immutable, RollsOut, TakesEffectLater};
        let spec = &object["spec"];
        match kind.canonical() {
            ("", "Pod") => Self::of_pod(object),
            ("batch", "Job") => Immutable("a Job's template cannot be changed"),
            ("batch", "CronJob") => TakesEffectLater("takes effect at the next scheduled Job"),
            ("apps", "ReplicaSet") => {
                TakesEffectLater("takes effect for the pods that the ReplicaSet makes from now on")
            }
            ("apps", "StatefulSet" | "DaemonSet")
                if spec["updateStrategy"]["type"] == "OnDelete" =>
            {
                TakesEffectLater("OnDelete: takes effect as pods are deleted")
            }
            ("apps", "StatefulSet")
                if spec["updateStrategy"]["rollingUpdate"]["partition"]
                    .as_i64()
                    .is_some_and(|partition| partition > 0) =>
            {
                TakesEffectLater("partition: pods below it keep what they run")
            }
            _ if spec["paused"] == true => TakesEffectLater("paused: takes effect when resumed"),
            _ => RollsOut,
        }
    }

    /// A running pod's image can be changed; its container is then killed and, only where the restart
    /// policy says so, started again.
    fn of_pod(object: &Value) -> Self {
        if matches!(
            object["status"]["phase"].as_str(),
            Some("Succeeded" | "Failed")
        ) {
            return Self::Immutable("the pod has finished");
        }
        match object["spec"]["restartPolicy"].as_str() {
            None | Some("Always") => Self::RollsOut,
            Some(_) => Self::Immutable(
                "changing its image would kill its container, which its restart policy may not start again",
            ),
        }
    }
}
