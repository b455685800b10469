//! The admission webhook's objects, and the rights that it needs.
//!
//! Decides what the API server asks the agent about, and what happens when that does not answer: nothing. Never
//! makes a certificate: the agent does, itself, and has the API server trust it.

use super::rbac::{Place, Rule};
use super::{NAMESPACE, Scope, Settings, object, object_in, selector};
use crate::plan::SYSTEM_NAMESPACES;
use crate::workload::SKIP;
use serde_json::{Value, json};

/// The name of the webhook's Service, of its configuration, and of the Secret with its certificate.
pub const WEBHOOK: &str = "image-cloner-webhook";
/// Where it is asked.
pub const WEBHOOK_PATH: &str = "/mutate";
/// The label of the pod that is asked, and its value: only the one that leads knows of any copy.
pub const LEADER: (&str, &str) = ("image-cloner.io/leader", "true");

/// The API server calls it by this name in its own logs and figures.
const NAME: &str = "webhook.image-cloner.io";
/// What API servers since 1.21 label every namespace with.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// What is made only with `--webhook`.
pub(super) fn objects(settings: &Settings) -> Vec<Value> {
    vec![service(), configuration(settings)]
}

/// What the agent needs for it.
pub(super) fn rules() -> Vec<Rule> {
    vec![
        Rule::new(
            Place::Own,
            "secrets",
            &["create"],
            "make the secret with the webhook's certificate",
        ),
        Rule {
            names: vec![WEBHOOK],
            ..Rule::new(
                Place::Own,
                "secrets",
                &["get", "update"],
                "read and renew the webhook's certificate",
            )
        },
        Rule::new(
            Place::Own,
            "pods",
            &["list", "patch"],
            "label the agent that leads, which is the one that the API server asks",
        ),
        Rule {
            group: "admissionregistration.k8s.io".to_owned(),
            names: vec![WEBHOOK],
            ..Rule::new(
                Place::Cluster,
                "mutatingwebhookconfigurations",
                &["get", "patch"],
                "have the API server trust the webhook's certificate",
            )
        },
    ]
}

fn service() -> Value {
    let mut service = object("v1", "Service", WEBHOOK);
    let mut leading = selector();
    leading[LEADER.0] = json!(LEADER.1);
    service["spec"] = json!({
        "selector": leading,
        "ports": [{"name": "webhook", "port": 443, "targetPort": "webhook", "protocol": "TCP"}],
    });
    service
}

fn configuration(settings: &Settings) -> Value {
    let version = "admissionregistration.k8s.io/v1";
    let mut configuration = object_in(None, version, "MutatingWebhookConfiguration", WEBHOOK);
    let opted_out = json!({"key": SKIP, "operator": "NotIn", "values": ["true"]});
    // without `caBundle`, which is the agent's to write: whoever applies this leaves it as it is
    configuration["webhooks"] = json!([{
        "name": NAME,
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"service": {
            "namespace": NAMESPACE, "name": WEBHOOK, "path": WEBHOOK_PATH, "port": 443,
        }},
        "rules": asked_about(settings),
        "namespaceSelector": {"matchExpressions": namespaces(settings, &opted_out)},
        "objectSelector": {"matchExpressions": [opted_out]},
        "failurePolicy": "Ignore",
        "matchPolicy": "Equivalent",
        "reinvocationPolicy": "IfNeeded",
        "sideEffects": "None",
        "timeoutSeconds": 1,
    }]);
    configuration
}

/// Before 1.21 no namespace has a label with its name: there the agent itself leaves the system's alone, and
/// namespaces that are named must be labelled to be asked about.
fn namespaces(settings: &Settings, opted_out: &Value) -> Vec<Value> {
    let mut all = vec![
        json!({"key": NAMESPACE_NAME, "operator": "NotIn", "values": SYSTEM_NAMESPACES}),
        opted_out.clone(),
    ];
    if let Scope::Namespaces(named) = settings.scope() {
        all.push(json!({"key": NAMESPACE_NAME, "operator": "In", "values": named}));
    }
    all
}

/// The kinds that the agent works on; Pods and Jobs besides, whose one chance this is.
fn asked_about(settings: &Settings) -> Vec<Value> {
    let mut resources = settings.resources();
    resources
        .entry(String::new())
        .or_default()
        .insert("pods".to_owned());
    resources
        .entry("batch".to_owned())
        .or_default()
        .insert("jobs".to_owned());
    let rule = |(group, plurals)| {
        let versions: &[&str] = match group {
            "" | "apps" => &["v1"],
            // CronJobs are in v1 since 1.21, and only a version that a server has is matched with others
            "batch" => &["v1", "v1beta1"],
            _ => &["*"],
        };
        json!({
            "apiGroups": [group],
            "apiVersions": versions,
            "resources": plurals,
            "operations": ["CREATE", "UPDATE"],
            "scope": "Namespaced",
        })
    };
    let groups = resources.iter();
    groups
        .map(|(group, plurals)| rule((group.as_str(), plurals)))
        .collect()
}
