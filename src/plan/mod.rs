//! The plan: workloads and policy → copies, repoints, skips.
//!
//! Decides for every selected workload what will happen to it and why. Pure: never asks a registry or
//! the API server; what it must know of them comes in [`Observed`] and [`Policy`].

mod clone;
mod copies;
mod edits;
mod files;
mod pull_secrets;
mod restore;
mod scope;
mod serving;
mod slots;
mod standing;
#[cfg(test)]
mod tests;
mod undo;
mod upkeep;

pub use clone::{clone, left, namespace_skipped, outlook, skipped};
pub use edits::{InManifest, edits};
pub use files::{FilesPlan, ImageDecision, files};
pub use restore::{PastRun, restore, runs};
pub use scope::{ImagePolicy, PatternError, Patterns, Resolve};
pub use serving::behind;
pub use slots::is_placeholder;
pub use standing::{kept, reclaimed, reclaims};
pub use undo::{Undo, undo};
pub use upkeep::{Site, SiteSecret, Upkeep, has_copies, upkeep};

use crate::reference::{Digest, Reference};
use crate::target::TargetRegistry;
use crate::workload::{Controller, Mutability, SlotKey, Workload, WorkloadId};
use std::collections::{BTreeMap, BTreeSet};

/// Namespaces that only naming a workload opens: the cluster's own, and the agent's.
pub const SYSTEM_NAMESPACES: [&str; 5] = [
    "kube-system",
    "kube-public",
    "kube-node-lease",
    "local-path-storage",
    "image-cloner-system",
];

/// A workload and what is known of its surroundings.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The snapshot.
    pub workload: Workload,
    /// Digests that its pods run, by slot; empty where no pod says.
    pub running: BTreeMap<SlotKey, BTreeSet<Digest>>,
    /// `imagePullSecrets` of its ServiceAccount, in order; none where the account cannot be read.
    pub account_pull_secrets: Option<Vec<String>>,
    /// What its pods can pull from the target with already.
    pub pull_credentials: PullCredentials,
    /// Named as TYPE/NAME, which is consent; else it came by a broad selection.
    pub named: bool,
    /// Its namespace opted out.
    pub namespace_opted_out: bool,
}

/// What the pods of a workload can pull from the target with already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullCredentials {
    /// No pull secret of the workload or its ServiceAccount has credentials for the target.
    None,
    /// Only the pull secret that we made has: the credentials of an earlier run, which may be outdated.
    Ours,
    /// A pull secret of the user's own has.
    Own,
}

impl Observed {
    /// The same surroundings with a later snapshot. What runs is known only of images that stayed.
    ///
    /// None where its pull secrets or its ServiceAccount are others now: its surroundings must be observed
    /// again.
    #[must_use]
    pub fn at(&self, later: Workload) -> Option<Self> {
        if later.pull_secrets != self.workload.pull_secrets
            || later.service_account != self.workload.service_account
        {
            return None;
        }
        let same_image = |key: &SlotKey| {
            let before = self.workload.slot(key).map(|slot| &slot.image);
            before == later.slot(key).map(|slot| &slot.image)
        };
        let mut running = self.running.clone();
        running.retain(|key, _| same_image(key));
        Some(Self {
            workload: later,
            running,
            ..self.clone()
        })
    }
}

/// What the user wants, settled before planning.
#[derive(Debug, Clone)]
pub struct Policy {
    /// This run's short id.
    pub run: String,
    /// When it began, as the records have it: RFC 3339 in UTC.
    pub time: Option<String>,
    /// Where copies go.
    pub target: TargetRegistry,
    /// Which images are cloned, and how.
    pub images: ImagePolicy,
    /// Namespaces never touched by a broad selection, besides [`SYSTEM_NAMESPACES`].
    pub skip_namespaces: Patterns,
    /// Workloads that serve the target registry itself, `NAMESPACE/NAME`, besides those that listen at its port
    /// of the nodes: never touched by a broad selection.
    pub protect: BTreeSet<String>,
    /// `--copy-only`: copy and repoint nothing.
    pub copy_only: bool,
    /// `--owned live`: repoint what another tool would revert, too.
    pub owned_live: bool,
    /// How the nodes will get at the copies.
    pub pull: PullAccess,
}

/// How the nodes will get at the copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullAccess {
    /// The target serves them to anybody, or pull secrets are the user's own business (`--pull-secret none`).
    Open,
    /// This pull secret is added to workloads that have none for the target.
    Secret(String),
    /// Credentials are needed and none may be shared: workloads without their own are not repointed, for
    /// this reason.
    Missing(String),
}

/// One image to copy; no two of a plan have the same target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// What it is a copy of: the reference that the target is named after.
    pub origin: Reference,
    /// Where it comes from: the origin, or an earlier copy of it in another target registry. Where that is its
    /// own name in the target, it is only looked at, to be named by its digest.
    pub source: Reference,
    /// Where it goes.
    pub target: Reference,
    /// Digests that pods run under this source; copied when they agree. Empty for a source that is pinned
    /// to a digest, which settles it.
    pub running: BTreeSet<Digest>,
    /// The workloads that asked for it, and what their pods run of it; its source must be readable with the
    /// credentials of each one's namespace.
    pub users: BTreeMap<WorkloadId, BTreeSet<Digest>>,
}

impl Copy {
    /// Another asks for it from there: where one still runs the origin itself and another an earlier copy of it,
    /// or both copies in different places, the origin serves both.
    pub fn also_from(&mut self, source: &Reference) {
        if *source != self.source {
            self.source = self.origin.clone();
        }
    }
}

/// One slot's change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotChange {
    /// Which slot.
    pub slot: SlotKey,
    /// The image text it must have now.
    pub from: String,
    /// The image text it gets.
    pub to: String,
}

/// The one write to a workload: all slots, pull secrets and annotations together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repoint {
    /// Image changes, in the order of the template; never empty.
    pub slots: Vec<SlotChange>,
    /// What becomes of the template's `imagePullSecrets`.
    pub pull_secrets: PullSecretChange,
    /// The pull secret of ours that must exist in the namespace before the patch.
    pub needs_pull_secret: Option<String>,
    /// Annotations to set (`Some`) or remove (`None`).
    pub annotations: BTreeMap<&'static str, Option<String>>,
}

/// What becomes of a template's `imagePullSecrets`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullSecretChange {
    /// They stay as they are.
    Keep,
    /// This is the whole new list of names.
    Set(Vec<String>),
    /// The field is removed.
    Remove,
}

/// What will happen to one workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Its images change.
    Repoint(Repoint),
    /// Its images are copied, it is left as it is, for this reason.
    CopyOnly(String),
    /// Every slot is as it should be already.
    Unchanged,
    /// It is not touched, for this reason.
    Skip(String),
}

/// One selected workload of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// The snapshot the decision was made on.
    pub workload: Workload,
    /// What will happen to it.
    pub decision: Decision,
    /// The copies it asked for, by their target; all must be complete before it is repointed.
    pub targets: BTreeSet<Reference>,
    /// Slots left alone and why, and other things worth saying.
    pub notes: Vec<String>,
}

impl Planned {
    /// Whether it is left to a tool that would take a change back: the place for that is its manifests.
    pub fn is_left_to_its_owner(&self) -> bool {
        let Decision::CopyOnly(reason) = &self.decision else {
            return false;
        };
        let owner = self.workload.owner.as_ref();
        owner.is_some_and(|owner| *reason == clone::reverted_by(owner))
    }

    /// Whether an operator makes it, and would make it again as it was.
    pub fn is_operated(&self) -> bool {
        let controller = self.workload.controller.as_ref();
        controller.is_some_and(Controller::is_operator)
    }
}

/// What a run will do.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Images to copy, sorted by source, then target.
    pub copies: Vec<Copy>,
    /// Every selected workload, in the order observed.
    pub workloads: Vec<Planned>,
    /// Images of those workloads that are left because they are not asked for.
    pub left_out: BTreeSet<Reference>,
}

/// Why there can be no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Two sources would share one target.
    #[error("{first} and {second} would both be copied to {target}")]
    Collision {
        /// One source.
        first: String,
        /// The other.
        second: String,
        /// Their common target.
        target: String,
    },
}

/// Says what a change of this workload's template leads to, where it is not a plain rollout.
fn note_effects(workload: &Workload, notes: &mut Vec<String>) {
    if let Mutability::TakesEffectLater(reason) = workload.mutability() {
        notes.push(reason.to_owned());
    }
    if workload.recreates && workload.mutability() != Mutability::Unmade {
        notes.push("Recreate: downtime while its pods are replaced".to_owned());
    }
}
