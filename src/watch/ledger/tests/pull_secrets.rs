//! When a namespace gets its pull secret, and how often that is tried.

use super::*;

#[test]
fn a_pull_secret_that_could_not_be_written_is_written_later_and_never_while_work_is_held() {
    let mut play = Play::new(None);
    for name in ["a", "b"] {
        play.sees(name, "reg.corp/own:1", true);
    }
    play.ledger.held = true;
    for due in play.ledger.take_due(2) {
        let verdict = Verdict::Rest {
            kept: Vec::new(),
            with_our_secret: true,
        };
        play.ledger.planned(&due.id, None, verdict, play.now);
    }
    assert_eq!(play.begins(), [""; 0]);
    play.ledger.held = false;
    let write = "write the pull secret in shop";
    for _ in 0..3 {
        assert_eq!(play.begins(), [write]);
        play.ledger.secret_written("shop", false, play.now);
        assert_eq!(play.begins(), [""; 0]);
        play.passes(play.ledger.wakes().unwrap() - play.now);
    }
    assert_eq!(play.begins(), [write]);
    play.ledger.secret_written("shop", true, play.now);
    assert!(play.ledger.wakes().is_none());
}

#[test]
fn no_pull_secret_is_written_into_a_later_namespace_of_the_same_name() {
    let mut play = Play::new(None);
    let write = "write the pull secret in shop";
    // gone before the try ends, and after it
    for is_gone_first in [true, false].repeat(SECRETS) {
        play.comes_to_rest("a", true);
        assert_eq!(play.begins(), [write], "none is lost count of");
        if is_gone_first {
            play.ledger.gone(&id("a"));
        }
        play.ledger.secret_written("shop", false, play.now);
        if !is_gone_first {
            play.ledger.gone(&id("a"));
        }
        play.comes_to_rest("b", false);
        play.passes(Duration::from_secs(600));
        assert_eq!(play.begins(), [""; 0]);
        assert!(play.ledger.wakes().is_none());
        play.ledger.gone(&id("b"));
    }
}

#[test]
fn a_namespace_that_is_made_again_does_not_wait_for_what_failed_in_the_former_one() {
    let mut play = Play::new(None);
    play.comes_to_rest("a", true);
    play.begins();
    play.ledger.secret_written("shop", false, play.now);
    play.ledger.gone(&id("a"));
    play.comes_to_rest("a", true);
    assert_eq!(play.begins(), ["write the pull secret in shop"]);
}
