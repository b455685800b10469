//! Work that must not be done twice at the same time.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OwnedMutexGuard;

/// One lock per key, made when first asked for. Whoever holds it works; the others wait and look again.
pub(super) struct Flights<K> {
    locks: Mutex<HashMap<K, Arc<tokio::sync::Mutex<()>>>>,
}

/// A turn at work that nobody else does meanwhile.
pub(super) struct Flight {
    /// Whether nobody ever had one for the same before.
    pub(super) is_first: bool,
    _lock: OwnedMutexGuard<()>,
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

impl<K: Eq + Hash> Flights<K> {
    /// Waits until nobody else works on `key`. Dropping the flight, in an abandoned copy too, lets the
    /// next one in.
    pub(super) async fn alone(&self, key: K) -> Flight {
        let (lock, is_first) = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            match locks.entry(key) {
                Entry::Occupied(entry) => (Arc::clone(entry.get()), false),
                Entry::Vacant(entry) => (Arc::clone(entry.insert(Arc::default())), true),
            }
        };
        Flight {
            is_first,
            _lock: lock.lock_owned().await,
        }
    }
}
