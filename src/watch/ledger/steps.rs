//! One workload's way from being seen to being at rest again.
//!
//! Decides what follows when something of it changes, and when its turn has come.

use super::tries::Ask;
use super::work::{Asked, Entry, Followed, Purpose, Stage, Then, Work};
use super::{Action, DEADLINE, FRESH, LOOK, Ledger};
use crate::cluster::{Standing, Telling};
use crate::outcome::Failure;
use crate::plan::{Copy, Planned};
use crate::watch::seen::stands;
use crate::workload::WorkloadId;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is to be done about a workload; the rest of the ledger can be used beside it.
pub(super) fn work_of<'a>(
    workloads: &'a mut HashMap<WorkloadId, Entry>,
    id: &WorkloadId,
) -> Option<&'a mut Work> {
    workloads.get_mut(id)?.work.as_deref_mut()
}

impl Ledger {
    pub(super) fn work(&mut self, id: &WorkloadId) -> Option<&mut Work> {
        work_of(&mut self.workloads, id)
    }

    /// Something is to be done about one at rest.
    pub(super) fn begin(&mut self, id: &WorkloadId, work: Work) {
        if let Some(entry) = self.workloads.get_mut(id) {
            self.waiting.begins(work.since);
            if let Some(before) = entry.work.replace(Box::new(work)) {
                self.waiting.ends(before.since);
            }
        }
    }

    /// Something changed that plans look at.
    pub(super) fn changed(&mut self, id: &WorkloadId, now: Instant) {
        let Some(work) = self.work(id) else {
            return;
        };
        work.failures = 0;
        work.followed = Followed::Not;
        work.purpose = Purpose::Clone;
        match &mut work.stage {
            Stage::Reading { again } => {
                *again = true;
                work.unpullable = None;
            }
            // how the write ended says what became of it
            Stage::Writing { .. }
            | Stage::PuttingBack {
                under_way: true, ..
            } => {}
            // still as it was left, but for something else of it
            Stage::Rolling { .. } | Stage::PuttingBack { .. }
                if work.workload.as_ref().is_some_and(stands) =>
            {
                self.stands_otherwise(id, now);
            }
            Stage::Rolling { .. } | Stage::PuttingBack { .. } => {
                self.gate.over(id);
                self.make_due(id);
            }
            _ => {
                work.unpullable = None;
                self.make_due(id);
            }
        }
    }

    /// Its replicas are more or fewer than they were.
    pub(super) fn stands_otherwise(&mut self, id: &WorkloadId, now: Instant) {
        let Some(work) = self.work(id) else {
            return;
        };
        match (&work.stage, work.standing) {
            (Stage::Unsettled { .. }, Standing::Settled | Standing::Idle) => self.make_due(id),
            (Stage::Rolling { .. }, Standing::Settled) => {
                if !work.is_former && self.gate.wants_proof() {
                    self.wake_at(id, now);
                } else {
                    self.finished(id, now);
                }
            }
            (Stage::Rolling { .. }, Standing::Idle | Standing::Paused) => self.finished(id, now),
            // given up by its controller: whether that is for its image, its pods tell
            (Stage::Rolling { .. }, Standing::Ailing) => self.wake_at(id, now),
            _ => {}
        }
    }

    /// Copies are being rolled out in it, by whomever: it is seen to how they are pulled.
    pub(super) fn follow(&mut self, id: &WorkloadId, now: Instant) {
        let Some(work) = self.work(id) else {
            return;
        };
        work.followed = Followed::Once;
        work.stage = Stage::rolling(work.workload.as_ref(), None, now);
        self.lose_turn(id);
        self.gate.found(id);
        self.wake_at(id, now + LOOK);
    }

    /// A rollout is over: it is looked at once more, with others.
    pub(super) fn finished(&mut self, id: &WorkloadId, now: Instant) {
        self.gate.over(id);
        self.later(id, now + Duration::from_secs(1));
    }

    /// It is to be read and planned again. Where it was called for its turn, it keeps it.
    pub(super) fn make_due(&mut self, id: &WorkloadId) {
        self.book.unwant(id);
        self.queue.leave(id);
        self.idle.leave(id);
        if let Some(work) = self.work(id) {
            work.stage = Stage::Due;
            self.due.insert(id.clone());
        }
    }

    /// It waits for no turn to be written, nor holds one.
    pub(super) fn lose_turn(&mut self, id: &WorkloadId) {
        self.queue.forget(id);
        self.idle.forget(id);
        self.gate.over(id);
    }

    /// Nothing is to be done about it any more, whatever was, but to keep what it has in use.
    pub(super) fn rest_with(
        &mut self,
        id: &WorkloadId,
        kept: Vec<Copy>,
        with_our_secret: bool,
        now: Instant,
    ) {
        self.rest(id);
        let Some(entry) = self.workloads.get_mut(id) else {
            return;
        };
        entry.copied = !kept.is_empty();
        entry.with_our_secret = with_our_secret;
        let renews = entry.renews && entry.copied;
        for copy in kept {
            self.book.check(&self.copies, copy);
        }
        if with_our_secret {
            self.secrets
                .ask(&id.namespace, &id.namespace, Ask::default());
        }
        if renews {
            self.ask_again(id, Purpose::Refresh, now);
        }
    }

    /// Nothing is to be done about it any more, whatever was.
    pub(super) fn rest(&mut self, id: &WorkloadId) {
        self.book.unwant(id);
        self.end(id);
    }

    /// The same, of one that keeps what it wants.
    pub(super) fn end(&mut self, id: &WorkloadId) {
        self.lose_turn(id);
        self.due.remove(id);
        self.gate.rests(id);
        let entry = self.workloads.get_mut(id);
        if let Some(work) = entry.and_then(|entry| entry.work.take()) {
            self.waiting.ends(work.since);
        }
    }

    pub(super) fn later(&mut self, id: &WorkloadId, at: Instant) {
        self.book.unwant(id);
        self.lose_turn(id);
        if let Some(work) = self.work(id) {
            work.stage = Stage::Later;
            self.wake_at(id, at);
        }
    }

    /// Something is to be done about it then, and not before.
    pub(super) fn wake_at(&mut self, id: &WorkloadId, at: Instant) {
        let Some(work) = self.work(id) else {
            return;
        };
        if let Some(before) = work.wake.replace(at) {
            self.wakes.remove(&(before, id.clone()));
        }
        self.wakes.insert((at, id.clone()));
    }

    /// Something about it failed: told, and tried again later.
    pub(super) fn fails(&mut self, id: &WorkloadId, failure: &Failure, now: Instant) {
        self.tell_failure(id, failure);
        if let Some(work) = self.work(id) {
            work.failures += 1;
            let failures = work.failures;
            let at = now + self.patience.pause(id, failures);
            self.later(id, at);
        }
    }

    pub(super) fn tell_failure(&mut self, id: &WorkloadId, failure: &Failure) {
        let hints = failure.hints.iter().map(|hint| format!("; {hint}"));
        let message = format!("{failure}{}", hints.collect::<String>());
        self.tell(id, "CloneFailed", message, true);
    }

    pub(super) fn tell(
        &mut self,
        id: &WorkloadId,
        reason: &'static str,
        message: String,
        warning: bool,
    ) {
        let Some(entry) = self.workloads.get_mut(id) else {
            return;
        };
        if let Some(work) = &mut entry.work {
            if work.told.as_ref() == Some(&message) {
                return;
            }
            work.told = Some(message.clone());
        }
        let uid = entry.uid.clone();
        let telling = Telling {
            reason,
            message,
            warning,
        };
        self.tellings.push((id.clone(), uid, telling));
    }

    /// Goes on with a workload that waits for images, where all of them are there.
    pub(super) fn advance(&mut self, id: &WorkloadId, now: Instant) {
        let Some(work) = work_of(&mut self.workloads, id) else {
            return;
        };
        let Stage::Copying(asked) = &mut work.stage else {
            return;
        };
        let Some(mut asked) = asked.take() else {
            if !self.book.is_asked_by(id) {
                self.make_due(id);
            }
            return;
        };
        let mut there = true;
        for copy in &asked.copies {
            there &= self.book.want(&self.copies, copy, &asked.keyring);
        }
        if !there {
            if asked.room.is_none() {
                asked.room = Arc::clone(&self.room).try_acquire_owned().ok();
            }
            work.stage = Stage::Copying(asked.room.is_some().then_some(asked));
            // where its turn had come, others go on
            return self.lose_turn(id);
        }
        let Asked { then, planned, .. } = *asked;
        work.stage = Stage::Due;
        let is_ready = work.is_ready();
        match then {
            Then::Repoint(plan) if self.is_left(id, &plan, now) => self.rest(id),
            Then::Leave(reason) => {
                if let Some(entry) = self.workloads.get_mut(id) {
                    entry.copied = true;
                }
                if let Some(reason) = reason {
                    self.tell(id, "LeftAlone", reason, false);
                }
                self.rest(id);
            }
            Then::Repoint(plan) if !is_ready => self.unsettled(id, &plan, now),
            // what runs was not known yet when it was planned, or may be known better now
            Then::Repoint(_) if now.duration_since(planned) > FRESH => self.make_due(id),
            Then::Repoint(plan) => self.enqueue(id, plan, now),
        }
    }

    /// Whether it was put back lately to these very images, which it could not pull either, and still cannot.
    fn is_left(&self, id: &WorkloadId, planned: &Planned, now: Instant) -> bool {
        let entry = self.workloads.get(id);
        entry.is_some_and(|entry| {
            let work = entry.work.as_deref();
            let is_settled = work.is_some_and(|work| work.standing == Standing::Settled);
            let left = entry.left.as_ref();
            let is_so = |(images, until): &(String, Instant)| {
                now < *until && *images == planned.workload.images_hash()
            };
            !is_settled && left.is_some_and(is_so)
        })
    }

    /// It is not to be repointed before it is settled. It is looked at whether it can be at all.
    pub(super) fn unsettled(&mut self, id: &WorkloadId, planned: &Planned, now: Instant) {
        let Some(work) = self.work(id) else {
            return;
        };
        work.stage = Stage::unsettled(planned);
        let is_paused = work.standing == Standing::Paused;
        self.lose_turn(id);
        if !is_paused {
            self.wake_at(id, now + LOOK);
        }
    }

    /// Looks at the pods of one that waits for being settled, or for its rollout.
    pub(super) fn look(&mut self, id: &WorkloadId) -> Option<Action> {
        let work = self.work(id)?;
        let workload = work.workload.clone()?;
        let pulls = match &mut work.stage {
            Stage::Unsettled { pulls, .. } => pulls,
            Stage::Rolling { pulls, looking, .. } => {
                *looking = Some(work.standing);
                pulls
            }
            _ => return None,
        };
        Some(Action::Look(Box::new(workload), pulls.clone()))
    }

    /// Begins to give one back what it had, or begins that again.
    pub(super) fn put_back(&mut self, id: &WorkloadId) -> Option<Action> {
        let work = self.work(id)?;
        let workload = work.workload.clone()?;
        if let Stage::Rolling { done, refused, .. } = &mut work.stage {
            work.stage = Stage::PuttingBack {
                why: refused.take()?,
                done: done.take(),
                under_way: false,
            };
        }
        let Stage::PuttingBack {
            done, under_way, ..
        } = &mut work.stage
        else {
            return None;
        };
        if std::mem::replace(under_way, true) {
            return None;
        }
        Some(Action::PutBack(Box::new(workload), done.clone()))
    }

    /// Looks after those whose time has come.
    pub(super) fn wake(&mut self, now: Instant) {
        self.book.retry(now);
        self.secrets.retry(now);
        self.gate.resume(now);
        while self.wakes.first().is_some_and(|(at, _)| *at <= now)
            && let Some((at, id)) = self.wakes.pop_first()
        {
            let Some(work) = self.work(&id).filter(|work| work.wake == Some(at)) else {
                continue;
            };
            work.wake = None;
            match work.stage {
                Stage::Later => self.make_due(&id),
                // what the look that is under way shows comes first
                Stage::Rolling {
                    looking: Some(_), ..
                } => {}
                Stage::Unsettled { .. } | Stage::Rolling { .. } => {
                    self.to_look_at.insert(id);
                }
                Stage::PuttingBack { .. } => self.to_put_back.push_back(id),
                _ => {}
            }
        }
    }

    /// Between two looks at a rollout: a few looks a second, however many there are.
    pub(super) fn look_pause(&self) -> Duration {
        let many = Duration::from_millis(200)
            .saturating_mul(u32::try_from(self.gate.unfinished()).unwrap_or(u32::MAX));
        many.clamp(LOOK, DEADLINE)
    }
}
