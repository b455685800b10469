//! Talking to registries, and the copy engine.
//!
//! Decides how bytes get from one registry to another: endpoints, TLS, tokens, retries, mounts, uploads,
//! the order children → parents → tag. Never decides what is copied or what it is called (that is
//! [`crate::plan`] and [`crate::target`]).

#![allow(
    clippy::unnecessary_box_returns,
    reason = "refusals are large, rare and always boxed"
)]

mod authorization;
mod blobs;
mod body;
mod call;
mod challenge;
mod clients;
mod connection;
mod copier;
mod copy;
mod digest;
mod distance;
mod doubt;
mod ends;
mod error;
mod find;
mod flights;
mod foreign;
mod grant;
mod hint;
mod host;
mod lanes;
mod made;
mod manifest;
mod narrow;
mod pace;
mod ping;
mod place;
mod point;
mod probe;
mod prove;
mod proxy;
mod quota;
mod recall;
mod referrers;
mod refusal;
mod repository;
mod resolve;
mod retry;
mod session;
mod sizes;
mod token;
mod transport;
mod upload;
mod waits;
mod walk;
mod ways;

pub use copier::{Copied, Copier, Extras, ForeignLayers, Progress};
pub use ends::{Source, Target};
pub use error::Error;
pub use made::{Made, digest_of};
pub use place::means_this_machine;
pub use probe::{Reached, Security, Unreached};
pub use prove::Prover;
pub use quota::Quota;
pub use referrers::Referrers;

use crate::config::HostConfig;
use crate::credentials::Credentials;
use crate::platform::Platforms;
use crate::reference::{Digest, Reference};
use clients::Clients;
use host::{Host, Shared};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// All registries of a process: endpoints, connection pools, tokens, limits per host.
#[derive(Debug)]
pub struct Registries {
    settings: BTreeMap<String, HostConfig>,
    /// Hosts that are pushed to.
    targets: BTreeSet<String>,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
    shared: Shared,
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

impl Registries {
    /// Registries with these settings per host (key: `host[:port]` as in references).
    pub fn new(hosts: &BTreeMap<String, HostConfig>) -> Result<Self, Error> {
        Self::with_targets(hosts, BTreeSet::new())
    }

    /// The same, of which these are target registries: where they are pushed to is no mirror of theirs but
    /// themselves, so that it gets their credentials, for whatever is read there too.
    pub fn with_targets(
        hosts: &BTreeMap<String, HostConfig>,
        targets: BTreeSet<String>,
    ) -> Result<Self, Error> {
        Self::by(hosts, targets, Clients::new())
    }

    /// The same, of whoever goes where strangers send them: link-local and metadata addresses are never
    /// contacted, whatever names or answers lead there.
    pub fn guarded(
        hosts: &BTreeMap<String, HostConfig>,
        targets: BTreeSet<String>,
    ) -> Result<Self, Error> {
        Self::by(hosts, targets, Clients::guarded())
    }

    fn by(
        hosts: &BTreeMap<String, HostConfig>,
        targets: BTreeSet<String>,
        clients: Clients,
    ) -> Result<Self, Error> {
        let registries = Self {
            settings: hosts.clone(),
            targets,
            hosts: Mutex::default(),
            shared: Shared::new(clients),
        };
        // a file that cannot be read is told of now, not in the middle of a run
        for name in hosts.keys() {
            registries.host(name)?;
        }
        Ok(registries)
    }

    /// Tells somebody of waits while images are looked up: why, and for how long. A copy tells its own
    /// [`Progress`]. Must be quick; of several only the first is told.
    pub fn on_wait(&self, told: impl Fn(&str, Duration) + Send + Sync + 'static) {
        self.shared.waits.listen(told);
    }

    /// The image behind a reference, read with the first of the credentials that can: one HEAD for each
    /// that is tried.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it is not there.
    pub async fn source(
        &self,
        reference: &Reference,
        credentials: &[Credentials],
    ) -> Result<Source, Error> {
        Ok(ends::find_source(self, reference, credentials).await?)
    }

    /// The same, of an image that may not be there: none then, and no further question.
    ///
    /// # Errors
    /// When that cannot be told.
    pub async fn seek(
        &self,
        reference: &Reference,
        credentials: &[Credentials],
    ) -> Result<Option<Source>, Error> {
        Ok(ends::seek_source(self, reference, credentials).await?)
    }

    /// The place of a copy, and what is there now: one HEAD.
    pub async fn target(
        &self,
        reference: &Reference,
        credentials: &Credentials,
    ) -> Result<Target, Error> {
        Ok(ends::find_target(self, reference, credentials).await?)
    }

    /// The image as these platforms need it: of an index, one that has only them, with a digest of its
    /// own; anything else as it is. What the target has of this very index already stays in it, so that
    /// clusters of different platforms can share a target.
    ///
    /// # Errors
    /// When it is an index for other platforms.
    pub async fn narrow(
        &self,
        source: Source,
        platforms: &Platforms,
        target: &Target,
    ) -> Result<Source, Error> {
        match platforms {
            Platforms::All => Ok(source),
            Platforms::Only(platforms) => Ok(narrow::narrow(source, platforms, target).await?),
        }
    }

    /// Reads the image's own manifest, unless that was done: what is asked of it later asks its registry no
    /// more.
    pub async fn read(&self, source: &Source) -> Result<(), Error> {
        source.manifest().await?;
        Ok(())
    }

    /// The image that another place has, with all below its manifest to be read at this one.
    pub async fn seen_as(&self, source: &Source, other: &Source) -> Result<Source, Error> {
        Ok(source.seen_as(other.manifest().await?.clone()))
    }

    /// What this source's registry still lets its reader read, as far as it has said so.
    pub fn quota(&self, source: &Source) -> Option<Quota> {
        source.repository.quota()
    }

    /// The digests that an index names as its platforms'; none for an image that is no index.
    pub async fn children(&self, source: &Source) -> Result<Vec<Digest>, Error> {
        let children = source.manifest().await?.children.iter();
        Ok(children.map(|child| child.digest.clone()).collect())
    }

    fn host(&self, name: &str) -> refusal::Result<Arc<Host>> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.get(name) {
            return Ok(Arc::clone(host));
        }
        let settings = self.settings.get(name);
        let is_target = self.targets.contains(name);
        let host = Arc::new(Host::new(name, settings, is_target, &self.shared)?);
        hosts.insert(name.to_owned(), Arc::clone(&host));
        Ok(host)
    }
}
