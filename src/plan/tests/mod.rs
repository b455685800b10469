//! The plan in short, of workloads in short.

mod clone;
mod images;
mod left;
mod moves;
mod pull_secrets;
mod restore;

use super::*;
use crate::target::Layout;
use crate::workload::{Kind, ORIGINALS};
use serde_json::{Value, json};

fn policy() -> Policy {
    Policy {
        run: "a7f3".to_owned(),
        time: None,
        target: TargetRegistry::parse("localhost:5000", Layout::Mirror).unwrap(),
        images: ImagePolicy::default(),
        skip_namespaces: Patterns::parse(["lab"]).unwrap(),
        protect: BTreeSet::from(["infra/registry".to_owned()]),
        copy_only: false,
        owned_live: false,
        pull: PullAccess::Open,
    }
}

fn with_secret() -> Policy {
    Policy {
        pull: PullAccess::Secret("image-cloner-pull".to_owned()),
        ..policy()
    }
}

/// A workload `shop/web` of this kind: its metadata (beside name and namespace) and its pod spec.
fn observed(word: &str, metadata: &Value, pod: &Value) -> Observed {
    let kind = Kind::from_word(word).unwrap();
    let mut object = json!({"metadata": {"name": "web", "namespace": "shop"}});
    for (key, value) in metadata.as_object().unwrap() {
        object["metadata"][key] = value.clone();
    }
    match word {
        "po" => object["spec"] = pod.clone(),
        "cj" => object["spec"]["jobTemplate"]["spec"]["template"]["spec"] = pod.clone(),
        _ => object["spec"]["template"]["spec"] = pod.clone(),
    }
    Observed {
        workload: Workload::from_object(&kind, &object).unwrap(),
        running: BTreeMap::new(),
        account_pull_secrets: Some(vec![]),
        pull_credentials: PullCredentials::None,
        named: false,
        namespace_opted_out: false,
    }
}

fn deployment(metadata: &Value, image: &str) -> Observed {
    observed("deploy", metadata, &containers(&[("web", image)]))
}

fn containers(images: &[(&str, &str)]) -> Value {
    let list: Vec<Value> = images
        .iter()
        .map(|(name, image)| json!({"name": name, "image": image}))
        .collect();
    json!({ "containers": list })
}

fn reference(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

fn recorded(record: &str) -> Value {
    json!({"annotations": {ORIGINALS: record}})
}

const RECORD: &str = r#"{"run":"0001","slots":{"containers/web":{"original":"nginx","target":"old.corp/nginx:latest"}}}"#;

/// The plan in short: one line a decision, its writes, its notes, and one line a copy.
fn sketch(plan: &Plan) -> String {
    let mut lines = vec![];
    for planned in &plan.workloads {
        match &planned.decision {
            Decision::Repoint(repoint) => {
                lines.push("repoint".to_owned());
                for change in &repoint.slots {
                    lines.push(format!(
                        "  {}: {} -> {}",
                        change.slot, change.from, change.to
                    ));
                }
                if repoint.pull_secrets != PullSecretChange::Keep {
                    lines.push(format!("  pull secrets: {:?}", repoint.pull_secrets));
                }
                if let Some(needed) = &repoint.needs_pull_secret {
                    lines.push(format!("  needs {needed}"));
                }
                for (key, value) in &repoint.annotations {
                    lines.push(format!(
                        "  {key}: {}",
                        value.as_deref().unwrap_or("removed")
                    ));
                }
            }
            Decision::CopyOnly(reason) => lines.push(format!("copy only: {reason}")),
            Decision::Unchanged => lines.push("unchanged".to_owned()),
            Decision::Skip(reason) => lines.push(format!("skip: {reason}")),
        }
        lines.extend(planned.notes.iter().map(|note| format!("  note: {note}")));
    }
    for copy in &plan.copies {
        lines.push(format!("copy {} -> {}", copy.source, copy.target));
    }
    lines.join("\n")
}

fn sketch_clone(observed: Observed, policy: &Policy) -> String {
    sketch(&clone(&[observed], policy).unwrap())
}

fn sketch_restore(observed: Observed) -> String {
    sketch(&restore(&[observed.workload], None))
}
