//! Whether the target takes our credentials.
//!
//! Decides when it is asked: at first, and when an image fails, since that may be its fault. While it does not
//! answer, it is asked again and again, but not often: registries count logins that fail, and lock out for them.

use std::time::{Duration, Instant};

/// After the first failure; each next pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// No pause is longer: a target that was down is not waited for longer than that.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What is known of it.
#[derive(Debug, Default)]
pub(super) struct Login {
    at: Option<Instant>,
    under_way: bool,
    failures: u32,
}

impl Login {
    /// It is asked now.
    pub(super) fn ask(&mut self, now: Instant) {
        self.at = Some(now);
    }

    /// It may be the target that fails: it is asked soon, however much fails.
    pub(super) fn suspect(&mut self, now: Instant) {
        if self.at.is_none() && !self.under_way {
            self.at = Some(now + FIRST_PAUSE);
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
        if takes_them {
            return std::mem::take(&mut self.failures) > 0;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(3));
        self.failures += 1;
        self.at.get_or_insert(now + pause.min(LONGEST_PAUSE));
        false
    }

    pub(super) fn wakes(&self) -> Option<Instant> {
        self.at.filter(|_| !self.under_way)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_refused_asks_less_and_less_often_and_at_once_when_that_is_wanted() {
        let (mut login, mut now) = (Login::default(), Instant::now());
        login.ask(now);
        for pause in [10, 20, 40, 60, 60] {
            assert!(login.begins(now));
            assert!(!login.answered(false, now));
            login.suspect(now);
            now += Duration::from_secs(pause - 1);
            assert!(!login.begins(now), "{pause}");
            now += Duration::from_secs(1);
        }
        assert!(login.begins(now));
        assert!(login.answered(true, now), "again");
        assert_eq!(login.wakes(), None);
        // well again: the pauses begin anew
        login.ask(now);
        assert!(login.begins(now) && !login.answered(false, now));
        assert_eq!(login.wakes(), Some(now + FIRST_PAUSE));
        login.ask(now);
        assert!(login.begins(now));
    }
}
