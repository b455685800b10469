//! Copies that the loop has seen complete in the target: what for, and when.
//!
//! Decides when nothing needs to be asked of a registry. Tells [`Known`], which whoever else asks is answered
//! from.

use super::known::{Known, Reader};
use crate::plan::Copy;
use crate::reference::{Digest, Reference};
use crate::workload::WorkloadId;
use std::collections::{BTreeSet, HashMap};

/// How many are kept; all of them are forgotten rather than one more is, which costs a question for each that
/// is in use. More than there are where they are looked at from time to time.
const MOST: usize = 20_000;

/// The copies that were seen.
#[derive(Debug)]
pub(super) struct Copies {
    seen: HashMap<Reference, Complete>,
    known: Known,
}

/// A copy that is complete.
#[derive(Debug)]
struct Complete {
    digest: Digest,
    /// What ran where it was asked for: digests that this copy was made for.
    made_for: BTreeSet<Digest>,
    /// Whether that was seen since everything was last to be looked at again.
    fresh: bool,
}

impl Copies {
    /// None yet; what is seen is told to this.
    pub(super) fn new(known: Known) -> Self {
        Self {
            seen: HashMap::new(),
            known,
        }
    }

    /// Whether this copy is what was asked for, for each who asks: nothing needs to be asked of a registry.
    pub(super) fn answer(&self, copy: &Copy) -> bool {
        self.seen.get(&copy.target).is_some_and(|complete| {
            let is_meant =
                |digest: &Digest| *digest == complete.digest || complete.made_for.contains(digest);
            let may_have =
                |user: &WorkloadId| self.known.copy_for(&user.namespace, &copy.target).is_some();
            copy.running.iter().all(is_meant) && copy.users.keys().all(may_have)
        })
    }

    /// What ran where a copy was asked for before: who asks for another digest under the same name gets the
    /// tag's, as if both had asked at once.
    pub(super) fn made_for(&self, target: &Reference) -> BTreeSet<Digest> {
        let seen = self.seen.get(target);
        seen.map(|complete| complete.made_for.clone())
            .unwrap_or_default()
    }

    /// A copy is complete, for these.
    pub(super) fn complete(
        &mut self,
        copy: &Copy,
        digest: &Digest,
        readers: impl Iterator<Item = Reader>,
    ) {
        if self.seen.len() >= MOST {
            self.forget();
        }
        let complete = self
            .seen
            .entry(copy.target.clone())
            .or_insert_with(|| Complete {
                digest: digest.clone(),
                made_for: BTreeSet::new(),
                fresh: true,
            });
        complete.fresh = true;
        complete.digest = digest.clone();
        complete.made_for.extend(copy.running.iter().cloned());
        self.known.complete(&copy.target, digest, readers);
    }

    /// Everything is to be looked at again. What nobody has asked for since the last time is forgotten.
    pub(super) fn age(&mut self) {
        let known = &self.known;
        self.seen.retain(|target, complete| {
            let kept = std::mem::replace(&mut complete.fresh, false);
            if !kept {
                known.forget(target);
            }
            kept
        });
    }

    /// Nothing that was seen counts any more.
    pub(super) fn forget(&mut self) {
        for (target, _) in self.seen.drain() {
            self.known.forget(&target);
        }
    }

    /// Whether a copy was seen complete since then.
    pub(super) fn is_fresh(&self, target: &Reference) -> bool {
        self.seen.get(target).is_some_and(|complete| complete.fresh)
    }

    /// Nothing is in a namespace any more.
    pub(super) fn forget_namespace(&self, namespace: &str) {
        self.known.forget_namespace(namespace);
    }

    /// A copy is not there after all.
    pub(super) fn lost(&mut self, target: &Reference) {
        self.seen.remove(target);
        self.known.forget(target);
    }
}
