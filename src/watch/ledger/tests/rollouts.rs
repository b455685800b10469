//! When a workload is repointed, and how many at once.

use super::*;

#[test]
fn one_rollout_shows_whether_nodes_pull_before_there_are_more() {
    let mut play = with_copies(Some(2), &["a", "b", "c", "d"]);
    assert_eq!(play.begins(), ["repoint a"]);
    play.written("a");
    assert_eq!(play.begins(), [""; 0]);
    play.settles("a", Pulling::Done);
    assert_eq!(play.begins(), ["repoint b", "repoint c"]);
    play.written("b");
    play.written("c");
    assert_eq!(play.begins(), [""; 0]);
    play.sees("b", COPY, true);
    assert_eq!(play.begins(), ["repoint d"]);
}

#[test]
fn a_rollout_for_which_nobody_pulled_proves_nothing() {
    let mut play = with_copies(None, &["a", "b", "c"]);
    assert_eq!(
        play.begins(),
        ["repoint a"],
        "one is tried first, however many may be unfinished"
    );
    play.written("a");
    // no node has a pod of it
    play.settles("a", Pulling::Well);
    assert!(!play.ledger.repoints());
    assert_eq!(play.begins(), ["repoint b"]);
    play.written("b");
    play.settles("b", Pulling::Done);
    assert!(play.ledger.repoints());
    assert_eq!(play.begins(), ["repoint c"]);
}

#[test]
fn what_a_look_showed_that_began_before_the_pods_were_ready_is_not_the_last_word() {
    let mut play = with_copies(Some(1), &["a", "b"]);
    play.begins();
    play.written("a");
    play.passes(LOOK);
    assert_eq!(play.begins(), ["look a"]);
    play.sees("a", COPY, true);
    assert_eq!(play.begins(), [""; 0], "one look at a time");
    play.looked("a", Pulling::Well);
    assert_eq!(play.begins(), ["look a"]);
    play.looked("a", Pulling::Done);
    assert!(play.ledger.repoints());
}

#[test]
fn a_pod_that_has_a_copy_shows_that_nodes_pull_but_not_that_they_still_do() {
    let mut play = Play::new(None);
    play.rests_on_its_copy("a");
    assert_eq!(play.begins(), [format!("check {COPY}")]);
    assert!(!play.ledger.repoints());
    let sound = Checked::Sound(digest(), true);
    play.ledger.checked(&copy("a"), &sound, play.now);
    assert!(play.ledger.repoints());
    let target = Reference::parse(COPY).unwrap();
    assert!(play.known.copy_for("shop", &target).is_some());

    play.sees("b", IMAGE, true);
    play.sees("c", IMAGE, true);
    play.round();
    assert_eq!(play.begins(), ["repoint b"], "one is tried all the same");
    play.written("b");
    play.passes(LOOK);
    play.begins();
    play.looked("b", cannot_pull());
    assert!(!play.ledger.repoints());
}

#[test]
fn one_that_is_not_settled_waits_unless_nobody_gets_at_its_source() {
    let mut play = Play::new(None);
    play.sees("a", IMAGE, false);
    play.sees("b", IMAGE, false);
    play.round();
    play.begins();
    play.brought(&["a", "b"], ImageState::Present);
    assert_eq!(play.begins(), [""; 0]);
    play.passes(LOOK);
    assert_eq!(play.begins(), ["look a", "look b"]);
    play.looked("a", Pulling::Well);
    play.looked("b", Pulling::Retried);
    assert_eq!(play.begins(), [""; 0], "once is a hiccup");
    play.passes(2 * LOOK);
    assert_eq!(play.begins(), ["look a", "look b"]);
    play.looked("b", cannot_pull());
    play.ledger.gate.prove();
    assert_eq!(play.round(), ["b"]);
    assert_eq!(play.begins(), ["repoint b"]);
    play.sees("a", IMAGE, true);
    assert_eq!(play.round(), ["a"]);
    assert_eq!(play.begins(), ["repoint a"]);
}

#[test]
fn a_rollout_that_another_process_began_counts_before_more_are_begun() {
    let mut play = Play::new(Some(1));
    play.ledger.listed = false;
    play.sees("a", IMAGE, true);
    play.sees("b", COPY, false);
    assert_eq!(play.round(), ["a"]);
    play.begins();
    play.brought(&["a"], ImageState::Present);
    assert_eq!(play.begins(), [""; 0], "not all are listed yet");
    play.ledger.listed = true;
    assert_eq!(play.begins(), [""; 0], "b is being rolled out");
    play.settles("b", Pulling::Done);
    assert_eq!(play.begins(), ["repoint a"]);
}

#[test]
fn one_whose_turn_has_come_holds_no_slot_while_it_waits_for_an_image() {
    let mut play = with_copies(Some(1), &["a", "b"]);
    assert_eq!(play.begins(), ["repoint a"]);
    play.written("a");
    play.ledger.copies.lost(&copy("b").target);
    play.passes(Duration::from_secs(60));
    play.settles("a", Pulling::Done);
    assert_eq!(play.begins(), [""; 0]);
    assert_eq!(play.round(), ["b"], "what was planned long ago");
    assert_eq!(play.begins(), [format!("bring {COPY}")]);
    assert_eq!(play.ledger.census(play.now).rollouts, 0);
}

#[test]
fn a_rollout_that_nobody_here_is_known_to_have_begun_is_followed_and_put_back() {
    // its write took effect, though the answer was lost
    let mut lost = with_copies(None, &["a", "b"]);
    assert_eq!(lost.begins(), ["repoint a"]);
    let failed = Written::Failed(Failure::new("no answer"));
    lost.ledger.written(&id("a"), failed, lost.now);
    // at rest, and repointed by the webhook when it was changed
    let mut changed = with_copies(None, &["b"]);
    changed.sees("a", "reg.corp/own:1", true);
    assert_eq!(changed.round(), ["a"]);
    for mut play in [lost, changed] {
        play.sees("a", COPY, false);
        assert_eq!(play.round(), ["a"]);
        assert_eq!(play.begins(), [""; 0], "nothing is proven yet");
        play.passes(LOOK);
        assert_eq!(play.begins(), ["look a"]);
        play.looked("a", cannot_pull());
        assert_eq!(play.begins(), ["put back a"]);
        assert!(play.ledger.trouble().is_some());
    }
}

#[test]
fn a_rollout_that_never_ends_is_followed_once() {
    let mut play = Play::new(None);
    play.sees("a", COPY, false);
    play.passes(DEADLINE);
    assert_eq!(play.begins(), ["look a"]);
    play.looked("a", Pulling::Well);
    play.passes(LOOK);
    play.begins();
    assert_eq!(play.round(), ["a"]);
    assert_eq!(play.ledger.census(play.now).waiting, 0);
    assert!(play.ledger.wakes().is_none());
}

#[test]
fn what_a_look_showed_of_former_images_is_no_answer() {
    let mut play = with_copies(None, &["a"]);
    play.begins();
    play.written("a");
    play.passes(LOOK);
    assert_eq!(play.begins(), ["look a"]);
    // it is changed back while its pods are looked at
    play.sees("a", IMAGE, false);
    assert_eq!(play.round(), ["a"]);
    play.looked_for(COPY, "a", cannot_pull());
    assert_eq!(play.ledger.due(), 0, "its source was not seen to fail");
    play.passes(LOOK);
    assert_eq!(play.begins(), ["look a"]);
    play.looked("a", cannot_pull());
    assert_eq!(play.round(), ["a"]);
}

#[test]
fn one_that_is_not_settled_when_its_turn_comes_waits_until_it_is() {
    for standing in [Standing::Rolling, Standing::Ailing, Standing::Paused] {
        let mut play = with_copies(Some(1), &["a", "b", "c"]);
        assert_eq!(play.begins(), ["repoint a"]);
        play.written("a");
        // something else of it is changed, which no plan looks at
        let mut changed = play.seen("b", IMAGE, false);
        changed.standing = standing;
        play.ledger.seen(changed, 1, play.now);
        play.settles("a", Pulling::Done);
        assert_eq!(play.begins(), ["repoint c"], "{standing:?}");
        play.written("c");
        play.sees("c", COPY, true);
        assert_eq!(play.begins(), [""; 0]);
        play.sees("b", IMAGE, true);
        assert_eq!(play.round(), ["b"]);
        assert_eq!(play.begins(), ["repoint b"]);
    }
}

#[test]
fn a_rollout_is_followed_whatever_becomes_of_what_was_asked_for_before_it() {
    let mut play = Play::new(None);
    play.rests_on_its_copy("a");
    assert_eq!(play.begins(), [format!("check {COPY}")]);
    let sound = Checked::Sound(digest(), false);
    play.ledger.checked(&copy("a"), &sound, play.now);
    play.ledger.renew_all(play.now);
    assert_eq!(play.ledger.take_due(1).len(), 1);
    let renew = Verdict::Renew {
        copies: vec![copy("a")],
        keyring: Keyring::default(),
    };
    play.ledger.planned(&id("a"), None, renew, play.now);
    assert_eq!(play.begins(), [format!("bring {COPY}")]);
    // everything is listed again, and it is being rolled out
    play.ledger.look_again(play.now);
    play.sees("a", COPY, false);
    let denied = [(id("a"), Failure::new("denied"))].into();
    play.brought_to("a", &denied, &BTreeSet::new());
    play.passes(LOOK);
    assert!(play.begins().contains(&"look a".to_owned()));
}
