//! One candidate's turns.

mod elections;

use super::*;
use serde_json::json;

const NOON: &str = "2026-11-22T12:00:00Z";

fn noon() -> Timestamp {
    NOON.parse().unwrap()
}

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

fn candidate(name: &str) -> Election {
    Election::new("ns".to_owned(), name.to_owned())
}

/// What another candidate would have written, at its own time.
fn held_by(name: &str, renewed: &str) -> Value {
    record::first("ns", name, renewed.parse().unwrap())
}

#[test]
fn the_first_takes_the_lease_that_is_not_there() {
    let start = Moment::now();
    let mut election = candidate("a");
    let lease = election.turn(None, start, noon()).unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "a");
    assert_eq!(election.deadline(), None, "nothing is written yet");
    election.wrote(start);
    assert_eq!(election.deadline(), Some(start.plus(seconds(10))));
}

#[test]
fn leadership_counts_from_the_beginning_of_the_write_not_from_its_answer() {
    let start = Moment::now();
    let mut election = candidate("a");
    election.turn(None, start, noon());
    election.wrote(start);
    election.wrote(start.plus(seconds(2)));
    assert_eq!(election.deadline(), Some(start.plus(seconds(12))));
}

#[test]
fn anothers_lease_is_taken_only_after_its_duration_was_watched_here() {
    let start = Moment::now();
    // by its own writing it expired a year ago, or will in a year
    for renewed in ["2025-11-22T12:00:00Z", "2027-11-22T12:00:00Z"] {
        let lease = held_by("b", renewed);
        let mut election = candidate("a");
        for second in 0..15 {
            let turn = election.turn(Some(lease.clone()), start.plus(seconds(second)), noon());
            assert_eq!(turn, None, "after {second} s");
        }
        let taken = election.turn(Some(lease), start.plus(seconds(15)), noon());
        let taken = record::claim(&taken.unwrap());
        assert_eq!((taken.holder.as_str(), taken.transitions), ("a", 1));
    }
}

#[test]
fn a_renewal_starts_the_wait_again_and_an_annotation_does_not() {
    let start = Moment::now();
    let mut election = candidate("a");
    let mut lease = held_by("b", NOON);
    assert_eq!(election.turn(Some(lease.clone()), start, noon()), None);

    let lease_renewed = record::renewed(lease.clone(), noon());
    let later = start.plus(seconds(14));
    assert_eq!(election.turn(Some(lease_renewed), later, noon()), None);
    let later = start.plus(seconds(28));
    assert_eq!(election.turn(Some(lease.clone()), later, noon()), None);

    lease["metadata"]["annotations"] = json!({"image-cloner.io/paused": "true"});
    lease["metadata"]["resourceVersion"] = "99".into();
    let later = start.plus(seconds(28 + 15));
    let taken = election.turn(Some(lease), later, noon()).unwrap();
    assert_eq!(
        taken["metadata"]["annotations"]["image-cloner.io/paused"],
        "true"
    );
}

#[test]
fn a_lease_given_up_is_taken_at_once() {
    let start = Moment::now();
    let mut election = candidate("a");
    let lease = held_by("b", NOON);
    assert_eq!(election.turn(Some(lease.clone()), start, noon()), None);
    let released = record::released(lease, noon());
    assert!(election.turn(Some(released), start, noon()).is_some());
}

#[test]
fn the_lease_that_another_held_is_not_free_because_it_was_deleted() {
    let start = Moment::now();
    let mut election = candidate("a");
    election.turn(Some(held_by("b", NOON)), start, noon());
    let later = start.plus(seconds(14));
    assert_eq!(election.turn(None, later, noon()), None);
    let later = start.plus(seconds(15));
    assert!(election.turn(None, later, noon()).is_some());
}

#[test]
fn a_leader_that_sees_another_in_its_lease_leads_no_more() {
    let start = Moment::now();
    let mut election = candidate("a");
    election.turn(None, start, noon());
    election.wrote(start);
    assert_eq!(election.turn(Some(held_by("b", NOON)), start, noon()), None);
    assert_eq!(election.deadline(), None);
}

#[test]
fn a_write_that_was_never_answered_is_known_for_ones_own() {
    let start = Moment::now();
    let mut election = candidate("a");
    let written = election.turn(None, start, noon()).unwrap();
    let again = election.turn(Some(written.clone()), start.plus(seconds(5)), noon());
    let again = again.unwrap();
    assert_ne!(
        record::claim(&again).renewed,
        record::claim(&written).renewed
    );
    assert_eq!(record::claim(&again).transitions, 0);
}
