//! What of a copy is in its registry.

use crate::reference::Digest;
use std::collections::BTreeMap;

/// What of an image is not as its manifest says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A manifest that an index names is not there.
    ManifestMissing,
    /// A config or layer is not there.
    BlobMissing,
    /// A config or layer is there with other bytes.
    BlobCorrupt,
}

/// What of an image is in its registry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    /// What its name stands for; none where that is not there.
    pub digest: Option<Digest>,
    /// Manifests that are there, its own among them.
    pub manifests: usize,
    /// Configs and layers that it refers to, each digest once.
    pub blobs: usize,
    /// Bytes of all that, as the manifests say.
    pub bytes: u64,
    /// Layers that their owner gives out himself and that were not looked for.
    pub foreign: usize,
    /// What is wrong, by digest.
    pub faults: BTreeMap<Digest, Fault>,
}

impl Inventory {
    /// Whether everything is there.
    pub fn is_complete(&self) -> bool {
        self.digest.is_some() && self.faults.is_empty()
    }

    /// How many parts have this fault.
    pub fn count(&self, fault: Fault) -> usize {
        self.faults
            .values()
            .filter(|found| **found == fault)
            .count()
    }
}
