//! A repoint → the body of its one JSON patch.
//!
//! Decides the compare-and-set: `test` on container names, images, pull secrets and the record, never on
//! the resource version (any status write moves that). Never sends anything.
//!
//! That a field is absent is tested as `null`. RFC 6902 does not say so, but API servers (Go's
//! evanphx/json-patch, 4.9 in Kubernetes 1.20 through 5) let it pass where the field's parent is there, and
//! fail where the parent is missing too: so an object without annotations is tested for just that.

use crate::plan::{PullSecretChange, Repoint};
use crate::workload::{ORIGINALS, RESTORED, Workload};
use serde_json::{Map, Value, json};

const ANNOTATIONS: &str = "/metadata/annotations";

/// The JSON patch (RFC 6902) that carries out a repoint on the workload as it was observed.
///
/// # Panics
/// When the repoint was not planned for this workload.
pub fn body(workload: &Workload, repoint: &Repoint) -> Value {
    let (mut tests, writes) = operations(workload, repoint);
    tests.extend(writes);
    Value::Array(tests)
}

/// The same for an object that nobody else can have changed since, as it is in admission: without tests. One
/// that fails there refuses the whole request, whatever the webhook's failure policy.
///
/// # Panics
/// As [`body`].
pub fn writes(workload: &Workload, repoint: &Repoint) -> Value {
    let (_, writes) = operations(workload, repoint);
    Value::Array(writes)
}

/// What must be as it was observed, and what is written then.
fn operations(workload: &Workload, repoint: &Repoint) -> (Vec<Value>, Vec<Value>) {
    let mut tests = vec![];
    let mut writes = vec![];
    slots(workload, repoint, &mut tests, &mut writes);
    pull_secrets(workload, repoint, &mut tests, &mut writes);
    annotations(workload, repoint, &mut tests, &mut writes);
    (tests, writes)
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
        PullSecretChange::Keep => {}
        // on a field that is there, `add` replaces it
        PullSecretChange::Set(names) => writes.push(add(&path, &references(names))),
        PullSecretChange::Remove => writes.extend(present.map(|_| remove(&path))),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::SlotChange;
    use crate::workload::Kind;
    use std::collections::BTreeMap;

    fn check(
        (word, object): (&str, &Value),
        pull_secrets: PullSecretChange,
        annotations: &[(&'static str, Option<&str>)],
        expected: &Value,
    ) {
        let kind = Kind::from_word(word).unwrap();
        let workload = Workload::from_object(&kind, object).unwrap();
        let repoint = Repoint {
            slots: workload
                .slots
                .iter()
                .map(|slot| SlotChange {
                    slot: slot.key.clone(),
                    from: slot.image.clone(),
                    to: format!("reg.corp/{}", slot.image),
                })
                .collect(),
            pull_secrets,
            needs_pull_secret: None,
            annotations: annotations
                .iter()
                .map(|(key, value)| (*key, value.map(ToOwned::to_owned)))
                .collect::<BTreeMap<_, _>>(),
        };
        assert_eq!(&body(&workload, &repoint), expected);
    }

    #[test]
    fn absence_is_tested_where_the_parent_is_there() {
        let object = json!({
            "metadata": {"name": "web"},
            "spec": {"template": {"spec": {
                "containers": [{"name": "a", "image": "x"}],
                "volumes": [{"name": "t"}, {"name": "m", "image": {"reference": "y"}}],
            }}},
        });
        check(
            ("deploy", &object),
            PullSecretChange::Set(vec!["ours".to_owned()]),
            &[(ORIGINALS, Some("{}"))],
            &json!([
                {"op": "test", "path": "/spec/template/spec/containers/0/name", "value": "a"},
                {"op": "test", "path": "/spec/template/spec/containers/0/image", "value": "x"},
                {"op": "test", "path": "/spec/template/spec/volumes/1/name", "value": "m"},
                {"op": "test", "path": "/spec/template/spec/volumes/1/image/reference", "value": "y"},
                {"op": "test", "path": "/spec/template/spec/imagePullSecrets", "value": null},
                {"op": "test", "path": "/metadata/annotations", "value": null},
                {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "reg.corp/x"},
                {"op": "replace", "path": "/spec/template/spec/volumes/1/image/reference", "value": "reg.corp/y"},
                {"op": "add", "path": "/spec/template/spec/imagePullSecrets", "value": [{"name": "ours"}]},
                {"op": "add", "path": "/metadata/annotations", "value": {"image-cloner.io/originals": "{}"}},
            ]),
        );
    }

    #[test]
    fn what_is_there_is_tested_whole() {
        let object = json!({
            "metadata": {"name": "web", "annotations": {"image-cloner.io/restored": "0011"}},
            "spec": {
                "containers": [{"name": "a", "image": "x"}],
                "imagePullSecrets": [{"name": "own"}, {}],
            },
        });
        check(
            ("po", &object),
            PullSecretChange::Keep,
            &[(ORIGINALS, Some("{}")), (RESTORED, None)],
            &json!([
                {"op": "test", "path": "/spec/containers/0/name", "value": "a"},
                {"op": "test", "path": "/spec/containers/0/image", "value": "x"},
                {"op": "test", "path": "/spec/imagePullSecrets", "value": [{"name": "own"}, {}]},
                {"op": "test", "path": "/metadata/annotations/image-cloner.io~1originals", "value": null},
                {"op": "test", "path": "/metadata/annotations/image-cloner.io~1restored", "value": "0011"},
                {"op": "replace", "path": "/spec/containers/0/image", "value": "reg.corp/x"},
                {"op": "add", "path": "/metadata/annotations/image-cloner.io~1originals", "value": "{}"},
                {"op": "remove", "path": "/metadata/annotations/image-cloner.io~1restored"},
            ]),
        );
    }

    #[test]
    fn a_restore_removes_only_what_it_tested() {
        let object = json!({
            "metadata": {"name": "tick", "annotations": {"image-cloner.io/originals": "{\"run\":\"1\"}"}},
            "spec": {"jobTemplate": {"spec": {"template": {"spec": {
                "initContainers": [{"name": "a", "image": "x"}],
                "imagePullSecrets": [{"name": "ours"}],
            }}}}},
        });
        let pod = "/spec/jobTemplate/spec/template/spec";
        check(
            ("cj", &object),
            PullSecretChange::Remove,
            &[(ORIGINALS, None), (RESTORED, Some("0011"))],
            &json!([
                {"op": "test", "path": format!("{pod}/initContainers/0/name"), "value": "a"},
                {"op": "test", "path": format!("{pod}/initContainers/0/image"), "value": "x"},
                {"op": "test", "path": format!("{pod}/imagePullSecrets"), "value": [{"name": "ours"}]},
                {"op": "test", "path": "/metadata/annotations/image-cloner.io~1originals", "value": "{\"run\":\"1\"}"},
                {"op": "test", "path": "/metadata/annotations/image-cloner.io~1restored", "value": null},
                {"op": "replace", "path": format!("{pod}/initContainers/0/image"), "value": "reg.corp/x"},
                {"op": "remove", "path": format!("{pod}/imagePullSecrets")},
                {"op": "remove", "path": "/metadata/annotations/image-cloner.io~1originals"},
                {"op": "add", "path": "/metadata/annotations/image-cloner.io~1restored", "value": "0011"},
            ]),
        );
    }
}
