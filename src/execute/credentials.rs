//! Brings our pull secrets up to date.
//!
//! Decides that a failure in one namespace stops no other. Never decides which are written (that is
//! [`crate::plan::upkeep`]).

use crate::cluster::{Cluster, Error, PullSecret, SecretWrite};
use crate::outcome::{DryRun, Failure, SecretOutcome, SecretState};
use crate::plan::{Site, Upkeep, upkeep};
use crate::workload::PULL_SECRET;
use futures::stream::{self, StreamExt as _};

/// Namespaces worked on at a time.
const PARALLEL: usize = 8;

/// How the credentials of pull secrets are brought up to date.
pub struct SecretSync {
    /// Where.
    pub cluster: Cluster,
    /// What goes into each secret.
    pub secret: PullSecret,
    /// Whether anything is written.
    pub dry_run: DryRun,
    /// Whether secrets that nothing names are removed.
    pub prune: bool,
}

impl SecretSync {
    /// What became of the secrets of these sites, in their order; nothing of those that have nothing of
    /// ours.
    pub async fn run(&self, sites: &[Site]) -> Vec<SecretOutcome> {
        let ours = sites
            .iter()
            .filter_map(|site| Some((site.namespace.clone(), upkeep(site)?)));
        let ours: Vec<_> = ours.collect();
        stream::iter(ours)
            .map(|(namespace, upkeep)| async move {
                let done = self.one(&namespace, upkeep).await;
                SecretOutcome {
                    namespace,
                    state: done.unwrap_or_else(|error| SecretState::Failed(Failure::from(error))),
                }
            })
            .buffered(PARALLEL)
            .collect()
            .await
    }

    async fn one(&self, namespace: &str, upkeep: Upkeep) -> Result<SecretState, Error> {
        match upkeep {
            Upkeep::Leave => Ok(SecretState::Unchanged),
            Upkeep::Remove if !self.prune => Ok(SecretState::Unused),
            Upkeep::Remove => {
                if self.dry_run != DryRun::Client {
                    self.cluster
                        .delete_pull_secret(namespace, PULL_SECRET)
                        .await?;
                }
                Ok(SecretState::Pruned)
            }
            Upkeep::Write => Ok(match self.write(namespace).await? {
                SecretWrite::Created => SecretState::Created,
                SecretWrite::Updated => SecretState::Updated,
                SecretWrite::Unchanged => SecretState::Unchanged,
            }),
        }
    }

    async fn write(&self, namespace: &str) -> Result<SecretWrite, Error> {
        let (cluster, wanted) = (&self.cluster, &self.secret);
        if self.dry_run == DryRun::Client {
            let write = cluster.preview_pull_secret(namespace, PULL_SECRET, wanted);
            return write.await;
        }
        let write = cluster.ensure_pull_secret(namespace, PULL_SECRET, wanted);
        write.await
    }
}
