//! What the loop has done: images brought, workloads written and put back, events told.
//!
//! Decides nothing of when; each deed ends and says how.

use super::Metrics;
use super::footing::Footing;
use super::ledger::{Action, Checked, Job, Written};
use super::metrics::{Ended, Result as Outcome};
use super::round::word;
use super::seen::Seen;
use crate::cluster::{Cluster, Error, Pulling, Pulls};
use crate::credentials::Keyring;
use crate::execute::{Event, Observer, take_back};
use crate::outcome::{Failure, ImageOutcome, ImageState};
use crate::patch;
use crate::plan::{self, Copy, Decision, Planned};
use crate::registry::Prover;
use crate::workload::{RESTORED, Workload, WorkloadId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Writers of one object can collide; after so many collisions in a row something else is wrong.
const TRIES: usize = 5;

/// How a deed ended.
pub(super) enum Done {
    Brought(Box<Brought>),
    Checked(Copy, Checked),
    Written(WorkloadId, Written),
    Looked(WorkloadId, Pulling, Pulls),
    PutBack(WorkloadId, Result<(), Failure>),
    PullSecret(String, Result<(), Failure>),
    LoggedIn(Result<(), Failure>),
}

/// What became of an image.
pub(super) struct Brought {
    pub(super) copy: Copy,
    pub(super) outcome: ImageOutcome,
    /// Its users who may not have it, and why.
    pub(super) denied: BTreeMap<WorkloadId, Failure>,
    /// Its users who brought credentials of their own.
    pub(super) with_own: BTreeSet<WorkloadId>,
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
            Action::Image(job) => match *job {
                Job::Bring(copy, keyrings) => self.bring(copy, keyrings).await,
                Job::Check(copy) => self.check(copy).await,
            },
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
                let kept = self.footing.ensure(&self.cluster, &namespace).await;
                Done::PullSecret(namespace, kept)
            }
            Action::LogIn => Done::LoggedIn(self.footing.log_in().await),
            Action::PutBack(now, done) => {
                let result = self.put_back(&now, done).await;
                if result.is_ok() {
                    self.metrics.put_back.inc();
                }
                Done::PutBack(now.id, result)
            }
        }
    }

    async fn bring(&self, copy: Copy, keyrings: BTreeMap<WorkloadId, Keyring>) -> Done {
        let kind = copy.users.keys().next().map(|user| word(&user.kind));
        let kind = kind.unwrap_or_else(|| "workload".to_owned());
        let (from, to) = (copy.source.familiar(), copy.target.to_string());
        tracing::info!(from, to, "cloning {kind} image");
        let with_own = keyrings.keys().cloned().collect();
        let images = self.footing.images.anew(keyrings);
        let observer = self.observer();
        let (outcome, denied) = images.bring(&copy, &observer).await;
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
        for (user, failure) in &denied {
            tracing::error!(workload = %user, namespace = user.namespace, "{failure}");
        }
        self.metrics.copies.get_or_create(&ended(ok)).inc();
        Done::Brought(Box::new(Brought {
            copy,
            outcome,
            denied,
            with_own,
        }))
    }

    async fn check(&self, copy: Copy) -> Done {
        let observer = self.observer();
        let images = &self.footing.images;
        let found = images.intact(&copy.target, &self.prover, &observer).await;
        let checked = match found {
            Ok(Some(digest)) => Checked::Sound(digest),
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
        Done::Checked(copy, checked)
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
        let body = patch::body(workload, repoint);
        match self.cluster.patch(id, &body).await {
            Ok(object) => match Seen::of(&id.kind, &object) {
                Ok(seen) => {
                    tracing::info!(
                        namespace = id.namespace,
                        name = id.name,
                        "{kind} image reference updated"
                    );
                    Written::Done(Box::new(seen))
                }
                Err(error) => failed(id, Failure::new(error)),
            },
            Err(Error::Conflict(_)) => {
                tracing::debug!(workload = %id, "changed by somebody else: planned again");
                Written::Conflict
            }
            Err(Error::NotFound(_)) => Written::Gone,
            Err(error) => failed(id, error.into()),
        }
    }

    async fn put_back(&self, now: &Workload, done: Option<Box<Planned>>) -> Result<(), Failure> {
        let id = &now.id;
        tracing::warn!(
            namespace = id.namespace,
            name = id.name,
            "putting {} back",
            word(&id.kind)
        );
        let put_back = match done.map(|planned| *planned) {
            Some(Planned {
                workload,
                decision: Decision::Repoint(repoint),
                ..
            }) => take_back(&self.cluster, &workload, &repoint).await,
            // begun by another process: its record tells what there was
            _ => self.restore(id).await,
        };
        if let Err(failure) = &put_back {
            tracing::error!(
                namespace = id.namespace,
                name = id.name,
                "putting it back: {failure}"
            );
        }
        put_back
    }

    async fn restore(&self, id: &WorkloadId) -> Result<(), Failure> {
        for _ in 0..TRIES {
            let object = self.cluster.get(id).await?;
            let now = Workload::from_object(&id.kind, &object).map_err(Failure::new)?;
            let plan = plan::restore(std::slice::from_ref(&now), None);
            let decision = plan.workloads.into_iter().next().map(|it| it.decision);
            let Some(Decision::Repoint(mut repoint)) = decision else {
                return Err(Failure::new("its record gives nothing back"));
            };
            // nobody asked for it to be left alone
            repoint.annotations.remove(RESTORED);
            match self.cluster.patch(id, &patch::body(&now, &repoint)).await {
                Err(Error::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => return Ok(()),
            }
        }
        let message = format!("it changed {TRIES} times while it was being written");
        Err(Failure::new(message))
    }

    fn observer(&self) -> Arc<dyn Observer> {
        Arc::new(Counting(self.metrics.clone()))
    }
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
