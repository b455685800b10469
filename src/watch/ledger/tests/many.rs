//! What is kept while there is more to do than can be done at once.

use super::*;

/// More than plans are kept of.
const MANY: usize = 3 * AHEAD;

fn names(many: usize) -> Vec<String> {
    (0..many).map(|number| format!("web-{number:05}")).collect()
}

impl Play {
    /// How many plans are kept: of workloads that wait for images, and of those that wait for their turn.
    fn plans(&self) -> (usize, usize) {
        let works = self.ledger.workloads.values();
        let stages = works.filter_map(|entry| Some(&entry.work.as_deref()?.stage));
        stages.fold((0, 0), |(copying, queued), stage| match stage {
            Stage::Copying(Some(_)) => (copying + 1, queued),
            Stage::Queued(Some(_)) => (copying, queued + 1),
            _ => (copying, queued),
        })
    }

    fn sees_idle(&mut self, name: &str, image: &str) {
        self.version += 1;
        let mut object = object(name, image, false, self.version);
        object["spec"]["replicas"] = json!(0);
        object["status"] = json!({"observedGeneration": 1});
        let seen = Seen::of(&id(name).kind, &object).unwrap();
        self.ledger.seen(seen, 1, self.now);
    }

    /// Begins what can be, and ends what is repointed well. Who was repointed.
    fn repoints(&mut self) -> Vec<String> {
        let begun = self.begins().into_iter();
        let repointed = begun.filter_map(|it| it.strip_prefix("repoint ").map(str::to_owned));
        let repointed: Vec<String> = repointed.collect();
        for name in &repointed {
            self.written(name);
            self.sees(name, COPY, true);
        }
        repointed
    }
}

#[test]
fn of_those_that_wait_few_plans_are_kept_and_all_are_repointed_in_their_order() {
    let mut play = Play::new(None);
    play.ledger.listed = false;
    let names = names(MANY);
    for name in &names {
        play.sees(name, IMAGE, true);
        play.rounds();
    }
    assert_eq!(play.plans(), (AHEAD, 0));
    assert_eq!(play.begins(), [format!("bring {COPY}")]);
    let users: Vec<&str> = names.iter().map(String::as_str).collect();
    play.brought(&users, ImageState::Present);
    play.rounds();
    assert_eq!(play.plans(), (0, AHEAD));
    assert_eq!(play.begins(), [""; 0]);

    play.ledger.listed = true;
    play.ledger.gate.prove();
    let mut repointed = Vec::new();
    for _ in 0..MANY {
        repointed.extend(play.repoints());
        assert!(play.plans().1 <= AHEAD, "{:?}", play.plans());
        play.rounds();
    }
    assert_eq!(repointed, names);
    play.passes(Duration::from_secs(1));
    play.begins();
    play.rounds();
    assert_eq!(play.ledger.census(play.now).waiting, 0);
}

#[test]
fn what_was_planned_long_ago_is_planned_again_together() {
    let mut play = Play::new(None);
    play.ledger.listed = false;
    let names = names(40);
    for name in &names {
        play.sees_idle(name, IMAGE);
    }
    play.rounds();
    play.begins();
    let users: Vec<&str> = names.iter().map(String::as_str).collect();
    play.brought(&users, ImageState::Present);
    play.passes(2 * FRESH);
    play.ledger.listed = true;
    assert_eq!(play.repoints(), [""; 0]);
    assert_eq!(play.ledger.due(), 40);
    play.rounds();
    let mut repointed = Vec::new();
    while !play.ledger.idle.is_empty() {
        repointed.extend(play.repoints());
    }
    assert_eq!(repointed, names);
}

#[test]
fn who_was_called_and_cannot_go_on_keeps_no_turn_from_others() {
    let mut play = Play::new(None);
    play.ledger.gate.prove();
    play.ledger.held = true;
    let names = names(2 * AHEAD);
    let (first, others) = names.split_at(AHEAD);
    for (names, image) in [(first, IMAGE), (others, "other:1")] {
        for name in names {
            play.sees(name, image, true);
        }
        play.rounds();
        play.ledger.held = false;
        play.ledger.listed = false;
        play.begins();
        let users: Vec<&str> = names.iter().map(String::as_str).collect();
        play.brought_of(image, &users, ImageState::Present);
        play.rounds();
    }
    play.ledger.listed = true;
    play.ledger.copies.lost(&copy("a").target);
    play.passes(2 * FRESH);
    assert_eq!(play.begins(), [""; 0]);
    play.rounds();
    assert_eq!(play.begins()[0], format!("bring {COPY}"));
    play.brought(&[first[0].as_str()], failed());
    play.begins();
    play.rounds();
    let mut repointed = Vec::new();
    for _ in 0..AHEAD {
        repointed.extend(play.repoints());
        play.rounds();
    }
    assert_eq!(repointed, others);
}
