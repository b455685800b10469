//! What becomes of objects on their way in.

mod creations;
mod passing;
mod updates;

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
        known.complete(&target, &digest(), [Reader::Namespace("shop".to_owned())]);
    }
    known
}

fn secret() -> PullAccess {
    PullAccess::Secret(OURS.to_owned())
}

fn target() -> TargetRegistry {
    terms(PullAccess::Open).policy.target
}

/// A Deployment, of which nothing runs.
fn observed(object: &Value, opted_out: bool) -> Observed {
    let kind = Kind::from_word("deploy").unwrap();
    Observed {
        workload: Workload::from_object(&kind, object).unwrap(),
        running: BTreeMap::new(),
        account_pull_secrets: None,
        pull_credentials: PullCredentials::None,
        named: false,
        namespace_opted_out: opted_out,
    }
}

/// A namespace was seen, and nothing more.
fn here(known: &Known, namespace: &str, opted_out: bool) {
    let object = with(deployment(), "/metadata/namespace", &json!(namespace));
    known.observed(&target(), &observed(&object, opted_out));
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
