//! What is installed already.
//!
//! Decides what of it is kept, how it differs from what is wanted, and what of it is no longer. Credentials
//! are compared and never shown.

use super::extras::METRICS;
use super::rbac::{BINDING, ROLE, SECRETS_BINDING, SECRETS_ROLE};
use super::{CONFIG, Extra, LOGIN, NAME, NAMESPACE, Scope, Secrets, WEBHOOK, config_map};
use crate::target::{Layout, TargetRegistry};
use crate::workload::PULL_SECRET;
use base64::Engine as _;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A kind of which an install makes objects: its version and name, whether only those in the agent's namespace are
/// meant, and the names that they have. Others may carry our label as well, by mistake or to have us delete them.
type Kind = (&'static str, &'static str, bool, &'static [&'static str]);

/// Those kinds, in the order in which their objects are removed.
pub const KINDS: [Kind; 14] = [
    (
        "admissionregistration.k8s.io/v1",
        "MutatingWebhookConfiguration",
        false,
        &[WEBHOOK],
    ),
    ("apps/v1", "Deployment", true, &[NAME]),
    ("policy/v1", "PodDisruptionBudget", true, &[NAME]),
    ("networking.k8s.io/v1", "NetworkPolicy", true, &[NAME]),
    ("monitoring.coreos.com/v1", "ServiceMonitor", true, &[NAME]),
    ("v1", "Service", true, &[WEBHOOK, METRICS]),
    ("v1", "Secret", true, &[LOGIN, PULL_SECRET, WEBHOOK]),
    ("v1", "ConfigMap", true, &[CONFIG]),
    (
        "rbac.authorization.k8s.io/v1",
        "ClusterRoleBinding",
        false,
        &[BINDING, SECRETS_BINDING],
    ),
    (
        "rbac.authorization.k8s.io/v1",
        "ClusterRole",
        false,
        &[ROLE, SECRETS_ROLE],
    ),
    (
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        false,
        &[BINDING, SECRETS_BINDING],
    ),
    (
        "rbac.authorization.k8s.io/v1",
        "Role",
        false,
        &[ROLE, SECRETS_ROLE],
    ),
    ("v1", "ServiceAccount", true, &[NAME]),
    ("v1", "Namespace", false, &[NAMESPACE]),
];

/// The variables that are about one registry. Whoever agreed to share the credentials of one did not agree
/// for another.
const OF_REGISTRY: [&str; 4] = [
    "IMAGE_CLONER_REGISTRY",
    "IMAGE_CLONER_REGISTRY_ENDPOINT",
    "IMAGE_CLONER_LAYOUT",
    "IMAGE_CLONER_SHARE_CREDENTIALS",
];

/// How many of the agent there were, on the ConfigMap of one that is stopped: no Deployment says it then.
const REPLICAS: &str = "image-cloner.io/replicas";

/// An install as it is. `Debug` shows no credentials.
#[derive(Debug)]
pub struct Live {
    /// Its image; none where its Deployment is gone.
    pub image: Option<String>,
    /// The architectures that it is limited to; none where to none.
    pub architectures: BTreeSet<String>,
    /// How many of it there are to be.
    pub replicas: u32,
    /// Its ConfigMap.
    pub config: BTreeMap<String, String>,
    /// Its Secret.
    pub login: BTreeMap<String, SecretString>,
    /// Where it may read and write secrets.
    pub secrets: Secrets,
    /// What was made besides.
    pub extras: BTreeSet<Extra>,
}

impl Live {
    /// The install that these objects are, or what is left of it; none where there is no ConfigMap.
    pub fn read(live: &[Value]) -> Option<Self> {
        let find = |kind: &str, name: &str| {
            live.iter().find(|object| {
                object["kind"] == kind
                    && object["metadata"]["name"] == name
                    && object["metadata"]["namespace"] == NAMESPACE
            })
        };
        let config_map = find("ConfigMap", CONFIG)?;
        let config = strings(&config_map["data"]);
        let deployment = find("Deployment", NAME).unwrap_or(&Value::Null);
        let container = deployment.pointer("/spec/template/spec/containers/0");
        let container = container.unwrap_or(&Value::Null);
        let noted = config_map["metadata"]["annotations"][REPLICAS].as_str();
        let replicas = deployment["spec"]["replicas"].as_u64();
        let replicas = replicas.or_else(|| noted?.parse().ok());
        let budget = find("PodDisruptionBudget", NAME).map(|_| Extra::Budget);
        let policy = find("NetworkPolicy", NAME).map(|_| Extra::NetworkPolicy);
        let monitor = find("ServiceMonitor", NAME).map(|_| Extra::ServiceMonitor);
        let args = container["args"].as_array();
        let webhook = args.is_some_and(|args| {
            let mut args = args.iter().filter_map(Value::as_str);
            args.any(|arg| arg.starts_with("--webhook-bind-address"))
        });
        // who stopped it to change its registry, and got no further, left no Deployment
        let webhook = webhook
            || deployment.is_null()
                && live
                    .iter()
                    .any(|object| object["kind"] == "MutatingWebhookConfiguration");
        let webhook = webhook.then_some(Extra::Webhook);
        let least = if budget.is_some() { 2 } else { 1 };
        Some(Self {
            image: container["image"].as_str().map(str::to_owned),
            replicas: replicas
                .and_then(|count| u32::try_from(count).ok())
                .unwrap_or(least),
            architectures: architectures(deployment),
            secrets: secrets(live, &Scope::of(&config)),
            login: find("Secret", LOGIN).map(decoded).unwrap_or_default(),
            extras: [budget, policy, monitor, webhook]
                .into_iter()
                .flatten()
                .collect(),
            config,
        })
    }

    /// Its target registry, as far as its ConfigMap names one.
    pub fn registry(&self) -> Option<TargetRegistry> {
        let name = self.config.get("IMAGE_CLONER_REGISTRY")?;
        TargetRegistry::parse(name, Layout::default()).ok()
    }

    /// Keeps nothing that belongs to its target registry, since it gets another one: credentials above all.
    /// What its `config.yaml` says stays: each entry there is of the host that it names, and images of the
    /// registry that was may still be read from there.
    pub fn leave_registry(&mut self) {
        self.login.clear();
        for name in OF_REGISTRY {
            self.config.remove(name);
        }
    }
}

/// The ConfigMap with a note of how many of the agent there are, for whoever goes on after it was stopped;
/// the next apply takes the note away. None where nothing is installed.
pub fn noting_replicas(live: &[Value]) -> Option<Value> {
    let live = Live::read(live)?;
    let mut noted = config_map(&live.config);
    noted["metadata"]["annotations"] = json!({REPLICAS: live.replicas.to_string()});
    Some(noted)
}

/// The architectures that its pods are limited to.
fn architectures(deployment: &Value) -> BTreeSet<String> {
    let path = "/spec/template/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/\
                nodeSelectorTerms/0/matchExpressions/0/values";
    let values = deployment.pointer(path).and_then(Value::as_array);
    let values = values.into_iter().flatten().filter_map(Value::as_str);
    values.map(str::to_owned).collect()
}

/// Where the agent may read and write secrets, by its roles.
fn secrets(live: &[Value], scope: &Scope) -> Secrets {
    let roles = live
        .iter()
        .filter(|object| object["metadata"]["name"] == SECRETS_ROLE);
    let mut namespaces = BTreeSet::new();
    for role in roles {
        match role["metadata"]["namespace"].as_str() {
            Some(namespace) => namespaces.insert(namespace.to_owned()),
            None => return Secrets::All,
        };
    }
    match scope {
        _ if namespaces.is_empty() => Secrets::None,
        Scope::Namespaces(scope) if *scope == namespaces => Secrets::All,
        _ => Secrets::Namespaces(namespaces),
    }
}

/// The ConfigMap as it is, and the settings in it that are no longer wanted.
pub fn unwanted_settings<'a>(
    live: &'a [Value],
    wanted: &[Value],
) -> Option<(&'a Value, Vec<&'a str>)> {
    let is_config =
        |object: &&Value| object["kind"] == "ConfigMap" && object["metadata"]["name"] == CONFIG;
    let live = live.iter().find(is_config)?;
    let wanted = wanted.iter().find(is_config)?;
    let keys = live["data"].as_object()?.keys().map(String::as_str);
    Some((
        live,
        keys.filter(|key| wanted["data"].get(key).is_none())
            .collect(),
    ))
}

/// What becomes another with these objects, a line each.
pub fn differences(live: &[Value], wanted: &[Value]) -> Vec<String> {
    let mut lines = Vec::new();
    for object in wanted {
        let name = name_of(object);
        let Some(live) = live.iter().find(|live| is_same(live, object)) else {
            lines.push(format!("{name}: new"));
            continue;
        };
        match object["kind"].as_str() {
            Some("ConfigMap") => {
                let (old, new) = (strings(&live["data"]), strings(&object["data"]));
                lines.extend(entries(&name, &old, &new, |text| {
                    // a file is more than a line can show
                    (!text.contains('\n')).then(|| text.clone())
                }));
            }
            Some("Secret") => {
                let (old, new) = (strings(&live["data"]), strings(&object["data"]));
                lines.extend(entries(&name, &old, &new, |_| None));
            }
            Some("Deployment") => lines.extend(deployment(&name, live, object)),
            Some("Role" | "ClusterRole") if live["rules"] != object["rules"] => {
                lines.push(format!("{name}: other rights"));
            }
            _ => {}
        }
    }
    let gone = stale(live, wanted);
    lines.extend(
        gone.iter()
            .map(|object| format!("{}: removed", name_of(object))),
    );
    lines
}

fn deployment(name: &str, live: &Value, wanted: &Value) -> Vec<String> {
    let fields = [
        ("image", "/spec/template/spec/containers/0/image"),
        ("replicas", "/spec/replicas"),
    ];
    let shown = |value: Option<&Value>| match value {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => "none".to_owned(),
    };
    let field = |(field, path): (&str, &str)| {
        let (old, new) = (live.pointer(path), wanted.pointer(path));
        (old != new).then(|| format!("{name}: {field} {} -> {}", shown(old), shown(new)))
    };
    fields.into_iter().filter_map(field).collect()
}

/// How entries differ; those that are not to be shown are only named.
fn entries(
    name: &str,
    old: &BTreeMap<String, String>,
    new: &BTreeMap<String, String>,
    shown: impl Fn(&String) -> Option<String>,
) -> Vec<String> {
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let keys = keys
        .into_iter()
        .filter(|key| old.get(*key) != new.get(*key));
    keys.map(|key| {
        let becomes = match (old.get(key), new.get(key)) {
            (old, None) => match old.and_then(&shown) {
                Some(old) => format!("{old} -> none"),
                None => "removed".to_owned(),
            },
            (None, Some(new)) => match shown(new) {
                Some(new) => format!("none -> {new}"),
                None => "new".to_owned(),
            },
            (Some(old), Some(new)) => match (shown(old), shown(new)) {
                (Some(old), Some(new)) => format!("{old} -> {new}"),
                _ => "changed".to_owned(),
            },
        };
        format!("{name}: {key} {becomes}")
    })
    .collect()
}

/// What is there of ours and is no longer wanted. Of Secrets only those with credentials that an install put
/// there: some are the agent's own, and some are given to one that is yet to come.
pub fn stale(live: &[Value], wanted: &[Value]) -> Vec<Value> {
    let left = ["Namespace", "ConfigMap", "ServiceAccount", "Deployment"];
    let is_installed = Live::read(live).is_some();
    let is_left = |object: &Value| match object["kind"].as_str() {
        Some("Secret") => !is_installed || !holds_credentials(object),
        Some(kind) => left.contains(&kind),
        None => true,
    };
    live.iter()
        .filter(|live| !is_left(live))
        .filter(|live| !wanted.iter().any(|object| is_same(live, object)))
        .cloned()
        .collect()
}

/// Whether it is one of the two Secrets with credentials for the target registry.
pub fn holds_credentials(object: &Value) -> bool {
    let metadata = &object["metadata"];
    object["kind"] == "Secret"
        && metadata["namespace"] == NAMESPACE
        && [LOGIN, PULL_SECRET]
            .iter()
            .any(|name| metadata["name"] == *name)
}

fn is_same(one: &Value, other: &Value) -> bool {
    let name = |object: &Value| {
        let metadata = &object["metadata"];
        [&object["kind"], &metadata["namespace"], &metadata["name"]].map(Value::clone)
    };
    name(one) == name(other)
}

/// An object as kubectl names it: `deployment.apps/image-cloner`, with its namespace where that is not the
/// agent's own.
pub fn name_of(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let kind = text(&object["kind"]).to_lowercase();
    let version = text(&object["apiVersion"]);
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let dot = if group.is_empty() { "" } else { "." };
    let name = text(&object["metadata"]["name"]);
    let place = match object["metadata"]["namespace"].as_str() {
        None | Some(NAMESPACE) => String::new(),
        Some(namespace) => format!(" in {namespace}"),
    };
    format!("{kind}{dot}{group}/{name}{place}")
}

fn strings(data: &Value) -> BTreeMap<String, String> {
    let entries = data.as_object().into_iter().flatten();
    entries
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// A Secret's contents, as far as they are text.
fn decoded(secret: &Value) -> BTreeMap<String, SecretString> {
    let decode = |(key, text): (String, String)| {
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(text)
            .ok()?;
        Some((key, String::from_utf8(bytes).ok()?.into()))
    };
    strings(&secret["data"])
        .into_iter()
        .filter_map(decode)
        .collect()
}
