//! The workloads of a run: each written once, when its images are there.

use super::images::Images;
use super::{Event, Observer, Options};
use crate::cluster::{Cluster, Error, Rollout, Write};
use crate::credentials::Credentials;
use crate::outcome::{DryRun, Failure, Outcome, WorkloadOutcome, WorkloadState};
use crate::patch;
use crate::plan::{self, Copy, Decision, Observed, Plan, Planned, Policy};
use crate::workload::{Workload, WorkloadId};
use futures::future::join_all;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;

/// Writers of one object can collide; after so many collisions in a row something else is wrong.
const TRIES: usize = 5;
/// Workloads written at once.
const WRITERS: usize = 16;

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

/// What a clone may hand out and to whom.
#[derive(Debug, Clone)]
pub struct CloneTerms {
    /// The policy of the plan, to plan again with when a workload changed under way.
    pub policy: Policy,
    /// The pull secret of ours, put into a namespace before the first workload there needs it.
    pub pull_secret: Option<PullSecret>,
}

/// A pull secret as it is to be.
#[derive(Debug, Clone)]
pub struct PullSecret {
    /// The entry's key: `host[/prefix]`.
    pub key: String,
    /// What nodes pull with.
    pub credentials: Credentials,
}

/// What a workload came to: the last plan for it, and the object after the write, where there was one.
struct Written {
    planned: Planned,
    object: Option<Value>,
}

impl Run {
    /// Copies the plan's images and repoints its workloads, each as soon as its own images are there.
    /// `observed` is what the plan was made from.
    pub async fn clone(
        &self,
        plan: &Plan,
        observed: &[Observed],
        terms: &CloneTerms,
        images: &Images,
    ) -> Outcome {
        let started = Instant::now();
        let writers = Semaphore::new(WRITERS);
        let writing = plan
            .workloads
            .iter()
            .zip(observed)
            .map(|(planned, observed)| {
                let writers = &writers;
                async move {
                    let id = &observed.workload.id;
                    let written = self
                        .clone_one(plan, planned, observed, terms, images, writers)
                        .await;
                    let left = |decision: &Decision| match decision {
                        Decision::CopyOnly(_) => !terms.policy.copy_only,
                        Decision::Skip(_) => observed.named,
                        Decision::Repoint(_) | Decision::Unchanged => false,
                    };
                    self.finish(id, written, left, |rollout| WorkloadState::Repointed {
                        rollout,
                    })
                    .await
                }
            });
        let (_, workloads) =
            tokio::join!(images.copy(&plan.copies, &self.observer), join_all(writing));
        Outcome {
            run: self.id.clone(),
            images: images.arrived(),
            workloads,
            took: started.elapsed(),
            interrupted: self.options.stop.is_cancelled(),
            dry_run: self.options.dry_run,
        }
    }

    /// Gives back what the records of the plan's workloads say; `of_run` keeps to the records of that run.
    pub async fn restore(&self, plan: &Plan, of_run: Option<&str>) -> Outcome {
        let started = Instant::now();
        let writers = Semaphore::new(WRITERS);
        let writing = plan.workloads.iter().map(|planned| {
            let (workload, writers) = (&planned.workload, &writers);
            async move {
                let written = self.restore_one(workload, of_run, writers).await;
                let left = |decision: &Decision| matches!(decision, Decision::Skip(_));
                self.finish(&workload.id, written, left, |rollout| {
                    WorkloadState::Restored { rollout }
                })
                .await
            }
        });
        let workloads = join_all(writing).await;
        Outcome {
            run: self.id.clone(),
            images: Vec::new(),
            workloads,
            took: started.elapsed(),
            interrupted: self.options.stop.is_cancelled(),
            dry_run: self.options.dry_run,
        }
    }

    async fn clone_one(
        &self,
        plan: &Plan,
        planned: &Planned,
        observed: &Observed,
        terms: &CloneTerms,
        images: &Images,
        writers: &Semaphore,
    ) -> Result<Written, Failure> {
        let id = &observed.workload.id;
        let copies = plan
            .copies
            .iter()
            .filter(|copy| planned.targets.contains(&copy.target));
        self.images_there(id, copies, images).await?;
        if !matches!(planned.decision, Decision::Repoint(_)) {
            return Ok(Written {
                planned: planned.clone(),
                object: None,
            });
        }
        let _writer = writers.acquire().await;
        self.write(id, async |live| {
            let observed = match observed.at(live.clone()) {
                Some(observed) => observed,
                None => {
                    let target = &terms.policy.target;
                    let again = self.cluster.surround(live, observed.named, target);
                    again.await?.0
                }
            };
            let replan = |policy: &Policy| {
                plan::clone(std::slice::from_ref(&observed), policy)
                    .map_err(|error| Failure::new(error.to_string()))
            };
            let mut plan = replan(&terms.policy)?;
            self.images_there(id, plan.copies.iter(), images).await?;
            if terms.policy.images.pins.is_some() {
                // only now are the digests known
                let mut policy = terms.policy.clone();
                policy.images.pins = Some(images.digests(&plan.copies));
                plan = replan(&policy)?;
            }
            let planned = only(plan, &observed.workload);
            if let (Decision::Repoint(repoint), Some(secret)) =
                (&planned.decision, &terms.pull_secret)
                && let Some(name) = &repoint.needs_pull_secret
                && self.options.dry_run != DryRun::Client
            {
                self.cluster
                    .ensure_pull_secret(&id.namespace, name, &secret.key, &secret.credentials)
                    .await?;
            }
            Ok(planned)
        })
        .await
    }

    async fn restore_one(
        &self,
        workload: &Workload,
        of_run: Option<&str>,
        writers: &Semaphore,
    ) -> Result<Written, Failure> {
        let _writer = writers.acquire().await;
        let mut written = self
            .write(&workload.id, async |live| {
                Ok(only(
                    plan::restore(std::slice::from_ref(&live), of_run),
                    &live,
                ))
            })
            .await?;
        if written.object.is_some()
            && self.options.dry_run == DryRun::None
            && let Err(error) = self.cluster.disown(&workload.id).await
        {
            // the images are back; only the field ownership stays behind
            written
                .planned
                .notes
                .push(format!("still listed as a field manager: {error}"));
        }
        Ok(written)
    }

    /// Waits until these images are complete in the target and this workload may have them.
    async fn images_there(
        &self,
        id: &WorkloadId,
        copies: impl Iterator<Item = &Copy>,
        images: &Images,
    ) -> Result<(), Failure> {
        let there = copies.map(|copy| images.there_for(id, copy, &self.observer));
        join_all(there).await.into_iter().collect()
    }

    /// Writes a workload: reads it again, plans on what is there now, and sends the patch; from the start
    /// when somebody else wrote in between.
    async fn write(
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

    /// Turns what was written into an outcome, following the rollout where that was asked for.
    async fn finish(
        &self,
        id: &WorkloadId,
        written: Result<Written, Failure>,
        left: impl Fn(&Decision) -> bool,
        changed: impl Fn(Option<String>) -> WorkloadState,
    ) -> WorkloadOutcome {
        let mut outcome = WorkloadOutcome {
            workload: id.clone(),
            state: WorkloadState::Unchanged,
            notes: Vec::new(),
            left: false,
            object: None,
        };
        outcome.state = match written {
            Err(failure) => WorkloadState::Failed(failure),
            Ok(Written { planned, object }) => {
                outcome.left = left(&planned.decision);
                outcome.notes = planned.notes;
                outcome.object = object;
                match planned.decision {
                    Decision::Repoint(repoint) => {
                        let slots = &repoint.slots;
                        let write = outcome.object.as_ref();
                        let write = write.map(|object| Write { slots, object });
                        match self.follow(id, write).await {
                            Ok(rollout) => changed(rollout),
                            Err(failure) => WorkloadState::Failed(failure),
                        }
                    }
                    Decision::CopyOnly(reason) => WorkloadState::CopiedOnly(reason),
                    // cloned before: whether that came to anything is what `--wait` asks
                    Decision::Unchanged if planned.workload.record.is_some() => {
                        match self.follow(id, None).await {
                            Ok(_) => WorkloadState::Unchanged,
                            Err(failure) => WorkloadState::Failed(failure),
                        }
                    }
                    Decision::Unchanged => WorkloadState::Unchanged,
                    Decision::Skip(reason) => WorkloadState::Skipped(reason),
                }
            }
        };
        self.observer.notice(&Event::WorkloadFinished(&outcome));
        outcome
    }

    async fn follow(
        &self,
        id: &WorkloadId,
        write: Option<Write<'_>>,
    ) -> Result<Option<String>, Failure> {
        let Some(timeout) = self
            .options
            .wait
            .filter(|_| self.options.dry_run == DryRun::None)
        else {
            return Ok(None);
        };
        self.observer.notice(&Event::RollingOut(id));
        let rollout = tokio::select! {
            () = self.options.stop.cancelled() => return Ok(Some("not waited for: interrupted".into())),
            rollout = self.cluster.wait(id, write, timeout) => rollout?,
        };
        match rollout {
            Rollout::Ready(state) | Rollout::Later(state) => Ok(Some(state)),
            Rollout::TimedOut(why) => Err(Failure::new(format!(
                "changed, but not ready after {}s: {why}",
                timeout.as_secs()
            ))
            .hint(format!(
                "kubectl image-cloner restore {id} -n {}",
                id.namespace
            ))),
        }
    }
}

/// What a plan for one workload says of it; one that the plan leaves out stays as it is.
fn only(plan: Plan, workload: &Workload) -> Planned {
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
