//! Whether what a registry says it has is all there: manifests, the manifests below them, and blobs.
//!
//! Decides what is asked and what is read, each once however many images of the run share it. Never
//! writes, and keeps nothing of what it reads.

use super::Error;
use super::blobs::MOST_KNOWN;
use super::body;
use super::copier::{Progress, relayed};
use super::ends::Source;
use super::manifest::{Content, Manifest};
use super::refusal::{Kind, Refusal, Result};
use super::repository::{Event, Repository};
use super::walk::{BLOBS, MANIFESTS, Walk, abreast};
use crate::reference::Digest;
use crate::status::{Fault, Inventory};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::TryStreamExt;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OnceCell, Semaphore, mpsc};

/// A digest in a repository of a host.
type Place = (String, String, Digest);

/// Proves the images of one run.
#[derive(Debug)]
pub struct Prover {
    /// Whether blobs are read, not only asked for.
    deep: bool,
    /// Whether a repository has a blob.
    present: Once<Place, bool>,
    /// Whether a host has a blob's right bytes; repositories of one host share them.
    sound: Once<(String, Digest), bool>,
    reads: Semaphore,
}

/// What is found out once for each key; a failure is not kept.
type Once<K, V> = Mutex<HashMap<K, Arc<OnceCell<V>>>>;

/// One image's parts, as they are found.
#[derive(Default)]
struct Parts {
    manifests: HashMap<Digest, u64>,
    blobs: HashMap<Digest, Content>,
    faults: BTreeMap<Digest, Fault>,
}

impl Prover {
    /// `deep` reads every blob, at most `concurrency` at once, and compares it with its digest; else the
    /// registry's word is taken for it.
    pub fn new(deep: bool, concurrency: usize) -> Self {
        Self {
            deep,
            present: Mutex::default(),
            sound: Mutex::default(),
            reads: Semaphore::new(concurrency.max(1)),
        }
    }

    /// Looks whether everything of this image is where the image is.
    ///
    /// # Errors
    /// When that cannot be told; what is missing is in the inventory.
    pub async fn prove(
        &self,
        image: &Source,
        progress: &dyn Progress,
    ) -> std::result::Result<Inventory, Error> {
        let (told, events) = mpsc::unbounded_channel();
        let image = image.telling(&told);
        Ok(relayed(self.inventory(&image), events, progress).await?)
    }

    async fn inventory(&self, image: &Source) -> Result<Inventory> {
        let (parts, walk) = (Mutex::new(Parts::default()), Walk::default());
        let repository = &image.repository;
        match image.manifest().await {
            Ok(manifest) => Self::descend(repository, manifest, &parts, &walk, 0).await?,
            // a tag's HEAD can be answered from a cache that outlived the manifest
            Err(refusal) if refusal.is_not_found() => {
                let faults = &mut locked(&parts).faults;
                faults.insert(image.digest().clone(), Fault::ManifestMissing);
            }
            Err(refusal) => return Err(refusal),
        }
        let blobs: Vec<Content> = locked(&parts).blobs.values().cloned().collect();
        let (foreign, own): (Vec<_>, Vec<_>) = blobs.into_iter().partition(|blob| blob.foreign);
        let asked = own.iter().cloned().map(|blob| async move {
            let fault = self.blob(repository, &blob).await?;
            Ok::<_, Box<Refusal>>(fault.map(|fault| (blob.digest, fault)))
        });
        let faults = abreast(BLOBS, asked).await?;
        let parts = parts.into_inner().unwrap_or_else(PoisonError::into_inner);
        let sizes = own.iter().map(|blob| blob.size);
        Ok(Inventory {
            digest: Some(image.digest().clone()),
            manifests: parts.manifests.len(),
            blobs: own.len(),
            // each size is what a manifest says
            bytes: sizes
                .chain(parts.manifests.into_values())
                .fold(0, u64::saturating_add),
            foreign: foreign.len(),
            faults: parts
                .faults
                .into_iter()
                .chain(faults.into_iter().flatten())
                .collect(),
        })
    }

    /// Notes what a manifest refers to, and what those below it do.
    fn descend<'a>(
        repository: &'a Repository,
        manifest: &'a Manifest,
        parts: &'a Mutex<Parts>,
        walk: &'a Walk,
        depth: usize,
    ) -> BoxFuture<'a, Result<()>> {
        async move {
            let children: Vec<Content> = {
                let mut parts = locked(parts);
                let size = manifest.bytes.len() as u64;
                parts.manifests.insert(manifest.digest.clone(), size);
                for blob in &manifest.blobs {
                    parts.blobs.insert(blob.digest.clone(), blob.clone());
                }
                let children = manifest.children.iter();
                children
                    .filter(|child| !parts.manifests.contains_key(&child.digest))
                    .cloned()
                    .collect()
            };
            let below = children.into_iter().map(|child| async move {
                walk.enter(&child, depth + 1)?;
                let Some(read) = repository.find_manifest(&child).await? else {
                    let faults = &mut locked(parts).faults;
                    faults.insert(child.digest, Fault::ManifestMissing);
                    return Ok(());
                };
                Self::descend(repository, &read, parts, walk, depth + 1).await
            });
            abreast(MANIFESTS, below).await.map(drop)
        }
        .boxed()
    }

    /// What is wrong with a blob in this repository, if anything.
    async fn blob(&self, repository: &Repository, blob: &Content) -> Result<Option<Fault>> {
        let host = repository.endpoint.host.clone();
        let place = (host.clone(), repository.name.clone(), blob.digest.clone());
        let asked = cell(&self.present, place);
        let present = asked.get_or_try_init(|| repository.has_blob(&blob.digest));
        if !*present.await? {
            return Ok(Some(Fault::BlobMissing));
        }
        if !self.deep {
            return Ok(None);
        }
        let read = cell(&self.sound, (host, blob.digest.clone()));
        let sound = read.get_or_try_init(|| self.read(repository, blob)).await;
        match sound {
            Ok(true) => Ok(None),
            Ok(false) => Ok(Some(Fault::BlobCorrupt)),
            // some registries know of more than they have
            Err(refusal) if refusal.is_not_found() => Ok(Some(Fault::BlobMissing)),
            Err(refusal) => Err(refusal),
        }
    }

    /// Reads a blob to its end; whether it is what its digest says.
    async fn read(&self, repository: &Repository, blob: &Content) -> Result<bool> {
        repository.tell(Event::Expected(blob.size));
        let _room = self.reads.acquire().await;
        let read = async {
            let mut source = body::Source::new(repository, blob, &Arc::default())?;
            source.seek(0).await?;
            let gone = || Refusal::new("reading a blob", Kind::Other, "the read was abandoned");
            let chunks = source.stream(u64::MAX);
            let chunks = chunks.map_err(|error| error.take().unwrap_or_else(gone));
            chunks.try_for_each(|_| async { Ok(()) }).await
        };
        match read.await {
            Ok(()) => Ok(true),
            Err(refusal) if refusal.kind == Kind::Corrupt => {
                tracing::debug!(what = refusal.what, detail = refusal.detail, "corrupt");
                Ok(false)
            }
            Err(refusal) => Err(refusal),
        }
    }
}

/// The cell of a key, made when first asked for.
fn cell<K: Eq + Hash, V>(cells: &Once<K, V>, key: K) -> Arc<OnceCell<V>> {
    let mut cells = locked(cells);
    if cells.len() >= MOST_KNOWN {
        cells.clear();
    }
    Arc::clone(cells.entry(key).or_default())
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
