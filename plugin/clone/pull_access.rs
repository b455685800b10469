//! How the nodes will get at the copies of a clone, and what is put into pull secrets for it.

use super::{Job, is_repointed};
use crate::dry_run::DryRun;
use crate::interactive;
use crate::settings::log_in;
use crate::stop::Stopped;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use image_cloner::cluster::PullSecret;
use image_cloner::credentials::{Credentials, Keyring};
use image_cloner::plan::{Decision, Observed, Plan, Policy, PullAccess, PullCredentials};
use image_cloner::reference::Reference;
use image_cloner::workload::{PULL_SECRET, WorkloadId};
use std::collections::{BTreeMap, BTreeSet};

/// Repositories asked at once.
const AT_ONCE: usize = 16;

impl Job<'_> {
    /// Settles how the nodes will get at the copies, and what is put into pull secrets for it.
    pub(super) async fn settle_pull_access(
        &self,
        plan: &Plan,
        policy: &mut Policy,
        ask: bool,
    ) -> Result<Option<PullSecret>, Stopped> {
        let repointed = plan
            .workloads
            .iter()
            .filter(|planned| is_repointed(planned));
        let copies: Vec<&Reference> = repointed.flat_map(|planned| &planned.targets).collect();
        if copies.is_empty() {
            return Ok(None);
        }
        match self.args.pull_secret.as_deref() {
            Some("none") => return Ok(None),
            Some(name) => {
                self.check_pull_secret(plan, name).await?;
                policy.pull = PullAccess::Secret(name.to_owned());
                return Ok(None);
            }
            None => {}
        }
        let registry = &self.target.registry;
        if !self.any_needs_credentials(&copies).await? {
            return Ok(None);
        }
        match self.pull_credentials(ask).await? {
            Some(credentials) => {
                // a wrong one would break every pod that gets it
                log_in(&self.target.registries, registry, &credentials, "pull").await?;
                policy.pull = PullAccess::Secret(PULL_SECRET.to_owned());
                Ok(Some(PullSecret {
                    key: registry.to_string(),
                    credentials,
                }))
            }
            None => {
                let host = registry.host();
                policy.pull = PullAccess::Missing(format!("no credentials to pull from {host}"));
                self.terminal
                    .hint("pods need them: IMAGE_CLONER_PULL_USER and _PASS,");
                self.terminal
                    .hint("or --share-credentials, or --pull-secret NAME for one of yours");
                Ok(None)
            }
        }
    }

    /// Whether strangers cannot pull one of these. Each repository is asked, until one says so: on some
    /// registries one is public and the next is private.
    async fn any_needs_credentials(&self, copies: &[&Reference]) -> Result<bool, Stopped> {
        let places: BTreeMap<&str, &Reference> = copies
            .iter()
            .map(|copy| (copy.repository(), *copy))
            .collect();
        let registries = &self.target.registries;
        let mut answers = stream::iter(places.into_values())
            .map(|copy| registries.needs_credentials(copy))
            .buffer_unordered(AT_ONCE);
        while let Some(needed) = answers.try_next().await? {
            if needed {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Says so where workloads that stay as they are pull with other credentials than are given now. What
    /// they pull with was read anyway.
    pub(super) async fn tell_of_old_credentials(
        &self,
        plan: &Plan,
        observed: &[Observed],
        keyrings: &BTreeMap<WorkloadId, Keyring>,
    ) {
        let registry = &self.target.registry;
        let path = registry.prefix().unwrap_or_default();
        let held: Vec<Vec<Credentials>> = plan
            .workloads
            .iter()
            .zip(observed)
            .filter(|(planned, _)| planned.decision == Decision::Unchanged)
            .filter(|(_, observed)| observed.pull_credentials == PullCredentials::Ours)
            .filter_map(|(planned, _)| keyrings.get(&planned.workload.id))
            .map(|keyring| keyring.find(registry.host(), path))
            .collect();
        if held.is_empty() {
            return;
        }
        // a helper that fails is told of where its credentials are needed
        let Ok(Some(given)) = self.settings.chain.for_pull(registry.host()).await else {
            return;
        };
        if held.iter().any(|held| !held.contains(&given)) {
            self.terminal.hint(
                "pods pull with other credentials than are given now: kubectl image-cloner sync-credentials",
            );
        }
    }

    /// A secret of the user's own must be good in every namespace where a workload would get it.
    async fn check_pull_secret(&self, plan: &Plan, name: &str) -> Result<(), Stopped> {
        let repointed = plan
            .workloads
            .iter()
            .filter(|planned| is_repointed(planned));
        let namespaces: BTreeSet<&str> = repointed
            .map(|planned| planned.workload.id.namespace.as_str())
            .collect();
        for namespace in namespaces {
            let target = &self.target.registry;
            self.cluster
                .check_pull_secret(namespace, name, target)
                .await?;
        }
        Ok(())
    }

    /// Credentials that may be put into pull secrets: those for pulling, else those for pushing where that
    /// was asked for.
    async fn pull_credentials(&self, ask: bool) -> Result<Option<Credentials>, Stopped> {
        let registry = &self.target.registry;
        if let Some(credentials) = self.settings.chain.for_pull(registry.host()).await? {
            return Ok(Some(credentials));
        }
        let push = &self.target.credentials;
        if matches!(push, Credentials::Anonymous) {
            return Ok(None);
        }
        let shared = match self.settings.shares(self.args.sharing)? {
            Some(said) => said,
            None => {
                ask && self.terminal.can_ask
                    && !self.args.running.yes
                    && self.args.running.dry_run.mode == DryRun::None
                    && interactive::share(self.terminal, registry, push)?
            }
        };
        Ok(shared.then(|| push.clone()))
    }

    /// Says so where pods could not pull what edits of their manifests name.
    pub(super) async fn tell_of_missing_credentials(
        &self,
        plan: &Plan,
        observed: &[Observed],
    ) -> Result<(), Stopped> {
        let mut asking = plan.workloads.iter().zip(observed);
        let Some((planned, _)) = asking.find(|(planned, observed)| {
            !planned.targets.is_empty() && observed.pull_credentials == PullCredentials::None
        }) else {
            return Ok(());
        };
        let Some(copy) = planned.targets.first() else {
            return Ok(());
        };
        if self.target.registries.needs_credentials(copy).await? {
            self.terminal.hint(&format!(
                "pods have no pull secret for {}: their manifests or ServiceAccounts need one",
                self.target.registry
            ));
        }
        Ok(())
    }
}
