//! How far hosts are.
//!
//! Decides that by the quickest answer a host ever gave: no round trip to it takes longer, however busy it is
//! at other times.

use reqwest::Url;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The quickest answers, by origin: blobs come from other hosts than the registry's own.
#[derive(Debug, Default)]
pub(super) struct Distances(Mutex<HashMap<String, Duration>>);

impl Distances {
    /// Takes note of an answer that took so long.
    pub(super) fn learn(&self, url: &Url, took: Duration) {
        let mut quickest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        quickest
            .entry(url.origin().ascii_serialization())
            .and_modify(|known| *known = took.min(*known))
            .or_insert(took);
    }

    /// What an answer from there takes at the most; none where there never was one.
    pub(super) fn of(&self, url: &Url) -> Option<Duration> {
        let quickest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        quickest.get(&url.origin().ascii_serialization()).copied()
    }
}
