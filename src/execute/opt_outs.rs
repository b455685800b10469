//! Whether namespaces have opted out since they were observed: a clone may take hours.
//!
//! Decides for whom an answer is new enough: for all that were due before it was asked for.

use crate::cluster::{Cluster, Error};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::Mutex as Turns;

/// When it was asked whether a namespace opts out, and the answer; nothing before the first.
type Answer = Arc<Turns<Option<(Instant, bool)>>>;

/// The opt-outs of the namespaces of one run.
pub(super) struct OptOuts<'a> {
    cluster: &'a Cluster,
    answers: Mutex<BTreeMap<String, Answer>>,
}

impl<'a> OptOuts<'a> {
    pub(super) fn new(cluster: &'a Cluster) -> Self {
        Self {
            cluster,
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
            && asked >= due
        {
            return Ok(opted_out);
        }
        let asked = Instant::now();
        let opted_out = self.cluster.opted_out(namespace).await?;
        *answer = Some((asked, opted_out));
        Ok(opted_out)
    }
}
