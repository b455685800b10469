//! How many rollouts may begin: one until the nodes are seen to pull copies, then a few at a time, none
//! while they are known not to.
//!
//! Decides whether one more workload may be repointed.

use crate::workload::WorkloadId;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Workloads written at once.
const WRITERS: usize = 16;
/// For how long nothing is repointed after the first time that nodes could not pull; each time in a row it
/// is twice as long.
const FIRST_HALT: Duration = Duration::from_secs(300);
/// No halt is longer.
const LONGEST_HALT: Duration = Duration::from_secs(3600);

/// What is under way, and whether more may be.
#[derive(Debug)]
pub(super) struct Gate {
    /// Rollouts that may be unfinished at a time once nodes were seen to pull; none: any number.
    limit: Option<usize>,
    unfinished: BTreeSet<WorkloadId>,
    writing: usize,
    /// Whether nodes were seen to pull a copy for a rollout.
    proven: bool,
    /// Whether a pod was seen to have a copy, whenever it was pulled.
    shown: bool,
    halted: Option<Instant>,
    halts: u32,
    /// Why nothing was repointed last, until nodes are seen to pull, or nobody is left who could not.
    why: Option<String>,
    /// Those whose copies could not be pulled, until nothing more is to be done about them.
    refused: BTreeSet<WorkloadId>,
}

impl Gate {
    pub(super) fn new(limit: Option<usize>) -> Self {
        Self {
            limit,
            unfinished: BTreeSet::new(),
            writing: 0,
            proven: false,
            shown: false,
            halted: None,
            halts: 0,
            why: None,
            refused: BTreeSet::new(),
        }
    }

    /// Whether one more may be written. One from which no rollout follows counts as none.
    pub(super) fn has_room(&self, is_idle: bool) -> bool {
        let limit = match self.limit {
            _ if !self.proven => 1,
            Some(limit) => limit,
            None => usize::MAX,
        };
        self.halted.is_none()
            && self.writing < WRITERS
            && (is_idle || self.unfinished.len() < limit)
    }

    /// Whether nodes were seen to pull.
    pub(super) fn is_proven(&self) -> bool {
        self.proven
    }

    /// Whether nodes are known to pull, or to have pulled before anybody looked.
    pub(super) fn is_shown(&self) -> bool {
        self.why.is_none() && (self.proven || self.shown)
    }

    /// A pod has a copy. That is no reason to begin many rollouts at a time: it may be an old one.
    pub(super) fn show(&mut self) {
        self.shown = true;
    }

    /// Whether it would be news that nodes pulled a copy, and count.
    pub(super) fn wants_proof(&self) -> bool {
        !self.proven && self.halted.is_none()
    }

    /// Why nothing is repointed now, if so.
    pub(super) fn why(&self) -> Option<&str> {
        self.why.as_deref()
    }

    /// A write begins; with it a rollout, unless none follows.
    pub(super) fn write(&mut self, id: &WorkloadId, is_idle: bool) {
        self.writing += 1;
        if !is_idle {
            self.unfinished.insert(id.clone());
        }
    }

    /// A write ended.
    pub(super) fn written(&mut self) {
        self.writing = self.writing.saturating_sub(1);
    }

    /// A rollout is under way that this process did not begin.
    pub(super) fn found(&mut self, id: &WorkloadId) {
        self.unfinished.insert(id.clone());
    }

    /// A rollout is over, or there is none after all.
    pub(super) fn over(&mut self, id: &WorkloadId) {
        self.unfinished.remove(id);
    }

    /// Nodes pulled a copy. During a halt, that says nothing of those that could not.
    pub(super) fn prove(&mut self) {
        if self.halted.is_some() {
            return;
        }
        self.proven = true;
        self.halts = 0;
        self.why = None;
        self.refused.clear();
    }

    /// Nodes could not pull the copy of this one, why: nothing is repointed for a while. Of rollouts that were
    /// begun together, each next one that shows it is no news.
    pub(super) fn halt(&mut self, id: &WorkloadId, why: String, now: Instant) {
        self.proven = false;
        self.shown = false;
        self.why = Some(why);
        self.refused.insert(id.clone());
        if self.halted.is_none() {
            let length = FIRST_HALT.saturating_mul(1 << self.halts.min(8));
            self.halted = Some(now + length.min(LONGEST_HALT));
            self.halts += 1;
        }
    }

    /// Nothing more is to be done about this one.
    pub(super) fn rests(&mut self, id: &WorkloadId) {
        self.over(id);
        self.refused.remove(id);
        self.relent();
    }

    /// Outside of a halt, what could not be pulled says nothing any more when nobody is to pull it. That proves
    /// nothing: the next rollout goes alone.
    fn relent(&mut self) {
        if self.halted.is_none() && self.refused.is_empty() {
            self.why = None;
        }
    }

    /// Until when nothing is repointed.
    pub(super) fn halted(&self) -> Option<Instant> {
        self.halted
    }

    /// The halt ends when its time has come.
    pub(super) fn resume(&mut self, now: Instant) {
        if self.halted.is_some_and(|until| until <= now) {
            self.halted = None;
            self.relent();
        }
    }

    /// Other rules hold from now on: what was learnt under the old ones no longer counts.
    pub(super) fn anew(&mut self, limit: Option<usize>) {
        self.limit = limit;
        self.halted = None;
        self.halts = 0;
        self.proven = false;
        self.shown = false;
        self.why = None;
        self.refused.clear();
    }

    pub(super) fn unfinished(&self) -> usize {
        self.unfinished.len()
    }
}
