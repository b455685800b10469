//! Carries out a plan: copies, then repoints, and tells an observer of both.
//!
//! Decides the order (a workload is written when all of its images are known complete in the target) and
//! what a failure stops (its own image or workload, nothing else). Never decides what is to be done (that
//! is [`crate::plan`]) and never prints.

pub mod agent_image;
mod batches;
mod canary;
mod clone;
mod credentials;
mod images;
mod opt_outs;
mod originals;
mod pull_secrets;
mod put_back;
mod restore;
mod settle;
mod sight;
mod source_credentials;
mod workloads;

pub use batches::Rollouts;
pub use clone::CloneTerms;
pub use credentials::SecretSync;
pub use images::{Arrival, Images};
pub use originals::unavailable;
pub use put_back::{PutBack, put_back};
pub use restore::RestoreTerms;
pub use sight::Proven;
pub use workloads::Run;

use crate::cluster;
use crate::outcome::{DryRun, Failure, ImageOutcome, WorkloadOutcome};
use crate::platform::Platforms;
use crate::reference::Reference;
use crate::registry::{self, Extras};
use crate::target::TargetRegistry;
use crate::workload::WorkloadId;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What happens while a plan is carried out.
#[derive(Debug)]
pub enum Event<'a> {
    /// So many more bytes of this image have to be carried.
    Expected(&'a Reference, u64),
    /// So many more bytes of this image were carried.
    Carried(&'a Reference, u64),
    /// Something of this image waits, why (`docker.io asks for it`), and for how long.
    Waiting(&'a Reference, &'a str, Duration),
    /// An image is done, one way or the other.
    ImageFinished(&'a ImageOutcome),
    /// A workload was written and its rollout is being followed.
    RollingOut(&'a WorkloadId),
    /// Something to know that no outcome tells.
    Said(&'a str),
    /// A workload is done, one way or the other.
    WorkloadFinished(&'a WorkloadOutcome),
}

/// Told of events as they happen; called from many tasks, must be quick.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn notice(&self, event: &Event<'_>);
}

/// What holds for a whole run, whatever it does.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Follow each rollout for so long.
    pub wait: Option<Duration>,
    /// Whether anything is written at all.
    pub dry_run: DryRun,
    /// What is copied of images for several platforms.
    pub platforms: Platforms,
    /// What is copied besides.
    pub extras: Extras,
    /// A target registry that is left for another one: what is in it is a copy of what its name or its
    /// workload says.
    pub leaving: Option<TargetRegistry>,
    /// Cancelled when the run is to end early: nothing new is begun, what is half done is abandoned where
    /// that is safe.
    pub stop: CancellationToken,
}

impl From<registry::Error> for Failure {
    fn from(error: registry::Error) -> Self {
        with_hint(error.to_string(), error.hint())
    }
}

impl From<cluster::Error> for Failure {
    fn from(error: cluster::Error) -> Self {
        with_hint(error.to_string(), error.hint())
    }
}

fn with_hint(message: String, hint: Option<&str>) -> Failure {
    let failure = Failure::new(message);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
