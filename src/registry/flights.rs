//! Work that must not be done twice at the same time.
//!
//! Decides who has to wait. Keeps nothing of work that nobody does: a process may run for months.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::OwnedMutexGuard;

type Lock = Arc<tokio::sync::Mutex<()>>;

/// One lock per key, for as long as anybody asks for it. Whoever holds it works; the others wait and look again.
pub(super) struct Flights<K> {
    locks: Mutex<HashMap<K, Lock>>,
}

/// A turn at work that nobody else does meanwhile.
pub(super) struct Flight<'a, K: Eq + Hash> {
    flights: &'a Flights<K>,
    key: K,
    /// None once it is over, or before it begins.
    guard: Option<OwnedMutexGuard<()>>,
}

impl<K> Default for Flights<K> {
    fn default() -> Self {
        Self {
            locks: Mutex::default(),
        }
    }
}

impl<K> fmt::Debug for Flights<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flights")
    }
}

impl<K: Eq + Hash + Clone> Flights<K> {
    /// Waits until nobody else works on `key`. Dropping the flight, in an abandoned copy too, lets the
    /// next one in.
    pub(super) async fn alone(&self, key: K) -> Flight<'_, K> {
        let lock = Arc::clone(self.locks().entry(key.clone()).or_default());
        let mut flight = Flight {
            flights: self,
            key,
            guard: None,
        };
        flight.guard = Some(lock.lock_owned().await);
        flight
    }
}

impl<K> Flights<K> {
    fn locks(&self) -> MutexGuard<'_, HashMap<K, Lock>> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for Flight<'_, K> {
    fn drop(&mut self) {
        self.guard = None;
        let mut locks = self.flights.locks();
        // whoever waits holds it too, and nobody comes by it but through the map
        if locks
            .get(&self.key)
            .is_some_and(|lock| Arc::strong_count(lock) == 1)
        {
            locks.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::{join_all, select};
    use std::cell::Cell;
    use std::pin::pin;

    #[tokio::test]
    async fn one_works_at_a_time_and_nothing_is_kept_of_work_that_is_over() {
        let (flights, working) = (Flights::default(), Cell::new(0));
        let work = |key: u8| {
            let (flights, working) = (&flights, &working);
            async move {
                let _flight = flights.alone(key).await;
                working.set(working.get() + 1);
                assert_eq!(working.get(), 1);
                tokio::task::yield_now().await;
                working.set(working.get() - 1);
            }
        };
        join_all((0..50).map(|_| work(1))).await;
        assert!(flights.locks().is_empty());
        // who gives up waiting leaves it to the others
        let first = flights.alone(1).await;
        {
            let given_up = pin!(flights.alone(1));
            let _ = select(given_up, pin!(async {})).await;
        }
        assert_eq!(flights.locks().len(), 1);
        drop(first);
        assert!(flights.locks().is_empty());
    }
}
