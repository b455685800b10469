//! One round: workloads that are due are read with what surrounds them, and planned.
//!
//! Decides what is not even asked about: what would be left alone anyway. Never writes.

use super::footing::Footing;
use super::grant::grant;
use super::ledger::{Cloned, Due, Purpose, Then, Verdict};
use super::seen::Seen;
use crate::cluster::{Cluster, Error, Observation};
use crate::config::Mode;
use crate::credentials::Keyring;
use crate::outcome::Failure;
use crate::plan::{
    self, Copy, Decision, Observed, Planned, Policy, PullCredentials, kept, reclaims,
};
use crate::workload::{Kind, PULL_SECRET, Workload, WorkloadId};
use futures::stream::{self, StreamExt as _};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// Workloads read at once.
const READERS: usize = 8;

/// What was found out about a workload that was due.
pub(super) struct Found {
    pub(super) id: WorkloadId,
    /// As it was read, where nothing was kept of it.
    pub(super) read: Option<Seen>,
    pub(super) verdict: Verdict,
}

/// Notes that were logged already, since everything was looked at last.
#[derive(Debug, Default)]
pub(super) struct Said(Mutex<BTreeSet<String>>);

impl Said {
    pub(super) fn once(&self, note: &str) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.insert(note.to_owned()) {
            tracing::warn!("{note}");
        }
    }
}

/// Reads and plans these.
pub(super) async fn round(
    cluster: &Cluster,
    footing: &Footing,
    said: &Said,
    due: Vec<Due>,
) -> Vec<Found> {
    let mut found = Vec::new();
    let mut asked = Vec::new();
    let mut reasons = BTreeMap::new();
    let mut read = BTreeMap::new();
    // of each namespace, one that is left as it is and stands for it
    let mut unseen = BTreeMap::new();
    let at_hand = |due: Due| async move {
        let workload = match due.workload {
            Some(workload) => Ok((workload, None)),
            None => read_again(cluster, &due.id)
                .await
                .map(|seen| (seen.workload.clone(), Some(seen))),
        };
        (due.id, (due.purpose, due.cloned), workload)
    };
    let mut due = stream::iter(due).map(at_hand).buffered(READERS);
    while let Some((id, reason, workload)) = due.next().await {
        let workload = match workload {
            Ok((workload, seen)) => {
                read.extend(seen.map(|seen| (id.clone(), seen)));
                workload
            }
            Err(verdict) => {
                found.push((id, verdict));
                continue;
            }
        };
        let settled = (reason.0 == Purpose::Clone)
            .then(|| settled_at_sight(&workload, footing))
            .flatten();
        match settled {
            Some(verdict) => {
                if footing.known.is_asked() && workload.record.is_some() {
                    unseen.entry(id.namespace.clone()).or_insert(workload);
                }
                found.push((id, verdict));
            }
            None => {
                reasons.insert(id, reason);
                asked.push(workload);
            }
        }
    }
    if !asked.is_empty() {
        found.extend(surrounded(cluster, footing, said, asked, &reasons).await);
    }
    unseen.retain(|namespace, _| !footing.known.is_observed(namespace));
    see(cluster, footing, unseen.into_values().collect()).await;
    let with_read = |(id, verdict)| Found {
        read: read.remove(&id),
        id,
        verdict,
    };
    found.into_iter().map(with_read).collect()
}

/// Looks around these for whoever asks. Workloads that are cloned already need it for nothing else.
async fn see(cluster: &Cluster, footing: &Footing, workloads: Vec<Workload>) {
    if workloads.is_empty() {
        return;
    }
    let target = &footing.settings.target;
    match cluster.surround_all(workloads, target).await {
        Ok(observation) => {
            for observed in &observation.observed {
                footing.known.observed(target, observed);
            }
        }
        Err(error) => tracing::debug!("looking around workloads: {error}"),
    }
}

/// Whether a workload pulls copies with the pull secret that we keep up, in a namespace that is not skipped: whoever
/// may write a workload may have written its record.
fn has_our_secret(workload: &Workload, footing: &Footing) -> bool {
    let settings = &footing.settings;
    let mut named = workload.pull_secrets.iter().flatten();
    named.any(|name| name == PULL_SECRET)
        && plan::has_copies(workload, &settings.target)
        && plan::namespace_skipped(&workload.id.namespace, &settings.skip_namespaces).is_none()
}

async fn read_again(cluster: &Cluster, id: &WorkloadId) -> Result<Seen, Verdict> {
    match cluster.get(id).await {
        Ok(object) => {
            Seen::of(&id.kind, &object).map_err(|error| Verdict::Failed(Failure::new(error)))
        }
        Err(Error::NotFound(_)) => Err(Verdict::Gone),
        Err(error) => Err(Verdict::Failed(error.into())),
    }
}

/// What becomes of a workload where that does not depend on anything around it.
fn settled_at_sight(workload: &Workload, footing: &Footing) -> Option<Verdict> {
    let observed = Observed {
        workload: workload.clone(),
        running: BTreeMap::new(),
        account_pull_secrets: None,
        pull_credentials: PullCredentials::Own,
        named: false,
        namespace_opted_out: false,
    };
    let policy = footing.policy(std::iter::once(workload));
    let planned = plan_one(&observed, &policy).ok()?.0;
    match planned.decision {
        Decision::Repoint(_) | Decision::CopyOnly(_) => None,
        Decision::Skip(reason) => {
            tracing::debug!(workload = %workload.id, namespace = workload.id.namespace, reason, "left alone");
            Some(Verdict::Rest {
                kept: Vec::new(),
                with_our_secret: has_our_secret(workload, footing),
            })
        }
        Decision::Unchanged => {
            inspect(workload);
            for slot in &workload.slots {
                checking(workload, slot);
                tracing::info!(image = slot.image, "image already cloned");
            }
            Some(Verdict::Rest {
                kept: kept(&observed, &footing.settings.target),
                with_our_secret: has_our_secret(workload, footing),
            })
        }
    }
}

async fn surrounded(
    cluster: &Cluster,
    footing: &Footing,
    said: &Said,
    workloads: Vec<Workload>,
    reasons: &BTreeMap<WorkloadId, (Purpose, Option<Cloned>)>,
) -> Vec<(WorkloadId, Verdict)> {
    let ids: Vec<WorkloadId> = workloads.iter().map(|it| it.id.clone()).collect();
    let observation = cluster.surround_all(workloads, &footing.settings.target);
    let Observation {
        observed,
        mut keyrings,
        notes,
        missing,
        ..
    } = match observation.await {
        Ok(observation) => observation,
        Err(error) => {
            let failure = Failure::from(error);
            let failed = |id| (id, Verdict::Failed(failure.clone()));
            return ids.into_iter().map(failed).collect();
        }
    };
    for note in notes {
        said.once(&note);
    }
    for error in missing {
        tracing::debug!("{error}");
    }
    let mut verdicts = Vec::new();
    for one in observed {
        footing.known.observed(&footing.settings.target, &one);
        let id = one.workload.id.clone();
        let keyring = keyrings.remove(&id).unwrap_or_default();
        let (purpose, cloned) = reasons.get(&id).cloned().unwrap_or_default();
        let verdict = match purpose {
            Purpose::Clone => clone(footing, &one, keyring, cloned.as_ref()).await,
            Purpose::Repair => Ok(Verdict::Wants {
                copies: kept(&one, &footing.settings.target),
                keyring,
                then: Then::Leave(None),
            }),
            Purpose::Refresh => Ok(Verdict::Renew {
                copies: tags(&one, footing),
                keyring,
            }),
        };
        verdicts.push((id, verdict.unwrap_or_else(Verdict::Failed)));
    }
    verdicts
}

/// Plans one workload, and says so in the controller's words.
async fn clone(
    footing: &Footing,
    observed: &Observed,
    keyring: Keyring,
    cloned: Option<&Cloned>,
) -> Result<Verdict, Failure> {
    let workload = &observed.workload;
    let (mut planned, mut copies) = plan_one(observed, &footing.policy(std::iter::once(workload)))?;
    if let (Decision::Repoint(_), Some(copy), Mode::Clone) =
        (&planned.decision, copies.first(), footing.settings.mode)
    {
        footing.access(&copy.target).await?;
        (planned, copies) = plan_one(observed, &footing.policy(std::iter::once(workload)))?;
    }
    inspect(workload);
    for slot in &workload.slots {
        checking(workload, slot);
    }
    if footing.settings.mode == Mode::Observe {
        for copy in &copies {
            tracing::info!(
                image = copy.source.familiar(), target = %copy.target, "would clone (observing only)"
            );
        }
        copies.clear();
    }
    if copies.is_empty() {
        return Ok(Verdict::Rest {
            kept: kept(observed, &footing.settings.target),
            with_our_secret: has_our_secret(workload, footing),
        });
    }
    let then = then(footing, planned, cloned);
    Ok(Verdict::Wants {
        copies,
        keyring,
        then,
    })
}

/// What follows once the images are there.
fn then(footing: &Footing, mut planned: Planned, cloned: Option<&Cloned>) -> Then {
    let settings = &footing.settings;
    let workload = &planned.workload;
    let granted = match &mut planned.decision {
        Decision::CopyOnly(_) if settings.mode == Mode::Copy => return Then::Leave(None),
        Decision::CopyOnly(reason) | Decision::Skip(reason) => Err(reason.clone()),
        Decision::Unchanged => return Then::Leave(None),
        Decision::Repoint(repoint) => {
            // tools that write all annotations anew take the count with them
            let counted = cloned.map_or(0, |cloned| cloned.put_back(workload));
            let put_back = reclaims(workload).max(counted);
            grant(workload, repoint, settings.stateful, put_back)
        }
    };
    match granted {
        Ok(()) => Then::Repoint(Box::new(planned)),
        Err(reason) => Then::Leave(Some(format!("its images are copied, it is left: {reason}"))),
    }
}

/// The copies that a workload uses and that were made of tags: as the tags are now, whatever runs.
fn tags(observed: &Observed, footing: &Footing) -> Vec<Copy> {
    let copies = kept(observed, &footing.settings.target).into_iter();
    let copies = copies.filter(|copy| copy.source.digest().is_none());
    copies
        .map(|copy| Copy {
            running: BTreeSet::new(),
            users: copy
                .users
                .into_keys()
                .map(|user| (user, BTreeSet::new()))
                .collect(),
            ..copy
        })
        .collect()
}

/// A plan for one workload.
fn plan_one(observed: &Observed, policy: &Policy) -> Result<(Planned, Vec<Copy>), Failure> {
    let plan = plan::clone(std::slice::from_ref(observed), policy)
        .map_err(|error| Failure::new(error.to_string()))?;
    let planned = plan.workloads.into_iter().next();
    let planned = planned.ok_or_else(|| Failure::new("it was left out of its own plan"))?;
    Ok((planned, plan.copies))
}

/// The kind as the controller's log has it: `deployment`.
pub(super) fn word(kind: &Kind) -> String {
    kind.kind.to_lowercase()
}

fn inspect(workload: &Workload) {
    let id = &workload.id;
    tracing::info!(
        namespace = id.namespace,
        name = id.name,
        "inspecting {}",
        word(&id.kind)
    );
}

fn checking(workload: &Workload, slot: &crate::workload::Slot) {
    let id = &workload.id;
    tracing::info!(
        namespace = id.namespace,
        name = id.name,
        container = slot.key.name,
        image = slot.image,
        "checking {} container",
        word(&id.kind)
    );
}
