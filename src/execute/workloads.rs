//! The workloads of a run: each written once, and followed where that was asked for.

use super::{Event, Observer, Options};
use crate::cluster::{Cluster, Error, NotReady, Rollout, TRIES, Write};
use crate::outcome::{DryRun, Failure, ImageOutcome, Outcome, WorkloadOutcome, WorkloadState};
use crate::patch;
use crate::plan::{Decision, Plan, Planned};
use crate::workload::{Workload, WorkloadId};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Workloads written at once.
pub(super) const WRITERS: usize = 16;

/// One run against one cluster.
pub struct Run {
    /// Where the workloads are.
    pub cluster: Cluster,
    /// The run's short id, as it goes into the records.
    pub id: String,
    /// What holds for the whole run.
    pub options: Options,
    /// Told of everything that happens.
    pub observer: Arc<dyn Observer>,
}

/// What a workload came to: the last plan for it, and the object after the write, where there was one.
pub(super) struct Written {
    pub(super) planned: Planned,
    pub(super) object: Option<Value>,
}

/// What following a rollout came to.
pub(super) enum Followed {
    /// It was not followed, or not to its end: what there is to say of that.
    Not(Option<String>),
    /// Its pods are ready.
    Ready(String),
    /// It takes effect later.
    Later(String),
    /// It came to nothing.
    NotReady(NotReady),
    /// The API server no longer tells.
    Unknown(Failure),
}

impl Run {
    pub(super) fn outcome(
        &self,
        started: Instant,
        images: Vec<ImageOutcome>,
        workloads: Vec<WorkloadOutcome>,
    ) -> Outcome {
        Outcome {
            run: self.id.clone(),
            images,
            workloads,
            took: started.elapsed(),
            interrupted: self.options.stop.is_cancelled(),
            dry_run: self.options.dry_run,
        }
    }

    /// Writes a workload: reads it again, plans on what is there now, and sends the patch; from the start
    /// when somebody else wrote in between.
    pub(super) async fn write(
        &self,
        id: &WorkloadId,
        decide: impl AsyncFn(Workload) -> Result<Planned, Failure>,
    ) -> Result<Written, Failure> {
        for _ in 0..TRIES {
            if self.options.stop.is_cancelled() {
                return Err(Failure::new("interrupted before it was changed"));
            }
            let object = self.cluster.get(id).await?;
            let live = Workload::from_object(&id.kind, &object).map_err(Failure::new)?;
            let planned = decide(live).await?;
            let Decision::Repoint(repoint) = &planned.decision else {
                return Ok(Written {
                    planned,
                    object: None,
                });
            };
            let body = patch::body(&planned.workload, repoint);
            if self.options.dry_run == DryRun::Client {
                let object = Some(applied(object, &body)?);
                return Ok(Written { planned, object });
            }
            match self.cluster.patch(id, &body).await {
                Ok(object) => {
                    return Ok(Written {
                        planned,
                        object: Some(object),
                    });
                }
                Err(Error::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::new(format!(
            "it changed {TRIES} times while it was being written"
        ))
        .hint("run the same command again"))
    }

    /// Tells of a workload that was dealt with.
    pub(super) fn finished(&self, outcome: &WorkloadOutcome) {
        self.observer.notice(&Event::WorkloadFinished(outcome));
    }

    /// Follows a rollout for so long, if at all.
    pub(super) async fn follow(
        &self,
        id: &WorkloadId,
        write: Option<Write<'_>>,
        timeout: Option<Duration>,
    ) -> Followed {
        let waits = async |timeout| self.cluster.wait(id, write, timeout).await;
        self.follow_by(id, waits, timeout).await
    }

    /// The same by this way of waiting.
    pub(super) async fn follow_by(
        &self,
        id: &WorkloadId,
        waits: impl AsyncFnOnce(Duration) -> Result<Rollout, Error>,
        timeout: Option<Duration>,
    ) -> Followed {
        let Some(timeout) = timeout.filter(|_| self.options.dry_run == DryRun::None) else {
            return Followed::Not(None);
        };
        self.observer.notice(&Event::RollingOut(id));
        let waited = waits(timeout);
        match self.options.stop.run_until_cancelled(waited).await {
            None => Followed::Not(Some("not waited for: interrupted".to_owned())),
            Some(Ok(Rollout::Ready(state))) => Followed::Ready(state),
            Some(Ok(Rollout::Later(why))) => Followed::Later(format!("takes effect later: {why}")),
            Some(Ok(Rollout::NotReady(why))) => Followed::NotReady(why),
            Some(Err(error)) => Followed::Unknown(error.into()),
        }
    }

    /// Whether the pods got the images that they were given; none where that was not seen.
    pub(super) async fn pulled(
        &self,
        id: &WorkloadId,
        write: Option<Write<'_>>,
        followed: &Followed,
    ) -> Option<bool> {
        match (followed, write) {
            (Followed::NotReady(why), _) if why.cannot_pull => Some(false),
            (Followed::Ready(_), Some(write)) => {
                let has_pulled = self.cluster.has_pulled(id, write).await;
                has_pulled.then_some(true)
            }
            _ => None,
        }
    }
}

impl Followed {
    /// What there is to say of a rollout that nobody puts back.
    pub(super) fn settled(self) -> Result<Option<String>, Failure> {
        match self {
            Self::Not(said) => Ok(said),
            Self::Ready(state) | Self::Later(state) => Ok(Some(state)),
            Self::NotReady(not_ready) => Err(failure(not_ready, CHANGED)),
            Self::Unknown(failure) => Err(failure),
        }
    }
}

/// What comes before the reason of a rollout that came to nothing.
pub(super) const CHANGED: &str = "changed, but not ready: ";

/// A failed rollout as a failure, in the words of its pods.
pub(super) fn failure(not_ready: NotReady, what: &str) -> Failure {
    let failure = Failure::new(format!("{what}{}", not_ready.why));
    match not_ready.hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// An outcome of which nothing is known yet.
pub(super) fn begun(id: &WorkloadId) -> WorkloadOutcome {
    WorkloadOutcome {
        workload: id.clone(),
        state: WorkloadState::Unchanged,
        notes: Vec::new(),
        left: false,
        owned: false,
        object: None,
    }
}

/// What a plan for one workload says of it; one that the plan leaves out stays as it is.
pub(super) fn only(plan: Plan, workload: &Workload) -> Planned {
    let planned = plan.workloads.into_iter().next();
    planned.unwrap_or_else(|| Planned {
        workload: workload.clone(),
        decision: Decision::Unchanged,
        targets: BTreeSet::new(),
        notes: Vec::new(),
    })
}

/// The object as the patch would make it. Its `test`s were just made when it was planned, and a field that
/// is absent is tested in a way that only API servers understand.
fn applied(mut object: Value, body: &Value) -> Result<Value, Failure> {
    let failed = |error: String| Failure::new(format!("trying the change: {error}"));
    let writes = body
        .as_array()
        .into_iter()
        .flatten()
        .filter(|step| step["op"] != "test");
    let writes: json_patch::Patch = serde_json::from_value(writes.cloned().collect())
        .map_err(|error| failed(error.to_string()))?;
    json_patch::patch(&mut object, &writes).map_err(|error| failed(error.to_string()))?;
    Ok(object)
}
