//! Who may lead, from what the Lease was seen to say and when.
//!
//! Pure: moments are given, nothing is read or sent. Decides what is to be written into the Lease and until
//! when leadership lasts.

use super::{RENEW_DEADLINE, record};
use crate::cluster::Moment;
use jiff::Timestamp;
use serde_json::Value;
use std::time::Duration;

/// What a Lease says of leadership. Two that are equal are the same renewal, whatever else of the Lease
/// changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    /// Who leads; empty when it was given up.
    pub(super) holder: String,
    /// When it was renewed, by the holder's clock: compared as a text, never with a clock.
    pub(super) renewed: String,
    /// How often it changed hands.
    pub(super) transitions: i64,
    /// For how long it must be seen unchanged before others may take it.
    pub(super) duration: Duration,
}

/// What one candidate knows.
#[derive(Debug)]
pub(super) struct Election {
    namespace: String,
    identity: String,
    /// The last claim of another, and when it was first read.
    rival: Option<(Claim, Moment)>,
    deadline: Option<Moment>,
}

impl Election {
    pub(super) fn new(namespace: String, identity: String) -> Self {
        Self {
            namespace,
            identity,
            rival: None,
            deadline: None,
        }
    }

    /// What is to be written into the Lease that had been read at this moment, or that is not there; nothing
    /// while it is another's. `now` is for people.
    pub(super) fn turn(
        &mut self,
        lease: Option<Value>,
        read: Moment,
        now: Timestamp,
    ) -> Option<Value> {
        let Some(lease) = lease else {
            // whoever held what was deleted may not know yet
            let first = || record::first(&self.namespace, &self.identity, now);
            return (!self.is_held(read)).then(first);
        };
        let claim = record::claim(&lease);
        if self.is_ours(&claim) {
            return Some(record::renewed(lease, now));
        }
        self.deadline = None;
        if claim.holder.is_empty() {
            self.rival = None;
        } else if self.rival.as_ref().is_none_or(|(known, _)| *known != claim) {
            self.rival = Some((claim, read));
        }
        (!self.is_held(read)).then(|| record::taken(lease, &self.identity, now))
    }

    /// Whether a rival's claim has not been seen unchanged for its whole duration.
    fn is_held(&self, at: Moment) -> bool {
        let rival = self.rival.as_ref();
        rival.is_some_and(|(claim, since)| since.until(at) < claim.duration)
    }

    /// Whether a claim is this candidate's own, be it by a write that was never answered.
    pub(super) fn is_ours(&self, claim: &Claim) -> bool {
        claim.holder == self.identity
    }

    /// A write that began at this moment succeeded.
    pub(super) fn wrote(&mut self, begun: Moment) {
        self.rival = None;
        self.deadline = Some(begun.plus(RENEW_DEADLINE));
    }

    /// Leadership is given up, before others are told.
    pub(super) fn resign(&mut self) {
        self.deadline = None;
    }

    /// The moment at which leadership ends unless it is renewed; none where another has it.
    pub(super) fn deadline(&self) -> Option<Moment> {
        self.deadline
    }
}

#[cfg(test)]
mod tests;
