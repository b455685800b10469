//! Who owns the fields of an object, as far as that is us.
//!
//! Decides which entries of managedFields go. Never decides when: that is after a restore.

use super::{Cluster, Error, TRIES};
use crate::workload::{FIELD_MANAGER, WorkloadId};
use serde_json::{Value, json};

impl Cluster {
    /// Removes our managedFields entry, after a restore, so that server-side appliers find nobody to
    /// conflict with.
    pub async fn disown(&self, id: &WorkloadId) -> Result<(), Error> {
        let collection = self.collection(&id.kind, Some(&id.namespace)).await?;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let object = self.get_one(&collection, &id.name).await?;
            let Some(body) = disowning(&object) else {
                return Ok(());
            };
            match self.patch_one(&collection, &id.name, &body).await {
                Err(Error::Conflict(_)) if attempt < TRIES => {}
                answer => return answer.map(|_| ()),
            }
        }
    }
}

/// The patch that removes our entries of managedFields, the last one first; none where there are none.
fn disowning(object: &Value) -> Option<Value> {
    let entries = object.pointer("/metadata/managedFields")?.as_array()?;
    let ours = entries.iter().enumerate().rev();
    let ours = ours.filter(|(_, entry)| entry["manager"] == FIELD_MANAGER);
    let operations: Vec<Value> = ours
        .flat_map(|(index, _)| {
            let path = format!("/metadata/managedFields/{index}");
            [
                json!({"op": "test", "path": format!("{path}/manager"), "value": FIELD_MANAGER}),
                json!({"op": "remove", "path": path}),
            ]
        })
        .collect();
    (!operations.is_empty()).then_some(Value::Array(operations))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disowning_removes_our_entries_from_the_end() {
        let object = json!({"metadata": {"managedFields": [
            {"manager": "image-cloner"}, {"manager": "kubectl"}, {"manager": "image-cloner"},
        ]}});
        assert_eq!(
            disowning(&object),
            Some(json!([
                {"op": "test", "path": "/metadata/managedFields/2/manager", "value": "image-cloner"},
                {"op": "remove", "path": "/metadata/managedFields/2"},
                {"op": "test", "path": "/metadata/managedFields/0/manager", "value": "image-cloner"},
                {"op": "remove", "path": "/metadata/managedFields/0"},
            ]))
        );
        assert_eq!(disowning(&json!({"metadata": {}})), None);
    }
}
