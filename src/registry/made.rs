//! Images that were made here, as sources of copies.
//!
//! Decides nothing: what the manifests say was decided by who made them. Asks nobody.

use super::clients::Clients;
use super::ends::Source;
use super::host::{Endpoint, Shared};
use super::manifest::Manifest;
use super::repository::Repository;
use super::{Error, digest};
use crate::reference::Digest;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// An image that is nowhere yet. A clone shares its bytes.
#[derive(Debug, Clone)]
pub struct Made {
    /// How it is called in messages and as a registry: nobody is asked there.
    pub name: String,
    /// The manifest, or the index, that is the image.
    pub root: Bytes,
    /// The manifests below an index.
    pub children: Vec<Bytes>,
    /// Configs and layers.
    pub blobs: Vec<Bytes>,
    /// Manifests of what refers to its manifests, each by the digest of what it refers to.
    pub referrers: BTreeMap<Digest, Bytes>,
}

/// What a repository has that is nowhere, besides its manifests.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) blobs: BTreeMap<Digest, Bytes>,
    /// What refers to a manifest, by the digest of that one.
    pub(super) referrers: BTreeMap<Digest, Digest>,
}

/// The digest of bytes, as registries give it.
pub fn digest_of(bytes: &[u8]) -> Digest {
    digest::of("sha256", bytes)
}

impl Made {
    /// The digest that it has wherever it is pushed.
    pub fn digest(&self) -> Digest {
        digest_of(&self.root)
    }

    /// It, to be copied as any other.
    ///
    /// # Errors
    /// When its manifests are none.
    pub fn source(&self) -> Result<Source, Error> {
        let endpoint = Endpoint::new(&self.name, &self.name, None, &Shared::new(Clients::new()))?;
        let endpoint = Arc::new(endpoint);
        let blobs = self.blobs.iter();
        let blobs = blobs.map(|blob| (digest_of(blob), blob.clone()));
        let referrers = self.referrers.iter();
        let referrers = referrers.map(|(subject, own)| (subject.clone(), digest_of(own)));
        let contents = Contents {
            blobs: blobs.collect(),
            referrers: referrers.collect(),
        };
        let repository = Repository::of_made(&endpoint, contents);
        for manifest in self.children.iter().chain(self.referrers.values()) {
            repository.remember(&self.read(manifest)?);
        }
        let root = self.read(&self.root)?;
        Ok(Source::known(repository, &self.name, root))
    }

    fn read(&self, bytes: &Bytes) -> Result<Manifest, Error> {
        let what = format!("reading a manifest of {}", self.name);
        Ok(Manifest::read(
            &what,
            bytes.clone(),
            digest_of(bytes),
            None,
        )?)
    }
}
