//! What was cloned before, to this target or to another.

use super::*;

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
