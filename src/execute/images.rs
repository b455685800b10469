//! The images of a run: which digest is meant, who may read it, and one copy of each.

mod survey;

use super::settle::{Settled, Sources};
use super::source_credentials::SourceCredentials;
use super::{Event, Observer, Options};
use crate::credentials::{Chain, Credentials, Keyring};
use crate::outcome::{DryRun, Failure, ImageOutcome, ImageState};
use crate::plan::{Copy, Policy};
use crate::reference::{Digest, Reference};
use crate::registry::{Copied, Copier, Progress, Prover, Registries};
use crate::workload::WorkloadId;
use futures::future::{BoxFuture, FutureExt, Shared};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Images under way at once.
const UNDER_WAY: usize = 32;

/// What became of one image, shared by the workloads that wait for it.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// How it ended.
    pub outcome: ImageOutcome,
    /// The workloads that it was settled for.
    users: Vec<WorkloadId>,
    /// Those of them whose own credentials do not read the source, and why.
    pub denied: BTreeMap<WorkloadId, Failure>,
    /// Whether its registry let all others read the source; else what the target has stands in for it.
    pub was_read: bool,
}

type Arriving = Shared<BoxFuture<'static, Arc<Arrival>>>;

/// Everything needed to copy images: registries, engine and credentials. Each image is copied once,
/// however many ask for it. A clone is another handle to the same.
#[derive(Clone)]
pub struct Images {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) sources: Sources,
    copier: Arc<Copier>,
    /// The engine bounds transfers by itself.
    slots: Arc<Semaphore>,
    /// By target, which no two copies share.
    arriving: Mutex<BTreeMap<Reference, Arriving>>,
    /// What was settled before, so that what was shown is what is copied.
    settled: Mutex<BTreeMap<Reference, Result<Settled, Failure>>>,
    pub(super) options: Options,
}

impl Images {
    /// Images of one run. `concurrency` bounds the transfers of big blobs per host.
    pub fn new(
        registries: Arc<Registries>,
        chain: Chain,
        keyrings: BTreeMap<WorkloadId, Keyring>,
        target_credentials: Credentials,
        concurrency: usize,
        options: Options,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                copier: Arc::new(Copier::new(concurrency).with(options.extras)),
                sources: Sources {
                    registries,
                    credentials: SourceCredentials { keyrings, chain },
                    target_credentials,
                    platforms: options.platforms.clone(),
                    leaving: options.leaving.clone(),
                },
                slots: Arc::new(Semaphore::new(UNDER_WAY)),
                arriving: Mutex::default(),
                settled: Mutex::default(),
                options,
            }),
        }
    }

    /// The same registries and engine for those who ask with these keyrings, in a process that goes on:
    /// nothing is remembered of what arrived before.
    #[must_use]
    pub fn anew(&self, keyrings: BTreeMap<WorkloadId, Keyring>) -> Self {
        let inner = &self.inner;
        let sources = &inner.sources;
        Self {
            inner: Arc::new(Inner {
                sources: Sources {
                    registries: Arc::clone(&sources.registries),
                    credentials: SourceCredentials {
                        keyrings,
                        chain: sources.credentials.chain.clone(),
                    },
                    target_credentials: sources.target_credentials.clone(),
                    platforms: sources.platforms.clone(),
                    leaving: sources.leaving.clone(),
                },
                copier: Arc::clone(&inner.copier),
                slots: Arc::clone(&inner.slots),
                arriving: Mutex::default(),
                settled: Mutex::default(),
                options: inner.options.clone(),
            }),
        }
    }

    /// Brings one image, and tells which of its users may not have it, and why.
    pub async fn bring(&self, copy: &Copy, observer: &Arc<dyn Observer>) -> Arc<Arrival> {
        self.arrive(copy, observer).await
    }

    /// The digest of what is under this name in the target, where all of it is there; none where anything
    /// is missing.
    ///
    /// # Errors
    /// When that cannot be told.
    pub async fn intact(
        &self,
        target: &Reference,
        prover: &Prover,
        observer: &Arc<dyn Observer>,
    ) -> Result<Option<Digest>, Failure> {
        let sources = &self.inner.sources;
        let found = sources
            .registries
            .target(target, &sources.target_credentials);
        let Some(there) = found.await?.as_source() else {
            return Ok(None);
        };
        let progress = ImageProgress {
            source: target,
            observer: observer.as_ref(),
        };
        let inventory = prover.prove(&there, &progress).await?;
        Ok(inventory.faults.is_empty().then(|| there.digest().clone()))
    }

    /// Copies these images, each once, and tells how each ended.
    pub async fn copy(&self, copies: &[Copy], observer: &Arc<dyn Observer>) -> Vec<ImageOutcome> {
        let arrivals = copies.iter().map(|copy| self.arrive(copy, observer));
        futures::future::join_all(arrivals)
            .await
            .into_iter()
            .map(|arrival| arrival.outcome.clone())
            .collect()
    }

    /// The one arrival of this image: starts the copy when nobody did before.
    fn arrive(&self, copy: &Copy, observer: &Arc<dyn Observer>) -> Arriving {
        let mut arriving = lock(&self.inner.arriving);
        arriving
            .entry(copy.target.clone())
            .or_insert_with(|| {
                let (inner, copy, observer) =
                    (Arc::clone(&self.inner), copy.clone(), Arc::clone(observer));
                // a task of its own: hashing several images must not share one core
                let task =
                    tokio::spawn(async move { Arc::new(inner.bring(&copy, &observer).await) });
                async move {
                    task.await
                        .expect("an image's task neither panics nor is aborted")
                }
                .boxed()
                .shared()
            })
            .clone()
    }

    /// Waits until this image is complete in the target and this workload may have it.
    pub(super) async fn there_for(
        &self,
        id: &WorkloadId,
        copy: &Copy,
        observer: &Arc<dyn Observer>,
    ) -> Result<(), Failure> {
        let arrival = self.arrive(copy, observer).await;
        if let ImageState::Failed(failure) = &arrival.outcome.state {
            return Err(failure.clone());
        }
        let denied = if arrival.users.contains(id) {
            arrival.denied.get(id).cloned()
        } else {
            // others brought it; that this workload may read its source was not asked yet
            let settled = self.inner.sources.settle(copy).await?;
            settled.denied.get(id).cloned()
        };
        match denied {
            Some(why) => Err(why.context(format!("reading {} for {id}", copy.source.familiar()))),
            None => Ok(()),
        }
    }

    /// The policy that names copies with the digests that have arrived, where that is what it wants.
    pub fn pinning(&self, policy: &Policy, copies: &[Copy]) -> Policy {
        let mut policy = policy.clone();
        if policy.images.pins.is_some() {
            policy.images.pins = Some(self.digests(copies));
        }
        policy
    }

    /// The digests of those of these images that arrived, by target.
    fn digests(&self, copies: &[Copy]) -> BTreeMap<Reference, Digest> {
        let arriving = lock(&self.inner.arriving);
        let digest = |copy: &Copy| arriving.get(&copy.target)?.peek()?.outcome.digest.clone();
        copies
            .iter()
            .filter_map(|copy| Some((copy.target.clone(), digest(copy)?)))
            .collect()
    }

    /// The images that arrived so far, by target; none of them still under way.
    pub(super) fn arrived(&self) -> Vec<ImageOutcome> {
        lock(&self.inner.arriving)
            .values()
            .filter_map(|arriving| arriving.peek().map(|arrival| arrival.outcome.clone()))
            .collect()
    }
}

impl Inner {
    async fn bring(&self, copy: &Copy, observer: &Arc<dyn Observer>) -> Arrival {
        let mut arrival = Arrival {
            outcome: ImageOutcome {
                source: copy.source.clone(),
                target: copy.target.clone(),
                digest: None,
                state: ImageState::Present,
                foreign_left: 0,
                notes: Vec::new(),
            },
            users: copy.users.keys().cloned().collect(),
            denied: BTreeMap::new(),
            was_read: false,
        };
        let brought = tokio::select! {
            () = self.options.stop.cancelled() => Err(Failure::new("interrupted")),
            brought = self.carry(copy, &mut arrival, observer) => brought,
        };
        match brought {
            Ok(state) => arrival.outcome.state = state,
            Err(failure) => {
                let doing = format!("copying {} to {}", copy.source.familiar(), copy.target);
                arrival.outcome.state = ImageState::Failed(failure.context(doing));
            }
        }
        observer.notice(&Event::ImageFinished(&arrival.outcome));
        arrival
    }

    async fn carry(
        &self,
        copy: &Copy,
        arrival: &mut Arrival,
        observer: &Arc<dyn Observer>,
    ) -> Result<ImageState, Failure> {
        let _slot = self
            .slots
            .acquire()
            .await
            .map_err(|_| Failure::new("interrupted"))?;
        let known = lock(&self.settled).get(&copy.target).cloned();
        let settled = match known {
            Some(settled) => settled?,
            None => self.sources.settle(copy).await?,
        };
        let present = settled.is_present();
        arrival.outcome.digest = Some(settled.source.digest().clone());
        arrival.denied = settled.denied;
        arrival.was_read = settled.was_read;
        arrival.outcome.notes = settled.notes;
        // where nobody will be pointed to the copy, its tag is believed
        let verify = !copy.users.is_empty();
        match (self.options.dry_run, present) {
            (DryRun::None, _) => {}
            (_, true) => return Ok(ImageState::Present),
            (_, false) => return Ok(ImageState::Copied { bytes: 0 }),
        }
        let progress = ImageProgress {
            source: &copy.source,
            observer: observer.as_ref(),
        };
        let copied = self
            .copier
            .copy(&settled.source, &settled.target, verify, &progress)
            .await?;
        arrival.outcome.foreign_left = copied.foreign_left;
        arrival.outcome.notes.extend(notes(copy, &copied));
        Ok(if copied.present {
            ImageState::Present
        } else {
            ImageState::Copied {
                bytes: copied.bytes,
            }
        })
    }
}

/// What is worth saying of a copy that is no failure.
fn notes(copy: &Copy, copied: &Copied) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(kept) = &copied.kept {
        let target = &copy.target;
        notes.push(format!(
            "{target} had other content in the target, kept as {kept}"
        ));
    }
    let Some(referrers) = &copied.referrers else {
        return notes;
    };
    let name = copy.source.familiar();
    match referrers.copied {
        0 => {}
        1 => notes.push(format!("{name}: 1 referrer copied")),
        many => notes.push(format!("{name}: {many} referrers copied")),
    }
    for (tag, kept) in &referrers.kept {
        notes.push(format!(
            "{name}: {tag} had other content in the target, kept as {kept}"
        ));
    }
    if let [first, more @ ..] = referrers.failures.as_slice() {
        let more = match more.len() {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        notes.push(format!("{name}: referrers not copied: {first}{more}"));
    }
    notes
}

/// The progress of one image, told to the run's observer.
pub(super) struct ImageProgress<'a> {
    pub(super) source: &'a Reference,
    pub(super) observer: &'a dyn Observer,
}

impl Progress for ImageProgress<'_> {
    fn expected(&self, bytes: u64) {
        self.observer.notice(&Event::Expected(self.source, bytes));
    }

    fn carried(&self, bytes: u64) {
        self.observer.notice(&Event::Carried(self.source, bytes));
    }

    fn waiting(&self, why: &str, pause: Duration) {
        self.observer
            .notice(&Event::Waiting(self.source, why, pause));
    }
}

/// A lock whose holder panicked still guards consistent data: every critical section here is one insert.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
