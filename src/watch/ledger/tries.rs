//! Things that are tried until they succeed: one try of each at a time, the next after a pause.
//!
//! Decides when each is tried again: a pause grows with the failures in a row, is never longer than ten
//! minutes, and is a little shorter for some than for others, so that what failed together is not tried again
//! together. Of eight or more that may be under way, one namespace never holds all. Knows nothing of what is tried.

use super::lines::{Lines, Place};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::time::{Duration, Instant};

/// The first pause after a failure; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// The last of so many parts of what may be under way is for namespaces that have less than such a part:
/// whoever comes first, and however slow that is, others find room.
const SHARE: usize = 8;

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
    next: Lines<K>,
    /// Those that failed, by when they are tried again.
    failed: BTreeSet<(Instant, K)>,
    under_way: usize,
    patience: Patience,
}

#[derive(Debug)]
struct Try {
    state: State,
    failures: u32,
    /// The namespaces that asked for it.
    askers: BTreeSet<String>,
    /// Where it stands in the lines of all of these, while it is next.
    place: Place,
    /// Whether nobody waits for it.
    is_idle: bool,
}

/// In which way something is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ask {
    /// In no way in which it failed before.
    pub(super) is_new: bool,
    /// Nobody waits for it.
    pub(super) is_idle: bool,
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
            next: Lines::new(),
            failed: BTreeSet::new(),
            under_way: 0,
            patience: Patience::default(),
        }
    }

    /// A namespace asks for something to be tried: at once, unless it failed before and is asked for in no new
    /// way, and where nobody waits for it, after all others.
    pub(super) fn ask(&mut self, key: &K, asker: &str, ask: Ask) {
        let Ask { is_new, is_idle } = ask;
        let next = &mut self.next;
        let it = self.all.entry(key.clone()).or_insert_with(|| Try {
            state: State::Next,
            failures: 0,
            askers: BTreeSet::new(),
            place: next.place(is_idle),
            is_idle,
        });
        let is_another = it.askers.insert(asker.to_owned());
        let is_urgent = it.is_idle && !is_idle;
        it.is_idle &= is_idle;
        match it.state {
            State::Next if is_urgent => self.set(key, State::Next),
            State::Next if is_another => next.join(asker, it.place, key.clone()),
            State::Failed(_) if is_new => self.set(key, State::Next),
            State::UnderWay | State::Again | State::Void => {
                if is_another {
                    next.begins(asker);
                }
                if is_new && it.state == State::UnderWay {
                    it.state = State::Again;
                }
            }
            _ => {}
        }
    }

    /// A namespace asks for something no more.
    pub(super) fn unask(&mut self, key: &K, asker: &str) {
        let Some(it) = self.all.get_mut(key) else {
            return;
        };
        if !it.askers.remove(asker) {
            return;
        }
        match it.state {
            State::Next => self.next.leave(asker, it.place),
            State::UnderWay | State::Again | State::Void => self.next.ends(asker),
            State::Failed(_) => {}
        }
    }

    /// The next one to be tried, where fewer than `most` are.
    pub(super) fn start(&mut self, most: usize) -> Option<K> {
        if self.under_way >= most {
            return None;
        }
        let share = most / SHARE;
        let is_scarce = self.under_way >= most - share;
        let key = self.next.next(|busy| !is_scarce || busy < share)?;
        self.under_way += 1;
        self.set(&key, State::UnderWay);
        for asker in &self.all[&key].askers {
            self.next.begins(asker);
        }
        Some(key)
    }

    /// A try has ended. Whether that says anything: otherwise it is tried once more.
    pub(super) fn ended(&mut self, key: &K) -> bool {
        let Some(it) = self.all.get(key) else {
            return false;
        };
        if !matches!(it.state, State::UnderWay | State::Again | State::Void) {
            return false;
        }
        self.under_way -= 1;
        for asker in &it.askers {
            self.next.ends(asker);
        }
        let is_void = it.state == State::Void;
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
        self.set_aside(key);
        self.all.remove(key);
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
        self.set_aside(key);
        let Some(it) = self.all.get_mut(key) else {
            return;
        };
        it.state = state;
        match state {
            State::Next => {
                it.place = self.next.place(it.is_idle);
                for asker in &it.askers {
                    self.next.join(asker, it.place, key.clone());
                }
            }
            State::Failed(until) => {
                self.failed.insert((until, key.clone()));
            }
            _ => {}
        }
    }

    /// It stands nowhere any more, whatever its state is.
    fn set_aside(&mut self, key: &K) {
        let Some(it) = self.all.get(key) else {
            return;
        };
        match it.state {
            State::Failed(until) => {
                self.failed.remove(&(until, key.clone()));
            }
            State::Next => {
                for asker in &it.askers {
                    self.next.leave(asker, it.place);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Ask = Ask {
        is_new: true,
        is_idle: false,
    };

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
    fn what_a_namespace_asks_for_no_more_keeps_it_from_nothing() {
        for (asks_on, next) in [(true, 3), (false, 2)] {
            let mut tries = Tries::new();
            tries.ask(&1, "a", NEW);
            tries.ask(&1, "b", NEW);
            assert_eq!(tries.start(8), Some(1));
            tries.ask(&2, "b", NEW);
            tries.ask(&3, "a", NEW);
            if !asks_on {
                tries.unask(&1, "b");
            }
            assert_eq!(tries.start(8), Some(next), "{asks_on}");
        }
    }

    #[test]
    fn what_is_asked_for_in_a_new_way_is_tried_again_at_once_and_else_it_is_not() {
        let (mut tries, now) = (Tries::new(), Instant::now());
        let begin = |tries: &mut Tries<u8>| tries.start(1);
        tries.ask(&1, "a", NEW);
        assert_eq!(begin(&mut tries), Some(1));
        tries.ask(&1, "a", Ask::default());
        assert!(tries.ended(&1));
        tries.failed(&1, now);
        assert_eq!(begin(&mut tries), None);
        tries.ask(&1, "a", Ask::default());
        assert_eq!(begin(&mut tries), None);
        tries.ask(&1, "a", NEW);
        assert_eq!(begin(&mut tries), Some(1));
        tries.ask(&1, "a", NEW);
        assert!(tries.ended(&1));
        tries.failed(&1, now);
        assert_eq!(begin(&mut tries), Some(1));
    }

    #[test]
    fn what_is_forgotten_before_its_turn_waits_for_none() {
        let mut tries = Tries::new();
        for key in [1, 1, 1, 2] {
            tries.ask(&key, "a", NEW);
            tries.forget(&key);
        }
        assert_eq!(tries.start(1), None);
        tries.ask(&1, "a", NEW);
        assert_eq!(tries.start(1), Some(1));
        assert_eq!(tries.start(1), None);
    }

    #[test]
    fn what_began_before_something_else_was_meant_says_nothing() {
        let mut tries = Tries::new();
        tries.ask(&1, "a", NEW);
        tries.start(1);
        tries.anew();
        assert!(!tries.ended(&1));
        assert_eq!(tries.start(1), Some(1));
        assert!(tries.ended(&1));
    }
}
