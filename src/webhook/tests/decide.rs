//! What becomes of objects on their way in.

use crate::plan::{
    self, Decision, ImagePolicy, Observed, Patterns, Policy, PullAccess, PullCredentials, clone,
};
use crate::reference::{Digest, Reference};
use crate::target::{Layout, TargetRegistry};
use crate::watch::{Known, Reader, Terms};
use crate::webhook::decide::{Change, decide};
use crate::webhook::review::{Request, Review};
use crate::workload::{FIELD_MANAGER, Kind, Workload};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const OURS: &str = "image-cloner-pull";

fn terms(pull: PullAccess) -> Terms {
    Terms {
        policy: Policy {
            run: "a7f3".to_owned(),
            time: None,
            target: TargetRegistry::parse("reg.corp", Layout::Mirror).unwrap(),
            images: ImagePolicy::default(),
            skip_namespaces: Patterns::parse(["lab*"]).unwrap(),
            protect: BTreeSet::from(["shop/registry".to_owned()]),
            copy_only: false,
            owned_live: false,
            pull,
        },
        kinds: ["deploy", "cj", "sts"]
            .iter()
            .map(|word| Kind::from_word(word).unwrap())
            .collect(),
        namespaces: None,
        stateful: false,
    }
}

fn digest() -> Digest {
    format!("sha256:{}", "a".repeat(64)).parse().unwrap()
}

/// What is known of `shop`: it did not opt out, and may have the copies of nginx and busybox.
fn known(pull: PullAccess) -> Known {
    let known = Known::default();
    let terms = terms(pull);
    known.about(&terms.policy.target);
    known.set_terms(Some(terms));
    here(&known, "shop", false);
    for target in ["reg.corp/nginx:1", "reg.corp/busybox:1"] {
        let target = Reference::parse(target).unwrap();
        known.complete(&target, &digest(), Reader::Namespace("shop".to_owned()));
    }
    known
}

fn secret() -> PullAccess {
    PullAccess::Secret(OURS.to_owned())
}

fn target() -> TargetRegistry {
    terms(PullAccess::Open).policy.target
}

/// A namespace was seen, and nothing more.
fn here(known: &Known, namespace: &str, opted_out: bool) {
    let object = with(deployment(), "/metadata/namespace", &json!(namespace));
    let kind = Kind::from_word("deploy").unwrap();
    let observed = Observed {
        workload: Workload::from_object(&kind, &object).unwrap(),
        running: BTreeMap::new(),
        account_pull_secrets: None,
        pull_credentials: PullCredentials::None,
        named: false,
        namespace_opted_out: opted_out,
    };
    known.observed(&target(), &observed);
}

/// What a workload like this one came to when the loop observed it.
fn seen(known: &Known, account: &[&str], own: &[&str], credentials: PullCredentials) {
    let mut object = deployment();
    if !own.is_empty() {
        let own: Vec<Value> = own.iter().map(|name| json!({"name": name})).collect();
        object["spec"]["template"]["spec"]["imagePullSecrets"] = json!(own);
    }
    object["metadata"]["namespace"] = json!("shop");
    let kind = Kind::from_word("deploy").unwrap();
    let observed = Observed {
        workload: Workload::from_object(&kind, &object).unwrap(),
        running: BTreeMap::new(),
        account_pull_secrets: Some(account.iter().map(|name| (*name).to_owned()).collect()),
        pull_credentials: credentials,
        named: false,
        namespace_opted_out: false,
    };
    known.observed(&target(), &observed);
}

fn deployment() -> Value {
    json!({
        "metadata": {"name": "web"},
        "spec": {"template": {"spec": {"containers": [{"name": "web", "image": "nginx:1"}]}}},
    })
}

fn pod() -> Value {
    json!({"metadata": {"name": "web"}, "spec": {"containers": [{"name": "web", "image": "nginx:1"}]}})
}

/// The object with this value at a JSON pointer whose parent is made where it is missing.
fn with(mut object: Value, pointer: &str, value: &Value) -> Value {
    let mut at = &mut object;
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/");
        at = match part.parse::<usize>() {
            Ok(index) => &mut at[index],
            Err(_) => &mut at[part],
        };
    }
    *at = value.clone();
    object
}

fn request(word: &str, operation: &str, object: &Value, old: &Value) -> Value {
    let kind = Kind::from_word(word).unwrap();
    json!({
        "uid": "u-1",
        "kind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "resource": {"group": kind.group, "version": kind.version, "resource": kind.plural},
        "namespace": "shop",
        "operation": operation,
        "object": object,
        "oldObject": old,
        "options": {"kind": "CreateOptions", "fieldManager": "kubectl"},
    })
}

fn create(word: &str, object: &Value) -> Value {
    request(word, "CREATE", object, &Value::Null)
}

fn asked(request: &Value, known: &Known) -> Result<Change, String> {
    let review = json!({"apiVersion": "admission.k8s.io/v1", "request": request});
    let Review { request, .. } = serde_json::from_value(review).unwrap();
    decide(&request, known)
}

/// The object after it was admitted.
#[track_caller]
fn admitted(request: &Value, known: &Known) -> Value {
    let change = asked(request, known).unwrap();
    let mut object = request["object"].clone();
    let patch: json_patch::Patch = serde_json::from_value(change.patch).unwrap();
    json_patch::patch(&mut object, &patch).unwrap();
    object
}

#[track_caller]
fn passes(request: &Value, known: &Known, why: &str) {
    match asked(request, known) {
        Ok(change) => panic!("{}", change.patch),
        Err(reason) => assert!(reason.contains(why), "{reason}"),
    }
}

#[test]
fn a_new_workload_comes_out_as_the_plan_would_leave_it() {
    let known = known(PullAccess::Open);
    let object = with(deployment(), "/metadata/annotations", &json!({"a": "b"}));
    let admitted = admitted(&create("deploy", &object), &known);

    let kind = Kind::from_word("deploy").unwrap();
    let observed = Observed {
        workload: Workload::from_object(&kind, &object).unwrap(),
        running: BTreeMap::new(),
        account_pull_secrets: None,
        pull_credentials: PullCredentials::None,
        named: false,
        namespace_opted_out: false,
    };
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
    facts.complete(&target, &digest(), Reader::Anyone);
    admitted(&request, &facts);
    facts.forget(&target);
    passes(&request, &facts, "not known complete for other");
}

#[test]
fn an_update_is_changed_where_its_images_are() {
    let facts = known(PullAccess::Open);
    let image = |image: &str| {
        with(
            deployment(),
            "/spec/template/spec/containers/0/image",
            &json!(image),
        )
    };
    let update = |new: &Value, old: &Value| request("deploy", "UPDATE", new, old);

    let change = asked(&update(&image("nginx:1"), &image("nginx:0")), &facts).unwrap();
    assert_eq!(change.warnings, [""; 0]);
    // its rollout may be under way, or have failed: that is the loop's to see
    let scaled = with(image("nginx:1"), "/spec/replicas", &json!(3));
    passes(
        &update(&scaled, &image("nginx:1")),
        &facts,
        "its images stay",
    );

    // kubectl apply of the first manifest, or a rollback
    let back = asked(
        &update(&image("nginx:1"), &image("reg.corp/nginx:1")),
        &facts,
    )
    .unwrap();
    assert_eq!(
        back.warnings,
        [
            "image-cloner: containers/web stays at reg.corp/nginx:1, the copy of nginx:1; image-cloner.io/skip: \"true\" leaves it alone"
        ]
    );
    let ours = with(
        update(&image("nginx:1"), &image("reg.corp/nginx:1")),
        "/options/fieldManager",
        &json!(FIELD_MANAGER),
    );
    passes(&ours, &facts, "written by image-cloner");
}

#[test]
fn a_workload_that_the_loop_has_left_to_others_is_left() {
    let facts = known(PullAccess::Open);
    let cloned = admitted(&create("deploy", &deployment()), &facts);
    let pointer = "/spec/template/spec/containers/0/image";
    let back = with(cloned.clone(), pointer, &json!("nginx:1"));
    let kind = Kind::from_word("deploy").unwrap();
    let before = Workload::from_object(&kind, &back).unwrap();
    let reclaimed = |count: u32| {
        let text = plan::reclaimed(&before, count);
        let counted = "/metadata/annotations/image-cloner.io~1reclaimed";
        let back = with(back.clone(), counted, &json!(text));
        request("deploy", "UPDATE", &back, &cloned)
    };
    let third = admitted(&reclaimed(2), &facts);
    let count = &third["metadata"]["annotations"]["image-cloner.io/reclaimed"];
    assert_eq!(*count, json!(plan::reclaimed(&before, 3)));
    passes(&reclaimed(3), &facts, "put its images back 3 times");
}

#[test]
fn whoever_writes_all_annotations_anew_is_left_to_his_images_in_the_end() {
    let facts = known(PullAccess::Open);
    let manifest = deployment();
    let mut stored = admitted(&create("deploy", &manifest), &facts);
    for _ in 0..3 {
        stored = admitted(&request("deploy", "UPDATE", &manifest, &stored), &facts);
    }
    let again = request("deploy", "UPDATE", &manifest, &stored);
    passes(&again, &facts, "put its images back 3 times");
    // another image is another matter
    let pointer = "/spec/template/spec/containers/0/image";
    let other = with(manifest, pointer, &json!("busybox:1"));
    admitted(&request("deploy", "UPDATE", &other, &stored), &facts);
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
fn a_dry_run_is_answered_as_the_real_thing() {
    let facts = known(PullAccess::Open);
    let real = create("deploy", &deployment());
    let dry = with(real.clone(), "/dryRun", &json!(true));
    assert_eq!(admitted(&dry, &facts), admitted(&real, &facts));
}

#[test]
fn a_request_is_read_whatever_it_leaves_out() {
    let request: Request = serde_json::from_value(json!({"uid": "1"})).unwrap();
    assert!(decide(&request, &known(PullAccess::Open)).is_err());
}
