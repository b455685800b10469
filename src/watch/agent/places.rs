//! What is watched, and how much of it is seen.
//!
//! Decides when everything is known to be listed, when changes are not seen, and that a place that may not be
//! watched keeps no other waiting.

use super::{GULP, Working};
use crate::cluster::{Error, Watched};
use crate::outcome::Failure;
use crate::watch::seen::Seen;
use crate::workload::{Kind, WorkloadId, opted_out};
use futures::future::FutureExt as _;
use futures::stream::{self, SelectAll, StreamExt as _};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Instant;

/// Why nothing is seen of what was just begun.
const NOT_LISTED: &str = "not listed yet";

/// What is watched: a kind, in one namespace or in all.
pub(super) struct Place {
    pub(super) kind: Kind,
    pub(super) namespace: Option<String>,
    /// Of its list that counts.
    pub(super) mark: u64,
    pub(super) sight: Sight,
    /// Why what changes there is not seen now; none while it is.
    pub(super) blind: Option<String>,
}

/// How much is seen of a place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// Nothing yet.
    None,
    /// It may not be watched: nothing of it can be changed either, so that nobody waits for it.
    Refused,
    /// Everything.
    Whole,
}

impl Place {
    /// A kind of which nothing is seen yet, or as much as before while it is listed anew.
    pub(super) fn new(kind: Kind, namespace: Option<String>, before: &[Self]) -> Self {
        let mut before = before.iter();
        let before = before.find(|it| it.kind == kind && it.namespace == namespace);
        Self {
            blind: before.map_or_else(|| Some(NOT_LISTED.to_owned()), |it| it.blind.clone()),
            kind,
            namespace,
            mark: 0,
            sight: Sight::None,
        }
    }

    pub(super) fn has(&self, id: &WorkloadId) -> bool {
        let namespace = self.namespace.as_ref();
        self.kind == id.kind && namespace.is_none_or(|namespace| *namespace == id.namespace)
    }
}

impl Working<'_> {
    /// Looks at everything from the start: new watches, the target, the pull secrets.
    pub(super) async fn survey(&mut self) -> Result<(), Failure> {
        let settings = &self.settings;
        let namespaces: Vec<Option<String>> = match &settings.namespaces[..] {
            [] => vec![None],
            named => named.iter().cloned().map(Some).collect(),
        };
        let mut watches = SelectAll::new();
        let mut places = Vec::new();
        for kind in &settings.kinds {
            for namespace in &namespaces {
                let stream = self.agent.cluster.watch(kind, namespace.as_deref());
                let at = places.len();
                watches.push(stream.await?.map(move |told| (at, told)).boxed());
                places.push(Place::new(kind.clone(), namespace.clone(), &self.places));
            }
        }
        let are_watched = settings.namespaces.is_empty();
        self.agent.known.watch_namespaces(are_watched);
        self.ledger
            .complete(|id, _| !places.iter().any(|place| place.has(id)));
        self.watches = watches;
        self.namespaces = if are_watched {
            self.agent.cluster.watch_namespaces()
        } else {
            stream::pending().boxed()
        };
        self.places = places;
        self.resync = settings.resync.map(|after| Instant::now() + after);
        self.sighted();
        Ok(())
    }

    /// What a watch told, and what is there of more without waiting.
    pub(super) fn take_in(&mut self, at: usize, told: Result<Watched, Error>) {
        self.take_one(at, told);
        for _ in 0..GULP {
            match self.watches.next().now_or_never() {
                Some(Some((at, told))) => self.take_one(at, told),
                _ => return,
            }
        }
    }

    fn take_one(&mut self, at: usize, told: Result<Watched, Error>) {
        let now = Instant::now();
        let place = &mut self.places[at];
        match told {
            Ok(Watched::Listing) => {
                self.marks += 1;
                place.mark = self.marks;
            }
            Ok(Watched::Object(object)) => match Seen::of(&place.kind, &object) {
                Ok(seen) => self.ledger.seen(seen, place.mark, now),
                Err(reason) => tracing::debug!("{reason}"),
            },
            Ok(Watched::Gone(object)) => {
                if let Ok(seen) = Seen::of(&place.kind, &object) {
                    self.ledger.gone(&seen.workload.id);
                }
            }
            Ok(Watched::Listed) => {
                place.sight = Sight::Whole;
                let place = &self.places[at];
                self.ledger
                    .complete(|id, mark| place.has(id) && mark != place.mark);
                self.sighted();
            }
            Ok(Watched::Begun) => {
                let was = place.blind.take();
                if was.is_some_and(|why| why != NOT_LISTED) {
                    tracing::info!(
                        namespace = place.namespace,
                        "watching {} again",
                        place.kind.plural
                    );
                }
                self.sighted();
            }
            Err(error) => {
                let why = error.to_string();
                if place.blind.as_ref() != Some(&why) {
                    tracing::warn!("{why}");
                }
                place.blind = Some(why);
                if place.sight == Sight::None && matches!(error, Error::Forbidden(_)) {
                    place.sight = Sight::Refused;
                }
                self.sighted();
            }
        }
    }

    /// What the watch of namespaces told: whether they opt out.
    pub(super) fn take_namespace(&mut self, told: Result<Watched, Error>) {
        let name = |namespace: &Value| namespace["metadata"]["name"].as_str().map(str::to_owned);
        let known = &self.agent.known;
        match told {
            Ok(Watched::Object(namespace)) => {
                let Some(name) = name(&namespace) else {
                    return;
                };
                if known.namespace(&name, opted_out(&namespace["metadata"])) {
                    self.ledger.look_again_in(&name, Instant::now());
                }
            }
            Ok(Watched::Gone(namespace)) => {
                if let Some(name) = name(&namespace) {
                    known.namespace_gone(&name);
                }
            }
            Ok(Watched::Begun | Watched::Listing | Watched::Listed) => {}
            Err(Error::Forbidden(why)) => {
                tracing::warn!("a changed opt-out of a namespace is not seen at once: {why}");
                known.watch_namespaces(false);
                self.namespaces = stream::pending().boxed();
            }
            Err(error) => tracing::debug!("{error}"),
        }
    }

    /// More is seen than before, or less, or known not to be seen.
    fn sighted(&mut self) {
        self.ledger.listed = self.places.iter().all(|place| place.sight != Sight::None);
        let blind: BTreeSet<&str> = self
            .places
            .iter()
            .filter_map(|place| place.blind.as_deref())
            .collect();
        if blind.is_empty() {
            self.agent.health.well("workloads");
        } else {
            let why = blind.into_iter().collect::<Vec<_>>().join("; ");
            self.agent.health.trouble("workloads", why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_stays_seen_while_it_is_listed_anew() {
        let place = |word: &str, namespace: &str, before: &[Place]| {
            let kind = Kind::from_word(word).unwrap();
            Place::new(kind, Some(namespace.to_owned()), before)
        };
        let not_listed = Some(NOT_LISTED.to_owned());
        let mut before = [place("deploy", "shop", &[]), place("sts", "shop", &[])];
        assert_eq!(before[0].blind, not_listed);
        before[0].blind = None;
        before[1].blind = Some("refused".to_owned());
        assert_eq!(place("deploy", "shop", &before).blind, None);
        let refused = place("sts", "shop", &before);
        assert_eq!(refused.blind.as_deref(), Some("refused"));
        assert_eq!(place("deploy", "lab", &before).blind, not_listed);
    }
}
