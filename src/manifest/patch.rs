//! Changes of images as strategic merge patches, one a workload.
//!
//! Only for the kinds whose lists are known to be merged by name: in any other, kustomize and kubectl
//! would put a list of images in place of the containers.

use super::Edit;
use crate::workload::{Kind, SlotList, WorkloadId};
use serde_json::{Value, json};

/// The patch that makes these edits to an object.
///
/// # Errors
/// When there can be none: the reason.
pub fn strategic(id: &WorkloadId, edits: &[Edit]) -> Result<Value, &'static str> {
    if !Kind::builtin().contains(&id.kind) {
        return Err("strategic merge patches are for built-in kinds");
    }
    if id.name.is_empty() {
        return Err("a patch needs the object's name");
    }
    let mut metadata = json!({"name": id.name});
    if !id.namespace.is_empty() {
        metadata["namespace"] = json!(id.namespace);
    }
    let (group, version) = (&id.kind.group, &id.kind.version);
    let api_version = if group.is_empty() {
        version.clone()
    } else {
        format!("{group}/{version}")
    };
    let mut patch = json!({
        "apiVersion": api_version,
        "kind": id.kind.kind,
        "metadata": metadata,
    });
    for edit in edits {
        let (slot, to) = (&edit.slot, &edit.to);
        if slot.name.is_empty() {
            return Err("a patch needs the container's name");
        }
        let keys = edit
            .pod_spec
            .as_ref()
            .ok_or("its template is inside a list")?;
        let spec = keys.iter().fold(&mut patch, |node, key| &mut node[key]);
        let list = &mut spec[slot.list.field()];
        if list.is_null() {
            *list = json!([]);
        }
        let item = match slot.list {
            SlotList::ImageVolumes => json!({"name": slot.name, "image": {"reference": to}}),
            _ => json!({"name": slot.name, "image": to}),
        };
        if let Some(items) = list.as_array_mut() {
            items.push(item);
        }
    }
    Ok(patch)
}
