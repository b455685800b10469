//! What is put back, and when nothing more is repointed.

use super::*;

#[test]
fn it_halts_though_a_workload_cannot_be_put_back_and_tries_that_until_it_is() {
    let mut play = with_copies(Some(2), &["a", "b"]);
    play.begins();
    play.written("a");
    play.passes(LOOK);
    play.begins();
    play.told();
    play.looked("a", cannot_pull());
    assert!(play.ledger.trouble().is_some(), "before it is put back");
    for pause in [10, 20, 40] {
        assert_eq!(play.begins(), ["put back a"]);
        play.ledger
            .put_back_done(&id("a"), Err(Failure::new("no route")), play.now);
        assert_eq!(play.begins(), [""; 0]);
        play.passes(Duration::from_secs(pause));
    }
    assert_eq!(play.told(), [("a".to_owned(), "CloneFailed")]);
    // the halt is over; it is not
    play.passes(Duration::from_secs(301));
    assert_eq!(play.begins(), ["put back a"]);
    assert!(play.ledger.trouble().is_some());
    play.ledger
        .put_back_done(&id("a"), Ok(PutBack::Done(Vec::new())), play.now);
    assert_eq!(play.told(), [("a".to_owned(), "PutBack")]);
    assert_eq!(play.begins(), [""; 0]);
    assert_eq!(play.round(), ["b"]);
    assert_eq!(play.begins(), ["repoint b"]);
}

#[test]
fn one_that_somebody_changed_before_it_could_be_put_back_is_theirs() {
    let mut play = with_copies(Some(2), &["a"]);
    play.begins();
    play.written("a");
    play.passes(LOOK);
    play.begins();
    play.looked("a", cannot_pull());
    play.begins();
    play.ledger
        .put_back_done(&id("a"), Err(Failure::new("no route")), play.now);
    play.sees("a", "reg.corp/own:1", true);
    assert_eq!(play.round(), ["a"]);
    play.passes(Duration::from_secs(3600));
    assert_eq!(play.begins(), [""; 0]);
    assert_eq!(play.ledger.census(play.now).rollouts, 0);
}

/// Two rollouts, a look at each of which is under way.
fn two_that_are_looked_at() -> Play {
    let mut play = with_copies(Some(2), &["a", "b"]);
    play.ledger.gate.prove();
    assert_eq!(play.begins(), ["repoint a", "repoint b"]);
    play.written("a");
    play.written("b");
    play.passes(LOOK);
    assert_eq!(play.begins(), ["look a", "look b"]);
    play
}

#[test]
fn what_other_rollouts_came_to_does_not_end_a_halt() {
    let mut play = two_that_are_looked_at();
    play.looked("a", cannot_pull());
    play.sees("b", COPY, true);
    play.looked("b", Pulling::Done);
    assert!(play.ledger.trouble().is_some());
    assert!(!play.ledger.repoints());
}

/// How often somebody has put back the images of the one that is due.
fn put_back_so_far(play: &Play) -> u32 {
    let entry = &play.ledger.workloads[&id("a")];
    let workload = entry.work.as_ref().and_then(|work| work.workload.as_ref());
    let cloned = entry.cloned.as_ref();
    cloned.map_or(0, |cloned| cloned.put_back(workload.unwrap()))
}

#[test]
fn images_that_are_put_back_are_counted_whatever_becomes_of_annotations() {
    let mut play = with_copies(None, &["a"]);
    for times in 0..3 {
        assert_eq!(put_back_so_far(&play), times);
        assert_eq!(play.begins(), ["repoint a"]);
        play.written("a");
        play.sees("a", IMAGE, true);
        assert_eq!(play.round(), ["a"]);
    }
    play.sees("a", "other:1", true);
    assert_eq!(put_back_so_far(&play), 0, "other images");
}

#[test]
fn what_we_put_back_ourselves_does_not_count() {
    let mut play = with_copies(None, &["a"]);
    play.begins();
    play.written("a");
    play.passes(LOOK);
    play.begins();
    play.looked("a", cannot_pull());
    play.begins();
    play.sees("a", IMAGE, true);
    play.ledger
        .put_back_done(&id("a"), Ok(PutBack::Done(Vec::new())), play.now);
    assert_eq!(put_back_so_far(&play), 0);
}

#[test]
fn one_that_cannot_pull_is_put_back_and_nothing_more_is_begun_for_a_while() {
    let mut play = with_copies(Some(2), &["a", "b"]);
    assert_eq!(play.begins(), ["repoint a"]);
    play.written("a");
    play.told();
    play.passes(LOOK);
    assert_eq!(play.begins(), ["look a"]);
    for _ in 0..100 {
        play.looked("a", Pulling::Retried);
        assert_eq!(
            play.begins(),
            [""; 0],
            "once is a hiccup, however long it stands there"
        );
        play.passes(LOOK);
        assert_eq!(play.begins(), ["look a"]);
    }
    play.looked("a", cannot_pull());
    assert_eq!(play.begins(), ["put back a"]);
    play.ledger
        .put_back_done(&id("a"), Ok(PutBack::Done(Vec::new())), play.now);
    assert_eq!(play.told(), [("a".to_owned(), "PutBack")]);
    assert!(
        play.ledger
            .trouble()
            .is_some_and(|why| why.contains("x509"))
    );
    assert_eq!(play.begins(), [""; 0]);
    // a bounded time later another is tried, alone, and planned again before
    play.passes(Duration::from_secs(301));
    assert_eq!(play.begins(), [""; 0]);
    assert_eq!(play.round(), ["b"]);
    assert_eq!(play.begins(), ["repoint b"]);
    play.written("b");
    play.settles("b", Pulling::Done);
    assert_eq!(play.ledger.trouble(), None);
}

#[test]
fn other_settings_end_the_halt_at_once() {
    let mut play = with_copies(Some(2), &["a", "b"]);
    play.begins();
    play.written("a");
    play.passes(LOOK);
    play.begins();
    play.looked("a", cannot_pull());
    assert_eq!(play.begins(), ["put back a"]);
    play.ledger
        .put_back_done(&id("a"), Ok(PutBack::Done(Vec::new())), play.now);
    play.sees("a", IMAGE, true);
    assert_eq!(play.begins(), [""; 0]);
    play.ledger.anew(Some(2), play.now);
    assert_eq!(play.ledger.trouble(), None);
    assert_eq!(play.round(), ["a", "b"]);
    assert_eq!(
        play.tries(),
        [format!("bring {COPY}")],
        "the target is another"
    );
    play.brought(&["a", "b"], ImageState::Present);
    assert_eq!(play.begins(), ["repoint a"]);
}

/// A play that is halted: the copy of "a" could not be pulled, "b" waits.
fn halted(max_rollouts: Option<usize>) -> Play {
    let mut play = with_copies(max_rollouts, &["a", "b"]);
    play.begins();
    play.written("a");
    play.written("b");
    play.passes(LOOK);
    play.begins();
    play.looked("a", cannot_pull());
    assert_eq!(play.begins(), ["put back a"]);
    play.ledger
        .put_back_done(&id("a"), Ok(PutBack::Done(Vec::new())), play.now);
    play
}

#[test]
fn looking_at_everything_again_ends_no_halt_and_forgets_no_reason() {
    for max_rollouts in [Some(1), None] {
        let mut play = halted(max_rollouts);
        play.sees("c", IMAGE, true);
        play.ledger.look_again(play.now);
        assert!(!play.ledger.repoints());
        assert!(
            play.ledger
                .trouble()
                .is_some_and(|why| why.contains("x509"))
        );
        play.round();
        assert_eq!(play.begins(), ["log in"], "{max_rollouts:?}");
        play.ledger.logged_in(true, play.now);
        play.passes(Duration::from_secs(301));
        play.begins();
        assert!(!play.ledger.repoints(), "one shows it first");
    }
}

#[test]
fn a_halt_shows_in_no_number_of_rollouts() {
    let mut play = halted(None);
    play.sees("c", IMAGE, true);
    play.sees("d", IMAGE, true);
    play.ledger.gone(&id("b"));
    play.passes(Duration::from_secs(301));
    play.begins();
    play.round();
    assert_eq!(play.begins(), ["repoint c"], "alone, as at first");
}

#[test]
fn a_reason_goes_with_the_last_that_gave_it_once_the_halt_is_over() {
    let all = [(true, true), (true, false), (false, true), (false, false)];
    for (is_gone, during_the_halt) in all {
        let mut play = halted(None);
        play.ledger.gone(&id("b"));
        if !during_the_halt {
            play.passes(Duration::from_secs(301));
            play.begins();
            assert!(play.ledger.trouble().is_some(), "it may be tried again");
        }
        if is_gone {
            play.ledger.gone(&id("a"));
        } else {
            play.sees("a", "reg.corp/own:1", true);
            assert_eq!(play.round(), ["a"]);
        }
        if during_the_halt {
            assert!(play.ledger.trouble().is_some(), "a halt lasts");
            play.passes(Duration::from_secs(301));
            play.begins();
        }
        assert_eq!(play.ledger.trouble(), None);
        assert!(!play.ledger.repoints(), "nothing was shown");
        play.sees("c", IMAGE, true);
        play.sees("d", IMAGE, true);
        play.round();
        assert_eq!(play.begins(), ["repoint c"], "alone");
    }
}

#[test]
fn what_cannot_pull_is_put_back_in_a_pause_but_not_when_the_process_ends() {
    let mut play = with_copies(Some(2), &["a", "b"]);
    play.begins();
    play.written("a");
    play.ledger.held = true;
    play.passes(LOOK);
    assert_eq!(play.begins(), ["look a"]);
    play.looked("a", cannot_pull());
    play.ledger.ends = true;
    assert_eq!(play.begins(), [""; 0]);
    play.ledger.ends = false;
    assert_eq!(play.begins(), ["put back a"]);
}

#[test]
fn those_who_cannot_pull_either_make_a_halt_no_longer() {
    let mut play = two_that_are_looked_at();
    play.looked("a", cannot_pull());
    let until = play.ledger.gate.halted();
    play.passes(Duration::from_secs(60));
    play.looked("b", cannot_pull());
    assert_eq!(play.ledger.gate.halted(), until);
    play.passes(Duration::from_secs(300));
    play.begins();
    assert_eq!(play.ledger.gate.halted(), None);
    assert!(play.ledger.trouble().is_some());
    // the next one is longer
    play.ledger.gate.halt(&id("a"), "x509".to_owned(), play.now);
    let until = play.now + Duration::from_secs(600);
    assert_eq!(play.ledger.gate.halted(), Some(until));
}

/// Nodes can pull neither the image of "a" nor its copy, to which it was repointed; "b" waits.
fn with_one_that_nobody_can_pull() -> Play {
    let mut play = Play::new(Some(2));
    play.sees("a", IMAGE, false);
    play.round();
    play.begins();
    play.brought(&["a"], ImageState::Present);
    play.passes(LOOK);
    assert_eq!(play.begins(), ["look a"]);
    play.looked("a", cannot_pull());
    assert_eq!(play.round(), ["a"]);
    assert_eq!(play.begins(), ["repoint a"]);
    play.written("a");
    play.told();
    play.sees("b", IMAGE, true);
    play.round();
    play.passes(LOOK);
    assert_eq!(play.begins(), ["look a"]);
    play
}

/// "a" was put back, and is as it was.
fn is_put_back(play: &mut Play) {
    assert_eq!(play.begins(), ["put back a"]);
    play.sees("a", IMAGE, false);
    play.ledger
        .put_back_done(&id("a"), Ok(PutBack::Done(Vec::new())), play.now);
}

#[test]
fn one_whose_image_nobody_can_pull_either_keeps_no_other_and_is_left() {
    let mut play = with_one_that_nobody_can_pull();
    play.looked("a", cannot_pull());
    assert_eq!(play.ledger.trouble(), None);
    is_put_back(&mut play);
    assert_eq!(play.told(), [("a".to_owned(), "PutBack")]);
    assert_eq!(play.begins(), ["repoint b"], "at once");
    play.written("b");
    play.settles("b", Pulling::Done);
    let looks_again = |play: &mut Play| {
        play.passes(Duration::from_secs(3600));
        play.ledger.look_again(play.now);
        play.sees("a", IMAGE, false);
        let mut begun = play.tries();
        play.rounds();
        begun.extend(play.tries());
        play.brought(&["a"], ImageState::Present);
        play.rounds();
        play.passes(LOOK);
        begun.extend(play.tries());
        begun
    };
    for _ in 0..4 {
        let begun = looks_again(&mut play);
        assert!(!begun.contains(&"look a".to_owned()), "{begun:?}");
        assert!(!begun.contains(&"repoint a".to_owned()), "{begun:?}");
    }
    assert_eq!(play.ledger.trouble(), None);
    assert_eq!(play.told(), [("b".to_owned(), "Repointed")]);
    // what kept nodes from pulling may be over
    let begun = looks_again(&mut play);
    assert!(begun.contains(&"look a".to_owned()), "{begun:?}");
}

#[test]
fn what_else_changes_of_one_that_nobody_can_pull_makes_it_nobodys_fault() {
    let mut play = with_one_that_nobody_can_pull();
    let mut seen = play.seen("a", COPY, false);
    seen.print += 1;
    play.ledger.seen(seen, 1, play.now);
    play.looked("a", cannot_pull());
    assert_eq!(play.ledger.trouble(), None);
    is_put_back(&mut play);
    assert_eq!(play.begins(), ["repoint b"]);
}

#[test]
fn one_that_was_left_goes_on_once_its_image_is_pulled_or_is_another() {
    let mut mended = with_one_that_nobody_can_pull();
    let mut changed = with_one_that_nobody_can_pull();
    let mut resettled = with_one_that_nobody_can_pull();
    for play in [&mut mended, &mut changed, &mut resettled] {
        play.looked("a", cannot_pull());
        is_put_back(play);
        play.passes(LOOK);
        assert_eq!(play.begins(), ["repoint b"]);
        play.rounds();
        play.written("b");
        play.settles("b", Pulling::Done);
    }
    mended.ledger.look_again(mended.now);
    mended.sees("a", IMAGE, true);
    changed.sees("a", "nginx:2", true);
    changed.rounds();
    changed.tries();
    changed.brought_of("nginx:2", &["a"], ImageState::Present);
    resettled.ledger.anew(Some(2), resettled.now);
    resettled.sees("a", IMAGE, true);
    resettled.rounds();
    resettled.tries();
    resettled.brought(&["a"], ImageState::Present);
    for play in [&mut mended, &mut changed, &mut resettled] {
        play.rounds();
        assert_eq!(play.tries(), ["repoint a"]);
        play.written("a");
        play.passes(LOOK);
        play.begins();
        play.looked("a", cannot_pull());
        assert!(play.ledger.trouble().is_some(), "its source was pulled");
    }
}
