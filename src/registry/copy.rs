//! The copy engine: children before parents, blobs before manifests, the tag last.
//!
//! Decides what has to be sent, in which order, and what is shared between the images of a run. Never
//! pushes a manifest before everything that it refers to is in the target.

use super::Descriptor;
use super::blobs::{Blobs, Limits};
use super::flights::Flights;
use super::manifest::Manifest;
use super::refusal::{Kind, Refusal, Result};
use super::transport::{Access, Event, Repository};
use super::{Copied, CopyRequest, Registries};
use crate::credentials::Credentials;
use crate::reference::{Digest, Reference};
use crate::target::keeping_tag;
use futures::future::{BoxFuture, FutureExt, join, try_join, try_join_all};
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use tokio::sync::mpsc::UnboundedSender;

/// What the images of a run share.
#[derive(Debug)]
pub(super) struct Engine {
    blobs: Blobs,
    manifests: Flights<Place>,
    /// Manifests that are known to be in the target with everything below them.
    proven: Mutex<HashSet<Place>>,
}

/// A digest in a repository of a host.
type Place = (String, String, Digest);

/// One image on its way.
pub(super) struct Job<'a> {
    pub(super) from: Repository,
    pub(super) to: Repository,
    /// Whether source and target are one registry, which can mount.
    pub(super) same_registry: bool,
    /// Whether the target repository holds nothing yet.
    pub(super) new: bool,
    engine: &'a Engine,
}

/// Where a copy ends: the tag and what it has now.
struct Landing {
    tag: String,
    current: Option<Digest>,
}

impl Engine {
    pub(super) fn new(concurrency: usize) -> Self {
        Self {
            blobs: Blobs::new(Limits::new(concurrency)),
            manifests: Flights::default(),
            proven: Mutex::default(),
        }
    }

    /// Copies one image.
    pub(super) async fn copy(
        &self,
        registries: &Registries,
        request: &CopyRequest,
        told: &UnboundedSender<Event>,
    ) -> Result<Copied> {
        let (source, target) = join(
            find_source(registries, request, told),
            find_target(registries, request, told),
        )
        .await;
        let (to, current) = target?;
        let present = |digest: Digest| Copied {
            digest,
            present: true,
            bytes: 0,
            kept: None,
        };
        let (from, digest) = match (source, settled(request), &current) {
            (Ok((from, found)), _, _) => (from, found.digest),
            // the target has just what was wanted, and no one was refused it
            (Err(refusal), Some(wanted), Some(has))
                if *wanted == has.digest && !refusal.is_denied() =>
            {
                tracing::info!(
                    what = refusal.what,
                    detail = refusal.detail,
                    "source not asked"
                );
                return Ok(present(has.digest.clone()));
            }
            (Err(refusal), _, _) => return Err(refusal),
        };
        if current.as_ref().is_some_and(|c| c.digest == digest) {
            return Ok(present(digest));
        }
        check_pin(&request.target, &digest)?;
        let landing = land(&to, &request.target, &digest, current).await?;
        if landing.current.as_ref() == Some(&digest) {
            return Ok(present(digest));
        }
        // whether the repository is new is asked while the manifest is on its way
        let is_new = async { Ok(landing.current.is_none() && to.is_new().await) };
        let (new, manifest) = try_join(is_new, from.get_manifest(digest.as_str())).await?;
        let job = Job {
            same_registry: request.source.registry() == request.target.registry(),
            from,
            to,
            new,
            engine: self,
        };
        job.run(&manifest, landing).await
    }

    fn is_proven(&self, place: &Place) -> bool {
        self.proven
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(place)
    }

    fn prove(&self, place: Place) {
        self.proven
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(place);
    }
}

/// The digest that a request asks for, where it is settled beforehand.
fn settled(request: &CopyRequest) -> Option<&Digest> {
    request.digest.as_ref().or(request.source.digest())
}

/// The source, read with the first credentials that can.
async fn find_source(
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
async fn find_target(
    registries: &Registries,
    request: &CopyRequest,
    told: &UnboundedSender<Event>,
) -> Result<(Repository, Option<Descriptor>)> {
    let tag = match (request.target.tag(), request.target.digest()) {
        (Some(tag), _) => tag.to_owned(),
        (None, Some(digest)) => keeping_tag(digest),
        (None, None) => "latest".to_owned(),
    };
    let credentials = std::slice::from_ref(&request.target_credentials);
    registries
        .find(&request.target, &tag, credentials, Access::Push, Some(told))
        .await
}

/// A pinned target names its content; other content must not go there.
fn check_pin(target: &Reference, digest: &Digest) -> Result<()> {
    match target.digest() {
        Some(pinned) if pinned != digest => Err(Refusal::new(
            format!("copying to {target}"),
            Kind::Other,
            format!("the source has {digest}"),
        )),
        _ => Ok(()),
    }
}

/// The tag to push. A pinned reference's own tag is taken only where it is free.
async fn land(
    to: &Repository,
    target: &Reference,
    digest: &Digest,
    current: Option<Descriptor>,
) -> Result<Landing> {
    let current = current.map(|c| c.digest);
    let keeping = || keeping_tag(digest);
    match (target.tag(), target.digest()) {
        (Some(_), Some(_)) if current.is_some() => {
            let tag = keeping();
            let current = to.head_manifest(&tag).await?.map(|c| c.digest);
            Ok(Landing { tag, current })
        }
        (Some(tag), _) => Ok(Landing {
            tag: tag.to_owned(),
            current,
        }),
        (None, _) => Ok(Landing {
            tag: keeping(),
            current,
        }),
    }
}

impl Job<'_> {
    async fn run(&self, manifest: &Manifest, landing: Landing) -> Result<Copied> {
        let bytes = self.below(manifest).await?;
        let kept = match &landing.current {
            Some(old) => self.keep(&landing.tag, old).await?,
            None => None,
        };
        self.tag(manifest, &landing).await?;
        self.engine.prove(self.place(&manifest.digest));
        Ok(Copied {
            digest: manifest.digest.clone(),
            present: false,
            bytes,
            kept,
        })
    }

    fn place(&self, digest: &Digest) -> Place {
        (
            self.to.endpoint.host.clone(),
            self.to.name.clone(),
            digest.clone(),
        )
    }

    /// Puts everything below a manifest into the target; gives the bytes that were carried.
    fn below<'a>(&'a self, manifest: &'a Manifest) -> BoxFuture<'a, Result<u64>> {
        async move {
            if self.engine.is_proven(&self.place(&manifest.digest)) {
                return Ok(0);
            }
            let children = try_join_all(manifest.children.iter().map(|c| self.child(&c.digest)));
            let (foreign, blobs): (Vec<_>, Vec<_>) =
                manifest.blobs.iter().partition(|blob| blob.foreign);
            for blob in foreign {
                tracing::info!(digest = %blob.digest, "not copied: its owner does not allow it to be distributed");
            }
            let blobs = try_join_all(blobs.into_iter().map(|blob| self.engine.blobs.ensure(self, blob)));
            let (children, blobs) = try_join(children, blobs).await?;
            Ok(children.into_iter().chain(blobs).sum())
        }
        .boxed()
    }

    /// A manifest below an index: everything below it first, then itself by its digest.
    async fn child(&self, digest: &Digest) -> Result<u64> {
        let place = self.place(digest);
        let _flight = self.engine.manifests.alone(place.clone()).await;
        if self.engine.is_proven(&place) {
            return Ok(0);
        }
        // from the target where it has it: sources count what is read
        let present = if self.new {
            None
        } else {
            self.to.find_manifest(digest.as_str()).await?
        };
        let bytes = if let Some(manifest) = present {
            self.below(&manifest).await?
        } else {
            let manifest = self.from.get_manifest(digest.as_str()).await?;
            let bytes = self.below(&manifest).await?;
            let pushed = self.to.put_manifest(digest.as_str(), &manifest).await;
            pushed?;
            bytes
        };
        self.engine.prove(place);
        Ok(bytes)
    }

    /// Gives what a tag has now a second tag, since the first is about to move.
    async fn keep(&self, tag: &str, old: &Digest) -> Result<Option<String>> {
        let kept = replaced_tag(tag, old);
        let (there, manifest) = try_join(
            self.to.head_manifest(&kept),
            self.to.find_manifest(old.as_str()),
        )
        .await?;
        if there.is_some_and(|there| there.digest == *old) {
            return Ok(Some(kept));
        }
        let Some(manifest) = manifest else {
            // the tag points to nothing that can be read: there is nothing to lose
            return Ok(None);
        };
        self.to.put_manifest(&kept, &manifest).await?;
        Ok(Some(kept))
    }

    /// Pushes the tag; where it moved, makes sure that it is ours now.
    async fn tag(&self, manifest: &Manifest, landing: &Landing) -> Result<()> {
        let pushed = self.to.put_manifest(&landing.tag, manifest).await;
        if pushed.is_ok() && landing.current.is_none() {
            return Ok(());
        }
        let now = self.to.head_manifest(&landing.tag).await;
        match (pushed, now) {
            // an immutable tag that has this digest already refuses it and is right
            (_, Ok(Some(now))) if now.digest == manifest.digest => Ok(()),
            (Err(refusal), _) | (Ok(()), Err(refusal)) => Err(refusal),
            (Ok(()), Ok(now)) => Err(Refusal::new(
                format!("pushing tag {} of {}", landing.tag, self.to.name),
                Kind::Other,
                format!(
                    "somebody else moved it at the same time: it has {} instead of {}",
                    now.map_or_else(|| "nothing".to_owned(), |n| n.digest.to_string()),
                    manifest.digest
                ),
            )),
        }
    }
}

/// The tag under which a tag's former content is kept.
fn replaced_tag(tag: &str, old: &Digest) -> String {
    // 128 characters are allowed
    let tag: String = tag.chars().take(128 - "-replaced-".len() - 12).collect();
    format!("{tag}-replaced-{}", &old.hex()[..12])
}
