//! Admission: workloads repointed as they are created, where their copies are known complete.
//!
//! Decides the answer to an admission review, from what is known in this process alone ([`Known`]), and keeps the
//! certificate by which the API server knows it. Never asks anybody before it answers, and never refuses a
//! workload: whatever is not known passes as it is, and the loop sees to it later.

mod certificate;
mod decide;
mod keep;
mod review;
mod serve;
#[cfg(test)]
mod tests;

pub use keep::{Keeper, Place};

use crate::cluster::{Cluster, Error};
use crate::install::LEADER;
use crate::watch::{Known, Metrics};
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How often the certificate and the way to this pod are looked at.
const ROUND: Duration = Duration::from_secs(10 * 60);

/// How soon after the first time they are looked at again. Labels of two pods are no one object that could be
/// compared and set: what a former leader had sent at its end may take effect after the first look. The API
/// server works on no request for longer than a minute (its `--request-timeout`), so that it does not after
/// the second.
const SETTLED: Duration = Duration::from_secs(70);

/// How soon after the first failure it is looked at again; twice as long after each further one, up to the second.
const AGAIN: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// The webhook of one agent, for as long as that leads.
pub struct Webhook {
    /// Where it listens.
    pub listener: TcpListener,
    /// What it knows.
    pub known: Known,
    /// What it counts.
    pub metrics: Metrics,
    /// Its own pod, which the API server is led to: namespace and name. None where it is in none.
    pub pod: Option<(String, String)>,
}

impl Webhook {
    /// Answers admission reviews and keeps its certificate until it is told to stop.
    pub async fn run(self, cluster: Cluster, place: Place, stop: &CancellationToken) {
        let keeper = Keeper::new(cluster.clone(), place);
        let pod = self.pod.clone();
        tokio::join!(
            self.serve(&keeper, stop),
            keep(&keeper, &cluster, pod.as_ref(), stop)
        );
    }

    /// Answers admission reviews, as whoever the keeper's certificate says, until it is told to stop.
    pub async fn serve(self, keeper: &Keeper, stop: &CancellationToken) {
        serve::serve(
            self.listener,
            keeper.shown(),
            self.known,
            self.metrics,
            stop,
        )
        .await;
    }
}

/// Keeps the certificate and the way to this pod until it is told to stop: at once, since every write is
/// compare-and-set and whoever comes next does the rest.
async fn keep(
    keeper: &Keeper,
    cluster: &Cluster,
    pod: Option<&(String, String)>,
    stop: &CancellationToken,
) {
    let keeping = async {
        let mut pauses = Pauses::default();
        loop {
            let kept = round(keeper, cluster, pod).await;
            if let Err(error) = &kept {
                tracing::warn!(%error, "the webhook is not called yet");
            }
            tokio::time::sleep(pauses.after(kept.is_ok())).await;
        }
    };
    let _: Option<()> = stop.run_until_cancelled(keeping).await;
}

/// When the next look is due.
#[derive(Debug, Default)]
struct Pauses {
    is_settled: bool,
    failures: u32,
}

impl Pauses {
    fn after(&mut self, well: bool) -> Duration {
        if !well {
            self.failures += 1;
            return AGAIN
                .saturating_mul(1 << (self.failures - 1).min(16))
                .min(LONGEST);
        }
        self.failures = 0;
        if std::mem::replace(&mut self.is_settled, true) {
            ROUND
        } else {
            SETTLED
        }
    }
}

async fn round(
    keeper: &Keeper,
    cluster: &Cluster,
    pod: Option<&(String, String)>,
) -> Result<(), Error> {
    keeper.round(SystemTime::now()).await?;
    if let Some((namespace, name)) = pod {
        cluster.mark_only(namespace, name, LEADER).await?;
    }
    Ok(())
}
