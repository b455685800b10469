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
