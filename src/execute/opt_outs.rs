//! Whether namespaces have opted out since they were observed: a clone may take hours.
//!
//! Decides for whom an answer is new enough: for all that were due before it was asked for, or, where each is due as
//! its images come, not long after. A run that writes nothing does not ask.

use crate::cluster::{Cluster, Error};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Mutex as Turns;

/// When it was asked whether a namespace opts out, and the answer; nothing before the first.
type Answer = Arc<Turns<Option<(Instant, bool)>>>;

/// How long an answer is new where workloads are due one by one.
const NEW: Duration = Duration::from_secs(10);

/// The opt-outs of the namespaces of one run.
pub(super) struct OptOuts<'a> {
    cluster: &'a Cluster,
    /// For how long after it an answer is new.
    new: Duration,
    answers: Mutex<BTreeMap<String, Answer>>,
}

impl<'a> OptOuts<'a> {
    /// `in_batches` where those that are due together are dealt with together.
    pub(super) fn new(cluster: &'a Cluster, in_batches: bool) -> Self {
        Self {
            cluster,
            new: if in_batches { Duration::ZERO } else { NEW },
            answers: Mutex::default(),
        }
    }

    /// Whether a namespace opts out, for what is in it and has been due since then.
    pub(super) async fn of(&self, namespace: &str, due: Instant) -> Result<bool, Error> {
        let answer = {
            let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(answers.entry(namespace.to_owned()).or_default())
        };
        let mut answer = answer.lock().await;
        if let Some((asked, opted_out)) = *answer
            && asked + self.new >= due
        {
            return Ok(opted_out);
        }
        let asked = Instant::now();
        let opted_out = self.cluster.opted_out(namespace).await?;
        *answer = Some((asked, opted_out));
        Ok(opted_out)
    }
}
