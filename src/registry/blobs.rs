//! The blobs of a run: which target repositories have them, and who brings them there.
//!
//! Decides between nothing, mount and carrying. One blob is carried once to a host, however many images
//! of the run share it.

use super::copy::{Asking, Job};
use super::flights::Flights;
use super::foreign::Owners;
use super::host::Endpoint;
use super::lanes::{AHEAD, Room};
use super::manifest::Content;
use super::refusal::Result;
use super::repository::{Event, Repository};
use super::session::{Mount, Session};
use crate::reference::Digest;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Up to this size a blob counts as small: it takes a round trip rather than bandwidth.
const SMALL: u64 = 512 * 1024;

/// Bytes that are sent sooner than a far registry answers a question about them.
pub(super) const CHEAP: u64 = 4 * 1024 * 1024;

/// How many manifests, or blobs, are known to be somewhere; all of them are forgotten rather than one more
/// is kept, which costs a few questions. There may be a hundred to an image with all its platforms.
pub(super) const MOST_KNOWN: usize = 10_000;

/// Small blobs in flight per host.
const SMALL_TRANSFERS: usize = 24;

/// A blob on a host.
type Key = (String, Digest);

/// A blob in a repository of a host.
type Place = (Key, String);

/// What is known of blobs.
#[derive(Debug)]
pub(super) struct Blobs {
    /// The repositories of a host that have a blob.
    known: Mutex<HashMap<Key, BTreeSet<String>>>,
    /// Whoever sees to a blob in a repository, by a mount or otherwise.
    places: Flights<Place>,
    /// Whoever carries a blob to a host.
    flights: Flights<Key>,
    limits: Limits,
    owners: Owners,
}

impl Blobs {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            known: Mutex::default(),
            places: Flights::default(),
            flights: Flights::default(),
            limits,
            owners: Owners::new(),
        }
    }

    /// Makes sure that a blob is in the job's target; gives the bytes that had to be carried.
    pub(super) async fn ensure(&self, job: &Job<'_>, blob: &Content) -> Result<u64> {
        let key = (job.to.endpoint.host.clone(), blob.digest.clone());
        // a mount is no flight: several images of a run may go to one repository
        let place = (key.clone(), job.to.name.clone());
        let _place = self.places.alone(place).await;
        if self.has(&key, &job.to.name) {
            return Ok(0);
        }
        let mut session = None;
        let mut asked = false;
        let _flight = loop {
            if let Some(other) = self.elsewhere(&key, job).filter(|_| !asked) {
                asked = true;
                match job.to.mount(&blob.digest, &other).await {
                    Ok(Mount::Done) => {
                        self.learn(key, &job.to.name);
                        return Ok(0);
                    }
                    Ok(Mount::Upload(opened)) => session = Some(opened),
                    Ok(Mount::Refused) => {}
                    Err(refusal) => tracing::debug!(what = refusal.what, "mount failed"),
                }
            }
            let flight = self.flights.alone(key.clone()).await;
            // whoever flew before may have made it mountable
            if asked || self.elsewhere(&key, job).is_none() {
                break flight;
            }
        };
        let carried = self.bring(job, blob, session).await?;
        self.learn(key, &job.to.name);
        Ok(carried)
    }

    /// A repository of a source, with room for reading big blobs of it ahead.
    pub(super) fn reading_ahead(&self, from: &Repository) -> Repository {
        from.reading_ahead(self.limits.room(&from.endpoint))
    }

    async fn bring(&self, job: &Job<'_>, blob: &Content, session: Option<Session>) -> Result<u64> {
        let worth_asking = match job.asking {
            Asking::All => session.is_none(),
            Asking::BigBlobs => session.is_none() && blob.size > CHEAP,
            Asking::Nothing => false,
        };
        if worth_asking && is_there(&job.to, &blob.digest).await? {
            return Ok(0);
        }
        job.to.tell(Event::Expected(blob.size));
        let _permits = self.limits.acquire(job, blob.size).await;
        self.owners.carry(job, blob, session).await?;
        Ok(blob.size)
    }

    fn has(&self, key: &Key, repository: &str) -> bool {
        let known = self.known();
        let repositories = known.get(key);
        repositories.is_some_and(|repositories| repositories.contains(repository))
    }

    /// Another repository of the target's registry that has a blob.
    fn elsewhere(&self, key: &Key, job: &Job<'_>) -> Option<String> {
        let known = self.known();
        let other = known
            .get(key)
            .and_then(|repositories| repositories.iter().find(|r| **r != job.to.name));
        let source =
            || (job.same_registry && job.from.name != job.to.name).then(|| job.from.name.clone());
        other.cloned().or_else(source)
    }

    /// Forgets what a repository was known to have.
    pub(super) fn forget(&self, host: &str, repository: &str) {
        for ((of, _), repositories) in self.known().iter_mut() {
            if of == host {
                repositories.remove(repository);
            }
        }
    }

    fn learn(&self, key: Key, repository: &str) {
        let mut known = self.known();
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.entry(key).or_default().insert(repository.to_owned());
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Key, BTreeSet<String>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a blob is there, as far as the registry can tell: one that was killed while it stored a blob
/// (Distribution leaves an empty link then) fails to look at it, and takes it again.
async fn is_there(to: &Repository, blob: &Digest) -> Result<bool> {
    match to.has_blob(blob).await {
        Err(refusal) if refusal.status().is_some_and(|it| it.is_server_error()) => {
            tracing::debug!(what = refusal.what, detail = refusal.detail, "sent again");
            Ok(false)
        }
        answer => answer,
    }
}

/// Transfers at once, per host, and what is read ahead for all of them.
#[derive(Debug)]
pub(super) struct Limits {
    concurrency: usize,
    ahead: Arc<Semaphore>,
    hosts: Mutex<HashMap<(String, bool), Arc<Semaphore>>>,
}

impl Limits {
    pub(super) fn new(concurrency: usize) -> Self {
        Self {
            concurrency: concurrency.max(1),
            ahead: Arc::new(Semaphore::new(AHEAD)),
            hosts: Mutex::default(),
        }
    }

    /// Waits for room at both ends.
    async fn acquire(&self, job: &Job<'_>, size: u64) -> Vec<OwnedSemaphorePermit> {
        // in one order everywhere, so that copies in opposite directions cannot block each other
        let ends = [&job.from.endpoint, &job.to.endpoint];
        let hosts = BTreeMap::from(ends.map(|end| (&end.host, end.concurrency)));
        let mut permits = Vec::with_capacity(hosts.len());
        for (host, own) in hosts {
            let semaphore = self.semaphore(host, own, size <= SMALL);
            permits.extend(semaphore.acquire_owned().await);
        }
        permits
    }

    fn room(&self, endpoint: &Endpoint) -> Room {
        Room {
            ahead: Arc::clone(&self.ahead),
            transfers: self.semaphore(&endpoint.host, endpoint.concurrency, false),
        }
    }

    /// The room at a host, `own` where the user gave it a number of its own: that is for all blobs.
    fn semaphore(&self, host: &str, own: Option<usize>, small: bool) -> Arc<Semaphore> {
        let small = small && own.is_none();
        let room = match own {
            Some(room) => room,
            None if small => SMALL_TRANSFERS.max(self.concurrency),
            None => self.concurrency,
        };
        Arc::clone(
            self.hosts
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry((host.to_owned(), small))
                .or_insert_with(|| Arc::new(Semaphore::new(room))),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::digest;

    #[test]
    fn what_is_known_of_blobs_has_a_bound() {
        let blobs = Blobs::new(Limits::new(1));
        let key = |at: usize| {
            let digest = digest::of("sha256", &at.to_be_bytes());
            ("reg.corp".to_owned(), digest)
        };
        for at in 0..=2 * MOST_KNOWN {
            blobs.learn(key(at), "a");
            assert!(blobs.known().len() <= MOST_KNOWN);
            assert!(blobs.has(&key(at), "a"));
        }
        // one that is in many places is one
        blobs.learn(key(2 * MOST_KNOWN), "b");
        assert_eq!(blobs.known().len(), 1);
    }
}
