//! Which images the pods of a workload have, and which digests of them run.
//!
//! Decides which pod is whose by its controller, never by labels: two Deployments whose selectors
//! overlap would be mixed up. A ReplicaSet made by a Deployment is called after it and the pod's
//! `pod-template-hash`, a Job made by a CronJob after it and a number; so no further list is needed. A
//! pod of a ReplicaSet that the Deployment adopted under another name is nobody's: nothing is said then.

use crate::plan::Observed;
use crate::reference::Digest;
use crate::status::InPods;
use crate::workload::{SlotKey, SlotList, WorkloadId};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What matters of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pod {
    /// Its controller, and that one's own.
    owners: Vec<Owner>,
    images: Vec<PodImage>,
    /// It has ended or is about to: it pulls nothing any more.
    over: bool,
}

/// One container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PodImage {
    slot: SlotKey,
    /// The text in the pod, which admission may have changed.
    image: String,
    /// What runs of it, where the pod says.
    digest: Option<Digest>,
}

/// Namespace, kind and name of the workload that a pod belongs to.
type Owner = (String, String, String);

impl Pod {
    /// Reads a pod.
    pub(super) fn read(pod: &Value) -> Option<Self> {
        let images = [
            (SlotList::Containers, "containerStatuses"),
            (SlotList::InitContainers, "initContainerStatuses"),
            (SlotList::EphemeralContainers, "ephemeralContainerStatuses"),
        ]
        .into_iter()
        .flat_map(|(list, statuses)| images(pod, list, statuses));
        let phase = pod["status"]["phase"].as_str();
        Some(Self {
            owners: owners(&pod["metadata"])?,
            images: images.collect(),
            over: !pod["metadata"]["deletionTimestamp"].is_null()
                || matches!(phase, Some("Succeeded" | "Failed")),
        })
    }
}

/// The images that the pods of these workloads have, as long as they are not over.
pub(super) fn in_pods(observed: &[Observed], pods: &[Pod]) -> BTreeMap<WorkloadId, Vec<InPods>> {
    let by_owner = by_owner(pods);
    let mut all = BTreeMap::new();
    for one in observed {
        let mut images: BTreeMap<(&SlotKey, &str), InPods> = BTreeMap::new();
        let theirs = theirs(&by_owner, one).filter(|pod| !pod.over);
        for found in theirs.flat_map(|pod| &pod.images) {
            let place = (&found.slot, found.image.as_str());
            let entry = images.entry(place).or_insert_with(|| InPods {
                slot: found.slot.clone(),
                image: found.image.clone(),
                running: BTreeSet::new(),
                pods: 0,
            });
            entry.pods += 1;
            entry.running.extend(found.digest.clone());
        }
        if !images.is_empty() {
            all.insert(one.workload.id.clone(), images.into_values().collect());
        }
    }
    all
}

/// Notes the digests on the workloads whose pods run them under the very image text that the slot has:
/// pods of an older revision may still be there. What pods had that are over counts where no other says
/// anything: jobs that are done, or none at the moment.
pub(super) fn note(observed: &mut [Observed], pods: &[Pod]) {
    let by_owner = by_owner(pods);
    for one in observed {
        let (over, alive): (Vec<&Pod>, Vec<&Pod>) =
            theirs(&by_owner, one).partition(|pod| pod.over);
        let of_past = digests(one, &over);
        one.running = digests(one, &alive);
        for (slot, digests) in of_past {
            one.running.entry(slot).or_insert(digests);
        }
    }
}

/// What these pods of a workload run under the images that its slots have.
fn digests(one: &Observed, pods: &[&Pod]) -> BTreeMap<SlotKey, BTreeSet<Digest>> {
    let mut running: BTreeMap<SlotKey, BTreeSet<Digest>> = BTreeMap::new();
    for found in pods.iter().flat_map(|pod| &pod.images) {
        let slot = one.workload.slot(&found.slot);
        if let Some(digest) = &found.digest
            && slot.is_some_and(|slot| slot.image == found.image)
        {
            let digests = running.entry(found.slot.clone()).or_default();
            digests.insert(digest.clone());
        }
    }
    running
}

/// Whether a pod belongs to a workload.
pub(super) fn is_of(id: &WorkloadId, pod: &Value) -> bool {
    let is_it = |(namespace, kind, name): &Owner| {
        *namespace == id.namespace && *kind == id.kind.kind && *name == id.name
    };
    owners(&pod["metadata"]).is_some_and(|owners| owners.iter().any(is_it))
}

fn by_owner(pods: &[Pod]) -> HashMap<&Owner, Vec<&Pod>> {
    let mut by_owner: HashMap<&Owner, Vec<&Pod>> = HashMap::new();
    for pod in pods {
        for owner in &pod.owners {
            by_owner.entry(owner).or_default().push(pod);
        }
    }
    by_owner
}

/// The pods of a workload.
fn theirs<'a>(
    by_owner: &HashMap<&Owner, Vec<&'a Pod>>,
    observed: &Observed,
) -> impl Iterator<Item = &'a Pod> + use<'a> {
    let id = &observed.workload.id;
    let owner = (id.namespace.clone(), id.kind.kind.clone(), id.name.clone());
    let pods = by_owner.get(&owner).cloned();
    pods.unwrap_or_default().into_iter()
}

fn images<'a>(
    pod: &'a Value,
    list: SlotList,
    statuses: &str,
) -> impl Iterator<Item = PodImage> + 'a {
    let containers = pod["spec"][list.field()].as_array();
    let statuses = pod["status"][statuses].as_array();
    containers
        .into_iter()
        .flatten()
        .filter_map(move |container| {
            let name = container["name"].as_str()?;
            let mut statuses = statuses.into_iter().flatten();
            let status = statuses.find(|status| status["name"] == name);
            Some(PodImage {
                slot: SlotKey {
                    list,
                    name: name.to_owned(),
                },
                image: container["image"].as_str()?.to_owned(),
                digest: status.and_then(|status| digest(status["imageID"].as_str()?)),
            })
        })
}

/// The digest in a status's `imageID`: `docker-pullable://repo@sha256:…` and `repo@sha256:…` carry one. A
/// bare `sha256:…` is the digest of the image's config, by which no registry finds anything.
fn digest(image_id: &str) -> Option<Digest> {
    let (_, digest) = image_id.rsplit_once('@')?;
    digest.parse().ok()
}

fn owners(metadata: &Value) -> Option<Vec<Owner>> {
    let namespace = metadata["namespace"].as_str()?;
    let owner = |(kind, name): (&str, &str)| {
        let owner = (namespace.to_owned(), kind.to_owned(), name.to_owned());
        Some(owner)
    };
    let references = metadata["ownerReferences"].as_array();
    let controller = references
        .into_iter()
        .flatten()
        .find(|reference| reference["controller"] == true);
    let Some(controller) = controller else {
        return Some(vec![owner(("Pod", metadata["name"].as_str()?))?]);
    };
    let kind = controller["kind"].as_str()?;
    let name = controller["name"].as_str()?;
    let labels = &metadata["labels"];
    let made_by = |kind, label: &str| Some((kind, labels[label].as_str()?));
    let hash = made_by("Deployment", "pod-template-hash")
        // Argo Rollouts makes ReplicaSets as Deployments do
        .or_else(|| made_by("Rollout", "rollouts-pod-template-hash"));
    let deeper = deeper(kind, name, hash).and_then(owner);
    Some(owner((kind, name)).into_iter().chain(deeper).collect())
}

/// The controller's own controller, by its name.
fn deeper<'a>(
    kind: &str,
    name: &'a str,
    hash: Option<(&'static str, &str)>,
) -> Option<(&'static str, &'a str)> {
    let (start, end) = name.rsplit_once('-')?;
    match (kind, hash) {
        ("ReplicaSet", Some((maker, hash))) if hash == end => Some((maker, start)),
        ("Job", _) if end.bytes().all(|byte| byte.is_ascii_digit()) => Some(("CronJob", start)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Kind, Workload};
    use serde_json::json;

    fn hex(letter: char) -> String {
        format!("sha256:{}", letter.to_string().repeat(64))
    }

    fn pod(controller: (&str, &str), image: &str, image_id: &str) -> Pod {
        Pod::read(&json!({
            "metadata": {
                "namespace": "prod", "name": "x",
                "labels": {"pod-template-hash": "7c9"},
                "ownerReferences": [
                    {"kind": "Other", "name": "not-a-controller"},
                    {"kind": controller.0, "name": controller.1, "controller": true},
                ],
            },
            "spec": {"containers": [{"name": "nginx", "image": image}]},
            "status": {"containerStatuses": [{"name": "nginx", "imageID": image_id}]},
        }))
        .unwrap()
    }

    fn observed(word: &str, name: &str) -> Observed {
        let spec = json!({"containers": [{"name": "nginx", "image": "nginx:1"}]});
        let spec = match word {
            "cj" => json!({"jobTemplate": {"spec": {"template": {"spec": spec}}}}),
            _ => json!({"template": {"spec": spec}}),
        };
        let object = json!({"metadata": {"namespace": "prod", "name": name}, "spec": spec});
        Observed {
            workload: Workload::from_object(&Kind::from_word(word).unwrap(), &object).unwrap(),
            running: BTreeMap::new(),
            account_pull_secrets: Some(Vec::new()),
            pull_credentials: crate::plan::PullCredentials::None,
            named: true,
            namespace_opted_out: false,
        }
    }

    #[test]
    fn an_image_id_is_a_digest_only_where_a_registry_could_find_it() {
        let check = |image_id: &str, expected: Option<String>| {
            let found = digest(image_id).map(|digest| digest.to_string());
            assert_eq!(found, expected, "{image_id}");
        };
        let a = hex('a');
        check(&format!("docker-pullable://nginx@{a}"), Some(a.clone()));
        check(&format!("docker.io/library/nginx@{a}"), Some(a.clone()));
        check(&a, None);
        check(&format!("docker://{a}"), None);
        check("", None);
        check("nginx@sha256:short", None);
    }

    #[test]
    fn pods_belong_to_their_controllers_and_not_to_overlapping_labels() {
        let check = |controller: (&str, &str), workload: Observed, expected: usize| {
            let mut all = [workload];
            note(
                &mut all,
                &[pod(controller, "nginx:1", &format!("nginx@{}", hex('a')))],
            );
            let found: usize = all[0]
                .running
                .values()
                .map(std::collections::BTreeSet::len)
                .sum();
            assert_eq!(found, expected, "{controller:?}");
        };
        check(("ReplicaSet", "web-7c9"), observed("deploy", "web"), 1);
        check(("ReplicaSet", "web-7c9"), observed("rs", "web-7c9"), 1);
        check(("ReplicaSet", "web-api-7c9"), observed("deploy", "web"), 0);
        check(("ReplicaSet", "web-adopted"), observed("deploy", "web"), 0);
        check(("StatefulSet", "web"), observed("sts", "web"), 1);
        check(("StatefulSet", "web"), observed("deploy", "web"), 0);
        check(("Job", "backup-28012345"), observed("cj", "backup"), 1);
        check(
            ("Job", "backup-28012345"),
            observed("job", "backup-28012345"),
            1,
        );
        check(("Job", "backup-now"), observed("cj", "backup"), 0);
    }

    #[test]
    fn pods_of_another_revision_say_nothing_and_disagreeing_ones_all_count() {
        let mut all = [observed("deploy", "web")];
        let of = |image, letter| {
            pod(
                ("ReplicaSet", "web-7c9"),
                image,
                &format!("nginx@{}", hex(letter)),
            )
        };
        note(
            &mut all,
            &[of("nginx:0", 'a'), of("nginx:1", 'b'), of("nginx:1", 'c')],
        );
        let digests = all[0].running.values().flatten();
        let digests: Vec<String> = digests.map(ToString::to_string).collect();
        assert_eq!(digests, [hex('b'), hex('c')]);
    }

    #[test]
    fn pods_that_are_over_count_only_where_there_are_no_others() {
        let of = |letter: char, phase: &str| {
            let mut pod = json!({
                "metadata": {
                    "namespace": "prod", "name": "x",
                    "ownerReferences": [{"kind": "Job", "name": "web-1", "controller": true}],
                },
                "spec": {"containers": [{"name": "nginx", "image": "nginx:1"}]},
                "status": {"phase": phase},
            });
            let image_id = format!("nginx@{}", hex(letter));
            pod["status"]["containerStatuses"] = json!([{"name": "nginx", "imageID": image_id}]);
            Pod::read(&pod).unwrap()
        };
        let check = |pods: &[Pod], expected: &[String]| {
            let mut all = [observed("cj", "web")];
            note(&mut all, pods);
            let digests = all[0].running.values().flatten();
            let digests: Vec<String> = digests.map(ToString::to_string).collect();
            assert_eq!(digests, expected);
        };
        check(&[of('a', "Succeeded"), of('b', "Running")], &[hex('b')]);
        // a job that is done is the last word on what its workload runs
        check(
            &[of('a', "Succeeded"), of('b', "Failed")],
            &[hex('a'), hex('b')],
        );
        // one that has not started says nothing yet
        let mut pending = of('c', "Pending");
        pending.images[0].digest = None;
        check(&[of('a', "Succeeded"), pending], &[hex('a')]);
    }

    #[test]
    fn pods_have_more_than_their_template_until_they_are_over() {
        let sidecar = |phase: &str, deleted: bool| {
            let mut pod = json!({
                "metadata": {
                    "namespace": "prod", "name": "x",
                    "labels": {"pod-template-hash": "7c9"},
                    "ownerReferences": [
                        {"kind": "ReplicaSet", "name": "web-7c9", "controller": true},
                    ],
                },
                "spec": {"containers": [
                    {"name": "nginx", "image": "nginx:1"},
                    {"name": "proxy", "image": "mesh/proxy:2"},
                ]},
                "status": {"phase": phase},
            });
            if deleted {
                pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            }
            Pod::read(&pod).unwrap()
        };
        let check = |pods: &[Pod], expected: &[(&str, usize)]| {
            let web = observed("deploy", "web");
            let all = in_pods(std::slice::from_ref(&web), pods);
            let found = all.get(&web.workload.id).into_iter().flatten();
            let found: Vec<_> = found.map(|one| (one.image.as_str(), one.pods)).collect();
            assert_eq!(found, expected);
        };
        let pending = || sidecar("Pending", false);
        check(
            &[pending(), pending()],
            &[("nginx:1", 2), ("mesh/proxy:2", 2)],
        );
        check(
            &[sidecar("Succeeded", false), sidecar("Running", true)],
            &[],
        );
    }
}
