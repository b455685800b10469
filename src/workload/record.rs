//! The record: what was there before a repoint, kept in an annotation of the workload.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The annotation that holds the record.
pub const ORIGINALS: &str = "image-cloner.io/originals";
/// The annotation that a restore leaves: a hash of the images.
pub const RESTORED: &str = "image-cloner.io/restored";
/// The annotation that counts how often somebody put a workload's own images back.
pub const RECLAIMED: &str = "image-cloner.io/reclaimed";
/// The annotation or label that keeps image-cloner away from a workload or namespace.
pub const SKIP: &str = "image-cloner.io/skip";

/// What was there before a repoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The run that wrote it last, and every slot that does not say otherwise.
    pub run: String,
    /// When that run began, RFC 3339 in UTC; records of the first versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Slot name (`containers/nginx`) → its images.
    pub slots: BTreeMap<String, SlotRecord>,
    /// What was done to `imagePullSecrets`, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_secrets: Option<PullSecretRecord>,
}

/// One slot's images.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SlotRecord {
    /// The exact text before the repoint.
    pub original: String,
    /// The exact text after it.
    pub target: String,
    /// The run that repointed it, where that is not the record's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// When that other run began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
}

/// What was done to `imagePullSecrets`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PullSecretRecord {
    /// Names that were appended, in order: the ServiceAccount's where the list was empty, then ours.
    pub added: Vec<String>,
    /// Whether the field was absent before.
    pub was_absent: bool,
}

impl Record {
    /// The run that wrote it last, and when that began.
    pub(crate) fn last(&self) -> (&str, Option<&str>) {
        (&self.run, self.time.as_deref())
    }

    /// The run that repointed a slot of this record.
    pub fn run_of<'a>(&'a self, slot: &'a SlotRecord) -> &'a str {
        slot.run.as_deref().unwrap_or(&self.run)
    }

    /// When the run began that repointed a slot of this record, where the record tells.
    pub fn time_of<'a>(&'a self, slot: &'a SlotRecord) -> Option<&'a str> {
        match slot.run {
            Some(_) => slot.time.as_deref(),
            None => self.time.as_deref(),
        }
    }

    /// The record of these of its slots, written last by this run, which began at this time.
    pub(crate) fn keep(
        &self,
        (run, time): (&str, Option<&str>),
        slots: impl Fn(&str, &SlotRecord) -> bool,
    ) -> Self {
        let kept = self.slots.iter().filter(|(name, slot)| slots(name, slot));
        let kept = kept.map(|(name, slot)| {
            let of = self.run_of(slot);
            let other = of != run;
            let slot = SlotRecord {
                run: other.then(|| of.to_owned()),
                time: self.time_of(slot).filter(|_| other).map(str::to_owned),
                ..slot.clone()
            };
            (name.clone(), slot)
        });
        Self {
            run: run.to_owned(),
            time: time.map(str::to_owned),
            slots: kept.collect(),
            pull_secrets: self.pull_secrets.clone(),
        }
    }

    /// The annotation's text; the same for equal records.
    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string(self).expect("strings and maps of strings always serialise")
    }
}

/// A hash of images by slot name, blind to their order: 16 hexadecimal digits.
pub(super) fn images_hash<'a>(images: impl Iterator<Item = (String, &'a str)>) -> String {
    let sorted: BTreeMap<String, &str> = images.collect();
    let mut hasher = Sha256::new();
    for (slot, image) in sorted {
        // neither names nor images hold control characters, so these keep them apart
        hasher.update(format!("{slot}\t{image}\n"));
    }
    let hash = hasher.finalize();
    let first = hash.first_chunk().expect("SHA-256 has 32 bytes");
    format!("{:016x}", u64::from_be_bytes(*first))
}
