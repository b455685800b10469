//! The two ends of a copy: an image that was found, and the place where it goes.
//!
//! Decides which tag of the target is pushed. Never writes.

use super::manifest::{self, Manifest};
use super::refusal::{Kind, Refusal, Result};
use super::repository::{Access, Event, Repository};
use super::{Descriptor, Registries};
use crate::credentials::Credentials;
use crate::reference::{Digest, Reference};
use crate::target::keeping_tag;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;
use tokio::sync::mpsc::UnboundedSender;

/// An image that was found in a registry, and with which credentials it can be read there.
#[derive(Debug, Clone)]
pub struct Source {
    pub(super) repository: Repository,
    /// The registry by the name that references give it.
    pub(super) registry: String,
    digest: Digest,
    media_type: String,
    /// Read once, since sources count it; of a narrowed index, made here.
    manifest: Arc<OnceCell<Manifest>>,
}

impl Source {
    /// An image whose manifest is here already.
    pub(super) fn known(repository: Repository, registry: &str, manifest: Manifest) -> Self {
        Self {
            repository,
            registry: registry.to_owned(),
            digest: manifest.digest.clone(),
            media_type: manifest.media_type.clone(),
            manifest: Arc::new(OnceCell::new_with(Some(manifest))),
        }
    }

    /// The digest that was found; of a narrowed index, its own.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The registry, as references name it.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// As whom it is read; none when anonymous.
    pub fn user(&self) -> Option<&str> {
        self.repository.user()
    }

    /// How many manifests a copy reads at the least.
    pub fn least_reads(&self) -> u64 {
        if self.is_index() { 2 } else { 1 }
    }

    /// What the digest stands for.
    pub(super) async fn manifest(&self) -> Result<&Manifest> {
        let read = || self.repository.recall_manifest(&self.digest);
        self.manifest.get_or_try_init(read).await
    }

    /// How many manifests an index lists, where it was read.
    pub fn listed(&self) -> Option<u64> {
        Some(self.known_manifest()?.children.len() as u64)
    }

    /// What the digest stands for, where that was read.
    pub(super) fn known_manifest(&self) -> Option<&Manifest> {
        self.manifest.get()
    }

    /// The same image seen through another manifest of its repository.
    pub(super) fn seen_as(&self, manifest: Manifest) -> Self {
        Self {
            digest: manifest.digest.clone(),
            media_type: manifest.media_type.clone(),
            manifest: Arc::new(OnceCell::new_with(Some(manifest))),
            ..self.clone()
        }
    }

    /// The same, telling of what it does.
    pub(super) fn telling(&self, told: &UnboundedSender<Event>) -> Self {
        Self {
            repository: self.repository.telling(told),
            ..self.clone()
        }
    }

    /// Whether the registry calls it an index.
    pub fn is_index(&self) -> bool {
        manifest::is_index(&self.media_type)
    }
}

/// What was seen of a tag so long ago may have changed.
const FRESH: Duration = Duration::from_secs(2);

/// The place of a copy in the target registry, and what is there now.
#[derive(Debug, Clone)]
pub struct Target {
    pub(super) repository: Repository,
    pub(super) reference: Reference,
    pub(super) seen: Seen,
    /// When that was.
    pub(super) found: Instant,
}

impl Target {
    /// The same, telling of what it does.
    pub(super) fn telling(&self, told: &UnboundedSender<Event>) -> Self {
        Self {
            repository: self.repository.telling(told),
            ..self.clone()
        }
    }

    /// Whether what was seen of it may have changed since.
    pub(super) fn is_stale(&self) -> bool {
        self.found.elapsed() > FRESH
    }

    /// The digest that is there now, if any can be seen.
    pub fn digest(&self) -> Option<&Digest> {
        match &self.seen {
            Seen::There(digest) => Some(digest),
            Seen::Free | Seen::Hidden => None,
        }
    }

    /// What is there now as a source, to stand in for one that cannot be read.
    pub fn as_source(&self) -> Option<Source> {
        Some(Source {
            repository: self.repository.clone(),
            registry: self.reference.registry().to_owned(),
            digest: self.digest()?.clone(),
            // nothing of it is read from elsewhere
            media_type: String::new(),
            manifest: Arc::default(),
        })
    }
}

/// What can be seen of a tag in the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// It is not there.
    Free,
    /// It has this digest.
    There(Digest),
    /// Reading was refused: Quay answers so for repositories that are not there yet.
    Hidden,
}

/// Where a copy ends: the tag and what it has now.
#[derive(Debug)]
pub(super) struct Landing {
    pub(super) tag: String,
    pub(super) seen: Seen,
}

impl Seen {
    pub(super) fn is(&self, digest: &Digest) -> bool {
        matches!(self, Self::There(has) if has == digest)
    }
}

impl From<Option<Descriptor>> for Seen {
    fn from(found: Option<Descriptor>) -> Self {
        found.map_or(Self::Free, |found| Self::There(found.digest))
    }
}

/// The image behind a reference, read with the first of the credentials that can.
pub(super) async fn find_source(
    registries: &Registries,
    reference: &Reference,
    credentials: &[Credentials],
) -> Result<Source> {
    let (repository, found) = find(registries, reference, credentials).await?;
    match found {
        Some(source) => Ok(source),
        None => Err(repository.missing(&super::find::point(reference)).await),
    }
}

/// The same, where it may well not be there: nothing more is asked then.
pub(super) async fn seek_source(
    registries: &Registries,
    reference: &Reference,
    credentials: &[Credentials],
) -> Result<Option<Source>> {
    let (_, found) = find(registries, reference, credentials).await?;
    Ok(found)
}

async fn find(
    registries: &Registries,
    reference: &Reference,
    credentials: &[Credentials],
) -> Result<(Repository, Option<Source>)> {
    let point = super::find::point(reference);
    let found = registries
        .find(reference, &point, credentials, Access::Pull)
        .await?;
    let (repository, found) = found;
    let source = found.map(|found| Source {
        repository: repository.clone(),
        registry: reference.registry().to_owned(),
        digest: found.digest,
        media_type: found.media_type,
        manifest: Arc::default(),
    });
    Ok((repository, source))
}

/// The place of a copy, and what its tag has now.
pub(super) async fn find_target(
    registries: &Registries,
    reference: &Reference,
    credentials: &Credentials,
) -> Result<Target> {
    let tag = match (reference.tag(), reference.digest()) {
        (Some(tag), _) => tag.to_owned(),
        (None, Some(digest)) => keeping_tag(digest),
        (None, None) => "latest".to_owned(),
    };
    let asked = std::slice::from_ref(credentials);
    let found = registries.find(reference, &tag, asked, Access::Push).await;
    let (repository, seen) = match found {
        Ok((repository, found)) => (repository, found.into()),
        // the push will show whether these credentials are good for anything
        Err(refusal) if refusal.is_denied() && !refusal.by_token_server => {
            let host = registries.host(reference.registry())?;
            let Some(endpoint) = host.endpoints.first() else {
                return Err(refusal);
            };
            let name = reference.repository();
            let repository = Repository::new(endpoint, name, credentials, Access::Push);
            (repository, Seen::Hidden)
        }
        Err(refusal) => return Err(refusal),
    };
    Ok(Target {
        repository,
        reference: reference.clone(),
        seen,
        found: Instant::now(),
    })
}

/// The same, looked at again just before it is written.
pub(super) async fn land_again(
    place: &Target,
    digest: &Digest,
    landing: Landing,
) -> Result<Landing> {
    let seen = place.repository.head_manifest(&landing.tag).await?.into();
    if place.reference.tag() != Some(landing.tag.as_str()) {
        return Ok(Landing { seen, ..landing });
    }
    let found = Instant::now();
    let place = Target {
        seen,
        found,
        ..place.clone()
    };
    land(&place, digest).await
}

/// The tag to push. A pinned reference's own tag is taken only where it is free.
pub(super) async fn land(place: &Target, digest: &Digest) -> Result<Landing> {
    let (target, seen) = (&place.reference, place.seen.clone());
    if let Some(pinned) = target.digest()
        && pinned != digest
    {
        return Err(Refusal::new(
            format!("copying to {target}"),
            Kind::Other,
            format!("the source has {digest}"),
        ));
    }
    match (target.tag(), target.digest()) {
        (Some(_), Some(_)) if seen != Seen::Free && !seen.is(digest) => {
            let tag = keeping_tag(digest);
            let seen = match seen {
                Seen::Hidden => Seen::Hidden,
                _ => place.repository.head_manifest(&tag).await?.into(),
            };
            Ok(Landing { tag, seen })
        }
        (Some(tag), _) => Ok(Landing {
            tag: tag.to_owned(),
            seen,
        }),
        (None, _) => Ok(Landing {
            tag: keeping_tag(digest),
            seen,
        }),
    }
}
