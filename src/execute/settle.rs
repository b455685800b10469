//! Which image is copied: the digest of a source that is meant, for those who may read it.
//!
//! Decides what becomes of a digest that runs and is gone, and which of an image's platforms are meant.
//! Never writes.

mod claim;
mod readers;
mod stand_in;

use super::source_credentials::SourceCredentials;
use crate::credentials::Credentials;
use crate::outcome::Failure;
use crate::plan::Copy;
use crate::platform::Platforms;
use crate::reference::Digest;
use crate::registry::{Error, Registries, Source, Target};
use crate::target::TargetRegistry;
use crate::workload::WorkloadId;
use readers::{Read, Refused};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where images can be read, and with whose credentials.
pub(super) struct Sources {
    pub(super) registries: Arc<Registries>,
    pub(super) credentials: SourceCredentials,
    pub(super) target_credentials: Credentials,
    pub(super) platforms: Platforms,
    /// Whose content is taken for what it is said to be a copy of.
    pub(super) leaving: Option<TargetRegistry>,
}

/// What will be copied, and where to.
#[derive(Debug, Clone)]
pub(super) struct Settled {
    /// The image that is meant; the target's own where the source cannot be read.
    pub(super) source: Source,
    pub(super) target: Target,
    /// What the tag has upstream, where that is another digest than the one that runs.
    pub(super) moved: Option<Digest>,
    /// Things worth saying, each a sentence about the image.
    pub(super) notes: Vec<String>,
    /// Workloads whose own credentials do not read the source, and why.
    pub(super) denied: BTreeMap<WorkloadId, Failure>,
    /// Whether all others were let read it.
    pub(super) was_read: bool,
}

impl Settled {
    /// Whether the target has the digest that is meant already.
    pub(super) fn is_present(&self) -> bool {
        self.target.digest() == Some(self.source.digest())
    }

    /// What the target has, where that is what is meant.
    pub(super) fn present(&self) -> Option<Source> {
        self.target.as_source().filter(|_| self.is_present())
    }
}

impl Sources {
    /// Decides which digest is meant: the one that runs, where the pods agree and it can be had, else the
    /// tag's. One HEAD on each side where nothing is out of the ordinary.
    pub(super) async fn settle(&self, copy: &Copy) -> Result<Settled, Failure> {
        if copy.source == copy.target {
            return self.settle_own(copy).await;
        }
        let readers = self.readers(copy).await;
        let ((mut read, mut refused), target) = tokio::join!(
            self.read(copy, readers),
            self.registries
                .target(&copy.target, &self.target_credentials),
        );
        let target = target?;
        if let Some(found) = &read
            && self.chooses(copy)
            && target.digest() != Some(found.source.digest())
            && let Err(error) = self.registries.read(&found.source).await
        {
            refused.push(Refused::by(error, Vec::new()));
            read = None;
        }
        if let Some(read) = read {
            let read = self.look_for_what_runs(copy, read, &target).await?;
            let read = self.narrow(copy, read, &target).await?;
            self.check_claim(copy, &read.source, &target).await?;
            return Ok(Settled {
                source: read.source,
                target,
                moved: read.moved,
                notes: read.notes,
                denied: stand_in::by_user(refused.into_iter().map(|it| (it.users, it.why))),
                was_read: true,
            });
        }
        self.stand_in(copy, refused, target).await
    }

    /// A copy that is to be named by its digest: the one that runs, else its tag's. The tag stays where it is.
    async fn settle_own(&self, copy: &Copy) -> Result<Settled, Failure> {
        let credentials = std::slice::from_ref(&self.target_credentials);
        let tagged = copy.target.with(copy.target.tag(), None);
        let tag = self.registries.source(&tagged, credentials).await;
        let mut notes = Vec::new();
        let own = match (copy.target.digest(), tag) {
            (Some(running), Ok(tag)) if tag.digest() != running => {
                // some runtimes report the platform's manifest, not the index that the tag names
                if self.registries.children(&tag).await?.contains(running) {
                    tag
                } else {
                    match self.registries.source(&copy.target, credentials).await {
                        Err(Error::NotFound { .. }) => {
                            notes.push(format!(
                                "{tagged}: what runs ({}) is not in the target; pinned to the tag's {}",
                                running.short(),
                                tag.digest().short()
                            ));
                            tag
                        }
                        found => found?,
                    }
                }
            }
            (Some(_), Err(Error::NotFound { .. })) => {
                self.registries.source(&copy.target, credentials).await?
            }
            (_, tag) => tag?,
        };
        let pinned = tagged.with(tagged.tag(), Some(own.digest()));
        let target = self.registries.target(&pinned, &self.target_credentials);
        Ok(Settled {
            target: target.await?,
            source: own,
            moved: None,
            notes,
            denied: BTreeMap::new(),
            was_read: false,
        })
    }

    /// What becomes of a digest that runs and that the source does not have. A runtime that knows one image
    /// by several names may give the digest of the target's copy, which is narrower or older than the tag.
    async fn look_for_what_runs(
        &self,
        copy: &Copy,
        mut read: Read,
        target: &Target,
    ) -> Result<Read, Error> {
        let Some(running) = read.gone.take() else {
            return Ok(read);
        };
        let name = copy.source.familiar();
        let upstream = read.source.digest().clone();
        let Some(own) = target.as_source().filter(|own| *own.digest() == running) else {
            read.notes.push(format!(
                "{name}: what runs ({}) is gone from its registry; the tag's {} is copied",
                running.short(),
                upstream.short()
            ));
            return Ok(read);
        };
        if copy.target.digest() == Some(&running) {
            // this very digest is meant, which nobody has but the target: narrowed once
            read.source = self.registries.seen_as(&read.source, &own).await?;
            return Ok(read);
        }
        let of_tag = self.registries.children(&read.source).await?;
        let of_copy = self.registries.children(&own).await?;
        if of_copy.is_empty() || !of_copy.iter().all(|child| of_tag.contains(child)) {
            read.notes.push(format!(
                "{name} is {} upstream; what runs is in the target: {}",
                upstream.short(),
                running.short()
            ));
            read.moved = Some(upstream);
            read.source = own;
        }
        Ok(read)
    }

    /// Whether some platforms of this image are meant and others not. A digest stands for all of them: a
    /// pinned image is what it is.
    fn chooses(&self, copy: &Copy) -> bool {
        let is_pinned = copy.source.digest().is_some() || copy.target.digest().is_some();
        self.platforms != Platforms::All && !is_pinned
    }

    /// The image for the platforms that are meant.
    async fn narrow(&self, copy: &Copy, mut read: Read, target: &Target) -> Result<Read, Error> {
        if self.chooses(copy) {
            let narrowing = self.registries.narrow(read.source, &self.platforms, target);
            read.source = narrowing.await?;
        } else if self.platforms != Platforms::All && read.source.is_index() {
            let name = copy.source.familiar();
            let note = format!("{name} is pinned to its digest: all of its platforms are copied");
            read.notes.push(note);
        }
        Ok(read)
    }
}
