//! What becomes of one slot: it changes, stays as it is, or is left with a reason.

use super::copies::Wanted;
use super::{Observed, Policy, Resolve, SlotChange};
use crate::reference::Reference;
use crate::workload::{Slot, SlotList, Workload};

/// The text that injectors put in place of an image and replace when the pod is made.
const INJECTED: &str = "auto";

/// Whether a slot has no image of its own, only a place for one.
pub fn is_placeholder(slot: &Slot) -> bool {
    slot.image.is_empty() || slot.image == INJECTED
}

/// What becomes of one slot.
pub(super) enum Wish {
    /// It is in the target already.
    Keep,
    /// It is not asked for.
    Other(Reference),
    /// It is left as it is, for this reason.
    Leave(String),
    /// It changes to its copy.
    Change(Box<Change>),
}

/// The change of a slot to its copy.
pub(super) struct Change {
    pub(super) slot: SlotChange,
    /// The text to record; what an earlier repoint recorded is older than the one that the slot has.
    pub(super) original: String,
    pub(super) wanted: Wanted,
}

/// What becomes of a slot of this workload.
pub(super) fn wish(observed: &Observed, slot: &Slot, policy: &Policy) -> Wish {
    try_wish(observed, slot, policy).unwrap_or_else(Wish::Leave)
}

fn try_wish(observed: &Observed, slot: &Slot, policy: &Policy) -> Result<Wish, String> {
    let target = &policy.target;
    if slot.image.is_empty() {
        return Err("the template names no image".to_owned());
    }
    if slot.image == INJECTED {
        return Err("the image is injected when the pod is made".to_owned());
    }
    let source = parse(&slot.image)?;
    if target.holds(&source) {
        return Ok(Wish::Keep);
    }
    let original = recorded_original(&observed.workload, slot);
    let origin = match (original, &policy.images.from) {
        (Some(original), _) => parse(original)?,
        (None, Some(from)) if from.holds(&source) => from
            .origin(&source)
            .ok_or("what it is a copy of is neither recorded nor told by its name")?,
        (None, _) => source.clone(),
    };
    if !policy.images.asks_for(&source, &origin) {
        return Ok(Wish::Other(source));
    }
    unchangeable(&observed.workload, slot).map_or(Ok(()), Err)?;
    if original.is_some() && target.holds(&origin) {
        // copying back over the original could move its tag
        return Err(format!(
            "its original {} is in the target registry: restore gives it back",
            origin.typed()
        ));
    }
    let copy = target
        .name(&origin)
        .map_err(|error| format!("it cannot be named in the target: {}", error.reason))?;
    let running = match (source.digest(), policy.images.resolve) {
        (Some(_), _) | (None, Resolve::Tag) => None,
        (None, Resolve::Running) => observed.running.get(&slot.key).cloned(),
    };
    Ok(Wish::Change(Box::new(Change {
        slot: SlotChange {
            slot: slot.key.clone(),
            from: slot.image.clone(),
            to: policy.images.name_in_workload(&copy).to_string(),
        },
        original: original.unwrap_or(&slot.image).to_owned(),
        wanted: Wanted {
            origin,
            source,
            target: copy,
            running: running.unwrap_or_default(),
        },
    })))
}

fn parse(image: &str) -> Result<Reference, String> {
    Reference::parse(image).map_err(|error| format!("not an image reference: {}", error.reason))
}

/// Why a slot of a workload that can be changed cannot be changed itself.
fn unchangeable(workload: &Workload, slot: &Slot) -> Option<String> {
    let reason = match slot.key.list {
        SlotList::EphemeralContainers => "ephemeral containers cannot be changed",
        SlotList::ImageVolumes if workload.id.kind.is_pod() => "volumes of a pod cannot be changed",
        _ if slot.never_pulled => "never pulled: the node is expected to have it",
        _ => return None,
    };
    Some(reason.to_owned())
}

/// What a slot was before an earlier repoint to another target registry, where it is still as that one
/// left it.
fn recorded_original<'a>(workload: &'a Workload, slot: &Slot) -> Option<&'a str> {
    let recorded = workload.record.as_ref()?.slots.get(&slot.key.to_string())?;
    (recorded.target == slot.image).then_some(recorded.original.as_str())
}
