//! What was seen of copies and of what surrounds workloads, for whoever may not ask.
//!
//! Decides whose word counts where two tell the same. Never asks anybody: what is not in here is not known.

#[cfg(test)]
mod tests;

use crate::plan::{Observed, Policy, PullCredentials};
use crate::reference::{Digest, Reference};
use crate::target::TargetRegistry;
use crate::workload::{Kind, PULL_SECRET, Workload};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// On what terms workloads are repointed.
#[derive(Debug, Clone)]
pub struct Terms {
    /// What becomes of images.
    pub policy: Policy,
    /// The kinds that are worked on, besides Pods and Jobs: those can be changed before they are made alone.
    pub kinds: BTreeSet<Kind>,
    /// The namespaces that are worked in; none is all.
    pub namespaces: Option<BTreeSet<String>>,
    /// Whether what cannot recover from a bad image, or is down while it changes, is repointed too.
    pub stateful: bool,
}

impl Terms {
    /// Why a workload is none of those that are worked on.
    pub fn leave_out(&self, workload: &Workload) -> Option<String> {
        let id = &workload.id;
        let is_made_once = id.kind.is_pod() || id.kind.kind == "Job";
        if !is_made_once && !self.kinds.contains(&id.kind) {
            return Some(format!("{} is not among the kinds", id.kind));
        }
        let namespaces = self.namespaces.as_ref();
        namespaces
            .is_some_and(|all| !all.contains(&id.namespace))
            .then(|| format!("{} is not among the namespaces", id.namespace))
    }
}

/// Who may be given a copy: those who may read its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reader {
    /// The registry that it is from was seen to let it be read without the pull secrets of any namespace.
    Anyone,
    /// It was read with this namespace's, or nobody could tell.
    Namespace(String),
}

/// What was seen; a clone is another handle to the same.
#[derive(Debug, Clone, Default)]
pub struct Known {
    shared: Arc<RwLock<Facts>>,
}

#[derive(Debug, Default)]
struct Facts {
    /// Whether somebody asks.
    asked: bool,
    /// What pods pull from; none while nobody works.
    target: Option<TargetRegistry>,
    /// None while nothing is repointed.
    terms: Option<Arc<Terms>>,
    copies: HashMap<Reference, Complete>,
    /// Whether each namespace opted out.
    opted_out: HashMap<String, bool>,
    /// Whether namespaces are watched: then the watch has the last word on who opted out.
    are_watched: bool,
    /// The namespaces that workloads were observed in.
    observed: BTreeSet<String>,
    /// The pull secrets that each ServiceAccount gives, by namespace and name.
    accounts: HashMap<(String, String), Vec<String>>,
    /// What pods with these pull secrets can pull from the target with, by namespace.
    pulls: HashMap<(String, BTreeSet<String>), PullCredentials>,
    /// The namespaces that have our pull secret.
    pull_secrets: BTreeSet<String>,
}

/// A copy that is complete in the target.
#[derive(Debug)]
struct Complete {
    digest: Digest,
    anyone: bool,
    namespaces: BTreeSet<String>,
}

impl Known {
    /// Nothing yet, for somebody who is going to ask: what nobody else needs is found out for him.
    pub fn asked() -> Self {
        let known = Self::default();
        known.write().asked = true;
        known
    }

    /// Whether somebody asks.
    pub(super) fn is_asked(&self) -> bool {
        self.read().asked
    }

    /// What is seen from now on is seen of this target. What was seen of another is forgotten, and not taken in
    /// any more.
    pub fn about(&self, target: &TargetRegistry) {
        let mut facts = self.write();
        if facts.target.as_ref() != Some(target) {
            facts.forget();
            facts.target = Some(target.clone());
        }
    }

    /// Everything is forgotten: nobody looks after it from now on.
    pub fn clear(&self) {
        self.write().forget();
    }

    /// Workloads are repointed on these terms from now on; on none, they are not: while work is held, before
    /// nodes were seen to pull from the target, and when nothing but copies is wanted.
    pub fn set_terms(&self, terms: Option<Terms>) {
        self.write().terms = terms.map(Arc::new);
    }

    /// The terms on which workloads are repointed, while they are.
    pub fn terms(&self) -> Option<Arc<Terms>> {
        self.read().terms.clone()
    }

    /// A copy was proven complete, and these to have been allowed its source. That somebody was allowed another
    /// digest of it says nothing of this one.
    pub fn complete(
        &self,
        target: &Reference,
        digest: &Digest,
        readers: impl IntoIterator<Item = Reader>,
    ) {
        let mut facts = self.write();
        let new = || Complete {
            digest: digest.clone(),
            anyone: false,
            namespaces: BTreeSet::new(),
        };
        let copy = facts.copies.entry(target.clone()).or_insert_with(new);
        if copy.digest != *digest {
            *copy = new();
        }
        for reader in readers {
            match reader {
                Reader::Anyone => copy.anyone = true,
                Reader::Namespace(namespace) => {
                    copy.namespaces.insert(namespace);
                }
            }
        }
    }

    /// A copy is not there any more, or is being replaced.
    pub fn forget(&self, target: &Reference) {
        self.write().copies.remove(target);
    }

    /// The digest of a copy that is complete and that this namespace may have.
    pub fn copy_for(&self, namespace: &str, target: &Reference) -> Option<Digest> {
        let facts = self.read();
        let copy = facts.copies.get(target)?;
        let allowed = copy.anyone || copy.namespaces.contains(namespace);
        allowed.then(|| copy.digest.clone())
    }

    /// A workload's surroundings were observed, with this target in mind.
    pub fn observed(&self, target: &TargetRegistry, observed: &Observed) {
        let workload = &observed.workload;
        let namespace = &workload.id.namespace;
        let own = workload.pull_secrets.as_deref().unwrap_or_default();
        let account = observed.account_pull_secrets.as_deref();
        let mut facts = self.write();
        if facts.target.as_ref() != Some(target) {
            return;
        }
        facts.observed.insert(namespace.clone());
        let opted_out = observed.namespace_opted_out;
        if facts.are_watched {
            // what was read may be older than what the watch told
            facts
                .opted_out
                .entry(namespace.clone())
                .or_insert(opted_out);
        } else {
            facts.opted_out.insert(namespace.clone(), opted_out);
        }
        if let Some(names) = account {
            let key = (namespace.clone(), workload.service_account.clone());
            facts.accounts.insert(key, names.to_vec());
        }
        let effective = if own.is_empty() { account } else { Some(own) };
        if let Some(names) = effective {
            let key = (namespace.clone(), names.iter().cloned().collect());
            facts.pulls.insert(key, observed.pull_credentials);
        }
    }

    /// Whether a workload's surroundings were observed in a namespace.
    pub(super) fn is_observed(&self, namespace: &str) -> bool {
        self.read().observed.contains(namespace)
    }

    /// Whether namespaces are watched from now on.
    pub(super) fn watch_namespaces(&self, are_watched: bool) {
        self.write().are_watched = are_watched;
    }

    /// A namespace was seen, with or without an opt-out. Whether it was seen otherwise before.
    pub(super) fn namespace(&self, namespace: &str, opted_out: bool) -> bool {
        let mut facts = self.write();
        let before = facts.opted_out.insert(namespace.to_owned(), opted_out);
        before.is_some_and(|before| before != opted_out)
    }

    /// A namespace that is watched is gone.
    pub(super) fn namespace_gone(&self, namespace: &str) {
        self.forget_namespace(namespace);
        self.write().opted_out.remove(namespace);
    }

    /// Nothing is in a namespace any more: it may be gone, and another may come by its name. Whether it opted
    /// out is kept where the watch tells when it is gone, and nothing as long as it stays as it is.
    pub(super) fn forget_namespace(&self, namespace: &str) {
        let mut facts = self.write();
        if !facts.are_watched {
            facts.opted_out.remove(namespace);
        }
        facts.observed.remove(namespace);
        facts.pull_secrets.remove(namespace);
        facts.accounts.retain(|(of, _), _| of != namespace);
        facts.pulls.retain(|(of, _), _| of != namespace);
        for copy in facts.copies.values_mut() {
            copy.namespaces.remove(namespace);
        }
    }

    /// Whether a namespace opted out, where that is known.
    pub fn opted_out(&self, namespace: &str) -> Option<bool> {
        self.read().opted_out.get(namespace).copied()
    }

    /// The pull secrets that a ServiceAccount gives, where they are known.
    pub fn account_pull_secrets(&self, namespace: &str, account: &str) -> Option<Vec<String>> {
        let key = (namespace.to_owned(), account.to_owned());
        self.read().accounts.get(&key).cloned()
    }

    /// What pods with these pull secrets can pull from the target with, where that is known.
    pub fn pull_credentials(&self, namespace: &str, names: &[String]) -> Option<PullCredentials> {
        let facts = self.read();
        let seen = |names: BTreeSet<String>| {
            if names.is_empty() {
                return Some(PullCredentials::None);
            }
            facts.pulls.get(&(namespace.to_owned(), names)).copied()
        };
        let mut names: BTreeSet<String> = names.iter().cloned().collect();
        seen(names.clone()).or_else(|| {
            // of those that a repoint added ours to, what the others are worth
            let is_there = facts.pull_secrets.contains(namespace);
            let is_among = is_there && names.remove(PULL_SECRET);
            match seen(names).filter(|_| is_among)? {
                PullCredentials::Own => Some(PullCredentials::Own),
                _ => Some(PullCredentials::Ours),
            }
        })
    }

    /// Our pull secret for this target is in a namespace.
    pub fn pull_secret(&self, target: &TargetRegistry, namespace: &str) {
        let mut facts = self.write();
        if facts.target.as_ref() == Some(target) {
            facts.pull_secrets.insert(namespace.to_owned());
        }
    }

    /// Whether our pull secret is known to be in a namespace.
    pub fn has_pull_secret(&self, namespace: &str) -> bool {
        self.read().pull_secrets.contains(namespace)
    }

    fn read(&self) -> RwLockReadGuard<'_, Facts> {
        self.shared.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Facts> {
        self.shared.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Facts {
    fn forget(&mut self) {
        *self = Self {
            asked: self.asked,
            ..Self::default()
        };
    }
}
