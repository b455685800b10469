//! What passes as it is, and why.

use super::*;

#[test]
fn nothing_is_changed_that_the_loop_would_leave() {
    let facts = known(PullAccess::Open);
    let check = |pointer: &str, value: &Value, why: &str| {
        passes(
            &create("deploy", &with(deployment(), pointer, value)),
            &facts,
            why,
        );
    };
    let annotation = |key: &str| format!("/metadata/annotations/{}", key.replace('/', "~1"));
    check(
        &annotation("image-cloner.io/skip"),
        &json!("true"),
        "opted out",
    );
    check(
        "/metadata/labels/image-cloner.io~1skip",
        &json!("true"),
        "opted out",
    );
    check(
        &annotation("argocd.argoproj.io/tracking-id"),
        &json!("shop:x"),
        "Argo CD",
    );
    check(
        "/metadata/labels/kustomize.toolkit.fluxcd.io~1name",
        &json!("apps"),
        "Flux",
    );
    check(
        &annotation("image-cloner.io/originals"),
        &json!("{"),
        "cannot be read",
    );
    let applied = json!([{"manager": "kubectl", "operation": "Apply", "fieldsV1": {"f:spec": {"f:template": {
        "f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {"f:image": {}}}}}}}}]);
    check("/metadata/managedFields", &applied, "server-side apply");
    let controlled = json!([{"kind": "Shop", "name": "main", "controller": true}]);
    check(
        "/metadata/ownerReferences",
        &controlled,
        "controlled by Shop/main",
    );
    check(
        "/spec/template/spec/priorityClassName",
        &json!("system-node-critical"),
        "priority class",
    );
    check(
        "/spec/template/spec/containers/0/image",
        &json!("auto"),
        "injected",
    );
    check(
        "/spec/template/spec/containers/0/image",
        &json!("redis:7"),
        "not known complete for shop",
    );
    check(
        "/spec/template/spec/containers/0/image",
        &json!("reg.corp/x:1"),
        "nothing is to be changed",
    );
    check(
        "/spec/template/spec/containers/0/imagePullPolicy",
        &json!("Never"),
        "never pulled",
    );
    check(
        "/spec/strategy/type",
        &json!("Recreate"),
        "only with IMAGE_CLONER_STATEFUL",
    );
    check(
        "/metadata/name",
        &json!("registry"),
        "serves the target registry",
    );
    let images = Workload::from_object(&Kind::from_word("deploy").unwrap(), &deployment());
    let hash = images.unwrap().images_hash();
    check(
        &annotation("image-cloner.io/restored"),
        &json!(hash),
        "restored",
    );
}

#[test]
fn nothing_is_changed_where_the_loop_does_not_work_or_has_not_been() {
    let facts = known(PullAccess::Open);
    passes(
        &create("sts", &deployment()),
        &facts,
        "only with IMAGE_CLONER_STATEFUL",
    );
    passes(&create("ds", &deployment()), &facts, "not among the kinds");
    passes(
        &create(
            "po",
            &with(
                pod(),
                "/metadata/annotations/kubernetes.io~1config.mirror",
                &json!("x"),
            ),
        ),
        &facts,
        "controlled by Node",
    );

    let elsewhere = |namespace: &str, why: &str| {
        let request = with(
            create("deploy", &deployment()),
            "/namespace",
            &json!(namespace),
        );
        passes(&request, &facts, why);
    };
    elsewhere("unseen", "namespace unseen has not been seen");
    for (namespace, why) in [
        ("kube-system", "skipped"),
        ("lab-1", "skipped"),
        ("other", "not known complete for other"),
    ] {
        here(&facts, namespace, false);
        elsewhere(namespace, why);
    }
    here(&facts, "shop", true);
    elsewhere("shop", "namespace shop opted out");
    here(&facts, "shop", false);
    let only = Terms {
        namespaces: Some(BTreeSet::from(["other".to_owned()])),
        ..terms(PullAccess::Open)
    };
    facts.set_terms(Some(only));
    elsewhere("shop", "not among the namespaces");
    facts.set_terms(None);
    elsewhere("shop", "nothing is repointed now");
}

#[test]
fn a_copy_is_given_only_to_namespaces_that_may_read_its_source() {
    let facts = known(PullAccess::Open);
    here(&facts, "other", false);
    let request = with(
        create("deploy", &deployment()),
        "/namespace",
        &json!("other"),
    );
    passes(&request, &facts, "not known complete for other");
    let target = Reference::parse("reg.corp/nginx:1").unwrap();
    facts.complete(&target, &digest(), [Reader::Anyone]);
    admitted(&request, &facts);
    facts.forget(&target);
    passes(&request, &facts, "not known complete for other");
}

#[test]
fn what_was_seen_of_another_target_or_by_who_works_no_more_is_not_known() {
    let facts = known(secret());
    facts.pull_secret(&target(), "shop");
    seen(&facts, &[], &[], PullCredentials::Own);
    let creation = create("deploy", &deployment());
    admitted(&creation, &facts);
    let other = TargetRegistry::parse("new.corp", Layout::Mirror).unwrap();
    facts.about(&other);
    facts.set_terms(Some(terms(secret())));
    // what was under way when the target changed
    seen(&facts, &[], &[], PullCredentials::Own);
    passes(&creation, &facts, "namespace shop has not been seen yet");
    facts.clear();
    passes(&creation, &facts, "nothing is repointed now");
}

#[test]
fn requests_that_are_no_change_of_a_workload_pass() {
    let facts = known(PullAccess::Open);
    let creation = create("deploy", &deployment());
    passes(
        &with(creation.clone(), "/operation", &json!("DELETE")),
        &facts,
        "no change",
    );
    passes(
        &with(creation.clone(), "/subResource", &json!("scale")),
        &facts,
        "scale is not the workload",
    );
    passes(
        &with(creation.clone(), "/object", &json!({"spec": 3})),
        &facts,
        "no metadata",
    );
    passes(
        &with(creation, "/object/spec", &Value::Null),
        &facts,
        "no pod template",
    );
    let update = request("deploy", "UPDATE", &deployment(), &Value::Null);
    passes(&update, &facts, "no metadata");
}

#[test]
fn an_object_that_the_record_would_make_too_big_passes() {
    let facts = known(PullAccess::Open);
    let big = |size: usize| {
        let value = json!({"a": "x".repeat(size)});
        create(
            "deploy",
            &with(deployment(), "/metadata/annotations", &value),
        )
    };
    admitted(&big(256 * 1024 - 500), &facts);
    passes(&big(256 * 1024 - 50), &facts, "its annotations would have");
}

#[test]
fn a_request_is_read_whatever_it_leaves_out() {
    let request: Request = serde_json::from_value(json!({"uid": "1"})).unwrap();
    assert!(decide(&request, &known(PullAccess::Open)).is_err());
}
