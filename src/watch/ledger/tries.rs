//! Things that are tried until they succeed: one try of each at a time, the next after a pause.
//!
//! Decides when each is tried again: a pause grows with the failures in a row, is never longer than ten
//! minutes, and is a little shorter for some than for others, so that what failed together is not tried again
//! together. Knows nothing of what is tried.

use super::line::Line;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::time::{Duration, Instant};

/// The first pause after a failure; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// How far those that may go first are looked for.
const FAR: usize = 64;

/// How long something is left alone that failed.
#[derive(Debug, Clone, Default)]
pub(super) struct Patience(RandomState);

impl Patience {
    /// The pause after so many failures in a row.
    pub(super) fn pause(&self, of: impl Hash, failures: u32) -> Duration {
        let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(10));
        let longest = doubled.min(LONGEST_PAUSE);
        let spread = self.0.hash_one((of, failures)) % 1000;
        let share = u32::try_from(5000 - spread).unwrap_or(5000);
        longest / 5000 * share
    }
}

/// Things that are tried, by what tells them apart.
#[derive(Debug)]
pub(super) struct Tries<K> {
    all: BTreeMap<K, Try>,
    /// Those that are tried next.
    next: Line<K>,
    /// Those that failed, by when they are tried again.
    failed: BTreeSet<(Instant, K)>,
    under_way: usize,
    patience: Patience,
}

#[derive(Debug)]
struct Try {
    state: State,
    failures: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Next,
    UnderWay,
    /// It is asked for in another way since it got under way: where it fails, once more at once.
    Again,
    /// Something else is meant since it got under way: whatever it comes to, once more.
    Void,
    Failed(Instant),
}

impl<K: Ord + Hash + Clone> Tries<K> {
    pub(super) fn new() -> Self {
        Self {
            all: BTreeMap::new(),
            next: Line::new(),
            failed: BTreeSet::new(),
            under_way: 0,
            patience: Patience::default(),
        }
    }

    /// Something is to be tried; at once, unless it failed before and is asked for in no new way.
    pub(super) fn ask(&mut self, key: &K, is_new: bool) {
        let Some(state) = self.all.get(key).map(|it| it.state) else {
            let (state, failures) = (State::Next, 0);
            self.all.insert(key.clone(), Try { state, failures });
            self.next.push_back(key.clone());
            return;
        };
        match state {
            State::Failed(_) if is_new => self.set(key, State::Next),
            State::UnderWay if is_new => self.set(key, State::Again),
            _ => {}
        }
    }

    /// The next one to be tried, where fewer than `most` are; those that may go first do.
    pub(super) fn start(&mut self, most: usize, goes_first: impl Fn(&K) -> bool) -> Option<K> {
        if self.under_way >= most {
            return None;
        }
        let first = self.next.iter().take(FAR).find(|key| goes_first(key));
        let key = first.or_else(|| self.next.iter().next())?.clone();
        self.under_way += 1;
        self.set(&key, State::UnderWay);
        Some(key)
    }

    /// A try has ended. Whether that says anything: otherwise it is tried once more.
    pub(super) fn ended(&mut self, key: &K) -> bool {
        let state = self.all.get(key).map(|it| it.state);
        if !matches!(state, Some(State::UnderWay | State::Again | State::Void)) {
            return false;
        }
        self.under_way -= 1;
        let is_void = state == Some(State::Void);
        if is_void {
            self.set(key, State::Next);
        }
        !is_void
    }

    /// A try that ended has failed.
    pub(super) fn failed(&mut self, key: &K, now: Instant) {
        let Some(it) = self.all.get_mut(key) else {
            return;
        };
        it.failures += 1;
        let next = match it.state {
            State::Again => State::Next,
            _ => State::Failed(now + self.patience.pause(key, it.failures)),
        };
        self.set(key, next);
    }

    /// Nothing is to be tried any more.
    pub(super) fn forget(&mut self, key: &K) {
        match self.all.remove(key).map(|it| it.state) {
            Some(State::Failed(until)) => {
                self.failed.remove(&(until, key.clone()));
            }
            Some(State::Next) => self.next.remove(key),
            _ => {}
        }
    }

    /// Whether this one waits for another try after one that failed.
    pub(super) fn has_failed(&self, key: &K) -> bool {
        let state = self.all.get(key).map(|it| it.state);
        matches!(state, Some(State::Failed(_)))
    }

    /// Whether this one waits for its first try, or for one that is due.
    pub(super) fn is_next(&self, key: &K) -> bool {
        self.all.get(key).is_some_and(|it| it.state == State::Next)
    }

    /// Those that failed and whose time has come are tried next. Gives them.
    pub(super) fn retry(&mut self, now: Instant) -> Vec<K> {
        let mut due = Vec::new();
        while self.failed.first().is_some_and(|(at, _)| *at <= now)
            && let Some((_, key)) = self.failed.pop_first()
        {
            self.set(&key, State::Next);
            due.push(key);
        }
        due
    }

    /// All that failed are tried next: why they failed is over. Gives them.
    pub(super) fn retry_all(&mut self) -> Vec<K> {
        let failed = std::mem::take(&mut self.failed);
        let failed: Vec<K> = failed.into_iter().map(|(_, key)| key).collect();
        for key in &failed {
            self.set(key, State::Next);
        }
        failed
    }

    /// Something else is meant by all of them: what failed is tried next as if it never had, and what is under
    /// way once more.
    pub(super) fn anew(&mut self) {
        self.retry_all();
        for it in self.all.values_mut() {
            it.failures = 0;
            if matches!(it.state, State::UnderWay | State::Again) {
                it.state = State::Void;
            }
        }
    }

    /// When the next one that failed is tried again.
    pub(super) fn wakes(&self) -> Option<Instant> {
        self.failed.first().map(|(at, _)| *at)
    }

    pub(super) fn under_way(&self) -> usize {
        self.under_way
    }

    /// How many failed and wait for another try.
    pub(super) fn failing(&self) -> usize {
        self.failed.len()
    }

    fn set(&mut self, key: &K, state: State) {
        let Some(it) = self.all.get_mut(key) else {
            return;
        };
        match std::mem::replace(&mut it.state, state) {
            State::Failed(until) => {
                self.failed.remove(&(until, key.clone()));
            }
            State::Next => self.next.remove(key),
            _ => {}
        }
        match state {
            State::Next => self.next.push_back(key.clone()),
            State::Failed(until) => {
                self.failed.insert((until, key.clone()));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_are_not_the_same_for_all() {
        let patience = Patience::default();
        for (failures, seconds) in [(1, 10), (2, 20), (3, 40), (6, 320), (7, 600), (900, 600)] {
            let all: BTreeSet<Duration> = (0..50).map(|it| patience.pause(it, failures)).collect();
            let longest = Duration::from_secs(seconds);
            assert!(all.len() > 25, "{all:?}");
            let is_near = |pause: &Duration| *pause <= longest && *pause >= longest / 5 * 4;
            assert!(all.iter().all(is_near), "{failures}: {all:?}");
        }
    }

    #[test]
    fn what_is_asked_for_in_a_new_way_is_tried_again_at_once_and_else_it_is_not() {
        let (mut tries, now) = (Tries::new(), Instant::now());
        let begin = |tries: &mut Tries<u8>| tries.start(1, |_| false);
        tries.ask(&1, true);
        assert_eq!(begin(&mut tries), Some(1));
        tries.ask(&1, false);
        assert!(tries.ended(&1));
        tries.failed(&1, now);
        assert_eq!(begin(&mut tries), None);
        tries.ask(&1, false);
        assert_eq!(begin(&mut tries), None);
        tries.ask(&1, true);
        assert_eq!(begin(&mut tries), Some(1));
        tries.ask(&1, true);
        assert!(tries.ended(&1));
        tries.failed(&1, now);
        assert_eq!(begin(&mut tries), Some(1));
    }

    #[test]
    fn what_is_forgotten_before_its_turn_waits_for_none() {
        let mut tries = Tries::new();
        for key in [1, 1, 1, 2] {
            tries.ask(&key, true);
            tries.forget(&key);
        }
        assert_eq!(tries.next.iter().next(), None);
        tries.ask(&1, true);
        assert_eq!(tries.start(1, |_| false), Some(1));
        assert_eq!(tries.next.iter().next(), None);
    }

    #[test]
    fn what_began_before_something_else_was_meant_says_nothing() {
        let mut tries = Tries::new();
        tries.ask(&1, true);
        tries.start(1, |_| false);
        tries.anew();
        assert!(!tries.ended(&1));
        assert_eq!(tries.start(1, |_| false), Some(1));
        assert!(tries.ended(&1));
    }
}
