//! What became of each image and each workload of a run, as values.
//!
//! Decides nothing but the exit code. Made by [`crate::execute`], shown by [`crate::report`].

mod check;
mod secret;

pub use check::{Check, Verdict};
pub use secret::{SecretOutcome, SecretState};

use crate::reference::{Digest, Reference};
use crate::workload::WorkloadId;
use std::collections::BTreeMap;

/// A failure as people read it: what was being done to what, the cause, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Lower case, one line: `copying nginx:1.25 to …: the cause`.
    pub message: String,
    /// Commands or facts that help, without the `hint:` in front.
    pub hints: Vec<String>,
}

/// The message alone.
impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl Failure {
    /// A failure without hints.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hints: Vec::new(),
        }
    }

    /// The same with one hint more.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The same with what was being done in front: `context: message`.
    #[must_use]
    pub fn context(mut self, context: impl std::fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }
}

/// Whether anything is written, as `kubectl --dry-run` has it. No dry run writes to a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DryRun {
    /// For real.
    #[default]
    None,
    /// Changes are worked out here and sent nowhere.
    Client,
    /// Changes are sent to be checked and not stored.
    Server,
}

impl DryRun {
    /// How the mode is named beside what it would have done; none when it is for real.
    pub fn label(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Client => Some("client dry run"),
            Self::Server => Some("server dry run"),
        }
    }
}

/// What is known of an image before anything is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The digest that would be copied.
    pub digest: Digest,
    /// Bytes of all its manifests, configs and layers; none where that was not asked.
    pub size: Option<u64>,
    /// Whether the target already has this digest under the target's name.
    pub present: bool,
    /// The digest that the source's tag has now, where what runs is another one.
    pub moved: Option<Digest>,
    /// Things worth saying before it is copied, each a sentence about the image.
    pub notes: Vec<String>,
    /// Workloads whose own credentials do not read the source, and why.
    pub denied: BTreeMap<WorkloadId, Failure>,
    /// What copying it costs of what its registry lets be read, where that is limited.
    pub reads: Option<Reads>,
}

/// Manifests of an image that have to be read where the registry counts them, and what it still allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reads {
    /// The source's registry.
    pub registry: String,
    /// Who is counted; none when anonymous.
    pub user: Option<String>,
    /// How many are allowed in a window.
    pub limit: u64,
    /// How many of them are left.
    pub left: u64,
    /// How long the window is.
    pub window: std::time::Duration,
    /// How many of this image were made already, and need not be made again.
    pub made: u64,
    /// How many are still to be made.
    pub needed: u64,
    /// Whether it will be no more than that.
    pub exact: bool,
}

/// What is known of the images of a plan before anything is written, by target.
pub type Survey = BTreeMap<Reference, Result<Finding, Failure>>;

/// How the copying of one image ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageState {
    /// Bytes were carried, blobs mounted, or only a manifest pushed.
    Copied {
        /// Bytes of blobs that were carried over the network.
        bytes: u64,
    },
    /// The target had it already, complete.
    Present,
    /// It is not known complete in the target.
    Failed(Failure),
}

/// One image of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageOutcome {
    /// Where it came from.
    pub source: Reference,
    /// Where it went.
    pub target: Reference,
    /// Its digest, where it was learnt.
    pub digest: Option<Digest>,
    /// How it ended.
    pub state: ImageState,
    /// Its foreign layers that were not copied; nodes get them from their owner.
    pub foreign_left: usize,
    /// Things worth saying that are no failure, such as a tag that was kept under a second name.
    pub notes: Vec<String>,
}

/// How one workload ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkloadState {
    /// Its images were changed to the copies.
    Repointed {
        /// What the rollout came to, where it was waited for: `3/3 ready`.
        rollout: Option<String>,
    },
    /// Its images were changed back.
    Restored {
        /// What the rollout came to, where it was waited for.
        rollout: Option<String>,
    },
    /// Its images were changed to the copies, and back again, since its pods did not become ready.
    PutBack(Failure),
    /// Its images were copied and it was left as it is, for this reason.
    CopiedOnly(String),
    /// There was nothing to change.
    Unchanged,
    /// It was not touched, for this reason.
    Skipped(String),
    /// It should have been changed and was not, or was changed and did not become ready.
    Failed(Failure),
}

/// One workload of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadOutcome {
    /// Which workload.
    pub workload: WorkloadId,
    /// How it ended.
    pub state: WorkloadState,
    /// Things worth saying that are no failure: a slot left alone, a tag kept.
    pub notes: Vec<String>,
    /// Whether it was left although the user wanted it repointed; not so for `--copy-only` and for what a
    /// broad selection leaves out by itself.
    pub left: bool,
    /// Whether it was left to the tool that owns it, whose manifests are the place to change it.
    pub owned: bool,
    /// The object as the server has it after the write, where there was one.
    pub object: Option<serde_json::Value>,
}

/// A whole run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The run's short id, as it stands in the records.
    pub run: String,
    /// Every image that was to be copied.
    pub images: Vec<ImageOutcome>,
    /// Every selected workload.
    pub workloads: Vec<WorkloadOutcome>,
    /// How long it took.
    pub took: std::time::Duration,
    /// Whether it was cut short by an interrupt.
    pub interrupted: bool,
    /// Whether any of it was done at all.
    pub dry_run: DryRun,
}

impl Outcome {
    /// The exit code: 130 interrupted, 1 something failed, 3 selected workloads were left unrepointed,
    /// 0 otherwise.
    pub fn exit_code(&self) -> u8 {
        let failed = self
            .images
            .iter()
            .any(|image| matches!(image.state, ImageState::Failed(_)))
            || self.workloads.iter().any(|workload| {
                let state = &workload.state;
                matches!(state, WorkloadState::Failed(_) | WorkloadState::PutBack(_))
            });
        let left = self.workloads.iter().any(|workload| workload.left);
        match (self.interrupted, failed, left) {
            (true, ..) => 130,
            (_, true, _) => 1,
            (_, _, true) => 3,
            _ => 0,
        }
    }
}
