//! Who else writes a workload: its controller, and tools that would revert a change.

/// The ownerReference with `controller: true`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Controller {
    /// `ReplicaSet`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// A tool that claims the workload.
#[derive(Debug, Clone, PartialEq, Eq)]
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
