use super::*;

#[test]
fn a_pull_secret_is_added_where_there_are_no_credentials() {
    fn check(own: &Value, account: &[&str], expected: &[&str]) {
        let mut pod = containers(&[("web", "nginx")]);
        if !own.is_null() {
            pod["imagePullSecrets"] = own.clone();
        }
        let mut one = observed("deploy", &json!({}), &pod);
        one.account_pull_secrets = Some(account.iter().map(|name| (*name).to_owned()).collect());
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
    own.pull_credentials = PullCredentials::Own;
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
fn an_account_that_cannot_be_read_is_not_taken_to_have_no_pull_secrets() {
    fn check(own: &[&str], expected: &str) {
        let mut pod = containers(&[("web", "nginx")]);
        let names: Vec<Value> = own.iter().map(|name| json!({"name": name})).collect();
        pod["imagePullSecrets"] = Value::Array(names);
        let mut one = observed("deploy", &json!({}), &pod);
        one.account_pull_secrets = None;
        let plan = clone(&[one], &with_secret()).unwrap();
        let decision = match &plan.workloads[0].decision {
            Decision::Repoint(repoint) => format!("{:?}", repoint.pull_secrets),
            Decision::CopyOnly(reason) => reason.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(decision, expected);
    }
    check(
        &[],
        "its ServiceAccount cannot be read, and a pull secret of ours would hide the account's own",
    );
    // admission gives the account's to nobody who has some
    check(&["own"], r#"Set(["own", "image-cloner-pull"])"#);
    check(&["image-cloner-pull"], "Keep");
}

#[test]
fn a_pull_secret_of_ours_is_written_again_with_every_repoint() {
    let mut pod = containers(&[("web", "nginx")]);
    pod["imagePullSecrets"] = json!([{"name": "image-cloner-pull"}]);
    let mut one = observed("deploy", &json!({}), &pod);
    one.pull_credentials = PullCredentials::Ours;
    let needs = |policy: &Policy| {
        let plan = clone(std::slice::from_ref(&one), policy).unwrap();
        match &plan.workloads[0].decision {
            Decision::Repoint(repoint) => repoint.needs_pull_secret.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(needs(&with_secret()).as_deref(), Some("image-cloner-pull"));
    // without new credentials, those of the earlier run serve
    let missing = PullAccess::Missing("no pull credentials".to_owned());
    let missing = Policy {
        pull: missing,
        ..policy()
    };
    assert_eq!(needs(&missing), None);

    let mut applied = containers(&[("web", "localhost:5000/nginx:latest")]);
    applied["imagePullSecrets"] = pod["imagePullSecrets"].clone();
    let mut again = observed("deploy", &json!({}), &applied);
    again.pull_credentials = PullCredentials::Ours;
    insta::assert_snapshot!(sketch_clone(again, &with_secret()), @"unchanged");
}

#[test]
fn surroundings_hold_while_pull_secrets_and_account_stay() {
    fn check(field: &str, value: &Value, expected: bool) {
        let mut pod = containers(&[("web", "nginx")]);
        pod["imagePullSecrets"] = json!([{"name": "own"}]);
        let before = observed("deploy", &json!({}), &pod);
        pod[field] = value.clone();
        let later = observed("deploy", &json!({}), &pod).workload;
        let at = before.at(later.clone()).map(|observed| observed.workload);
        assert_eq!(at, expected.then_some(later), "{field}: {value}");
    }
    check("imagePullSecrets", &json!([{"name": "own"}]), true);
    check("imagePullSecrets", &json!([]), false);
    check("imagePullSecrets", &Value::Null, false);
    check("serviceAccountName", &json!("default"), true);
    check("serviceAccountName", &json!("other"), false);
    check("priorityClassName", &json!("high"), true);
}
