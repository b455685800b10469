//! The agent's objects, as values.
//!
//! Decides their names and contents from [`Settings`], and which rights the agent has and why. Pure: never
//! asks a cluster or a registry.

mod deployment;
mod extras;
mod live;
mod rbac;
mod settings;
#[cfg(test)]
mod tests;
mod webhook;

pub use live::{
    KINDS, Live, differences, holds_credentials, name_of, noting_replicas, stale, unwanted_settings,
};
pub use rbac::{Place, Rule, rules};
pub use settings::{Extra, Scope, Secrets, Settings};
pub use webhook::{LEADER, WEBHOOK, WEBHOOK_PATH};

use crate::workload::{MANAGED_BY, PULL_SECRET};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The agent's namespace.
pub const NAMESPACE: &str = "image-cloner-system";
/// The name of its Deployment, ServiceAccount and Lease, and the value of its selector, `app`.
pub const NAME: &str = "image-cloner";
/// Its ConfigMap: settings under the names of their variables.
pub const CONFIG: &str = "image-cloner-config";
/// Its Secret: credentials under the names of their variables.
pub const LOGIN: &str = "image-cloner-cr-login";
/// Its repository, below the target registry.
pub const REPOSITORY: &str = "image-cloner.internal/agent";

/// The agent's objects, in the order in which they are to be made: what others refer to first.
pub fn objects(settings: &Settings) -> Vec<Value> {
    let mut objects = vec![namespace(), service_account()];
    objects.extend(rbac::objects(settings));
    objects.push(config_map(&settings.config));
    objects.extend(login(settings));
    objects.extend(pull_secret(settings));
    objects.extend(extras::objects(settings));
    if settings.has(Extra::Webhook) {
        objects.extend(webhook::objects(settings));
    }
    objects.push(deployment::object_of(settings));
    objects
}

/// The namespace alone, where it is to be labelled before all else.
fn namespace() -> Value {
    let mut labels = labels();
    // what a pod without privileges needs, where the cluster enforces anything
    for mode in ["enforce", "warn", "audit"] {
        labels[format!("pod-security.kubernetes.io/{mode}")] = json!("restricted");
    }
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": labels},
    })
}

fn service_account() -> Value {
    let mut account = object("v1", "ServiceAccount", NAME);
    // the Deployment's pods ask for their token themselves, nobody else's get it
    account["automountServiceAccountToken"] = json!(false);
    account
}

fn config_map(config: &BTreeMap<String, String>) -> Value {
    let mut config_map = object("v1", "ConfigMap", CONFIG);
    config_map["data"] = json!(config);
    config_map
}

/// The Secret with the credentials; none where the target asks for none.
fn login(settings: &Settings) -> Option<Value> {
    (!settings.login.is_empty()).then(|| {
        let mut secret = object("v1", "Secret", LOGIN);
        secret["type"] = json!("Opaque");
        secret["data"] = encoded(&settings.login);
        secret
    })
}

/// What the agent's own image is pulled with.
fn pull_secret(settings: &Settings) -> Option<Value> {
    let config = settings.pull_secret.as_ref()?;
    let mut secret = object("v1", "Secret", PULL_SECRET);
    secret["type"] = json!("kubernetes.io/dockerconfigjson");
    secret["data"] = encoded([(".dockerconfigjson", config)]);
    Some(secret)
}

/// An object of ours in the agent's namespace, without its contents.
fn object(version: &str, kind: &str, name: &str) -> Value {
    object_in(Some(NAMESPACE), version, kind, name)
}

fn object_in(namespace: Option<&str>, version: &str, kind: &str, name: &str) -> Value {
    let mut metadata = json!({"name": name, "labels": labels()});
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    json!({"apiVersion": version, "kind": kind, "metadata": metadata})
}

fn labels() -> Value {
    let (managed_by, ours) = MANAGED_BY;
    json!({"app": NAME, "app.kubernetes.io/name": NAME, managed_by: ours})
}

fn selector() -> Value {
    json!({"app": NAME})
}

/// A Secret's `data`.
fn encoded<'a, K: AsRef<str>>(
    data: impl IntoIterator<Item = (K, &'a secrecy::SecretString)>,
) -> Value {
    use base64::Engine as _;
    use secrecy::ExposeSecret as _;
    let encode = |text: &secrecy::SecretString| {
        base64::engine::general_purpose::STANDARD.encode(text.expose_secret())
    };
    let entries = data.into_iter();
    let entries = entries.map(|(key, text)| (key.as_ref().to_owned(), json!(encode(text))));
    Value::Object(entries.collect::<Map<_, _>>())
}
