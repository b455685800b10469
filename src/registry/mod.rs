//! Talking to registries, and the copy engine.
//!
//! Decides how bytes get from one registry to another: endpoints, TLS, tokens, retries, mounts, uploads,
//! the order children → parents → tag. Never decides what is copied or what it is called (that is
//! [`crate::plan`] and [`crate::target`]).

#![allow(
    clippy::unnecessary_box_returns,
    reason = "refusals are large, rare and always boxed"
)]

mod blobs;
mod body;
mod call;
mod challenge;
mod clients;
mod connection;
mod copier;
mod copy;
mod digest;
mod ends;
mod flights;
mod foreign;
mod grant;
mod hint;
mod host;
mod made;
mod manifest;
mod narrow;
mod place;
mod probe;
mod prove;
mod proxy;
mod quota;
mod recall;
mod referrers;
mod refusal;
mod resolve;
mod retry;
mod session;
mod token;
mod transport;
mod upload;
mod waits;

pub use copier::{Copied, Copier, Extras, ForeignLayers, Progress};
pub use ends::{Source, Target};
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
use call::Call;
use clients::Clients;
use futures::future::{BoxFuture, FutureExt, try_join_all};
use host::{Host, Shared};
use manifest::Manifest;

use refusal::Refusal;
use reqwest::Method;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use transport::{Access, Repository};

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

/// Why a registry's answer is no use. Variants where a caller branches; everything else is `Failed`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 404, or what stands for it: the manifest or repository is not there.
    #[error("{what}{detail}")]
    NotFound {
        /// Method, redacted URL.
        what: String,
        /// The registry's own words, with a leading `: `.
        detail: String,
        /// Whether only strangers asked: some registries tell them so of what they hide.
        to_stranger: bool,
    },
    /// 401 or 403 after all credentials were tried.
    #[error("{what}: {detail} ({who})")]
    Denied {
        /// Method, redacted URL.
        what: String,
        /// The registry's own words.
        detail: String,
        /// Who asked: `anonymous`, `as testuser`.
        who: String,
        /// What helps.
        hint: Option<String>,
    },
    /// No connection, or no registry behind it.
    #[error("{what}: {detail}")]
    Unreachable {
        /// What was tried.
        what: String,
        /// The cause, innermost last.
        detail: String,
        /// What helps.
        hint: Option<String>,
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
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::NotFound { .. } => None,
            Self::Denied { hint, .. }
            | Self::Unreachable { hint, .. }
            | Self::Failed { hint, .. } => hint.as_deref(),
        }
    }
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

    /// The bytes that a copy of this image carries at the most: all manifests, configs and layers of all
    /// platforms, each digest once.
    pub async fn size(&self, source: &Source, extras: Extras) -> Result<u64, Error> {
        let sizes = Sizes {
            foreign: extras.foreign_layers == ForeignLayers::Copy,
            seen: Mutex::default(),
        };
        let manifest = source.manifest().await?;
        sizes.add(&source.repository, manifest, 0).await?;
        let seen = sizes.seen.into_inner();
        let seen = seen.unwrap_or_else(PoisonError::into_inner);
        Ok(seen.values().sum())
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

    /// Whether pulling from this repository needs credentials: asked anonymously.
    pub async fn needs_credentials(&self, reference: &Reference) -> Result<bool, Error> {
        let anonymous = [Credentials::Anonymous];
        let point = point(reference);
        match self.find(reference, &point, &anonymous, Access::Pull).await {
            Ok((_, Some(_))) => Ok(false),
            // strangers may be told that there is nothing where there is something
            Ok((repository, None)) => Ok(repository.is_closed_to_strangers().await?),
            Err(refusal) if refusal.is_denied() => Ok(true),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Whether there is a registry at this host that accepts these credentials (`GET /v2/`).
    pub async fn ping(&self, host: &str, credentials: &Credentials) -> Result<(), Error> {
        let host = self.host(host)?;
        let mut last = None;
        for endpoint in &host.endpoints {
            match ping(endpoint, credentials).await {
                Ok(()) => return Ok(()),
                Err(refusal) if refusal.is_unreachable() => last = Some(refusal),
                Err(refusal) => return Err(refusal.into()),
            }
        }
        Err(last.map_or_else(no_endpoint, Error::from))
    }

    /// As [`Self::ping`], for credentials that are not known to be good yet: they go to the host they are for,
    /// or to an endpoint that has to do with them, and to no mirror.
    pub async fn check(&self, host: &str, credentials: &Credentials) -> Result<(), Error> {
        let shared = |host: &Host| host.endpoints.iter().all(|it| it.shares_credentials);
        if shared(&*self.host(host)?) {
            return self.ping(host, credentials).await;
        }
        let mut settings = self.settings.clone();
        if let Some(own) = settings.get_mut(host) {
            own.endpoint.clear();
        }
        Self::new(&settings)?.ping(host, credentials).await
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

    /// The first endpoint and credentials that give `point`; else the first that say it is not there.
    async fn find(
        &self,
        reference: &Reference,
        point: &str,
        credentials: &[Credentials],
        access: Access,
    ) -> refusal::Result<(Repository, Option<Descriptor>)> {
        let host = self.host(reference.registry())?;
        let mut missing = None;
        let mut gone = None;
        let mut failed: Option<Box<Refusal>> = None;
        for endpoint in &host.endpoints {
            let name = reference.repository();
            let askers = credentials
                .iter()
                .map(|credentials| Repository::new(endpoint, name, credentials, access));
            for repository in distinct(askers) {
                match repository.head_manifest(point).await {
                    Ok(Some(found)) => return Ok((repository, Some(found))),
                    // a push goes to the first place that answers, not to the one that has something
                    Ok(None) if access == Access::Push => return Ok((repository, None)),
                    Ok(None) if repository.is_anonymous() => {
                        missing.get_or_insert(repository);
                    }
                    Ok(None) => {
                        gone.get_or_insert(repository);
                    }
                    // the first refusal says most: strangers are tried last
                    Err(refusal) if refusal.is_denied() => {
                        if !failed.as_ref().is_some_and(|failed| failed.is_denied()) {
                            failed = Some(refusal);
                        }
                    }
                    Err(refusal) if refusal.is_unreachable() => {
                        failed.get_or_insert(refusal);
                        break;
                    }
                    Err(refusal) => return Err(refusal),
                }
            }
        }
        // those that the registry knows are told the truth
        if let Some(repository) = gone {
            return Ok((repository, None));
        }
        match (failed, missing) {
            // strangers may be told that there is nothing where there is something
            (Some(refusal), _) if refusal.is_denied() => Err(refusal),
            (_, Some(repository)) => Ok((repository, None)),
            (Some(refusal), None) => Err(refusal),
            (None, None) => Err(Refusal::new(
                format!("contacting {}", reference.registry()),
                refusal::Kind::Other,
                "no endpoint",
            )),
        }
    }
}

/// Each asker once: all credentials that a mirror does not get are one stranger to it.
fn distinct(askers: impl Iterator<Item = Repository>) -> Vec<Repository> {
    askers.fold(Vec::new(), |mut kept, asker| {
        if !kept
            .iter()
            .any(|before: &Repository| before.is_asked_as(&asker))
        {
            kept.push(asker);
        }
        kept
    })
}

fn no_endpoint() -> Error {
    Error::Failed {
        what: "contacting a registry".to_owned(),
        detail: "no endpoint".to_owned(),
        hint: None,
    }
}

/// What a reference asks for: its digest, else its tag.
fn point(reference: &Reference) -> String {
    match (reference.digest(), reference.tag()) {
        (Some(digest), _) => digest.to_string(),
        (None, tag) => tag.unwrap_or("latest").to_owned(),
    }
}

async fn ping(endpoint: &Arc<host::Endpoint>, credentials: &Credentials) -> refusal::Result<()> {
    let registry = Repository::root(endpoint, credentials, Access::Pull);
    let call = Call::new(Method::GET, transport::ping_url(endpoint).await?);
    let response = registry.send(&call).await?;
    if response.status().is_success() && !refusal::is_html(response.headers()) {
        transport::drain(response).await;
        return Ok(());
    }
    let refusal = registry.refuse(&Method::GET, response).await;
    if refusal.is_not_found() {
        return Err(Refusal::new(
            refusal.what,
            refusal::Kind::NotARegistry,
            format!("{}: this is not a registry", refusal.detail),
        ));
    }
    Err(refusal)
}

/// The sizes of an image's parts, each digest once.
struct Sizes {
    /// Whether layers count that are held elsewhere.
    foreign: bool,
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
            manifest::check_depth(&manifest.digest, depth)?;
            let children: Vec<&Digest> = {
                let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.insert(manifest.digest.clone(), manifest.bytes.len() as u64);
                let blobs = manifest.blobs.iter();
                let blobs = blobs.filter(|blob| self.foreign || !blob.foreign);
                seen.extend(blobs.map(|blob| (blob.digest.clone(), blob.size)));
                let children = manifest.children.iter().map(|child| &child.digest);
                children
                    .filter(|child| seen.insert((*child).clone(), 0).is_none())
                    .collect()
            };
            try_join_all(children.into_iter().map(|child| async move {
                let child = repository.recall_manifest(child).await?;
                self.add(repository, &child, depth + 1).await
            }))
            .await?;
            Ok(())
        }
        .boxed()
    }
}
