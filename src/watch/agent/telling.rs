//! What is told of workloads: in the log at once, in Events a few at a time and in their order.
//!
//! Decides which of it becomes an Event.

use super::{Ended, Working};
use crate::cluster::Telling;
use crate::watch::ledger::PUT_BACK;
use crate::workload::WorkloadId;
use std::sync::Arc;

/// Events written at once.
pub(super) const TELLERS: usize = 16;

/// Of whom, which object of that name, and what.
pub(super) type Told = (WorkloadId, String, Telling);

impl Working<'_> {
    /// Tells of workloads what there is to tell.
    pub(super) fn tell(&mut self) {
        let is_paused = *self.agent.paused.borrow();
        self.untold.extend(said(self.ledger.tellings(), is_paused));
        while !self.untold.is_empty()
            && let Ok(teller) = Arc::clone(&self.tellers).try_acquire_owned()
            && let Some((id, uid, telling)) = self.untold.pop_front()
        {
            let cluster = self.agent.cluster.clone();
            self.tasks.spawn(async move {
                if let Err(error) = cluster.tell(&id, &uid, &telling).await {
                    tracing::debug!("telling of {id}: {error}");
                }
                drop(teller);
                Ended::Aside
            });
        }
    }
}

/// Logs these, and gives those that become Events too: in a pause only what was put back, which alone is
/// written then. The others would come out in one burst after it.
fn said(mut tellings: Vec<Told>, is_paused: bool) -> Vec<Told> {
    for (id, _, telling) in &tellings {
        if telling.warning {
            tracing::warn!(
                workload = %id, namespace = id.namespace, reason = telling.reason, "{}", telling.message
            );
        } else {
            tracing::debug!(workload = %id, reason = telling.reason, "{}", telling.message);
        }
    }
    tellings.retain(|(_, _, telling)| !is_paused || telling.reason == PUT_BACK);
    tellings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Kind;

    #[test]
    fn in_a_pause_only_what_was_put_back_becomes_an_event() {
        let id = WorkloadId {
            kind: Kind::from_word("deploy").unwrap(),
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
        };
        let telling = |reason| {
            let telling = Telling {
                reason,
                message: String::new(),
                warning: true,
            };
            (id.clone(), String::new(), telling)
        };
        let reasons = |is_paused| {
            let said = said(vec![telling("CloneFailed"), telling(PUT_BACK)], is_paused);
            let said = said.into_iter().map(|(_, _, telling)| telling.reason);
            said.collect::<Vec<_>>()
        };
        assert_eq!(reasons(false), ["CloneFailed", PUT_BACK]);
        assert_eq!(reasons(true), [PUT_BACK]);
    }
}
