//! A line in which each stands once, and which anybody may leave.
//!
//! Decides nothing of who is next but the order.

use std::collections::BTreeMap;

/// Those who wait, in their order.
#[derive(Debug)]
pub(super) struct Line<K> {
    order: BTreeMap<i64, K>,
    places: BTreeMap<K, i64>,
}

impl<K: Ord + Clone> Line<K> {
    pub(super) fn new() -> Self {
        Self {
            order: BTreeMap::new(),
            places: BTreeMap::new(),
        }
    }

    pub(super) fn push_back(&mut self, key: K) {
        self.remove(&key);
        let last = self.order.last_key_value();
        let place = last.map_or(0, |(place, _)| place + 1);
        self.order.insert(place, key.clone());
        self.places.insert(key, place);
    }

    pub(super) fn remove(&mut self, key: &K) {
        if let Some(place) = self.places.remove(key) {
            self.order.remove(&place);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &K> {
        self.order.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stands_in_it_once_where_it_came_last_until_it_leaves() {
        let mut line = Line::new();
        for key in [1, 2, 3, 2, 4] {
            line.push_back(key);
        }
        line.remove(&3);
        line.remove(&9);
        assert_eq!(line.iter().copied().collect::<Vec<_>>(), [1, 2, 4]);
    }
}
