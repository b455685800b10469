//! Talking to the API server: list, get, patch, apply, rollout state.
//!
//! Decides how a selection becomes objects and how writes are sent (`Apply` or `ServerDryRun`). Never
//! decides what is written (that is [`crate::plan`] and [`crate::patch`]).

mod selection;

pub use selection::{Selection, SelectionError};

use crate::credentials::{Credentials, Keyring};
use crate::plan::Observed;
use crate::target::TargetRegistry;
use crate::workload::{Workload, WorkloadId};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// kubectl's connection flags.
#[derive(Debug, Clone, Default)]
pub struct ConnectFlags {
    /// `--kubeconfig`.
    pub kubeconfig: Option<std::path::PathBuf>,
    /// `--context`.
    pub context: Option<String>,
    /// `--cluster`.
    pub cluster: Option<String>,
    /// `--user`.
    pub user: Option<String>,
    /// `-n`, `--namespace`.
    pub namespace: Option<String>,
    /// `--as`.
    pub impersonate: Option<String>,
    /// `--as-group`.
    pub impersonate_groups: Vec<String>,
    /// `--server`.
    pub server: Option<String>,
    /// `--token`.
    pub token: Option<secrecy::SecretString>,
    /// `--request-timeout`; none is no limit.
    pub request_timeout: Option<Duration>,
}

/// How writes are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteMode {
    /// For real.
    Apply,
    /// `dryRun=All`: the server checks everything and stores nothing.
    ServerDryRun,
}

/// Why the API server was no help.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object is not there.
    #[error("{0}")]
    NotFound(String),
    /// RBAC says no.
    #[error("{0}")]
    Forbidden(String),
    /// The object changed under way: observe and plan again.
    #[error("{0}")]
    Conflict(String),
    /// The request itself is wrong (unknown type, context).
    #[error("{message}")]
    Invalid {
        /// What is wrong.
        message: String,
        /// What helps.
        hint: Option<String>,
    },
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// A connection to one cluster.
#[derive(Clone)]
pub struct Cluster {
    // private: kube::Client, context name, default namespace, write mode
}

/// What a selection came to.
#[derive(Debug, Default)]
pub struct Observation {
    /// The workloads, in kubectl's order: by namespace, kind, name; named ones as named.
    pub observed: Vec<Observed>,
    /// Source credentials: what the pull secrets of a workload and its ServiceAccount hold.
    pub keyrings: BTreeMap<WorkloadId, Keyring>,
    /// Things that could not be read and what follows (`cannot read secrets in prod: …`).
    pub notes: Vec<String>,
    /// Named things that are not there or cannot be read; the rest was still observed.
    pub missing: Vec<Error>,
}

/// The cluster's own registry, as KEP-1755 publishes it in `kube-public/local-registry-hosting`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalRegistry {
    /// As this machine reaches it.
    pub host: Option<String>,
    /// As the nodes reach it.
    pub host_from_container_runtime: Option<String>,
    /// As pods reach it.
    pub host_from_cluster_network: Option<String>,
}

/// What a rollout came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rollout {
    /// Every replica is updated and available: `3/3 ready`.
    Ready(String),
    /// Nothing rolls out now: the reason (`paused`, `takes effect at the next scheduled job`).
    Later(String),
    /// Not ready within the time; the pods' own reason where they give one.
    TimedOut(String),
}

impl Cluster {
    /// Connects as kubectl would with these flags; reads `KUBECONFIG`, skipping files that are missing.
    pub async fn connect(_flags: &ConnectFlags, _mode: WriteMode) -> Result<Self, Error> {
        todo!()
    }

    /// The kube context in use, for people.
    pub fn context(&self) -> &str {
        todo!()
    }

    /// The namespace that requests go to when none is named.
    pub fn namespace(&self) -> &str {
        todo!()
    }

    /// The names of all namespaces, sorted.
    pub async fn namespaces(&self) -> Result<Vec<String>, Error> {
        todo!()
    }

    /// Finds the selected workloads and what surrounds them: digests that run, pull secrets, opt-outs.
    pub async fn observe(
        &self,
        _selection: &Selection,
        _target: &TargetRegistry,
    ) -> Result<Observation, Error> {
        todo!()
    }

    /// The selected workloads alone, without their surroundings, for a restore.
    pub async fn workloads(
        &self,
        _selection: &Selection,
    ) -> Result<(Vec<Workload>, Vec<Error>), Error> {
        todo!()
    }

    /// One workload as it is now.
    pub async fn get(&self, _id: &WorkloadId) -> Result<Workload, Error> {
        todo!()
    }

    /// Sends a JSON patch; a failed `test` is [`Error::Conflict`].
    pub async fn patch(&self, _id: &WorkloadId, _body: &Value) -> Result<Workload, Error> {
        todo!()
    }

    /// Removes our managedFields entry, after a restore.
    pub async fn disown(&self, _id: &WorkloadId) -> Result<(), Error> {
        todo!()
    }

    /// Makes sure the namespace has our pull secret of this name with these credentials under
    /// `host[/prefix]`; other entries stay. No write when it is so already. A namesake without our label
    /// is an error.
    pub async fn ensure_pull_secret(
        &self,
        _namespace: &str,
        _name: &str,
        _key: &str,
        _credentials: &Credentials,
    ) -> Result<(), Error> {
        todo!()
    }

    /// Follows a rollout until it is ready, cannot be followed, or `timeout` has passed.
    pub async fn wait(&self, _id: &WorkloadId, _timeout: Duration) -> Result<Rollout, Error> {
        todo!()
    }

    /// The cluster's own registry, if it publishes one.
    pub async fn local_registry(&self) -> Result<Option<LocalRegistry>, Error> {
        todo!()
    }
}
