//! Talking to registries, and the copy engine.
//!
//! Decides how bytes get from one registry to another: endpoints, TLS, tokens, retries, mounts, uploads,
//! the order children → parents → tag. Never decides what is copied or what it is called (that is
//! [`crate::plan`] and [`crate::target`]).

use crate::config::HostConfig;
use crate::credentials::Credentials;
use crate::reference::{Digest, Reference};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// All registries of a process: endpoints, connection pools, tokens, limits per host.
#[derive(Debug)]
pub struct Registries {
    // private
}

/// A manifest as a registry names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Its media type.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its own size in bytes.
    pub size: u64,
}

/// Why a registry's answer is no use. Variants where a caller branches; everything else is `Failed`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 404, or what stands for it: the manifest or repository is not there.
    #[error("{what}: not found{detail}")]
    NotFound {
        /// Method, redacted URL.
        what: String,
        /// The registry's own words, with a leading `: `; may be empty.
        detail: String,
    },
    /// 401 or 403 after all credentials were tried.
    #[error("{what}: {detail}")]
    Denied {
        /// Method, redacted URL.
        what: String,
        /// The registry's own words.
        detail: String,
        /// Who asked: `anonymous`, `as testuser`.
        who: String,
    },
    /// No connection, or no registry behind it.
    #[error("{what}: {detail}")]
    Unreachable {
        /// What was tried.
        what: String,
        /// The cause, innermost last.
        detail: String,
    },
    /// Anything else.
    #[error("{what}: {detail}")]
    Failed {
        /// What was being done.
        what: String,
        /// The cause.
        detail: String,
        /// What helps.
        hint: Option<String>,
    },
}

impl Error {
    /// What helps, where something is known to.
    pub fn hint(&self) -> Option<&str> {
        None
    }
}

impl Registries {
    /// TMP
    pub async fn children(&self, _r: &Reference, _c: &Credentials) -> Result<Vec<Digest>, Error> {
        todo!()
    }

    /// Registries with these settings per host (key: `host[:port]` as in references).
    pub fn new(_hosts: &BTreeMap<String, HostConfig>) -> Result<Self, Error> {
        todo!()
    }

    /// What a reference points to: one HEAD; none when it is not there.
    pub async fn resolve(
        &self,
        _reference: &Reference,
        _credentials: &Credentials,
    ) -> Result<Option<Descriptor>, Error> {
        todo!()
    }

    /// The bytes that a copy of this image carries at the most: all manifests, configs and layers of all
    /// platforms, each digest once.
    pub async fn size(
        &self,
        _reference: &Reference,
        _credentials: &Credentials,
    ) -> Result<u64, Error> {
        todo!()
    }

    /// Whether pulling from this repository needs credentials: asked anonymously.
    pub async fn needs_credentials(&self, _reference: &Reference) -> Result<bool, Error> {
        todo!()
    }

    /// Whether there is a registry at this host that accepts these credentials (`GET /v2/`).
    pub async fn ping(&self, _host: &str, _credentials: &Credentials) -> Result<(), Error> {
        todo!()
    }
}

/// What one copy is told of.
#[derive(Debug, Clone)]
pub struct CopyRequest {
    /// Where it comes from.
    pub source: Reference,
    /// Credentials for the source, tried in order.
    pub source_credentials: Vec<Credentials>,
    /// The digest to copy, where it is settled; else what the source's tag has.
    pub digest: Option<Digest>,
    /// Where it goes: its tag is moved there; a digest-pinned one gets its keeping tag.
    pub target: Reference,
    /// Credentials for the target.
    pub target_credentials: Credentials,
}

/// What a copy came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The digest in the target, equal to the source's.
    pub digest: Digest,
    /// Whether everything was there already (no write was made).
    pub present: bool,
    /// Bytes of blobs that were carried.
    pub bytes: u64,
    /// The tag under which the target's former content was kept, if the tag moved.
    pub kept: Option<String>,
}

/// Told of a copy's progress; called often, must be quick.
pub trait Progress: Send + Sync {
    /// Bytes of this image that are now known to have to be carried.
    fn expected(&self, bytes: u64);
    /// Bytes that were carried.
    fn carried(&self, bytes: u64);
    /// The host asked for a pause.
    fn waiting(&self, host: &str, pause: Duration);
}

/// The copy engine: one for a whole run, so that no blob is carried twice.
#[derive(Debug)]
pub struct Copier {
    // private
}

impl Copier {
    /// An engine with at most `concurrency` blob transfers per host.
    pub fn new(_registries: Arc<Registries>, _concurrency: usize) -> Self {
        todo!()
    }

    /// Copies one image. Safe to call many times at once and again after a failure; dropping the future
    /// abandons the copy and leaves the target consistent.
    pub async fn copy(
        &self,
        _request: &CopyRequest,
        _progress: &dyn Progress,
    ) -> Result<Copied, Error> {
        todo!()
    }
}
