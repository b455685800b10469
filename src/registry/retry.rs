//! When a request is sent again.
//!
//! Decides how many tries there are and the pauses between them. Never sends anything.

use super::host::Endpoint;
use super::refusal::{Kind, Refusal, Result};
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often a request is sent again.
pub(super) const RETRIES: usize = 5;

/// How often a connection is tried again to a place that never answered.
const CONNECTION_RETRIES: usize = 2;

/// The longest pause that is waited out; a registry that asks for more is told of instead.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(90);

/// The most that is added to a pause that was asked for.
const SPREAD: Duration = Duration::from_secs(1);

/// Nothing is asked for so long.
pub(super) struct Pause {
    pub(super) length: Duration,
    /// As people are told: `docker.io asks for it`.
    pub(super) why: String,
}

impl Pause {
    /// One that many wait out together.
    pub(super) fn asked(host: &str, length: Duration) -> Self {
        Self {
            length: length + backoff().next().unwrap_or_default().min(SPREAD),
            why: format!("{host} asks for it"),
        }
    }
}

/// The pauses between tries, with jitter so that many clients do not return together.
pub(super) struct Pauses {
    endpoint: Arc<Endpoint>,
    next: ExponentialBackoff,
    taken: usize,
    most: usize,
}

impl Pauses {
    /// Pauses for at most `most` further tries.
    pub(super) fn new(endpoint: &Arc<Endpoint>, most: usize) -> Self {
        Self {
            endpoint: Arc::clone(endpoint),
            next: backoff(),
            taken: 0,
            most,
        }
    }

    /// How long to wait after this refusal; the refusal itself when it is the last one.
    pub(super) fn after(&mut self, mut refusal: Box<Refusal>) -> Result<Pause> {
        if refusal.exhausted {
            return Err(refusal);
        }
        // where nobody listens or no name resolves, people wait for the message; a registry that
        // answered before is only away
        let most = match refusal.kind {
            Kind::NoConnection if !self.endpoint.answered.load(Ordering::Relaxed) => {
                self.most.min(CONNECTION_RETRIES)
            }
            _ => self.most,
        };
        let next = self.next.next().filter(|_| self.taken < most);
        let Some(pause) = next else {
            refusal.exhausted = true;
            return Err(refusal);
        };
        self.taken += 1;
        let asked = refusal.retry_after.unwrap_or_default();
        if asked > LONGEST_PAUSE {
            let asked = asked.as_secs();
            refusal.detail = format!("{}; it asks to come back in {asked} s", refusal.detail);
            refusal.exhausted = true;
            return Err(refusal);
        }
        tracing::debug!(what = refusal.what, detail = refusal.detail, "trying again");
        Ok(Pause {
            length: pause.max(asked + pause.min(SPREAD)),
            why: why(&self.endpoint.host, &refusal),
        })
    }
}

/// Whether it is no reason to give up an upload, although the same request would be refused again: a wrong body may
/// come right, a token be renewed, a lost upload be opened anew.
pub(super) fn is_odd(refusal: &Refusal) -> bool {
    let lost = [
        "BLOB_UPLOAD_UNKNOWN",
        "BLOB_UPLOAD_INVALID",
        "DIGEST_INVALID",
    ];
    match refusal.kind {
        Kind::Corrupt => true,
        Kind::Status(status) => {
            matches!(status.as_u16(), 401 | 404 | 410 | 416)
                || lost.contains(&refusal.code.as_str())
        }
        _ => false,
    }
}

/// Why there is a pause after this refusal.
fn why(host: &str, refusal: &Refusal) -> String {
    match refusal.kind {
        _ if refusal.retry_after.is_some() => format!("{host} asks for it"),
        Kind::Status(status) => format!("{host} answered {}", status.as_u16()),
        Kind::NoConnection => format!("{host} cannot be reached"),
        Kind::Corrupt => format!("{host} gave or got wrong bytes"),
        _ => format!("the connection to {host} broke"),
    }
}

fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(250))
        .with_max_delay(Duration::from_secs(15))
        .without_max_times()
        .with_jitter()
        .build()
}
