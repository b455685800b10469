//! What becomes of one slot: it changes, stays as it is, or is left with a reason.

use super::copies::Wanted;
use super::{Observed, Policy, Resolve, SlotChange};
use crate::reference::Reference;
use crate::target::TargetRegistry;
use crate::workload::{Record, Slot, SlotList};
use std::collections::BTreeSet;

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
    let (workload, images) = (&observed.workload, &policy.images);
    if slot.image.is_empty() {
        return Err("the template names no image".to_owned());
    }
    if slot.image == INJECTED {
        return Err("the image is injected when the pod is made".to_owned());
    }
    let Some(source) = outside(slot, &policy.target)? else {
        return Ok(pin(observed, slot, policy)?.unwrap_or(Wish::Keep));
    };
    let (record, from) = (workload.record.as_ref(), images.from.as_ref());
    let origin = origin(&source, recorded_original(record, slot), from)?;
    if !images.asks_for(&source, &origin) {
        return Ok(Wish::Other(source));
    }
    if let Some(reason) = unchangeable(slot) {
        return Err(reason.to_owned());
    }
    if images.out_of_reach.contains(source.registry()) {
        let host = source.registry();
        return Err(format!(
            "{host} is the node's own and cannot be read from here: give it an endpoint"
        ));
    }
    if slot.key.list == SlotList::ImageVolumes && workload.is_made_pod() {
        return Err("volumes of a pod cannot be changed".to_owned());
    }
    let named = name(source, slot, record, from, &policy.target)?;
    let runs = observed.running.get(&slot.key).cloned();
    let means_running = named.source.digest().is_none() && images.resolve == Resolve::Running;
    Ok(Wish::Change(Box::new(Change {
        slot: SlotChange {
            slot: slot.key.clone(),
            from: slot.image.clone(),
            to: images.name_in_workload(&named.copy).to_string(),
        },
        original: named.original,
        wanted: Wanted {
            origin: named.origin,
            source: named.source,
            target: named.copy,
            runs: runs.unwrap_or_default(),
            means_running,
        },
    })))
}

/// The change of a slot that was cloned to the digest that its pods run, where pins are wanted; none where
/// it has one, and for images that are in the target for reasons of their own.
fn pin(observed: &Observed, slot: &Slot, policy: &Policy) -> Result<Option<Wish>, String> {
    let images = &policy.images;
    let original = recorded_original(observed.workload.record.as_ref(), slot);
    let (Some(original), Some(_)) = (original, &images.pins) else {
        return Ok(None);
    };
    let (copy, origin) = (parse(&slot.image)?, parse(original)?);
    if copy.digest().is_some() || !images.asks_for(&copy, &origin) {
        return Ok(None);
    }
    let mut running = observed.running.get(&slot.key).into_iter().flatten();
    // a name of its own: others may be about to move the tag
    let copy = match (running.next(), running.next()) {
        (Some(only), None) => copy.with(copy.tag(), Some(only)),
        _ => copy,
    };
    Ok(Some(Wish::Change(Box::new(Change {
        slot: SlotChange {
            slot: slot.key.clone(),
            from: slot.image.clone(),
            to: images.name_in_workload(&copy).to_string(),
        },
        original: original.to_owned(),
        wanted: Wanted {
            origin: origin.with(copy.tag(), copy.digest()),
            source: copy.clone(),
            target: copy,
            runs: BTreeSet::new(),
            means_running: false,
        },
    }))))
}

/// The image of a slot; none where it is in the target already.
pub(super) fn outside(slot: &Slot, target: &TargetRegistry) -> Result<Option<Reference>, String> {
    let source = parse(&slot.image)?;
    Ok((!target.holds(&source)).then_some(source))
}

/// Why a slot cannot be changed, whatever it is part of.
pub(super) fn unchangeable(slot: &Slot) -> Option<&'static str> {
    match slot.key.list {
        SlotList::EphemeralContainers => Some("ephemeral containers cannot be changed"),
        _ if slot.never_pulled => Some("never pulled: the node is expected to have it"),
        _ => None,
    }
}

/// A slot's image with the name of its copy.
pub(super) struct Named {
    /// What the copy is named after.
    pub(super) origin: Reference,
    /// Where its bytes come from.
    pub(super) source: Reference,
    pub(super) copy: Reference,
    /// The text to record.
    pub(super) original: String,
}

/// Names the copy of an image that is outside of the target; `from` is the one that is being left.
pub(super) fn name(
    source: Reference,
    slot: &Slot,
    record: Option<&Record>,
    from: Option<&TargetRegistry>,
    target: &TargetRegistry,
) -> Result<Named, String> {
    let original = recorded_original(record, slot);
    let origin = origin(&source, original, from)?;
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
    Ok(Named {
        origin,
        source,
        copy,
        original: original.unwrap_or(&slot.image).to_owned(),
    })
}

/// What an image was first copied from: as it is recorded, or as its name in the registry that is being
/// left tells; itself where it is no copy.
fn origin(
    source: &Reference,
    original: Option<&str>,
    from: Option<&TargetRegistry>,
) -> Result<Reference, String> {
    match (original, from) {
        (Some(original), _) => parse(original)
            .map_err(|_| "what its record has for it is no image reference".to_owned()),
        (None, Some(from)) if from.holds(source) => from.origin(source).ok_or_else(|| {
            "what it is a copy of is neither recorded nor told by its name".to_owned()
        }),
        (None, _) => Ok(source.clone()),
    }
}

fn parse(image: &str) -> Result<Reference, String> {
    Reference::parse(image).map_err(|error| format!("not an image reference: {}", error.reason))
}

/// What a slot was before an earlier repoint, where it is still as that one left it.
pub(super) fn recorded_original<'a>(record: Option<&'a Record>, slot: &Slot) -> Option<&'a str> {
    let recorded = record?.slots.get(&slot.key.to_string())?;
    (recorded.target == slot.image).then_some(recorded.original.as_str())
}
