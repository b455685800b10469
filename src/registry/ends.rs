//! The two ends of a copy: where it is read, and the tag where it goes.
//!
//! Decides which tag of the target is pushed. Never writes.

use super::refusal::{Kind, Refusal, Result};
use super::transport::{Access, Event, Repository};
use super::{CopyRequest, Descriptor, Registries};
use crate::credentials::Credentials;
use crate::reference::{Digest, Reference};
use crate::target::keeping_tag;
use tokio::sync::mpsc::UnboundedSender;

/// What can be seen of a tag in the target.
#[derive(Debug, PartialEq, Eq)]
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

/// The digest that a request asks for, where it is settled beforehand.
pub(super) fn settled(request: &CopyRequest) -> Option<&Digest> {
    request.digest.as_ref().or(request.source.digest())
}

/// The source, read with the first credentials that can.
pub(super) async fn find_source(
    registries: &Registries,
    request: &CopyRequest,
    told: &UnboundedSender<Event>,
) -> Result<(Repository, Descriptor)> {
    let point = settled(request).map_or_else(
        || request.source.tag().unwrap_or("latest").to_owned(),
        ToString::to_string,
    );
    let anonymous = [Credentials::Anonymous];
    let credentials = match request.source_credentials.as_slice() {
        [] => &anonymous,
        given => given,
    };
    let (repository, found) = registries
        .find(
            &request.source,
            &point,
            credentials,
            Access::Pull,
            Some(told),
        )
        .await?;
    match found {
        Some(found) => Ok((repository, found)),
        None => Err(repository.missing(&point).await),
    }
}

/// The target repository and what its tag has now.
pub(super) async fn find_target(
    registries: &Registries,
    request: &CopyRequest,
    told: &UnboundedSender<Event>,
) -> Result<(Repository, Seen)> {
    let target = &request.target;
    let tag = match (target.tag(), target.digest()) {
        (Some(tag), _) => tag.to_owned(),
        (None, Some(digest)) => keeping_tag(digest),
        (None, None) => "latest".to_owned(),
    };
    let credentials = std::slice::from_ref(&request.target_credentials);
    let found = registries
        .find(target, &tag, credentials, Access::Push, Some(told))
        .await;
    match found {
        Ok((repository, found)) => Ok((repository, found.into())),
        // the push will show whether these credentials are good for anything
        Err(refusal) if refusal.is_denied() && !refusal.by_token_server => {
            let host = registries.host(target.registry())?;
            let Some(endpoint) = host.endpoints.first() else {
                return Err(refusal);
            };
            let repository = Repository::new(
                endpoint,
                target.repository(),
                &request.target_credentials,
                Access::Push,
                Some(told),
            );
            Ok((repository, Seen::Hidden))
        }
        Err(refusal) => Err(refusal),
    }
}

/// The tag to push. A pinned reference's own tag is taken only where it is free.
pub(super) async fn land(
    to: &Repository,
    target: &Reference,
    digest: &Digest,
    seen: Seen,
) -> Result<Landing> {
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
        (Some(_), Some(_)) if seen != Seen::Free => {
            let tag = keeping_tag(digest);
            let seen = match seen {
                Seen::Hidden => Seen::Hidden,
                _ => to.head_manifest(&tag).await?.into(),
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
