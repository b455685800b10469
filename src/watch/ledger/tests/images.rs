//! What is brought, how often and for whom.

use super::*;

#[test]
fn an_image_is_brought_once_for_all_who_want_it() {
    let mut play = with_copies(None, &["a", "b", "c"]);
    play.ledger.gate.prove();
    assert_eq!(play.begins(), ["repoint a", "repoint b", "repoint c"]);
    // known by now
    play.sees("d", IMAGE, true);
    play.round();
    assert_eq!(play.begins(), ["repoint d"]);
    assert!(play.ledger.wakes().is_none());
}

/// Deployments of this namespace come, each with an image of its own.
fn come_with_images(play: &mut Play, namespace: &str, many: usize) {
    for at in 0..many {
        play.sees(
            &format!("{namespace}/{at}"),
            &format!("{namespace}:{at}"),
            true,
        );
    }
    play.rounds();
}

/// How many images of a namespace are among what was begun.
fn of(begun: &[String], namespace: &str) -> usize {
    let start = format!("bring reg.corp/{namespace}:");
    begun.iter().filter(|it| it.starts_with(&start)).count()
}

#[test]
fn a_bounded_number_of_images_is_under_way_at_once() {
    let mut play = Play::new(None);
    play.ledger.listed = false;
    for namespace in (0..IMAGES).map(|at| format!("lab-{at}")) {
        come_with_images(&mut play, &namespace, 2);
    }
    let begun = play.begins();
    assert_eq!(begun.len(), IMAGES);
    let image = begun[0].strip_prefix("bring reg.corp/").unwrap();
    play.brought_of(image, &[&image.replace(':', "/")], ImageState::Present);
    assert_eq!(play.begins().len(), 1);
}

#[test]
fn one_namespace_never_has_all_that_may_be_under_way() {
    let mut play = Play::new(None);
    come_with_images(&mut play, "lab", 3 * IMAGES);
    let begun = play.begins();
    assert_eq!(of(&begun, "lab"), IMAGES - IMAGES / 8);
    // though nothing of it ever ends
    come_with_images(&mut play, "den", 1);
    assert_eq!(play.begins(), ["bring reg.corp/den:0"]);
}

#[test]
fn what_is_under_way_for_former_settings_is_charged_to_nobody() {
    let mut play = Play::new(None);
    come_with_images(&mut play, "lab", IMAGES);
    assert_eq!(play.begins().len(), IMAGES - IMAGES / 8);
    play.ledger.anew(None, play.now);
    play.ledger.logged_in(true, play.now);
    for at in 0..IMAGES {
        let (name, image) = (format!("lab/{at}"), format!("new:{at}"));
        play.sees(&name, &image, true);
    }
    play.rounds();
    assert_eq!(of(&play.tries(), "new"), IMAGES / 8);
}

#[test]
fn what_one_namespace_asks_for_waits_for_no_hundreds_of_another() {
    let mut play = Play::new(None);
    come_with_images(&mut play, "lab", 20 * IMAGES);
    come_with_images(&mut play, "den", IMAGES / 8);
    come_with_images(&mut play, "shop", 1);
    // one that another has asked for already
    play.sees("b", &format!("lab:{}", 20 * IMAGES - 1), true);
    play.rounds();
    let begun = play.begins();
    assert_eq!(of(&begun, "den"), IMAGES / 8);
    assert_eq!(of(&begun, "shop"), 1);
    assert!(begun.contains(&format!("bring reg.corp/lab:{}", 20 * IMAGES - 1)));
}

#[test]
fn a_failed_image_is_tried_again_later_each_time_and_tells_once() {
    let mut play = Play::new(None);
    play.sees("a", IMAGE, true);
    play.round();
    for longest in [10, 20, 40, 80, 160, 320, 600, 600] {
        assert_eq!(play.tries(), [format!("bring {COPY}")]);
        play.brought(&["a"], failed());
        // the target answers, which says nothing of the image
        play.passes(Duration::from_secs(longest / 5 * 4 - 1));
        assert_eq!(play.tries(), [""; 0], "{longest}");
        play.passes(Duration::from_secs(longest / 5 + 2));
    }
    assert_eq!(play.told(), [("a".to_owned(), "CloneFailed")]);
    play.begins();
    play.brought(&["a"], ImageState::Present);
    assert_eq!(
        play.round(),
        ["a"],
        "what was planned long ago is planned again"
    );
    assert_eq!(play.begins(), ["repoint a"]);
}

#[test]
fn a_copy_that_is_not_there_any_more_is_brought_again() {
    let mut play = Play::new(None);
    play.rests_on_its_copy("a");
    assert_eq!(play.begins(), [format!("check {COPY}")]);
    play.ledger.checked(&copy("a"), &Checked::Broken, play.now);
    let due = play.ledger.take_due(1);
    assert_eq!(due[0].purpose, Purpose::Repair);
    let verdict = Verdict::Wants {
        copies: vec![copy("a")],
        keyring: Keyring::default(),
        then: Then::Leave(None),
    };
    play.ledger.planned(&due[0].id, None, verdict, play.now);
    assert_eq!(play.begins(), [format!("bring {COPY}")]);
    play.brought(&["a"], ImageState::Copied { bytes: 1 });
    assert_eq!(play.ledger.census(play.now).waiting, 0);
}

#[test]
fn one_bad_image_keeps_its_own_pauses_while_others_flow() {
    let mut play = Play::new(None);
    play.ledger.gate.prove();
    play.sees("bad", "bad:1", true);
    play.round();
    let (mut tried, mut repointed) = (0, 0);
    for second in 0..3600 {
        if second % 60 == 0 {
            let name = format!("good{second}");
            play.sees(&name, &format!("good:{second}"), true);
            // wants it still
            play.ledger.advance(&id("bad"), play.now);
            play.round();
        }
        for begun in play.tries() {
            if begun == "bring reg.corp/bad:1" {
                tried += 1;
                play.brought_of("bad:1", &["bad"], failed());
            } else if let Some(tag) = begun.strip_prefix("bring reg.corp/good:") {
                let name = format!("good{tag}");
                let image = format!("good:{tag}");
                play.brought_of(&image, &[&name], ImageState::Present);
            } else if let Some(name) = begun.strip_prefix("repoint ") {
                repointed += 1;
                play.written(name);
            }
        }
        play.passes(Duration::from_secs(1));
    }
    // 0, 10, 30, 70, 150, 310, 630 seconds, then every ten minutes, each a little sooner
    assert!((11..=13).contains(&tried), "{tried}");
    assert_eq!(repointed, 60);
}

#[test]
fn what_failed_with_the_target_is_tried_at_once_when_that_answers_again() {
    let mut play = Play::new(None);
    play.sees("a", IMAGE, true);
    play.round();
    let bring = format!("bring {COPY}");
    for _ in 0..6 {
        assert!(play.begins().contains(&bring));
        play.brought(&["a"], failed());
        play.ledger.logged_in(false, play.now);
        play.passes(Duration::from_secs(600));
    }
    play.begins();
    play.brought(&["a"], failed());
    play.ledger.logged_in(false, play.now);
    play.passes(Duration::from_secs(60));
    assert_eq!(play.begins(), ["log in"]);
    assert_eq!(play.begins(), [""; 0], "one question at a time");
    play.ledger.logged_in(true, play.now);
    assert_eq!(play.begins(), [bring]);
}

#[test]
fn one_that_is_planned_again_for_the_same_image_does_not_shorten_its_pause() {
    let mut play = Play::new(None);
    play.sees("a", IMAGE, true);
    play.round();
    play.begins();
    play.brought(&["a"], failed());
    // anything of it changed, but for the image
    let mut seen = play.seen("a", IMAGE, true);
    seen.print += 1;
    play.ledger.seen(seen, 1, play.now);
    assert_eq!(play.round(), ["a"]);
    assert_eq!(play.begins(), [""; 0]);
    play.sees("b", IMAGE, true);
    play.round();
    assert_eq!(play.begins(), [""; 0], "of the same namespace");
    assert_eq!(play.ledger.census(play.now).failing, 1);
    play.ledger.gone(&id("a"));
    play.ledger.gone(&id("b"));
    assert_eq!(play.ledger.census(play.now).failing, 0);
    play.passes(Duration::from_secs(11));
    assert_eq!(play.tries(), [""; 0], "nobody asks for it any more");
}

#[test]
fn an_image_that_nobody_has_in_use_any_more_is_not_looked_at_again() {
    let mut play = Play::new(None);
    play.rests_on_its_copy("a");
    for _ in 0..3 {
        assert_eq!(play.tries(), [format!("check {COPY}")]);
        let checked = Checked::Failed(Failure::new("no route"));
        play.ledger.checked(&copy("a"), &checked, play.now);
        play.passes(Duration::from_secs(600));
    }
    assert_eq!(
        play.told(),
        [("a".to_owned(), "CloneFailed")],
        "once, though it is at rest"
    );
    play.begins();
    play.ledger.gone(&id("a"));
    let checked = Checked::Failed(Failure::new("no route"));
    play.ledger.checked(&copy("a"), &checked, play.now);
    play.passes(Duration::from_secs(601));
    assert_eq!(play.tries(), [""; 0]);
    assert!(play.ledger.wakes().is_none());
}

#[test]
fn a_copy_is_for_all_namespaces_only_where_its_origin_was_read_openly() {
    for is_open in [false, true] {
        let mut play = Play::new(None);
        play.sees("a", IMAGE, true);
        play.round();
        assert_eq!(play.begins(), [format!("bring {COPY}")]);
        let openly = is_open.then(|| id("a")).into_iter().collect();
        play.brought_to("a", &BTreeMap::new(), &openly);
        let is_for = |namespace| play.known.copy_for(namespace, &copy("a").target).is_some();
        assert!(is_for("shop"));
        assert_eq!(is_for("lab"), is_open);
    }
}

#[test]
fn what_anybody_still_has_from_its_origin_is_brought_from_there_for_all() {
    let of_origin = || copy("new");
    let of_copy = || Copy {
        source: Reference::parse("old.corp/nginx:1").unwrap(),
        ..copy("moved")
    };
    for copies in [[of_copy(), of_origin()], [of_origin(), of_copy()]] {
        let mut play = Play::new(None);
        for copy in copies {
            let name = copy.users.keys().next().unwrap().name.clone();
            play.sees(&name, IMAGE, true);
            let workload = play.ledger.take_due(1).remove(0).workload.unwrap();
            let verdict = Verdict::Wants {
                copies: vec![copy],
                keyring: Keyring::default(),
                then: Then::Repoint(Box::new(planned(workload))),
            };
            play.ledger.planned(&id(&name), None, verdict, play.now);
        }
        let Some(Job::Bring(copy, _)) = play.ledger.book.start(1) else {
            panic!("nothing is brought");
        };
        assert_eq!(copy.source, of_origin().source);
        assert_eq!(copy.users.len(), 2);
    }
}

#[test]
fn what_could_not_be_had_from_an_earlier_copy_is_tried_at_once_from_its_origin() {
    let mut play = Play::new(None);
    let of_copy = Copy {
        source: Reference::parse("old.corp/nginx:1").unwrap(),
        ..copy("moved")
    };
    let book = &mut play.ledger.book;
    book.renew(of_copy, &Keyring::default());
    assert!(book.start(1).is_some());
    assert!(book.ended(&copy("moved")));
    book.failed(&copy("moved"), "gone", play.now);
    assert!(book.start(1).is_none());
    book.renew(copy("new"), &Keyring::default());
    assert!(book.start(1).is_some());
}

#[test]
fn what_one_says_that_a_copy_is_of_is_not_what_others_are_brought() {
    for asked_first in [false, true] {
        let mut play = Play::new(None);
        let digest = digest();
        let origin = Reference::parse(&format!("{IMAGE}@{digest}")).unwrap();
        let said = Copy {
            source: origin.clone(),
            origin,
            ..copy("stranger")
        };
        play.rests_on("stranger", said.clone());
        play.sees("a", IMAGE, true);
        if asked_first {
            assert_eq!(play.begins(), [format!("check {COPY}")]);
        }
        play.round();
        let Some(Job::Bring(brought, _)) = play.ledger.book.start(IMAGES) else {
            panic!("nothing is brought");
        };
        assert_eq!(brought, copy("a"));
        if !asked_first {
            assert_eq!(play.begins(), [format!("check {COPY}")]);
        }
        // whatever becomes of the one says nothing of the other
        let checked = Checked::Failed(Failure::new("no route"));
        play.ledger.checked(&said, &checked, play.now);
        play.brought(&["a"], ImageState::Present);
        assert_eq!(play.ledger.census(play.now).failing, 1);
        assert_eq!(play.ledger.census(play.now).copying, 0);
    }
}
