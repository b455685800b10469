//! One candidate at work: looks at the Lease, writes it when it is its turn, and says how it stands.
//!
//! Decides how often it looks and how long an answer may take. Never decides whose turn it is: that is
//! [`super::election`].

use super::election::Election;
use super::{Leadership, NAME, RETRY, Standing, Term, record};
use crate::cluster::{Cluster, Error, Fence, Moment};
use jiff::Timestamp;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long a look may take in all: half of the time in which a leader must have succeeded, so that a
/// connection that died unnoticed costs one look and not the leadership.
const PATIENCE: Duration = Duration::from_secs(5);

/// A Lease that others keep changing, by annotations for example, is written at the latest in this try.
const TRIES: u32 = 3;

/// A stop waits no longer than this for the release: what is not released expires. All of an agent's stop has to
/// fit into its pod's grace period.
const RELEASING: Duration = Duration::from_secs(8);

/// Stands for leadership in a namespace, under a name that is this process's in people's eyes, until `retired`
/// is cancelled: then it gives up what it has. The future does the work; the handle tells how it stands.
///
/// The identity is the name and a number of this process's own: one that starts again under its old name is
/// not the one that was.
pub fn stand(
    cluster: Cluster,
    namespace: String,
    name: &str,
    retired: CancellationToken,
) -> (Leadership, impl Future<Output = ()> + Send + use<>) {
    let identity = format!("{name}_{:08x}", random());
    let (told, standing) = watch::channel(Standing::default());
    let (pause, paused) = watch::channel(true);
    let candidate = Candidate {
        cluster,
        election: Election::new(namespace.clone(), identity.clone()),
        namespace,
        identity,
        known: None,
        holder: None,
        told,
        pause,
    };
    (Leadership { standing, paused }, candidate.stand(retired))
}

struct Candidate {
    /// Behind no fence: the Lease is written while nobody leads, and released after.
    cluster: Cluster,
    election: Election,
    namespace: String,
    identity: String,
    /// The Lease as this process wrote it last: it is renewed without being read.
    known: Option<Value>,
    holder: Option<String>,
    told: watch::Sender<Standing>,
    pause: watch::Sender<bool>,
}

impl Candidate {
    async fn stand(mut self, retired: CancellationToken) {
        let standing = async {
            loop {
                let looked = timeout(self.left().min(PATIENCE), self.look()).await;
                let trouble = match looked {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(error.to_string()),
                    Err(_) => Some("looking at the lease: no answer in time".to_owned()),
                };
                self.tell(trouble);
                sleep(self.left().min(pause())).await;
                self.end_late_term();
            }
        };
        let _: Option<()> = retired.run_until_cancelled(standing).await;
        self.end_term("this process stops");
        match timeout(RELEASING, self.release()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the lease was not released"),
            Err(_) => tracing::warn!("the lease was not released in time"),
        }
    }

    /// For how long leadership lasts without another renewal; without an end where there is none.
    fn left(&self) -> Duration {
        let deadline = self.election.deadline();
        deadline.map_or(Duration::MAX, |deadline| Moment::now().until(deadline))
    }

    /// Looks at the Lease, and writes it when it is this process's turn.
    async fn look(&mut self) -> Result<(), Error> {
        let mut tries = 0;
        loop {
            tries += 1;
            let lease = self.lease().await?;
            let read = Moment::now();
            if let Some(lease) = &lease {
                self.saw(lease);
            }
            let Some(lease) = self.election.turn(lease, read, Timestamp::now()) else {
                return Ok(());
            };
            let begun = Moment::now();
            match self.write(&lease).await {
                Ok(written) => {
                    self.election.wrote(begun);
                    self.saw(&written);
                    self.known = Some(written);
                    return Ok(());
                }
                Err(Error::Conflict(_)) if tries < TRIES => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The Lease as it is, or as this process wrote it last. What becomes of a write that is given up is not
    /// known, so that it is read again after.
    async fn lease(&mut self) -> Result<Option<Value>, Error> {
        match self.known.take() {
            Some(known) => Ok(Some(known)),
            None => self.cluster.lease(&self.namespace, NAME).await,
        }
    }

    async fn write(&self, lease: &Value) -> Result<Value, Error> {
        let (cluster, namespace) = (&self.cluster, self.namespace.as_str());
        if lease["metadata"]["resourceVersion"].is_null() {
            cluster.create_lease(namespace, NAME, lease).await
        } else {
            cluster.replace_lease(namespace, NAME, lease).await
        }
    }

    /// Gives up the Lease, where it is this process's.
    async fn release(&mut self) -> Result<(), Error> {
        let mut tries = 0;
        loop {
            tries += 1;
            let lease = self.lease().await?;
            let ours = lease.filter(|lease| self.election.is_ours(&record::claim(lease)));
            let Some(lease) = ours else {
                return Ok(());
            };
            let lease = record::released(lease, Timestamp::now());
            match self.write(&lease).await {
                Err(Error::Conflict(_)) if tries < TRIES => {}
                answer => return answer.map(|_| ()),
            }
        }
    }

    fn saw(&mut self, lease: &Value) {
        let holder = Some(record::claim(lease).holder).filter(|holder| !holder.is_empty());
        if self.holder != holder {
            let holder = holder.as_deref().unwrap_or("nobody");
            tracing::info!(holder, "the lease has a new holder");
        }
        self.holder = holder;
        let paused = record::is_paused(lease);
        self.pause.send_if_modified(|held| {
            let changed = *held != paused;
            *held = paused;
            changed
        });
    }

    /// Tells what a look came to: begins a term, prolongs it or ends it.
    fn tell(&mut self, trouble: Option<String>) {
        if self.election.deadline().is_none() {
            self.end_term("another has the lease");
        }
        self.end_late_term();
        let deadline = self.election.deadline();
        self.told.send_modify(|standing| {
            match &trouble {
                Some(why) if standing.trouble != trouble => {
                    tracing::warn!(why, "cannot look at the lease");
                }
                None if standing.trouble.is_some() => tracing::info!("the lease is seen again"),
                _ => {}
            }
            standing.trouble = trouble;
            standing.holder.clone_from(&self.holder);
            let Some(deadline) = deadline else { return };
            let term = standing.term.get_or_insert_with(|| {
                tracing::info!(identity = self.identity, "leading");
                Term {
                    ended: CancellationToken::new(),
                    fence: Fence::closed(),
                }
            });
            term.fence.open_until(deadline);
        });
    }

    fn end_late_term(&mut self) {
        if self.left().is_zero() {
            self.end_term("the lease could not be renewed in time");
        }
    }

    fn end_term(&mut self, why: &str) {
        self.election.resign();
        self.told.send_if_modified(|standing| {
            let Some(term) = standing.term.take() else {
                return false;
            };
            term.end();
            tracing::info!(identity = self.identity, why, "leading no more");
            true
        });
    }
}

impl Drop for Candidate {
    /// What nobody renews is over, whatever became of who did.
    fn drop(&mut self) {
        self.end_term("nobody renews it");
    }
}

/// The pause between two looks, a quarter longer or less, so that replicas do not look in step.
fn pause() -> Duration {
    RETRY + RETRY.mul_f64(f64::from(random() % 256) / 1024.0)
}

fn random() -> u32 {
    getrandom::u32().expect("a system that starts processes has random numbers")
}
