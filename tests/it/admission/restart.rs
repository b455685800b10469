//! What an agent knows for its webhook when it begins where everything is cloned already.

use crate::bed::{Bed, deployment, var};
use image_cloner::cluster::{Cluster, ConnectFlags, WriteMode};
use image_cloner::config::{AgentSettings, Config, Environment};
use image_cloner::reference::Reference;
use image_cloner::watch::{Agent, Health, Known, Metrics, RunId};
use image_cloner::workload::PULL_SECRET;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

fn settings(bed: &Bed, scope: &[(&str, &str)]) -> AgentSettings {
    let variables = [
        ("CONFIG", var("CONFIG")),
        ("REGISTRY", bed.target()),
        ("USER", var("TARGET_USER")),
        ("PASS", var("TARGET_PASS")),
        ("PULL_USER", var("PULL_USER")),
        ("PULL_PASS", var("PULL_PASS")),
    ];
    let scope = scope
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()));
    let variables = variables.into_iter().chain(scope);
    let environment: Environment = variables
        .map(|(name, value)| (format!("IMAGE_CLONER_{name}"), value))
        .collect();
    let config = Config::load(&environment).unwrap();
    AgentSettings::new(environment, config).unwrap()
}

#[tokio::test]
async fn what_stands_from_copies_is_known_to_the_webhook_though_nothing_rolls_out() {
    let Some(bed) = Bed::share("restart", true) else {
        return;
    };
    begins(&bed, &[("NAMESPACES", &bed.namespace)]).await;
}

#[tokio::test]
async fn so_it_is_where_all_namespaces_are_worked_in_and_watched() {
    let Some(bed) = Bed::share("yy-restart", true) else {
        return;
    };
    // all, but for those of other tests
    begins(&bed, &[("SKIP_NAMESPACES", "[!y]*")]).await;
}

/// An agent with this scope begins where everything is cloned already.
async fn begins(bed: &Bed, scope: &[(&str, &str)]) {
    bed.apply(&deployment("web", &[("web", "busybox:1.36")], &[]));
    bed.plugin(&["clone", "deploy/web", "--wait"]).exits(0);
    let before = bed.get("deploy/web")["metadata"]["generation"].clone();

    let _ = rustls::crypto::ring::default_provider().install_default();
    let flags = ConnectFlags::default();
    let cluster = Cluster::connect(&flags, WriteMode::Apply);
    let (_changes, in_force) = watch::channel(Arc::new(settings(bed, scope)));
    let (_pause, paused) = watch::channel(false);
    let known = Known::asked();
    let agent = Agent {
        cluster: cluster.await.unwrap(),
        settings: in_force,
        paused,
        health: Health::starting(),
        metrics: Metrics::default(),
        known: known.clone(),
        run: RunId {
            id: "a7f3".to_owned(),
            time: "2024-01-01T00:00:00Z".to_owned(),
        },
    };
    let (closing, stop) = (CancellationToken::new(), CancellationToken::new());
    let copy = Reference::parse(&format!("{}/busybox:1.36", bed.target())).unwrap();
    let ours = [PULL_SECRET.to_owned()];
    let all_is_known = async {
        let namespace = &bed.namespace;
        for _ in 0..1200 {
            if known.terms().is_some()
                && known.copy_for(namespace, &copy).is_some()
                && known.opted_out(namespace) == Some(false)
                && known.has_pull_secret(namespace)
                && known.account_pull_secrets(namespace, "default").is_some()
                && known.pull_credentials(namespace, &ours).is_some()
            {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        false
    };
    let is_known = tokio::select! {
        ended = agent.work(&closing, &stop) => panic!("it ended: {ended:?}"),
        is_known = all_is_known => is_known,
    };
    assert!(is_known, "{known:?}");
    assert_eq!(bed.get("deploy/web")["metadata"]["generation"], before);

    // who stops working knows nothing any more
    closing.cancel();
    agent.work(&closing, &stop).await.unwrap();
    assert!(known.terms().is_none());
    assert_eq!(known.opted_out(&bed.namespace), None);
}
