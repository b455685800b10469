use super::*;
use crate::workload::RESTORED;

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
        users: BTreeMap::from([(id.clone(), running.iter().copied().cloned().collect())]),
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
        left_out: BTreeSet::new(),
    };
    let mut sorted = expected.clone();
    sorted
        .copies
        .sort_by(|one, other| one.source.cmp(&other.source));
    assert_eq!(plan, sorted);
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
            users: users
                .iter()
                .zip(["a", "b"])
                .map(|(one, runs)| (one.workload.id.clone(), BTreeSet::from([digest(runs)])))
                .collect(),
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
    let listening = |port: u16| {
        let web = json!({"name": "web", "image": "nginx", "ports": [{"hostPort": port}]});
        observed("ds", &json!({}), &json!({"containers": [web]}))
    };
    check(
        listening(5000),
        "skip: serves the target registry",
        "repoint",
    );
    let other = sketch_clone(listening(5001), &policy());
    assert!(other.starts_with("repoint"), "{other}");
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
        "skip: restored, and no image has changed since: name it to clone it again",
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
    let mut one = deployment(&argo, "nginx");
    insta::assert_snapshot!(sketch_clone(one.clone(), &policy()), @r#"
    copy only: would be reverted by Argo CD (shop)
    copy docker.io/library/nginx:latest -> localhost:5000/nginx:latest
    "#);
    one.named = true;
    insta::assert_snapshot!(sketch_clone(one, &policy()), @r#"
    copy only: would be reverted by Argo CD (shop)
      note: change its manifests (-o kustomize, -o patch, -f), or repoint it live (--owned live)
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
fn who_names_what_an_operator_makes_is_told_where_its_images_count() {
    let owner = json!({"kind": "Shop", "name": "berlin", "controller": true});
    let mut one = deployment(&json!({"ownerReferences": [owner]}), "nginx");
    insta::assert_snapshot!(sketch_clone(one.clone(), &policy()), @"skip: controlled by Shop/berlin");
    one.named = true;
    insta::assert_snapshot!(sketch_clone(one, &policy()), @r"
    skip: controlled by Shop/berlin
      note: change its images in Shop/berlin, which makes it
    ");
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
fn an_earlier_record_is_merged() {
    let record = r#"{"run":"0001","slots":{
        "containers/stands":{"original":"redis","target":"localhost:5000/redis:latest"},
        "containers/edited":{"original":"nginx:1","target":"localhost:5000/nginx:1"},
        "containers/raised":{"original":"own:1","target":"localhost:5000/own:1"},
        "containers/gone":{"original":"busybox","target":"localhost:5000/busybox:latest"}
    },"pullSecrets":{"added":["corp","first","dropped"],"wasAbsent":true}}"#;
    let mut pod = containers(&[
        ("stands", "localhost:5000/redis:latest"),
        ("edited", "nginx:2"),
        ("raised", "localhost:5000/own:2"),
    ]);
    pod["imagePullSecrets"] = json!([{"name": "corp"}, {"name": "first"}]);
    let one = observed("deploy", &recorded(record), &pod);
    insta::assert_snapshot!(sketch_clone(one, &with_secret()), @r#"
    repoint
      containers/edited: nginx:2 -> localhost:5000/nginx:2
      pull secrets: Set(["corp", "first", "image-cloner-pull"])
      needs image-cloner-pull
      image-cloner.io/originals: {"run":"a7f3","slots":{"containers/edited":{"original":"nginx:2","target":"localhost:5000/nginx:2"},"containers/stands":{"original":"redis","target":"localhost:5000/redis:latest","run":"0001"}},"pullSecrets":{"added":["corp","first","image-cloner-pull"],"wasAbsent":true}}
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

fn reference(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

fn moving() -> Policy {
    Policy {
        images: ImagePolicy {
            from: Some(TargetRegistry::parse("old.corp", Layout::Mirror).unwrap()),
            ..ImagePolicy::default()
        },
        ..policy()
    }
}

#[test]
fn a_move_takes_what_lies_in_the_old_target_and_names_it_as_it_was_first_named() {
    let one = deployment(&recorded(RECORD), "old.corp/nginx:latest");
    assert_eq!(
        sketch_clone(one.clone(), &moving()),
        sketch_clone(one, &policy())
    );
    // never recorded, as what a rewritten manifest brought: its name tells
    let one = deployment(&json!({}), "old.corp/quay.io/a/b:2");
    insta::assert_snapshot!(sketch_clone(one, &moving()), @r#"
    repoint
      containers/web: old.corp/quay.io/a/b:2 -> localhost:5000/quay.io/a/b:2
      image-cloner.io/originals: {"run":"a7f3","slots":{"containers/web":{"original":"old.corp/quay.io/a/b:2","target":"localhost:5000/quay.io/a/b:2"}}}
    copy old.corp/quay.io/a/b:2 -> localhost:5000/quay.io/a/b:2
    "#);
    let one = deployment(&json!({}), "nginx:1");
    insta::assert_snapshot!(sketch_clone(one, &moving()), @"skip: none of its images is in old.corp");
    let flat = Policy {
        images: ImagePolicy {
            from: Some(TargetRegistry::parse("old.corp", Layout::Flat).unwrap()),
            ..ImagePolicy::default()
        },
        ..policy()
    };
    let one = deployment(&json!({}), "old.corp/nginx-00:2");
    insta::assert_snapshot!(sketch_clone(one, &flat), @"skip: containers/web: left at old.corp/nginx-00:2: what it is a copy of is neither recorded nor told by its name");
}

#[test]
fn images_that_are_not_asked_for_are_left_and_listed() {
    let only = |patterns: &[&str]| Policy {
        images: ImagePolicy {
            sources: Patterns::of_images(patterns).unwrap(),
            ..ImagePolicy::default()
        },
        ..policy()
    };
    let pod = containers(&[("web", "nginx:1"), ("side", "quay.io/a/b:2")]);
    let one = observed("deploy", &json!({}), &pod);
    let plan = clone(std::slice::from_ref(&one), &only(&["quay.io"])).unwrap();
    assert_eq!(plan.left_out, BTreeSet::from([reference("nginx:1")]));
    insta::assert_snapshot!(sketch(&plan), @r#"
    repoint
      containers/side: quay.io/a/b:2 -> localhost:5000/quay.io/a/b:2
      image-cloner.io/originals: {"run":"a7f3","slots":{"containers/side":{"original":"quay.io/a/b:2","target":"localhost:5000/quay.io/a/b:2"}}}
    copy quay.io/a/b:2 -> localhost:5000/quay.io/a/b:2
    "#);
    let plan = clone(&[one], &only(&["ghcr.io/**"])).unwrap();
    assert_eq!(plan.left_out.len(), 2);
    insta::assert_snapshot!(sketch(&plan), @"skip: none of its images matches --source");
    // by what it was first, too
    let moved = deployment(&recorded(RECORD), "old.corp/nginx:latest");
    assert!(sketch_clone(moved, &only(&["docker.io"])).starts_with("repoint"));
}

#[test]
fn a_pinned_workload_names_the_tag_and_the_digest_that_is_known() {
    let digest: Digest = format!("sha256:{}", "c".repeat(64)).parse().unwrap();
    let pinned = |pins: BTreeMap<Reference, Digest>| Policy {
        images: ImagePolicy {
            pins: Some(pins),
            ..ImagePolicy::default()
        },
        ..policy()
    };
    let one = deployment(&json!({}), "nginx:1");
    assert_eq!(
        sketch_clone(one.clone(), &pinned(BTreeMap::new())),
        sketch_clone(one.clone(), &policy())
    );
    let pins = BTreeMap::from([(reference("localhost:5000/nginx:1"), digest)]);
    insta::assert_snapshot!(sketch_clone(one, &pinned(pins)), @r#"
    repoint
      containers/web: nginx:1 -> localhost:5000/nginx:1@sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc
      image-cloner.io/originals: {"run":"a7f3","slots":{"containers/web":{"original":"nginx:1","target":"localhost:5000/nginx:1@sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"}}}
    copy docker.io/library/nginx:1 -> localhost:5000/nginx:1
    "#);
}

#[test]
fn what_runs_says_nothing_where_the_tag_is_meant() {
    let digest: Digest = format!("sha256:{}", "c".repeat(64)).parse().unwrap();
    let mut one = deployment(&json!({}), "nginx:1");
    let key = one.workload.slots[0].key.clone();
    one.running.insert(key, BTreeSet::from([digest]));
    let tag = Policy {
        images: ImagePolicy {
            resolve: Resolve::Tag,
            ..ImagePolicy::default()
        },
        ..policy()
    };
    let running = |policy: &Policy| {
        let plan = clone(std::slice::from_ref(&one), policy).unwrap();
        plan.copies[0].running.len()
    };
    assert_eq!((running(&policy()), running(&tag)), (1, 0));
}

#[test]
fn an_outlook_needs_no_more_than_the_workload() {
    let one = deployment(&json!({}), "nginx:1");
    let outlook = outlook(&one.workload, &with_secret());
    assert!(matches!(outlook.decision, Decision::Repoint(_)));
}

#[test]
fn what_was_cloned_before_is_pinned_to_what_runs_and_its_record_stays_true() {
    let record = r#"{"run":"0001","slots":{"containers/web":{"original":"nginx:1","target":"localhost:5000/nginx:1"}}}"#;
    let pods = containers(&[
        ("web", "localhost:5000/nginx:1"),
        ("own", "localhost:5000/team/app:1"),
    ]);
    let mut one = observed("deploy", &recorded(record), &pods);
    let pinning = |pins: &[(&str, &Digest)]| {
        let pins = pins.iter();
        let pins = pins.map(|(name, digest)| (reference(name), (*digest).clone()));
        Policy {
            images: ImagePolicy {
                pins: Some(pins.collect()),
                ..ImagePolicy::default()
            },
            ..policy()
        }
    };
    let digest: Digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
    let known = pinning(&[("localhost:5000/nginx:1", &digest)]);
    let short = |text: String| {
        text.replace(&"a".repeat(64), "AA")
            .replace(&"b".repeat(64), "BB")
    };
    // nothing runs: the tag's
    insta::assert_snapshot!(short(sketch_clone(one.clone(), &known)), @r#"
    repoint
      containers/web: localhost:5000/nginx:1 -> localhost:5000/nginx:1@sha256:AA
      image-cloner.io/originals: {"run":"a7f3","slots":{"containers/web":{"original":"nginx:1","target":"localhost:5000/nginx:1@sha256:AA"}}}
    copy localhost:5000/nginx:1 -> localhost:5000/nginx:1
    "#);
    // what runs is not what the tag has; a runtime may name one platform of it
    let other: Digest = format!("sha256:{}", "b".repeat(64)).parse().unwrap();
    let key = one.workload.slots[0].key.clone();
    one.running.insert(key, BTreeSet::from([other.clone()]));
    insta::assert_snapshot!(short(sketch_clone(one.clone(), &known)), @r#"
    repoint
      containers/web: localhost:5000/nginx:1 -> localhost:5000/nginx:1@sha256:BB
      image-cloner.io/originals: {"run":"a7f3","slots":{"containers/web":{"original":"nginx:1","target":"localhost:5000/nginx:1@sha256:BB"}}}
    copy localhost:5000/nginx:1@sha256:BB -> localhost:5000/nginx:1@sha256:BB
    "#);
    let name = format!("localhost:5000/nginx:1@{other}");
    let known = pinning(&[(&name, &digest)]);
    let plan = clone(std::slice::from_ref(&one), &known).unwrap();
    let Decision::Repoint(repoint) = &plan.workloads[0].decision else {
        panic!("{}", sketch(&plan));
    };
    assert_eq!(
        repoint.slots[0].to,
        format!("localhost:5000/nginx:1@{digest}")
    );
    // pinned, it stays
    let text = repoint.annotations[ORIGINALS].clone().unwrap();
    let pods = containers(&[
        ("web", &repoint.slots[0].to),
        ("own", "localhost:5000/team/app:1"),
    ]);
    let pinned = observed("deploy", &recorded(&text), &pods);
    assert_eq!(sketch_clone(pinned.clone(), &known), "unchanged");
    let restored = sketch_restore(pinned);
    assert!(
        restored.contains(&format!("{} -> nginx:1\n", repoint.slots[0].to)),
        "{restored}"
    );
}
