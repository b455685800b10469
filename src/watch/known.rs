//! Copies that are known complete in the target, and for whom.
//!
//! Decides nothing: the loop says what it has seen, admission asks for it. Kept in memory alone.

use crate::plan::Copy;
use crate::reference::{Digest, Reference};
use crate::workload::WorkloadId;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// What is known complete; a clone is another handle to the same.
#[derive(Debug, Clone, Default)]
pub struct Known {
    shared: Arc<RwLock<HashMap<Reference, Complete>>>,
}

/// A copy that is complete.
#[derive(Debug)]
struct Complete {
    digest: Digest,
    /// What ran where it was asked for: digests that this copy was made for.
    made_for: BTreeSet<Digest>,
    /// Namespaces that were seen to be able to read its source.
    readers: BTreeSet<String>,
    /// Whether that was seen since everything was last to be looked at again.
    fresh: bool,
}

impl Known {
    /// The digest of a copy that is complete.
    pub fn digest(&self, target: &Reference) -> Option<Digest> {
        let known = self.read();
        known.get(target).map(|complete| complete.digest.clone())
    }

    /// Whether a copy is complete and workloads of this namespace may have it: they could read its source.
    pub fn serves(&self, target: &Reference, namespace: &str) -> bool {
        let known = self.read();
        known
            .get(target)
            .is_some_and(|complete| complete.readers.contains(namespace))
    }

    /// How many copies are known.
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.read().is_empty()
    }

    /// Whether this copy is what was asked for, for each who asks: nothing needs to be asked of a registry.
    pub(super) fn answers(&self, copy: &Copy) -> bool {
        let known = self.read();
        known.get(&copy.target).is_some_and(|complete| {
            let is_meant =
                |digest: &Digest| *digest == complete.digest || complete.made_for.contains(digest);
            let mut users = copy.users.iter();
            copy.running.iter().all(is_meant)
                && users.all(|user| complete.readers.contains(&user.namespace))
        })
    }

    /// What ran where a copy was asked for before: who asks for another digest under the same name gets the
    /// tag's, as if both had asked at once.
    pub(super) fn made_for(&self, target: &Reference) -> BTreeSet<Digest> {
        let known = self.read();
        let made_for = known.get(target).map(|complete| complete.made_for.clone());
        made_for.unwrap_or_default()
    }

    /// A copy was brought, for those of its users who may have it.
    pub(super) fn brought<'a>(
        &self,
        copy: &Copy,
        digest: &Digest,
        readers: impl Iterator<Item = &'a WorkloadId>,
    ) {
        let mut known = self.write();
        let complete = known
            .entry(copy.target.clone())
            .or_insert_with(|| Complete {
                digest: digest.clone(),
                made_for: BTreeSet::new(),
                readers: BTreeSet::new(),
                fresh: true,
            });
        complete.fresh = true;
        complete.digest = digest.clone();
        complete.made_for.extend(copy.running.iter().cloned());
        complete
            .readers
            .extend(readers.map(|reader| reader.namespace.clone()));
    }

    /// Everything is to be looked at again. What nobody has asked for since the last time is forgotten.
    pub(super) fn age(&self) {
        let mut known = self.write();
        known.retain(|_, complete| std::mem::replace(&mut complete.fresh, false));
    }

    /// Whether a copy was seen complete since then.
    pub(super) fn is_fresh(&self, target: &Reference) -> bool {
        self.read()
            .get(target)
            .is_some_and(|complete| complete.fresh)
    }

    /// A copy is not there after all.
    pub(super) fn lost(&self, target: &Reference) {
        self.write().remove(target);
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<Reference, Complete>> {
        self.shared.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<Reference, Complete>> {
        self.shared.write().unwrap_or_else(PoisonError::into_inner)
    }
}
