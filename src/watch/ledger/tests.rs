use super::*;
use crate::cluster::{NotReady, Pulling};
use crate::credentials::Keyring;
use crate::execute::PutBack;
use crate::outcome::{Failure, ImageOutcome, ImageState};
use crate::plan::{Copy, Decision, Repoint, SlotChange};
use crate::reference::{Digest, Reference};
use crate::watch::Reader;
use crate::workload::{Kind, ORIGINALS};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const IMAGE: &str = "nginx:1";
const COPY: &str = "reg.corp/nginx:1";

/// A ledger and its clock.
struct Play {
    ledger: Ledger,
    known: Known,
    now: Instant,
    version: u64,
}

fn id(name: &str) -> WorkloadId {
    WorkloadId {
        kind: Kind::from_word("deploy").unwrap(),
        namespace: "shop".to_owned(),
        name: name.to_owned(),
    }
}

/// A Deployment with this image, ready or not.
fn object(name: &str, image: &str, ready: bool, version: u64) -> Value {
    let record =
        json!({"run": "1", "slots": {"containers/a": {"original": IMAGE, "target": COPY}}});
    let annotations = match image {
        COPY => json!({ORIGINALS: record.to_string()}),
        _ => Value::Null,
    };
    json!({
        "metadata": {
            "name": name, "namespace": "shop", "uid": name, "generation": 1,
            "resourceVersion": version.to_string(), "annotations": annotations,
        },
        "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "a", "image": image}]}}},
        "status": {
            "observedGeneration": 1, "replicas": 1, "updatedReplicas": 1,
            "availableReplicas": i32::from(ready),
        },
    })
}

impl Play {
    fn new(max_rollouts: Option<usize>) -> Self {
        let known = Known::default();
        let mut ledger = Ledger::new(known.clone(), max_rollouts);
        ledger.listed = true;
        Self {
            ledger,
            known,
            now: Instant::now(),
            version: 0,
        }
    }

    fn sees(&mut self, name: &str, image: &str, ready: bool) {
        let seen = self.seen(name, image, ready);
        self.ledger.seen(seen, 1, self.now);
    }

    fn seen(&mut self, name: &str, image: &str, ready: bool) -> Seen {
        self.version += 1;
        let object = object(name, image, ready, self.version);
        Seen::of(&id(name).kind, &object).unwrap()
    }

    fn passes(&mut self, time: Duration) {
        self.now += time;
    }

    /// Reads those that are due as a round would: who has a copy or an image of the target's own rests, others
    /// want a copy.
    fn round(&mut self) -> Vec<String> {
        let due = self.ledger.take_due(100);
        let names = due.iter().map(|due| due.id.name.clone()).collect();
        for due in due {
            let workload = due.workload.unwrap();
            let image = &workload.slots[0].image;
            let verdict = if image.starts_with("reg.corp/") {
                Verdict::Rest {
                    kept: Vec::new(),
                    left: None,
                    with_our_secret: false,
                }
            } else {
                Verdict::Wants {
                    copies: vec![copy_of(image, &due.id.name)],
                    keyring: Keyring::default(),
                    then: Then::Repoint(Box::new(planned(workload))),
                }
            };
            self.ledger.planned(&due.id, None, verdict, self.now);
        }
        names
    }

    /// What is begun now, in a word each.
    fn begins(&mut self) -> Vec<String> {
        let actions = self.ledger.actions(self.now);
        let word = |action: Action| match action {
            Action::Image(job) => match *job {
                Job::Bring(copy, _) => format!("bring {}", copy.target),
                Job::Check(copy) => format!("check {}", copy.target),
            },
            Action::Repoint(planned) => format!("repoint {}", planned.workload.id.name),
            Action::Look(workload, _) => format!("look {}", workload.id.name),
            Action::PullSecret(namespace) => format!("write the pull secret in {namespace}"),
            Action::LogIn => "log in".to_owned(),
            Action::PutBack(workload, _) => format!("put back {}", workload.id.name),
        };
        actions.into_iter().map(word).collect()
    }

    fn brought(&mut self, users: &[&str], state: ImageState) {
        self.brought_of(IMAGE, users, state);
    }

    fn brought_of(&mut self, image: &str, users: &[&str], state: ImageState) {
        let mut copy = copy_of(image, users[0]);
        copy.users = users
            .iter()
            .map(|name| (id(name), BTreeSet::new()))
            .collect();
        let failed = matches!(state, ImageState::Failed(_));
        let outcome = ImageOutcome {
            source: copy.source.clone(),
            target: copy.target.clone(),
            digest: (!failed).then(digest),
            state,
            foreign_left: 0,
            notes: Vec::new(),
        };
        let (denied, with_own) = (BTreeMap::new(), BTreeSet::new());
        self.ledger
            .brought(&copy, &outcome, &denied, &with_own, self.now);
    }

    fn written(&mut self, name: &str) {
        let seen = Box::new(self.seen(name, COPY, false));
        self.ledger
            .written(&id(name), Written::Done(seen), self.now);
    }

    fn told(&mut self) -> Vec<(String, &'static str)> {
        let tellings = self.ledger.tellings().into_iter();
        tellings
            .map(|(id, _, telling)| (id.name, telling.reason))
            .collect()
    }

    /// What is begun now, but for questions to the target, which answers.
    fn tries(&mut self) -> Vec<String> {
        let mut begun = self.begins();
        if let Some(at) = begun.iter().position(|it| it == "log in") {
            begun.remove(at);
            self.ledger.logged_in(true, self.now);
            begun.extend(self.begins());
        }
        begun
    }

    fn looked(&mut self, name: &str, pulling: Pulling) {
        self.ledger
            .looked(&id(name), pulling, Pulls::default(), self.now);
    }
}

impl Play {
    /// One that was repointed is ready, and its pods have this to show.
    fn settles(&mut self, name: &str, pulling: Pulling) {
        self.sees(name, COPY, true);
        assert_eq!(self.begins(), [format!("look {name}")]);
        self.looked(name, pulling);
    }
}

fn failed() -> ImageState {
    ImageState::Failed(Failure::new("no route"))
}

fn cannot_pull() -> Pulling {
    Pulling::Failed(NotReady {
        why: "x509".to_owned(),
        hint: None,
        cannot_pull: true,
        is_denied: false,
    })
}

fn digest() -> Digest {
    format!("sha256:{}", "a".repeat(64)).parse().unwrap()
}

fn copy(user: &str) -> Copy {
    copy_of(IMAGE, user)
}

fn copy_of(image: &str, user: &str) -> Copy {
    Copy {
        source: Reference::parse(image).unwrap(),
        target: Reference::parse(&format!("reg.corp/{image}")).unwrap(),
        running: BTreeSet::new(),
        users: BTreeMap::from([(id(user), BTreeSet::new())]),
    }
}

fn planned(workload: Workload) -> Planned {
    let slot = workload.slots[0].key.clone();
    Planned {
        decision: Decision::Repoint(Repoint {
            slots: vec![SlotChange {
                slot,
                from: IMAGE.to_owned(),
                to: COPY.to_owned(),
            }],
            pull_secrets: crate::plan::PullSecretChange::Keep,
            needs_pull_secret: None,
            annotations: BTreeMap::new(),
        }),
        workload,
        targets: BTreeSet::new(),
        notes: Vec::new(),
    }
}

/// A play in which these have the image, settled, and its copy is there.
fn with_copies(max_rollouts: Option<usize>, names: &[&str]) -> Play {
    let mut play = Play::new(max_rollouts);
    for name in names {
        play.sees(name, IMAGE, true);
    }
    play.round();
    assert_eq!(play.begins(), [format!("bring {COPY}")]);
    play.brought(names, ImageState::Present);
    play
}

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

#[test]
fn what_other_rollouts_came_to_does_not_end_a_halt() {
    let mut play = with_copies(Some(2), &["a", "b"]);
    play.ledger.gate.prove();
    assert_eq!(play.begins(), ["repoint a", "repoint b"]);
    play.written("a");
    play.written("b");
    play.passes(LOOK);
    assert_eq!(play.begins(), ["look a", "look b"]);
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
fn a_pod_that_has_a_copy_shows_that_nodes_pull_but_not_that_they_still_do() {
    let mut play = Play::new(None);
    play.sees("a", COPY, true);
    let due = play.ledger.take_due(1);
    let verdict = Verdict::Rest {
        kept: vec![copy("a")],
        left: None,
        with_our_secret: false,
    };
    play.ledger.planned(&due[0].id, None, verdict, play.now);
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
fn what_was_known_of_a_namespace_goes_with_the_last_that_was_in_it() {
    let mut play = with_copies(None, &["a", "b"]);
    let target = Reference::parse(COPY).unwrap();
    let is_known = |play: &Play| play.known.copy_for("shop", &target).is_some();
    play.known.forget(&target);
    play.known
        .complete(&target, &digest(), Reader::Namespace("shop".to_owned()));
    play.ledger.gone(&id("a"));
    assert!(is_known(&play));
    play.ledger.gone(&id("b"));
    assert!(!is_known(&play));
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
fn a_copy_that_is_not_there_any_more_is_brought_again() {
    let mut play = Play::new(None);
    play.sees("a", COPY, true);
    let due = play.ledger.take_due(1);
    let verdict = Verdict::Rest {
        kept: vec![copy("a")],
        left: None,
        with_our_secret: false,
    };
    play.ledger.planned(&due[0].id, None, verdict, play.now);
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
    play.passes(Duration::from_secs(10));
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
        left: None,
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
fn an_image_that_nobody_has_in_use_any_more_is_not_looked_at_again() {
    let mut play = Play::new(None);
    play.sees("a", COPY, true);
    let due = play.ledger.take_due(1);
    let verdict = Verdict::Rest {
        kept: vec![copy("a")],
        left: None,
        with_our_secret: false,
    };
    play.ledger.planned(&due[0].id, None, verdict, play.now);
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
fn a_pull_secret_that_could_not_be_written_is_written_later_and_never_while_work_is_held() {
    let mut play = Play::new(None);
    for name in ["a", "b"] {
        play.sees(name, "reg.corp/own:1", true);
    }
    play.ledger.held = true;
    for due in play.ledger.take_due(2) {
        let verdict = Verdict::Rest {
            kept: Vec::new(),
            left: None,
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
