//! Leadership on a real Lease: the API server of the test bed, and ways to it that are cut.

use crate::bed::{Bed, Cable, var};
use image_cloner::cluster::{Cluster, ConnectFlags, Error, WriteMode};
use image_cloner::lease::{self, Leadership, Term};
use serde_json::Value;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long anything may take; far more than it does.
const PATIENCE: Duration = Duration::from_secs(90);

/// An agent, as far as elections go.
struct Agent {
    leadership: Leadership,
    retired: CancellationToken,
    standing: JoinHandle<()>,
}

impl Agent {
    /// One that stands for leadership in the test's namespace; its way to the API server is this, if any.
    async fn start(bed: &Bed, name: &str, cable: Option<&Cable>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let flags = ConnectFlags {
            server: cable.map(|cable| format!("https://{}", cable.address())),
            ..ConnectFlags::default()
        };
        let cluster = Cluster::connect(&flags, WriteMode::Apply).await.unwrap();
        let retired = CancellationToken::new();
        let namespace = bed.namespace.clone();
        let (leadership, standing) = lease::stand(cluster, namespace, name, retired.clone());
        Self {
            leadership,
            retired,
            standing: tokio::spawn(standing),
        }
    }

    async fn leads(&self) -> Term {
        within("leadership", self.leadership.held()).await
    }

    fn is_leading(&self) -> bool {
        self.leadership.standing().term.is_some()
    }

    /// Waits until what it knows of the election is so.
    async fn knows(&self, what: &str, mut so: impl FnMut(&lease::Standing) -> bool) {
        let mut leadership = self.leadership.clone();
        within(what, async {
            while !so(&leadership.standing()) {
                assert!(leadership.looked().await, "{what}: it stands no more");
            }
        })
        .await;
    }

    /// Killed: nothing is given up.
    fn die(&self) {
        self.standing.abort();
    }

    async fn stop(self) {
        self.retired.cancel();
        within("the release", self.standing).await.unwrap();
    }
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, future).await;
    waited.unwrap_or_else(|_| panic!("never came: {what}"))
}

fn cable() -> Cable {
    let server = var("ADMIN_SERVER");
    Cable::to(server.trim_start_matches("https://").to_owned())
}

fn lease_of(bed: &Bed) -> Value {
    bed.get("lease/image-cloner")
}

fn spec(lease: &Value, field: &str) -> Value {
    lease["spec"][field].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_leads_and_hands_over_when_it_stops() {
    let Some(bed) = Bed::share("lease", false) else {
        return;
    };
    let one = Agent::start(&bed, "one", None).await;
    let term = one.leads().await;
    let other = Agent::start(&bed, "other", None).await;
    let is_one = |holder: &str| holder.starts_with("one_");
    other
        .knows("who leads", |standing| {
            standing.holder.as_deref().is_some_and(is_one)
        })
        .await;
    assert!(!other.is_leading());
    assert!(term.fence().is_open());

    one.stop().await;
    assert!(term.ended().is_cancelled());
    assert!(!term.fence().is_open());
    let released = lease_of(&bed);
    let term = other.leads().await;
    assert!(term.fence().is_open());
    let taken = lease_of(&bed);
    let holder = spec(&taken, "holderIdentity");
    assert!(holder.as_str().unwrap().starts_with("other_"), "{holder}");
    assert_eq!(spec(&taken, "leaseTransitions"), 1);
    // whether it had been taken when it was read or not, nobody had it in between
    let between = spec(&released, "holderIdentity");
    assert!(between == "" || between == holder, "{between}");
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_died_is_followed_and_keeps_nothing_by_its_name() {
    let Some(bed) = Bed::share("lease", false) else {
        return;
    };
    let one = Agent::start(&bed, "agent", None).await;
    let term = one.leads().await;
    one.die();
    within("the end of its term", term.ended().cancelled()).await;
    // another process of the same name
    let again = Agent::start(&bed, "agent", None).await;
    again
        .knows("that it is held", |standing| standing.holder.is_some())
        .await;
    assert!(!again.is_leading(), "it took the lease of its namesake");
    let held = lease_of(&bed);
    again.leads().await;
    let taken = lease_of(&bed);
    assert_ne!(
        spec(&held, "holderIdentity"),
        spec(&taken, "holderIdentity")
    );
    assert_eq!(spec(&taken, "leaseTransitions"), 1);
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_without_its_api_server_ends_before_another_begins() {
    let Some(bed) = Bed::share("lease", false) else {
        return;
    };
    let cable = cable();
    let one = Agent::start(&bed, "one", Some(&cable)).await;
    let term = one.leads().await;
    let other = Agent::start(&bed, "other", None).await;
    other
        .knows("who leads", |standing| standing.holder.is_some())
        .await;
    cable.cut();
    let mut witness = other.leadership.clone();
    let order = within("the handover", async {
        tokio::select! {
            biased;
            () = term.ended().cancelled() => "ended",
            () = async { while witness.standing().term.is_none() && witness.looked().await {} } => "taken",
        }
    })
    .await;
    assert_eq!(order, "ended");
    assert!(!term.fence().is_open());
    other.leads().await;
    assert!(!one.is_leading());
    one.knows("its trouble", |standing| standing.trouble.is_some())
        .await;

    cable.mend();
    one.knows("who leads now", |standing| {
        let holder = standing.holder.as_deref().unwrap_or_default();
        holder.starts_with("other_") && standing.trouble.is_none()
    })
    .await;
    assert!(!one.is_leading());
    assert!(other.is_leading());
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_that_is_mended_leaves_the_lease_with_its_leader() {
    let Some(bed) = Bed::share("lease", false) else {
        return;
    };
    let cable = cable();
    let agent = Agent::start(&bed, "one", Some(&cable)).await;
    agent.leads().await;
    cable.cut();
    agent
        .knows("its trouble", |standing| standing.trouble.is_some())
        .await;
    cable.mend();
    agent
        .knows("that it is over", |standing| standing.trouble.is_none())
        .await;
    agent.leads().await;
    assert_eq!(spec(&lease_of(&bed), "leaseTransitions"), 0);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_reaches_leader_and_follower_and_outlives_renewals() {
    let Some(bed) = Bed::share("lease", false) else {
        return;
    };
    let one = Agent::start(&bed, "one", None).await;
    let is_paused = |agent: &Agent| *agent.leadership.paused().borrow();
    assert!(is_paused(&one), "before anything is known");
    one.leads().await;
    assert!(!is_paused(&one));
    let other = Agent::start(&bed, "other", None).await;
    let annotate = |text: &str| {
        bed.kubectl(&["annotate", "lease/image-cloner", "--overwrite", text]);
    };
    annotate("image-cloner.io/paused=true");
    annotate("corp.example/on-call=jane");
    for agent in [&one, &other] {
        agent
            .knows("the pause", |standing| {
                is_paused(agent) && standing.holder.is_some()
            })
            .await;
    }
    let before = lease_of(&bed);
    bed.until("two renewals", || {
        let renewed = spec(&lease_of(&bed), "renewTime");
        renewed != spec(&before, "renewTime")
    });
    let after = lease_of(&bed);
    assert_eq!(
        after["metadata"]["annotations"],
        before["metadata"]["annotations"]
    );
    assert_eq!(
        spec(&after, "holderIdentity"),
        spec(&before, "holderIdentity")
    );
    annotate("image-cloner.io/paused-");
    for agent in [&one, &other] {
        agent.knows("the resumption", |_| !is_paused(agent)).await;
    }
    assert!(one.is_leading());
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_lease_is_made_again_by_its_leader() {
    let Some(bed) = Bed::share("lease", false) else {
        return;
    };
    let one = Agent::start(&bed, "one", None).await;
    let term = one.leads().await;
    let other = Agent::start(&bed, "other", None).await;
    other
        .knows("who leads", |standing| standing.holder.is_some())
        .await;
    let before = lease_of(&bed);
    bed.kubectl(&["delete", "lease/image-cloner"]);
    bed.until("a lease", || {
        let leases = bed.get("leases");
        leases["items"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
    });
    let after = lease_of(&bed);
    assert_ne!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(
        spec(&after, "holderIdentity"),
        spec(&before, "holderIdentity")
    );
    assert!(!term.ended().is_cancelled());
    assert!(!other.is_leading());
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn no_request_is_begun_behind_a_closed_fence() {
    let Some(bed) = Bed::share("lease", false) else {
        return;
    };
    let agent = Agent::start(&bed, "one", None).await;
    let term = agent.leads().await;
    let cluster = Cluster::connect(&ConnectFlags::default(), WriteMode::Apply)
        .await
        .unwrap();
    let behind = cluster.behind(term.fence());
    behind.namespaces().await.unwrap();
    agent.stop().await;
    let error = behind.namespaces().await.unwrap_err();
    assert!(matches!(error, Error::Fenced(_)), "{error:?}");
    assert_eq!(
        error.to_string(),
        "listing namespaces: not begun: leadership is over"
    );
    cluster.namespaces().await.unwrap();
}
