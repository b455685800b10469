//! What is made anew, and comes out with its copies.

use super::*;

#[test]
fn a_new_workload_comes_out_as_the_plan_would_leave_it() {
    let known = known(PullAccess::Open);
    let object = with(deployment(), "/metadata/annotations", &json!({"a": "b"}));
    let admitted = admitted(&create("deploy", &object), &known);

    let observed = observed(&object, false);
    let policy = terms(PullAccess::Open).policy;
    let plan = clone(std::slice::from_ref(&observed), &policy).unwrap();
    let Decision::Repoint(repoint) = &plan.workloads[0].decision else {
        panic!("{plan:?}")
    };
    let patch = crate::patch::body(&observed.workload, repoint);
    let patch: json_patch::Patch = serde_json::from_value(patch).unwrap();
    let mut planned = object;
    // what JSON Patch says of `null` is not what API servers do
    let writes: Vec<_> = patch
        .0
        .into_iter()
        .filter(|operation| !matches!(operation, json_patch::PatchOperation::Test(_)))
        .collect();
    json_patch::patch(&mut planned, &writes).unwrap();
    assert_eq!(admitted, planned);
    assert_eq!(
        admitted["spec"]["template"]["spec"]["containers"][0]["image"],
        "reg.corp/nginx:1"
    );
    assert_eq!(
        admitted["metadata"]["annotations"]["image-cloner.io/originals"],
        r#"{"run":"a7f3","slots":{"containers/web":{"original":"nginx:1","target":"reg.corp/nginx:1"}}}"#
    );
}

#[test]
fn what_was_admitted_once_is_admitted_again_as_it_is() {
    let known = known(PullAccess::Open);
    let first = admitted(&create("deploy", &deployment()), &known);
    passes(
        &create("deploy", &first),
        &known,
        "nothing is to be changed",
    );
    // another webhook puts a container beside it
    let injected = json!({"name": "proxy", "image": "busybox:1"});
    let second = with(
        first,
        "/spec/template/spec/containers",
        &json!([
            {"name": "web", "image": "reg.corp/nginx:1"}, injected
        ]),
    );
    let second = admitted(&create("deploy", &second), &known);
    assert_eq!(
        second["metadata"]["annotations"]["image-cloner.io/originals"],
        r#"{"run":"a7f3","slots":{"containers/proxy":{"original":"busybox:1","target":"reg.corp/busybox:1"},"containers/web":{"original":"nginx:1","target":"reg.corp/nginx:1"}}}"#
    );
    passes(
        &create("deploy", &second),
        &known,
        "nothing is to be changed",
    );
}

#[test]
fn what_cannot_be_changed_once_it_is_made_is_changed_before() {
    let known = known(secret());
    known.pull_secret(&target(), "shop");
    let object = with(pod(), "/spec/restartPolicy", &json!("Never"));
    let object = with(
        object,
        "/spec/volumes",
        &json!([{"name": "m", "image": {"reference": "busybox:1"}}]),
    );
    let admitted_pod = admitted(&create("po", &object), &known);
    assert_eq!(
        admitted_pod["spec"]["containers"][0]["image"],
        "reg.corp/nginx:1"
    );
    assert_eq!(
        admitted_pod["spec"]["volumes"][0]["image"]["reference"],
        "reg.corp/busybox:1"
    );
    assert_eq!(
        admitted_pod["spec"]["imagePullSecrets"],
        json!([{"name": OURS}])
    );

    seen(&known, &[], &[], PullCredentials::None);
    let job = admitted(&create("job", &deployment()), &known);
    assert_eq!(
        job["spec"]["template"]["spec"]["imagePullSecrets"],
        json!([{"name": OURS}])
    );

    // and not after
    let old = with(
        object.clone(),
        "/spec/containers/0/image",
        &json!("nginx:0"),
    );
    passes(
        &request("po", "UPDATE", &object, &old),
        &known,
        "kill its container",
    );
    let old = with(
        deployment(),
        "/spec/template/spec/containers/0/image",
        &json!("nginx:0"),
    );
    passes(
        &request("job", "UPDATE", &deployment(), &old),
        &known,
        "cannot be changed",
    );
}

#[test]
fn a_name_that_is_yet_to_be_made_up_is_no_hindrance() {
    let known = known(PullAccess::Open);
    let mut object = pod();
    object["metadata"] = json!({"generateName": "web-", "creationTimestamp": null});
    let admitted = admitted(&create("po", &object), &known);
    assert_eq!(
        admitted["spec"]["containers"][0]["image"],
        "reg.corp/nginx:1"
    );
    assert_eq!(admitted["metadata"]["name"], Value::Null);
}

#[test]
fn pull_secrets_are_added_only_where_all_of_them_are_known() {
    let secrets = |object: Value| object["spec"]["template"]["spec"]["imagePullSecrets"].clone();
    let creation = create("deploy", &deployment());

    let facts = known(secret());
    passes(
        &creation,
        &facts,
        "ServiceAccount default has not been seen",
    );
    seen(&facts, &["corp"], &[], PullCredentials::None);
    passes(
        &creation,
        &facts,
        "image-cloner-pull is not known to be in shop",
    );
    facts.pull_secret(&target(), "shop");
    assert_eq!(
        secrets(admitted(&creation, &facts)),
        json!([{"name": "corp"}, {"name": OURS}])
    );
    // the user's own are enough
    seen(&facts, &["corp"], &[], PullCredentials::Own);
    assert_eq!(secrets(admitted(&creation, &facts)), Value::Null);

    let own = with(
        deployment(),
        "/spec/template/spec/imagePullSecrets",
        &json!([{"name": "mine"}]),
    );
    let creation = create("deploy", &own);
    passes(&creation, &facts, "pull secrets have not been seen");
    seen(&facts, &["corp"], &["mine"], PullCredentials::None);
    assert_eq!(
        secrets(admitted(&creation, &facts)),
        json!([{"name": "mine"}, {"name": OURS}])
    );

    let facts = known(PullAccess::Missing("none may be shared".to_owned()));
    seen(&facts, &[], &[], PullCredentials::None);
    passes(
        &create("deploy", &deployment()),
        &facts,
        "none may be shared",
    );
    // a pod has its account's already: with none there are none
    passes(&create("po", &pod()), &facts, "none may be shared");
}

#[test]
fn a_dry_run_is_answered_as_the_real_thing() {
    let facts = known(PullAccess::Open);
    let real = create("deploy", &deployment());
    let dry = with(real.clone(), "/dryRun", &json!(true));
    assert_eq!(admitted(&dry, &facts), admitted(&real, &facts));
}
