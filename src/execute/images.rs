//! The images of a run: which digest is meant, who may read it, and one copy of each.

use super::{DryRun, Event, Observer, Options};
use crate::credentials::{Chain, Credentials, Keyring};
use crate::outcome::{Failure, Finding, ImageOutcome, ImageState, Survey};
use crate::plan::Copy;
use crate::reference::{Digest, Reference};
use crate::registry::{Copier, CopyRequest, Error, Progress, Registries};
use crate::workload::WorkloadId;
use futures::future::{BoxFuture, FutureExt, Shared};
use futures::stream::{self, StreamExt};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// What became of one image, shared by the workloads that wait for it.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    pub(super) outcome: ImageOutcome,
    /// Workloads whose own credentials do not read the source, and why.
    pub(super) denied: BTreeMap<WorkloadId, Failure>,
}

type Arriving = Shared<BoxFuture<'static, Arc<Arrival>>>;

/// Everything needed to copy images: registries, engine and credentials. Each image is copied once,
/// however many ask for it. A clone is another handle to the same.
#[derive(Clone)]
pub struct Images {
    inner: Arc<Inner>,
}

struct Inner {
    registries: Arc<Registries>,
    copier: Copier,
    chain: Chain,
    keyrings: BTreeMap<WorkloadId, Keyring>,
    target_credentials: Credentials,
    /// Images under way at once; the engine bounds transfers by itself.
    slots: Semaphore,
    /// By target, which no two copies share.
    arriving: Mutex<BTreeMap<Reference, Arriving>>,
    /// What the survey settled, so that what was shown is what is copied.
    settled: Mutex<BTreeMap<Reference, Settled>>,
    options: Options,
}

/// Which digest of a source is meant, and with which credentials it can be had.
#[derive(Debug, Clone)]
struct Settled {
    digest: Digest,
    credentials: Vec<Credentials>,
    /// The target has this digest under the target's name.
    present: bool,
    /// What the tag has upstream, where that is another digest than the one that runs.
    moved: Option<Digest>,
    /// The source cannot be read now, and why; the target's copy stands in for it.
    unreadable: Option<String>,
    denied: BTreeMap<WorkloadId, Failure>,
}

impl Images {
    /// Images of one run. `concurrency` bounds images under way and, per host, blob transfers.
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
                copier: Copier::new(Arc::clone(&registries), concurrency),
                registries,
                chain,
                keyrings,
                target_credentials,
                slots: Semaphore::new(concurrency * 4),
                arriving: Mutex::default(),
                settled: Mutex::default(),
                options,
            }),
        }
    }

    /// Looks at every image of a plan without writing: digest, size, whether it is there already.
    pub async fn survey(&self, copies: &[Copy]) -> Survey {
        stream::iter(copies)
            .map(|copy| async move { (copy.target.clone(), self.inner.look(copy).await) })
            .buffer_unordered(32)
            .collect()
            .await
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
    pub(super) fn arrive(&self, copy: &Copy, observer: &Arc<dyn Observer>) -> Arriving {
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

    /// The images that arrived so far, by target; none of them still under way.
    pub(super) fn arrived(&self) -> Vec<ImageOutcome> {
        lock(&self.inner.arriving)
            .values()
            .filter_map(|arriving| arriving.peek().map(|arrival| arrival.outcome.clone()))
            .collect()
    }
}

impl Inner {
    async fn look(&self, copy: &Copy) -> Result<Finding, Failure> {
        let settled = self.settle(copy).await?;
        let size = match settled.credentials.first() {
            Some(credentials) => {
                let pinned = copy.source.with(None, Some(&settled.digest));
                self.registries.size(&pinned, credentials).await.ok()
            }
            None => None,
        };
        lock(&self.settled).insert(copy.target.clone(), settled.clone());
        Ok(Finding {
            digest: settled.digest,
            size,
            present: settled.present,
            moved: settled.moved,
        })
    }

    async fn bring(&self, copy: &Copy, observer: &Arc<dyn Observer>) -> Arrival {
        let mut arrival = Arrival {
            outcome: ImageOutcome {
                source: copy.source.clone(),
                target: copy.target.clone(),
                digest: None,
                state: ImageState::Present,
                notes: Vec::new(),
            },
            denied: BTreeMap::new(),
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
        observer.notice(&Event::ImageStarted(&copy.source));
        let known = lock(&self.settled).get(&copy.target).cloned();
        let settled = match known {
            Some(settled) => settled,
            None => self.settle(copy).await?,
        };
        arrival.outcome.digest = Some(settled.digest.clone());
        arrival.denied = settled.denied;
        if let Some(upstream) = &settled.moved {
            arrival.outcome.notes.push(format!(
                "{} is {} upstream; what runs is copied: {}",
                copy.source.familiar(),
                upstream.short(),
                settled.digest.short()
            ));
        }
        if let Some(why) = settled.unreadable {
            arrival.outcome.notes.push(format!(
                "{} cannot be read now ({why}); its copy in the target is used",
                copy.source.familiar()
            ));
        }
        // nobody will be pointed to the copy: its tag is believed
        let repoints = !copy.users.is_empty();
        if settled.present && (!repoints || self.options.dry_run != DryRun::None) {
            return Ok(ImageState::Present);
        }
        if self.options.dry_run != DryRun::None {
            return Ok(ImageState::Copied { bytes: 0 });
        }
        let request = CopyRequest {
            source: copy.source.clone(),
            source_credentials: settled.credentials,
            digest: Some(settled.digest),
            target: copy.target.clone(),
            target_credentials: self.target_credentials.clone(),
            verify: repoints,
        };
        let progress = ImageProgress {
            source: &copy.source,
            observer: observer.as_ref(),
        };
        let copied = self
            .copier
            .copy(&request, &progress)
            .await
            .map_err(Failure::from)?;
        if let Some(kept) = copied.kept {
            arrival.outcome.notes.push(format!(
                "{} had other content in the target, kept as {kept}",
                copy.target
            ));
        }
        Ok(if copied.present {
            ImageState::Present
        } else {
            ImageState::Copied {
                bytes: copied.bytes,
            }
        })
    }

    /// Decides which digest is meant: the one that runs, where the pods agree and it can be had, else the
    /// tag's.
    async fn settle(&self, copy: &Copy) -> Result<Settled, Failure> {
        let readers = self.readers(copy).await?;
        let (source, target) = tokio::join!(
            self.read_source(copy, readers),
            self.registries
                .resolve(&copy.target, &self.target_credentials),
        );
        let target = match target {
            Ok(found) => found.map(|descriptor| descriptor.digest),
            // some registries answer so for a repository that is not there yet; the push will tell
            Err(Error::Denied { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        match source {
            Ok(read) => Ok(Settled {
                present: target.as_ref() == Some(&read.digest),
                digest: read.digest,
                credentials: read.credentials,
                moved: read.moved,
                unreadable: None,
                denied: read.denied,
            }),
            // a source that is gone, limited or unreachable while its copy is there stops nobody; one that
            // denies access does: the copy must not be a way around its permissions
            Err(error @ Error::Denied { .. }) => Err(Failure::from(error)),
            Err(error) => match target {
                Some(digest) if stands_in(copy, &digest) => Ok(Settled {
                    digest,
                    credentials: Vec::new(),
                    present: true,
                    moved: None,
                    unreadable: Some(Failure::from(error).message),
                    denied: BTreeMap::new(),
                }),
                _ => Err(Failure::from(error)),
            },
        }
    }

    /// Who asks for this image, grouped by the credentials they bring: a namespace's own pull secrets first,
    /// then this machine's.
    async fn readers(&self, copy: &Copy) -> Result<Vec<Reader>, Failure> {
        let (registry, repository) = (copy.source.registry(), copy.source.repository());
        let local = self
            .chain
            .find(registry, repository)
            .await
            .map_err(|error| Failure::new(error.to_string()))?;
        let mut readers: Vec<Reader> = Vec::new();
        for user in &copy.users {
            let mut credentials = match self.keyrings.get(user) {
                Some(keyring) => keyring.find(registry, repository),
                None => Vec::new(),
            };
            credentials.push(local.clone());
            match readers
                .iter_mut()
                .find(|reader| reader.credentials == credentials)
            {
                Some(reader) => reader.users.push(user.clone()),
                None => readers.push(Reader {
                    users: vec![user.clone()],
                    credentials,
                }),
            }
        }
        if readers.is_empty() {
            readers.push(Reader {
                users: Vec::new(),
                credentials: vec![local],
            });
        }
        Ok(readers)
    }

    /// Settles the digest with the first reader that can, and checks that the others can read it too.
    async fn read_source(&self, copy: &Copy, readers: Vec<Reader>) -> Result<Read, Error> {
        let mut found: Option<Read> = None;
        let mut refused = Vec::new();
        for reader in readers {
            let attempt = match &found {
                None => self.identify(copy, &reader.credentials).await.map(Some),
                Some(read) => {
                    let pinned = copy.source.with(None, Some(&read.digest));
                    self.first_that_reads(&pinned, &reader.credentials)
                        .await
                        .map(|_| None)
                }
            };
            match attempt {
                Ok(Some(read)) => found = Some(read),
                Ok(None) => {}
                Err(error) => refused.push((reader.users, error)),
            }
        }
        match (found, refused) {
            (Some(mut read), refused) => {
                for (users, error) in refused {
                    let why = Failure::from(error);
                    read.denied
                        .extend(users.into_iter().map(|user| (user, why.clone())));
                }
                Ok(read)
            }
            (None, mut refused) => Err(refused.swap_remove(0).1),
        }
    }

    async fn identify(&self, copy: &Copy, candidates: &[Credentials]) -> Result<Read, Error> {
        let tag = self.first_that_reads(&copy.source, candidates).await;
        let mut running = copy.running.iter();
        let (None, Some(running), None) = (copy.source.digest(), running.next(), running.next())
        else {
            return tag.map(|(digest, by)| Read::new(digest, by));
        };
        match tag {
            Ok((digest, by)) if digest == *running => Ok(Read::new(digest, by)),
            Ok((digest, by)) => {
                // some runtimes report the platform's manifest, not the index that the tag names
                let children = self.registries.children(&copy.source, &by[0]).await?;
                if children.contains(running) {
                    return Ok(Read::new(digest, by));
                }
                let pinned = copy.source.with(None, Some(running));
                match self.first_that_reads(&pinned, &by).await {
                    Ok((running, by)) => Ok(Read {
                        moved: Some(digest),
                        ..Read::new(running, by)
                    }),
                    Err(_) => Ok(Read::new(digest, by)),
                }
            }
            Err(error) => {
                let pinned = copy.source.with(None, Some(running));
                let (digest, by) = self
                    .first_that_reads(&pinned, candidates)
                    .await
                    .map_err(|_| error)?;
                Ok(Read::new(digest, by))
            }
        }
    }

    /// Asks with each of the credentials in turn; gives the digest and the credentials, the ones that read
    /// it first.
    async fn first_that_reads(
        &self,
        reference: &Reference,
        candidates: &[Credentials],
    ) -> Result<(Digest, Vec<Credentials>), Error> {
        let mut refused = None;
        for (at, credentials) in candidates.iter().enumerate() {
            match self.registries.resolve(reference, credentials).await {
                Ok(Some(descriptor)) => {
                    let mut ordered = candidates.to_vec();
                    ordered.swap(0, at);
                    return Ok((descriptor.digest, ordered));
                }
                Ok(None) => {
                    refused.get_or_insert_with(|| gone(reference));
                }
                Err(error @ Error::Denied { .. }) => refused = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(refused.unwrap_or_else(|| gone(reference)))
    }
}

/// Some who ask for an image with the same credentials.
struct Reader {
    users: Vec<WorkloadId>,
    credentials: Vec<Credentials>,
}

/// What reading a source came to.
struct Read {
    digest: Digest,
    credentials: Vec<Credentials>,
    moved: Option<Digest>,
    denied: BTreeMap<WorkloadId, Failure>,
}

impl Read {
    fn new(digest: Digest, credentials: Vec<Credentials>) -> Self {
        Self {
            digest,
            credentials,
            moved: None,
            denied: BTreeMap::new(),
        }
    }
}

fn gone(reference: &Reference) -> Error {
    let host = reference.registry();
    let name = reference.to_string();
    let name = name.strip_prefix(&format!("{host}/")).unwrap_or(&name);
    Error::NotFound {
        what: format!("{host} has no {name}"),
        detail: String::new(),
    }
}

/// Whether the target's copy may be used in place of a source that cannot be read: not when something
/// else is known to run.
fn stands_in(copy: &Copy, target: &Digest) -> bool {
    copy.source.digest().is_none_or(|pinned| pinned == target)
        && (copy.running.is_empty() || copy.running.contains(target))
}

/// The progress of one image, told to the run's observer.
struct ImageProgress<'a> {
    source: &'a Reference,
    observer: &'a dyn Observer,
}

impl Progress for ImageProgress<'_> {
    fn expected(&self, bytes: u64) {
        self.observer.notice(&Event::Expected(self.source, bytes));
    }

    fn carried(&self, bytes: u64) {
        self.observer.notice(&Event::Carried(self.source, bytes));
    }

    fn waiting(&self, host: &str, pause: Duration) {
        self.observer
            .notice(&Event::Waiting(self.source, host, pause));
    }
}

/// A lock whose holder panicked still guards consistent data: every critical section here is one insert.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
