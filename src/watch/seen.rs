//! An object as a watch gives it → what decisions need of it.
//!
//! Decides what counts as a change. Keeps nothing of the object.

use crate::cluster::Standing;
use crate::workload::{Kind, Workload};
use serde_json::Value;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// A workload as it was seen.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) workload: Workload,
    pub(super) uid: String,
    pub(super) standing: Standing,
    /// The same for two objects between which nothing changed that a plan looks at.
    pub(super) print: u64,
    /// Which of two states is the later one; 0 where that cannot be told.
    pub(super) version: u64,
}

impl Seen {
    /// Reads an object of this kind.
    ///
    /// # Errors
    /// When it is no workload.
    pub(super) fn of(kind: &Kind, object: &Value) -> Result<Self, String> {
        let workload = Workload::from_object(kind, object)?;
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
        let version = object["metadata"]["resourceVersion"].as_str();
        let mut hasher = DefaultHasher::new();
        uid.hash(&mut hasher);
        // everything that a snapshot has is what plans are made on
        workload.hash(&mut hasher);
        (object["spec"]["paused"] == true).hash(&mut hasher);
        Ok(Self {
            uid: uid.to_owned(),
            standing: Standing::of(kind, object),
            // 0 is what nothing was seen of yet
            print: hasher.finish().max(1),
            // all servers count them up, and clients may compare them (KEP-5504)
            version: version.and_then(|text| text.parse().ok()).unwrap_or(0),
            workload,
        })
    }

    /// Whether a clone of it is being rolled out.
    pub(super) fn is_rolling_out(&self) -> bool {
        let workload = &self.workload;
        self.standing == Standing::Rolling && stands(workload)
    }
}

/// Whether a workload names copies, by its record.
pub(super) fn stands(workload: &Workload) -> bool {
    workload.standing().next().is_some()
}
