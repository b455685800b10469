//! A ledger and its clock, played with by words for what happens in a cluster.

mod changes;
mod halts;
mod images;
mod many;
mod pull_secrets;
mod rollouts;

use super::*;
use crate::cluster::{NotReady, Pulling, Standing};
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

/// A Deployment in the namespace before the slash, else in that of all others.
fn id(name: &str) -> WorkloadId {
    let (namespace, name) = name.split_once('/').unwrap_or(("shop", name));
    WorkloadId {
        kind: Kind::from_word("deploy").unwrap(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

/// What this one is called in a play.
fn name(id: &WorkloadId) -> String {
    match id.namespace.as_str() {
        "shop" => id.name.clone(),
        namespace => format!("{namespace}/{}", id.name),
    }
}

/// A Deployment with this image, ready or not.
fn object(name: &str, image: &str, ready: bool, version: u64) -> Value {
    let record =
        json!({"run": "1", "slots": {"containers/a": {"original": IMAGE, "target": COPY}}});
    let id = id(name);
    let annotations = match image {
        COPY => json!({ORIGINALS: record.to_string()}),
        _ => Value::Null,
    };
    json!({
        "metadata": {
            "name": id.name, "namespace": id.namespace, "uid": name, "generation": 1,
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
        let names = due.iter().map(|due| name(&due.id)).collect();
        for due in due {
            let workload = due.workload.unwrap();
            let image = &workload.slots[0].image;
            let verdict = if image.starts_with("reg.corp/") {
                Verdict::Rest {
                    kept: Vec::new(),
                    with_our_secret: false,
                }
            } else {
                Verdict::Wants {
                    copies: vec![copy_of(image, &name(&due.id))],
                    keyring: Keyring::default(),
                    then: Then::Repoint(Box::new(planned(workload))),
                }
            };
            self.ledger.planned(&due.id, None, verdict, self.now);
        }
        names
    }

    /// Reads all that are due.
    fn rounds(&mut self) {
        while self.ledger.due() > 0 {
            self.round();
        }
    }

    /// What is begun now, in a word each.
    fn begins(&mut self) -> Vec<String> {
        let actions = self.ledger.actions(self.now);
        let word = |action: Action| match action {
            Action::Image(job) => match *job {
                Job::Bring(copy, _) => format!("bring {}", copy.target),
                Job::Check(copy) => format!("check {}", copy.target),
            },
            Action::Repoint(planned) => format!("repoint {}", name(&planned.workload.id)),
            Action::Look(workload, _) => format!("look {}", name(&workload.id)),
            Action::PullSecret(namespace) => format!("write the pull secret in {namespace}"),
            Action::LogIn => "log in".to_owned(),
            Action::PutBack(workload, _) => format!("put back {}", name(&workload.id)),
        };
        actions.into_iter().map(word).collect()
    }

    fn brought(&mut self, users: &[&str], state: ImageState) {
        self.brought_of(IMAGE, users, state);
    }

    /// The image is there for this one, unless it is denied, and maybe for anybody.
    fn brought_to(
        &mut self,
        name: &str,
        denied: &BTreeMap<WorkloadId, Failure>,
        openly: &BTreeSet<WorkloadId>,
    ) {
        let copy = copy(name);
        let outcome = outcome(&copy, ImageState::Present);
        self.ledger
            .brought(&copy, &outcome, denied, openly, self.now);
    }

    fn brought_of(&mut self, image: &str, users: &[&str], state: ImageState) {
        let mut copy = copy_of(image, users[0]);
        copy.users = users
            .iter()
            .map(|name| (id(name), BTreeSet::new()))
            .collect();
        let outcome = outcome(&copy, state);
        let (denied, openly) = (BTreeMap::new(), copy.users.keys().cloned().collect());
        self.ledger
            .brought(&copy, &outcome, &denied, &openly, self.now);
    }

    fn written(&mut self, name: &str) {
        let seen = Box::new(self.seen(name, COPY, false));
        self.ledger
            .written(&id(name), Written::Done(seen), self.now);
    }

    fn told(&mut self) -> Vec<(String, &'static str)> {
        let tellings = self.ledger.tellings().into_iter();
        tellings
            .map(|(id, _, telling)| (name(&id), telling.reason))
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
        let image = match &self.ledger.work(&id(name)).unwrap().stage {
            Stage::Unsettled { .. } => IMAGE,
            _ => COPY,
        };
        self.looked_for(image, name, pulling);
    }

    /// A look that was begun for this image has ended.
    fn looked_for(&mut self, image: &str, name: &str, pulling: Pulling) {
        self.ledger
            .looked(&id(name), pulling, Pulls::of([image]), self.now);
    }
}

impl Play {
    /// One that is new comes to rest, with our pull secret or without.
    fn comes_to_rest(&mut self, name: &str, with_our_secret: bool) {
        self.sees(name, "reg.corp/own:1", true);
        self.rests(Vec::new(), with_our_secret);
    }

    /// One that is new has its copy already.
    fn rests_on_its_copy(&mut self, name: &str) {
        self.rests_on(name, copy(name));
    }

    /// One that is new has its copy already, of what it says.
    fn rests_on(&mut self, name: &str, kept: Copy) {
        self.sees(name, COPY, true);
        self.rests(vec![kept], false);
    }

    /// Nothing is to be done about the next one that is due.
    fn rests(&mut self, kept: Vec<Copy>, with_our_secret: bool) {
        let due = self.ledger.take_due(1).remove(0);
        let verdict = Verdict::Rest {
            kept,
            with_our_secret,
        };
        self.ledger.planned(&due.id, None, verdict, self.now);
    }

    /// One that was repointed is ready, and its pods have this to show.
    fn settles(&mut self, name: &str, pulling: Pulling) {
        self.sees(name, COPY, true);
        assert_eq!(self.begins(), [format!("look {name}")]);
        self.looked(name, pulling);
    }
}

fn outcome(copy: &Copy, state: ImageState) -> ImageOutcome {
    let failed = matches!(state, ImageState::Failed(_));
    ImageOutcome {
        source: copy.source.clone(),
        target: copy.target.clone(),
        digest: (!failed).then(digest),
        state,
        foreign_left: 0,
        notes: Vec::new(),
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
        origin: Reference::parse(image).unwrap(),
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
