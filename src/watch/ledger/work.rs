//! What is kept of a workload that something is to be done about.
//!
//! Decides nothing: `steps` and `endings` do.

use crate::cluster::{NotReady, Pulls, Standing};
use crate::credentials::Keyring;
use crate::outcome::Failure;
use crate::plan::{Copy, Decision, Planned};
use crate::watch::seen::{Seen, stands};
use crate::workload::{Workload, WorkloadId};
use std::time::Instant;
use tokio::sync::OwnedSemaphorePermit;

/// A workload that is due.
#[derive(Debug)]
pub(in crate::watch) struct Due {
    pub(in crate::watch) id: WorkloadId,
    /// As it was seen last; none where it was at rest.
    pub(in crate::watch) workload: Option<Workload>,
    pub(in crate::watch) purpose: Purpose,
    /// How often it was cloned, if it was.
    pub(in crate::watch) cloned: Option<Cloned>,
}

/// How often this process has cloned a workload that had these images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::watch) struct Cloned {
    images: String,
    times: u32,
}

impl Cloned {
    /// Once more, of a workload that was like this before.
    pub(super) fn again(cloned: Option<&Self>, before: &Workload) -> Self {
        Self {
            images: before.images_hash(),
            times: cloned.map_or(0, |it| it.put_back(before)) + 1,
        }
    }

    /// How often somebody has put back the images that it has now: as often as they were cloned, since it
    /// has them.
    pub(in crate::watch) fn put_back(&self, workload: &Workload) -> u32 {
        if self.images == workload.images_hash() {
            self.times
        } else {
            0
        }
    }
}

/// Why a workload is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::watch) enum Purpose {
    /// It changed.
    #[default]
    Clone,
    /// Something of its copies is missing in the target.
    Repair,
    /// The tags it was copied from may have moved.
    Refresh,
}

/// What a workload comes to, by its plan.
#[derive(Debug)]
pub(in crate::watch) enum Verdict {
    /// It is not there.
    Gone,
    /// It could not be read or planned.
    Failed(Failure),
    /// Nothing is to be done: the copies it has in use.
    Rest {
        kept: Vec<Copy>,
        /// Whether it pulls them with the pull secret that we keep up.
        with_our_secret: bool,
    },
    /// Images are brought for it, then something follows.
    Wants {
        copies: Vec<Copy>,
        keyring: Keyring,
        then: Then,
    },
    /// It stays as it is; these copies are brought again, as their sources are now.
    Renew { copies: Vec<Copy>, keyring: Keyring },
}

/// What follows when a workload's images are there.
#[derive(Debug)]
pub(in crate::watch) enum Then {
    /// It is repointed.
    Repoint(Box<Planned>),
    /// It is left as it is; why, where somebody is to be told.
    Leave(Option<String>),
}

/// What is kept of a workload.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) uid: String,
    /// What was seen of it; 0 where nothing was, or it is to be looked at whatever it is.
    pub(super) print: u64,
    /// The list it was seen in.
    pub(super) mark: u64,
    /// Whether it has copies in use.
    pub(super) copied: bool,
    /// Whether it pulled them with the pull secret that we keep up, when it came to rest last.
    pub(super) with_our_secret: bool,
    pub(super) cloned: Option<Cloned>,
    /// The images that it is left with, since neither they nor their copies could be pulled.
    pub(super) left: Option<(String, Instant)>,
    /// Whether the tags of its copies are to be looked at again as soon as it is at rest.
    pub(super) renews: bool,
    /// None while it is at rest.
    pub(super) work: Option<Box<Work>>,
}

impl Entry {
    /// What was cloned last was taken back by us.
    pub(super) fn discount(&mut self) {
        self.cloned = self.cloned.take().filter(|it| it.times > 1);
        if let Some(cloned) = &mut self.cloned {
            cloned.times -= 1;
        }
    }
}

/// A workload that something is to be done about.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) workload: Option<Workload>,
    pub(super) standing: Standing,
    pub(super) stage: Stage,
    pub(super) purpose: Purpose,
    pub(super) since: Instant,
    pub(super) failures: u32,
    /// What it was told last, so that nothing is told twice.
    pub(super) told: Option<String>,
    /// The images that it was seen to be unable to pull, before it had copies.
    pub(super) unpullable: Option<String>,
    pub(super) followed: Followed,
    /// When something is to be done about it that nobody tells of.
    pub(super) wake: Option<Instant>,
    /// Which state of it was seen last.
    version: u64,
    /// Whether what is under way was begun under settings that no longer hold.
    pub(super) is_former: bool,
}

/// Whether its rollout is followed, or was to its end: one that never ends is not followed for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Followed {
    Not,
    Once,
}

/// Where a workload is on its way.
#[derive(Debug)]
pub(super) enum Stage {
    Due,
    /// It is being read and planned; again, where it changed meanwhile.
    Reading {
        again: bool,
    },
    /// It waits for images; where it is not kept what was planned, it is planned again when they are there.
    Copying(Option<Box<Asked>>),
    /// Its images are there; it waits for being settled.
    Unsettled {
        looks: u32,
        pulls: Pulls,
    },
    /// It waits for its turn to be written; where its plan is not kept, it is called before.
    Queued(Option<(Box<Planned>, Instant)>),
    Writing {
        planned: Box<Planned>,
        is_idle: bool,
    },
    /// It was repointed, and its pods are being replaced.
    Rolling {
        /// What was done to it, where this process did it.
        done: Option<Box<Planned>>,
        since: Instant,
        pulls: Pulls,
        /// How it stood when the look at its pods that is under way was begun.
        looking: Option<Standing>,
        refused: Option<NotReady>,
    },
    /// It could not pull its copy, and gets back what it had.
    PuttingBack {
        done: Option<Box<Planned>>,
        why: NotReady,
        /// Whether that is being written; else it is tried again.
        under_way: bool,
    },
    /// Something failed and is tried again at some time.
    Later,
}

/// What a workload asked for by its plan, and what follows.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) copies: Vec<Copy>,
    pub(super) keyring: Keyring,
    pub(super) then: Then,
    pub(super) planned: Instant,
    /// Where it has to wait.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

impl Stage {
    /// One that waits to be settled before this is done; the pulls that count are of what it would change.
    pub(super) fn unsettled(planned: &Planned) -> Self {
        let slots = match &planned.decision {
            Decision::Repoint(repoint) => repoint.slots.as_slice(),
            _ => &[],
        };
        Self::Unsettled {
            looks: 0,
            pulls: Pulls::of(slots.iter().map(|change| &change.from)),
        }
    }

    /// Whether a look at these pulls is one that it waits for.
    pub(super) fn asks_of(&self, seen: &Pulls) -> bool {
        match self {
            Self::Unsettled { pulls, .. } | Self::Rolling { pulls, .. } => {
                pulls.are_of_the_same(seen)
            }
            _ => false,
        }
    }

    /// One that was repointed and is like this now; the pulls that count are of its copies.
    pub(super) fn rolling(
        workload: Option<&Workload>,
        done: Option<Box<Planned>>,
        now: Instant,
    ) -> Self {
        let copies = workload.into_iter().flat_map(Workload::standing);
        Self::Rolling {
            done,
            since: now,
            pulls: Pulls::of(copies),
            looking: None,
            refused: None,
        }
    }
}

impl Work {
    pub(super) fn of(seen: Seen, stage: Stage, now: Instant) -> Self {
        Self {
            workload: Some(seen.workload),
            standing: seen.standing,
            version: seen.version,
            stage,
            ..Self::unseen(Purpose::Clone, now)
        }
    }

    /// One that was at rest: nothing is known of it but its name.
    pub(super) fn unseen(purpose: Purpose, now: Instant) -> Self {
        Self {
            workload: None,
            standing: Standing::Rolling,
            stage: Stage::Due,
            purpose,
            since: now,
            failures: 0,
            told: None,
            unpullable: None,
            followed: Followed::Not,
            wake: None,
            version: 0,
            is_former: false,
        }
    }

    /// Whether a later state than this was seen.
    pub(super) fn is_after(&self, seen: &Seen) -> bool {
        seen.version != 0 && seen.version < self.version
    }

    /// Whether copies are being rolled out in it and nobody has looked how they are pulled.
    pub(super) fn is_unfollowed(&self) -> bool {
        let is_repointed = self.workload.as_ref().is_some_and(stands);
        self.standing == Standing::Rolling && is_repointed && self.followed == Followed::Not
    }

    /// What is seen of it now.
    pub(super) fn take(&mut self, seen: Seen) {
        self.workload = Some(seen.workload);
        self.standing = seen.standing;
        self.version = seen.version;
        if self.standing == Standing::Settled {
            self.unpullable = None;
        }
    }

    /// Whether it may be repointed as far as it goes: while it is settled, or where nobody gets at its source
    /// anyway.
    pub(super) fn is_ready(&self) -> bool {
        match self.standing {
            Standing::Settled | Standing::Idle => true,
            Standing::Rolling | Standing::Ailing => {
                self.unpullable.is_some() && self.unpullable == self.images()
            }
            Standing::Paused => false,
        }
    }

    /// A hash of the images that it has, where it was read.
    pub(super) fn images(&self) -> Option<String> {
        self.workload.as_ref().map(Workload::images_hash)
    }

    /// Whether it waits by a plan.
    pub(super) fn waits(&self) -> bool {
        matches!(
            self.stage,
            Stage::Copying(_) | Stage::Unsettled { .. } | Stage::Queued(_)
        )
    }
}
