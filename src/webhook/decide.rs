//! What becomes of an object on its way into the API server.
//!
//! Decides whether it is repointed, by the very plan that the loop would make for it. Never asks anybody: where
//! something is not known that the plan depends on, the object passes as it is, and the loop sees to it later.

use super::review::Request;
use crate::patch;
use crate::plan::{self, Decision, Observed, PullAccess, PullCredentials, Repoint};
use crate::watch::{Known, Terms, grant};
use crate::workload::{FIELD_MANAGER, SKIP, Workload};
use serde_json::Value;
use std::collections::BTreeMap;

/// What the API server takes of all annotations of an object together, in bytes.
const ANNOTATIONS_LIMIT: usize = 256 * 1024;

/// The change of an object.
#[derive(Debug)]
pub(super) struct Change {
    /// The object as it came.
    pub(super) workload: Workload,
    pub(super) repoint: Repoint,
    /// The JSON patch that makes it.
    pub(super) patch: Value,
    /// What whoever asked should know.
    pub(super) warnings: Vec<String>,
}

/// How an object is changed.
///
/// # Errors
/// When it passes as it is: the reason.
pub(super) fn decide(request: &Request, known: &Known) -> Result<Change, String> {
    let is_new = match request.operation.as_str() {
        "CREATE" => true,
        "UPDATE" => false,
        other => return Err(format!("{other:?} is no change of a workload")),
    };
    if !request.sub_resource.is_empty() {
        return Err(format!("{} is not the workload", request.sub_resource));
    }
    // a restore, a workload put back, a repoint: as it is meant to be
    if request.field_manager() == Some(FIELD_MANAGER) {
        return Err(format!("written by {FIELD_MANAGER}"));
    }
    let terms = known.terms().ok_or("nothing is repointed now")?;
    let (workload, before) = if is_new {
        (request.workload()?.unmade(), None)
    } else {
        (request.workload()?, Some(request.old_workload()?))
    };
    if before
        .as_ref()
        .is_some_and(|old| same_images(old, &workload))
    {
        return Err("its images stay".to_owned());
    }
    terms.leave_out(&workload).map_or(Ok(()), Err)?;
    let observed = surround(workload, is_new, &terms, known)?;
    let mut repoint = repoint(&observed, &terms, known)?;
    let workload = observed.workload;
    let put_back = put_back(&workload, before.as_ref());
    grant(&workload, &mut repoint, terms.stateful, put_back)?;
    let patch = patch::writes(&workload, &repoint);
    check(&request.object, &patch)?;
    let warnings = before.map_or_else(Vec::new, |before| taken_back(&before, &repoint));
    Ok(Change {
        workload,
        repoint,
        patch,
        warnings,
    })
}

fn same_images(old: &Workload, new: &Workload) -> bool {
    new.slots.iter().all(|slot| {
        let before = old.slot(&slot.key);
        before.is_some_and(|before| before.image == slot.image)
    })
}

/// How often somebody has put these images back, this time included. Tools that write all annotations anew leave
/// the record and the count in the object that is there.
fn put_back(workload: &Workload, before: Option<&Workload>) -> u32 {
    let kept = before.map(|before| {
        let mut kept = workload.clone();
        kept.record.clone_from(&before.record);
        kept.reclaimed.clone_from(&before.reclaimed);
        kept
    });
    let kept = kept.as_ref().map_or(0, plan::reclaims);
    plan::reclaims(workload).max(kept)
}

/// The workload with what is known of its surroundings.
fn surround(
    workload: Workload,
    is_new: bool,
    terms: &Terms,
    known: &Known,
) -> Result<Observed, String> {
    let namespace = &workload.id.namespace;
    let namespace_opted_out = known
        .opted_out(namespace)
        .ok_or_else(|| format!("namespace {namespace} has not been seen yet"))?;
    let (account_pull_secrets, pull_credentials) = match terms.policy.pull {
        // then nothing is decided by them
        PullAccess::Open => (None, PullCredentials::None),
        _ => pulls(&workload, is_new, known)?,
    };
    Ok(Observed {
        // nothing runs with images that are new
        running: BTreeMap::new(),
        account_pull_secrets,
        pull_credentials,
        named: false,
        namespace_opted_out,
        workload,
    })
}

/// The pull secrets that its pods get from their ServiceAccount, and what they can pull with all in all.
fn pulls(
    workload: &Workload,
    is_new: bool,
    known: &Known,
) -> Result<(Option<Vec<String>>, PullCredentials), String> {
    let (namespace, account) = (&workload.id.namespace, &workload.service_account);
    let inherited = if is_new && workload.id.kind.is_pod() {
        // the API server has given the pod its account's names before it asks
        Some(Vec::new())
    } else {
        known.account_pull_secrets(namespace, account)
    };
    let own = workload.pull_secrets.as_deref().unwrap_or_default();
    let effective = match (own, &inherited) {
        ([], None) => {
            let unknown = format!("ServiceAccount {account} has not been seen yet");
            return Err(unknown);
        }
        ([], Some(inherited)) => inherited.as_slice(),
        (own, _) => own,
    };
    let credentials = known
        .pull_credentials(namespace, effective)
        .ok_or("its pull secrets have not been seen yet")?;
    Ok((inherited, credentials))
}

/// The repoint as planned, where all that it needs is there.
fn repoint(observed: &Observed, terms: &Terms, known: &Known) -> Result<Repoint, String> {
    let namespace = &observed.workload.id.namespace;
    let plan = plan::clone(std::slice::from_ref(observed), &terms.policy);
    let mut plan = plan.map_err(|error| error.to_string())?;
    let planned = plan.workloads.pop().ok_or("there is no plan for it")?;
    let repoint = match planned.decision {
        Decision::Repoint(repoint) => repoint,
        Decision::CopyOnly(reason) | Decision::Skip(reason) => return Err(reason),
        Decision::Unchanged => return Err("nothing is to be changed".to_owned()),
    };
    let missing = |target: &&_| known.copy_for(namespace, target).is_none();
    if let Some(missing) = planned.targets.iter().find(missing) {
        return Err(format!("{missing} is not known complete for {namespace}"));
    }
    if let Some(name) = &repoint.needs_pull_secret
        && !known.has_pull_secret(namespace)
    {
        return Err(format!("{name} is not known to be in {namespace}"));
    }
    Ok(repoint)
}

/// A patch that does not apply, or makes an object that the API server refuses, would be the end of the whole
/// request: its failure policy does not reach so far.
fn check(object: &Value, patch: &Value) -> Result<(), String> {
    let operations: json_patch::Patch =
        serde_json::from_value(patch.clone()).map_err(|error| error.to_string())?;
    let mut changed = object.clone();
    json_patch::patch(&mut changed, &operations).map_err(|error| error.to_string())?;
    let annotations = changed["metadata"]["annotations"].as_object();
    let size: usize = annotations
        .into_iter()
        .flatten()
        .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len))
        .sum();
    if size > ANNOTATIONS_LIMIT {
        return Err(format!("its annotations would have {size} bytes"));
    }
    Ok(())
}

/// Images that somebody takes out of the target, and that stay there: he will wonder.
fn taken_back(before: &Workload, repoint: &Repoint) -> Vec<String> {
    let stays = repoint.slots.iter().filter(|change| {
        let slot = before.slot(&change.slot);
        slot.is_some_and(|slot| slot.image == change.to)
    });
    stays
        .map(|change| {
            format!(
                "image-cloner: {} stays at {}, the copy of {}; {SKIP}: \"true\" leaves it alone",
                change.slot, change.to, change.from
            )
        })
        .collect()
}
