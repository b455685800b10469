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
    /// Rollouts that may be unfinished at a time; none: any number, from the first on.
    limit: Option<usize>,
    unfinished: BTreeSet<WorkloadId>,
    writing: usize,
    /// Whether nodes were seen to pull a copy.
    proven: bool,
    halted: Option<Instant>,
    halts: u32,
    /// Why nothing was repointed last, until nodes are seen to pull.
    why: Option<String>,
}

impl Gate {
    pub(super) fn new(limit: Option<usize>) -> Self {
        Self {
            limit,
            unfinished: BTreeSet::new(),
            writing: 0,
            proven: false,
            halted: None,
            halts: 0,
            why: None,
        }
    }

    /// Whether one more may be written. One from which no rollout follows counts as none.
    pub(super) fn has_room(&self, is_idle: bool) -> bool {
        let limit = match self.limit {
            Some(limit) if self.proven => limit,
            None if self.is_proven() => usize::MAX,
            _ => 1,
        };
        self.halted.is_none()
            && self.writing < WRITERS
            && (is_idle || self.unfinished.len() < limit)
    }

    /// Whether nodes were seen to pull, or nobody asks for that as long as none was seen not to.
    pub(super) fn is_proven(&self) -> bool {
        self.halted.is_none() && (self.proven || self.limit.is_none() && self.halts == 0)
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

    /// Nodes pulled a copy.
    pub(super) fn prove(&mut self) {
        self.proven = true;
        self.halts = 0;
        // others of them could not: a halt is not over sooner for that
        if self.halted.is_none() {
            self.why = None;
        }
    }

    /// Nodes could not, why: until when nothing is repointed.
    pub(super) fn halt(&mut self, why: String, now: Instant) -> Instant {
        self.proven = false;
        let length = FIRST_HALT.saturating_mul(1 << self.halts.min(8));
        let until = now + length.min(LONGEST_HALT);
        if self.halted.is_none() || self.halts == 0 {
            self.halts += 1;
        }
        self.halted = Some(until);
        self.why = Some(why);
        until
    }

    /// The halt ends when its time has come.
    pub(super) fn resume(&mut self, now: Instant) {
        if self.halted.is_some_and(|until| until <= now) {
            self.halted = None;
            if self.proven {
                self.why = None;
            }
        }
    }

    /// Other rules hold from now on: what was learnt under the old ones no longer counts.
    pub(super) fn anew(&mut self, limit: Option<usize>) {
        self.limit = limit;
        self.halted = None;
        self.halts = 0;
        self.proven = false;
        self.why = None;
    }

    pub(super) fn wakes(&self) -> Option<Instant> {
        self.halted
    }

    pub(super) fn unfinished(&self) -> usize {
        self.unfinished.len()
    }
}
