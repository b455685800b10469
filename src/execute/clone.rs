//! A clone: each workload repointed when its own images are there, all at once or in batches.
//!
//! Decides when a workload may be changed, and what is put back.

use super::Run;
use super::batches::{self, Ended, Rollouts, Work};
use super::canary::Canaries;
use super::images::Images;
use super::opt_outs::OptOuts;
use super::pull_secrets::PullSecrets;
use super::put_back::{self, PutBack};
use super::workloads::{CHANGED, Followed, WRITERS, Written, failure, only};
use crate::cluster::{NotReady, PullSecret, Rollout, Write};
use crate::outcome::{DryRun, Failure, Outcome, WorkloadOutcome, WorkloadState};
use crate::plan::{self, Copy, Decision, Observed, Plan, Policy, Repoint};
use crate::workload::{Workload, WorkloadId};
use futures::future::join_all;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// What a clone may hand out and to whom, and how it goes about rollouts.
#[derive(Debug, Clone)]
pub struct CloneTerms {
    /// The policy of the plan, to plan again with when a workload changed under way.
    pub policy: Policy,
    /// The pull secret of ours, put into a namespace before the first workload there needs it.
    pub pull_secret: Option<PullSecret>,
    /// How rollouts are followed, where they are.
    pub rollouts: Option<Rollouts>,
    /// Whether what is followed and does not become ready gets back what it had.
    pub put_back: bool,
    /// Have each image pulled by a pod before workloads of its namespace are changed; so long at most.
    pub canary: Option<Duration>,
}

/// A clone under way.
struct Cloning<'a> {
    run: &'a Run,
    plan: &'a Plan,
    observed: &'a [Observed],
    terms: &'a CloneTerms,
    images: &'a Images,
    pull_secrets: &'a PullSecrets<'a>,
    canaries: Option<&'a Canaries<'a>>,
    opt_outs: Option<OptOuts<'a>>,
    writers: Semaphore,
}

impl Run {
    /// Copies the plan's images and repoints its workloads, each as soon as its own images are there and
    /// its batch is due. `observed` is what the plan was made from.
    pub async fn clone(
        &self,
        plan: &Plan,
        observed: &[Observed],
        terms: &CloneTerms,
        images: &Images,
    ) -> Outcome {
        let started = Instant::now();
        let is_real = self.options.dry_run == DryRun::None;
        let pull_secrets = PullSecrets::new(self, terms.pull_secret.as_ref());
        let canary = terms.canary.filter(|_| is_real);
        let canaries =
            canary.map(|timeout| Canaries::new(self, plan, &pull_secrets, images, timeout));
        let batch = terms.rollouts.as_ref().and_then(|it| it.batch);
        let cloning = Cloning {
            run: self,
            plan,
            observed,
            terms,
            images,
            pull_secrets: &pull_secrets,
            canaries: canaries.as_ref(),
            opt_outs: is_real.then(|| OptOuts::new(&self.cluster, batch.is_some())),
            writers: Semaphore::new(WRITERS),
        };
        let proving = async {
            if let Some(canaries) = &canaries {
                canaries.carry_out().await;
            }
        };
        let writing = async {
            let workloads = batches::carry_out(&cloning, batch).await;
            if let Some(canaries) = &canaries {
                canaries.enough();
            }
            workloads
        };
        let copying = images.copy(&plan.copies, &self.observer);
        let (_, (), workloads) = tokio::join!(copying, proving, writing);
        if canaries.is_some() {
            pull_secrets.tidy(&workloads).await;
        }
        self.outcome(started, images.arrived(), workloads)
    }
}

impl Work for Cloning<'_> {
    fn run(&self) -> &Run {
        self.run
    }

    fn plan(&self) -> &Plan {
        self.plan
    }

    /// Waits until a workload may be changed: its images are there, and were pulled where that is asked.
    async fn arrived(&self, at: usize) -> Result<(), Failure> {
        let planned = &self.plan.workloads[at];
        let copies = self.plan.copies.iter();
        let copies = copies.filter(|copy| planned.targets.contains(&copy.target));
        self.images_there(&planned.workload.id, copies).await?;
        match &self.canaries {
            Some(canaries) if matches!(planned.decision, Decision::Repoint(_)) => {
                canaries.passed(&planned.workload.id.namespace).await
            }
            _ => Ok(()),
        }
    }

    /// Writes a workload that may be changed, and sees to its rollout.
    async fn deal_with(&self, at: usize, arrived: Result<(), Failure>) -> Ended {
        let observed = &self.observed[at];
        let id = &observed.workload.id;
        let planned = &self.plan.workloads[at];
        let due = Instant::now();
        let written = match arrived {
            Err(failure) => Err(failure),
            Ok(()) if !matches!(planned.decision, Decision::Repoint(_)) => Ok(Written {
                planned: planned.clone(),
                object: None,
            }),
            Ok(()) => {
                let _writer = self.writers.acquire().await;
                self.write(observed, due).await
            }
        };
        let mut ended = Ended::of(id);
        match written {
            Err(failure) => ended.outcome.state = WorkloadState::Failed(failure),
            Ok(written) => self.settle(observed, written, &mut ended).await,
        }
        self.run.finished(&ended.outcome);
        ended
    }
}

impl Cloning<'_> {
    /// Waits until these images are complete in the target and this workload may have them.
    async fn images_there(
        &self,
        id: &WorkloadId,
        copies: impl Iterator<Item = &Copy>,
    ) -> Result<(), Failure> {
        let there = copies.map(|copy| self.images.there_for(id, copy, &self.run.observer));
        join_all(there).await.into_iter().collect()
    }

    /// The one write to a workload that has been due since then, planned again on what is there now.
    async fn write(&self, observed: &Observed, due: Instant) -> Result<Written, Failure> {
        let id = &observed.workload.id;
        let cluster = &self.run.cluster;
        let decide = async |live: Workload| {
            let observed = match observed.at(live.clone()) {
                Some(mut observed) => {
                    if let Some(opt_outs) = &self.opt_outs {
                        observed.namespace_opted_out = opt_outs.of(&id.namespace, due).await?;
                    }
                    observed
                }
                None => {
                    let target = &self.terms.policy.target;
                    cluster.surround(live, observed.named, target).await?.0
                }
            };
            let replan = |policy: &Policy| {
                plan::clone(std::slice::from_ref(&observed), policy)
                    .map_err(|error| Failure::new(error.to_string()))
            };
            let mut plan = replan(&self.terms.policy)?;
            self.images_there(id, plan.copies.iter()).await?;
            if self.terms.policy.images.pins.is_some() {
                // only now are the digests known
                plan = replan(&self.images.pinning(&self.terms.policy, &plan.copies))?;
            }
            let planned = only(plan, &observed.workload);
            if let Decision::Repoint(repoint) = &planned.decision
                && self.run.options.dry_run != DryRun::Client
            {
                self.pull_secrets.ensure(&id.namespace, repoint).await?;
            }
            Ok(planned)
        };
        self.run.write(id, decide).await
    }

    /// What a written workload comes to: its rollout, or the way back.
    async fn settle(&self, observed: &Observed, written: Written, ended: &mut Ended) {
        let id = &observed.workload.id;
        let Written { planned, object } = written;
        let outcome = &mut ended.outcome;
        outcome.left = match &planned.decision {
            Decision::CopyOnly(_) => !self.terms.policy.copy_only,
            Decision::Skip(_) => observed.named || planned.is_operated(),
            Decision::Repoint(_) | Decision::Unchanged => false,
        };
        outcome.owned = planned.is_left_to_its_owner();
        outcome.notes.clone_from(&planned.notes);
        outcome.object = object;
        outcome.state = match &planned.decision {
            Decision::Repoint(repoint) => {
                let slots = &repoint.slots;
                let write = outcome.object.as_ref();
                let write = write.map(|object| Write { slots, object });
                let timeout = self.terms.rollouts.as_ref().map(|it| it.timeout);
                let followed = self.run.follow(id, write, timeout).await;
                ended.pulled = self.run.pulled(id, write, &followed).await;
                match (followed, &self.terms.rollouts) {
                    (Followed::NotReady(why), Some(rollouts)) if self.terms.put_back => {
                        let before = &planned.workload;
                        self.put_back(before, repoint, why, rollouts.timeout, outcome)
                            .await
                    }
                    (followed, _) => match settled(followed, id) {
                        Ok(rollout) => WorkloadState::Repointed { rollout },
                        Err(failure) => WorkloadState::Failed(failure),
                    },
                }
            }
            Decision::CopyOnly(reason) => WorkloadState::CopiedOnly(reason.clone()),
            // cloned before: whether that came to anything is what `--wait` asks
            Decision::Unchanged if planned.workload.record.is_some() => {
                let followed = self.run.follow(id, None, self.run.options.wait).await;
                match settled(followed, id) {
                    Ok(_) => WorkloadState::Unchanged,
                    Err(failure) => WorkloadState::Failed(failure),
                }
            }
            Decision::Unchanged => WorkloadState::Unchanged,
            Decision::Skip(reason) => WorkloadState::Skipped(reason.clone()),
        };
    }

    /// Gives a workload that did not become ready what it had before, and follows that as well. Begun, it
    /// is carried out even when the run is to end early.
    async fn put_back(
        &self,
        before: &Workload,
        done: &Repoint,
        why: NotReady,
        timeout: Duration,
        outcome: &mut WorkloadOutcome,
    ) -> WorkloadState {
        let (id, cluster) = (&before.id, &self.run.cluster);
        let stop = &self.run.options.stop;
        let done = Some((before, done));
        let error = match put_back::put_back(cluster, id, done, timeout, stop).await {
            Ok(PutBack::Done(left)) => {
                outcome.notes.extend(left);
                None
            }
            Ok(PutBack::NotOurs(reason)) => Some(Failure::new(reason)),
            Err(error) => Some(error),
        };
        if let Some(error) = error {
            let failed = failure(why, CHANGED);
            outcome.notes.push(format!("not put back: {error}"));
            return WorkloadState::Failed(failed.hint(way_back(id)));
        }
        outcome.object = None;
        let waited = cluster.wait(id, None, timeout);
        match stop.run_until_cancelled(waited).await {
            Some(Ok(Rollout::NotReady(still))) => {
                let still = format!("not ready with its own images either: {}", still.why);
                outcome.notes.push(still);
            }
            Some(Err(error)) => {
                let note = format!("whether it is ready again is not known: {error}");
                outcome.notes.push(note);
            }
            None => {
                let note = "whether it is ready again is not known: interrupted";
                outcome.notes.push(note.to_owned());
            }
            Some(Ok(_)) => {}
        }
        WorkloadState::PutBack(failure(why, ""))
    }
}

/// What there is to say of a rollout that is not put back: the way back, where it came to nothing.
fn settled(followed: Followed, id: &WorkloadId) -> Result<Option<String>, Failure> {
    let came_to_nothing = matches!(followed, Followed::NotReady(_));
    followed.settled().map_err(|failure| {
        if came_to_nothing {
            failure.hint(way_back(id))
        } else {
            failure
        }
    })
}

/// The command that gives one workload its images back.
fn way_back(id: &WorkloadId) -> String {
    format!("kubectl image-cloner restore {id} -n {}", id.namespace)
}
