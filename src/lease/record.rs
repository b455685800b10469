//! What a Lease says of leadership, and what is written into it.
//!
//! Pure. Decides which fields count, and keeps all others as they were read: annotations are written by
//! whoever pauses the agent.

use super::election::Claim;
use super::{LEASE_DURATION, MANAGED_BY, NAME, PAUSED};
use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};
use std::time::Duration;

/// What a Lease says. One without a usable duration, as others may write it, gets ours.
pub(super) fn claim(lease: &Value) -> Claim {
    let spec = &lease["spec"];
    let text = |field: &str| spec[field].as_str().unwrap_or_default().to_owned();
    let duration = spec["leaseDurationSeconds"].as_u64();
    Claim {
        holder: text("holderIdentity"),
        renewed: text("renewTime"),
        transitions: spec["leaseTransitions"].as_i64().unwrap_or_default(),
        duration: duration
            .filter(|seconds| *seconds > 0)
            .map_or(LEASE_DURATION, Duration::from_secs),
    }
}

pub(super) fn is_paused(lease: &Value) -> bool {
    lease["metadata"]["annotations"][PAUSED] == "true"
}

/// The Lease where there is none yet.
pub(super) fn first(namespace: &str, identity: &str, now: Timestamp) -> Value {
    let mut lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": NAME,
            "namespace": namespace,
            "labels": {MANAGED_BY.0: MANAGED_BY.1},
        },
        "spec": {"leaseTransitions": 0},
    });
    hold(&mut lease["spec"], identity, now);
    lease
}

/// The Lease, taken from whoever had it.
pub(super) fn taken(mut lease: Value, identity: &str, now: Timestamp) -> Value {
    let transitions = claim(&lease).transitions;
    let spec = &mut lease["spec"];
    spec["leaseTransitions"] = transitions.saturating_add(1).into();
    hold(spec, identity, now);
    lease
}

fn hold(spec: &mut Value, identity: &str, now: Timestamp) {
    spec["holderIdentity"] = identity.into();
    spec["leaseDurationSeconds"] = LEASE_DURATION.as_secs().into();
    spec["acquireTime"] = written(now).into();
    spec["renewTime"] = written(now).into();
}

/// The Lease, held for longer. Its time only grows: where the clock was put back, two renewals must not come
/// to look like one.
pub(super) fn renewed(mut lease: Value, now: Timestamp) -> Value {
    let spec = &mut lease["spec"];
    let last = spec["renewTime"].as_str();
    let last = last.and_then(|time| time.parse::<Timestamp>().ok());
    let next = last.and_then(|time| time.checked_add(1.microsecond()).ok());
    spec["renewTime"] = written(next.map_or(now, |next| next.max(now))).into();
    lease
}

/// The Lease, given up: whoever sees it may take it at once.
pub(super) fn released(lease: Value, now: Timestamp) -> Value {
    let mut lease = renewed(lease, now);
    lease["spec"]["holderIdentity"] = "".into();
    lease
}

/// A `MicroTime` as Kubernetes writes it.
fn written(time: Timestamp) -> String {
    let printer = jiff::fmt::temporal::DateTimePrinter::new().precision(Some(6));
    printer.timestamp_to_string(&time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    #[test]
    fn a_lease_is_written_as_others_read_it() {
        let lease = first("ns", "pod-a_1", at("2026-11-22T10:00:00Z"));
        assert_eq!(
            lease["spec"],
            json!({"holderIdentity": "pod-a_1", "leaseDurationSeconds": 15, "leaseTransitions": 0,
                   "acquireTime": "2026-11-22T10:00:00.000000Z",
                   "renewTime": "2026-11-22T10:00:00.000000Z"})
        );
        let lease = renewed(lease, at("2026-11-22T10:00:02.1234567Z"));
        let lease = taken(lease, "pod-b_2", at("2026-11-22T10:00:30Z"));
        assert_eq!(
            claim(&lease),
            Claim {
                holder: "pod-b_2".to_owned(),
                renewed: "2026-11-22T10:00:30.000000Z".to_owned(),
                transitions: 1,
                duration: Duration::from_secs(15),
            }
        );
        let lease = released(lease, at("2026-11-22T10:00:32Z"));
        assert_eq!(claim(&lease).holder, "");
        assert_eq!(claim(&lease).transitions, 1);
    }

    #[test]
    fn what_others_wrote_stays() {
        let lease = json!({
            "metadata": {"resourceVersion": "7", "annotations": {"image-cloner.io/paused": "true"}},
            "spec": {"holderIdentity": "a", "strategy": "OldestEmulationVersion"},
        });
        let now = at("2026-11-22T10:00:00Z");
        for written in [
            renewed(lease.clone(), now),
            taken(lease.clone(), "b", now),
            released(lease.clone(), now),
        ] {
            assert_eq!(written["metadata"], lease["metadata"]);
            assert_eq!(written["spec"]["strategy"], "OldestEmulationVersion");
            assert!(is_paused(&written));
        }
        assert!(!is_paused(&json!({"metadata": {}})));
        let resumed = json!({"metadata": {"annotations": {"image-cloner.io/paused": "false"}}});
        assert!(!is_paused(&resumed));
    }

    #[test]
    fn no_two_renewals_look_alike_whatever_the_clock_does() {
        let lease = first("ns", "a", at("2026-11-22T10:00:00Z"));
        let mut seen = vec![claim(&lease)];
        let mut lease = lease;
        for clock in ["10:00:00", "10:00:02", "09:00:00", "10:00:02", "10:00:02"] {
            lease = renewed(lease, at(&format!("2026-11-22T{clock}Z")));
            assert!(!seen.contains(&claim(&lease)), "{lease}");
            seen.push(claim(&lease));
        }
    }

    #[test]
    fn a_lease_that_says_nothing_usable_lasts_as_long_as_ours() {
        for spec in [
            json!({}),
            json!({"leaseDurationSeconds": 0}),
            json!({"leaseDurationSeconds": -3}),
        ] {
            let claim = claim(&json!({"spec": spec}));
            assert_eq!(claim.duration, LEASE_DURATION);
            assert_eq!(claim.holder, "");
        }
        let other = claim(&json!({"spec": {"leaseDurationSeconds": 60}}));
        assert_eq!(other.duration, Duration::from_secs(60));
    }
}
