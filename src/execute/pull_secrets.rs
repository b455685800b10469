//! Our pull secret in the namespaces of a run.
//!
//! Decides that each is looked at once, however many workloads of its namespace need it, and which of those
//! that were made go away again.

use super::{Event, Run};
use crate::cluster::{Error, PullSecret, SecretWrite};
use crate::outcome::{Failure, WorkloadOutcome, WorkloadState};
use crate::plan::Repoint;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OnceCell;

/// Namespace and name.
type Key = (String, String);

/// What it took to have a secret say what it should; one that cannot is not tried for the next workload.
type Ensured = Arc<OnceCell<Result<SecretWrite, Failure>>>;

/// The pull secrets that one run needs.
pub(super) struct PullSecrets<'a> {
    run: &'a Run,
    secret: Option<&'a PullSecret>,
    ensured: Mutex<BTreeMap<Key, Ensured>>,
}

impl<'a> PullSecrets<'a> {
    pub(super) fn new(run: &'a Run, secret: Option<&'a PullSecret>) -> Self {
        Self {
            run,
            secret,
            ensured: Mutex::default(),
        }
    }

    /// Makes sure that the pull secret which a workload is about to name is there, where it is ours.
    pub(super) async fn ensure(&self, namespace: &str, repoint: &Repoint) -> Result<(), Failure> {
        let (Some(name), Some(secret)) = (&repoint.needs_pull_secret, self.secret) else {
            return Ok(());
        };
        let cell = {
            let mut ensured = self.lock();
            Arc::clone(
                ensured
                    .entry((namespace.to_owned(), name.clone()))
                    .or_default(),
            )
        };
        let ensured = cell.get_or_init(|| async {
            let cluster = &self.run.cluster;
            let ensured = cluster.ensure_pull_secret(namespace, name, secret);
            ensured.await.map_err(|error: Error| error.into())
        });
        ensured.await.clone().map(|_| ())
    }

    /// Takes away those that were made and that nothing uses.
    pub(super) async fn tidy(&self, workloads: &[WorkloadOutcome]) {
        for (namespace, name) in self.made() {
            // also one whose rollout came to nothing, and one that may have been changed, needs it
            let is_used = workloads.iter().any(|one| {
                one.workload.namespace == namespace
                    && (one.object.is_some()
                        || matches!(one.state, WorkloadState::Repointed { .. }))
            });
            if is_used {
                continue;
            }
            let cluster = &self.run.cluster;
            if let Err(error) = cluster.delete_pull_secret(&namespace, &name).await {
                let note = format!("secret/{name} in {namespace} is left: {error}");
                self.run.observer.notice(&Event::Said(&note));
            }
        }
    }

    /// Those that were not there before.
    fn made(&self) -> Vec<Key> {
        let ensured = self.lock();
        let made = ensured
            .iter()
            .filter(|(_, ensured)| matches!(ensured.get(), Some(Ok(SecretWrite::Created))));
        made.map(|(key, _)| key.clone()).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Key, Ensured>> {
        self.ensured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
