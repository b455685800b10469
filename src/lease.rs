//! Who of several agents works: leadership on a Lease.
//!
//! Decides when leadership begins and when it must be taken for lost, by this process's own monotonic clock.
//! Never decides what a leader does.
//!
//! What holds two leaders apart, whatever clocks and networks do:
//!
//! - A Lease is written in the version that was read, so that of two candidates one is refused.
//! - A leader counts its [`RENEW_DEADLINE`] from the moment at which it *began* to send the last renewal that
//!   succeeded. A candidate counts the other's [`LEASE_DURATION`] from the moment at which it *had read* the
//!   renewal. The first is earlier than the second, and the deadline shorter than the duration: as long as one
//!   clock is not half as fast again as the other, leadership is over before it can be taken. Times written in
//!   the Lease are for people; no clock is ever compared with another machine's.
//! - No request begins after the deadline, frozen process or not: the [`Fence`] of a [`Term`] is asked just
//!   before each is sent, and one that has no answer by then is given up. What the API server has of it may
//!   still take effect; it is compare-and-set (workloads, secrets) or named by its digest (registries), so that
//!   it changes nothing it should not. Labels of pods alone are not: see [`crate::webhook`].
//! - A process that starts again is another candidate: it waits for its own former Lease as for anybody's.
//!
//! Who deletes the Lease or writes a holder into it by hand takes leadership away at the leader's next
//! renewal, within [`RETRY`]; for as long there may be two.
//!
//! The Lease also carries what all replicas must know at once: the annotation [`PAUSED`].

mod candidate;
mod election;
mod record;

pub use candidate::stand;

use crate::cluster::Fence;
use crate::install::NAME;
use crate::workload::MANAGED_BY;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The annotation of the Lease that holds all work while it is `true`.
pub const PAUSED: &str = "image-cloner.io/paused";

/// For how long others must see a Lease unchanged before they take it: a pod that died is replaced within
/// this. As Kubernetes' own components have it.
pub const LEASE_DURATION: Duration = Duration::from_secs(15);

/// For how long a leader works on without a renewal. Five seconds less than the duration: so much may its
/// clock lag behind in ten, and a request that was begun at the end is answered by then.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);

/// From one look at the Lease to the next: four renewals may fail before the fifth is too late, and a pause or
/// a release is seen within this.
pub const RETRY: Duration = Duration::from_secs(2);

/// A time of leading, from its beginning to its end; a clone is another handle to the same.
#[derive(Debug, Clone)]
pub struct Term {
    ended: CancellationToken,
    fence: Fence,
}

impl Term {
    /// Cancelled when leadership is over: the deadline has passed, another leads, or it was given up.
    pub fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// What the term's requests must pass: [`crate::cluster::Cluster::behind`] it nothing begins too late.
    pub fn fence(&self) -> &Fence {
        &self.fence
    }

    fn end(&self) {
        self.fence.close();
        self.ended.cancel();
    }
}

/// How the election stands, as of the last look at the Lease.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// The term of this process, while it leads.
    pub term: Option<Term>,
    /// The identity of whoever leads, where anybody does.
    pub holder: Option<String>,
    /// Why the last look came to nothing.
    pub trouble: Option<String>,
}

/// What this process knows of the election; a clone is another handle to the same.
#[derive(Debug, Clone)]
pub struct Leadership {
    standing: watch::Receiver<Standing>,
    paused: watch::Receiver<bool>,
}

impl Leadership {
    /// Of a process that is the only one: a term without end, and no Lease to pause it by.
    pub fn alone() -> Self {
        let term = Term {
            ended: CancellationToken::new(),
            fence: Fence::open(),
        };
        let standing = Standing {
            term: Some(term),
            ..Standing::default()
        };
        let ((_, standing), (_, paused)) = (watch::channel(standing), watch::channel(false));
        Self { standing, paused }
    }

    /// Waits until this process leads. A process that stands no more never leads again.
    pub async fn held(&self) -> Term {
        let mut standing = self.standing.clone();
        let held = standing.wait_for(|standing| standing.term.is_some()).await;
        let term = held.ok().and_then(|standing| standing.term.clone());
        match term {
            Some(term) => term,
            None => std::future::pending().await,
        }
    }

    /// Whether all work is held. Until the Lease was seen for the first time, it is.
    pub fn paused(&self) -> watch::Receiver<bool> {
        self.paused.clone()
    }

    /// How it stands now.
    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Waits for the next look at the Lease, whatever it finds; `false` when there will be none.
    pub async fn looked(&mut self) -> bool {
        self.standing.changed().await.is_ok()
    }
}
