//! Whose turn it is to be written, among those whose images are there.
//!
//! Decides for whom a plan is kept: for the first of them, of whom enough are called to be planned again before
//! it is their turn. All others wait by their names alone, however many there are.

use std::collections::BTreeMap;

/// Plans kept: more than are written while as many others are planned.
pub(super) const AHEAD: usize = 500;

/// Those who wait, in the order in which they came. Who is called keeps his place.
#[derive(Debug)]
pub(super) struct Turns<K> {
    places: BTreeMap<K, i64>,
    /// Those with a plan.
    planned: BTreeMap<i64, K>,
    /// Those of whom nothing but the name is kept.
    named: BTreeMap<i64, K>,
    /// The place that was given first of all, and the next one behind all others.
    first: i64,
    last: i64,
}

impl<K: Ord + Clone> Turns<K> {
    pub(super) fn new() -> Self {
        Self {
            places: BTreeMap::new(),
            planned: BTreeMap::new(),
            named: BTreeMap::new(),
            first: 0,
            last: 0,
        }
    }

    /// One was planned and waits from now on, at its place where it was called, else behind all others. Whether
    /// its plan is kept.
    pub(super) fn wait(&mut self, key: &K) -> bool {
        if self.is_called(key) {
            let place = self.places[key];
            self.planned.insert(place, key.clone());
            return true;
        }
        self.forget(key);
        let is_kept = self.named.is_empty() && self.places.len() < AHEAD;
        let line = if is_kept {
            &mut self.planned
        } else {
            &mut self.named
        };
        line.insert(self.last, key.clone());
        self.places.insert(key.clone(), self.last);
        self.last += 1;
        is_kept
    }

    /// One that was planned waits before all others.
    pub(super) fn wait_first(&mut self, key: &K) {
        self.forget(key);
        self.first -= 1;
        self.places.insert(key.clone(), self.first);
        self.planned.insert(self.first, key.clone());
    }

    /// The first that has a plan.
    pub(super) fn first(&self) -> Option<&K> {
        self.planned.values().next()
    }

    /// Those that are called: they are to be planned now.
    pub(super) fn call(&mut self) -> Vec<K> {
        let kept = self.places.len() - self.named.len();
        if kept > AHEAD / 2 {
            return Vec::new();
        }
        let called = std::iter::from_fn(|| self.named.pop_first());
        called.take(AHEAD - kept).map(|(_, key)| key).collect()
    }

    /// What was planned of this one is too old: it is called again.
    pub(super) fn call_again(&mut self, key: &K) {
        if let Some(place) = self.places.get(key) {
            self.planned.remove(place);
        }
    }

    /// One waits no more, unless it is called.
    pub(super) fn leave(&mut self, key: &K) {
        if !self.is_called(key) {
            self.forget(key);
        }
    }

    /// One waits no more. Whether it was called.
    pub(super) fn forget(&mut self, key: &K) -> bool {
        let is_called = self.is_called(key);
        if let Some(place) = self.places.remove(key) {
            self.planned.remove(&place);
            self.named.remove(&place);
        }
        is_called
    }

    /// Whether nobody waits or is called.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    fn is_called(&self, key: &K) -> bool {
        self.places.get(key).is_some_and(|place| {
            !self.planned.contains_key(place) && !self.named.contains_key(place)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(turns: &mut Turns<usize>, most: usize) -> Vec<usize> {
        let next = || {
            let key = *turns.first()?;
            turns.forget(&key);
            Some(key)
        };
        std::iter::from_fn(next).take(most).collect()
    }

    #[test]
    fn all_have_their_turn_in_the_order_in_which_they_came_and_few_a_plan_until_then() {
        let mut turns = Turns::new();
        let all: Vec<usize> = (0..10 * AHEAD).collect();
        let kept = all.iter().filter(|key| turns.wait(*key)).count();
        assert_eq!(kept, AHEAD);
        let mut came = Vec::new();
        while !turns.is_empty() {
            came.extend(taken(&mut turns, 16));
            let called = turns.call();
            // whoever is planned sooner keeps his place
            for key in called.iter().rev() {
                assert!(turns.wait(key));
            }
            assert!(turns.planned.len() <= AHEAD);
        }
        assert_eq!(came, all);
    }

    #[test]
    fn who_is_called_keeps_his_place_until_he_leaves() {
        let mut turns = Turns::new();
        for key in [1, 2, 3, 4] {
            turns.wait(&key);
        }
        turns.call_again(&1);
        turns.call_again(&3);
        turns.leave(&1);
        assert_eq!(turns.first(), Some(&2));
        turns.wait(&1);
        assert!(turns.forget(&3));
        assert!(!turns.forget(&2));
        turns.wait(&3);
        turns.wait_first(&5);
        assert_eq!(taken(&mut turns, 9), [5, 1, 4, 3]);
        assert!(turns.is_empty());
    }
}
