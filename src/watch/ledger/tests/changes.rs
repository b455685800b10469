//! What becomes of work when something changes under it: a workload, the settings, who may work at all.

use super::*;

#[test]
fn one_that_changes_while_it_is_read_is_read_again() {
    let mut play = Play::new(None);
    play.sees("a", IMAGE, true);
    let due = play.ledger.take_due(10);
    assert_eq!(due.len(), 1);
    play.sees("a", "other:1", true);
    let stale = planned(due[0].workload.clone().unwrap());
    let verdict = Verdict::Wants {
        copies: vec![copy("a")],
        keyring: Keyring::default(),
        then: Then::Repoint(Box::new(stale)),
    };
    play.ledger.planned(&id("a"), None, verdict, play.now);
    assert_eq!(play.begins(), [""; 0]);
    assert_eq!(play.round(), ["a"]);
}

#[test]
fn a_status_that_changes_is_nothing_to_one_at_rest() {
    let mut play = Play::new(None);
    play.sees("a", "reg.corp/own:1", true);
    assert_eq!(play.round(), ["a"]);
    for ready in [false, true, false] {
        play.sees("a", "reg.corp/own:1", ready);
        assert_eq!(play.ledger.due(), 0);
    }
    assert!(play.ledger.wakes().is_none());
    assert_eq!(play.ledger.census(play.now).waiting, 0);
}

#[test]
fn what_was_known_of_a_namespace_goes_with_the_last_that_was_in_it() {
    let mut play = with_copies(None, &["a", "b"]);
    let target = Reference::parse(COPY).unwrap();
    let is_known = |play: &Play| play.known.copy_for("shop", &target).is_some();
    play.known.forget(&target);
    play.known
        .complete(&target, &digest(), [Reader::Namespace("shop".to_owned())]);
    play.ledger.gone(&id("a"));
    assert!(is_known(&play));
    play.ledger.gone(&id("b"));
    assert!(!is_known(&play));
}

#[test]
fn what_is_held_is_begun_when_it_no_longer_is() {
    let mut play = Play::new(None);
    play.ledger.held = true;
    play.sees("a", IMAGE, true);
    play.round();
    assert_eq!(play.begins(), [""; 0]);
    play.ledger.held = false;
    assert_eq!(play.begins(), [format!("bring {COPY}")]);
}

#[test]
fn one_that_is_gone_leaves_nothing_behind() {
    let mut play = with_copies(Some(1), &["a", "b"]);
    assert_eq!(play.begins(), ["repoint a"]);
    play.ledger.gone(&id("a"));
    play.ledger.written(&id("a"), Written::Gone, play.now);
    assert_eq!(play.begins(), ["repoint b"]);
    play.written("b");
    play.ledger.gone(&id("b"));
    let census = play.ledger.census(play.now);
    assert_eq!(
        (census.workloads, census.waiting, census.rollouts),
        (0, 0, 0)
    );
}

#[test]
fn a_conflict_is_planned_again_on_what_is_there_now() {
    let mut play = with_copies(None, &["a"]);
    assert_eq!(play.begins(), ["repoint a"]);
    play.ledger.written(&id("a"), Written::Conflict, play.now);
    assert_eq!(play.begins(), [""; 0]);
    play.passes(Duration::from_secs(1));
    play.begins();
    assert_eq!(play.round(), ["a"]);
    assert_eq!(play.begins(), ["repoint a"]);
}

#[test]
fn other_settings_hold_for_what_is_under_way() {
    let mut play = with_copies(Some(1), &["a"]);
    assert_eq!(play.begins(), ["repoint a"]);
    play.sees("b", "other:1", true);
    play.round();
    assert_eq!(play.begins(), ["bring reg.corp/other:1"]);
    play.sees("c", IMAGE, true);
    assert_eq!(play.ledger.take_due(10).len(), 1);
    play.ledger.anew(Some(1), play.now);
    // read by the old ones
    let old = Verdict::Rest {
        kept: Vec::new(),
        with_our_secret: false,
    };
    play.ledger.planned(&id("c"), None, old, play.now);
    assert_eq!(play.round(), ["b", "c"]);
    // brought to the old target, and pulled from it in vain
    play.brought_of("other:1", &["b"], ImageState::Present);
    play.written("a");
    play.passes(LOOK);
    let mut begun = play.tries();
    begun.sort();
    let all = [&format!("bring {COPY}"), "bring reg.corp/other:1", "look a"];
    assert_eq!(begun, all);
    play.looked("a", cannot_pull());
    assert_eq!(play.begins(), ["put back a"]);
    play.ledger
        .put_back_done(&id("a"), Ok(PutBack::Done(Vec::new())), play.now);
    assert_eq!(play.ledger.trouble(), None);
    play.brought_of("other:1", &["b"], ImageState::Present);
    assert_eq!(play.begins(), ["repoint b"]);
}

#[test]
fn one_that_is_planned_again_and_again_while_work_is_held_stands_in_line_once() {
    let mut play = with_copies(None, &["a"]);
    play.ledger.held = true;
    for _ in 0..9 {
        play.sees("a", "other:1", true);
        play.round();
        play.sees("a", IMAGE, true);
        play.round();
        assert_eq!(play.begins(), [""; 0]);
    }
    play.ledger.held = false;
    assert_eq!(play.begins(), ["repoint a"]);
    play.ledger.gone(&id("a"));
    assert!(play.ledger.queue.is_empty());
}

#[test]
fn nothing_is_done_by_other_settings_about_what_those_at_rest_had_in_use() {
    let check = format!("check {COPY}");
    let failed = || Checked::Failed(Failure::new("no route"));
    for has_begun in [false, true] {
        for has_failed in [false, true] {
            let mut play = Play::new(None);
            play.rests_on_its_copy("a");
            if has_begun {
                assert_eq!(play.begins(), [check.as_str()]);
            }
            if has_failed {
                play.ledger.checked(&copy("a"), &failed(), play.now);
            }
            play.ledger.anew(None, play.now);
            assert_eq!(play.tries(), [""; 0], "it is not listed by them yet");
            play.ledger.checked(&copy("a"), &failed(), play.now);
            play.passes(Duration::from_secs(601));
            assert_eq!(play.tries(), [""; 0]);
            play.rests_on_its_copy("a");
            assert_eq!(play.tries(), [check.as_str()]);
        }
    }
}

#[test]
fn what_a_former_try_came_to_says_nothing_of_what_is_asked_for_anew() {
    let mut play = Play::new(None);
    play.rests_on_its_copy("a");
    assert_eq!(play.begins(), [format!("check {COPY}")]);
    play.ledger.anew(None, play.now);
    play.rests_on_its_copy("a");
    assert_eq!(play.tries(), [""; 0], "one of each at a time");
    let broken = Checked::Broken;
    play.ledger.checked(&copy("a"), &broken, play.now);
    assert_eq!(play.ledger.due(), 0, "in the former target");
    assert_eq!(play.begins(), [format!("check {COPY}")]);
}

#[test]
fn a_process_that_ends_begins_nothing() {
    let mut play = Play::new(None);
    play.sees("a", COPY, false);
    play.rests_on_its_copy("b");
    play.ledger.login.ask(play.now);
    play.passes(LOOK);
    play.ledger.ends = true;
    assert_eq!(play.begins(), [""; 0]);
    play.ledger.ends = false;
    let all = ["log in", "look a", &format!("check {COPY}")];
    assert_eq!(play.begins(), all);
}

/// The next one that is due is planned as one whose tags are looked at again.
fn renews(play: &mut Play) {
    let due = play.ledger.take_due(1).remove(0);
    assert_eq!(due.purpose, Purpose::Refresh);
    let verdict = Verdict::Renew {
        copies: vec![copy("a")],
        keyring: Keyring::default(),
    };
    play.ledger.planned(&due.id, None, verdict, play.now);
}

#[test]
fn tags_are_looked_at_again_whatever_comes_in_between() {
    let bring = format!("bring {COPY}");
    let comes: [fn(&mut Play); 4] = [
        |_| {},
        // settings, and the list that follows
        |play| {
            play.ledger.anew(None, play.now);
            play.sees("a", COPY, true);
        },
        |play| {
            let mut changed = play.seen("a", COPY, true);
            changed.print += 1;
            play.ledger.seen(changed, 1, play.now);
        },
        |play| {
            play.ledger.look_again(play.now);
            play.sees("a", COPY, true);
        },
    ];
    for (at, comes) in comes.into_iter().enumerate() {
        for has_begun in [false, true] {
            let mut play = Play::new(None);
            play.rests_on_its_copy("a");
            play.begins();
            play.ledger
                .checked(&copy("a"), &Checked::Sound(digest(), false), play.now);
            play.ledger.renew_all(play.now);
            if has_begun {
                renews(&mut play);
            }
            comes(&mut play);
            if at > 0 {
                // its work was to be done first
                play.rests(vec![copy("a")], false);
            }
            if at > 0 || !has_begun {
                renews(&mut play);
            }
            assert!(play.tries().contains(&bring), "{at} {has_begun}");
            play.brought(&["a"], ImageState::Present);
            assert_eq!(play.ledger.due(), 0, "{at} {has_begun}: once");
        }
    }
}
