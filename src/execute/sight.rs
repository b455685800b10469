//! Looks at images and their copies where they are, without a thought of copying.
//!
//! Decides whom to ask: each registry once about each image, and one that is away no more than needed.
//! Never writes.

use super::Observer;
use super::images::{ImageProgress, Images, lock};
use crate::credentials::Credentials;
use crate::outcome::Failure;
use crate::reference::{Digest, Reference};
use crate::registry::{self, Extras, Prover, Source};
use crate::status::{Inventory, Sightings, Silence, Standing, Untold, Usage};
use crate::workload::WorkloadId;
use futures::stream::{self, StreamExt};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

/// Images looked at at once.
const UNDER_WAY: usize = 32;

/// What was found of a reference.
type Found = Result<Option<Source>, Untold>;

/// Whether everything of a copy is in the target.
pub type Proven = Result<Inventory, Failure>;

impl Images {
    /// What registries say of the images in use: one HEAD for each source and each copy. `sizes` reads the
    /// copies' manifests, too.
    pub async fn sight(&self, usages: &[Usage], sizes: bool) -> Sightings {
        let mut sources: BTreeMap<&Reference, BTreeSet<&WorkloadId>> = BTreeMap::new();
        for usage in usages {
            if let Some(source) = &usage.source {
                sources.entry(source).or_default().extend(&usage.workloads);
            }
        }
        let away = Away::default();
        let of_sources = stream::iter(&sources)
            .map(|(source, users)| self.seek_source(source, users, &away))
            .buffer_unordered(UNDER_WAY)
            .collect();
        let copies: BTreeSet<&Reference> = usages.iter().filter_map(|u| u.copy.as_ref()).collect();
        let of_copies = stream::iter(copies)
            .map(|copy| self.seek_copy(copy, &away))
            .buffer_unordered(UNDER_WAY)
            .collect();
        let (sources, copies): (BTreeMap<_, Found>, BTreeMap<_, Found>) =
            tokio::join!(of_sources, of_copies);
        let mut used: BTreeMap<&Reference, Option<&Reference>> = BTreeMap::new();
        for usage in usages
            .iter()
            .filter(|usage| usage.standing == Standing::Copy)
        {
            if let Some(copy) = &usage.copy {
                let known = used.entry(copy).or_default();
                *known = known.or(usage.source.as_ref());
            }
        }
        let closer = stream::iter(used)
            .map(|(copy, source)| {
                let there = present(&copies, copy);
                let source = source.and_then(|source| present(&sources, source));
                self.look_closer(copy, there, source, sizes)
            })
            .buffer_unordered(UNDER_WAY)
            .collect::<Vec<_>>()
            .await;
        let mut sightings = Sightings::default();
        for (copy, narrowed, size) in closer {
            sightings.narrowed.extend(narrowed.then(|| copy.clone()));
            sightings
                .sizes
                .extend(size.map(|size| (copy.clone(), size)));
        }
        sightings.sources = digests(sources);
        sightings.copies = digests(copies);
        sightings
    }

    /// Whether these copies are complete in the target; `prover` remembers what it asked, `finished` is told
    /// of each.
    pub async fn prove(
        &self,
        copies: &BTreeSet<Reference>,
        prover: &Prover,
        observer: &dyn Observer,
        finished: impl Fn(&Reference),
    ) -> BTreeMap<Reference, Proven> {
        let away = Away::default();
        stream::iter(copies)
            .map(|copy| {
                let (away, finished) = (&away, &finished);
                async move {
                    let found = self.prove_one(copy, prover, observer, away).await;
                    finished(copy);
                    (copy.clone(), found)
                }
            })
            .buffer_unordered(UNDER_WAY)
            .collect()
            .await
    }

    async fn prove_one(
        &self,
        copy: &Reference,
        prover: &Prover,
        observer: &dyn Observer,
        away: &Away,
    ) -> Proven {
        let found = self.seek_copy(copy, away).await.1;
        let Some(image) = found.map_err(|untold| untold.failure)? else {
            return Ok(Inventory::default());
        };
        let progress = ImageProgress {
            source: copy,
            observer,
        };
        Ok(prover.prove(&image, &progress).await?)
    }

    async fn seek_source<'a>(
        &self,
        source: &'a Reference,
        users: &BTreeSet<&WorkloadId>,
        away: &Away,
    ) -> (&'a Reference, Found) {
        let offered = self
            .inner
            .sources
            .credentials
            .of(users.iter().copied(), source);
        let found = match offered.await {
            Ok(offer) => {
                let found = self.seek(source, &offer.credentials, away).await;
                found.map_err(|untold| Untold {
                    failure: offer.explain(untold.failure),
                    ..untold
                })
            }
            Err(failure) => Err(Untold {
                silence: Silence::Failed,
                failure,
            }),
        };
        (source, found)
    }

    async fn seek_copy<'a>(&self, copy: &'a Reference, away: &Away) -> (&'a Reference, Found) {
        let credentials = std::slice::from_ref(&self.inner.sources.target_credentials);
        (copy, self.seek(copy, credentials, away).await)
    }

    async fn seek(&self, reference: &Reference, credentials: &[Credentials], away: &Away) -> Found {
        if let Some(untold) = away.known(reference) {
            return Err(untold);
        }
        let registries = &self.inner.sources.registries;
        let found = registries.seek(reference, credentials).await;
        found.map_err(|error| {
            let silence = match error {
                registry::Error::Denied { .. } => Silence::Refused,
                registry::Error::Unreachable { .. } => Silence::Away,
                registry::Error::NotFound { .. } | registry::Error::Failed { .. } => {
                    Silence::Failed
                }
            };
            let mut failure = Failure::from(error);
            if silence == Silence::Refused && failure.hints.is_empty() {
                let registry = reference.registry();
                failure = failure.hint(format!(
                    "kubectl image-cloner login {registry}; doctor tells whose credentials are used"
                ));
            }
            let untold = Untold { silence, failure };
            if silence == Silence::Away {
                away.note(reference, &untold);
            }
            untold
        })
    }

    /// Whether a copy with another digest than its source is only narrower, and its size.
    async fn look_closer<'a>(
        &self,
        copy: &'a Reference,
        there: Option<&Source>,
        source: Option<&Source>,
        sizes: bool,
    ) -> (&'a Reference, bool, Option<u64>) {
        let Some(there) = there else {
            return (copy, false, None);
        };
        let registries = &self.inner.sources.registries;
        let narrowed = match source {
            Some(source)
                if source.digest() != there.digest() && source.is_index() && there.is_index() =>
            {
                let own = registries.children(there).await.unwrap_or_default();
                // only now is the source read, which its registry may count
                !own.is_empty()
                    && registries
                        .children(source)
                        .await
                        .is_ok_and(|all| own.iter().all(|child| all.contains(child)))
            }
            _ => false,
        };
        let size = if sizes {
            registries.size(there, Extras::default()).await.ok()
        } else {
            None
        };
        (copy, narrowed, size)
    }
}

/// Registries that were found to be away: nobody waits for them twice.
#[derive(Default)]
struct Away(Mutex<BTreeMap<String, Untold>>);

impl Away {
    fn known(&self, reference: &Reference) -> Option<Untold> {
        lock(&self.0).get(reference.registry()).cloned()
    }

    fn note(&self, reference: &Reference, untold: &Untold) {
        let mut away = lock(&self.0);
        away.entry(reference.registry().to_owned())
            .or_insert_with(|| untold.clone());
    }
}

fn present<'a>(
    found: &'a BTreeMap<&Reference, Found>,
    reference: &Reference,
) -> Option<&'a Source> {
    found.get(reference)?.as_ref().ok()?.as_ref()
}

fn digests(
    found: BTreeMap<&Reference, Found>,
) -> BTreeMap<Reference, Result<Option<Digest>, Untold>> {
    found
        .into_iter()
        .map(|(reference, found)| {
            let digest = found.map(|image| image.map(|image| image.digest().clone()));
            (reference.clone(), digest)
        })
        .collect()
}
