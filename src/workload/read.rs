//! An object as the API server gives it → a workload.

use super::{
    Controller, Kind, Mutability, ORIGINALS, Owner, RECLAIMED, RESTORED, SKIP, Slot, SlotKey,
    SlotList, Workload, WorkloadId,
};
use serde_json::Value;
use std::collections::BTreeSet;

pub(super) fn workload(kind: &Kind, object: &Value) -> Result<Workload, String> {
    let metadata = &object["metadata"];
    let name = text(&metadata["name"]).ok_or_else(|| format!("a {kind} has no name"))?;
    let namespace = text(&metadata["namespace"]).unwrap_or_else(|| "default".to_owned());
    let pod = object
        .pointer(kind.pod_spec())
        .filter(|pod| pod.is_object())
        .ok_or_else(|| format!("{kind}/{name} has no pod template at {}", kind.pod_spec()))?;
    let annotations = &metadata["annotations"];
    let record_text = text(&annotations[ORIGINALS]);
    Ok(Workload {
        id: WorkloadId {
            kind: kind.clone(),
            namespace,
            name,
        },
        slots: slots(pod),
        pull_secrets: pod["imagePullSecrets"].as_array().map(|secrets| {
            let name = |secret: &Value| text(&secret["name"]).unwrap_or_default();
            secrets.iter().map(name).collect()
        }),
        // `serviceAccount` is the field's old name, which servers still fill in
        service_account: text(&pod["serviceAccountName"])
            .or_else(|| text(&pod["serviceAccount"]))
            .filter(|account| !account.is_empty())
            .unwrap_or_else(|| "default".to_owned()),
        priority_class: text(&pod["priorityClassName"]),
        record: record_text
            .as_deref()
            .and_then(|record| serde_json::from_str(record).ok()),
        record_text,
        restored: text(&annotations[RESTORED]),
        reclaimed: text(&annotations[RECLAIMED]),
        has_annotations: annotations.is_object(),
        opted_out: opted_out(metadata),
        controller: Controller::of(object).or_else(|| Controller::of_mirror_pod(object)),
        owner: Owner::of(kind, object),
        recreates: kind.kind == "Deployment" && object["spec"]["strategy"]["type"] == "Recreate",
        pod_selector: pod_selector(&object["spec"]["selector"]),
        host_ports: host_ports(pod),
        mutability: Mutability::of(kind, object),
    })
}

/// Whether `image-cloner.io/skip: "true"` is among an object's annotations or labels; takes its
/// `metadata`.
pub fn opted_out(metadata: &Value) -> bool {
    ["annotations", "labels"].iter().any(|place| {
        metadata[*place][SKIP]
            .as_str()
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    })
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(ToOwned::to_owned)
}

fn slots(pod: &Value) -> Vec<Slot> {
    [
        SlotList::Containers,
        SlotList::InitContainers,
        SlotList::EphemeralContainers,
        SlotList::ImageVolumes,
    ]
    .into_iter()
    .flat_map(|list| {
        let items = pod[list.field()].as_array();
        items
            .into_iter()
            .flatten()
            .enumerate()
            .filter_map(move |(index, item)| slot(list, index, item))
    })
    .collect()
}

fn slot(list: SlotList, index: usize, item: &Value) -> Option<Slot> {
    let (image, policy) = match list {
        SlotList::ImageVolumes => {
            let source = item.get("image")?;
            (&source["reference"], &source["pullPolicy"])
        }
        _ => (&item["image"], &item["imagePullPolicy"]),
    };
    Some(Slot {
        key: SlotKey {
            list,
            name: text(&item["name"]).unwrap_or_default(),
        },
        index,
        image: text(image).unwrap_or_default(),
        never_pulled: policy == "Never",
    })
}

/// A server fills `hostPort` in where a pod has its node's network.
fn host_ports(pod: &Value) -> BTreeSet<u16> {
    let containers = pod["containers"].as_array().into_iter().flatten();
    let ports =
        containers.flat_map(|container| container["ports"].as_array().into_iter().flatten());
    let ports = ports.filter_map(|port| port["hostPort"].as_u64());
    ports
        .filter_map(|port| port.try_into().ok())
        .filter(|port| *port != 0)
        .collect()
}

/// A label selector in the form that list requests take: `app=web,tier in (a,b)`.
fn pod_selector(selector: &Value) -> Option<String> {
    let labels = selector["matchLabels"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    let expressions = selector["matchExpressions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|expression| {
            let key = expression["key"].as_str()?;
            let values: Vec<&str> = expression["values"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            let values = values.join(",");
            match expression["operator"].as_str()? {
                "In" => Some(format!("{key} in ({values})")),
                "NotIn" => Some(format!("{key} notin ({values})")),
                "Exists" => Some(key.to_owned()),
                "DoesNotExist" => Some(format!("!{key}")),
                _ => None,
            }
        });
    let terms: Vec<String> = labels.chain(expressions).collect();
    (!terms.is_empty()).then(|| terms.join(","))
}
