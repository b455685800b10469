//! Talking to the API server: list, get, patch, apply, rollout state.
//!
//! Decides how a selection becomes objects and how writes are sent (`Apply` or `ServerDryRun`). Never
//! decides what is written (that is [`crate::plan`] and [`crate::patch`]).

mod agent;
mod apply;
mod canary;
mod collection;
mod connect;
mod discovery;
mod disown;
mod error;
mod fence;
mod former;
mod kubeconfig;
mod lease;
mod local_registry;
mod nodes;
mod observe;
mod policies;
mod pull_secret;
mod pulls;
mod request;
mod rollout;
mod running;
mod selection;
mod server;
mod sites;
mod surroundings;
mod telling;
mod trouble;
mod watching;
mod webhook;

pub use agent::Log;
pub use apply::Applied;
pub use canary::{Pull, Pulled};
pub use error::Error;
pub use fence::{Fence, Moment};
pub use kubeconfig::Names;
pub use local_registry::LocalRegistry;
pub use nodes::Node;
pub use policies::Policies;
pub use pull_secret::{PullSecret, SecretWrite};
pub use pulls::{Pulling, Pulls};
pub use rollout::Standing;
pub use selection::{Selection, SelectionError};
pub use server::{Right, Server};
pub use telling::Telling;
pub use watching::Watched;

use crate::credentials::Keyring;
use crate::plan::{Observed, SlotChange};
use crate::status::InPods;
use crate::target::TargetRegistry;
use crate::workload::{Record, SlotList, Workload, WorkloadId};
use collection::Collection;
use request::Only;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;

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

/// A connection to one cluster.
#[derive(Clone)]
pub struct Cluster {
    shared: Arc<Shared>,
    namespace: String,
    fence: Fence,
}

/// What every clone of a connection shares.
struct Shared {
    client: kube::Client,
    context: String,
    server: String,
    mode: WriteMode,
    request_timeout: Option<Duration>,
    cron_job_version: OnceCell<&'static str>,
    local_registry: OnceCell<Option<LocalRegistry>>,
}

/// What a selection came to.
#[derive(Debug, Default)]
pub struct Observation {
    /// The workloads, in kubectl's order: by namespace, kind, name; named ones as named.
    pub observed: Vec<Observed>,
    /// Source credentials: what the pull secrets of a workload and its ServiceAccount hold.
    pub keyrings: BTreeMap<WorkloadId, Keyring>,
    /// The images in the pods of each workload.
    pub in_pods: BTreeMap<WorkloadId, Vec<InPods>>,
    /// Things that could not be read and what follows (`cannot read secrets in prod: …`).
    pub notes: Vec<String>,
    /// Named things that are not there or cannot be read; the rest was still observed.
    pub missing: Vec<Error>,
}

/// The write that a rollout follows from.
#[derive(Debug, Clone, Copy)]
pub struct Write<'a> {
    /// The image changes.
    pub slots: &'a [SlotChange],
    /// The object as the write left it, with the status of that moment.
    pub object: &'a Value,
}

/// What a rollout came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rollout {
    /// Every replica is updated and available: `3/3 ready`.
    Ready(String),
    /// Nothing rolls out now: the reason (`paused`, `takes effect at the next scheduled job`).
    Later(String),
    /// Not ready within the time, or it never will be.
    NotReady(NotReady),
}

/// Why a rollout came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotReady {
    /// The pods' own reason where they give one, in one line: `web-0 on node-7: x509: ...`.
    pub why: String,
    /// What helps, where that can be told.
    pub hint: Option<String>,
    /// Whether a pod cannot get an image whose pull counts: one that was set.
    pub cannot_pull: bool,
    /// Whether that is for want of credentials.
    pub is_denied: bool,
}

/// How often a write is tried that someone else's write comes before: writers of one object can collide; after
/// so many collisions in a row something else is wrong.
pub(crate) const TRIES: u32 = 5;

impl Cluster {
    /// Connects as kubectl would with these flags; reads `KUBECONFIG`, skipping files that are missing.
    ///
    /// # Errors
    /// When flags and files name no cluster, or credentials cannot be had. The API server is not asked
    /// yet.
    pub async fn connect(flags: &ConnectFlags, mode: WriteMode) -> Result<Self, Error> {
        let connection = connect::connect(flags).await?;
        Ok(Self {
            shared: Arc::new(Shared {
                client: connection.client,
                context: connection.context,
                server: connection.server,
                mode,
                request_timeout: flags.request_timeout,
                cron_job_version: OnceCell::new(),
                local_registry: OnceCell::new(),
            }),
            namespace: connection.namespace,
            fence: Fence::open(),
        })
    }

    /// The same connection, on which no request passes that this fence does not let pass.
    #[must_use]
    pub fn behind(&self, fence: &Fence) -> Self {
        Self {
            fence: fence.clone(),
            ..self.clone()
        }
    }

    /// The kube context in use, for people.
    pub fn context(&self) -> &str {
        &self.shared.context
    }

    /// The namespace that requests go to when none is named.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The names of all namespaces, sorted.
    pub async fn namespaces(&self) -> Result<Vec<String>, Error> {
        let namespaces = Collection::core("namespaces", "namespace", None);
        let name = |namespace: Value| Some(namespace["metadata"]["name"].as_str()?.to_owned());
        let mut names = self.list(&namespaces, Only::default(), name).await?;
        names.sort();
        Ok(names)
    }

    /// Finds the selected workloads and what surrounds them: digests that run, pull secrets, opt-outs.
    ///
    /// # Errors
    /// When the API server cannot be asked at all; what is missing or forbidden is in the observation.
    pub async fn observe(
        &self,
        selection: &Selection,
        target: &TargetRegistry,
    ) -> Result<Observation, Error> {
        let found = observe::find(self, selection).await?;
        surroundings::observe(self, found, target).await
    }

    /// Observes the surroundings of one workload again, which was read again and now refers to others:
    /// what [`Self::observe`] gives of it, with its keyring.
    ///
    /// # Errors
    /// As [`Self::observe`].
    pub async fn surround(
        &self,
        workload: Workload,
        named: bool,
        target: &TargetRegistry,
    ) -> Result<(Observed, Keyring), Error> {
        let opted_out = self.opted_out(&workload.id.namespace).await?;
        let found = observe::FoundWorkload { workload, named };
        surroundings::of_one(self, found, opted_out, target).await
    }

    /// Whether a namespace opts out now, as far as it can be read.
    ///
    /// # Errors
    /// When the API server cannot be asked at all.
    pub async fn opted_out(&self, namespace: &str) -> Result<bool, Error> {
        observe::namespace_opted_out(self, namespace).await
    }

    /// Observes the surroundings of workloads whose objects are at hand: what [`Self::observe`] gives of
    /// workloads that nobody named. Each thing around them is read once.
    ///
    /// # Errors
    /// As [`Self::observe`].
    pub async fn surround_all(
        &self,
        workloads: Vec<Workload>,
        target: &TargetRegistry,
    ) -> Result<Observation, Error> {
        let found = observe::found(self, workloads).await?;
        surroundings::observe(self, found, target).await
    }

    /// How the pulls of this workload's pods stand; `pulls` is which count, and what earlier looks at them showed.
    pub async fn pulling(&self, workload: &Workload, pulls: &mut Pulls) -> Pulling {
        trouble::of_pulls(self, workload, pulls).await
    }

    /// Whether a pod of a workload that became ready after this write was seen to have an image that it set.
    /// Not every rollout shows that: there may be no pod, or none that was made anew.
    pub async fn has_pulled(&self, id: &WorkloadId, write: Write<'_>) -> bool {
        let slots = write.slots.iter();
        if !id.kind.is_pod() {
            let pulls = Pulls::of(slots.map(|change| &change.to));
            return match workload_of(id, write.object) {
                Ok(workload) => trouble::any_has_pulled(self, &workload, &pulls).await,
                Err(_) => false,
            };
        }
        // a pod that is made does not run its init containers again
        let slots = slots.filter(|change| change.slot.list == SlotList::Containers);
        let pulls = Pulls::of(slots.map(|change| &change.to));
        let pod = self.get(id).await;
        pod.is_ok_and(|pod| trouble::has_pulled(&pod, &pulls))
    }

    /// The records that were lost with a rollback (`kubectl rollout undo` of a Deployment replaces its
    /// annotations with those of an earlier ReplicaSet), as later ReplicaSets still have them; and what could
    /// not be read.
    ///
    /// # Errors
    /// As [`Self::observe`].
    pub async fn former_records(
        &self,
        selection: &Selection,
        observed: &[Observed],
    ) -> Result<(BTreeMap<WorkloadId, Record>, Vec<String>), Error> {
        former::records(self, selection.all_namespaces(), observed).await
    }

    /// The selected workloads alone, without their surroundings, for a restore.
    ///
    /// # Errors
    /// As [`Self::observe`].
    pub async fn workloads(
        &self,
        selection: &Selection,
    ) -> Result<(Vec<Workload>, Vec<Error>), Error> {
        let found = observe::find(self, selection).await?;
        let workloads = found.workloads.into_iter().map(|found| found.workload);
        Ok((workloads.collect(), found.missing))
    }

    /// What the pull secrets of these workloads and of their ServiceAccounts hold, as far as they can be read.
    ///
    /// # Errors
    /// When the API server cannot be asked at all.
    pub async fn keyrings(
        &self,
        workloads: Vec<Workload>,
    ) -> Result<BTreeMap<WorkloadId, Keyring>, Error> {
        surroundings::keyrings(self, workloads).await
    }

    /// One workload's object as it is now.
    pub async fn get(&self, id: &WorkloadId) -> Result<Value, Error> {
        let collection = self.collection(&id.kind, Some(&id.namespace)).await?;
        self.get_one(&collection, &id.name).await
    }

    /// Sends a JSON patch and gives the object after it; a failed `test` is [`Error::Conflict`].
    pub async fn patch(&self, id: &WorkloadId, body: &Value) -> Result<Value, Error> {
        let collection = self.collection(&id.kind, Some(&id.namespace)).await?;
        self.patch_one(&collection, &id.name, body).await
    }
}

#[cfg(test)]
impl Cluster {
    /// One whose server answers a method and a path and query like this.
    pub(crate) fn answering(
        answer: impl Fn(&str, &str) -> (u16, Value) + Send + Sync + 'static,
    ) -> Self {
        let answer = Arc::new(answer);
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let answer = Arc::clone(&answer);
            async move {
                let (code, body) = answer(request.method().as_str(), &request.uri().to_string());
                let body = kube::client::Body::from(body.to_string().into_bytes());
                http::Response::builder().status(code).body(body)
            }
        });
        Self {
            shared: Arc::new(Shared {
                client: kube::Client::new(service, "default"),
                context: "test".to_owned(),
                server: "https://test".to_owned(),
                mode: WriteMode::Apply,
                request_timeout: None,
                cron_job_version: OnceCell::new(),
                local_registry: OnceCell::new(),
            }),
            namespace: "default".to_owned(),
            fence: Fence::open(),
        }
    }
}

fn workload_of(id: &WorkloadId, object: &Value) -> Result<Workload, Error> {
    Workload::from_object(&id.kind, object)
        .map_err(|reason| Error::Failed(format!("reading {id} in {}: {reason}", id.namespace)))
}
