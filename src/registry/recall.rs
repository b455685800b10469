//! Manifests of sources that were read: sources count what is read (Docker Hub), so nothing is read twice.
//!
//! Decides what is remembered and for how long. Never answers for what a target has: that is to be asked.

use super::flights::Flights;
use super::manifest::Manifest;
use super::point::Point;
use super::refusal::Result;
use super::repository::Repository;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Bytes of manifests that are remembered in a process: several thousand of the usual ones.
const ROOM: usize = 16 * 1024 * 1024;

/// A place where a registry answers, a repository there, and a digest in it.
type Key = (String, String, String);

/// What was read; the oldest is forgotten first.
#[derive(Default)]
pub(super) struct Memory {
    kept: Mutex<Kept>,
    flights: Flights<Key>,
}

#[derive(Default)]
struct Kept {
    manifests: HashMap<Key, Manifest>,
    order: VecDeque<Key>,
    bytes: usize,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

impl Memory {
    fn get(&self, key: &Key) -> Option<Manifest> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.manifests.get(key).cloned()
    }

    fn keep(&self, key: Key, manifest: &Manifest) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.keep(key, manifest, ROOM);
    }
}

impl Kept {
    fn keep(&mut self, key: Key, manifest: &Manifest, room: usize) {
        if self
            .manifests
            .insert(key.clone(), manifest.clone())
            .is_some()
        {
            return;
        }
        self.bytes += manifest.bytes.len();
        self.order.push_back(key);
        while self.bytes > room
            && let Some(oldest) = self.order.pop_front()
        {
            let forgotten = self.manifests.remove(&oldest);
            self.bytes -= forgotten.map_or(0, |manifest| manifest.bytes.len());
        }
    }
}

impl Repository {
    /// Remembers a manifest as if it had been read.
    pub(super) fn remember(&self, manifest: &Manifest) {
        let key = self.key(manifest.digest.as_str());
        self.endpoint.memory.keep(key, manifest);
    }

    /// A manifest of a source by its digest: read once, then remembered. Whoever asks must have been shown
    /// that it is there, as everybody is who has a [`super::Source`].
    pub(super) async fn recall_manifest(&self, point: impl Into<Point<'_>>) -> Result<Manifest> {
        let point = point.into();
        let memory = &self.endpoint.memory;
        let key = self.key(point.text);
        let _flight = memory.flights.alone(key.clone()).await;
        if let Some(manifest) = memory.get(&key) {
            return Ok(manifest);
        }
        let manifest = self.get_manifest(point).await?;
        memory.keep(key, &manifest);
        Ok(manifest)
    }

    fn key(&self, digest: &str) -> Key {
        let place = self.endpoint.place();
        (place, self.name.clone(), digest.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::digest;

    #[test]
    fn the_oldest_is_forgotten_where_room_is_short() {
        let mut kept = Kept::default();
        let mut keep = |text: &str| {
            let digest = digest::of("sha256", text.as_bytes());
            let key = ("reg".to_owned(), "a/b".to_owned(), digest.to_string());
            let manifest = Manifest {
                media_type: String::new(),
                digest,
                bytes: text.to_owned().into(),
                children: Vec::new(),
                blobs: Vec::new(),
            };
            kept.keep(key.clone(), &manifest, 8);
            kept.keep(key, &manifest, 8);
            let mut left: Vec<_> = kept.manifests.values().map(|m| m.bytes.clone()).collect();
            left.sort();
            (left, kept.bytes)
        };
        assert_eq!(keep("aaaa"), (vec!["aaaa".into()], 4));
        assert_eq!(keep("bbbb"), (vec!["aaaa".into(), "bbbb".into()], 8));
        assert_eq!(keep("cc"), (vec!["bbbb".into(), "cc".into()], 6));
        assert_eq!(keep("larger than all"), (vec![], 0));
    }
}
