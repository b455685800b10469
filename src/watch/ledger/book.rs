//! The images that workloads wait for: each brought once, whoever waits, and again later where it failed.
//!
//! Decides which image is next, and when one that failed is tried again. Never brings one.

use crate::credentials::Keyring;
use crate::plan::Copy;
use crate::reference::Reference;
use crate::watch::copies::Copies;
use crate::workload::WorkloadId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// The first pause after a failure; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// How long to leave something alone that failed so often in a row.
pub(in crate::watch) fn pause(failures: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(10));
    doubled.min(LONGEST_PAUSE)
}

/// What is done about an image.
#[derive(Debug)]
pub(in crate::watch) enum Job {
    /// It is brought, for those who asked, with their credentials.
    Bring(Copy, BTreeMap<WorkloadId, Keyring>),
    /// It is in use: whether it is still all there.
    Check(Copy),
}

#[derive(Debug)]
struct Image {
    copy: Copy,
    keyrings: BTreeMap<WorkloadId, Keyring>,
    /// Whether it is only to be looked whether it is there.
    check: bool,
    state: State,
    failures: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Next,
    UnderWay,
    /// Somebody else asks for it since it got under way: once more.
    Again,
    Failed(Instant),
}

/// The images that are wanted and not there, or not known to be.
#[derive(Debug, Default)]
pub(super) struct Book {
    images: BTreeMap<Reference, Image>,
    next: VecDeque<Reference>,
    under_way: usize,
}

impl Book {
    /// A workload wants this copy; whether it is known complete and may be had by it. Where it is not, the
    /// image is brought.
    pub(super) fn want(&mut self, copies: &Copies, copy: &Copy, keyring: &Keyring) -> bool {
        if copies.answer(copy) {
            return true;
        }
        let mut copy = copy.clone();
        copy.running.extend(copies.made_for(&copy.target));
        self.renew(copy, keyring);
        false
    }

    /// A copy is brought as its source is now, whatever is known of it.
    pub(super) fn renew(&mut self, copy: Copy, keyring: &Keyring) {
        let users = copy.users.keys().filter(|_| !keyring.is_empty());
        let keyrings = users.map(|user| (user.clone(), keyring.clone())).collect();
        self.add(copy, keyrings, false);
    }

    /// A workload has this copy in use: it is looked whether it is there, unless that is known.
    pub(super) fn check(&mut self, copies: &Copies, copy: Copy) {
        if !copies.is_fresh(&copy.target) {
            self.add(copy, BTreeMap::new(), true);
        }
    }

    fn add(&mut self, copy: Copy, keyrings: BTreeMap<WorkloadId, Keyring>, check: bool) {
        let target = copy.target.clone();
        let Some(image) = self.images.get_mut(&target) else {
            let image = Image {
                copy,
                keyrings,
                check,
                state: State::Next,
                failures: 0,
            };
            self.images.insert(target.clone(), image);
            self.next.push_back(target);
            return;
        };
        let mut namespaces = image.copy.users.keys().map(|user| &user.namespace);
        let news = copy.users.keys().any(|user| {
            let mut before = namespaces.clone();
            !before.any(|namespace| *namespace == user.namespace)
        });
        let is_new = news || (image.check && !check) || namespaces.next().is_none();
        image.check &= check;
        image.copy.running.extend(copy.running);
        for (user, runs) in copy.users {
            image.copy.users.entry(user).or_default().extend(runs);
        }
        image.keyrings.extend(keyrings);
        match image.state {
            // what others could not read, this one may
            State::Failed(_) if is_new => {
                image.state = State::Next;
                self.next.push_back(target);
            }
            State::UnderWay => image.state = State::Again,
            State::Next | State::Again | State::Failed(_) => {}
        }
    }

    /// The next image that something is to be done about, where fewer than `most` are under way. Those that
    /// somebody waits for go before those that are only looked at.
    pub(super) fn start(&mut self, most: usize) -> Option<Job> {
        if self.under_way >= most {
            return None;
        }
        let is_brought = |target: &&Reference| {
            let image = self.images.get(target);
            image.is_some_and(|image| !image.check)
        };
        let at = self.next.iter().take(64).position(|it| is_brought(&it));
        let target = self.next.remove(at.unwrap_or(0))?;
        let image = self.images.get_mut(&target)?;
        image.state = State::UnderWay;
        self.under_way += 1;
        Some(if image.check {
            Job::Check(image.copy.clone())
        } else {
            Job::Bring(image.copy.clone(), image.keyrings.clone())
        })
    }

    /// An image is there, or is not to be thought of any more. Who waits for it: those it was got under way
    /// for, and those who came since and ask again.
    pub(super) fn done(&mut self, target: &Reference) -> Vec<WorkloadId> {
        self.under_way = self.under_way.saturating_sub(1);
        let image = self.images.remove(target);
        image.map_or_else(Vec::new, |image| image.copy.users.into_keys().collect())
    }

    /// An image could not be brought or looked at: it is tried again later. Who waits for it, and until when.
    pub(super) fn failed(
        &mut self,
        target: &Reference,
        now: Instant,
    ) -> (Vec<WorkloadId>, Instant) {
        self.under_way = self.under_way.saturating_sub(1);
        let Some(image) = self.images.get_mut(target) else {
            return (Vec::new(), now);
        };
        image.failures += 1;
        let until = now + pause(image.failures);
        if image.state == State::Again {
            image.state = State::Next;
            self.next.push_back(target.clone());
        } else {
            image.state = State::Failed(until);
        }
        (image.copy.users.keys().cloned().collect(), until)
    }

    /// A workload no longer wants what it wanted. What nobody wants is dropped, unless it is under way.
    pub(super) fn unwant(&mut self, user: &WorkloadId, targets: &BTreeSet<Reference>) {
        for target in targets {
            let Some(image) = self.images.get_mut(target) else {
                continue;
            };
            image.copy.users.remove(user);
            image.keyrings.remove(user);
            let is_idle = !matches!(image.state, State::UnderWay | State::Again);
            if image.copy.users.is_empty() && is_idle {
                self.images.remove(target);
                self.next.retain(|other| other != target);
            }
        }
    }

    /// Those that failed are tried again where their time has come, or at once.
    pub(super) fn retry(&mut self, now: Instant, at_once: bool) {
        for (target, image) in &mut self.images {
            if let State::Failed(until) = image.state
                && (at_once || until <= now)
            {
                image.state = State::Next;
                self.next.push_back(target.clone());
            }
        }
    }

    /// When the next one that failed is tried again.
    pub(super) fn wakes(&self) -> Option<Instant> {
        let failed = self.images.values().filter_map(|image| match image.state {
            State::Failed(until) => Some(until),
            _ => None,
        });
        failed.min()
    }

    pub(super) fn under_way(&self) -> usize {
        self.under_way
    }

    /// How many failed last time.
    pub(super) fn failing(&self) -> usize {
        let failing = self.images.values();
        failing.filter(|image| image.failures > 0).count()
    }
}
