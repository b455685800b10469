//! Lines in which things wait for their turn, one for each namespace that asks for them.
//!
//! Decides whose turn it is: what somebody waits for comes before all else, then the namespace for which least is
//! under way, of several the one whose last turn is longest ago. However much one asks for, and however slow it
//! is, the others' turn comes. Knows nothing of what waits.

use std::collections::BTreeMap;

/// Where something stands in all lines that it stands in: behind what matters more, and what came sooner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Whether nobody waits for it.
    is_idle: bool,
    came: u64,
}

/// Those who wait.
#[derive(Debug)]
pub(super) struct Lines<K> {
    all: BTreeMap<String, Line<K>>,
    /// How many places and turns were given.
    given: u64,
}

#[derive(Debug)]
struct Line<K> {
    waiting: BTreeMap<Place, K>,
    /// How many of its own are under way.
    busy: usize,
    /// When its last turn was, or when it began to wait.
    turn: u64,
}

impl<K: Clone> Lines<K> {
    pub(super) fn new() -> Self {
        Self {
            all: BTreeMap::new(),
            given: 0,
        }
    }

    /// A place behind all others that matter as much.
    pub(super) fn place(&mut self, is_idle: bool) -> Place {
        self.given += 1;
        Place {
            is_idle,
            came: self.given,
        }
    }

    pub(super) fn join(&mut self, namespace: &str, place: Place, key: K) {
        self.line(namespace).waiting.insert(place, key);
    }

    pub(super) fn leave(&mut self, namespace: &str, place: Place) {
        self.line(namespace).waiting.remove(&place);
        self.drop_unused(namespace);
    }

    /// One that a namespace asked for gets under way.
    pub(super) fn begins(&mut self, namespace: &str) {
        self.line(namespace).busy += 1;
    }

    /// One that a namespace asked for is under way no more.
    pub(super) fn ends(&mut self, namespace: &str) {
        let line = self.line(namespace);
        line.busy = line.busy.saturating_sub(1);
        self.drop_unused(namespace);
    }

    /// The first of the line whose turn it is, of those that may have one with so much of theirs under way.
    pub(super) fn next(&mut self, may: impl Fn(usize) -> bool) -> Option<K> {
        let lines = self.all.values_mut().filter(|line| may(line.busy));
        let lines = lines.filter_map(|line| {
            let (place, _) = line.waiting.first_key_value()?;
            Some(((place.is_idle, line.busy, line.turn), line))
        });
        let (_, line) = lines.min_by_key(|(rank, _)| *rank)?;
        self.given += 1;
        line.turn = self.given;
        line.waiting.first_key_value().map(|(_, key)| key.clone())
    }

    fn line(&mut self, namespace: &str) -> &mut Line<K> {
        if !self.all.contains_key(namespace) {
            self.given += 1;
        }
        let line = || Line {
            waiting: BTreeMap::new(),
            busy: 0,
            turn: self.given,
        };
        self.all.entry(namespace.to_owned()).or_insert_with(line)
    }

    fn drop_unused(&mut self, namespace: &str) {
        let line = self.all.get(namespace);
        if line.is_some_and(|line| line.waiting.is_empty() && line.busy == 0) {
            self.all.remove(namespace);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_take_turns_and_each_ones_own_go_in_their_order() {
        let mut lines = Lines::new();
        let mut places = Vec::new();
        for (namespace, keys) in [("much", 0..20), ("some", 20..24), ("little", 24..25)] {
            for key in keys {
                // what nobody waits for is asked for first
                let place = lines.place(key == 0);
                lines.join(namespace, place, key);
                places.push((namespace, place));
            }
        }
        let next = || {
            let key = lines.next(|_| true)?;
            lines.leave(places[key].0, places[key].1);
            Some(key)
        };
        let order: Vec<usize> = std::iter::from_fn(next).collect();
        assert_eq!(order[..9], [1, 20, 24, 2, 21, 3, 22, 4, 23]);
        assert_eq!(order[9..], [(5..20).collect(), vec![0]].concat());
        assert!(lines.all.is_empty());
    }

    #[test]
    fn whose_own_are_under_way_waits_for_others() {
        let mut lines = Lines::new();
        for (namespace, key) in [("slow", 1), ("slow", 2), ("quick", 3), ("quick", 4)] {
            let place = lines.place(false);
            lines.join(namespace, place, key);
        }
        lines.begins("slow");
        assert_eq!(lines.next(|_| true), Some(3));
        assert_eq!(lines.next(|_| true), Some(3), "until it leaves");
        assert_eq!(lines.next(|busy| busy > 0), Some(1));
        lines.ends("slow");
        assert_eq!(lines.next(|busy| busy > 0), None);
    }
}
