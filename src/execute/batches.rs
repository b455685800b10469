//! Workloads changed in batches: so many are written and followed before the next.
//!
//! Decides in which order workloads are dealt with and when no further batch is begun. What is done with
//! each is the work's to say.

use super::Run;
use super::workloads::begun;
use crate::outcome::{Failure, WorkloadOutcome, WorkloadState};
use crate::plan::{Decision, Plan};
use crate::workload::WorkloadId;
use futures::future::{FutureExt as _, join_all};
use futures::stream::{FuturesUnordered, StreamExt as _};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How rollouts are followed.
#[derive(Debug, Clone)]
pub struct Rollouts {
    /// Each for so long.
    pub timeout: Duration,
    /// So many are changed and followed before the next; none: all at once.
    pub batch: Option<usize>,
}

/// What is done with the workloads of a plan, each by its place in it.
pub(super) trait Work {
    fn run(&self) -> &Run;

    fn plan(&self) -> &Plan;

    /// Waits until a workload may be changed.
    async fn arrived(&self, at: usize) -> Result<(), Failure>;

    /// Writes a workload that may be changed, and sees to its rollout.
    async fn deal_with(&self, at: usize, arrived: Result<(), Failure>) -> Ended;
}

/// A workload that was dealt with.
pub(super) struct Ended {
    pub(super) outcome: WorkloadOutcome,
    /// Whether its pods got the images that they were given; none where that was not seen.
    pub(super) pulled: Option<bool>,
}

impl Ended {
    pub(super) fn of(id: &WorkloadId) -> Self {
        Self {
            outcome: begun(id),
            pulled: None,
        }
    }
}

/// Every workload of the plan, in its order: those that change in batches of so many, where there are any.
pub(super) async fn carry_out(work: &impl Work, batch: Option<usize>) -> Vec<WorkloadOutcome> {
    let workloads = &work.plan().workloads;
    let is_change = |at: &usize| {
        let decision = &workloads[*at].decision;
        batch.is_some() && matches!(decision, Decision::Repoint(_))
    };
    let (changed, others): (Vec<usize>, Vec<usize>) = (0..workloads.len()).partition(is_change);
    let others = others.into_iter().map(|at| async move {
        let arrived = work.arrived(at).await;
        (at, work.deal_with(at, arrived).await.outcome)
    });
    let (batches, others) = tokio::join!(
        in_batches(work, changed, batch.unwrap_or(usize::MAX)),
        join_all(others)
    );
    let all: BTreeMap<usize, WorkloadOutcome> = batches.into_iter().chain(others).collect();
    all.into_values().collect()
}

/// Batches of so many that may be changed; those that arrive first come first, in the plan's order among
/// themselves. What cannot be pulled by the first will not be by the next: none is begun then.
async fn in_batches(
    work: &impl Work,
    members: Vec<usize>,
    size: usize,
) -> Vec<(usize, WorkloadOutcome)> {
    let mut arriving: FuturesUnordered<_> = members
        .iter()
        .map(|&at| async move { (at, work.arrived(at).await) })
        .collect();
    let mut rest: BTreeSet<usize> = members.into_iter().collect();
    let mut waiting = BTreeSet::new();
    let mut outcomes = Vec::new();
    let mut proven = false;
    loop {
        while let Some((at, arrived)) = if waiting.len() < size {
            arriving.next().await
        } else {
            arriving.next().now_or_never().flatten()
        } {
            if arrived.is_ok() {
                waiting.insert(at);
            } else {
                rest.remove(&at);
                outcomes.push((at, work.deal_with(at, arrived).await.outcome));
            }
        }
        let batch: Vec<usize> = waiting.iter().copied().take(size).collect();
        if batch.is_empty() {
            return outcomes;
        }
        let mut refused = None;
        let mut pulled = false;
        let dealt = batch.iter().map(|at| work.deal_with(*at, Ok(())));
        for (at, ended) in batch.iter().zip(join_all(dealt).await) {
            pulled |= ended.pulled == Some(true);
            if ended.pulled == Some(false) && !proven {
                refused = Some(ended.outcome.workload.clone());
            }
            waiting.remove(at);
            rest.remove(at);
            outcomes.push((*at, ended.outcome));
        }
        if let Some(refused) = refused {
            let left = rest.iter().map(|at| (*at, not_begun(work, *at, &refused)));
            outcomes.extend(left);
            return outcomes;
        }
        proven |= pulled;
    }
}

/// A workload of a batch that is not begun.
fn not_begun(work: &impl Work, at: usize, failed: &WorkloadId) -> WorkloadOutcome {
    let mut outcome = begun(&work.plan().workloads[at].workload.id);
    outcome.state = WorkloadState::Skipped(format!("not begun: {failed} cannot pull its images"));
    outcome.left = true;
    work.run().finished(&outcome);
    outcome
}
