//! Where objects of a kind are: their path at the API server, and how they are called in errors.

use crate::workload::Kind;
use kube::core::Request as Builder;

/// A collection of objects, and how it is called in errors.
#[derive(Debug, Clone)]
pub(super) struct Collection {
    url: String,
    /// `deployment.apps`.
    singular: String,
    /// `deployments.apps`.
    plural: String,
    namespace: Option<String>,
}

impl Collection {
    /// The objects of a kind of workload; in every namespace when none is given.
    pub(super) fn of(kind: &Kind, version: &str, namespace: Option<&str>) -> Self {
        let root = if kind.group.is_empty() {
            format!("/api/{version}")
        } else {
            format!("/apis/{}/{version}", kind.group)
        };
        let dot = if kind.group.is_empty() { "" } else { "." };
        Self {
            url: Self::url(&root, namespace, &kind.plural),
            singular: kind.to_string(),
            plural: format!("{}{dot}{}", kind.plural, kind.group),
            namespace: namespace.map(str::to_owned),
        }
    }

    /// The objects of a kind that is no workload; in every namespace when none is given.
    pub(super) fn of_kind(version: &str, kind: &str, namespace: Option<&str>) -> Self {
        let lower = kind.to_lowercase();
        let plural = match lower.strip_suffix('y') {
            Some(stem) => format!("{stem}ies"),
            None => format!("{lower}s"),
        };
        let (root, group) = match version.split_once('/') {
            Some((group, _)) => (format!("/apis/{version}"), format!(".{group}")),
            None => (format!("/api/{version}"), String::new()),
        };
        Self {
            url: Self::url(&root, namespace, &plural),
            singular: format!("{lower}{group}"),
            plural: format!("{plural}{group}"),
            namespace: namespace.map(str::to_owned),
        }
    }

    /// The objects of a resource of any group; in every namespace when none is given.
    pub(super) fn at(root: &str, plural: &str, namespace: Option<&str>) -> Self {
        Self::named(root, plural, plural, namespace)
    }

    /// The objects of a core resource that is no workload, such as `secrets`.
    pub(super) fn core(plural: &str, singular: &str, namespace: Option<&str>) -> Self {
        Self::named("/api/v1", plural, singular, namespace)
    }

    /// The objects of a resource of any group, with the word for one of them.
    pub(super) fn named(root: &str, plural: &str, singular: &str, namespace: Option<&str>) -> Self {
        Self {
            url: Self::url(root, namespace, plural),
            singular: singular.to_owned(),
            plural: plural.to_owned(),
            namespace: namespace.map(str::to_owned),
        }
    }

    fn url(root: &str, namespace: Option<&str>, plural: &str) -> String {
        match namespace {
            Some(namespace) => format!("{root}/namespaces/{namespace}/{plural}"),
            None => format!("{root}/{plural}"),
        }
    }

    pub(super) fn builder(&self) -> Builder {
        Builder::new(self.url.as_str())
    }

    pub(super) fn one(&self, verb: &str, name: &str) -> String {
        let singular = &self.singular;
        match &self.namespace {
            Some(namespace) => format!("{verb} {singular}/{name} in {namespace}"),
            None => format!("{verb} {singular}/{name}"),
        }
    }

    pub(super) fn all(&self, verb: &str) -> String {
        match &self.namespace {
            Some(namespace) => format!("{verb} {} in {namespace}", self.plural),
            None => format!("{verb} {}", self.plural),
        }
    }
}
