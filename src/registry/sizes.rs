//! How much there is of an image.
//!
//! Decides what counts: everything of all platforms, each digest once.

use super::ends::Source;
use super::manifest::{Content, Manifest};
use super::refusal;
use super::repository::Repository;
use super::walk::{MANIFESTS, Walk, abreast};
use super::{Error, Extras, ForeignLayers, Registries};
use crate::reference::Digest;
use futures::future::{BoxFuture, FutureExt};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

impl Registries {
    /// The bytes that a copy of this image carries at the most: all manifests, configs and layers of all
    /// platforms, each digest once.
    pub async fn size(&self, source: &Source, extras: Extras) -> Result<u64, Error> {
        let sizes = Sizes {
            foreign: extras.foreign_layers == ForeignLayers::Copy,
            walk: Walk::default(),
            seen: Mutex::default(),
        };
        let manifest = source.manifest().await?;
        sizes.add(&source.repository, manifest, 0).await?;
        let seen = sizes.seen.into_inner();
        let seen = seen.unwrap_or_else(PoisonError::into_inner);
        // each size is what the manifest says
        Ok(seen.into_values().fold(0, u64::saturating_add))
    }
}

/// The sizes of an image's parts, each digest once.
struct Sizes {
    /// Whether layers count that are held elsewhere.
    foreign: bool,
    walk: Walk,
    seen: Mutex<HashMap<Digest, u64>>,
}

impl Sizes {
    /// Adds a manifest and everything below it.
    fn add<'a>(
        &'a self,
        repository: &'a Repository,
        manifest: &'a Manifest,
        depth: usize,
    ) -> BoxFuture<'a, refusal::Result<()>> {
        async move {
            let children: Vec<Content> = {
                let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.insert(manifest.digest.clone(), manifest.bytes.len() as u64);
                let blobs = manifest.blobs.iter();
                let blobs = blobs.filter(|blob| self.foreign || !blob.foreign);
                seen.extend(blobs.map(|blob| (blob.digest.clone(), blob.size)));
                let children = manifest.children.iter();
                children
                    .filter(|child| seen.insert(child.digest.clone(), 0).is_none())
                    .cloned()
                    .collect()
            };
            let below = children.into_iter().map(|child| async move {
                self.walk.enter(&child, depth + 1)?;
                let child = repository.recall_manifest(&child).await?;
                self.add(repository, &child, depth + 1).await
            });
            abreast(MANIFESTS, below).await.map(drop)
        }
        .boxed()
    }
}
