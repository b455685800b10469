//! A clone that was applied leaves nothing to plan, and a restore of it gives the object back.

use image_cloner::patch;
use image_cloner::plan::{self, Decision, Observed, Plan, Policy, PullAccess};
use image_cloner::target::{Layout, TargetRegistry};
use image_cloner::workload::{Kind, RESTORED, Workload};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What a clone into this target does where nothing else is said.
pub(crate) fn policy(target: &str) -> Policy {
    Policy {
        run: "a7f3".to_owned(),
        time: None,
        target: TargetRegistry::parse(target, Layout::Mirror).unwrap(),
        images: Default::default(),
        skip_namespaces: Default::default(),
        protect: BTreeSet::new(),
        copy_only: false,
        owned_live: false,
        pull: PullAccess::Secret("image-cloner-pull".to_owned()),
    }
}

fn observe(kind: &Kind, object: &Value) -> Observed {
    Observed {
        workload: Workload::from_object(kind, object).unwrap(),
        running: BTreeMap::new(),
        account_pull_secrets: Some(vec!["corp".to_owned()]),
        pull_credentials: plan::PullCredentials::None,
        named: false,
        namespace_opted_out: false,
    }
}

fn clone(kind: &Kind, object: &Value, target: &str) -> Plan {
    plan::clone(&[observe(kind, object)], &policy(target)).unwrap()
}

fn restore(kind: &Kind, object: &Value) -> Plan {
    plan::restore(&[Workload::from_object(kind, object).unwrap()], None)
}

/// The object after its workload's repoint, if one is planned.
fn applied(object: &Value, plan: &Plan) -> Option<Value> {
    let [planned] = plan.workloads.as_slice() else {
        panic!("one workload was planned");
    };
    let Decision::Repoint(repoint) = &planned.decision else {
        return None;
    };
    Some(apply(object, &patch::body(&planned.workload, repoint)).unwrap())
}

/// Applies a JSON patch as API servers do: a `test` for null passes where the field is absent and its
/// parent is not, and an empty map of annotations is not kept.
fn apply(object: &Value, body: &Value) -> Result<Value, String> {
    let mut after = object.clone();
    for operation in body.as_array().unwrap() {
        let path = operation["path"].as_str().unwrap();
        if operation["op"] == "test" && operation["value"].is_null() {
            let (parent, _) = path.rsplit_once('/').unwrap();
            let absent = after.pointer(parent).is_some() && after.pointer(path).is_none();
            absent
                .then_some(())
                .ok_or(format!("{path} is there, or its parent is not"))?;
            continue;
        }
        let one: json_patch::Patch = serde_json::from_value(json!([operation])).unwrap();
        json_patch::patch(&mut after, &one).map_err(|error| error.to_string())?;
    }
    drop_empty_annotations(&mut after);
    Ok(after)
}

fn drop_empty_annotations(object: &mut Value) {
    let metadata = object["metadata"].as_object_mut().unwrap();
    if metadata.get("annotations") == Some(&json!({})) {
        metadata.remove("annotations");
    }
}

fn image() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "nginx",
        "docker.io/library/nginx:latest",
        "quay.io/a/b:1",
        "registry.corp:5443/a/b@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "localhost:5000/own:1",
        "localhost:50001/own:1",
        "auto",
        "Not An Image",
    ])
}

fn containers(prefix: &'static str) -> impl Strategy<Value = Value> {
    prop::collection::vec(image(), 0..4).prop_map(move |images| {
        images
            .iter()
            .enumerate()
            .map(|(index, image)| json!({"name": format!("{prefix}{index}"), "image": image}))
            .collect()
    })
}

prop_compose! {
    fn workload()(
        kind in prop::sample::select(Kind::builtin()),
        containers in containers("c"),
        init in containers("i"),
        volume in prop::option::of(image()),
        secrets in prop::option::of(prop::sample::subsequence(vec!["own", "corp"], 1..=2)),
        annotations in prop::option::of(Just(json!({"team": "a/b~c"}))),
        restored in prop::bool::ANY,
    ) -> (Kind, Value) {
        let mut pod = json!({"containers": containers, "initContainers": init});
        if let Some(image) = volume {
            pod["volumes"] = json!([{"name": "t"}, {"name": "v", "image": {"reference": image}}]);
        }
        if let Some(secrets) = secrets {
            let names: Vec<Value> = secrets.iter().map(|name| json!({"name": name})).collect();
            pod["imagePullSecrets"] = Value::Array(names);
        }
        let mut metadata = json!({"name": "web", "namespace": "shop"});
        if let Some(annotations) = annotations {
            metadata["annotations"] = annotations;
            if restored {
                metadata["annotations"][RESTORED] = json!("0123456789abcdef");
            }
        }
        let spec = match kind.kind.as_str() {
            "Pod" => pod,
            "CronJob" => json!({"jobTemplate": {"spec": {"template": {"spec": pod}}}}),
            _ => json!({"template": {"spec": pod}}),
        };
        (kind, json!({"metadata": metadata, "spec": spec}))
    }
}

/// The object without what a restore leaves in it on purpose.
fn without_restored(mut object: Value) -> Value {
    if let Some(annotations) = object.pointer_mut("/metadata/annotations") {
        annotations.as_object_mut().unwrap().remove(RESTORED);
    }
    drop_empty_annotations(&mut object);
    object
}

proptest! {
    #[test]
    fn an_applied_clone_planned_again_is_empty((kind, object) in workload()) {
        let Some(cloned) = applied(&object, &clone(&kind, &object, "localhost:5000")) else {
            return Ok(());
        };
        let again = clone(&kind, &cloned, "localhost:5000");
        prop_assert_eq!(&again.copies, &[]);
        prop_assert_eq!(&again.workloads[0].decision, &Decision::Unchanged);
    }

    #[test]
    fn a_restore_gives_back_exactly_what_was_there((kind, object) in workload()) {
        let Some(cloned) = applied(&object, &clone(&kind, &object, "localhost:5000")) else {
            return Ok(());
        };
        let restored = applied(&cloned, &restore(&kind, &cloned)).unwrap();
        prop_assert_eq!(without_restored(restored.clone()), without_restored(object));

        // nothing more to restore, and no agent clones it again
        prop_assert_eq!(applied(&restored, &restore(&kind, &restored)), None);
        prop_assert_eq!(applied(&restored, &clone(&kind, &restored, "localhost:5000")), None);
    }

    #[test]
    fn moving_on_and_restoring_gives_back_what_was_there_first((kind, object) in workload()) {
        let Some(first) = applied(&object, &clone(&kind, &object, "old.corp/mirror")) else {
            return Ok(());
        };
        let Some(moved) = applied(&first, &clone(&kind, &first, "localhost:5000")) else {
            return Ok(());
        };
        prop_assert_eq!(
            &clone(&kind, &moved, "localhost:5000").workloads[0].decision,
            &Decision::Unchanged
        );
        let restored = applied(&moved, &restore(&kind, &moved)).unwrap();
        prop_assert_eq!(without_restored(restored), without_restored(object));
    }

    #[test]
    fn runs_are_restored_one_by_one_in_any_order(
        (kind, object) in workload(),
        in_order in prop::bool::ANY,
    ) {
        let Some(first) = applied(&object, &clone(&kind, &object, "localhost:5000")) else {
            return Ok(());
        };
        let extended = |object: &Value| {
            let mut object = object.clone();
            let pod = object.pointer_mut(kind.pod_spec()).unwrap();
            let containers = pod["containers"].as_array_mut().unwrap();
            containers.push(json!({"name": "later", "image": "busybox"}));
            object
        };
        let between = extended(&first);
        let second = Policy { run: "b8".to_owned(), ..policy("localhost:5000") };
        let plan = plan::clone(&[observe(&kind, &between)], &second).unwrap();
        let both = applied(&between, &plan).unwrap();

        let of_run = |object: &Value, run: &str| {
            let workload = Workload::from_object(&kind, object).unwrap();
            let plan = plan::restore(&[workload], Some(run));
            (!plan.workloads.is_empty()).then(|| applied(object, &plan).unwrap())
        };
        let (one, other) = if in_order { ("a7f3", "b8") } else { ("b8", "a7f3") };
        let half = of_run(&both, one).unwrap();
        prop_assert_eq!(of_run(&half, one), None);
        if !in_order {
            prop_assert_eq!(without_restored(half.clone()), without_restored(between));
        }
        let none = of_run(&half, other).unwrap();
        prop_assert_eq!(without_restored(none), without_restored(extended(&object)));
    }

    #[test]
    fn a_write_in_between_makes_the_patch_fail((kind, object) in workload(), which in 0..4) {
        let plan = clone(&kind, &object, "localhost:5000");
        let Decision::Repoint(repoint) = &plan.workloads[0].decision else {
            return Ok(());
        };
        let body = patch::body(&plan.workloads[0].workload, repoint);
        let mut changed = object.clone();
        let slot = plan.workloads[0].workload.slot(&repoint.slots[0].slot).unwrap();
        let pod = changed.pointer_mut(kind.pod_spec()).unwrap();
        match which {
            0 => pod["imagePullSecrets"] = json!([{"name": "new"}]),
            1 => changed["metadata"]["annotations"]["image-cloner.io/originals"] = json!("{}"),
            2 => pod[slot.key.list.field()][slot.index]["name"] = json!("other"),
            _ => match slot.key.list.field() {
                "volumes" => pod["volumes"][slot.index]["image"]["reference"] = json!("other"),
                list => pod[list][slot.index]["image"] = json!("other"),
            },
        }
        prop_assert!(apply(&changed, &body).is_err());
    }
}
