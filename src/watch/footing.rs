//! What the settings come to: the target, the way there, as whom, and the policy of every plan.
//!
//! Decides what pods pull copies with. Made anew when settings change, and from time to time, since
//! credentials are read only once.

mod once;
#[cfg(test)]
mod tests;

use super::known::{Known, Terms};
use crate::cluster::{Cluster, PullSecret, SecretWrite};
use crate::config::{AgentSettings, Mode};
use crate::credentials::{Chain, Credentials};
use crate::execute::{Images, Options};
use crate::outcome::Failure;
use crate::plan::{ImagePolicy, Policy, PullAccess};
use crate::platform::{PlatformChoice, Platforms};
use crate::reference::Reference;
use crate::registry::{Registries, means_this_machine};
use crate::workload::{PULL_SECRET, Workload};
use once::Once;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio_util::sync::CancellationToken;

/// What holds until the settings change.
pub(super) struct Footing {
    pub(super) settings: Arc<AgentSettings>,
    pub(super) images: Images,
    registries: Arc<Registries>,
    chain: Chain,
    credentials: Credentials,
    policy: Policy,
    /// How pods get at copies; found out with the first copy.
    access: Once<PullAccess>,
    /// Whether a pod was seen to have a copy since everything was last to be looked at.
    pub(super) shown: AtomicBool,
    pub(super) known: Known,
}

/// Which run the records name.
#[derive(Debug, Clone)]
pub struct RunId {
    /// Its short id.
    pub id: String,
    /// When it began: RFC 3339 in UTC.
    pub time: String,
}

impl Footing {
    /// Works them out; of the network only the API server is asked, where platforms are to be its nodes'.
    pub(super) async fn new(
        settings: Arc<AgentSettings>,
        cluster: &Cluster,
        run: &RunId,
        known: Known,
        stop: CancellationToken,
    ) -> Result<Self, Failure> {
        let said = |error: &dyn std::fmt::Display| Failure::new(error.to_string());
        let chain =
            Chain::local(&settings.environment, &settings.config).map_err(|error| said(&error))?;
        let target = &settings.target;
        let targets = BTreeSet::from([target.host().to_owned()]);
        let registries = Arc::new(Registries::guarded(&settings.registries, targets)?);
        let credentials = chain.find(target.host(), target.prefix().unwrap_or_default());
        let credentials = credentials.await.map_err(|error| said(&error))?;
        let platforms = match &settings.platforms {
            PlatformChoice::Named(platforms) => platforms.clone(),
            PlatformChoice::Cluster => Platforms::Only(cluster.platforms().await?),
        };
        let images = Images::new(
            Arc::clone(&registries),
            chain.without_environment(),
            BTreeMap::new(),
            credentials.clone(),
            settings.concurrency,
            Options {
                platforms,
                stop,
                ..Options::default()
            },
        );
        Ok(Self {
            policy: policy(&settings, run),
            settings,
            images,
            registries,
            chain,
            credentials,
            access: Once::new(),
            shown: AtomicBool::new(false),
            known,
        })
    }

    /// On what terms whoever else asks may repoint; none before it is known how pods get at copies.
    pub(super) fn terms(&self) -> Option<Terms> {
        let settings = &self.settings;
        let policy = Policy {
            pull: self.access.get()?.clone(),
            ..self.policy.clone()
        };
        let namespaces = &settings.namespaces;
        (settings.mode == Mode::Clone).then(|| Terms {
            policy,
            kinds: settings.kinds.iter().cloned().collect(),
            namespaces: (!namespaces.is_empty()).then(|| namespaces.iter().cloned().collect()),
            stateful: settings.stateful,
        })
    }

    /// Whether our credentials are for this copy: they are for nothing but the target.
    pub(super) fn covers(&self, copy: &Reference) -> Result<(), Failure> {
        let target = &self.settings.target;
        if target.holds(copy) {
            return Ok(());
        }
        let message = format!("{copy} is not in {target}: no credentials are sent there");
        Err(Failure::new(message))
    }

    /// Whether the target takes our credentials.
    pub(super) async fn log_in(&self) -> Result<(), Failure> {
        let host = self.settings.target.host();
        let answer = self.registries.ping(host, &self.credentials).await;
        answer.map_err(|error| Failure::from(error).context(format!("logging in to {host}")))
    }

    /// The policy to plan these workloads by, as far as it is known before any copy is.
    pub(super) fn policy<'a>(&self, workloads: impl Iterator<Item = &'a Workload>) -> Policy {
        let mut policy = self.policy.clone();
        if let Some(access) = self.access.get() {
            policy.pull = access.clone();
        }
        let slots = workloads.flat_map(|workload| &workload.slots);
        let hosts = slots.filter_map(|slot| Reference::parse(&slot.image).ok());
        let is_elsewhere = |host: &String| {
            let settings = self.settings.registries.get(host);
            means_this_machine(host) && settings.is_none_or(|host| host.endpoint.is_empty())
        };
        let hosts = hosts.map(|reference| reference.registry().to_owned());
        policy.images.out_of_reach = hosts.filter(is_elsewhere).collect();
        policy
    }

    /// How pods get at copies such as this one. Found out once.
    pub(super) async fn access(&self, copy: &Reference) -> Result<&PullAccess, Failure> {
        self.access.find(self.find_access(copy)).await
    }

    async fn find_access(&self, copy: &Reference) -> Result<PullAccess, Failure> {
        if !self.registries.needs_credentials(copy).await? {
            return Ok(PullAccess::Open);
        }
        let host = self.settings.target.host();
        let Some(secret) = self.pull_secret().await? else {
            let message = format!(
                "no credentials to pull from {host}: IMAGE_CLONER_PULL_USER and _PASS are for that, or IMAGE_CLONER_SHARE_CREDENTIALS"
            );
            return Ok(PullAccess::Missing(message));
        };
        // a wrong one would break every pod that gets it
        let answer = self.registries.ping(host, &secret.credentials).await;
        answer.map_err(|error| {
            Failure::from(error).context(format!("logging in to {host} to pull"))
        })?;
        Ok(PullAccess::Secret(PULL_SECRET.to_owned()))
    }

    /// What is put into pull secrets, if anything may be.
    async fn pull_secret(&self) -> Result<Option<PullSecret>, Failure> {
        let target = &self.settings.target;
        let own = self.chain.for_pull(target.host()).await;
        let own = own.map_err(|error| Failure::new(error.to_string()))?;
        let shared = || {
            let may = self.settings.share_credentials;
            (may && self.credentials != Credentials::Anonymous).then(|| self.credentials.clone())
        };
        Ok(own.or_else(shared).map(|credentials| PullSecret {
            key: target.to_string(),
            credentials,
        }))
    }

    /// Makes sure that our pull secret in a namespace is as it is to be. The API server is asked each time: the
    /// secret may be gone since, or the whole namespace.
    pub(super) async fn ensure(&self, cluster: &Cluster, namespace: &str) -> Result<(), Failure> {
        let Some(secret) = self.pull_secret().await? else {
            return Ok(());
        };
        let written = cluster.ensure_pull_secret(namespace, PULL_SECRET, &secret);
        if written.await? != SecretWrite::Unchanged {
            tracing::info!(namespace, "pull secret brought up to date");
        }
        self.known.pull_secret(&self.settings.target, namespace);
        Ok(())
    }
}

fn policy(settings: &AgentSettings, run: &RunId) -> Policy {
    Policy {
        run: run.id.clone(),
        time: Some(run.time.clone()),
        target: settings.target.clone(),
        images: ImagePolicy::default(),
        skip_namespaces: settings.skip_namespaces.clone(),
        protect: settings
            .config
            .protected(&settings.target, &settings.registries),
        copy_only: settings.mode == Mode::Copy,
        owned_live: settings.owned_live,
        pull: PullAccess::Open,
    }
}
