//! Whether the target takes our credentials.
//!
//! Decides when it is asked: at first, and when an image fails, since that may be its fault. While it does not
//! answer, it is asked again and again.

use std::time::{Duration, Instant};

/// Between two questions.
const PAUSE: Duration = Duration::from_secs(10);

/// What is known of it.
#[derive(Debug, Default)]
pub(super) struct Login {
    at: Option<Instant>,
    under_way: bool,
    refused: bool,
}

impl Login {
    /// It is asked now.
    pub(super) fn ask(&mut self, now: Instant) {
        self.at = Some(now);
    }

    /// It may be the target that fails: it is asked soon, however much fails.
    pub(super) fn suspect(&mut self, now: Instant) {
        if self.at.is_none() && !self.under_way {
            self.at = Some(now + PAUSE);
        }
    }

    /// Whether it is to be asked now.
    pub(super) fn begins(&mut self, now: Instant) -> bool {
        let begins = !self.under_way && self.at.is_some_and(|at| at <= now);
        if begins {
            (self.at, self.under_way) = (None, true);
        }
        begins
    }

    /// It answered. Whether it does again, after it did not.
    pub(super) fn answered(&mut self, takes_them: bool, now: Instant) -> bool {
        self.under_way = false;
        let refused = std::mem::replace(&mut self.refused, !takes_them);
        if !takes_them {
            self.at.get_or_insert(now + PAUSE);
        }
        refused && takes_them
    }

    pub(super) fn wakes(&self) -> Option<Instant> {
        self.at.filter(|_| !self.under_way)
    }
}
