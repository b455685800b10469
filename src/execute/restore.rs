//! A restore: each workload given back what its record says.
//!
//! Decides what is left for a reason that was found before. Never decides what is given back (that is
//! [`crate::plan`]).

use super::Run;
use super::batches::{self, Ended, Rollouts, Work};
use super::workloads::{WRITERS, Written, only};
use crate::cluster::Write;
use crate::outcome::{DryRun, Failure, Outcome, WorkloadState};
use crate::plan::{self, Decision, Plan};
use crate::workload::{Workload, WorkloadId};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// What a restore is to do besides its plan.
#[derive(Debug, Clone, Default)]
pub struct RestoreTerms {
    /// The run whose records are meant; none: all.
    pub of_run: Option<String>,
    /// Workloads that are left, and why.
    pub refused: BTreeMap<WorkloadId, Failure>,
    /// How rollouts are followed, where they are.
    pub rollouts: Option<Rollouts>,
}

/// A restore under way.
struct Restoring<'a> {
    run: &'a Run,
    plan: &'a Plan,
    terms: &'a RestoreTerms,
    writers: Semaphore,
}

impl Run {
    /// Gives back what the records of the plan's workloads say.
    pub async fn restore(&self, plan: &Plan, terms: &RestoreTerms) -> Outcome {
        let started = Instant::now();
        let restoring = Restoring {
            run: self,
            plan,
            terms,
            writers: Semaphore::new(WRITERS),
        };
        let batch = terms.rollouts.as_ref().and_then(|it| it.batch);
        let workloads = batches::carry_out(&restoring, batch).await;
        self.outcome(started, Vec::new(), workloads)
    }
}

impl Work for Restoring<'_> {
    fn run(&self) -> &Run {
        self.run
    }

    fn plan(&self) -> &Plan {
        self.plan
    }

    async fn arrived(&self, at: usize) -> Result<(), Failure> {
        let id = &self.plan.workloads[at].workload.id;
        match self.terms.refused.get(id) {
            Some(failure) => Err(failure.clone()),
            None => Ok(()),
        }
    }

    async fn deal_with(&self, at: usize, arrived: Result<(), Failure>) -> Ended {
        let workload = &self.plan.workloads[at].workload;
        let mut ended = Ended::of(&workload.id);
        let written = match arrived {
            Ok(()) => self.write(workload).await,
            Err(failure) => Err(failure),
        };
        match written {
            Ok(written) => self.settle(&workload.id, written, &mut ended).await,
            Err(failure) => ended.outcome.state = WorkloadState::Failed(failure),
        }
        self.run.finished(&ended.outcome);
        ended
    }
}

impl Restoring<'_> {
    async fn write(&self, workload: &Workload) -> Result<Written, Failure> {
        let _writer = self.writers.acquire().await;
        let of_run = self.terms.of_run.as_deref();
        let decide = async |live: Workload| {
            let plan = plan::restore(std::slice::from_ref(&live), of_run);
            Ok(only(plan, &live))
        };
        let mut written = self.run.write(&workload.id, decide).await?;
        if written.object.is_some()
            && self.run.options.dry_run == DryRun::None
            && let Err(error) = self.run.cluster.disown(&workload.id).await
        {
            // the images are back; only the field ownership stays behind
            let note = format!("still listed as a field manager: {error}");
            written.planned.notes.push(note);
        }
        Ok(written)
    }

    /// What a written workload comes to, its rollout followed where that was asked for.
    async fn settle(&self, id: &WorkloadId, written: Written, ended: &mut Ended) {
        let Written { planned, object } = written;
        ended.outcome.left = matches!(planned.decision, Decision::Skip(_));
        ended.outcome.object = object;
        ended.outcome.state = match &planned.decision {
            Decision::Repoint(repoint) => {
                let slots = &repoint.slots;
                let write = ended.outcome.object.as_ref();
                let write = write.map(|object| Write { slots, object });
                let cluster = &self.run.cluster;
                let waits = async |timeout| cluster.recover(id, write, timeout).await;
                let followed = self.run.follow_by(id, waits, self.timeout()).await;
                ended.pulled = self.run.pulled(id, write, &followed).await;
                match followed.settled() {
                    Ok(rollout) => WorkloadState::Restored { rollout },
                    Err(failure) => WorkloadState::Failed(failure),
                }
            }
            Decision::CopyOnly(reason) => WorkloadState::CopiedOnly(reason.clone()),
            Decision::Unchanged => WorkloadState::Unchanged,
            Decision::Skip(reason) => WorkloadState::Skipped(reason.clone()),
        };
        ended.outcome.notes = planned.notes;
    }

    fn timeout(&self) -> Option<Duration> {
        let rollouts = self.terms.rollouts.as_ref();
        rollouts.map(|rollouts| rollouts.timeout)
    }
}
