//! The target registry: who names it, the way there, and as whom.
//!
//! Decides who goes before whom. Never asks a registry for more than whether it takes the credentials.

use super::Settings;
use crate::args::Copying;
use crate::stop::Stopped;
use image_cloner::cluster::Cluster;
use image_cloner::config::HostConfig;
use image_cloner::credentials::Credentials;
use image_cloner::outcome::Failure;
use image_cloner::registry::{self, Registries, means_this_machine};
use image_cloner::target::{Layout, TargetRegistry};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The target registry, who named it, and the way there.
pub(crate) struct Resolved {
    pub(crate) registry: TargetRegistry,
    pub(crate) named_by: String,
    pub(crate) registries: Arc<Registries>,
}

/// The target registry, the way there, and as whom.
pub(crate) struct Target {
    pub(crate) registry: TargetRegistry,
    pub(crate) registries: Arc<Registries>,
    pub(crate) credentials: Credentials,
    pub(crate) concurrency: usize,
}

impl Settings {
    /// The target registry by name and by whom it is named, without asking a cluster: flag, environment, the
    /// context's.
    fn named_target<'a>(
        &'a self,
        flag: Option<&'a str>,
        context: Option<&str>,
    ) -> Option<(&'a str, String)> {
        let contexts = &self.config.contexts;
        if let Some(name) = flag {
            return Some((name, "--to".to_owned()));
        }
        if let Some(name) = self.environment.get("REGISTRY") {
            return Some((name, "IMAGE_CLONER_REGISTRY".to_owned()));
        }
        let context = context?;
        let name = contexts.get(context)?.registry.as_deref()?;
        Some((name, format!("contexts.{context} in config.yaml")))
    }

    /// The target registry, logged in to.
    pub(crate) async fn target(
        &self,
        copying: &Copying,
        cluster: Option<&Cluster>,
    ) -> Result<Option<Target>, Stopped> {
        let target = self.find_target(copying, cluster).await?;
        if let Some(target) = &target {
            target.log_in().await?;
        }
        Ok(target)
    }

    /// The target registry and the way there: what is named, else what the cluster publishes, else the
    /// file's general one; none when nobody names one.
    pub(crate) async fn resolve(
        &self,
        copying: &Copying,
        cluster: Option<&Cluster>,
    ) -> Result<Option<Resolved>, Stopped> {
        let mut hosts = self.config.registries.clone();
        let context = cluster.map(Cluster::context);
        let mut named = self
            .named_target(copying.to.as_deref(), context)
            .map(|(name, by)| (name.to_owned(), by));
        if named.is_none()
            && let Some(cluster) = cluster
            && let Some(local) = cluster.local_registry().await?
            && let Some((pull, push)) = local.pull_and_push()
            && means_this_machine(push)
        {
            if pull != push {
                hosts.entry(pull.to_owned()).or_default().endpoint = vec![push.to_owned()];
            }
            let by = "what the cluster publishes (KEP-1755)".to_owned();
            named = Some((pull.to_owned(), by));
        }
        let general = self.config.registry.clone();
        let general = general.map(|name| (name, "registry in config.yaml".to_owned()));
        let Some((name, named_by)) = named.or(general) else {
            return Ok(None);
        };
        self.at(&name, named_by, copying, hosts).map(Some)
    }

    /// The way to a target registry that a person typed, logged in to.
    pub(crate) async fn reach(
        &self,
        name: &str,
        copying: &Copying,
        push: Option<&str>,
    ) -> Result<Target, Stopped> {
        let target = self.way_to(name, copying, push).await?;
        target.log_in().await?;
        Ok(target)
    }

    /// The way to a target registry by its name; `push` is another address that this machine pushes to, which
    /// somebody agreed to.
    pub(crate) async fn way_to(
        &self,
        name: &str,
        copying: &Copying,
        push: Option<&str>,
    ) -> Result<Target, Stopped> {
        let mut hosts = self.config.registries.clone();
        if let Some(push) = push {
            let host = host_in(name).to_owned();
            hosts.entry(host).or_default().endpoint = vec![push.to_owned()];
        }
        let resolved = self.at(name, "you".to_owned(), copying, hosts)?;
        self.with_credentials(resolved, copying).await
    }

    fn at(
        &self,
        name: &str,
        named_by: String,
        copying: &Copying,
        mut hosts: BTreeMap<String, HostConfig>,
    ) -> Result<Resolved, Stopped> {
        let registry = self.registry_in(name, copying.layout)?;
        // bound to its registry as the user and password are: another host's traffic is not its business
        if let Some(endpoint) = self.environment.endpoint()?
            && let Some(own) = self.environment.registry()?
            && own.host() == registry.host()
        {
            hosts
                .entry(registry.host().to_owned())
                .or_default()
                .endpoint = vec![endpoint.to_owned()];
        }
        let targets = std::iter::once(&registry).chain(&self.left);
        let targets = targets.map(|target| target.host().to_owned()).collect();
        Ok(Resolved {
            registries: Arc::new(Registries::with_targets(&hosts, targets)?),
            registry,
            named_by,
        })
    }

    /// The target registry, the way there and as whom.
    pub(crate) async fn find_target(
        &self,
        copying: &Copying,
        cluster: Option<&Cluster>,
    ) -> Result<Option<Target>, Stopped> {
        match self.resolve(copying, cluster).await? {
            Some(resolved) => self.with_credentials(resolved, copying).await.map(Some),
            None => Ok(None),
        }
    }

    async fn with_credentials(
        &self,
        resolved: Resolved,
        copying: &Copying,
    ) -> Result<Target, Stopped> {
        let Resolved {
            registry,
            registries,
            ..
        } = resolved;
        let repository = registry.prefix().unwrap_or_default();
        let credentials = self.chain.find(registry.host(), repository).await?;
        let concurrency = self.concurrency(copying.concurrency)?;
        Ok(Target {
            registry,
            registries,
            credentials,
            concurrency,
        })
    }

    /// A target registry by its name alone, in the layout that is kept for it.
    pub(crate) fn registry(&self, name: &str) -> Result<TargetRegistry, Stopped> {
        self.registry_in(name, None)
    }

    fn registry_in(&self, name: &str, layout: Option<Layout>) -> Result<TargetRegistry, Stopped> {
        let host = TargetRegistry::parse(name, Layout::default())?;
        Ok(TargetRegistry::parse(
            name,
            self.layout(layout, host.host())?,
        )?)
    }

    /// What to say when nobody names a target registry.
    pub(crate) fn no_target() -> Stopped {
        Stopped::wrong(
            Failure::new("no target registry is named")
                .hint("give --to HOST[:PORT][/PREFIX], or set IMAGE_CLONER_REGISTRY")
                .hint("or keep one: kubectl image-cloner config set registry HOST[:PORT][/PREFIX]"),
        )
    }

    /// The layout in a target registry: what is kept for this very one goes before what is for all.
    fn layout(&self, flag: Option<Layout>, host: &str) -> Result<Layout, Stopped> {
        let own = self.config.registries.get(host);
        let named = self
            .environment
            .get("LAYOUT")
            .or(own.and_then(|own| own.layout.as_deref()))
            .or(self.config.layout.as_deref());
        match (flag, named) {
            (Some(layout), _) => Ok(layout),
            (None, Some(name)) => name
                .parse()
                .map_err(|error| Stopped::wrong(Failure::new(format!("layout {name:?}: {error}")))),
            (None, None) => Ok(Layout::default()),
        }
    }
}

impl Target {
    /// Makes sure that it takes the credentials, before anything is changed.
    pub(crate) async fn log_in(&self) -> Result<(), Stopped> {
        log_in(&self.registries, &self.registry, &self.credentials, "push").await
    }

    /// Who pushes, as people are told.
    pub(crate) fn user(&self) -> Option<&str> {
        self.credentials.user()
    }
}

/// The host of a target registry as it was typed.
pub(crate) fn host_in(name: &str) -> &str {
    name.split_once('/').map_or(name, |(host, _)| host)
}

/// Makes sure that the target takes these credentials, before anything is planned on them.
pub(crate) async fn log_in(
    registries: &Registries,
    target: &TargetRegistry,
    credentials: &Credentials,
    to: &str,
) -> Result<(), Stopped> {
    let host = target.host();
    registries.ping(host, credentials).await.map_err(|error| {
        let denied = matches!(error, registry::Error::Denied { .. });
        let failure = Failure::from(error).context(format!("logging in to {host} to {to}"));
        Stopped::failed(match (denied, to) {
            (false, _) => failure,
            (true, "pull") => failure.hint("IMAGE_CLONER_PULL_USER and _PASS are for pulling"),
            (true, _) => failure.hint(format!(
                "kubectl image-cloner login {host}, or IMAGE_CLONER_USER and _PASS with IMAGE_CLONER_REGISTRY"
            )),
        })
    })
}
