//! Events on workloads, as `kubectl describe` shows them.
//!
//! Decides that the same event again counts up instead of being written anew. Never decides what is told.

use super::collection::Collection;
use super::request::Only;
use super::{Cluster, Error, TRIES};
use crate::workload::{FIELD_MANAGER, WorkloadId};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The API server's own limit.
const LONGEST: usize = 1024;

/// Something to be told of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telling {
    /// `Repointed`.
    pub reason: &'static str,
    /// One line.
    pub message: String,
    /// Whether somebody should look at it.
    pub warning: bool,
}

impl Cluster {
    /// Tells of a workload; `uid` is its object's. The same once more is counted up.
    pub async fn tell(&self, id: &WorkloadId, uid: &str, telling: &Telling) -> Result<(), Error> {
        let events = Collection::core("events", "event", Some(&id.namespace));
        let name = name(id, uid, telling);
        let time = now();
        let event = event(id, uid, telling, &name, &time);
        match self.create(&events, &name, &event).await {
            Err(Error::Conflict(_)) => {}
            answer => return answer.map(drop),
        }
        let named = format!("metadata.name={name}");
        let only = Only {
            fields: Some(&named),
            ..Only::default()
        };
        for _ in 0..TRIES {
            let count = |event: Value| Some(event["count"].as_i64().unwrap_or(1));
            let Some(&count) = self.list(&events, only, count).await?.first() else {
                return Ok(());
            };
            let more = json!([
                {"op": "test", "path": "/count", "value": count},
                {"op": "replace", "path": "/count", "value": count + 1},
                {"op": "replace", "path": "/lastTimestamp", "value": time},
            ]);
            match self.patch_one(&events, &name, &more).await {
                Err(Error::Conflict(_)) => {}
                answer => return answer.map(drop),
            }
        }
        // somebody else counts it up, which tells as much
        Ok(())
    }
}

fn event(id: &WorkloadId, uid: &str, telling: &Telling, name: &str, time: &str) -> Value {
    let version = &id.kind.version;
    let api_version = match id.kind.group.as_str() {
        "" => version.clone(),
        group => format!("{group}/{version}"),
    };
    let message: String = telling.message.chars().take(LONGEST / 4).collect();
    json!({
        "metadata": {"name": name, "namespace": id.namespace},
        "involvedObject": {
            "apiVersion": api_version, "kind": id.kind.kind, "namespace": id.namespace, "name": id.name,
            "uid": uid,
        },
        "reason": telling.reason,
        "message": message,
        "type": if telling.warning { "Warning" } else { "Normal" },
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": FIELD_MANAGER,
        "reportingInstance": "",
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    })
}

/// The same for the same event of the same object; the server allows 253 characters.
fn name(id: &WorkloadId, uid: &str, telling: &Telling) -> String {
    let text = format!(
        "{uid}\t{}\t{}\t{}",
        id.kind.kind, telling.reason, telling.message
    );
    let hash = Sha256::digest(text);
    let first = hash.first_chunk().expect("SHA-256 has 32 bytes");
    let start: String = id.name.chars().take(230).collect();
    format!(
        "{}.{:016x}",
        start.trim_end_matches(['.', '-']),
        u64::from_be_bytes(*first)
    )
}

fn now() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}
