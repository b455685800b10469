//! The images that workloads wait for or have in use: each brought or looked at once, whoever asks, and again
//! later where that failed.
//!
//! Decides which image is next, and whether who asks for one that failed brings anything new. Never brings
//! one.

use super::tries::{Ask, Tries};
use crate::credentials::Keyring;
use crate::plan::Copy;
use crate::reference::Reference;
use crate::watch::copies::Copies;
use crate::workload::WorkloadId;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::time::Instant;

/// What is done about an image.
#[derive(Debug)]
pub(in crate::watch) enum Job {
    /// It is brought, for those who asked, with their credentials.
    Bring(Copy, BTreeMap<WorkloadId, Keyring>),
    /// It is in use: whether it is still all there.
    Check(Copy),
}

#[derive(Debug)]
struct Image {
    copy: Copy,
    keyrings: BTreeMap<WorkloadId, Keyring>,
    /// Whether it is only to be looked whether it is there.
    check: bool,
    /// For which namespaces it was asked, from where and with which credentials: what failed so need not be
    /// tried so again before its time.
    asked: HashSet<u64>,
    /// Why it failed last.
    why: Option<String>,
}

/// Who waits for an image that failed.
#[derive(Debug, Default)]
pub(super) struct Failing {
    pub(super) users: Vec<WorkloadId>,
    /// Whether it failed for another reason than last time.
    pub(super) is_news: bool,
}

/// What tells an image from others: its name in the target, and what it is a copy of. For that a workload may have
/// nothing but its own word, and nobody else is brought an image on it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    target: Reference,
    origin: Reference,
}

impl Key {
    fn of(copy: &Copy) -> Self {
        Self {
            target: copy.target.clone(),
            origin: copy.origin.clone(),
        }
    }
}

/// The images that are wanted and not there, or not known to be.
#[derive(Debug)]
pub(super) struct Book {
    images: BTreeMap<Key, Image>,
    tries: Tries<Key>,
    /// What each workload asks for.
    wanted: HashMap<WorkloadId, Vec<Key>>,
    /// What failed and nobody asks for any more: kept until its time comes, since whoever is planned anew asks
    /// for it again.
    unwanted: BTreeSet<Key>,
    hashes: RandomState,
}

impl Book {
    pub(super) fn new() -> Self {
        Self {
            images: BTreeMap::new(),
            tries: Tries::new(),
            wanted: HashMap::new(),
            unwanted: BTreeSet::new(),
            hashes: RandomState::new(),
        }
    }

    /// A workload wants this copy; whether it is known complete and may be had by it. Where it is not, the
    /// image is brought.
    pub(super) fn want(&mut self, copies: &Copies, copy: &Copy, keyring: &Keyring) -> bool {
        if copies.answer(copy) {
            return true;
        }
        let mut copy = copy.clone();
        copy.running.extend(copies.made_for(&copy.target));
        self.renew(copy, keyring);
        false
    }

    /// A copy is brought as its source is now, whatever is known of it.
    pub(super) fn renew(&mut self, copy: Copy, keyring: &Keyring) {
        self.add(copy, keyring, false);
    }

    /// A workload has this copy in use: it is looked whether it is there, unless that is known.
    pub(super) fn check(&mut self, copies: &Copies, copy: Copy) {
        if !copies.is_fresh(&copy.target) {
            self.add(copy, &Keyring::default(), true);
        }
    }

    fn add(&mut self, copy: Copy, keyring: &Keyring, check: bool) {
        let key = Key::of(&copy);
        for user in copy.users.keys() {
            let wanted = self.wanted.entry(user.clone()).or_default();
            if !wanted.contains(&key) {
                wanted.push(key.clone());
            }
        }
        let namespaces: BTreeSet<&str> = copy
            .users
            .keys()
            .map(|user| user.namespace.as_str())
            .collect();
        let askers: Vec<String> = namespaces.iter().copied().map(str::to_owned).collect();
        let asking = (namespaces, keyring, &copy.source, &copy.running);
        let asking = self.hashes.hash_one(asking);
        self.unwanted.remove(&key);
        let image = self.images.entry(key.clone()).or_insert_with(|| Image {
            copy: Copy {
                users: BTreeMap::new(),
                ..copy.clone()
            },
            keyrings: BTreeMap::new(),
            check,
            asked: HashSet::new(),
            why: None,
        });
        image.check &= check;
        if !keyring.is_empty() {
            let users = copy.users.keys();
            let with = users.map(|user| (user.clone(), keyring.clone()));
            image.keyrings.extend(with);
        }
        image.copy.also_from(&copy.source);
        image.copy.running.extend(copy.running);
        for (user, runs) in copy.users {
            image.copy.users.entry(user).or_default().extend(runs);
        }
        // what others could not read, this one may
        let ask = Ask {
            is_new: !check && image.asked.insert(asking),
            is_idle: image.check,
        };
        for asker in askers {
            self.tries.ask(&key, &asker, ask);
        }
    }

    /// The next image that something is to be done about, where fewer than `most` are under way. Those that
    /// somebody waits for go before those that are only looked at, and namespaces take turns.
    pub(super) fn start(&mut self, most: usize) -> Option<Job> {
        let key = self.tries.start(most)?;
        let image = self.images.get(&key)?;
        Some(if image.check {
            Job::Check(image.copy.clone())
        } else {
            Job::Bring(image.copy.clone(), image.keyrings.clone())
        })
    }

    /// What was begun about an image has ended. Whether that says anything: it does not where other settings
    /// hold since it was begun.
    pub(super) fn ended(&mut self, copy: &Copy) -> bool {
        let key = Key::of(copy);
        let says = self.tries.ended(&key);
        if !says {
            self.drop_unwanted(&key);
        }
        says
    }

    /// An image is there, or is not to be thought of any more. Who waits for it: those it was got under way
    /// for, and those who came since and ask again.
    pub(super) fn done(&mut self, copy: &Copy) -> Vec<WorkloadId> {
        let key = Key::of(copy);
        let users = self.users(&key);
        for user in &users {
            self.no_longer(user, &key);
        }
        self.forget(&key);
        users
    }

    /// Whether a workload waits for any image.
    pub(super) fn is_asked_by(&self, user: &WorkloadId) -> bool {
        self.wanted.contains_key(user)
    }

    /// Whether any image is brought for a workload, not only looked at.
    pub(super) fn brings_for(&self, user: &WorkloadId) -> bool {
        let mut wanted = self.wanted.get(user).into_iter().flatten();
        wanted.any(|key| self.images.get(key).is_some_and(|image| !image.check))
    }

    /// An image could not be brought or looked at: it is tried again later.
    pub(super) fn failed(&mut self, copy: &Copy, why: &str, now: Instant) -> Failing {
        let key = Key::of(copy);
        self.tries.failed(&key, now);
        self.drop_unwanted(&key);
        let users = self.users(&key);
        let Some(image) = self.images.get_mut(&key) else {
            return Failing::default();
        };
        let before = image.why.replace(why.to_owned());
        Failing {
            users,
            is_news: before.as_deref() != Some(why),
        }
    }

    /// A workload no longer wants what it wanted.
    pub(super) fn unwant(&mut self, user: &WorkloadId) {
        for key in self.wanted.remove(user).unwrap_or_default() {
            let Some(image) = self.images.get_mut(&key) else {
                continue;
            };
            image.copy.users.remove(user);
            image.keyrings.remove(user);
            let mut others = image.copy.users.keys();
            if others.any(|other| other.namespace == user.namespace) {
                continue;
            }
            if !image.copy.users.is_empty() {
                self.tries.unask(&key, &user.namespace);
                continue;
            }
            if self.tries.is_next(&key) {
                self.forget(&key);
            } else if self.tries.has_failed(&key) {
                self.unwanted.insert(key);
            }
        }
    }

    /// Those that failed are tried again where their time has come.
    pub(super) fn retry(&mut self, now: Instant) {
        for key in self.tries.retry(now) {
            self.drop_unwanted(&key);
        }
    }

    /// All that failed are tried again at once.
    pub(super) fn retry_all(&mut self) {
        for key in self.tries.retry_all() {
            self.drop_unwanted(&key);
        }
    }

    /// Other settings hold: nothing that was tried before counts, nor what was asked for. It may be in another
    /// registry, where nothing is done with the credentials that hold now.
    pub(super) fn anew(&mut self) {
        self.tries.anew();
        self.wanted.clear();
        self.unwanted.clear();
        for (key, image) in std::mem::take(&mut self.images) {
            // what is under way ends before it is tried again
            if self.tries.is_next(&key) {
                self.tries.forget(&key);
            }
            for user in image.copy.users.keys() {
                self.tries.unask(&key, &user.namespace);
            }
        }
    }

    /// When the next one that failed is tried again.
    pub(super) fn wakes(&self) -> Option<Instant> {
        self.tries.wakes()
    }

    pub(super) fn under_way(&self) -> usize {
        self.tries.under_way()
    }

    /// How many that somebody asks for failed last time.
    pub(super) fn failing(&self) -> usize {
        self.tries.failing() - self.unwanted.len()
    }

    fn users(&self, key: &Key) -> Vec<WorkloadId> {
        let image = self.images.get(key);
        image.map_or_else(Vec::new, |image| image.copy.users.keys().cloned().collect())
    }

    fn no_longer(&mut self, user: &WorkloadId, key: &Key) {
        if let Some(wanted) = self.wanted.get_mut(user) {
            wanted.retain(|it| it != key);
            if wanted.is_empty() {
                self.wanted.remove(user);
            }
        }
    }

    /// Drops an image that nobody asks for, whatever it came to.
    fn drop_unwanted(&mut self, key: &Key) {
        let image = self.images.get(key);
        if image.is_none_or(|image| image.copy.users.is_empty()) {
            self.forget(key);
        }
    }

    fn forget(&mut self, key: &Key) {
        self.images.remove(key);
        self.unwanted.remove(key);
        self.tries.forget(key);
    }
}
