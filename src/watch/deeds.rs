//! What the loop has done: images brought, workloads written and put back, events told.
//!
//! Decides nothing of when; each deed ends and says how. Of a write that got no answer, the workload itself tells.

#[cfg(test)]
mod tests;

use super::Metrics;
use super::footing::Footing;
use super::ledger::{Action, Checked, Job, Written};
use super::metrics::{Ended, Result as Outcome};
use super::round::word;
use super::seen::Seen;
use crate::cluster::{Cluster, Error, Pulling, Pulls};
use crate::config::Mode;
use crate::credentials::Keyring;
use crate::execute::{Arrival, Event, Observer, PutBack, put_back};
use crate::outcome::{Failure, ImageOutcome, ImageState};
use crate::patch;
use crate::plan::{self, Copy, Decision, Planned, Repoint, Undo};
use crate::registry::Prover;
use crate::workload::{Workload, WorkloadId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// For how long a controller may take to see that images were put back.
const SEEN: Duration = Duration::from_secs(60);

/// Of so many workloads that use a copy it is looked whether their pods have it.
const SHOWN_BY: usize = 3;

/// How a deed ended.
pub(super) enum Done {
    Brought(Box<Brought>),
    Checked(Box<Copy>, Checked),
    Written(WorkloadId, Written),
    Looked(WorkloadId, Pulling, Pulls),
    PutBack(WorkloadId, Result<PutBack, Failure>),
    PullSecret(String, Result<(), Failure>),
    LoggedIn(Result<(), Failure>),
}

/// What became of an image.
pub(super) struct Brought {
    pub(super) copy: Copy,
    pub(super) outcome: ImageOutcome,
    /// Its users who may not have it, and why.
    pub(super) denied: BTreeMap<WorkloadId, Failure>,
    /// Its users who were let read what it is a copy of with no credentials of their own.
    pub(super) openly: BTreeSet<WorkloadId>,
}

/// Where deeds are done, and by which footing.
#[derive(Clone)]
pub(super) struct Hands {
    pub(super) cluster: Cluster,
    pub(super) footing: Arc<Footing>,
    pub(super) metrics: Metrics,
    /// What was found of the target while all of it is looked at.
    pub(super) prover: Arc<Prover>,
}

impl Hands {
    pub(super) async fn carry_out(self, action: Action) -> Done {
        match action {
            Action::Image(job) => self.image(*job).await,
            Action::Repoint(planned) => {
                let id = planned.workload.id.clone();
                let written = self.repoint(&planned).await;
                let ok = matches!(written, Written::Done(_));
                self.metrics.repoints.get_or_create(&ended(ok)).inc();
                Done::Written(id, written)
            }
            Action::Look(workload, mut pulls) => {
                let pulling = self.cluster.pulling(&workload, &mut pulls).await;
                Done::Looked(workload.id, pulling, pulls)
            }
            Action::PullSecret(namespace) => {
                let kept = self.keep_up(&namespace).await;
                Done::PullSecret(namespace, kept)
            }
            Action::LogIn => Done::LoggedIn(self.footing.log_in().await),
            Action::PutBack(now, done) => {
                let result = self.put_back(&now.id, done.as_deref()).await;
                if matches!(result, Ok(PutBack::Done(_))) {
                    self.metrics.put_back.inc();
                }
                Done::PutBack(now.id, result)
            }
        }
    }

    async fn image(&self, job: Job) -> Done {
        let (Job::Bring(copy, _) | Job::Check(copy)) = &job;
        if let Err(failure) = self.footing.covers(&copy.target) {
            return Done::Checked(Box::new(copy.clone()), Checked::Failed(failure));
        }
        match job {
            Job::Bring(copy, keyrings) => self.bring(copy, keyrings).await,
            Job::Check(copy) => self.check(copy).await,
        }
    }

    async fn bring(&self, copy: Copy, keyrings: BTreeMap<WorkloadId, Keyring>) -> Done {
        let kind = copy.users.keys().next().map(|user| word(&user.kind));
        let kind = kind.unwrap_or_else(|| "workload".to_owned());
        let (from, to) = (copy.source.familiar(), copy.target.to_string());
        tracing::info!(from, to, "cloning {kind} image");
        let with_own: BTreeSet<WorkloadId> = keyrings.keys().cloned().collect();
        let images = self.footing.images.anew(keyrings);
        let observer = self.observer();
        let arrival = images.bring(&copy, &observer).await;
        let Arrival {
            outcome, denied, ..
        } = &*arrival;
        for note in &outcome.notes {
            tracing::info!(from, "{note}");
        }
        let ok = match &outcome.state {
            ImageState::Copied { bytes } => {
                tracing::info!(from, to, bytes, "{kind} image cloned");
                true
            }
            ImageState::Present => {
                tracing::info!(from, to, "image is in the target");
                true
            }
            ImageState::Failed(failure) => {
                tracing::error!(from, to, "{failure}");
                false
            }
        };
        for (user, failure) in denied {
            tracing::error!(workload = %user, namespace = user.namespace, "{failure}");
        }
        self.metrics.copies.get_or_create(&ended(ok)).inc();
        Done::Brought(Box::new(Brought {
            openly: openly(&copy, arrival.was_read, denied, &with_own),
            copy,
            outcome: outcome.clone(),
            denied: denied.clone(),
        }))
    }

    async fn check(&self, copy: Copy) -> Done {
        let observer = self.observer();
        let images = &self.footing.images;
        let found = images.intact(&copy.target, &self.prover, &observer).await;
        let checked = match found {
            Ok(Some(digest)) => Checked::Sound(digest, self.is_pulled(&copy).await),
            Ok(None) => {
                let target = copy.target.to_string();
                tracing::warn!(
                    target,
                    "a copy is not whole in the target: it is copied again"
                );
                Checked::Broken
            }
            Err(failure) => {
                tracing::error!(
                    target = copy.target.to_string(),
                    "looking at a copy: {failure}"
                );
                Checked::Failed(failure)
            }
        };
        Done::Checked(Box::new(copy), checked)
    }

    /// Whether a pod has this copy, which is in use: looked at for whoever asks, who may not look himself, until one
    /// has. How pods get at it is found out for him as well.
    async fn is_pulled(&self, copy: &Copy) -> bool {
        let footing = &self.footing;
        if !footing.known.is_asked() || footing.settings.mode != Mode::Clone {
            return false;
        }
        if let Err(failure) = footing.access(&copy.target).await {
            tracing::debug!(target = copy.target.to_string(), "{failure}");
        }
        if footing.shown.load(Ordering::Relaxed) {
            return false;
        }
        for user in copy.users.keys().take(SHOWN_BY) {
            let object = self.cluster.get(user).await.ok();
            let workload = object.and_then(|it| Workload::from_object(&user.kind, &it).ok());
            let Some(workload) = workload else { continue };
            let mut pulls = Pulls::of(workload.standing());
            if self.cluster.pulling(&workload, &mut pulls).await == Pulling::Done {
                footing.shown.store(true, Ordering::Relaxed);
                return true;
            }
        }
        false
    }

    async fn repoint(&self, planned: &Planned) -> Written {
        let workload = &planned.workload;
        let id = &workload.id;
        let Decision::Repoint(repoint) = &planned.decision else {
            return Written::Conflict;
        };
        let kind = word(&id.kind);
        if repoint.needs_pull_secret.is_some()
            && let Err(failure) = self.footing.ensure(&self.cluster, &id.namespace).await
        {
            return failed(id, failure.context("writing its pull secret"));
        }
        for change in &repoint.slots {
            tracing::info!(
                namespace = id.namespace,
                name = id.name,
                container = change.slot.name,
                From = change.from,
                To = change.to,
                "updating {kind} image"
            );
        }
        let written = write(&self.cluster, workload, repoint).await;
        if matches!(written, Written::Done(_)) {
            tracing::info!(
                namespace = id.namespace,
                name = id.name,
                "{kind} image reference updated"
            );
        }
        written
    }

    /// Sees to the pull secret of a namespace where copies are in use already. One that opted out is given nothing
    /// more.
    async fn keep_up(&self, namespace: &str) -> Result<(), Failure> {
        let opted_out = match self.footing.known.opted_out(namespace) {
            Some(opted_out) => opted_out,
            None => self.cluster.opted_out(namespace).await?,
        };
        if opted_out {
            return Ok(());
        }
        self.footing.ensure(&self.cluster, namespace).await
    }

    async fn put_back(&self, id: &WorkloadId, done: Option<&Planned>) -> Result<PutBack, Failure> {
        let (namespace, name) = (&id.namespace, &id.name);
        tracing::warn!(namespace, name, "putting {} back", word(&id.kind));
        let done = done.and_then(|planned| match &planned.decision {
            Decision::Repoint(repoint) => Some((&planned.workload, repoint)),
            _ => None,
        });
        // a process that ends carries on with what it began
        let stop = CancellationToken::new();
        let result = put_back(&self.cluster, id, done, SEEN, &stop).await;
        match &result {
            Ok(PutBack::Done(left)) => {
                for left in left {
                    tracing::warn!(namespace, name, "put back: {left}");
                }
            }
            Ok(PutBack::NotOurs(reason)) => {
                tracing::warn!(namespace, name, "not put back: {reason}");
            }
            Err(failure) => tracing::error!(namespace, name, "putting it back: {failure}"),
        }
        result
    }

    fn observer(&self) -> Arc<dyn Observer> {
        Arc::new(Counting(self.metrics.clone()))
    }
}

/// The users of a copy who were let read its origin with no credentials of their own. An earlier copy of it tells
/// nothing of that: it may be read as whoever made it.
fn openly(
    copy: &Copy,
    was_read: bool,
    denied: &BTreeMap<WorkloadId, Failure>,
    with_own: &BTreeSet<WorkloadId>,
) -> BTreeSet<WorkloadId> {
    if !was_read || copy.source != copy.origin {
        return BTreeSet::new();
    }
    let users = copy.users.keys();
    let users = users.filter(|user| !denied.contains_key(*user) && !with_own.contains(*user));
    users.cloned().collect()
}

/// Writes a workload as planned.
async fn write(cluster: &Cluster, workload: &Workload, repoint: &Repoint) -> Written {
    let id = &workload.id;
    let answer = cluster.patch(id, &patch::body(workload, repoint)).await;
    let seen = match answer {
        Ok(object) => Seen::of(&id.kind, &object).map_err(Failure::new),
        Err(Error::Conflict(_)) => {
            tracing::debug!(workload = %id, "changed by somebody else: planned again");
            return Written::Conflict;
        }
        Err(Error::NotFound(_)) => return Written::Gone,
        Err(error @ (Error::Forbidden(_) | Error::Invalid { .. })) => Err(error.into()),
        Err(error) => match written_unanswered(cluster, workload, repoint).await {
            Some(seen) => Ok(seen),
            None => Err(error.into()),
        },
    };
    match seen {
        Ok(seen) => Written::Done(Box::new(seen)),
        Err(failure) => failed(id, failure),
    }
}

/// A workload as it is now, where it is as it was to be written: the write took effect and its answer was lost.
async fn written_unanswered(
    cluster: &Cluster,
    before: &Workload,
    repoint: &Repoint,
) -> Option<Seen> {
    let id = &before.id;
    let object = cluster.get(id).await.ok()?;
    let seen = Seen::of(&id.kind, &object).ok()?;
    let undo = plan::undo(before, repoint, &seen.workload);
    matches!(undo, Undo::Due(_)).then_some(seen)
}

fn failed(id: &WorkloadId, failure: Failure) -> Written {
    tracing::error!(namespace = id.namespace, name = id.name, "{failure}");
    Written::Failed(failure)
}

fn ended(ok: bool) -> Ended {
    Ended {
        result: if ok { Outcome::Ok } else { Outcome::Failed },
    }
}

/// Counts what is carried.
struct Counting(Metrics);

impl Observer for Counting {
    fn notice(&self, event: &Event<'_>) {
        match event {
            Event::Carried(_, bytes) => {
                self.0.copied_bytes.inc_by(*bytes);
            }
            Event::Waiting(image, why, pause) => {
                tracing::info!(image = image.familiar(), ?pause, "waiting: {why}");
            }
            _ => {}
        }
    }
}
