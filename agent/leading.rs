//! Which of several agents works.
//!
//! Decides whether there is an election, and as who this process stands in it; brings what comes of it to the
//! probes and the figures. Never decides who wins: that is [`image_cloner::lease`].

use crate::stop::Stop;
use crate::webhook::Admission;
use image_cloner::cluster::Cluster;
use image_cloner::lease::{self, Leadership};
use image_cloner::outcome::Failure;
use image_cloner::watch::{Agent, Health, Metrics};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A way to lead, and to give it up.
pub(crate) struct Candidacy {
    pub(crate) leadership: Leadership,
    /// Where this agent's Lease is, and all else that is its own.
    pub(crate) namespace: String,
    retired: CancellationToken,
    standing: Option<JoinHandle<()>>,
}

impl Candidacy {
    /// Stands for leadership where that was asked for, else where this is a pod that knows its namespace.
    pub(crate) fn begin(
        elect: Option<bool>,
        cluster: &Cluster,
        health: &Health,
        metrics: &Metrics,
    ) -> Self {
        let retired = CancellationToken::new();
        let pod_namespace = variable("POD_NAMESPACE");
        let is_pod = pod_namespace.is_some();
        let namespace = pod_namespace.unwrap_or_else(|| cluster.namespace().to_owned());
        if !elect.unwrap_or(is_pod) {
            metrics.leading.set(1);
            return Self {
                leadership: Leadership::alone(),
                namespace,
                retired,
                standing: None,
            };
        }
        let name = pod_name().unwrap_or_else(|| {
            let host = rustix::system::uname();
            let host = host.nodename().to_string_lossy();
            format!("{host}_{}", std::process::id())
        });
        let (leadership, standing) =
            lease::stand(cluster.clone(), namespace.clone(), &name, retired.clone());
        health.waits();
        health.trouble("lease", "not seen yet");
        let told = tell(leadership.clone(), health.clone(), metrics.clone());
        tokio::spawn(told);
        Self {
            leadership,
            namespace,
            retired,
            standing: Some(tokio::spawn(standing)),
        }
    }

    /// Works in every term that this process wins, and answers admission requests, until it is told to stop.
    pub(crate) async fn work(
        &self,
        mut agent: Agent,
        admission: Option<&Admission>,
        stop: &Stop,
    ) -> Result<(), Failure> {
        let cluster = agent.cluster.clone();
        loop {
            let held = self.leadership.held();
            let Some(term) = stop.closing.run_until_cancelled(held).await else {
                return Ok(());
            };
            agent.cluster = cluster.behind(term.fence());
            let over = term.ended().child_token();
            let mut work = std::pin::pin!(term_of(&agent, admission, &stop.closing, &over));
            let ended = tokio::select! {
                ended = &mut work => ended,
                () = stop.ending.cancelled() => {
                    over.cancel();
                    work.await
                }
            };
            agent.health.waits();
            agent.metrics.rest();
            match ended {
                Err(failure) if !over.is_cancelled() => return Err(failure),
                _ if stop.closing.is_cancelled() => return Ok(()),
                _ => {}
            }
        }
    }

    /// Gives up leadership, so that another takes it at once. The last thing to do: nothing may be under way.
    pub(crate) async fn end(self) {
        self.retired.cancel();
        if let Some(standing) = self.standing {
            // it panicked, which is the end of it as well
            let _ = standing.await;
        }
    }
}

/// One term: the loop, and the webhook as long as that works.
async fn term_of(
    agent: &Agent,
    admission: Option<&Admission>,
    closing: &CancellationToken,
    over: &CancellationToken,
) -> Result<(), Failure> {
    let idle = over.child_token();
    let working = async {
        let ended = agent.work(closing, over).await;
        idle.cancel();
        ended
    };
    let answering = async {
        match admission {
            Some(admission) => admission.serve(agent, agent.cluster.clone(), &idle).await,
            None => Ok(()),
        }
    };
    tokio::try_join!(working, answering).map(|_| ())
}

/// Tells probes and figures of every look at the Lease.
async fn tell(mut leadership: Leadership, health: Health, metrics: Metrics) {
    let paused = leadership.paused();
    let mut led = false;
    while leadership.looked().await {
        let standing = leadership.standing();
        let leads = standing.term.is_some();
        metrics.leading.set(i64::from(leads));
        metrics.paused.set(i64::from(*paused.borrow()));
        metrics
            .lease_failing
            .set(i64::from(standing.trouble.is_some()));
        match standing.trouble {
            Some(why) => health.trouble("lease", why),
            None => health.well("lease"),
        }
        if !leads {
            // who works says so itself
            health.moved();
        } else if !led {
            metrics.terms.inc();
        }
        led = leads;
    }
}

/// The name of the pod that this is, where it is told.
pub(crate) fn pod_name() -> Option<String> {
    variable("POD_NAME")
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
