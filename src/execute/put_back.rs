//! A clone that did a workload no good, taken back.
//!
//! Decides what belongs to that: what the workload had before, our claim to its fields, and the pods that would
//! hold a StatefulSet up. Never decides whether it is to be, nor follows what comes of it.

use crate::cluster::{Cluster, Error, TRIES};
use crate::outcome::Failure;
use crate::patch;
use crate::plan::{self, Decision, Repoint, Undo};
use crate::workload::{RESTORED, Workload, WorkloadId};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What taking a clone back came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutBack {
    /// The workload has what it had before; what is left of the clone all the same, each a sentence.
    Done(Vec<String>),
    /// It is not ours to take back any more, for this reason.
    NotOurs(String),
}

/// Gives a workload what it had before this was `done` to it (planned on the one, written as the other); where
/// that is not known, what its record says. Pods that a StatefulSet waits for are deleted as soon as its
/// controller has seen the change, for which it waits so long, or until it is told to stop.
///
/// # Errors
/// When it cannot be written: it may be tried again.
pub async fn put_back(
    cluster: &Cluster,
    id: &WorkloadId,
    done: Option<(&Workload, &Repoint)>,
    timeout: Duration,
    stop: &CancellationToken,
) -> Result<PutBack, Failure> {
    if let Some(reason) = write(cluster, id, done).await? {
        return Ok(PutBack::NotOurs(reason));
    }
    let mut left = Vec::new();
    // where nothing of ours is left in it, no claim to its fields is either
    let is_clean = done.is_none_or(|(before, _)| before.record_text.is_none());
    if is_clean && let Err(error) = cluster.disown(id).await {
        left.push(format!("still listed as a field manager: {error}"));
    }
    let why = tokio::select! {
        // most kinds have nothing to be freed of
        biased;
        freed = cluster.free(id, timeout) => match freed {
            Ok(true) => None,
            Ok(false) => Some("its controller has not seen the change yet".to_owned()),
            Err(error) => Some(error.to_string()),
        },
        () = stop.cancelled() => Some("interrupted".to_owned()),
    };
    left.extend(why.map(|why| {
        format!(
            "pods that could not pull may be left, and hold it up until they are deleted: {why}"
        )
    }));
    Ok(PutBack::Done(left))
}

/// Writes what it had before; why it is left, where it is.
async fn write(
    cluster: &Cluster,
    id: &WorkloadId,
    done: Option<(&Workload, &Repoint)>,
) -> Result<Option<String>, Failure> {
    for _ in 0..TRIES {
        let object = match cluster.get(id).await {
            Err(Error::NotFound(gone)) => return Ok(Some(gone)),
            object => object?,
        };
        let now = Workload::from_object(&id.kind, &object).map_err(Failure::new)?;
        let undo = match done {
            Some((before, repoint)) => plan::undo(before, repoint, &now),
            None => by_record(&now),
        };
        let undo = match undo {
            Undo::Due(undo) => undo,
            // a write whose answer was lost
            Undo::Done => return Ok(None),
            Undo::NotOurs => return Ok(Some("it was changed by somebody else since".to_owned())),
        };
        match cluster.patch(id, &patch::body(&now, &undo)).await {
            Err(Error::Conflict(_)) => {}
            Err(Error::NotFound(gone)) => return Ok(Some(gone)),
            answer => return answer.map(|_| None).map_err(Failure::from),
        }
    }
    Err(Failure::new(format!(
        "it changed {TRIES} times while it was being written"
    )))
}

/// What another process did to it is told by its record alone.
fn by_record(now: &Workload) -> Undo {
    let plan = plan::restore(std::slice::from_ref(now), None);
    match plan.workloads.into_iter().next().map(|it| it.decision) {
        Some(Decision::Repoint(mut undo)) => {
            // nobody asked for it to be left alone
            undo.annotations.remove(RESTORED);
            Undo::Due(undo)
        }
        _ => Undo::NotOurs,
    }
}
