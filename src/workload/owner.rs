//! Who else writes a workload: its controller, and tools that would revert a change.

use super::{FIELD_MANAGER, Kind};
use serde_json::Value;
use std::fmt;

/// The ownerReference with `controller: true`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Controller {
    /// `ReplicaSet`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// `ReplicaSet/web-5d4f`.
impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// A tool that claims the workload.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Owner {
    /// Argo CD, by its tracking annotation or label; the application's name where it is known.
    ArgoCd(Option<String>),
    /// Flux, by its labels; the Kustomization's or HelmRelease's name.
    Flux(Option<String>),
    /// Another manager's `Apply` entry on an image field.
    ServerSideApply(String),
    /// Helm 3: the next upgrade brings the old image back; not a reason to leave it.
    Helm(Option<String>),
}

/// `Argo CD (shop)`, `Helm (db)`.
impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tool, name) = match self {
            Self::ArgoCd(name) => ("Argo CD", name.as_deref()),
            Self::Flux(name) => ("Flux", name.as_deref()),
            Self::ServerSideApply(manager) => ("server-side apply", Some(manager.as_str())),
            Self::Helm(name) => ("Helm", name.as_deref()),
        };
        f.write_str(tool)?;
        name.map_or(Ok(()), |name| write!(f, " ({name})"))
    }
}

impl Controller {
    /// Whether it is a custom one: an operator's object, or anything else that is no workload itself.
    pub fn is_operator(&self) -> bool {
        let builtin = Kind::builtin();
        self.kind != "Node" && builtin.iter().all(|kind| kind.kind != self.kind)
    }

    /// The controller of an object, if it has one.
    pub(super) fn of(object: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let owners = object.pointer("/metadata/ownerReferences")?.as_array()?;
        if let Some(owner) = owners.iter().find(|owner| owner["controller"] == true) {
            return Some(Self {
                kind: text(&owner["kind"]),
                name: text(&owner["name"]),
            });
        }
        None
    }

    /// A mirror pod's controller is its node's kubelet, which rules it by a file; servers before 1.18 do
    /// not say so in its ownerReferences.
    pub(super) fn of_mirror_pod(object: &Value) -> Option<Self> {
        annotation(object, "kubernetes.io/config.mirror")?;
        Some(Self {
            kind: "Node".to_owned(),
            name: object["spec"]["nodeName"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        })
    }
}

impl Owner {
    /// The tool whose claim matters most: one that would revert a change before one that only might.
    pub(super) fn of(kind: &Kind, object: &Value) -> Option<Self> {
        argo_cd(object)
            .or_else(|| flux(object))
            .or_else(|| image_applier(kind, object).map(Self::ServerSideApply))
            .or_else(|| helm(object))
    }
}

fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object["metadata"]["annotations"].get(key)?.as_str()
}

fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object["metadata"]["labels"].get(key)?.as_str()
}

fn managers(object: &Value) -> impl Iterator<Item = &Value> {
    object["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
}

fn argo_cd(object: &Value) -> Option<Owner> {
    // APPLICATION:GROUP/KIND:NAMESPACE/NAME
    let tracked = annotation(object, "argocd.argoproj.io/tracking-id")
        .map(|id| {
            id.split_once(':')
                .map_or(id, |(application, _)| application)
        })
        .or_else(|| label(object, "argocd.argoproj.io/instance"));
    if let Some(application) = tracked {
        return Some(Owner::ArgoCd(Some(application.to_owned())));
    }
    // Argo CD's older default label is one that Helm charts set too; its field manager tells them apart
    managers(object)
        .any(|entry| {
            entry["manager"]
                .as_str()
                .is_some_and(|manager| manager.starts_with("argocd"))
        })
        .then(|| Owner::ArgoCd(label(object, "app.kubernetes.io/instance").map(ToOwned::to_owned)))
}

fn flux(object: &Value) -> Option<Owner> {
    [
        "kustomize.toolkit.fluxcd.io/name",
        "helm.toolkit.fluxcd.io/name",
    ]
    .iter()
    .find_map(|key| label(object, key))
    .map(|name| Owner::Flux(Some(name.to_owned())))
}

fn helm(object: &Value) -> Option<Owner> {
    let release = annotation(object, "meta.helm.sh/release-name")?;
    (label(object, "app.kubernetes.io/managed-by") == Some("Helm"))
        .then(|| Owner::Helm(Some(release.to_owned())))
}

/// The manager of another's `Apply` entry that holds an image field of the pod template.
///
/// `kubectl apply` without `--server-side` has entries of operation `Update`: those hold nothing.
fn image_applier(kind: &Kind, object: &Value) -> Option<String> {
    managers(object)
        .filter(|entry| entry["operation"] == "Apply" && entry["manager"] != FIELD_MANAGER)
        .find(|entry| holds_image(kind, &entry["fieldsV1"]))
        .map(|entry| entry["manager"].as_str().unwrap_or_default().to_owned())
}

/// Whether a managedFields set has an `f:image` under the pod template, or the containers as a whole: custom
/// kinds have lists, or all of a field, that one manager holds altogether.
fn holds_image(kind: &Kind, fields: &Value) -> bool {
    let is_whole = |field: &Value| field.as_object().is_some_and(serde_json::Map::is_empty);
    let mut pod_spec = fields;
    for name in kind.pod_spec().split('/').skip(1) {
        match pod_spec.get(format!("f:{name}")) {
            Some(field) if is_whole(field) => return true,
            Some(field) => pod_spec = field,
            None => return false,
        }
    }
    // of others this says only that they were given empty
    if is_whole(&pod_spec["f:containers"]) {
        return true;
    }
    ["f:containers", "f:initContainers", "f:volumes"]
        .iter()
        .filter_map(|list| pod_spec[*list].as_object())
        .flat_map(|items| items.values())
        .any(|item| item.get("f:image").is_some())
}
