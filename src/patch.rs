//! A repoint → the body of its one JSON patch.
//!
//! Decides the compare-and-set: `test` on container names, images, pull secrets and the record, never on
//! the resource version (any status write moves that). Never sends anything.
//!
//! That a field is absent is tested as `null`. RFC 6902 does not say so, but API servers (Go's
//! evanphx/json-patch, 4.9 in Kubernetes 1.20 through 5) let it pass where the field's parent is there, and
//! fail where the parent is missing too: so an object without annotations is tested for just that.

use crate::plan::Repoint;
use crate::workload::{ORIGINALS, RESTORED, Workload};
use serde_json::{Map, Value, json};

const ANNOTATIONS: &str = "/metadata/annotations";

/// The JSON patch (RFC 6902) that carries out a repoint on the workload as it was observed.
///
/// # Panics
/// When the repoint was not planned for this workload.
pub fn body(workload: &Workload, repoint: &Repoint) -> Value {
    let mut tests = vec![];
    let mut writes = vec![];
    slots(workload, repoint, &mut tests, &mut writes);
    pull_secrets(workload, repoint, &mut tests, &mut writes);
    annotations(workload, repoint, &mut tests, &mut writes);
    tests.extend(writes);
    Value::Array(tests)
}

fn slots(workload: &Workload, repoint: &Repoint, tests: &mut Vec<Value>, writes: &mut Vec<Value>) {
    for change in &repoint.slots {
        let slot = workload
            .slot(&change.slot)
            .expect("a repoint names slots of the workload it was planned for");
        let (name, image) = workload.pointers(slot);
        tests.push(test(&name, &json!(change.slot.name)));
        tests.push(test(&image, &json!(change.from)));
        writes.push(json!({"op": "replace", "path": image, "value": change.to}));
    }
}

fn pull_secrets(
    workload: &Workload,
    repoint: &Repoint,
    tests: &mut Vec<Value>,
    writes: &mut Vec<Value>,
) {
    let path = format!("{}/imagePullSecrets", workload.id.kind.pod_spec());
    let present = workload.pull_secrets.as_deref();
    tests.push(test(&path, &present.map_or(Value::Null, references)));
    match &repoint.pull_secrets {
        None => {}
        // on a field that is there, `add` replaces it
        Some(Some(names)) => writes.push(add(&path, &references(names))),
        Some(None) => writes.extend(present.map(|_| remove(&path))),
    }
}

fn annotations(
    workload: &Workload,
    repoint: &Repoint,
    tests: &mut Vec<Value>,
    writes: &mut Vec<Value>,
) {
    if !workload.has_annotations {
        let set: Map<String, Value> = repoint
            .annotations
            .iter()
            .filter_map(|(key, value)| Some(((*key).to_owned(), json!(value.as_ref()?))))
            .collect();
        tests.push(test(ANNOTATIONS, &Value::Null));
        writes.push(add(ANNOTATIONS, &Value::Object(set)));
        return;
    }
    tests.push(test(&annotation(ORIGINALS), &json!(workload.record_text)));
    if repoint.annotations.contains_key(RESTORED) {
        tests.push(test(&annotation(RESTORED), &json!(workload.restored)));
    }
    for (key, value) in &repoint.annotations {
        let path = annotation(key);
        writes.push(match value {
            Some(value) => add(&path, &json!(value)),
            None => remove(&path),
        });
    }
}

/// The JSON pointer of an annotation.
fn annotation(key: &str) -> String {
    format!(
        "{ANNOTATIONS}/{}",
        key.replace('~', "~0").replace('/', "~1")
    )
}

/// Names as a list of object references; one without a name is `{}`, as the API server writes it.
fn references(names: &[String]) -> Value {
    names
        .iter()
        .map(|name| {
            if name.is_empty() {
                json!({})
            } else {
                json!({"name": name})
            }
        })
        .collect()
}

fn test(path: &str, value: &Value) -> Value {
    json!({"op": "test", "path": path, "value": value})
}

fn add(path: &str, value: &Value) -> Value {
    json!({"op": "add", "path": path, "value": value})
}

fn remove(path: &str) -> Value {
    json!({"op": "remove", "path": path})
}
