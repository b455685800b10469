//! An admission review as the API server sends it, and as it wants it back.
//!
//! Decides how both are read and written. Never what the answer is.

use crate::workload::{Kind, Names, Workload};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

/// The version of reviews that is understood.
pub(super) const VERSION: &str = "admission.k8s.io/v1";

/// An admission review, as asked.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Review {
    /// `admission.k8s.io/v1`.
    pub(super) api_version: String,
    pub(super) request: Request,
}

/// What somebody asks of the API server.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    /// Goes back with the answer.
    pub(super) uid: String,
    #[serde(default)]
    kind: GroupVersionKind,
    #[serde(default)]
    resource: GroupVersionResource,
    #[serde(default)]
    pub(super) sub_resource: String,
    #[serde(default)]
    namespace: String,
    /// `CREATE`, `UPDATE`, ….
    #[serde(default)]
    pub(super) operation: String,
    /// As it is to be stored.
    #[serde(default)]
    pub(super) object: Value,
    /// As it is stored.
    #[serde(default)]
    pub(super) old_object: Value,
    #[serde(default)]
    pub(super) dry_run: Option<bool>,
    #[serde(default)]
    options: Value,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GroupVersionKind {
    group: String,
    version: String,
    kind: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GroupVersionResource {
    resource: String,
}

impl Request {
    /// The name under which the one who asks will own what he writes.
    pub(super) fn field_manager(&self) -> Option<&str> {
        self.options["fieldManager"].as_str()
    }

    /// The object as a workload.
    pub(super) fn workload(&self) -> Result<Workload, String> {
        self.read(&self.object)
    }

    /// The object that it replaces, as a workload.
    pub(super) fn old_workload(&self) -> Result<Workload, String> {
        self.read(&self.old_object)
    }

    fn read(&self, object: &Value) -> Result<Workload, String> {
        let kind = Kind::from(Names {
            group: self.kind.group.clone(),
            version: self.kind.version.clone(),
            kind: self.kind.kind.clone(),
            plural: self.resource.resource.clone(),
        });
        let mut object = object.clone();
        let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
            return Err(format!("a {kind} has no metadata"));
        };
        // the API server fills both in once admission is over
        if !metadata.contains_key("name") {
            let name = metadata.get("generateName").cloned();
            metadata.insert("name".to_owned(), name.unwrap_or_default());
        }
        metadata.insert("namespace".to_owned(), json!(self.namespace));
        Workload::from_object(&kind, &object)
    }
}

/// The review that lets a request pass as it is.
pub(super) fn allowed(version: &str, uid: &str) -> Value {
    answer(version, &json!({"uid": uid, "allowed": true}))
}

/// The review that lets a request pass with a JSON patch, and tells whoever asked these things.
pub(super) fn patched(version: &str, uid: &str, patch: &Value, warnings: &[String]) -> Value {
    let mut response = json!({
        "uid": uid,
        "allowed": true,
        "patchType": "JSONPatch",
        "patch": STANDARD.encode(patch.to_string()),
    });
    if !warnings.is_empty() {
        response["warnings"] = json!(warnings);
    }
    answer(version, &response)
}

fn answer(version: &str, response: &Value) -> Value {
    json!({"apiVersion": version, "kind": "AdmissionReview", "response": response})
}
