//! What a clone copies and writes, and which effects it tells of.

use super::*;

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
        origin: reference(source),
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
            origin: Reference::parse("nginx").unwrap(),
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
fn an_outlook_needs_no_more_than_the_workload() {
    let one = deployment(&json!({}), "nginx:1");
    let outlook = outlook(&one.workload, &with_secret());
    assert!(matches!(outlook.decision, Decision::Repoint(_)));
}
