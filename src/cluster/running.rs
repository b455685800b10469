//! Which digests the pods of a workload run.
//!
//! Decides which pod is whose by its controller, never by labels: two Deployments whose selectors
//! overlap would be mixed up. A ReplicaSet made by a Deployment is called after it and the pod's
//! `pod-template-hash`, a Job made by a CronJob after it and a number; so no further list is needed. A
//! pod of a ReplicaSet that the Deployment adopted under another name is nobody's: nothing is said then.

use crate::plan::Observed;
use crate::reference::Digest;
use crate::workload::{SlotKey, SlotList};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// What matters of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pod {
    owner: Owner,
    /// Slot, image text, digest that runs.
    images: Vec<(SlotKey, String, Digest)>,
}

/// Namespace, kind and name of the workload that a pod belongs to.
type Owner = (String, String, String);

impl Pod {
    /// Reads a pod; none where nothing runs in it.
    pub(super) fn read(pod: &Value) -> Option<Self> {
        let images: Vec<_> = [
            (SlotList::Containers, "containerStatuses"),
            (SlotList::InitContainers, "initContainerStatuses"),
        ]
        .into_iter()
        .flat_map(|(list, statuses)| images(pod, list, statuses))
        .collect();
        (!images.is_empty()).then_some(Self {
            owner: owner(&pod["metadata"])?,
            images,
        })
    }
}

/// Notes the digests on the workloads whose pods run them under the very image text that the slot has:
/// pods of an older revision may still be there.
pub(super) fn note(observed: &mut [Observed], pods: Vec<Pod>) {
    let mut by_owner: HashMap<Owner, Vec<Pod>> = HashMap::new();
    for pod in pods {
        by_owner.entry(pod.owner.clone()).or_default().push(pod);
    }
    for one in observed {
        let id = &one.workload.id;
        let owner = (id.namespace.clone(), id.kind.kind.clone(), id.name.clone());
        let mut running: BTreeMap<SlotKey, _> = BTreeMap::new();
        for (key, image, digest) in by_owner.remove(&owner).into_iter().flatten().flat_map(|pod| pod.images) {
            if one.workload.slot(&key).is_some_and(|slot| slot.image == image) {
                running
                    .entry(key)
                    .or_insert_with(std::collections::BTreeSet::new)
                    .insert(digest);
            }
        }
        one.running = running;
    }
}

fn images<'a>(
    pod: &'a Value,
    list: SlotList,
    statuses: &str,
) -> impl Iterator<Item = (SlotKey, String, Digest)> + 'a {
    let containers = pod["spec"][list.field()].as_array();
    let statuses = pod["status"][statuses].as_array();
    statuses.into_iter().flatten().filter_map(move |status| {
        let name = status["name"].as_str()?;
        let digest = digest(status["imageID"].as_str()?)?;
        let container = containers?.iter().find(|container| container["name"] == name)?;
        let key = SlotKey {
            list,
            name: name.to_owned(),
        };
        Some((key, container["image"].as_str()?.to_owned(), digest))
    })
}

/// The digest in a status's `imageID`: `docker-pullable://repo@sha256:…` and `repo@sha256:…` carry one. A
/// bare `sha256:…` is the digest of the image's config, by which no registry finds anything.
fn digest(image_id: &str) -> Option<Digest> {
    let (_, digest) = image_id.rsplit_once('@')?;
    digest.parse().ok()
}

fn owner(metadata: &Value) -> Option<Owner> {
    let own_name = metadata["name"].as_str()?;
    let references = metadata["ownerReferences"].as_array();
    let controller = references
        .into_iter()
        .flatten()
        .find(|reference| reference["controller"] == true);
    let (kind, name) = match controller {
        None => ("Pod", own_name),
        Some(controller) => {
            let kind = controller["kind"].as_str()?;
            let name = controller["name"].as_str()?;
            let hash = metadata["labels"]["pod-template-hash"].as_str();
            deeper(kind, name, hash).unwrap_or((kind, name))
        }
    };
    let namespace = metadata["namespace"].as_str()?;
    Some((namespace.to_owned(), kind.to_owned(), name.to_owned()))
}

/// The controller's own controller, by its name.
fn deeper<'a>(kind: &str, name: &'a str, hash: Option<&str>) -> Option<(&'static str, &'a str)> {
    let (start, end) = name.rsplit_once('-')?;
    match kind {
        "ReplicaSet" if hash == Some(end) => Some(("Deployment", start)),
        "Job" if end.len() >= 8 && end.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(("CronJob", start))
        }
        _ => None,
    }
}
