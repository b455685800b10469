use super::*;
use crate::target::Layout;
use crate::workload::{Kind, ORIGINALS, RESTORED};
use serde_json::{Value, json};

fn policy() -> Policy {
    Policy {
        run: "a7f3".to_owned(),
        target: TargetRegistry::parse("localhost:5000", Layout::Mirror).unwrap(),
        skip_namespaces: BTreeSet::from(["lab".to_owned()]),
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
        account_pull_secrets: vec![],
        has_pull_credentials: false,
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

#[test]
fn a_workload_is_repointed_in_one_write() {
    let pod = json!({
        "containers": [
            {"name": "web", "image": "nginx:1.21.4-alpine"},
            {"name": "own", "image": "localhost:5000/own:1"},
        ],
        "initContainers": [{"name": "init", "image": "quay.io/a/b"}],
        "volumes": [{"name": "m", "image": {"reference": "models/m:1"}}],
    });
    let one = observed("deploy", &json!({}), &pod);
    let id = one.workload.id.clone();
    let digest: Digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
    let web = one.workload.slots[0].key.clone();
    let one = Observed {
        running: BTreeMap::from([(web.clone(), BTreeSet::from([digest.clone()]))]),
        ..one
    };
    let plan = clone(std::slice::from_ref(&one), &policy()).unwrap();
    let reference = |text: &str| Reference::parse(text).unwrap();
    let copy = |source: &str, target: &str, running: &[&Digest]| Copy {
        source: reference(source),
        target: reference(target),
        running: running.iter().map(|digest| (*digest).clone()).collect(),
        users: vec![id.clone()],
    };
    let change = |index: usize, to: &str| SlotChange {
        slot: one.workload.slots[index].key.clone(),
        from: one.workload.slots[index].image.clone(),
        to: to.to_owned(),
    };
    let record = r#"{"run":"a7f3","slots":{"containers/web":{"original":"nginx:1.21.4-alpine","target":"localhost:5000/nginx:1.21.4-alpine"},"initContainers/init":{"original":"quay.io/a/b","target":"localhost:5000/quay.io/a/b:latest"},"volumes/m":{"original":"models/m:1","target":"localhost:5000/models/m:1"}}}"#;
    let expected = Plan {
        copies: vec![
            copy(
                "nginx:1.21.4-alpine",
                "localhost:5000/nginx:1.21.4-alpine",
                &[&digest],
            ),
            copy("models/m:1", "localhost:5000/models/m:1", &[]),
            copy("quay.io/a/b", "localhost:5000/quay.io/a/b:latest", &[]),
        ],
        workloads: vec![Planned {
            workload: one.workload.clone(),
            decision: Decision::Repoint(Repoint {
                slots: vec![
                    change(0, "localhost:5000/nginx:1.21.4-alpine"),
                    change(2, "localhost:5000/quay.io/a/b:latest"),
                    change(3, "localhost:5000/models/m:1"),
                ],
                pull_secrets: PullSecretChange::Keep,
                needs_pull_secret: None,
                annotations: BTreeMap::from([(ORIGINALS, Some(record.to_owned()))]),
            }),
            targets: BTreeSet::from([
                reference("localhost:5000/nginx:1.21.4-alpine"),
                reference("localhost:5000/models/m:1"),
                reference("localhost:5000/quay.io/a/b:latest"),
            ]),
            notes: vec![],
        }],
    };
    let mut sorted = expected.clone();
    sorted
        .copies
        .sort_by(|one, other| one.source.cmp(&other.source));
    assert_eq!(plan, sorted);
    assert_eq!(replan(&one, &policy()), expected.workloads[0]);
}

#[test]
fn one_image_is_one_copy_however_it_is_written() {
    let digest = |hex: &str| -> Digest { format!("sha256:{}", hex.repeat(64)).parse().unwrap() };
    let user = |name: &str, image: &str, running: &str| {
        let mut one = deployment(&json!({}), image);
        name.clone_into(&mut one.workload.id.name);
        let key = one.workload.slots[0].key.clone();
        one.running.insert(key, BTreeSet::from([digest(running)]));
        one
    };
    let users = [
        user("one", "nginx", "a"),
        user("two", "docker.io/library/nginx:latest", "b"),
    ];
    assert_eq!(
        clone(&users, &policy()).unwrap().copies,
        [Copy {
            source: Reference::parse("nginx").unwrap(),
            target: Reference::parse("localhost:5000/nginx:latest").unwrap(),
            running: BTreeSet::from([digest("a"), digest("b")]),
            users: users.iter().map(|one| one.workload.id.clone()).collect(),
        }]
    );
}

#[test]
fn a_pinned_source_is_not_second_guessed_by_what_runs() {
    let pinned = format!("nginx@sha256:{}", "a".repeat(64));
    let mut one = deployment(&json!({}), &pinned);
    let key = one.workload.slots[0].key.clone();
    let other: Digest = format!("sha256:{}", "b".repeat(64)).parse().unwrap();
    one.running.insert(key, BTreeSet::from([other]));
    let plan = clone(&[one], &policy()).unwrap();
    assert_eq!(plan.copies[0].running, BTreeSet::new());
}

#[test]
fn broad_selections_leave_what_only_a_name_opens() {
    fn check(mut one: Observed, expected: &str, when_named: &str) {
        assert_eq!(sketch_clone(one.clone(), &policy()), expected);
        one.named = true;
        let named = sketch_clone(one, &policy());
        assert_eq!(named.lines().next(), Some(when_named), "{expected}");
    }
    let in_namespace = |namespace: &str| deployment(&json!({"namespace": namespace}), "nginx");
    for namespace in SYSTEM_NAMESPACES.into_iter().chain(["lab"]) {
        check(
            in_namespace(namespace),
            &format!("skip: namespace {namespace} is skipped"),
            "repoint",
        );
    }
    check(
        deployment(&json!({"namespace": "infra", "name": "registry"}), "nginx"),
        "skip: serves the target registry",
        "repoint",
    );
    let mut critical = containers(&[("web", "nginx")]);
    critical["priorityClassName"] = json!("system-node-critical");
    check(
        observed("ds", &json!({}), &critical),
        "skip: priority class system-node-critical",
        "repoint",
    );
    let hash = deployment(&json!({}), "nginx").workload.images_hash();
    check(
        deployment(&json!({"annotations": {RESTORED: hash}}), "nginx"),
        "skip: restored, and no image has changed since",
        "repoint",
    );
    // what even a name does not open
    let opted_out = "skip: opted out by image-cloner.io/skip";
    check(
        deployment(
            &json!({"labels": {"image-cloner.io/skip": "true"}}),
            "nginx",
        ),
        opted_out,
        opted_out,
    );
    let namespace_out = "skip: namespace shop opted out by image-cloner.io/skip";
    let mut one = deployment(&json!({}), "nginx");
    one.namespace_opted_out = true;
    check(one, namespace_out, namespace_out);
    let owner = json!([{"kind": "ReplicaSet", "name": "web-5d4f", "controller": true}]);
    let controlled = "skip: controlled by ReplicaSet/web-5d4f";
    check(
        observed(
            "po",
            &json!({"ownerReferences": owner}),
            &containers(&[("a", "nginx")]),
        ),
        controlled,
        controlled,
    );
}

#[test]
fn a_restored_workload_is_cloned_again_once_an_image_changes() {
    let one = deployment(
        &json!({"annotations": {RESTORED: "0123456789abcdef"}}),
        "nginx",
    );
    insta::assert_snapshot!(sketch_clone(one, &policy()), @r#"
    repoint
      containers/web: nginx -> localhost:5000/nginx:latest
      image-cloner.io/originals: {"run":"a7f3","slots":{"containers/web":{"original":"nginx","target":"localhost:5000/nginx:latest"}}}
      image-cloner.io/restored: removed
    copy docker.io/library/nginx:latest -> localhost:5000/nginx:latest
    "#);
}

#[test]
fn slots_that_cannot_be_cloned_are_left_with_the_reason() {
    let pod = json!({
        "containers": [
            {"name": "web", "image": "nginx"},
            {"name": "mesh", "image": "auto"},
            {"name": "local", "image": "dev:1", "imagePullPolicy": "Never"},
            {"name": "bad", "image": "Nginx"},
            {"name": "none"},
            {"name": "long", "image": format!("quay.io/{}", "a".repeat(245))},
        ],
        "ephemeralContainers": [
            {"name": "debug", "image": "busybox"},
            {"name": "done", "image": "localhost:5000/busybox:1"},
        ],
        "volumes": [{"name": "m", "image": {"reference": "models/m"}}],
    });
    let one = observed("po", &json!({}), &pod);
    insta::assert_snapshot!(sketch_clone(one, &policy()), @r#"
    repoint
      containers/web: nginx -> localhost:5000/nginx:latest
      image-cloner.io/originals: {"run":"a7f3","slots":{"containers/web":{"original":"nginx","target":"localhost:5000/nginx:latest"}}}
      note: containers/mesh: left at auto: the image is injected when the pod is made
      note: containers/local: left at dev:1: never pulled: the node is expected to have it
      note: containers/bad: left at Nginx: not an image reference: the repository "Nginx" must be lower case
      note: containers/none: left: the template names no image
      note: containers/long: left at quay.io/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: it cannot be named in the target: localhost:5000/quay.io/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: the name has 268 characters, more than 255
      note: ephemeralContainers/debug: left at busybox: ephemeral containers cannot be changed
      note: volumes/m: left at models/m: volumes of a pod cannot be changed
    copy docker.io/library/nginx:latest -> localhost:5000/nginx:latest
    "#);
}

#[test]
fn a_workload_with_no_slot_to_clone_is_skipped_for_their_reasons() {
    let one = observed(
        "deploy",
        &json!({}),
        &containers(&[("a", "auto"), ("b", "Nginx")]),
    );
    insta::assert_snapshot!(sketch_clone(one, &policy()), @r#"
    skip: containers/a: left at auto: the image is injected when the pod is made; containers/b: left at Nginx: not an image reference: the repository "Nginx" must be lower case
    "#);
    // beside one that is cloned already, it is as it should be
    let images = [("a", "auto"), ("b", "localhost:5000/nginx:1")];
    let one = observed("deploy", &json!({}), &containers(&images));
    insta::assert_snapshot!(sketch_clone(one, &policy()), @r#"
    unchanged
      note: containers/a: left at auto: the image is injected when the pod is made
    "#);
}

#[test]
fn what_another_tool_would_revert_is_copied_only() {
    let argo = json!({"labels": {"argocd.argoproj.io/instance": "shop"}});
    insta::assert_snapshot!(sketch_clone(deployment(&argo, "nginx"), &policy()), @r#"
    copy only: would be reverted by Argo CD (shop)
      note: change its manifests with clone -f, or repoint it live with --owned live
    copy docker.io/library/nginx:latest -> localhost:5000/nginx:latest
    "#);
    let live = Policy {
        owned_live: true,
        ..policy()
    };
    insta::assert_snapshot!(sketch_clone(deployment(&argo, "nginx"), &live), @r#"
    repoint
      containers/web: nginx -> localhost:5000/nginx:latest
      image-cloner.io/originals: {"run":"a7f3","slots":{"containers/web":{"original":"nginx","target":"localhost:5000/nginx:latest"}}}
      note: Argo CD (shop) may bring the old images back at any time
    copy docker.io/library/nginx:latest -> localhost:5000/nginx:latest
    "#);
    let helm = json!({"labels": {"app.kubernetes.io/managed-by": "Helm"}, "annotations": {"meta.helm.sh/release-name": "db"}});
    insta::assert_snapshot!(sketch_clone(deployment(&helm, "nginx"), &policy()), @r#"
    repoint
      containers/web: nginx -> localhost:5000/nginx:latest
      image-cloner.io/originals: {"run":"a7f3","slots":{"containers/web":{"original":"nginx","target":"localhost:5000/nginx:latest"}}}
      note: Helm (db): the next upgrade brings the old images back
    copy docker.io/library/nginx:latest -> localhost:5000/nginx:latest
    "#);
}

#[test]
fn what_cannot_be_changed_is_copied_only() {
    let job = observed("job", &json!({}), &containers(&[("a", "nginx")]));
    insta::assert_snapshot!(sketch_clone(job, &policy()), @r#"
    copy only: a Job's template cannot be changed
    copy docker.io/library/nginx:latest -> localhost:5000/nginx:latest
    "#);
    let copy_only = Policy {
        copy_only: true,
        ..policy()
    };
    insta::assert_snapshot!(sketch_clone(deployment(&json!({}), "nginx"), &copy_only), @r#"
    copy only: --copy-only
    copy docker.io/library/nginx:latest -> localhost:5000/nginx:latest
    "#);
    // the record would be lost
    let unreadable = deployment(&recorded("{"), "nginx");
    insta::assert_snapshot!(sketch_clone(unreadable, &policy()), @r#"
    copy only: its annotation image-cloner.io/originals cannot be read: mend it, or remove it if nothing is to be restored from it
    copy docker.io/library/nginx:latest -> localhost:5000/nginx:latest
    "#);
}

#[test]
fn effects_other_than_a_rollout_are_said() {
    let mut one = deployment(&json!({}), "nginx");
    one.workload.recreates = true;
    insta::assert_snapshot!(sketch_clone(one, &policy()), @r#"
    repoint
      containers/web: nginx -> localhost:5000/nginx:latest
      image-cloner.io/originals: {"run":"a7f3","slots":{"containers/web":{"original":"nginx","target":"localhost:5000/nginx:latest"}}}
      note: Recreate: downtime while its pods are replaced
    copy docker.io/library/nginx:latest -> localhost:5000/nginx:latest
    "#);
    let cron = observed("cj", &json!({}), &containers(&[("a", "nginx")]));
    insta::assert_snapshot!(sketch_clone(cron, &policy()), @r#"
    repoint
      containers/a: nginx -> localhost:5000/nginx:latest
      image-cloner.io/originals: {"run":"a7f3","slots":{"containers/a":{"original":"nginx","target":"localhost:5000/nginx:latest"}}}
      note: takes effect at the next scheduled Job
    copy docker.io/library/nginx:latest -> localhost:5000/nginx:latest
    "#);
}

#[test]
fn a_pull_secret_is_added_where_there_are_no_credentials() {
    fn check(own: &Value, account: &[&str], expected: &[&str]) {
        let mut pod = containers(&[("web", "nginx")]);
        if !own.is_null() {
            pod["imagePullSecrets"] = own.clone();
        }
        let mut one = observed("deploy", &json!({}), &pod);
        one.account_pull_secrets = account.iter().map(|name| (*name).to_owned()).collect();
        let plan = clone(&[one], &with_secret()).unwrap();
        let Decision::Repoint(repoint) = &plan.workloads[0].decision else {
            panic!("{}", sketch(&plan));
        };
        let record: Value =
            serde_json::from_str(repoint.annotations[ORIGINALS].as_ref().unwrap()).unwrap();
        let secrets = record["pullSecrets"].to_string();
        let list = format!("{:?}", repoint.pull_secrets);
        let needed = repoint.needs_pull_secret.as_deref().unwrap_or("none");
        assert_eq!([list.as_str(), secrets.as_str(), needed], expected);
    }
    check(
        &Value::Null,
        &[],
        &[
            r#"Set(["image-cloner-pull"])"#,
            r#"{"added":["image-cloner-pull"],"wasAbsent":true}"#,
            "image-cloner-pull",
        ],
    );
    // admission adds the ServiceAccount's only to an empty list
    check(
        &Value::Null,
        &["corp", "corp", "hub"],
        &[
            r#"Set(["corp", "hub", "image-cloner-pull"])"#,
            r#"{"added":["corp","hub","image-cloner-pull"],"wasAbsent":true}"#,
            "image-cloner-pull",
        ],
    );
    check(
        &json!([]),
        &["corp"],
        &[
            r#"Set(["corp", "image-cloner-pull"])"#,
            r#"{"added":["corp","image-cloner-pull"],"wasAbsent":false}"#,
            "image-cloner-pull",
        ],
    );
    check(
        &json!([{"name": "own"}]),
        &["corp"],
        &[
            r#"Set(["own", "image-cloner-pull"])"#,
            r#"{"added":["image-cloner-pull"],"wasAbsent":false}"#,
            "image-cloner-pull",
        ],
    );
    // there already, though without credentials for the target: only the Secret itself is missing
    let only_needed = ["Keep", "null", "image-cloner-pull"];
    check(&json!([{"name": "image-cloner-pull"}]), &[], &only_needed);
    check(&Value::Null, &["image-cloner-pull"], &only_needed);
}

#[test]
fn pull_access_decides_only_for_workloads_without_their_own() {
    let missing = Policy {
        pull: PullAccess::Missing("no pull credentials".to_owned()),
        ..policy()
    };
    let pod = || observed("po", &json!({}), &containers(&[("web", "nginx")]));
    insta::assert_snapshot!(sketch_clone(pod(), &missing), @r#"
    copy only: no pull credentials
    copy docker.io/library/nginx:latest -> localhost:5000/nginx:latest
    "#);
    insta::assert_snapshot!(sketch_clone(pod(), &with_secret()), @r#"
    copy only: it needs a pull secret, and a pod's pull secrets cannot be changed
    copy docker.io/library/nginx:latest -> localhost:5000/nginx:latest
    "#);
    let mut own = pod();
    own.has_pull_credentials = true;
    let repointed = sketch_clone(own.clone(), &missing);
    assert_eq!(sketch_clone(own, &with_secret()), repointed);
    insta::assert_snapshot!(repointed, @r#"
    repoint
      containers/web: nginx -> localhost:5000/nginx:latest
      image-cloner.io/originals: {"run":"a7f3","slots":{"containers/web":{"original":"nginx","target":"localhost:5000/nginx:latest"}}}
    copy docker.io/library/nginx:latest -> localhost:5000/nginx:latest
    "#);
}

#[test]
fn an_earlier_record_is_merged() {
    let record = r#"{"run":"0001","slots":{
        "containers/stands":{"original":"redis","target":"localhost:5000/redis:latest"},
        "containers/edited":{"original":"nginx:1","target":"localhost:5000/nginx:1"},
        "containers/gone":{"original":"busybox","target":"localhost:5000/busybox:latest"}
    },"pullSecrets":{"added":["corp","first","dropped"],"wasAbsent":true}}"#;
    let mut pod = containers(&[
        ("stands", "localhost:5000/redis:latest"),
        ("edited", "nginx:2"),
    ]);
    pod["imagePullSecrets"] = json!([{"name": "corp"}, {"name": "first"}]);
    let one = observed("deploy", &recorded(record), &pod);
    insta::assert_snapshot!(sketch_clone(one, &with_secret()), @r#"
    repoint
      containers/edited: nginx:2 -> localhost:5000/nginx:2
      pull secrets: Set(["corp", "first", "image-cloner-pull"])
      needs image-cloner-pull
      image-cloner.io/originals: {"run":"a7f3","slots":{"containers/edited":{"original":"nginx:2","target":"localhost:5000/nginx:2"},"containers/stands":{"original":"redis","target":"localhost:5000/redis:latest"}},"pullSecrets":{"added":["corp","first","image-cloner-pull"],"wasAbsent":true}}
    copy docker.io/library/nginx:2 -> localhost:5000/nginx:2
    "#);
}

#[test]
fn moving_on_names_from_the_original_and_reads_from_the_old_copy() {
    let one = deployment(&recorded(RECORD), "old.corp/nginx:latest");
    insta::assert_snapshot!(sketch_clone(one, &policy()), @r#"
    repoint
      containers/web: old.corp/nginx:latest -> localhost:5000/nginx:latest
      image-cloner.io/originals: {"run":"a7f3","slots":{"containers/web":{"original":"nginx","target":"localhost:5000/nginx:latest"}}}
    copy old.corp/nginx:latest -> localhost:5000/nginx:latest
    "#);
    // changed since: what it has now is the source
    let one = deployment(&recorded(RECORD), "old.corp/nginx:2");
    insta::assert_snapshot!(sketch_clone(one, &policy()), @r#"
    repoint
      containers/web: old.corp/nginx:2 -> localhost:5000/old.corp/nginx:2
      image-cloner.io/originals: {"run":"a7f3","slots":{"containers/web":{"original":"old.corp/nginx:2","target":"localhost:5000/old.corp/nginx:2"}}}
    copy old.corp/nginx:2 -> localhost:5000/old.corp/nginx:2
    "#);
    let own = RECORD.replace(r#""nginx""#, r#""localhost:5000/nginx:9""#);
    let one = deployment(&recorded(&own), "old.corp/nginx:latest");
    insta::assert_snapshot!(sketch_clone(one, &policy()), @r#"
    skip: containers/web: left at old.corp/nginx:latest: its original localhost:5000/nginx:9 is in the target registry: restore gives it back
    "#);
}

#[test]
fn a_restore_gives_back_what_stands_and_names_the_rest() {
    let record = r#"{"run":"0001","slots":{
        "containers/edited":{"original":"busybox","target":"localhost:5000/busybox:latest"},
        "containers/back":{"original":"redis","target":"localhost:5000/redis:latest"},
        "containers/gone":{"original":"busybox","target":"localhost:5000/busybox:latest"},
        "containers/stands":{"original":"docker.io/nginx","target":"localhost:5000/nginx:latest"}
    }}"#;
    let pod = containers(&[
        ("edited", "busybox:2"),
        ("back", "redis"),
        ("stands", "localhost:5000/nginx:latest"),
        ("unknown", "localhost:5000/own"),
    ]);
    let one = observed("deploy", &recorded(record), &pod);
    insta::assert_snapshot!(sketch_restore(one), @r#"
    repoint
      containers/stands: localhost:5000/nginx:latest -> docker.io/nginx
      image-cloner.io/originals: removed
      image-cloner.io/restored: ac36536afcccc277
      note: containers/edited: left at busybox:2, changed since the clone
      note: containers/back: is back at redis already
      note: containers/gone: is gone from the workload
    "#);
}

#[test]
fn a_restore_writes_nothing_where_it_gives_nothing_back() {
    insta::assert_snapshot!(sketch_restore(deployment(&json!({}), "nginx")), @r#"
    unchanged
      note: not cloned: it has no record
    "#);
    insta::assert_snapshot!(sketch_restore(deployment(&recorded(RECORD), "nginx:2")), @r#"
    unchanged
      note: containers/web: left at nginx:2, changed since the clone
    "#);
    insta::assert_snapshot!(sketch_restore(deployment(&recorded("{"), "old.corp/nginx:latest")), @r#"
    skip: its annotation image-cloner.io/originals cannot be read
    "#);
    let mut metadata = recorded(RECORD);
    metadata["ownerReferences"] =
        json!([{"kind": "ReplicaSet", "name": "web-5d4f", "controller": true}]);
    let pod = containers(&[("web", "old.corp/nginx:latest")]);
    insta::assert_snapshot!(sketch_restore(observed("po", &metadata, &pod)), @r#"
    skip: controlled by ReplicaSet/web-5d4f
    "#);
    let mut never = pod;
    never["restartPolicy"] = json!("Never");
    insta::assert_snapshot!(sketch_restore(observed("po", &recorded(RECORD), &never)), @r#"
    skip: changing its image would kill its container, which its restart policy may not start again
    "#);
}

#[test]
fn a_restore_takes_only_its_own_pull_secrets_away() {
    fn check(present: &[&str], added: &[&str], was_absent: bool, expected: &str) {
        let mut record: Value = serde_json::from_str(RECORD).unwrap();
        record["pullSecrets"] = json!({"added": added, "wasAbsent": was_absent});
        let mut pod = containers(&[("web", "old.corp/nginx:latest")]);
        let names: Vec<Value> = present.iter().map(|name| json!({"name": name})).collect();
        pod["imagePullSecrets"] = Value::Array(names);
        let one = observed("deploy", &recorded(&record.to_string()), &pod);
        let plan = restore(&[one.workload], None);
        let Decision::Repoint(repoint) = &plan.workloads[0].decision else {
            panic!("{}", sketch(&plan));
        };
        let notes = plan.workloads[0].notes.join("; ");
        assert_eq!(
            format!("{:?} {notes}", repoint.pull_secrets).trim(),
            expected
        );
    }
    check(&["corp", "ours"], &["corp", "ours"], true, "Remove");
    check(&["ours"], &["ours"], false, "Set([])");
    check(&["own", "ours"], &["ours"], false, r#"Set(["own"])"#);
    check(&["ours", "new"], &["ours"], true, r#"Set(["new"])"#);
    check(&["new"], &["ours"], true, "Keep");
    check(
        &["corp", "ours", "new"],
        &["corp", "ours"],
        true,
        "Keep imagePullSecrets: left as they are: new was added since the clone",
    );
}

#[test]
fn a_restore_keeps_pull_secrets_that_an_edited_slot_still_needs() {
    let record = r#"{"run":"0001","slots":{
        "containers/a":{"original":"nginx","target":"old.corp/nginx:latest"},
        "containers/b":{"original":"redis:1","target":"old.corp/redis:1"}
    },"pullSecrets":{"added":["ours"],"wasAbsent":true}}"#;
    let mut pod = containers(&[("a", "old.corp/nginx:latest"), ("b", "old.corp/redis:2")]);
    pod["imagePullSecrets"] = json!([{"name": "ours"}]);
    let one = observed("deploy", &recorded(record), &pod);
    insta::assert_snapshot!(sketch_restore(one), @r#"
    repoint
      containers/a: old.corp/nginx:latest -> nginx
      image-cloner.io/originals: removed
      image-cloner.io/restored: 7c15c9f020dc477d
      note: containers/b: left at old.corp/redis:2, changed since the clone
      note: imagePullSecrets: left as they are: containers/b still pulls from the target registry
    "#);
}

#[test]
fn a_restore_of_one_run_leaves_out_all_others() {
    let workloads = [
        deployment(&recorded(RECORD), "old.corp/nginx:latest").workload,
        deployment(
            &recorded(&RECORD.replace("0001", "0002")),
            "old.corp/nginx:latest",
        )
        .workload,
        deployment(&json!({}), "nginx").workload,
    ];
    let plan = restore(&workloads, Some("0002"));
    let restored: Vec<&Workload> = plan.workloads.iter().map(|one| &one.workload).collect();
    assert_eq!(restored, [&workloads[1]]);
    assert_eq!(restore(&workloads, None).workloads.len(), 3);
}
