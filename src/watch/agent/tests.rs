//! What the loop begins by itself, and what it leaves to the ledger.

use super::*;
use crate::config::{Config, Environment};
use crate::plan::Copy;
use crate::reference::Reference;
use crate::watch::ledger::{Action, Checked, Due, Job, Purpose, Verdict};
use crate::watch::seen::Seen;
use crate::workload::{Kind, ORIGINALS, PULL_SECRET, SKIP, Workload};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

fn settings(variables: &[(&str, &str)]) -> Arc<AgentSettings> {
    let of_all = [("REGISTRY", "127.0.0.1:1/new"), ("KINDS", "deployments")];
    let all = of_all.iter().chain(variables);
    let all = all.map(|(name, value)| (format!("IMAGE_CLONER_{name}"), (*value).to_owned()));
    let environment: Environment = all.collect();
    Arc::new(AgentSettings::new(environment, Config::default()).unwrap())
}

/// An agent whose cluster has nothing.
fn agent(variables: &[(&str, &str)]) -> Agent {
    Agent {
        cluster: Cluster::answering(|_, _| (404, Value::Null)),
        settings: watch::channel(settings(variables)).1,
        paused: watch::channel(false).1,
        health: Health::starting(),
        metrics: Metrics::default(),
        known: Known::default(),
        run: RunId {
            id: "a7f3".to_owned(),
            time: "2024-01-01T00:00:00Z".to_owned(),
        },
    }
}

async fn working(agent: &Agent) -> Working<'_> {
    let settings = agent.settings.borrow().clone();
    let begun = Working::begin(agent, settings, CancellationToken::new());
    begun.await.unwrap()
}

#[tokio::test]
async fn looking_at_everything_again_puts_off_no_look_at_the_tags() {
    let agent = agent(&[("RESYNC", "1h"), ("REFRESH", "24h")]);
    let mut working = working(&agent).await;
    let first = working.refresh;
    assert!(first.is_some());
    working.look_again(Instant::now()).await;
    assert_eq!(working.refresh, first);
    working.settings = settings(&[("REFRESH", "24h"), ("MODE", "copy")]);
    working.look_again(Instant::now()).await;
    assert_eq!(working.refresh, first, "other settings than this one");
    working.settings = settings(&[("REFRESH", "12h")]);
    working.look_again(Instant::now()).await;
    assert!(working.refresh.is_some_and(|at| Some(at) < first));
    working.settings = settings(&[]);
    working.look_again(Instant::now()).await;
    assert_eq!(working.refresh, None);
}

#[tokio::test]
async fn a_process_that_ends_begins_nothing_more() {
    let agent = agent(&[]);
    let mut working = working(&agent).await;
    let now = Instant::now();
    let object = json!({
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"template": {"spec": {"containers": [{"name": "a", "image": "nginx"}]}}},
    });
    let seen = Seen::of(&Kind::from_word("deploy").unwrap(), &object).unwrap();
    working.ledger.seen(seen, 1, now);
    (working.resync, working.refresh) = (Some(now), Some(now));
    working.due_since = now.checked_sub(GATHERING);
    working.ledger.ends = true;
    working.begin_what_is_due().await;
    assert!(working.tasks.is_empty());
    assert_eq!((working.resync, working.refresh), (Some(now), Some(now)));
    assert!(working.wakes() > Instant::now(), "nothing is waited for");
    working.ledger.ends = false;
    working.begin_what_is_due().await;
    assert_eq!(working.rounds, 1);
    assert_ne!(working.resync, Some(now));
    assert_ne!(working.refresh, Some(now));
}

#[tokio::test]
async fn a_record_of_copies_elsewhere_asks_for_no_pull_secret() {
    let agent = agent(&[("SKIP_NAMESPACES", "untrusted-*")]);
    let hands = working(&agent).await.hands;
    let asks = async |namespace: &str, copy: &str| {
        let slots = json!({"containers/a": {"original": "nginx", "target": copy}});
        let record = json!({"run": "1", "slots": slots}).to_string();
        let pod = json!({"imagePullSecrets": [{"name": PULL_SECRET}],
                         "containers": [{"name": "a", "image": copy}]});
        let object = json!({
            "metadata": {"name": "web", "namespace": namespace, "labels": {SKIP: "true"},
                         "annotations": {ORIGINALS: record}},
            "spec": {"template": {"spec": pod}},
        });
        let workload = Workload::from_object(&Kind::from_word("deploy").unwrap(), &object).unwrap();
        let due = Due {
            id: workload.id.clone(),
            workload: Some(workload),
            purpose: Purpose::Clone,
            cloned: None,
        };
        let said = Said::default();
        let found = round(&hands.cluster, &hands.footing, &said, vec![due]).await;
        let Verdict::Rest {
            with_our_secret, ..
        } = found[0].verdict
        else {
            panic!("it opted out");
        };
        with_our_secret
    };
    assert!(asks("shop", "127.0.0.1:1/new/nginx").await);
    assert!(!asks("shop", "127.0.0.1:1/newer/nginx").await);
    assert!(!asks("shop", "evil.io/nginx").await);
    assert!(!asks("untrusted-1", "127.0.0.1:1/new/nginx").await);
    assert!(!asks("kube-system", "127.0.0.1:1/new/nginx").await);
}

#[tokio::test]
async fn nothing_is_asked_of_another_registry_than_the_target() {
    let agent = agent(&[]);
    let hands = working(&agent).await.hands;
    let copy_in = |target: &str| Copy {
        origin: Reference::parse("127.0.0.1:1/a").unwrap(),
        source: Reference::parse("127.0.0.1:1/a").unwrap(),
        target: Reference::parse(target).unwrap(),
        running: BTreeSet::new(),
        users: BTreeMap::new(),
    };
    for target in ["127.0.0.1:1/a", "127.0.0.1:1/newer/a", "127.0.0.1:2/new/a"] {
        let copy = copy_in(target);
        for job in [Job::Check(copy.clone()), Job::Bring(copy, BTreeMap::new())] {
            let done = hands.clone().carry_out(Action::Image(Box::new(job))).await;
            let Done::Checked(_, Checked::Failed(failure)) = done else {
                panic!("{target} is none of ours");
            };
            let why = failure.message;
            assert!(why.contains("no credentials are sent there"), "{why}");
        }
    }
    let own = hands.footing.covers(&copy_in("127.0.0.1:1/new/a").target);
    assert!(own.is_ok());
}
