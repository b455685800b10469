//! Pull secrets of a pod template: what a repoint adds and what a restore takes away again.
//!
//! Admission gives a pod its ServiceAccount's pull secrets only where the pod has none of its own. Adding
//! ours to an empty list would take those away, so there they come first.

use super::{Observed, PullSecretChange};
use crate::workload::{PullSecretRecord, Workload};

/// A template's new list of pull secrets, and what of it is ours.
pub(super) struct Added {
    /// The whole new list.
    pub(super) list: Vec<String>,
    /// What was done to get there.
    pub(super) record: PullSecretRecord,
}

/// The list with this name in it; none where the pods have it already.
///
/// # Errors
/// When it cannot be told what the list would hide: the reason.
pub(super) fn add(observed: &Observed, name: &str) -> Result<Option<Added>, String> {
    let own = observed.workload.pull_secrets.as_deref().unwrap_or(&[]);
    let inherited = if own.is_empty() {
        observed.account_pull_secrets.as_deref().ok_or(
            "its ServiceAccount cannot be read, and a pull secret of ours would hide the account's own",
        )?
    } else {
        &[]
    };
    if own.iter().chain(inherited).any(|present| present == name) {
        return Ok(None);
    }
    let mut added = Vec::new();
    for name in inherited.iter().map(String::as_str).chain([name]) {
        if !added.iter().any(|present| present == name) {
            added.push(name.to_owned());
        }
    }
    Ok(Some(Added {
        list: own.iter().chain(&added).cloned().collect(),
        record: PullSecretRecord {
            added,
            was_absent: observed.workload.pull_secrets.is_none(),
        },
    }))
}

/// The record of all that was added, now and before. Names that are gone from the template are no longer
/// ours; while any is left, what was there first is what the earlier record says.
pub(super) fn merge(
    workload: &Workload,
    new: Option<PullSecretRecord>,
) -> Option<PullSecretRecord> {
    let present = workload.pull_secrets.as_deref().unwrap_or(&[]);
    let earlier = workload
        .record
        .as_ref()
        .and_then(|record| record.pull_secrets.clone());
    let Some(mut kept) = earlier else {
        return new;
    };
    kept.added.retain(|name| present.contains(name));
    if kept.added.is_empty() {
        return new;
    }
    kept.added.extend(new.into_iter().flat_map(|new| new.added));
    Some(kept)
}

/// Takes away what was added.
///
/// # Errors
/// When it is better left alone: the reason.
pub(super) fn remove(
    present: Option<&[String]>,
    record: &PullSecretRecord,
) -> Result<PullSecretChange, String> {
    let present = present.unwrap_or(&[]);
    let (ours, others): (Vec<&String>, Vec<&String>) =
        present.iter().partition(|name| record.added.contains(name));
    if ours.is_empty() {
        return Ok(PullSecretChange::Keep);
    }
    // someone added to a list that had the ServiceAccount's names in it, and may count on them: admission
    // would not add them again
    if let (true, true, Some(other)) = (record.was_absent, ours.len() > 1, others.first()) {
        return Err(format!("{other} was added since the clone"));
    }
    Ok(if record.was_absent && others.is_empty() {
        PullSecretChange::Remove
    } else {
        PullSecretChange::Set(others.into_iter().cloned().collect())
    })
}
