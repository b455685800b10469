//! Brings our pull secrets up to date.
//!
//! Decides that a failure in one namespace stops no other. Never decides which are written (that is
//! [`crate::plan::upkeep`]).

use crate::cluster::{Cluster, Error, PullSecret, SecretWrite};
use crate::outcome::{DryRun, Failure, SecretOutcome, SecretState};
use crate::plan::{Patterns, Site, Upkeep, upkeep};
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
    /// Namespaces that are skipped, and with them those that opted out; none where all were named.
    pub skip: Option<Patterns>,
}

impl SecretSync {
    /// What became of the secrets of these sites, in their order; nothing of those that have nothing of
    /// ours.
    pub async fn run(&self, sites: &[Site]) -> Vec<SecretOutcome> {
        let ours = sites.iter().filter_map(|site| Some((site, upkeep(site)?)));
        let ours: Vec<_> = ours.collect();
        stream::iter(ours)
            .map(|(site, upkeep)| async move {
                let done = self.one(site, upkeep).await;
                SecretOutcome {
                    namespace: site.namespace.clone(),
                    state: done.unwrap_or_else(|error| SecretState::Failed(Failure::from(error))),
                }
            })
            .buffered(PARALLEL)
            .collect()
            .await
    }

    async fn one(&self, site: &Site, upkeep: Upkeep) -> Result<SecretState, Error> {
        let namespace = &site.namespace;
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
            Upkeep::Write => match self.skip.as_ref().and_then(|skip| site.left(skip)) {
                Some(reason) => Ok(SecretState::Left(reason)),
                None => Ok(match self.write(namespace).await? {
                    SecretWrite::Created => SecretState::Created,
                    SecretWrite::Updated => SecretState::Updated,
                    SecretWrite::Unchanged => SecretState::Unchanged,
                }),
            },
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
