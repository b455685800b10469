//! Workloads and their pods → the images in use, before any registry is asked.

use super::InPods;
use crate::plan::{self, Observed, Policy};
use crate::reference::{Digest, Reference};
use crate::workload::{Record, Slot, SlotList, SlotRecord, WorkloadId};
use std::collections::{BTreeMap, BTreeSet};

/// How an image text stands to the target registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It is a name in the target registry.
    Copy,
    /// It was one, and was changed since: how.
    Changed(String),
    /// It is none.
    External {
        /// Why, where a clone would not change that.
        why: Option<String>,
        /// Whether that is a rule's or somebody's wish.
        skipped: bool,
    },
}

/// One image of one namespace, with all who use it alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The namespace.
    pub namespace: String,
    /// The image as people know it: its source, else what is in the workload.
    pub image: String,
    /// Where it comes from, as far as that is known.
    pub source: Option<Reference>,
    /// Its name in the target registry; none where it cannot have one.
    pub copy: Option<Reference>,
    /// How it stands.
    pub standing: Standing,
    /// The workloads that use it.
    pub workloads: BTreeSet<WorkloadId>,
    /// How many of their pods have it.
    pub pods: usize,
    /// What runs of it, where the pods say.
    pub running: BTreeSet<Digest>,
}

/// What makes two uses one row.
type Key = (
    String,
    String,
    Option<Reference>,
    Option<Reference>,
    Standing,
);

/// The images in use: those in the workloads, and those that only their pods have. `former` are records
/// that a rollback took from their workloads.
pub fn usage(
    observed: &[Observed],
    in_pods: &BTreeMap<WorkloadId, Vec<InPods>>,
    former: &BTreeMap<WorkloadId, Record>,
    policy: &Policy,
) -> Vec<Usage> {
    let mut rows: BTreeMap<Key, Usage> = BTreeMap::new();
    for one in observed {
        let id = &one.workload.id;
        let pods = in_pods.get(id).map_or(&[][..], Vec::as_slice);
        let view = View {
            observed: one,
            pods,
            former: former.get(id),
            policy,
        };
        for usage in view.all() {
            let key = (
                usage.namespace.clone(),
                usage.image.clone(),
                usage.source.clone(),
                usage.copy.clone(),
                usage.standing.clone(),
            );
            match rows.get_mut(&key) {
                Some(row) => {
                    row.workloads.extend(usage.workloads);
                    row.pods += usage.pods;
                    row.running.extend(usage.running);
                }
                None => {
                    rows.insert(key, usage);
                }
            }
        }
    }
    rows.into_values().collect()
}

/// One workload and what bears on its images.
struct View<'a> {
    observed: &'a Observed,
    pods: &'a [InPods],
    former: Option<&'a Record>,
    policy: &'a Policy,
}

impl View<'_> {
    fn all(&self) -> Vec<Usage> {
        let slots = self.observed.workload.slots.iter();
        let named = slots
            .filter(|slot| !self.is_filled_in_pods(slot))
            .map(|slot| self.of_template(slot));
        let only_in_pods = self.pods.iter().filter(|pods| !self.is_named(pods));
        let only_in_pods = only_in_pods.map(|pods| {
            let why = self.why_only_in_pods(pods);
            self.of_text(&pods.image, Some(pods), || self.external(Some(why)))
        });
        named.chain(only_in_pods).collect()
    }

    fn of_template(&self, slot: &Slot) -> Usage {
        let mut pods = self.pods.iter();
        let pods = pods.find(|pods| is_as_named(slot, pods));
        let usage = self.of_text(&slot.image, pods, || self.of_slot(slot));
        let is_pulled = !slot.never_pulled && !plan::is_placeholder(slot);
        if is_pulled || usage.standing == Standing::Copy {
            return usage;
        }
        // no registry is expected to know it
        Usage {
            image: slot.image.clone(),
            source: None,
            copy: None,
            standing: self.external(plan::left(self.observed, slot, self.policy)),
            ..usage
        }
    }

    /// Whether a slot has no image of its own, and its pods have one.
    fn is_filled_in_pods(&self, slot: &Slot) -> bool {
        plan::is_placeholder(slot) && self.pods.iter().any(|pods| pods.slot == slot.key)
    }

    fn is_named(&self, pods: &InPods) -> bool {
        let slot = self.observed.workload.slot(&pods.slot);
        slot.is_some_and(|slot| is_as_named(slot, pods))
    }

    /// One image text in use; `elsewhere` is how it stands where it is not in the target.
    fn of_text(
        &self,
        text: &str,
        pods: Option<&InPods>,
        elsewhere: impl FnOnce() -> Standing,
    ) -> Usage {
        let target = &self.policy.target;
        let (source, copy, standing) = match Reference::parse(text) {
            Ok(copy) if target.holds(&copy) => {
                let source = self
                    .original(text)
                    .and_then(|text| Reference::parse(text).ok());
                (source, Some(copy), Standing::Copy)
            }
            Ok(image) => {
                let original = self.original(text).map(Reference::parse);
                let origin = original.and_then(Result::ok).unwrap_or(image);
                let copy = target.name(&origin).ok();
                let standing = elsewhere();
                (Some(origin), copy, standing)
            }
            Err(error) => {
                let why = format!("not an image reference: {}", error.reason);
                (None, None, self.external(Some(why)))
            }
        };
        let shown = source.as_ref().or(copy.as_ref());
        let id = &self.observed.workload.id;
        Usage {
            namespace: id.namespace.clone(),
            image: shown.map_or_else(|| text.to_owned(), Reference::familiar),
            source,
            copy,
            standing,
            workloads: BTreeSet::from([id.clone()]),
            pods: pods.map_or(0, |pods| pods.pods),
            running: pods.map_or_else(BTreeSet::new, |pods| pods.running.clone()),
        }
    }

    /// What a copy's record says that it was made from, here or in another target registry.
    fn original(&self, copy: &str) -> Option<&str> {
        let records = self.observed.workload.record.iter().chain(self.former);
        let mut slots = records.flat_map(|record| record.slots.values());
        let recorded = slots.find(|recorded| recorded.target == copy)?;
        Some(&recorded.original)
    }

    /// How a slot stands that is not in the target.
    fn of_slot(&self, slot: &Slot) -> Standing {
        let name = slot.key.to_string();
        let recorded = |record: &'_ Record| record.slots.get(&name).cloned();
        let current = self.observed.workload.record.as_ref().and_then(recorded);
        if let Some(recorded) = current {
            return if recorded.target == slot.image {
                self.external(Some(format!("copy in {}", registry(&slot.image))))
            } else {
                Standing::Changed(how(slot, &recorded))
            };
        }
        let former = self.former.and_then(recorded);
        match former.filter(|recorded| recorded.original == slot.image) {
            Some(recorded) => Standing::Changed(how(slot, &recorded)),
            None => self.external(plan::left(self.observed, slot, self.policy)),
        }
    }

    /// Not in the target; a workload that is skipped is so whatever else holds.
    fn external(&self, why: Option<String>) -> Standing {
        let skipped = plan::skipped(self.observed, self.policy);
        Standing::External {
            skipped: skipped.is_some(),
            why: skipped.or(why),
        }
    }

    fn why_only_in_pods(&self, pods: &InPods) -> String {
        let slot = self.observed.workload.slot(&pods.slot);
        let why = match (pods.slot.list, slot) {
            (SlotList::EphemeralContainers, _) => "ephemeral container",
            (_, Some(slot)) if !plan::is_placeholder(slot) => "old pods",
            _ => "injected",
        };
        why.to_owned()
    }
}

/// Whether pods have the image that a slot names; admission may have written it out (`docker.io/…`).
fn is_as_named(slot: &Slot, pods: &InPods) -> bool {
    let same = || Some(Reference::parse(&slot.image).ok()? == Reference::parse(&pods.image).ok()?);
    slot.key == pods.slot && (slot.image == pods.image || same() == Some(true))
}

/// What was done to a slot since it was cloned.
fn how(slot: &Slot, recorded: &SlotRecord) -> String {
    if recorded.original == slot.image {
        "clone undone".to_owned()
    } else {
        format!("was {}", familiar(&recorded.original))
    }
}

fn familiar(text: &str) -> String {
    Reference::parse(text).map_or_else(|_| text.to_owned(), |image| image.familiar())
}

fn registry(text: &str) -> String {
    Reference::parse(text).map_or_else(|_| text.to_owned(), |image| image.registry().to_owned())
}
