//! A workload's snapshot: its slots, pull secrets, record and owners.
//!
//! The one place that knows where each kind keeps its pod template, and who owns an object. Reads
//! objects as JSON values; never talks to the API server and never decides what happens to a workload
//! (that is [`crate::plan`]).

mod kind;
mod mutability;
mod owner;
mod read;
mod record;
#[cfg(test)]
mod tests;

pub use kind::{Kind, Names};
pub use mutability::Mutability;
pub use owner::{Controller, Owner};
pub use read::opted_out;
pub use record::{ORIGINALS, PullSecretRecord, RECLAIMED, RESTORED, Record, SKIP, SlotRecord};

use std::collections::BTreeSet;
use std::fmt;

/// The name under which the API server keeps what we wrote.
pub const FIELD_MANAGER: &str = "image-cloner";
/// The label of all that we make, and its value.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "image-cloner");
/// The name of the pull secrets that we make.
pub const PULL_SECRET: &str = "image-cloner-pull";

/// Which workload: kind, namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkloadId {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// As kubectl prints it: `deployment.apps/nginx`, `pod/debug`.
impl fmt::Display for WorkloadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// Which list of the pod template a slot is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SlotList {
    /// `containers`.
    Containers,
    /// `initContainers`.
    InitContainers,
    /// `ephemeralContainers`: seen, never changed.
    EphemeralContainers,
    /// `volumes[].image.reference`.
    ImageVolumes,
}

impl SlotList {
    /// The field of the pod spec that holds the list.
    pub fn field(self) -> &'static str {
        match self {
            Self::Containers => "containers",
            Self::InitContainers => "initContainers",
            Self::EphemeralContainers => "ephemeralContainers",
            Self::ImageVolumes => "volumes",
        }
    }
}

/// Names one image field of a workload, `containers/nginx`, independent of its position.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotKey {
    /// Which list it is in.
    pub list: SlotList,
    /// The container's or volume's name.
    pub name: String,
}

/// `containers/nginx`, as in the record.
impl fmt::Display for SlotKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.list.field(), self.name)
    }
}

/// One image field of a workload, as observed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Slot {
    /// Its name.
    pub key: SlotKey,
    /// Its position in its list, at the time of the snapshot.
    pub index: usize,
    /// The image text; empty where the template leaves the field out.
    pub image: String,
    /// `imagePullPolicy: Never`: the node is expected to have the image.
    pub never_pulled: bool,
}

/// A workload as observed at one moment.
#[derive(Debug, Clone, PartialEq, Hash)]
pub struct Workload {
    /// Which workload.
    pub id: WorkloadId,
    /// Every image field, in the order of the template; init containers after containers.
    pub slots: Vec<Slot>,
    /// Names in the template's `imagePullSecrets`; none when the field is absent.
    pub pull_secrets: Option<Vec<String>>,
    /// The ServiceAccount its pods run as.
    pub service_account: String,
    /// `priorityClassName` of the template, if any.
    pub priority_class: Option<String>,
    /// The record of an earlier repoint, if it is there and can be read.
    pub record: Option<Record>,
    /// The record annotation's exact text, for the compare-and-set.
    pub record_text: Option<String>,
    /// The text of the `image-cloner.io/restored` annotation.
    pub restored: Option<String>,
    /// The text of the `image-cloner.io/reclaimed` annotation.
    pub reclaimed: Option<String>,
    /// Whether the object has a map of annotations at all (a patch must know).
    pub has_annotations: bool,
    /// `image-cloner.io/skip: "true"`, as annotation or label.
    pub opted_out: bool,
    /// The ownerReference with `controller: true`.
    pub controller: Option<Controller>,
    /// Who else claims the image fields or the object.
    pub owner: Option<Owner>,
    /// A `Recreate` Deployment: a repoint means downtime.
    pub recreates: bool,
    /// Its selector as list requests take it (`app=web,tier in (a,b)`), which finds its pods; none for a
    /// bare Pod, which is its own, and for a CronJob, whose Jobs have one each.
    pub pod_selector: Option<String>,
    /// Ports of their nodes that its pods listen at.
    pub host_ports: BTreeSet<u16>,
    mutability: Mutability,
}

impl Workload {
    /// Reads a workload from an object of this kind.
    ///
    /// A record that cannot be read is kept as text alone, so that planning can say so and spare it.
    ///
    /// # Errors
    /// When the object has no name or no pod template where the kind keeps it.
    pub fn from_object(kind: &Kind, object: &serde_json::Value) -> Result<Self, String> {
        read::workload(kind, object)
    }

    /// The slot of this name.
    pub fn slot(&self, key: &SlotKey) -> Option<&Slot> {
        self.slots.iter().find(|slot| &slot.key == key)
    }

    /// Its slots that are in its record, with their names there. They are looked up by name: there may be thousands of
    /// both, whoever wrote them.
    pub fn recorded(&self) -> impl Iterator<Item = (&str, &SlotRecord, &Slot)> {
        let record = self.record.as_ref();
        self.slots.iter().filter_map(move |slot| {
            let recorded = record?.slots.get_key_value(&slot.key.to_string());
            recorded.map(|(name, recorded)| (name.as_str(), recorded, slot))
        })
    }

    /// Those of its record that still are as the repoint left them, by name.
    pub fn standing_slots(&self) -> impl Iterator<Item = (&str, &SlotRecord)> {
        let slots = self.recorded();
        slots
            .filter(|(_, recorded, slot)| slot.image == recorded.target)
            .map(|(name, recorded, _)| (name, recorded))
    }

    /// The copies that its record names and that are as the repoint left them.
    pub fn standing(&self) -> impl Iterator<Item = &str> {
        let slots = self.standing_slots();
        slots.map(|(_, recorded)| recorded.target.as_str())
    }

    /// Whether its pod template can be changed and what then happens.
    pub fn mutability(&self) -> Mutability {
        self.mutability
    }

    /// The same before the API server has stored it, when anything of it can still be changed.
    #[must_use]
    pub fn unmade(self) -> Self {
        Self {
            mutability: Mutability::Unmade,
            ..self
        }
    }

    /// Whether it is a Pod that was made: of it, nothing but images can be changed.
    pub(crate) fn is_made_pod(&self) -> bool {
        self.id.kind.is_pod() && self.mutability != Mutability::Unmade
    }

    /// A hash of its images by slot, as a restore leaves it in [`RESTORED`]. Ephemeral containers come and
    /// go and do not count.
    pub fn images_hash(&self) -> String {
        record::images_hash(
            self.slots
                .iter()
                .filter(|slot| slot.key.list != SlotList::EphemeralContainers)
                .map(|slot| (slot.key.to_string(), slot.image.as_str())),
        )
    }

    /// The JSON pointers of a slot's name and of its image in the object.
    pub(crate) fn pointers(&self, slot: &Slot) -> (String, String) {
        let item = format!(
            "{}/{}/{}",
            self.id.kind.pod_spec(),
            slot.key.list.field(),
            slot.index
        );
        let image = match slot.key.list {
            SlotList::ImageVolumes => "image/reference",
            _ => "image",
        };
        (format!("{item}/name"), format!("{item}/{image}"))
    }
}
