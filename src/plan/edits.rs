//! What the manifests of workloads need so that they name the copies.
//!
//! For those who change a cluster by its manifests: nothing here is done live.

use super::clone::skipped;
use super::slots::{self, Wish};
use super::{Observed, Policy};
use crate::manifest::Edit;
use crate::workload::{Slot, WorkloadId};

/// What the manifest of one workload needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InManifest {
    /// Which workload.
    pub workload: WorkloadId,
    /// Its images that need another text.
    pub edits: Vec<Edit>,
    /// The texts of those that stay as they are.
    pub left: Vec<String>,
    /// How many are in the target, by whatever text their manifest has.
    pub untold: usize,
}

/// What the manifests of these workloads need.
///
/// An image that was repointed live is taken to be in the manifest as it was before. One that is in the
/// target without a record may have come from there as it is, or by an edit of this kind.
pub fn edits(observed: &[Observed], policy: &Policy) -> Vec<InManifest> {
    let made_from_manifests = observed
        .iter()
        .filter(|one| one.workload.controller.is_none());
    made_from_manifests
        .map(|one| in_manifest(one, policy))
        .collect()
}

fn in_manifest(observed: &Observed, policy: &Policy) -> InManifest {
    let workload = &observed.workload;
    let mut found = InManifest {
        workload: workload.id.clone(),
        edits: Vec::new(),
        left: Vec::new(),
        untold: 0,
    };
    let is_skipped = skipped(observed, policy).is_some();
    let path = workload.id.kind.pod_spec().split('/').skip(1);
    let path: Vec<String> = path.map(str::to_owned).collect();
    let edit = |slot: &Slot, from: String, to: String| Edit {
        slot: slot.key.clone(),
        pod_spec: Some(path.clone()),
        from,
        to,
    };
    for slot in &workload.slots {
        match slots::wish(observed, slot, policy) {
            _ if is_skipped => found.left.push(slot.image.clone()),
            Wish::Change(change) => {
                let made = edit(slot, change.original, change.slot.to);
                found.edits.push(made);
            }
            Wish::Keep => match slots::recorded_original(workload.record.as_ref(), slot) {
                Some(original) => {
                    let made = edit(slot, original.to_owned(), slot.image.clone());
                    found.edits.push(made);
                }
                None => found.untold += 1,
            },
            Wish::Leave(_) | Wish::Other(_) => found.left.push(slot.image.clone()),
        }
    }
    found
}
