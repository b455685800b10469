use super::*;

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
    let one = observed("po", &metadata, &pod);
    insta::assert_snapshot!(sketch_restore(one), @r#"
    skip: controlled by ReplicaSet/web-5d4f
    "#);
    let mut never = pod;
    never["restartPolicy"] = json!("Never");
    insta::assert_snapshot!(sketch_restore(observed("po", &recorded(RECORD), &never)), @r#"
    skip: changing its image would kill its container, which its restart policy may not start again
    "#);
}

#[test]
fn what_no_clone_can_have_recorded_is_not_given_back() {
    let forged = RECORD.replace(r#""nginx""#, r#""nginx\nhint: run this""#);
    insta::assert_snapshot!(sketch_restore(deployment(&recorded(&forged), "old.corp/nginx:latest")), @r"
    unchanged
      note: containers/web: left at old.corp/nginx:latest: what its record has for it is no image reference
    ");
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

#[test]
fn what_a_controller_makes_is_left_out_unless_it_has_a_record() {
    let controlled = json!({"ownerReferences": [
        {"kind": "ReplicaSet", "name": "web-5d4f", "controller": true}]});
    let pod = containers(&[("web", "nginx")]);
    let one = observed("po", &controlled, &pod);
    assert_eq!(restore(&[one.workload], None).workloads, []);
}

/// A workload that two runs repointed, and a third container that nobody did.
fn of_two_runs() -> Observed {
    let record = r#"{"run":"0002","slots":{
        "containers/a":{"original":"nginx","target":"old.corp/nginx:latest","run":"0001"},
        "containers/b":{"original":"redis:1","target":"old.corp/redis:1"}
    },"pullSecrets":{"added":["ours"],"wasAbsent":true}}"#;
    let images = [
        ("a", "old.corp/nginx:latest"),
        ("b", "old.corp/redis:1"),
        ("c", "busybox"),
    ];
    let mut pod = containers(&images);
    pod["imagePullSecrets"] = json!([{"name": "ours"}]);
    observed("deploy", &recorded(record), &pod)
}

fn sketch_restore_of(run: &str, observed: &Observed) -> String {
    let workloads = std::slice::from_ref(&observed.workload);
    sketch(&restore(workloads, Some(run)))
}

#[test]
fn a_restore_of_one_run_gives_back_its_slots_and_keeps_the_record_of_the_others() {
    insta::assert_snapshot!(sketch_restore_of("0001", &of_two_runs()), @r#"
    repoint
      containers/a: old.corp/nginx:latest -> nginx
      image-cloner.io/originals: {"run":"0002","slots":{"containers/b":{"original":"redis:1","target":"old.corp/redis:1"}},"pullSecrets":{"added":["ours"],"wasAbsent":true}}
      image-cloner.io/restored: 579957602bad68dc
    "#);
    insta::assert_snapshot!(sketch_restore_of("0002", &of_two_runs()), @r#"
    repoint
      containers/b: old.corp/redis:1 -> redis:1
      image-cloner.io/originals: {"run":"0001","slots":{"containers/a":{"original":"nginx","target":"old.corp/nginx:latest"}},"pullSecrets":{"added":["ours"],"wasAbsent":true}}
      image-cloner.io/restored: d0422fc87dcf701e
    "#);
    insta::assert_snapshot!(sketch_restore(of_two_runs()), @r#"
    repoint
      containers/a: old.corp/nginx:latest -> nginx
      containers/b: old.corp/redis:1 -> redis:1
      pull secrets: Remove
      image-cloner.io/originals: removed
      image-cloner.io/restored: a3638c9a7d5ae639
    "#);
    assert_eq!(sketch_restore_of("0003", &of_two_runs()), "");
}

#[test]
fn a_restore_of_one_run_keeps_no_record_of_slots_that_others_changed_since() {
    let mut one = of_two_runs();
    one.workload.slots[0].image = "nginx:2".to_owned();
    insta::assert_snapshot!(sketch_restore_of("0002", &one), @r#"
    repoint
      containers/b: old.corp/redis:1 -> redis:1
      pull secrets: Remove
      image-cloner.io/originals: removed
      image-cloner.io/restored: 82866aaaa0966502
    "#);
}

#[test]
fn a_later_clone_remembers_which_run_did_which_slot() {
    let here = Policy {
        target: TargetRegistry::parse("old.corp", Layout::Mirror).unwrap(),
        ..policy()
    };
    insta::assert_snapshot!(sketch_clone(of_two_runs(), &here), @r#"
    repoint
      containers/c: busybox -> old.corp/busybox:latest
      image-cloner.io/originals: {"run":"a7f3","slots":{"containers/a":{"original":"nginx","target":"old.corp/nginx:latest","run":"0001"},"containers/b":{"original":"redis:1","target":"old.corp/redis:1","run":"0002"},"containers/c":{"original":"busybox","target":"old.corp/busybox:latest"}},"pullSecrets":{"added":["ours"],"wasAbsent":true}}
    copy docker.io/library/busybox:latest -> old.corp/busybox:latest
    "#);
}

#[test]
fn the_last_run_is_the_newest_of_which_something_stands() {
    let workload = |name: &str, image: &str, record: &str| {
        let object = json!({"metadata": {"name": name, "namespace": "prod",
                "annotations": {"image-cloner.io/originals": record}},
            "spec": {"template": {"spec": {"containers": [{"name": "a", "image": image}]}}}});
        Workload::from_object(&Kind::from_word("deploy").unwrap(), &object).unwrap()
    };
    let record = |run: &str, time: &str| {
        format!(
            r#"{{"run":"{run}"{time},"slots":{{"containers/a":{{"original":"x","target":"r.corp/x"}}}}}}"#
        )
    };
    let at = |time: &str| format!(r#","time":"{time}""#);
    let earlier = record("bbbb", &at("2026-11-22T19:20:00.000Z"));
    let later = record("aaaa", &at("2026-11-22T19:20:00.001Z"));
    let latest = record("cccc", &at("2026-11-23T00:00:00.000Z"));
    let all = [
        workload("old", "r.corp/x", &record("ffff", "")),
        workload("one", "r.corp/x", &earlier),
        workload("two", "r.corp/x", &later),
        workload("too", "r.corp/x", &later),
        workload("changed", "x:2", &latest),
    ];
    let found: Vec<_> = runs(&all)
        .into_iter()
        .map(|past| (past.run, past.workloads))
        .collect();
    let expected = [("aaaa", 2), ("bbbb", 1), ("ffff", 1)];
    assert_eq!(found, expected.map(|(run, count)| (run.to_owned(), count)));
}

#[test]
fn a_later_run_leaves_an_earlier_one_its_time() {
    let record = r#"{"run":"0001","time":"2026-01-01T00:00:00.000Z","slots":{"containers/a":{"original":"x","target":"old.corp/x:latest"}}}"#;
    let record: crate::workload::Record = serde_json::from_str(record).unwrap();
    let kept = record.keep(("0002", Some("2026-02-02T00:00:00.000Z")), |_, _| true);
    insta::assert_snapshot!(kept.to_text(), @r#"{"run":"0002","time":"2026-02-02T00:00:00.000Z","slots":{"containers/a":{"original":"x","target":"old.corp/x:latest","run":"0001","time":"2026-01-01T00:00:00.000Z"}}}"#);
}
