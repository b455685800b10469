//! Which images are meant: those that were asked for, by their tag or by a digest.

use super::*;

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
