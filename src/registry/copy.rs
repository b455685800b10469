//! The copy engine: children before parents, blobs before manifests, the tag last.
//!
//! Decides what has to be sent, in which order, and what is shared between the images of a run. Never
//! pushes a manifest before everything that it refers to is in the target.

use super::blobs::{Blobs, CHEAP, Limits, MOST_KNOWN};
use super::copier::{Copied, Extras, ForeignLayers};
use super::ends::{self, Landing, Seen, Source, Target};
use super::flights::Flights;
use super::manifest::{Content, Manifest};
use super::refusal::{Kind, Refusal, Result};
use super::repository::{Event, Repository};
use super::walk::{BLOBS, MANIFESTS, Walk, abreast};
use crate::reference::Digest;
use futures::future::{BoxFuture, FutureExt, try_join};
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use tokio::sync::mpsc::UnboundedSender;

/// What the images of a run share.
#[derive(Debug)]
pub(super) struct Engine {
    blobs: Blobs,
    manifests: Flights<Place>,
    /// Images of a run may share a tag.
    tags: Flights<Tag>,
    /// Tags that this run has pushed, or begun to.
    tagged: Mutex<HashSet<Tag>>,
    /// Manifests that are known to be in the target with everything below them.
    proven: Mutex<HashSet<Place>>,
    pub(super) extras: Extras,
}

/// A digest in a repository of a host.
pub(super) type Place = (String, String, Digest);

/// A tag in a repository of a host.
type Tag = (String, String, String);

/// One image on its way.
pub(super) struct Job<'a> {
    pub(super) from: Repository,
    pub(super) to: Repository,
    /// Whether source and target are one registry, which can mount.
    pub(super) same_registry: bool,
    pub(super) asking: Asking,
    walk: Walk,
    /// Foreign layers that were come across and left.
    foreign_left: Mutex<HashSet<Digest>>,
    engine: &'a Engine,
}

/// What a target repository is asked for before it is sent anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asking {
    /// Manifests and blobs.
    All,
    /// Little is lost by sending what is there: only about big blobs, which may be left from an interrupted
    /// copy.
    BigBlobs,
    /// It shows nothing to anybody before the first push.
    Nothing,
}

impl Asking {
    /// Children of an index are worth a question in a repository that has anything: what the target lacks
    /// is read from the source, and sources count that.
    async fn of(seen: &Seen, to: &Repository, is_index: bool) -> Self {
        match seen {
            Seen::Hidden => Self::Nothing,
            Seen::Free if !is_index || to.is_new().await => Self::BigBlobs,
            Seen::Free | Seen::There(_) => Self::All,
        }
    }
}

impl Engine {
    pub(super) fn new(concurrency: usize) -> Self {
        Self {
            blobs: Blobs::new(Limits::new(concurrency)),
            manifests: Flights::default(),
            tags: Flights::default(),
            tagged: Mutex::default(),
            proven: Mutex::default(),
            extras: Extras::default(),
        }
    }

    /// Copies one image; `verify` proves one that is there already, and repairs it.
    pub(super) async fn copy(
        &self,
        source: &Source,
        target: &Target,
        verify: bool,
        told: &UnboundedSender<Event>,
    ) -> Result<Copied> {
        let (source, target) = (&source.telling(told), &target.telling(told));
        let digest = source.digest();
        let mut job = self.job(source, target);
        if target.seen.is(digest) && !verify {
            return Ok(Copied::present(digest));
        }
        let mut landing = ends::land(target, digest).await?;
        if landing.seen.is(digest) && !verify {
            return Ok(Copied::present(digest));
        }
        // a plan may be read for long before it is agreed to
        if landing.seen.is(digest) && target.is_stale() {
            landing = ends::land_again(target, digest, landing).await?;
        }
        if landing.seen.is(digest)
            && let Some(manifest) = job.to.find_manifest(digest.as_str()).await?
        {
            return job.prove(&manifest).await;
        }
        // how much there is to ask for is found out while the manifest is on its way
        let asking = async { Ok(Asking::of(&landing.seen, &job.to, source.is_index()).await) };
        let (asking, manifest) = try_join(asking, source.manifest()).await?;
        job.asking = asking;
        job.run(manifest, target, landing).await
    }

    /// A job between two places, whatever is to be copied.
    pub(super) fn job(&self, source: &Source, target: &Target) -> Job<'_> {
        Job {
            same_registry: source.registry == target.reference.registry()
                || (source.repository.endpoint).is_same_place(&target.repository.endpoint),
            from: self.blobs.reading_ahead(&source.repository),
            to: target.repository.clone(),
            asking: Asking::All,
            walk: Walk::default(),
            foreign_left: Mutex::default(),
            engine: self,
        }
    }

    /// Believes nothing any more of what a repository was seen to have.
    fn forget(&self, to: &Repository) {
        self.blobs.forget(&to.endpoint.host, &to.name);
        // it may have stored less than it said
        to.endpoint.ways.doubt_posts();
        self.proven
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(host, name, _)| (host, name) != (&to.endpoint.host, &to.name));
    }

    fn is_proven(&self, place: &Place) -> bool {
        let proven = self.proven.lock();
        let proven = proven.unwrap_or_else(PoisonError::into_inner);
        proven.contains(place)
    }

    fn prove(&self, place: Place) {
        let proven = self.proven.lock();
        let mut proven = proven.unwrap_or_else(PoisonError::into_inner);
        if proven.len() >= MOST_KNOWN {
            proven.clear();
        }
        proven.insert(place);
    }

    /// Whether no other image of this run has pushed this tag, nor begun to; after very many nobody knows.
    fn begins_to_tag(&self, tag: Tag) -> bool {
        let tagged = self.tagged.lock();
        let mut tagged = tagged.unwrap_or_else(PoisonError::into_inner);
        tagged.len() < MOST_KNOWN && tagged.insert(tag)
    }
}

impl Job<'_> {
    async fn run(&self, manifest: &Manifest, target: &Target, landing: Landing) -> Result<Copied> {
        let mut bytes = self.below(manifest, 0).await?;
        let (host, name) = (self.to.endpoint.host.clone(), self.to.name.clone());
        let tag = (host, name, landing.tag.clone());
        let _flight = self.engine.tags.alone(tag.clone()).await;
        let is_first = self.engine.begins_to_tag(tag);
        // a question, a transfer and a turn take their time, and somebody may have pushed meanwhile; what
        // was hidden can be seen now that blobs are in it, or must not be moved
        let stale = bytes > CHEAP || landing.seen == Seen::Hidden || target.is_stale() || !is_first;
        let landing = if stale {
            ends::land_again(target, &manifest.digest, landing).await?
        } else {
            landing
        };
        let kept = match &landing.seen {
            Seen::There(old) if *old != manifest.digest => {
                self.keep(&landing.tag, old).await.map_err(|refusal| {
                    refusal.while_doing(&format!("keeping what {} has", landing.tag))
                })?
            }
            _ => None,
        };
        bytes += self.tag(manifest, &landing).await?;
        self.engine.prove(self.place(&manifest.digest));
        Ok(Copied {
            digest: manifest.digest.clone(),
            present: false,
            bytes,
            kept,
            foreign_left: self.foreign_left(),
            referrers: None,
        })
    }

    /// Proves an image that is in the target complete, once; puts there what is missing below it.
    async fn prove(&self, manifest: &Manifest) -> Result<Copied> {
        let bytes = self.below(manifest, 0).await?;
        self.engine.prove(self.place(&manifest.digest));
        Ok(Copied {
            bytes,
            foreign_left: self.foreign_left(),
            ..Copied::present(&manifest.digest)
        })
    }

    fn foreign_left(&self) -> usize {
        let left = self.foreign_left.lock();
        left.unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(super) fn place(&self, digest: &Digest) -> Place {
        (
            self.to.endpoint.host.clone(),
            self.to.name.clone(),
            digest.clone(),
        )
    }

    /// Puts everything below a manifest into the target; gives the bytes that were carried.
    pub(super) fn below<'a>(
        &'a self,
        manifest: &'a Manifest,
        depth: usize,
    ) -> BoxFuture<'a, Result<u64>> {
        async move {
            if self.engine.is_proven(&self.place(&manifest.digest)) {
                return Ok(0);
            }
            let children = abreast(
                MANIFESTS,
                manifest
                    .children
                    .iter()
                    .cloned()
                    .map(|child| async move { self.child(&child, depth + 1).await }),
            );
            let skips = self.engine.extras.foreign_layers == ForeignLayers::Skip;
            let (left, blobs): (Vec<_>, Vec<_>) = manifest
                .blobs
                .iter()
                .cloned()
                .partition(|blob| blob.foreign && skips);
            self.foreign_left
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend(left.into_iter().map(|blob| blob.digest));
            let blobs = abreast(
                BLOBS,
                blobs
                    .into_iter()
                    .map(|blob| async move { self.engine.blobs.ensure(self, &blob).await }),
            );
            let (children, blobs) = try_join(children, blobs).await?;
            Ok(children.into_iter().chain(blobs).sum())
        }
        .boxed()
    }

    /// A manifest below an index: everything below it first, then itself by its digest.
    async fn child(&self, child: &Content, depth: usize) -> Result<u64> {
        let place = self.place(&child.digest);
        let _flight = self.engine.manifests.alone(place.clone()).await;
        if self.engine.is_proven(&place) {
            return Ok(0);
        }
        self.walk.enter(child, depth)?;
        // from the target where it has it: sources count what is read
        let present = match self.asking {
            Asking::All => self.to.find_manifest(child).await?,
            Asking::BigBlobs | Asking::Nothing => None,
        };
        let bytes = if let Some(manifest) = present {
            self.below(&manifest, depth).await?
        } else {
            let manifest = self.from.recall_manifest(child).await?;
            let bytes = self.below(&manifest, depth).await?;
            bytes + self.push(child.digest.as_str(), &manifest, depth).await?
        };
        self.engine.prove(place);
        Ok(bytes)
    }

    /// Pushes a manifest; where the registry has lost what it refers to since that was seen there
    /// (garbage collection), brings it once more. Gives the bytes that were carried.
    async fn push(&self, point: &str, manifest: &Manifest, depth: usize) -> Result<u64> {
        match self.to.put_manifest(point, manifest).await {
            Err(refusal) if refusal.misses_content() => {
                tracing::debug!(
                    what = refusal.what,
                    detail = refusal.detail,
                    "bringing it again"
                );
                self.engine.forget(&self.to);
                let bytes = self.below(manifest, depth).await?;
                self.to.put_manifest(point, manifest).await?;
                Ok(bytes)
            }
            pushed => pushed.map(|()| 0),
        }
    }

    /// Gives what a tag has now a second tag, since the first is about to move.
    pub(super) async fn keep(&self, tag: &str, old: &Digest) -> Result<Option<String>> {
        let kept = replaced_tag(tag, old);
        let (there, manifest) =
            try_join(self.to.head_manifest(&kept), self.to.find_anything(old)).await?;
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
    pub(super) async fn tag(&self, manifest: &Manifest, landing: &Landing) -> Result<u64> {
        let pushed = self.push(&landing.tag, manifest, 0).await;
        if pushed.is_ok() && landing.seen == Seen::Free {
            return pushed;
        }
        let now = self.to.head_manifest(&landing.tag).await;
        match (pushed, now) {
            // an immutable tag that has this digest already refuses it and is right
            (pushed, Ok(Some(now))) if now.digest == manifest.digest => Ok(pushed.unwrap_or(0)),
            (Err(refusal), _) | (Ok(_), Err(refusal)) => Err(refusal),
            (Ok(_), Ok(now)) => Err(Refusal::new(
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
