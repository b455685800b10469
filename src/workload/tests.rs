use super::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

fn kind(word: &str) -> Kind {
    Kind::from_word(word).unwrap()
}

fn read(word: &str, object: &Value) -> Workload {
    Workload::from_object(&kind(word), object).unwrap()
}

/// A Deployment `shop/web` with these fields beside `name` in its metadata.
fn with_metadata(metadata: &Value) -> Value {
    let mut object = json!({
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"template": {"spec": {"containers": [{"name": "web", "image": "nginx"}]}}}
    });
    for (key, value) in metadata.as_object().unwrap() {
        object["metadata"][key] = value.clone();
    }
    object
}

const RECORD: &str = r#"{"run":"a7f3","slots":{"containers/web":{"original":"nginx","target":"localhost:5000/nginx:latest"}},"pullSecrets":{"added":["image-cloner-pull"],"wasAbsent":true}}"#;

/// A Deployment that says everything there is to read.
fn talkative() -> Value {
    json!({
        "metadata": {
            "name": "web", "namespace": "shop",
            "labels": {"image-cloner.io/skip": "true"},
            "annotations": {
                "image-cloner.io/originals": RECORD,
                "image-cloner.io/restored": "0011223344556677",
                "meta.helm.sh/release-name": "shop",
            },
            "ownerReferences": [
                {"kind": "Shop", "name": "notes"},
                {"kind": "Shop", "name": "main", "controller": true},
            ],
        },
        "spec": {
            "strategy": {"type": "Recreate"},
            "selector": {
                "matchLabels": {"app": "web", "tier": "front"},
                "matchExpressions": [
                    {"key": "track", "operator": "NotIn", "values": ["a", "b"]},
                    {"key": "old", "operator": "DoesNotExist"},
                ],
            },
            "template": {"spec": {
                "serviceAccountName": "runner",
                "priorityClassName": "high",
                "imagePullSecrets": [{"name": "corp"}, {}],
                "initContainers": [{"name": "web", "image": "busybox", "imagePullPolicy": "Never"}],
                "containers": [
                    {"name": "web", "image": "localhost:5000/nginx:latest"},
                    {"name": "log", "image": "quay.io/a/log:1", "imagePullPolicy": "Always",
                     "ports": [{"containerPort": 80}, {"containerPort": 5000, "hostPort": 5001}]},
                ],
                "volumes": [
                    {"name": "tmp", "emptyDir": {}},
                    {"name": "model", "image": {"reference": "models/m:1", "pullPolicy": "Never"}},
                ],
            }},
        },
    })
}

#[test]
fn a_workload_is_read_whole() {
    let slot = |list, name: &str, index, image: &str, never_pulled| Slot {
        key: SlotKey {
            list,
            name: name.to_owned(),
        },
        index,
        image: image.to_owned(),
        never_pulled,
    };
    let expected = Workload {
        id: WorkloadId {
            kind: kind("deploy"),
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
        },
        slots: vec![
            slot(
                SlotList::Containers,
                "web",
                0,
                "localhost:5000/nginx:latest",
                false,
            ),
            slot(SlotList::Containers, "log", 1, "quay.io/a/log:1", false),
            slot(SlotList::InitContainers, "web", 0, "busybox", true),
            slot(SlotList::ImageVolumes, "model", 1, "models/m:1", true),
        ],
        pull_secrets: Some(vec!["corp".to_owned(), String::new()]),
        service_account: "runner".to_owned(),
        priority_class: Some("high".to_owned()),
        record: Some(Record {
            run: "a7f3".to_owned(),
            time: None,
            slots: BTreeMap::from([(
                "containers/web".to_owned(),
                SlotRecord {
                    original: "nginx".to_owned(),
                    target: "localhost:5000/nginx:latest".to_owned(),
                    run: None,
                    time: None,
                },
            )]),
            pull_secrets: Some(PullSecretRecord {
                added: vec!["image-cloner-pull".to_owned()],
                was_absent: true,
            }),
        }),
        record_text: Some(RECORD.to_owned()),
        restored: Some("0011223344556677".to_owned()),
        reclaimed: None,
        has_annotations: true,
        opted_out: true,
        controller: Some(Controller {
            kind: "Shop".to_owned(),
            name: "main".to_owned(),
        }),
        owner: None,
        recreates: true,
        pod_selector: Some("app=web,tier=front,track notin (a,b),!old".to_owned()),
        host_ports: BTreeSet::from([5001]),
        mutability: Mutability::RollsOut,
    };
    let read = read("deploy", &talkative());
    assert_eq!(read, expected);
    assert_eq!(read.record.unwrap().to_text(), RECORD);
    assert_eq!(read.id.to_string(), "deployment.apps/web");
}

#[test]
fn what_an_object_leaves_out_has_its_default() {
    let read = read("deploy", &with_metadata(&json!({})));
    assert_eq!(
        (
            read.pull_secrets.as_deref(),
            read.service_account.as_str(),
            read.record_text.as_deref(),
            read.has_annotations,
            read.opted_out,
            &read.controller,
            &read.owner,
            read.pod_selector.as_deref(),
        ),
        (None, "default", None, false, false, &None, &None, None)
    );
}

#[test]
fn slots_are_named_by_list_and_found_wherever_the_kind_keeps_them() {
    fn check(word: &str, object: &Value, expected: &[&str]) {
        let read = read(word, object);
        let slots: Vec<String> = read
            .slots
            .iter()
            .map(|slot| {
                let (name, image) = read.pointers(slot);
                assert_eq!(object.pointer(&name).unwrap(), &json!(slot.key.name));
                assert_eq!(object.pointer(&image).unwrap(), &json!(slot.image));
                format!("{}={} at {image}", slot.key, slot.image)
            })
            .collect();
        assert_eq!(slots, expected);
    }
    let spec = json!({"containers": [{"name": "a", "image": "x"}]});
    check(
        "cj",
        &json!({"metadata": {"name": "n"}, "spec": {"jobTemplate": {"spec": {"template": {"spec": spec}}}}}),
        &["containers/a=x at /spec/jobTemplate/spec/template/spec/containers/0/image"],
    );
    check(
        "po",
        &json!({"metadata": {"name": "n"}, "spec": {
            "ephemeralContainers": [{"name": "debug", "image": "busybox"}],
            "containers": [{"name": "a", "image": "x"}],
            "volumes": [{"name": "v", "image": {"reference": "y"}}],
        }}),
        &[
            "containers/a=x at /spec/containers/0/image",
            "ephemeralContainers/debug=busybox at /spec/ephemeralContainers/0/image",
            "volumes/v=y at /spec/volumes/0/image/reference",
        ],
    );
}

#[test]
fn an_object_without_name_or_template_is_refused() {
    fn check(word: &str, object: &Value, expected: &str) {
        let error = Workload::from_object(&kind(word), object).unwrap_err();
        assert_eq!(error, expected);
    }
    check("po", &json!({"metadata": {}}), "a pod has no name");
    check(
        "cj",
        &json!({"metadata": {"name": "n"}, "spec": {"template": {"spec": {}}}}),
        "cronjob.batch/n has no pod template at /spec/jobTemplate/spec/template/spec",
    );
}

#[test]
fn a_record_that_cannot_be_read_is_kept_as_text() {
    let read = read(
        "deploy",
        &with_metadata(&json!({"annotations": {"image-cloner.io/originals": "{\"run\":"}})),
    );
    assert_eq!(read.record, None);
    assert_eq!(read.record_text.as_deref(), Some("{\"run\":"));
}

#[test]
fn a_mirror_pod_has_its_node_as_controller() {
    let object = json!({
        "metadata": {"name": "etcd-n1", "annotations": {"kubernetes.io/config.mirror": "c0ffee"}},
        "spec": {"nodeName": "n1", "containers": []},
    });
    let controller = read("po", &object).controller.unwrap();
    assert_eq!(controller.to_string(), "Node/n1");
}

#[test]
fn owners_are_told_by_their_marks() {
    fn check(metadata: &Value, expected: Option<&str>) {
        let owner = read("deploy", &with_metadata(metadata)).owner;
        assert_eq!(owner.map(|owner| owner.to_string()).as_deref(), expected);
    }
    let image = json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {
        "k:{\"name\":\"web\"}": {".": {}, "f:image": {}, "f:name": {}}
    }}}}});
    let volume = json!({"f:spec": {"f:template": {"f:spec": {"f:volumes": {
        "k:{\"name\":\"m\"}": {"f:image": {"f:reference": {}}}
    }}}}});
    let other = json!({"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {
        "k:{\"name\":\"web\"}": {"f:resources": {}}
    }}}}});
    let entry = |manager: &str, operation: &str, fields: &Value| json!({"managedFields": [{"manager": manager, "operation": operation, "fieldsV1": fields}]});

    check(&json!({}), None);
    check(
        &json!({"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/web"}}),
        Some("Argo CD (shop)"),
    );
    check(
        &json!({"labels": {"argocd.argoproj.io/instance": "shop"}}),
        Some("Argo CD (shop)"),
    );
    // the label alone is what Helm charts set
    check(
        &json!({"labels": {"app.kubernetes.io/instance": "shop"}}),
        None,
    );
    let mut argo = entry("argocd-controller", "Update", &image);
    check(&argo, Some("Argo CD"));
    argo["labels"] = json!({"app.kubernetes.io/instance": "shop"});
    check(&argo, Some("Argo CD (shop)"));
    check(
        &json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}),
        Some("Flux (apps)"),
    );
    // Flux applies Helm charts: what reverts at once matters more than the next upgrade
    let helm = json!({"app.kubernetes.io/managed-by": "Helm"});
    check(
        &json!({"labels": {"app.kubernetes.io/managed-by": "Helm", "helm.toolkit.fluxcd.io/name": "db"}, "annotations": {"meta.helm.sh/release-name": "db"}}),
        Some("Flux (db)"),
    );
    check(
        &json!({"labels": helm, "annotations": {"meta.helm.sh/release-name": "db"}}),
        Some("Helm (db)"),
    );
    check(&json!({"labels": helm}), None);
    check(
        &entry("kubectl", "Apply", &image),
        Some("server-side apply (kubectl)"),
    );
    check(
        &entry("helm", "Apply", &volume),
        Some("server-side apply (helm)"),
    );
    check(&entry("kubectl", "Apply", &other), None);
    // custom kinds have fields that one manager holds as a whole; empty lists look alike
    let whole = json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {}}}}});
    for whole in [whole, json!({"f:spec": {"f:template": {}}})] {
        check(
            &entry("kubectl", "Apply", &whole),
            Some("server-side apply (kubectl)"),
        );
    }
    let empty = json!({"f:spec": {"f:template": {"f:spec": {"f:volumes": {}}}}});
    check(&entry("kubectl", "Apply", &empty), None);
    check(&entry("kubectl-client-side-apply", "Update", &image), None);
    check(&entry("image-cloner", "Apply", &image), None);
}

#[test]
fn a_change_takes_effect_as_the_kind_has_it() {
    fn check(word: &str, spec: &Value, expected: &str) {
        let kind = kind(word);
        let mut object = json!({"metadata": {"name": "n"}, "spec": {
            "template": {"spec": {}}, "jobTemplate": {"spec": {"template": {"spec": {}}}}
        }});
        for (key, value) in spec.as_object().unwrap() {
            object["spec"][key] = value.clone();
        }
        if let Some(phase) = spec.get("phase") {
            object["status"]["phase"] = phase.clone();
        }
        let mutability = Workload::from_object(&kind, &object).unwrap().mutability();
        assert_eq!(format!("{mutability:?}"), expected, "{word} {spec}");
    }
    check("deploy", &json!({"replicas": 0}), "RollsOut");
    check(
        "deploy",
        &json!({"paused": true}),
        r#"TakesEffectLater("paused: takes effect when resumed")"#,
    );
    check(
        "sts",
        &json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}}),
        "RollsOut",
    );
    check(
        "sts",
        &json!({"updateStrategy": {"rollingUpdate": {"partition": 2}}}),
        r#"TakesEffectLater("partition: pods below it keep what they run")"#,
    );
    let on_delete = r#"TakesEffectLater("OnDelete: takes effect as pods are deleted")"#;
    check(
        "sts",
        &json!({"updateStrategy": {"type": "OnDelete"}}),
        on_delete,
    );
    check(
        "ds",
        &json!({"updateStrategy": {"type": "OnDelete"}}),
        on_delete,
    );
    check("ds", &json!({}), "RollsOut");
    check(
        "rs",
        &json!({}),
        r#"TakesEffectLater("takes effect for the pods that the ReplicaSet makes from now on")"#,
    );
    check(
        "cj",
        &json!({}),
        r#"TakesEffectLater("takes effect at the next scheduled Job")"#,
    );
    check(
        "job",
        &json!({}),
        r#"Immutable("a Job's template cannot be changed")"#,
    );
    check("po", &json!({"restartPolicy": "Always"}), "RollsOut");
    check("po", &json!({}), "RollsOut");
    let kills = r#"Immutable("changing its image would kill its container, which its restart policy may not start again")"#;
    check("po", &json!({"restartPolicy": "Never"}), kills);
    check("po", &json!({"restartPolicy": "OnFailure"}), kills);
    check(
        "po",
        &json!({"phase": "Succeeded", "restartPolicy": "Always"}),
        r#"Immutable("the pod has finished")"#,
    );
}

#[test]
fn the_hash_of_images_is_blind_to_order_and_ephemeral_containers_alone() {
    let hash = |containers: &Value, ephemeral: &Value| {
        let spec = json!({"containers": containers, "ephemeralContainers": ephemeral});
        read("po", &json!({"metadata": {"name": "n"}, "spec": spec})).images_hash()
    };
    let a = json!({"name": "a", "image": "x"});
    let b = json!({"name": "b", "image": "y"});
    let one = hash(&json!([a, b]), &json!([]));
    assert_eq!(one.len(), 16);
    assert_eq!(one, hash(&json!([b, a]), &json!([a])));
    assert_ne!(one, hash(&json!([a]), &json!([])));
    let swapped = json!([{"name": "a", "image": "y"}, {"name": "b", "image": "x"}]);
    assert_ne!(one, hash(&swapped, &json!([])));
}

#[test]
fn recorded_slots_are_found_by_their_names_however_many_there_are() {
    let slots = (0..7_000).map(|n| {
        let recorded = json!({"original": format!("a:{n}"), "target": format!("reg.corp/a:{n}")});
        (format!("containers/c{n}"), recorded)
    });
    let slots: serde_json::Map<String, Value> = slots.collect();
    let record = json!({"run": "1", "slots": slots}).to_string();
    // from the last to the first, every second of which is as it was left, and one that no record has
    let containers = (0..5_000).rev().map(|n| {
        let image = if n % 2 == 0 {
            format!("reg.corp/a:{n}")
        } else {
            format!("a:{n}")
        };
        json!({"name": format!("c{n}"), "image": image})
    });
    let mut containers: Vec<Value> = containers.collect();
    containers.push(json!({"name": "other", "image": "reg.corp/a:1"}));
    let object = json!({
        "metadata": {"name": "web", "annotations": {ORIGINALS: record}},
        "spec": {"template": {"spec": {"containers": containers}}},
    });
    let workload = read("deploy", &object);
    assert_eq!(workload.recorded().count(), 5_000);
    let mut standing = workload.standing_slots();
    let (name, recorded) = standing.next().unwrap();
    assert_eq!(
        (name, &*recorded.target),
        ("containers/c4998", "reg.corp/a:4998")
    );
    assert_eq!(standing.count(), 2_499);
}
