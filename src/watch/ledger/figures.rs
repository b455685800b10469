//! Figures of a moment.
//!
//! Decides nothing. Kept as things change, since they are shown after each.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How many workloads are known, wait, and for how long the first of them has.
#[derive(Debug, Default)]
pub(in crate::watch) struct Census {
    pub(in crate::watch) workloads: usize,
    pub(in crate::watch) waiting: usize,
    pub(in crate::watch) copying: usize,
    pub(in crate::watch) rollouts: usize,
    pub(in crate::watch) failing: usize,
    pub(in crate::watch) lag: Duration,
}

/// Those that wait, by since when.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    since: BTreeMap<Instant, usize>,
    many: usize,
}

impl Waiting {
    pub(super) fn begins(&mut self, since: Instant) {
        *self.since.entry(since).or_default() += 1;
        self.many += 1;
    }

    pub(super) fn ends(&mut self, since: Instant) {
        if let Some(many) = self.since.get_mut(&since) {
            *many -= 1;
            self.many -= 1;
            if *many == 0 {
                self.since.remove(&since);
            }
        }
    }

    pub(super) fn many(&self) -> usize {
        self.many
    }

    /// For how long the first of them has.
    pub(super) fn lag(&self, now: Instant) -> Duration {
        let first = self.since.first_key_value();
        first.map_or(Duration::ZERO, |(since, _)| now.duration_since(*since))
    }
}
