//! What is known of every workload, and what is to be done next.
//!
//! Decides when a workload is looked at, when its images are brought, when it is repointed, put back or left.
//! Pure but for the time, which is given: it neither asks nor writes, so that all of it can be tested without
//! a cluster.
//!
//! A workload is *at rest* until something of it changes that a plan looks at; at rest, all that is kept of it
//! is a hash. One that changed is *due*: it is read with its surroundings and planned, together with all
//! others that are due. From there on it waits: for its images, for being settled, for a rollout's turn, for
//! its rollout. Of those that wait, few keep what was planned; the others are planned again when they go on.

mod again;
mod book;
mod endings;
mod figures;
mod gate;
mod lines;
mod login;
mod steps;
#[cfg(test)]
mod tests;
mod tries;
mod turns;
mod work;
mod writes;

pub(super) use book::Job;
pub(super) use endings::{Checked, Written};
pub(super) use work::{Cloned, Due, Purpose, Then, Verdict};

use super::copies::Copies;
use super::known::Known;
use super::seen::Seen;
use crate::cluster::{Pulls, Telling};
use crate::plan::Planned;
use crate::workload::{Workload, WorkloadId};
use book::Book;
use figures::{Census, Waiting};
use gate::Gate;
use login::Login;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tries::{Patience, Tries};
use turns::{AHEAD, Turns};
use work::{Asked, Entry, Stage, Work};

/// Images under way at once.
const IMAGES: usize = 16;
/// Pull secrets written at once.
const SECRETS: usize = 4;
/// Pods looked at at once.
const LOOKS: usize = 8;
/// Between two looks at the pods of a rollout, and before the first one.
const LOOK: Duration = Duration::from_secs(4);
/// The longest pause between two looks at the pods of a workload that is not settled.
const LONGEST_LOOK: Duration = Duration::from_secs(300);
/// What was planned so long ago is planned again before it is done.
const FRESH: Duration = Duration::from_secs(30);
/// A rollout that no controller gives up on is given up after so long, as Deployments are by default.
const DEADLINE: Duration = Duration::from_secs(600);

/// Why a workload is told of that was put back.
pub(super) const PUT_BACK: &str = "PutBack";

/// Something to be done, by whoever can.
#[derive(Debug)]
pub(super) enum Action {
    /// An image is brought or looked at.
    Image(Box<Job>),
    /// A workload is written as planned.
    Repoint(Box<Planned>),
    /// The pods of a workload are looked at: whether they get their images, after what was seen of that before.
    Look(Box<Workload>, Pulls),
    /// The pull secret of a namespace is brought up to date.
    PullSecret(String),
    /// The target is asked whether it takes our credentials.
    LogIn,
    /// A workload gets back what it had; what was done to it, where this process did it.
    PutBack(Box<Workload>, Option<Box<Planned>>),
}

/// Everything that is known.
#[derive(Debug)]
pub(super) struct Ledger {
    copies: Copies,
    workloads: HashMap<WorkloadId, Entry>,
    due: BTreeSet<WorkloadId>,
    /// When something is to be done about a workload that waits.
    wakes: BTreeSet<(Instant, WorkloadId)>,
    /// Those that may be repointed, in the order in which they came to it.
    queue: Turns<WorkloadId>,
    /// The same of those from which no rollout follows.
    idle: Turns<WorkloadId>,
    /// For the plans of those that wait for images.
    room: Arc<Semaphore>,
    to_look_at: BTreeSet<WorkloadId>,
    to_put_back: VecDeque<WorkloadId>,
    looking: usize,
    waiting: Waiting,
    book: Book,
    /// Namespaces that have our pull secret in use.
    secrets: Tries<String>,
    login: Login,
    gate: Gate,
    patience: Patience,
    /// Nothing is changed, but for what is put back: somebody paused it.
    pub(super) held: bool,
    /// Nothing at all is begun: the process ends.
    pub(super) ends: bool,
    /// Whether everything was listed once: before, unfinished rollouts may be unknown.
    pub(super) listed: bool,
    tellings: Vec<(WorkloadId, String, Telling)>,
}

impl Ledger {
    pub(super) fn new(known: Known, max_rollouts: Option<usize>) -> Self {
        Self {
            copies: Copies::new(known),
            workloads: HashMap::new(),
            due: BTreeSet::new(),
            wakes: BTreeSet::new(),
            queue: Turns::new(),
            idle: Turns::new(),
            room: Arc::new(Semaphore::new(AHEAD)),
            to_look_at: BTreeSet::new(),
            to_put_back: VecDeque::new(),
            looking: 0,
            waiting: Waiting::default(),
            book: Book::new(),
            secrets: Tries::new(),
            login: Login::default(),
            gate: Gate::new(max_rollouts),
            patience: Patience::default(),
            held: false,
            ends: false,
            listed: false,
            tellings: Vec::new(),
        }
    }

    /// A workload was seen, in the list or change of this mark.
    pub(super) fn seen(&mut self, seen: Seen, mark: u64, now: Instant) {
        let id = seen.workload.id.clone();
        let is_rolling_out = seen.is_rolling_out();
        let entry = self.workloads.entry(id.clone()).or_default();
        entry.mark = mark;
        if entry.work.as_ref().is_some_and(|work| work.is_after(&seen)) {
            return;
        }
        if entry.print == seen.print {
            if let Some(work) = &mut entry.work {
                work.take(seen);
                self.stands_otherwise(&id, now);
            }
            return;
        }
        let is_new = entry.print == 0;
        entry.print = seen.print;
        entry.uid.clone_from(&seen.uid);
        if let Some(work) = &mut entry.work {
            work.take(seen);
            return self.changed(&id, now);
        }
        // what it had in use it may have no more
        self.keep_renewal(&id);
        self.book.unwant(&id);
        self.begin(&id, Work::of(seen, Stage::Due, now));
        if is_new && is_rolling_out {
            self.follow(&id, now);
        } else {
            self.due.insert(id);
        }
    }

    /// A workload is gone.
    pub(super) fn gone(&mut self, id: &WorkloadId) {
        self.rest(id);
        self.workloads.remove(id);
        let namespace = &id.namespace;
        if !self.workloads.keys().any(|it| it.namespace == *namespace) {
            self.copies.forget_namespace(namespace);
            // one that is being written is asked about when it is to be written again
            if self.secrets.is_next(namespace) || self.secrets.has_failed(namespace) {
                self.secrets.forget(namespace);
            }
        }
    }

    /// A list is complete: what has the mark of an earlier one of the same place is gone.
    pub(super) fn complete(&mut self, is_stale: impl Fn(&WorkloadId, u64) -> bool) {
        let stale: Vec<WorkloadId> = self
            .workloads
            .iter()
            .filter(|(id, entry)| is_stale(id, entry.mark))
            .map(|(id, _)| id.clone())
            .collect();
        for id in stale {
            self.gone(&id);
        }
    }

    /// Those that are due, at most so many; they are being read from now on.
    pub(super) fn take_due(&mut self, most: usize) -> Vec<Due> {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some(id) = self.due.pop_first()
        {
            let Some(entry) = self.workloads.get_mut(&id) else {
                continue;
            };
            let cloned = entry.cloned.clone();
            let Some(work) = &mut entry.work else {
                continue;
            };
            work.stage = Stage::Reading { again: false };
            work.is_former = false;
            taken.push(Due {
                id,
                workload: work.workload.clone(),
                purpose: work.purpose,
                cloned,
            });
        }
        taken
    }

    pub(super) fn due(&self) -> usize {
        self.due.len()
    }

    /// A workload that was due was planned, and read again where nothing was kept of it.
    pub(super) fn planned(
        &mut self,
        id: &WorkloadId,
        read: Option<Seen>,
        verdict: Verdict,
        now: Instant,
    ) {
        let Some(work) = self.work(id) else {
            return;
        };
        if let Some(read) = read.filter(|read| !work.is_after(read)) {
            work.take(read);
        }
        let Stage::Reading { again } = work.stage else {
            return;
        };
        if again {
            return self.make_due(id);
        }
        match verdict {
            Verdict::Gone => self.gone(id),
            Verdict::Failed(failure) => self.fails(id, &failure, now),
            // the answer to our write was lost, or another than this loop wrote it
            Verdict::Rest { .. } if work.is_unfollowed() => self.follow(id, now),
            Verdict::Rest {
                kept,
                with_our_secret,
            } => self.rest_with(id, kept, with_our_secret, now),
            Verdict::Renew { copies, keyring } => {
                self.end(id);
                self.set_renews(id, false);
                for copy in copies {
                    self.book.renew(copy, &keyring);
                }
            }
            Verdict::Wants {
                copies,
                keyring,
                then,
            } => {
                work.stage = Stage::Copying(Some(Box::new(Asked {
                    copies,
                    keyring,
                    then,
                    planned: now,
                    room: None,
                })));
                self.advance(id, now);
            }
        }
    }

    /// What can be begun now.
    pub(super) fn actions(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.ends {
            return actions;
        }
        self.wake(now);
        if self.login.begins(now) {
            actions.push(Action::LogIn);
        }
        while self.looking < LOOKS
            && let Some(id) = self.to_look_at.pop_first()
        {
            if let Some(action) = self.look(&id) {
                self.looking += 1;
                actions.push(action);
            }
        }
        // what was broken is mended in a pause too
        while let Some(id) = self.to_put_back.pop_front() {
            actions.extend(self.put_back(&id));
        }
        if self.held {
            return actions;
        }
        while let Some(job) = self.book.start(IMAGES) {
            actions.push(Action::Image(Box::new(job)));
        }
        while let Some(namespace) = self.secrets.start(SECRETS) {
            if self.uses_our_secret(&namespace) {
                actions.push(Action::PullSecret(namespace));
            } else {
                // another namespace may have come by its name
                self.secrets.ended(&namespace);
                self.secrets.forget(&namespace);
            }
        }
        self.call();
        while let Some(id) = self.next_to_write() {
            actions.extend(self.write(&id, now));
        }
        actions
    }

    /// Whether anything in a namespace pulls with the pull secret that we keep up.
    fn uses_our_secret(&self, namespace: &str) -> bool {
        let mut all = self.workloads.iter();
        all.any(|(id, entry)| entry.with_our_secret && id.namespace == namespace)
    }

    /// When there may be something to do that nobody tells of.
    pub(super) fn wakes(&self) -> Option<Instant> {
        let first = self.wakes.first().map(|(at, _)| *at);
        let all = [
            first,
            self.book.wakes(),
            self.secrets.wakes(),
            self.login.wakes(),
            self.gate.halted(),
        ];
        all.into_iter().flatten().min()
    }

    /// What is to be told of workloads since this was asked last.
    pub(super) fn tellings(&mut self) -> Vec<(WorkloadId, String, Telling)> {
        std::mem::take(&mut self.tellings)
    }

    /// Why nothing is repointed now, if so.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.gate.why()
    }

    /// Whether nodes are known to pull copies, so that workloads are repointed as they come.
    pub(super) fn repoints(&self) -> bool {
        self.gate.is_shown()
    }

    /// How many workloads are known, wait, and for how long the first of them has.
    pub(super) fn census(&self, now: Instant) -> Census {
        Census {
            workloads: self.workloads.len(),
            waiting: self.waiting.many(),
            copying: self.book.under_way(),
            rollouts: self.gate.unfinished(),
            failing: self.book.failing(),
            lag: self.waiting.lag(now),
        }
    }
}
