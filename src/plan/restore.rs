//! Planning a restore.
//!
//! Gives back what the record says, for the slots that still are as the clone left them. A slot that was
//! changed since is its changer's: it is named and left. Where no slot is to be given back, the workload
//! is not written at all and the record stays: saying "restored" of it would be untrue.
//!
//! A restore of one run gives back the slots that this run repointed. Those that earlier or later runs
//! did and that still are as they left them stay, with their record and the pull secrets.
//!
//! What a controller makes and that has no record is left out: its controller's record counts.
//!
//! Opt-outs do not count here: they keep us from changing a workload, and this takes our change back.

use super::{
    Decision, Plan, Planned, PullSecretChange, Repoint, SlotChange, note_effects, pull_secrets,
};
use crate::reference::{self, Reference};
use crate::workload::{Mutability, ORIGINALS, RECLAIMED, RESTORED, Record, SlotRecord, Workload};
use std::collections::{BTreeMap, BTreeSet};

/// Plans to give back what the records of these workloads say, where the slots still equal the recorded
/// targets. `run` keeps only slots that this run repointed, and workloads that have some.
pub fn restore(workloads: &[Workload], run: Option<&str>) -> Plan {
    let is_meant = |workload: &&Workload| match (&workload.record, run) {
        (Some(record), Some(run)) => {
            let mut slots = record.slots.values();
            slots.any(|slot| record.run_of(slot) == run)
        }
        (None, Some(_)) => false,
        (Some(_), None) => true,
        (None, None) => workload.controller.is_none(),
    };
    let meant = workloads.iter().filter(is_meant);
    Plan {
        copies: vec![],
        left_out: BTreeSet::new(),
        workloads: meant.map(|workload| plan(workload, run)).collect(),
    }
}

/// A run of which something still stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastRun {
    /// Its short id.
    pub run: String,
    /// When it began; the records of the first versions do not say.
    pub time: Option<String>,
    /// Workloads of which it repointed something that stands.
    pub workloads: usize,
}

/// The runs that these workloads remember, the last one first; those without a time come after all that
/// have one.
pub fn runs(workloads: &[Workload]) -> Vec<PastRun> {
    let mut counts: BTreeMap<(Option<&str>, &str), usize> = BTreeMap::new();
    // a Deployment's record is on its ReplicaSets too
    let own = workloads.iter().filter(|one| one.controller.is_none());
    for workload in own {
        let Some(record) = &workload.record else {
            continue;
        };
        let of: BTreeSet<_> = workload
            .standing_slots()
            .map(|(_, slot)| (record.time_of(slot), record.run_of(slot)))
            .collect();
        for run in of {
            *counts.entry(run).or_default() += 1;
        }
    }
    let runs = counts.into_iter().rev();
    runs.map(|((time, run), workloads)| PastRun {
        run: run.to_owned(),
        time: time.map(str::to_owned),
        workloads,
    })
    .collect()
}

fn plan(workload: &Workload, run: Option<&str>) -> Planned {
    let mut notes = vec![];
    Planned {
        workload: workload.clone(),
        decision: decide(workload, run, &mut notes),
        targets: BTreeSet::new(),
        notes,
    }
}

fn decide(workload: &Workload, run: Option<&str>, notes: &mut Vec<String>) -> Decision {
    if let Some(controller) = &workload.controller {
        return Decision::Skip(format!("controlled by {controller}"));
    }
    let Some(record) = &workload.record else {
        if workload.record_text.is_some() {
            return Decision::Skip(format!("its annotation {ORIGINALS} cannot be read"));
        }
        notes.push("not cloned: it has no record".to_owned());
        return Decision::Unchanged;
    };
    let given_back = record.keep(record.last(), |_, recorded| is_of(run, record, recorded));
    let slots = changes(workload, &given_back, notes);
    if slots.is_empty() {
        return Decision::Unchanged;
    }
    if let Mutability::Immutable(reason) = workload.mutability() {
        return Decision::Skip(reason.to_owned());
    }
    note_effects(workload, notes);
    let after = images_after(workload, &slots);
    let (pull_secrets, left) = match left(workload, record, run) {
        Some(left) => (PullSecretChange::Keep, Some(left.to_text())),
        None => (pull_secrets_after(workload, record, &after, notes), None),
    };
    let mut annotations =
        BTreeMap::from([(ORIGINALS, left), (RESTORED, Some(after.images_hash()))]);
    if workload.reclaimed.is_some() {
        annotations.insert(RECLAIMED, None);
    }
    Decision::Repoint(Repoint {
        annotations,
        slots,
        pull_secrets,
        needs_pull_secret: None,
    })
}

/// The slots that are given back, in the order of the template; the others are named.
fn changes(workload: &Workload, record: &Record, notes: &mut Vec<String>) -> Vec<SlotChange> {
    let mut unseen: BTreeSet<&String> = record.slots.keys().collect();
    let mut changes = vec![];
    for slot in &workload.slots {
        let name = slot.key.to_string();
        unseen.remove(&name);
        let image = &slot.image;
        match record.slots.get(&name) {
            None => {}
            // whoever wrote that, it was no clone
            Some(recorded) if Reference::parse(&recorded.original).is_err() => notes.push(format!(
                "{name}: left at {}: what its record has for it is no image reference",
                reference::in_line(image)
            )),
            Some(recorded) if recorded.target == *image => changes.push(SlotChange {
                slot: slot.key.clone(),
                from: image.clone(),
                to: recorded.original.clone(),
            }),
            Some(recorded) if recorded.original == *image => {
                notes.push(format!("{name}: is back at {image} already"));
            }
            Some(_) => notes.push(format!(
                "{name}: left at {}, changed since the clone",
                reference::in_line(image)
            )),
        }
    }
    notes.extend(
        unseen
            .iter()
            .map(|name| format!("{name}: is gone from the workload")),
    );
    changes
}

/// Whether a recorded slot is one that a restore of this run is about.
fn is_of(run: Option<&str>, record: &Record, recorded: &SlotRecord) -> bool {
    run.is_none_or(|run| record.run_of(recorded) == run)
}

/// The record of what other runs did and still stands, if there is any.
fn left(workload: &Workload, record: &Record, run: Option<&str>) -> Option<Record> {
    let standing: BTreeSet<&str> = workload.standing_slots().map(|(name, _)| name).collect();
    let is_left = |name: &str, recorded: &SlotRecord| {
        !is_of(run, record, recorded) && standing.contains(name)
    };
    let slots = record.slots.iter();
    let mut runs = slots
        .filter(|(name, recorded)| is_left(name, recorded))
        .map(|(_, recorded)| (record.run_of(recorded), record.time_of(recorded)));
    let any = runs.next()?;
    let last = if run == Some(&record.run) {
        any
    } else {
        record.last()
    };
    Some(record.keep(last, is_left))
}

/// The workload with these changes made.
fn images_after(workload: &Workload, changes: &[SlotChange]) -> Workload {
    let mut after = workload.clone();
    for slot in &mut after.slots {
        if let Some(change) = changes.iter().find(|change| change.slot == slot.key) {
            slot.image.clone_from(&change.to);
        }
    }
    after
}

/// The template's pull secrets without ours, unless they are still needed.
fn pull_secrets_after(
    workload: &Workload,
    record: &Record,
    after: &Workload,
    notes: &mut Vec<String>,
) -> PullSecretChange {
    let Some(added) = &record.pull_secrets else {
        return PullSecretChange::Keep;
    };
    let removal = match still_pulling(record, after) {
        Some(slot) => Err(format!("{slot} still pulls from the target registry")),
        None => pull_secrets::remove(workload.pull_secrets.as_deref(), added),
    };
    removal.unwrap_or_else(|reason| {
        notes.push(format!("imagePullSecrets: left as they are: {reason}"));
        PullSecretChange::Keep
    })
}

/// A slot that was cloned, was changed since and pulls from the same registry as the clone.
fn still_pulling<'a>(record: &'a Record, after: &Workload) -> Option<&'a str> {
    let host = |image: &str| Some(Reference::parse(image).ok()?.registry().to_owned());
    after.slots.iter().find_map(|slot| {
        let (name, recorded) = record.slots.get_key_value(&slot.key.to_string())?;
        let left = slot.image != recorded.original;
        (left && host(&slot.image)? == host(&recorded.target)?).then_some(name.as_str())
    })
}
