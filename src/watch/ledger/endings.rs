//! How what was begun has ended: images, writes, looks at pods, images that were put back.
//!
//! Decides what follows for the workloads that it concerns.

use super::work::{Cloned, Followed, Stage};
use super::{DEADLINE, LONGEST_LOOK, LOOK, Ledger, PUT_BACK, Purpose};
use crate::cluster::{NotReady, Pulling, Pulls, Standing};
use crate::execute::PutBack;
use crate::outcome::{Failure, ImageOutcome, ImageState};
use crate::plan::{Copy, Decision, Planned};
use crate::reference::Digest;
use crate::watch::Reader;
use crate::watch::seen::{Seen, stands};
use crate::workload::WorkloadId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How long a workload is left whose images nodes can pull from nowhere: where it is seen after that, it is tried
/// again.
const LEFT: Duration = Duration::from_secs(5 * 3600);

/// What a write came to.
#[derive(Debug)]
pub(in crate::watch) enum Written {
    /// It was written: as it is now.
    Done(Box<Seen>),
    /// Somebody else wrote in between.
    Conflict,
    /// It is not there any more.
    Gone,
    /// It could not be written.
    Failed(Failure),
}

/// What became of an image that is in use.
#[derive(Debug)]
pub(in crate::watch) enum Checked {
    /// All of it is there; whether a pod was seen to have it, where that was looked at.
    Sound(Digest, bool),
    /// Something is missing.
    Broken,
    /// That could not be told.
    Failed(Failure),
}

impl Ledger {
    /// An image was brought, or could not be; to whom it is denied, and who was let read its origin with no
    /// credentials of their own.
    pub(in crate::watch) fn brought(
        &mut self,
        copy: &Copy,
        outcome: &ImageOutcome,
        denied: &BTreeMap<WorkloadId, Failure>,
        openly: &BTreeSet<WorkloadId>,
        now: Instant,
    ) {
        if !self.book.ended(copy) {
            return;
        }
        let users = match (&outcome.state, &outcome.digest) {
            (ImageState::Failed(failure), _) => {
                return self.image_failed(copy, failure, now);
            }
            (_, Some(digest)) => {
                let is_there = |user: &&WorkloadId| self.workloads.contains_key(*user);
                let readers = copy.users.keys().filter(is_there);
                let readers = readers.filter(|user| !denied.contains_key(*user));
                let readers = readers.map(|user| {
                    if openly.contains(user) {
                        Reader::Anyone
                    } else {
                        Reader::Namespace(user.namespace.clone())
                    }
                });
                self.copies.complete(copy, digest, readers);
                self.book.done(copy)
            }
            (_, None) => self.book.done(copy),
        };
        let copied = matches!(outcome.state, ImageState::Copied { .. });
        for user in users {
            if let Some(failure) = denied.get(&user) {
                self.fails(&user, failure, now);
                continue;
            }
            if copied && copy.users.contains_key(&user) {
                let message = format!("{} is {}", copy.source.familiar(), copy.target);
                self.tell(&user, "ImageCloned", message, false);
            }
            self.advance(&user, now);
        }
    }

    /// It was looked whether an image that is in use is there.
    pub(in crate::watch) fn checked(&mut self, copy: &Copy, checked: &Checked, now: Instant) {
        if !self.book.ended(copy) {
            return;
        }
        match checked {
            Checked::Sound(digest, is_pulled) => {
                if *is_pulled {
                    self.gate.show();
                }
                let users = self.book.done(copy);
                // they were given it before
                let readers = copy.users.keys();
                let readers = readers.map(|user| Reader::Namespace(user.namespace.clone()));
                self.copies.complete(copy, digest, readers);
                for user in users {
                    self.advance(&user, now);
                }
            }
            Checked::Broken => {
                self.copies.lost(&copy.target);
                for user in self.book.done(copy) {
                    self.ask_again(&user, Purpose::Repair, now);
                    self.advance(&user, now);
                }
            }
            Checked::Failed(failure) => self.image_failed(copy, failure, now),
        }
    }

    fn image_failed(&mut self, copy: &Copy, failure: &Failure, now: Instant) {
        self.login.suspect(now);
        let failing = self.book.failed(copy, &failure.to_string(), now);
        for user in failing.users {
            // one at rest keeps in no mind what it was told
            if failing.is_news || self.work(&user).is_some() {
                self.tell_failure(&user, failure);
            }
        }
    }

    /// The pull secret of a namespace is as it is to be, or could not be written.
    pub(in crate::watch) fn secret_written(&mut self, namespace: &str, ok: bool, now: Instant) {
        let namespace = namespace.to_owned();
        if !self.secrets.ended(&namespace) {
            return;
        }
        if ok {
            self.secrets.forget(&namespace);
        } else {
            self.secrets.failed(&namespace, now);
        }
    }

    /// The target was asked whether it takes our credentials. Where it does again, what failed meanwhile is
    /// tried at once.
    pub(in crate::watch) fn logged_in(&mut self, takes_them: bool, now: Instant) {
        if self.login.answered(takes_them, now) {
            self.book.retry_all();
        }
    }

    /// A workload was written, or could not be.
    pub(in crate::watch) fn written(&mut self, id: &WorkloadId, written: Written, now: Instant) {
        self.gate.written();
        let Some(entry) = self.workloads.get_mut(id) else {
            return self.gate.over(id);
        };
        let Some(work) = entry.work.as_mut() else {
            return self.gate.over(id);
        };
        let stage = std::mem::replace(&mut work.stage, Stage::Due);
        let Stage::Writing { planned, is_idle } = stage else {
            work.stage = stage;
            return;
        };
        match written {
            Written::Done(seen) => {
                // a later state may have been seen already
                if !work.is_after(&seen) {
                    entry.print = seen.print;
                    work.take(*seen);
                }
                entry.cloned = Some(Cloned::again(entry.cloned.as_ref(), &planned.workload));
                let still_is = work.workload.as_ref().is_some_and(stands);
                let message = changes(&planned);
                work.followed = Followed::Once;
                work.stage = Stage::rolling(work.workload.as_ref(), Some(planned), now);
                self.tell(id, "Repointed", message, false);
                if !still_is {
                    self.gate.over(id);
                    self.make_due(id);
                } else if is_idle {
                    self.finished(id, now);
                } else {
                    self.wake_at(id, now + self.look_pause());
                    self.stands_otherwise(id, now);
                }
            }
            Written::Conflict => {
                self.gate.over(id);
                self.later(id, now + Duration::from_secs(1));
            }
            Written::Gone => self.gone(id),
            Written::Failed(failure) => {
                self.gate.over(id);
                self.fails(id, &failure, now);
            }
        }
    }

    /// The pods of a workload were looked at: how their pulls stand, and what is to be known of them at the
    /// next look.
    pub(in crate::watch) fn looked(
        &mut self,
        id: &WorkloadId,
        pulling: Pulling,
        after: Pulls,
        now: Instant,
    ) {
        self.looking = self.looking.saturating_sub(1);
        let pause = self.look_pause();
        let Some(work) = self.work(id) else {
            return;
        };
        let standing = work.standing;
        // a look that was begun for other images answers nothing that is asked now
        if !work.stage.asks_of(&after) {
            return;
        }
        match &mut work.stage {
            Stage::Unsettled { looks, pulls } => {
                *pulls = after;
                match pulling {
                    Pulling::Failed(_) => {
                        // nobody gets at the source: its copy is no risk
                        work.unpullable = work.images();
                        self.make_due(id);
                    }
                    // that the next try fails too shows for about ten seconds
                    Pulling::Retried => self.wake_at(id, now + LOOK.saturating_mul(2)),
                    Pulling::Well | Pulling::Done => {
                        *looks += 1;
                        let next = LOOK.saturating_mul(1 << (*looks).min(7));
                        self.wake_at(id, now + next.min(LONGEST_LOOK));
                    }
                }
            }
            Stage::Rolling {
                pulls,
                since,
                looking,
                ..
            } => {
                *pulls = after;
                let began = looking.take();
                let is_late = now.duration_since(*since) >= DEADLINE;
                if pulling == Pulling::Done && !work.is_former {
                    self.gate.prove();
                }
                match (pulling, standing) {
                    (Pulling::Failed(why), _) => self.refused(id, &why, now),
                    (Pulling::Done, Standing::Settled) => self.finished(id, now),
                    // its pods became ready while they were looked at
                    (_, Standing::Settled) if began != Some(standing) => self.wake_at(id, now),
                    // ready, but no pod had to pull for it
                    (_, Standing::Settled) => self.finished(id, now),
                    (Pulling::Retried, _) => self.wake_at(id, now + LOOK),
                    (_, Standing::Ailing) => self.finished(id, now),
                    _ if is_late => self.finished(id, now),
                    _ => self.wake_at(id, now + pause),
                }
            }
            _ => {}
        }
    }

    /// Nodes cannot pull the copy of a workload: nothing more is repointed, whatever comes of putting it back.
    /// Where they could not pull its source either, that is the image's fault or its own: others go on.
    fn refused(&mut self, id: &WorkloadId, why: &NotReady, now: Instant) {
        let Some(work) = self.work(id) else {
            return;
        };
        // what was set by other settings shows nothing of these
        let shows = !work.is_former && work.unpullable.is_none();
        if let Stage::Rolling { refused, .. } = &mut work.stage {
            *refused = Some(why.clone());
            self.to_put_back.push_back(id.clone());
        }
        if shows {
            self.gate.halt(id, refusal(id, why), now);
        }
    }

    /// A workload was given back what it had, or could not be: then it is tried again, unless it is not ours
    /// to change any more.
    pub(in crate::watch) fn put_back_done(
        &mut self,
        id: &WorkloadId,
        done: Result<PutBack, Failure>,
        now: Instant,
    ) {
        let Some(work) = self.work(id) else {
            return self.gate.over(id);
        };
        let is_former = work.is_former;
        let unpullable = work.unpullable.clone().filter(|_| !is_former);
        let Stage::PuttingBack { why, under_way, .. } = &mut work.stage else {
            return;
        };
        match done {
            Ok(PutBack::Done(_)) => {
                let message = match unpullable {
                    None => format!("it could not pull its copy: {}", why.why),
                    Some(_) => format!(
                        "it could pull neither its image nor its copy, and is left for {} hours, or until an \
                         image of it changes: {}",
                        LEFT.as_secs() / 3600,
                        why.why
                    ),
                };
                self.tell(id, PUT_BACK, message, true);
                if let Some(entry) = self.workloads.get_mut(id) {
                    entry.discount();
                    entry.left = unpullable.clone().map(|images| (images, now + LEFT));
                }
                if is_former {
                    // other settings hold since
                    self.gate.over(id);
                    return self.make_due(id);
                }
                if unpullable.is_some() {
                    return self.later(id, now + LOOK);
                }
                // others go first when it is tried again
                let until = self.gate.halted().unwrap_or(now);
                self.later(id, until + until.duration_since(now).max(LOOK));
            }
            Ok(PutBack::NotOurs(_)) => self.later(id, now + LOOK),
            Err(failure) => {
                *under_way = false;
                work.failures += 1;
                let failures = work.failures;
                let again = now + self.patience.pause(id, failures);
                self.tell_failure(id, &failure.context("putting it back"));
                self.wake_at(id, again);
            }
        }
    }
}

/// What was changed, in one line.
fn changes(planned: &Planned) -> String {
    let Decision::Repoint(repoint) = &planned.decision else {
        return String::new();
    };
    let slots = repoint.slots.iter();
    let slots = slots.map(|change| format!("{} is {} now", change.slot.name, change.to));
    slots.collect::<Vec<_>>().join(", ")
}

/// Why nothing is repointed.
fn refusal(id: &WorkloadId, why: &NotReady) -> String {
    let hint = why.hint.as_ref();
    let hint = hint.map_or_else(String::new, |hint| format!("; {hint}"));
    format!(
        "nothing is repointed: {id} in {} cannot pull its copy and is put back: {}{hint}",
        id.namespace, why.why
    )
}
