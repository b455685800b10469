//! Workloads that may be written, until that is begun.
//!
//! Decides which one is written next, and that none is by a plan of long ago.

use super::steps::work_of;
use super::work::Stage;
use super::{Action, FRESH, Ledger};
use crate::cluster::Standing;
use crate::plan::Planned;
use crate::workload::WorkloadId;
use std::time::Instant;

impl Ledger {
    /// It may be written when it is its turn.
    pub(super) fn enqueue(&mut self, id: &WorkloadId, planned: Box<Planned>, now: Instant) {
        let Some(work) = work_of(&mut self.workloads, id) else {
            return;
        };
        let (turns, others) = if work.standing == Standing::Idle {
            (&mut self.idle, &mut self.queue)
        } else {
            (&mut self.queue, &mut self.idle)
        };
        let is_kept = if others.forget(id) {
            turns.wait_first(id);
            true
        } else {
            turns.wait(id)
        };
        work.stage = Stage::Queued(is_kept.then_some((planned, now)));
        self.gate.over(id);
    }

    /// Those whose turn is near are planned again where no plan of them was kept.
    pub(super) fn call(&mut self) {
        let called = self.queue.call().into_iter();
        let called: Vec<WorkloadId> = called.chain(self.idle.call()).collect();
        for id in &called {
            self.make_due(id);
        }
    }

    /// The next workload that may be written. Those from which no rollout follows wait as long as another may
    /// show whether nodes pull.
    pub(super) fn next_to_write(&mut self) -> Option<WorkloadId> {
        if !self.listed {
            return None;
        }
        if self.gate.has_room(false)
            && let Some(id) = self.queue.first()
        {
            return Some(id.clone());
        }
        let may_show =
            !self.gate.is_proven() && (self.gate.unfinished() > 0 || !self.queue.is_empty());
        if self.gate.has_room(true) && !may_show {
            return self.idle.first().cloned();
        }
        None
    }

    /// Begins to write one whose turn it is. One that was planned long ago is planned again before, and keeps
    /// its turn; one that something else is rolled out in meanwhile loses it.
    pub(super) fn write(&mut self, id: &WorkloadId, now: Instant) -> Option<Action> {
        let Some(work) = work_of(&mut self.workloads, id) else {
            self.lose_turn(id);
            return None;
        };
        let is_idle = work.standing == Standing::Idle;
        let Stage::Queued(Some((planned, at))) = &work.stage else {
            self.lose_turn(id);
            return None;
        };
        if now.duration_since(*at) > FRESH {
            self.queue.call_again(id);
            self.idle.call_again(id);
            if !is_idle {
                self.gate.found(id);
            }
            self.make_due(id);
            return None;
        }
        if !work.is_ready() {
            let planned = planned.clone();
            self.unsettled(id, &planned, now);
            return None;
        }
        if !is_idle && !self.gate.has_room(false) {
            // scaled up since it was queued: a rollout follows now
            self.idle.forget(id);
            self.queue.wait_first(id);
            return None;
        }
        let planned = planned.clone();
        work.stage = Stage::Writing {
            planned: planned.clone(),
            is_idle,
        };
        self.lose_turn(id);
        self.gate.write(id, is_idle);
        Some(Action::Repoint(planned))
    }
}
