//! The copy engine as the rest of the crate sees it.
//!
//! Decides nothing; carries what the engine tells to an observer.

use super::Error;
use super::copy::{Engine, Place};
use super::ends::{Source, Target};
use super::flights::Flights;
use super::referrers::{self, Referrers};
use super::repository::Event;
use crate::reference::Digest;
use std::time::Duration;
use tokio::sync::mpsc::{self, UnboundedReceiver};

/// What a copy came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The digest in the target, equal to the source's.
    pub digest: Digest,
    /// Whether the target had the image already; what was missing below it may have been put there.
    pub present: bool,
    /// Bytes of blobs that were carried.
    pub bytes: u64,
    /// The tag under which the target's former content was kept, if the tag moved.
    pub kept: Option<String>,
    /// Layers that were left where they are, as far as was looked: those of an image whose tag was believed
    /// are not known.
    pub foreign_left: usize,
    /// What became of its signatures, attestations and SBOMs, where those were asked for.
    pub referrers: Option<Referrers>,
}

/// What a copy takes along besides what every image consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extras {
    /// What becomes of foreign layers.
    pub foreign_layers: ForeignLayers,
    /// Whether signatures, attestations and SBOMs that refer to an image come with it.
    pub referrers: bool,
}

/// What becomes of layers whose owner lets nobody else give them out (Windows base images have them).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForeignLayers {
    /// They stay where they are, and nodes get them from there.
    #[default]
    Skip,
    /// They are copied as all others, for whoever has the right to.
    Copy,
}

impl Copied {
    /// What was there before.
    pub(super) fn present(digest: &Digest) -> Self {
        Self {
            digest: digest.clone(),
            present: true,
            bytes: 0,
            kept: None,
            foreign_left: 0,
            referrers: None,
        }
    }
}

/// Told of a copy's progress; called often, must be quick.
pub trait Progress: Send + Sync {
    /// Bytes of this image that are now known to have to be carried.
    fn expected(&self, bytes: u64);
    /// Bytes that were carried.
    fn carried(&self, bytes: u64);
    /// Something of this image waits for so long, and why: `docker.io asks for it`.
    fn waiting(&self, why: &str, pause: Duration);
}

/// The copy engine: one for a whole run, so that no blob is carried twice.
#[derive(Debug)]
pub struct Copier {
    engine: Engine,
    /// Manifests whose referrers are on their way.
    subjects: Flights<Place>,
}

impl Copier {
    /// An engine with at most `concurrency` transfers of big blobs at once at each host, source or target.
    ///
    /// Blobs up to 512 KiB wait for round trips rather than bandwidth: of those, 24 more may be under way
    /// (or `concurrency`, if that is more).
    pub fn new(concurrency: usize) -> Self {
        Self {
            engine: Engine::new(concurrency),
            subjects: Flights::default(),
        }
    }

    /// The same engine, taking these along.
    #[must_use]
    pub fn with(mut self, extras: Extras) -> Self {
        self.engine.extras = extras;
        self
    }

    /// Copies one image. `verify` proves one that is there already complete, and repairs it where it is
    /// not, instead of believing its tag: a manifest may be there without what it refers to.
    ///
    /// Safe to call many times at once and again after a failure; dropping the future abandons the copy and
    /// leaves the target consistent.
    pub async fn copy(
        &self,
        source: &Source,
        target: &Target,
        verify: bool,
        progress: &dyn Progress,
    ) -> Result<Copied, Error> {
        let (told, events) = mpsc::unbounded_channel();
        let work = async {
            let mut copied = self.engine.copy(source, target, verify, &told).await?;
            if self.engine.extras.referrers {
                let ends = (source, target);
                let found = referrers::copy(&self.engine, &self.subjects, ends, &told).await;
                copied.referrers = Some(found);
            }
            Ok(copied)
        };
        relayed(work, events, progress).await
    }
}

/// Does this work, and tells of its events as they come.
pub(super) async fn relayed<T>(
    work: impl Future<Output = T>,
    mut events: UnboundedReceiver<Event>,
    progress: &dyn Progress,
) -> T {
    let relay = |event| match event {
        Event::Expected(bytes) => progress.expected(bytes),
        Event::Carried(bytes) => progress.carried(bytes),
        Event::Waiting(why, pause) => progress.waiting(&why, pause),
    };
    tokio::pin!(work);
    let done = loop {
        tokio::select! {
            biased;
            Some(event) = events.recv() => relay(event),
            done = &mut work => break done,
        }
    };
    while let Ok(event) = events.try_recv() {
        relay(event);
    }
    done
}
