//! What is looked at again though nothing of it was seen to change.
//!
//! Decides what of all that was learnt no longer counts then.

use super::Ledger;
use super::work::{Purpose, Stage, Work};
use crate::workload::WorkloadId;
use std::time::Instant;

impl Ledger {
    /// Everything is to be looked at again as it is listed, in the target too, and who waits is planned anew.
    /// What failed keeps its time, and a halt lasts.
    pub(in crate::watch) fn look_again(&mut self, now: Instant) {
        self.copies.age();
        self.login.ask(now);
        self.replan(Work::waits);
        for entry in self.workloads.values_mut() {
            if entry.work.is_none() {
                entry.print = 0;
            }
        }
    }

    /// Other settings hold: nothing counts that was learnt under the old ones, nor what is under way.
    pub(in crate::watch) fn anew(&mut self, max_rollouts: Option<usize>, now: Instant) {
        self.copies.forget();
        for id in self.workloads.keys().cloned().collect::<Vec<_>>() {
            self.keep_renewal(&id);
        }
        self.book.anew();
        self.secrets.anew();
        self.gate.anew(max_rollouts);
        for entry in self.workloads.values_mut() {
            entry.left = None;
            let Some(work) = &mut entry.work else {
                continue;
            };
            work.is_former = true;
            if let Stage::Reading { again } = &mut work.stage {
                *again = true;
            }
        }
        self.replan(|work| work.waits() || matches!(work.stage, Stage::Later));
        self.look_again(now);
    }

    /// Whether a namespace is worked in has changed: everything in it is planned anew.
    pub(in crate::watch) fn look_again_in(&mut self, namespace: &str, now: Instant) {
        let all = self.workloads.keys();
        let there = all.filter(|id| id.namespace == namespace);
        for id in there.cloned().collect::<Vec<_>>() {
            self.ask_again(&id, Purpose::Clone, now);
            self.changed(&id, now);
        }
    }

    fn replan(&mut self, concerned: impl Fn(&Work) -> bool) {
        let all = self.workloads.iter();
        let concerned = all.filter(|(_, entry)| entry.work.as_deref().is_some_and(&concerned));
        let concerned: Vec<WorkloadId> = concerned.map(|(id, _)| id.clone()).collect();
        for id in concerned {
            self.make_due(&id);
        }
    }

    /// Whether anything of this workload is to be looked at again for this, at rest as it is.
    pub(super) fn ask_again(&mut self, id: &WorkloadId, purpose: Purpose, now: Instant) {
        let entry = self.workloads.get(id);
        if entry.is_some_and(|entry| entry.work.is_none()) {
            self.begin(id, Work::unseen(purpose, now));
            self.due.insert(id.clone());
        }
    }

    /// The tags of all copies in use are looked at again: those of a workload that something is to be done
    /// about when it is at rest.
    pub(in crate::watch) fn renew_all(&mut self, now: Instant) {
        let copied = self.workloads.iter_mut().filter(|(_, entry)| entry.copied);
        let mut all = Vec::new();
        for (id, entry) in copied {
            entry.renews = true;
            all.push(id.clone());
        }
        for id in all {
            self.ask_again(&id, Purpose::Refresh, now);
        }
    }

    /// What is being renewed for one at rest is to be renewed after what comes in between.
    pub(super) fn keep_renewal(&mut self, id: &WorkloadId) {
        let entry = self.workloads.get(id);
        let rests = entry.is_some_and(|entry| entry.work.is_none());
        if rests && self.book.brings_for(id) {
            self.set_renews(id, true);
        }
    }

    pub(super) fn set_renews(&mut self, id: &WorkloadId, renews: bool) {
        if let Some(entry) = self.workloads.get_mut(id) {
            entry.renews = renews;
        }
    }
}
