//! What the agent may do, each right with what it is for.
//!
//! Decides the least that its settings need: kinds that it does not work on are not in its roles, nor are
//! secrets unless they were asked for. The table in the README is checked against this.

use super::{Extra, NAME, NAMESPACE, Scope, Secrets, Settings};
use super::{object_in, webhook};
use crate::workload::PULL_SECRET;
use serde_json::{Value, json};

pub(super) const ROLE: &str = "image-cloner-role";
pub(super) const BINDING: &str = "image-cloner-role-binding";
pub(super) const SECRETS_ROLE: &str = "image-cloner-secrets-role";
pub(super) const SECRETS_BINDING: &str = "image-cloner-secrets-role-binding";

/// Where a right holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Where the agent works: in all namespaces, or in those of `--namespaces`.
    Work,
    /// For objects that are in no namespace.
    Cluster,
    /// In the agent's own namespace.
    Own,
    /// Where `--secrets` says.
    Secrets,
}

/// A right, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Where it holds.
    pub place: Place,
    /// The API group, empty for the core group.
    pub group: String,
    /// `deployments`.
    pub resources: Vec<String>,
    /// The names it is limited to; none where to none.
    pub names: Vec<&'static str>,
    /// `get`.
    pub verbs: Vec<&'static str>,
    /// What it is for.
    pub why: &'static str,
}

/// Every right that these settings need.
pub fn rules(settings: &Settings) -> Vec<Rule> {
    let workloads = settings.resources();
    let has = |group: &str, plural: &str| {
        workloads
            .get(group)
            .is_some_and(|plurals| plurals.contains(plural))
    };
    let mut rules: Vec<Rule> = workloads
        .iter()
        .map(|(group, plurals)| Rule {
            group: group.clone(),
            resources: plurals.iter().cloned().collect(),
            ..Rule::new(
                Place::Work,
                "",
                &["get", "list", "watch", "patch"],
                "see workloads, and repoint them to their copies",
            )
        })
        .collect();
    rules.extend(surroundings());
    if settings.scope() == Scope::Everything {
        let why = "see at once that a namespace opts out, or no longer does";
        rules.push(Rule::new(Place::Work, "namespaces", &["watch"], why));
    }
    if has("apps", "statefulsets") {
        let why = "end pods that a StatefulSet waits for after its images were put back";
        rules.push(Rule::new(Place::Work, "pods", &["delete"], why));
    }
    if settings.asks_nodes() {
        let why = "copy the platforms that the nodes have";
        rules.push(Rule::new(Place::Cluster, "nodes", &["list"], why));
    }
    rules.extend(own());
    if settings.secrets != Secrets::None {
        rules.extend(secrets());
    }
    if settings.has(Extra::Webhook) {
        rules.extend(webhook::rules());
    }
    rules
}

/// What is read around workloads, and what is told of them.
fn surroundings() -> [Rule; 4] {
    [
        Rule::new(
            Place::Work,
            "pods",
            &["get", "list"],
            "copy the digests that run; see whether nodes can pull the copies",
        ),
        Rule::new(
            Place::Work,
            "serviceaccounts",
            &["get"],
            "know the pull secrets that pods are given",
        ),
        Rule::new(
            Place::Work,
            "events",
            &["list", "create", "patch", "update"],
            "tell on each workload what was done; read why pods fail",
        ),
        Rule::new(
            Place::Work,
            "namespaces",
            &["get", "list"],
            "leave alone the namespaces that opt out",
        ),
    ]
}

/// What the agent keeps for itself.
fn own() -> [Rule; 2] {
    let leases = |names: &[&'static str], verbs: &[&'static str], why| Rule {
        group: "coordination.k8s.io".to_owned(),
        names: names.to_vec(),
        ..Rule::new(Place::Own, "leases", verbs, why)
    };
    [
        leases(&[], &["create"], "make the Lease by which one agent leads"),
        leases(
            &[NAME],
            &["get", "update", "patch"],
            "lead, one at a time; be paused",
        ),
    ]
}

fn secrets() -> [Rule; 3] {
    [
        Rule::new(
            Place::Secrets,
            "secrets",
            &["get", "list"],
            "read private sources with the workloads' own pull secrets",
        ),
        Rule::new(
            Place::Secrets,
            "secrets",
            &["create"],
            "make the pull secret for the target",
        ),
        Rule {
            names: vec![PULL_SECRET],
            ..Rule::new(
                Place::Secrets,
                "secrets",
                &["update", "patch", "delete"],
                "renew and remove that pull secret, and no other",
            )
        },
    ]
}

impl Rule {
    /// A right in the core group.
    pub(super) fn new(
        place: Place,
        resource: &str,
        verbs: &[&'static str],
        why: &'static str,
    ) -> Self {
        Self {
            place,
            group: String::new(),
            resources: vec![resource.to_owned()],
            names: Vec::new(),
            verbs: verbs.to_vec(),
            why,
        }
    }

    fn value(&self) -> Value {
        let mut rule = json!({
            "apiGroups": [self.group],
            "resources": self.resources,
            "verbs": self.verbs,
        });
        if !self.names.is_empty() {
            rule["resourceNames"] = json!(self.names);
        }
        rule
    }
}

/// The roles, each with its binding.
pub(super) fn objects(settings: &Settings) -> Vec<Value> {
    let rules = rules(settings);
    let at = |places: &[Place]| -> Vec<Value> {
        let rules = rules.iter().filter(|rule| places.contains(&rule.place));
        rules.map(Rule::value).collect()
    };
    let mut objects = Vec::new();
    let mut grant = |namespace: Option<&str>, name: &str, binding: &str, rules: Vec<Value>| {
        if !rules.is_empty() {
            objects.extend(granted(namespace, name, binding, &rules));
        }
    };
    let scope = settings.scope();
    match &scope {
        Scope::Everything => grant(None, ROLE, BINDING, at(&[Place::Work, Place::Cluster])),
        Scope::Namespaces(namespaces) => {
            grant(None, ROLE, BINDING, at(&[Place::Cluster]));
            for namespace in namespaces {
                grant(Some(namespace), ROLE, BINDING, at(&[Place::Work]));
            }
        }
    }
    grant(Some(NAMESPACE), ROLE, BINDING, at(&[Place::Own]));
    let secrets = at(&[Place::Secrets]);
    match (&settings.secrets, &scope) {
        (Secrets::None, _) => {}
        (Secrets::All, Scope::Everything) => grant(None, SECRETS_ROLE, SECRETS_BINDING, secrets),
        (Secrets::All, Scope::Namespaces(namespaces)) | (Secrets::Namespaces(namespaces), _) => {
            for namespace in namespaces {
                grant(
                    Some(namespace),
                    SECRETS_ROLE,
                    SECRETS_BINDING,
                    secrets.clone(),
                );
            }
        }
    }
    objects
}

/// A role for these rules and its binding to the agent: in a namespace, or in none.
fn granted(namespace: Option<&str>, name: &str, binding: &str, rules: &[Value]) -> [Value; 2] {
    const GROUP: &str = "rbac.authorization.k8s.io";
    const VERSION: &str = "rbac.authorization.k8s.io/v1";
    let (kind, binding_kind) = match namespace {
        Some(_) => ("Role", "RoleBinding"),
        None => ("ClusterRole", "ClusterRoleBinding"),
    };
    let mut role = object_in(namespace, VERSION, kind, name);
    role["rules"] = json!(rules);
    let mut bound = object_in(namespace, VERSION, binding_kind, binding);
    bound["roleRef"] = json!({"apiGroup": GROUP, "kind": kind, "name": name});
    bound["subjects"] = json!([{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}]);
    [role, bound]
}
