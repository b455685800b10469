//! What refers to an image: signatures, attestations, SBOMs.
//!
//! Decides what is looked for (the lists of the distribution specification, then cosign's tags) and how far,
//! and copies it behind its image. Never fails the image: what went wrong is told beside it.

mod list;

use super::copy::{Asking, Engine, Job, Place};
use super::ends::{Landing, Seen, Source, Target};
use super::flights::Flights;
use super::manifest::Manifest;
use super::refusal::{Refusal, Result};
use super::repository::Event;
use super::walk::MANIFESTS;
use super::{Descriptor, Error};
use crate::reference::Digest;
use futures::future::{join, join_all};
use futures::stream::{self, StreamExt as _};
use reqwest::header::HeaderName;
use serde_json::Value;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use tokio::sync::mpsc::UnboundedSender;

/// How far referrers of referrers are followed: an SBOM of an image, its signature, and one more.
const DEPTH: usize = 3;

/// By this the registry says that it lists the manifest as a referrer itself.
const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

/// Where cosign keeps what it makes, as endings of a tag.
const COSIGN: [&str; 3] = ["sig", "att", "sbom"];

/// What became of that which refers to an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Referrers {
    /// How many the target lacked and has now.
    pub copied: usize,
    /// Tags that moved, each with the one that keeps what it had.
    pub kept: Vec<(String, String)>,
    /// Why some were not copied, each cause once.
    pub failures: Vec<String>,
}

/// One image, whose referrers are copied.
struct Walk<'a> {
    job: Job<'a>,
    subjects: &'a Flights<Place>,
    came_to: Mutex<Referrers>,
}

/// Copies what refers to an image that is in the target now. `subjects` keeps the images of a run from
/// writing the same list at the same time.
pub(super) async fn copy(
    engine: &Engine,
    subjects: &Flights<Place>,
    (source, target): (&Source, &Target),
    told: &UnboundedSender<Event>,
) -> Referrers {
    let (source, target) = (&source.telling(told), &target.telling(told));
    let mut job = engine.job(source, target);
    if job.from.is_place_of(&job.to) {
        return Referrers::default();
    }
    // small things: sent sooner than asked about
    job.asking = Asking::BigBlobs;
    let walk = Walk {
        job,
        subjects,
        came_to: Mutex::default(),
    };
    walk.run(source).await;
    walk.came_to
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
}

impl Walk<'_> {
    async fn run(&self, source: &Source) {
        let mut subjects = vec![source.digest().clone()];
        if source.is_index() {
            // each platform may be signed by itself
            let children = self.children(source).await;
            subjects.extend(self.or_failed(children).unwrap_or_default());
        }
        let mut seen: HashSet<Digest> = subjects.iter().cloned().collect();
        for _ in 0..DEPTH {
            let found = join_all(subjects.iter().map(|subject| self.subject(subject, &seen))).await;
            let found = found.into_iter().flatten();
            subjects = found.filter(|digest| seen.insert(digest.clone())).collect();
        }
    }

    /// What an index lists, read in the target, which has it: sources count what is read.
    async fn children(&self, source: &Source) -> Result<Vec<Digest>> {
        let index = match source.known_manifest() {
            Some(index) => index.clone(),
            None => {
                let digest = source.digest().as_str();
                self.job.to.get_manifest(digest).await?
            }
        };
        Ok(index
            .children
            .into_iter()
            .map(|child| child.digest)
            .collect())
    }

    /// Copies what refers to one manifest and was not seen before; gives what is in the target of it.
    async fn subject(&self, subject: &Digest, seen: &HashSet<Digest>) -> Vec<Digest> {
        let tagged = COSIGN.map(|ending| async move {
            let tag = format!("{}-{}.{ending}", subject.algorithm(), subject.hex());
            self.or_failed(self.tagged(&tag).await).flatten()
        });
        let (mut found, tagged) = join(self.listed(subject, seen), join_all(tagged)).await;
        found.extend(tagged.into_iter().flatten());
        found
    }

    /// Copies what the source's registry lists as referring to a manifest.
    async fn listed(&self, subject: &Digest, seen: &HashSet<Digest>) -> Vec<Digest> {
        let listed = self.job.from.referrers(subject).await;
        let mut wanted = self.or_failed(listed).unwrap_or_default().digests;
        wanted.retain(|digest| !seen.contains(digest));
        if wanted.is_empty() {
            return wanted;
        }
        let _flight = self.subjects.alone(self.job.place(subject)).await;
        let Some(there) = self.or_failed(self.there(subject, &wanted).await) else {
            return Vec::new();
        };
        let brought: Vec<_> = (wanted.iter())
            .map(|digest| self.referrer(digest, &there))
            .collect();
        let brought: Vec<_> = stream::iter(brought).buffered(MANIFESTS).collect().await;
        let mut found = Vec::new();
        let mut unlisted = Vec::new();
        for (digest, brought) in wanted.into_iter().zip(brought) {
            if let Some(descriptor) = self.or_failed(brought) {
                found.push(digest);
                unlisted.extend(descriptor);
            }
        }
        if !unlisted.is_empty() {
            self.or_failed(self.job.to.list_referrers(subject, &unlisted).await);
        }
        found
    }

    /// What the target lists as referring to a manifest.
    async fn there(&self, subject: &Digest, wanted: &[Digest]) -> Result<There> {
        let listed = self.job.to.referrers(subject).await?;
        if !listed.by_registry {
            let claimed = listed.digests;
            return Ok(There {
                claimed,
                ..There::default()
            });
        }
        let listed = listed.digests;
        // a registry may answer for referrers and yet leave the list to its clients
        let claimed = if wanted.iter().all(|digest| listed.contains(digest)) {
            Vec::new()
        } else {
            self.job.to.tagged_referrers(subject).await?
        };
        Ok(There { listed, claimed })
    }

    /// Makes sure that a referrer is in the target; gives its descriptor where the registry does not list
    /// it by itself.
    async fn referrer(&self, digest: &Digest, there: &There) -> Result<Option<Value>> {
        if there.listed.contains(digest) {
            return Ok(None);
        }
        // a list that clients keep outlives what is on it
        if there.claimed.contains(digest)
            && self.job.to.head_manifest(digest.as_str()).await?.is_some()
        {
            return Ok(None);
        }
        let manifest = self.job.from.recall_manifest(digest).await?;
        self.job.below(&manifest, 0).await?;
        let answer = self
            .job
            .to
            .push_manifest(digest.as_str(), &manifest, None)
            .await?;
        self.note(|came_to| came_to.copied += 1);
        let is_listed = answer.contains_key(OCI_SUBJECT);
        Ok((!is_listed).then(|| list::descriptor(&manifest)))
    }

    /// Copies one of cosign's tags; gives what the source has there.
    async fn tagged(&self, tag: &str) -> Result<Option<Digest>> {
        let (from, to) = (&self.job.from, &self.job.to);
        if from.made.is_some() {
            // it has no tags, and there is nobody to ask
            return Ok(None);
        }
        let Some(Descriptor { digest, .. }) = from.head_manifest(tag).await? else {
            return Ok(None);
        };
        let _flight = self.subjects.alone(self.job.place(&digest)).await;
        let seen = Seen::from(to.head_manifest(tag).await?);
        if seen.is(&digest) {
            return Ok(Some(digest));
        }
        let manifest = from.recall_manifest(&digest).await?;
        let kept = match &seen {
            Seen::There(old) => {
                let there = to.find_manifest(old.as_str()).await?;
                if there.is_some_and(|there| has_layers_of(&there, &manifest)) {
                    return Ok(Some(digest));
                }
                self.job.keep(tag, old).await?
            }
            Seen::Free | Seen::Hidden => None,
        };
        self.job.below(&manifest, 0).await?;
        let landing = Landing {
            tag: tag.to_owned(),
            seen,
        };
        self.job.tag(&manifest, &landing).await?;
        self.note(|came_to| {
            came_to.copied += 1;
            came_to.kept.extend(kept.map(|kept| (tag.to_owned(), kept)));
        });
        Ok(Some(digest))
    }

    /// What a step gave; its failure is told beside the image.
    fn or_failed<T>(&self, step: Result<T>) -> Option<T> {
        let failed = |refusal: Box<Refusal>| {
            let failure = Error::from(refusal).to_string();
            self.note(|came_to| {
                if !came_to.failures.contains(&failure) {
                    came_to.failures.push(failure);
                }
            });
        };
        step.map_err(failed).ok()
    }

    fn note(&self, note: impl FnOnce(&mut Referrers)) {
        note(&mut self.came_to.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// What a target lists as referring to a manifest.
#[derive(Default)]
struct There {
    /// By the registry itself, which has what it lists.
    listed: Vec<Digest>,
    /// By its clients.
    claimed: Vec<Digest>,
}

/// Whether one of cosign's manifests has all that another one has: each signature is a layer, and whoever
/// signs the copy adds one.
fn has_layers_of(there: &Manifest, manifest: &Manifest) -> bool {
    let (there, layers) = (layers(there), layers(manifest));
    !layers.is_empty() && layers.is_subset(&there)
}

fn layers(manifest: &Manifest) -> HashSet<String> {
    let document: Value = serde_json::from_slice(&manifest.bytes).unwrap_or_default();
    let layers = document["layers"].as_array().cloned().unwrap_or_default();
    layers
        .iter()
        .filter_map(|layer| layer["digest"].as_str().map(str::to_owned))
        .collect()
}
