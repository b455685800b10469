//! Planning a clone.

use super::copies::{Copies, Wanted};
use super::serving::serves_target;
use super::slots::{self, Wish};
use super::{
    Decision, Observed, Patterns, Plan, PlanError, Planned, Policy, PullAccess, PullCredentials,
    PullSecretChange, Repoint, SYSTEM_NAMESPACES, SlotChange, note_effects, pull_secrets,
};
use crate::reference::{self, Reference};
use crate::workload::{
    Mutability, ORIGINALS, Owner, PullSecretRecord, RESTORED, Record, SKIP, Slot, SlotRecord,
    Workload,
};
use std::collections::{BTreeMap, BTreeSet};

/// Plans a clone of these workloads.
///
/// # Errors
/// When two sources would share one target.
pub fn clone(observed: &[Observed], policy: &Policy) -> Result<Plan, PlanError> {
    let mut copies = Copies::default();
    let mut workloads = Vec::with_capacity(observed.len());
    let mut left_out = BTreeSet::new();
    for one in observed {
        let (planned, wanted) = plan(one, policy, &mut left_out);
        for copy in wanted {
            copies.add(copy, &one.workload.id)?;
        }
        workloads.push(planned);
    }
    Ok(Plan {
        copies: copies.finish(),
        workloads,
        left_out,
    })
}

/// What a clone of a named workload comes to as far as the workload alone tells: nothing is known of its
/// surroundings.
pub fn outlook(workload: &Workload, policy: &Policy) -> Planned {
    let observed = Observed {
        workload: workload.clone(),
        running: BTreeMap::new(),
        account_pull_secrets: None,
        pull_credentials: PullCredentials::Own,
        named: true,
        namespace_opted_out: false,
    };
    plan(&observed, policy, &mut BTreeSet::new()).0
}

/// What happens to one workload, and the copies that it asks for.
fn plan(
    observed: &Observed,
    policy: &Policy,
    left_out: &mut BTreeSet<Reference>,
) -> (Planned, Vec<Wanted>) {
    let workload = &observed.workload;
    let planned = |decision, notes, wanted: &[Wanted]| Planned {
        workload: workload.clone(),
        decision,
        targets: wanted.iter().map(|copy| copy.target.clone()).collect(),
        notes,
    };
    if let Some(reason) = skipped(observed, policy) {
        let controller = workload.controller.as_ref();
        let operator = controller.filter(|one| observed.named && one.is_operator());
        let way = operator.map(|one| format!("change its images in {one}, which makes it"));
        let notes = way.into_iter().collect();
        return (planned(Decision::Skip(reason), notes, &[]), vec![]);
    }
    let Wishes {
        changes,
        originals,
        wanted,
        kept,
        others,
        mut notes,
    } = Wishes::of(observed, policy);
    let is_asked_for = others.is_empty();
    left_out.extend(others);
    if changes.is_empty() {
        let decision = if kept > 0 {
            Decision::Unchanged
        } else if !notes.is_empty() {
            Decision::Skip(std::mem::take(&mut notes).join("; "))
        } else if is_asked_for {
            Decision::Unchanged
        } else {
            Decision::Skip(policy.images.nothing_asked_for())
        };
        return (planned(decision, notes, &[]), vec![]);
    }
    let decision = match repoint(observed, policy, changes, originals) {
        Ok(repoint) => {
            note_effects(workload, &mut notes);
            note_owner(workload, &mut notes);
            Decision::Repoint(repoint)
        }
        Err(reason) => {
            // a broad selection's plan and summary have a line for all
            if observed.named {
                note_way(workload, policy, &mut notes);
            }
            Decision::CopyOnly(reason)
        }
    };
    (planned(decision, notes, &wanted), wanted)
}

/// Why a slot that is not in the target stays as it is; none where a clone would change it.
pub fn left(observed: &Observed, slot: &Slot, policy: &Policy) -> Option<String> {
    if let Wish::Leave(reason) = slots::wish(observed, slot, policy) {
        return Some(reason);
    }
    let owner = reverting_owner(&observed.workload).filter(|_| !policy.owned_live);
    owner
        .map(ToString::to_string)
        .or_else(|| left_alone(&observed.workload, policy))
}

/// Why a workload is not touched at all.
pub fn skipped(observed: &Observed, policy: &Policy) -> Option<String> {
    let workload = &observed.workload;
    let namespace = workload.id.namespace.as_str();
    if let Some(controller) = &workload.controller {
        return Some(format!("controlled by {controller}"));
    }
    if workload.opted_out {
        return Some(format!("opted out by {SKIP}"));
    }
    if observed.namespace_opted_out {
        return Some(namespace_opted_out(namespace));
    }
    if observed.named {
        return None;
    }
    if let Some(reason) = namespace_skipped(namespace, &policy.skip_namespaces) {
        return Some(reason);
    }
    if serves_target(workload, policy) {
        return Some("serves the target registry".to_owned());
    }
    let priority = workload.priority_class.as_deref().unwrap_or_default();
    if priority.starts_with("system-") && priority.ends_with("-critical") {
        return Some(format!("priority class {priority}"));
    }
    (workload.restored.as_ref() == Some(&workload.images_hash()))
        .then(|| "restored, and no image has changed since: name it to clone it again".to_owned())
}

/// Why a namespace is left alone by whoever does not name what is in it; none where it is not.
pub fn namespace_skipped(namespace: &str, skip: &Patterns) -> Option<String> {
    let is_skipped = SYSTEM_NAMESPACES.contains(&namespace) || skip.matches(namespace);
    is_skipped.then(|| format!("namespace {namespace} is skipped"))
}

/// Why a namespace that opted out is left alone.
pub(super) fn namespace_opted_out(namespace: &str) -> String {
    format!("namespace {namespace} opted out by {SKIP}")
}

/// What becomes of all slots of a workload.
struct Wishes {
    changes: Vec<SlotChange>,
    /// The text to record for each change, in the same order.
    originals: Vec<String>,
    wanted: Vec<Wanted>,
    /// How many slots are in the target already.
    kept: usize,
    /// Images that are not asked for.
    others: Vec<Reference>,
    notes: Vec<String>,
}

impl Wishes {
    fn of(observed: &Observed, policy: &Policy) -> Self {
        let mut wishes = Self {
            changes: vec![],
            originals: vec![],
            wanted: vec![],
            kept: 0,
            others: vec![],
            notes: vec![],
        };
        for slot in &observed.workload.slots {
            match slots::wish(observed, slot, policy) {
                Wish::Keep => wishes.kept += 1,
                Wish::Other(image) => wishes.others.push(image),
                Wish::Leave(reason) if slot.image.is_empty() => {
                    wishes.notes.push(format!("{}: left: {reason}", slot.key));
                }
                Wish::Leave(reason) => {
                    let image = reference::in_line(&slot.image);
                    let note = format!("{}: left at {image}: {reason}", slot.key);
                    wishes.notes.push(note);
                }
                Wish::Change(change) => {
                    wishes.changes.push(change.slot);
                    wishes.originals.push(change.original);
                    wishes.wanted.push(change.wanted);
                }
            }
        }
        wishes
    }
}

/// The write that makes these changes.
///
/// # Errors
/// When the workload is better left as it is: the reason.
fn repoint(
    observed: &Observed,
    policy: &Policy,
    changes: Vec<SlotChange>,
    originals: Vec<String>,
) -> Result<Repoint, String> {
    let workload = &observed.workload;
    left_alone(workload, policy).map_or(Ok(()), Err)?;
    let (needs_pull_secret, added) = match &policy.pull {
        _ if observed.pull_credentials == PullCredentials::Own => (None, None),
        PullAccess::Open => (None, None),
        PullAccess::Missing(_) if observed.pull_credentials == PullCredentials::Ours => {
            (None, None)
        }
        PullAccess::Missing(reason) => return Err(reason.clone()),
        PullAccess::Secret(name) => (Some(name.clone()), pull_secrets::add(observed, name)?),
    };
    if added.is_some() && workload.is_made_pod() {
        return Err(
            "it needs a pull secret, and a pod's pull secrets cannot be changed".to_owned(),
        );
    }
    let (list, added) = added.map_or((PullSecretChange::Keep, None), |added| {
        (PullSecretChange::Set(added.list), Some(added.record))
    });
    let run = (policy.run.as_str(), policy.time.as_deref());
    let record = record(workload, run, &changes, originals, added);
    let mut annotations = BTreeMap::from([(ORIGINALS, Some(record.to_text()))]);
    if workload.restored.is_some() {
        annotations.insert(RESTORED, None);
    }
    Ok(Repoint {
        slots: changes,
        pull_secrets: list,
        needs_pull_secret,
        annotations,
    })
}

/// Why a workload whose images are copied is not repointed.
fn left_alone(workload: &Workload, policy: &Policy) -> Option<String> {
    if policy.copy_only {
        return Some("--copy-only".to_owned());
    }
    if let Mutability::Immutable(reason) = workload.mutability() {
        return Some(reason.to_owned());
    }
    if let (Some(owner), false) = (reverting_owner(workload), policy.owned_live) {
        return Some(reverted_by(owner));
    }
    // written over, it could never give back what it holds
    (workload.record.is_none() && workload.record_text.is_some()).then(|| {
        format!("its annotation {ORIGINALS} cannot be read: mend it, or remove it if nothing is to be restored from it")
    })
}

/// Why a workload is left to its owner.
pub(super) fn reverted_by(owner: &Owner) -> String {
    format!("would be reverted by {owner}")
}

/// The owner that would take a change back by itself. Helm only does so at the next upgrade.
fn reverting_owner(workload: &Workload) -> Option<&Owner> {
    workload
        .owner
        .as_ref()
        .filter(|owner| !matches!(owner, Owner::Helm(_)))
}

/// The merged record: what earlier repoints left and still stands, and these changes.
fn record(
    workload: &Workload,
    run: (&str, Option<&str>),
    changes: &[SlotChange],
    originals: Vec<String>,
    added: Option<PullSecretRecord>,
) -> Record {
    let standing: BTreeSet<&str> = workload.standing_slots().map(|(name, _)| name).collect();
    let earlier = workload.record.as_ref();
    let kept = earlier.map(|record| record.keep(run, |name, _| standing.contains(name)));
    let mut slots = kept.map_or_else(BTreeMap::new, |record| record.slots);
    slots.extend(changes.iter().zip(originals).map(|(change, original)| {
        let recorded = SlotRecord {
            original,
            target: change.to.clone(),
            run: None,
            time: None,
        };
        (change.slot.to_string(), recorded)
    }));
    Record {
        run: run.0.to_owned(),
        time: run.1.map(str::to_owned),
        slots,
        pull_secrets: pull_secrets::merge(workload, added),
    }
}

/// Says what the owner of a workload that is repointed will do about it.
fn note_owner(workload: &Workload, notes: &mut Vec<String>) {
    match &workload.owner {
        None => {}
        Some(owner @ Owner::Helm(_)) => {
            notes.push(format!(
                "{owner}: the next upgrade brings the old images back"
            ));
        }
        Some(owner) => notes.push(format!("{owner} may bring the old images back at any time")),
    }
}

/// Says how a workload that is left to its owner can be repointed all the same.
fn note_way(workload: &Workload, policy: &Policy, notes: &mut Vec<String>) {
    let copied_for_its_owner = !policy.copy_only
        && !matches!(workload.mutability(), Mutability::Immutable(_))
        && !policy.owned_live
        && reverting_owner(workload).is_some();
    if copied_for_its_owner {
        notes.push(
            "change its manifests (-o kustomize, -o patch, -f), or repoint it live (--owned live)"
                .to_owned(),
        );
    }
}
