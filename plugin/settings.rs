//! What flags, environment, file and cluster come to: the target registry and how to reach it.

use crate::args::{Copying, Selecting, Sharing};
use crate::stop::Stopped;
use crate::terminal::Terminal;
use image_cloner::cluster::{Cluster, Selection, SelectionError};
use image_cloner::config::{Config, ConfigFile, Environment, HostConfig, Place};
use image_cloner::credentials::{Chain, Credentials};
use image_cloner::outcome::Failure;
use image_cloner::platform::{PlatformChoice, Platforms};
use image_cloner::registry::{self, Registries, means_this_machine};
use image_cloner::target::{Layout, TargetRegistry};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

/// Transfers of big blobs at once per registry where nothing else is said: more of them fill no line
/// better, and each holds more than a megabyte.
pub(crate) const CONCURRENCY: usize = 5;

/// The local configuration.
pub(crate) struct Settings {
    pub(crate) environment: Environment,
    pub(crate) config: Config,
    pub(crate) chain: Chain,
    /// The target registry that is left for another one.
    pub(crate) left: Option<TargetRegistry>,
}

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
    pub(crate) fn load() -> Result<Self, Stopped> {
        let environment = Environment::from_process();
        let config = Config::load(&environment)?;
        let chain = Chain::local(&environment, &config)?;
        Ok(Self {
            environment,
            config,
            chain,
            left: None,
        })
    }

    /// The same for a move from this target registry to another one.
    pub(crate) fn leaving(mut self, registry: Option<&str>) -> Result<Self, Stopped> {
        self.left = registry.map(|name| self.registry(name)).transpose()?;
        Ok(self)
    }

    /// What it was read from, for people.
    pub(crate) fn origin(&self) -> String {
        match ConfigFile::open(&self.environment) {
            Ok(file) if file.exists() => file.path().display().to_string(),
            Ok(file) => format!("no {}, and none is needed", file.path().display()),
            Err(_) => "no config.yaml, and none is needed".to_owned(),
        }
    }

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
        if let Some(endpoint) = self.environment.get("REGISTRY_ENDPOINT")
            && let Some(own) = self.environment.get("REGISTRY")
            && TargetRegistry::parse(own, Layout::default())?.host() == registry.host()
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

    /// The workloads that serve this target registry, as far as that can be told.
    pub(crate) fn protected(&self, target: &TargetRegistry) -> BTreeSet<String> {
        self.config.protected(target, &self.config.registries)
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

    /// What a clone is to work on. What "every workload" means is said by the flag, the environment or the
    /// file.
    pub(crate) fn selection(&self, selecting: &Selecting) -> Result<Selection, Stopped> {
        self.among(selecting.parse()?, selecting)
    }

    /// The same selection among the kinds that the environment or the file name, where no flag does.
    pub(crate) fn among(
        &self,
        selection: Selection,
        selecting: &Selecting,
    ) -> Result<Selection, Stopped> {
        if !selecting.kinds.is_empty() {
            return Ok(selection);
        }
        let (place, kinds) = self.kinds();
        selection
            .among(&kinds)
            .map_err(|error| in_place(place, error))
    }

    /// What is looked at or undone: what is named, or everything in the namespace. The kinds that the
    /// environment or the file name for a clone are added to the usual ones, and keep none of them away:
    /// what was cloned is found again.
    pub(crate) fn found_again(&self, selecting: &Selecting) -> Result<Selection, Stopped> {
        let selection = if selecting.is_empty() {
            Selection::parse(&["all".to_owned()], false, None)?.among(&selecting.kinds)?
        } else {
            selecting.parse()?
        };
        if !selecting.kinds.is_empty() {
            return Ok(selection);
        }
        let (place, kinds) = self.kinds();
        selection
            .including(&kinds)
            .map_err(|error| in_place(place, error))
    }

    /// The kinds that the environment or the file name, and which of them does.
    fn kinds(&self) -> (&'static str, Vec<String>) {
        let named = self.environment.list("KINDS");
        if named.is_empty() {
            ("kinds", self.config.kinds.clone())
        } else {
            ("IMAGE_CLONER_KINDS", named)
        }
    }

    /// Whether the credentials for pushing may go into pull secrets; none where nobody says.
    pub(crate) fn shares(&self, sharing: Sharing) -> Result<Option<bool>, Stopped> {
        match sharing.share_credentials {
            None => Ok(self.environment.switch("SHARE_CREDENTIALS")?),
            said => Ok(said),
        }
    }

    /// Keeps a target registry in the configuration; what was to be done does not fail over it.
    pub(crate) fn keep(&self, registry: &str, terminal: &Terminal) {
        match self.kept(registry) {
            Ok(path) => terminal.note(&format!("{registry} is kept in {}", path.display())),
            Err(stopped) => terminal.note(&stopped.failure.message),
        }
    }

    fn kept(&self, registry: &str) -> Result<PathBuf, Stopped> {
        let mut file = ConfigFile::open(&self.environment)?;
        file.set(&Place::General, "registry", registry)?;
        file.save()?;
        Ok(file.path().to_owned())
    }

    /// What to say when nobody names a target registry.
    pub(crate) fn no_target() -> Stopped {
        Stopped::wrong(
            Failure::new("no target registry is named")
                .hint("give --to HOST[:PORT][/PREFIX], or set IMAGE_CLONER_REGISTRY"),
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

    /// Which platforms are copied; `cluster` are those of the nodes, where there is a cluster to ask.
    pub(crate) async fn platforms(
        &self,
        copying: &Copying,
        cluster: Option<&Cluster>,
    ) -> Result<Platforms, Stopped> {
        let named = self
            .environment
            .get("PLATFORM")
            .or(self.config.platform.as_deref());
        let choice = match (&copying.platform, named) {
            (Some(choice), _) => choice.clone(),
            (None, Some(text)) => text
                .parse()
                .map_err(|error| Stopped::wrong(Failure::new(format!("platform: {error}"))))?,
            (None, None) => PlatformChoice::Named(Platforms::All),
        };
        match (choice, cluster) {
            (PlatformChoice::Named(platforms), _) => Ok(platforms),
            (PlatformChoice::Cluster, Some(cluster)) => {
                Ok(Platforms::Only(cluster.platforms().await?))
            }
            (PlatformChoice::Cluster, None) => Err(Stopped::wrong(
                Failure::new("platform \"cluster\": this asks no cluster for its platforms")
                    .hint("name them: --platform linux/amd64,linux/arm64, or --platform all"),
            )),
        }
    }

    fn concurrency(&self, flag: Option<u16>) -> Result<usize, Stopped> {
        match (flag, self.environment.get("CONCURRENCY")) {
            (Some(number), _) => Ok(usize::from(number)),
            (None, Some(text)) => match text.parse() {
                Ok(number @ 1..=256) => Ok(number),
                _ => Err(Stopped::wrong(Failure::new(format!(
                    "IMAGE_CLONER_CONCURRENCY is {text:?}: give a number from 1 to 256"
                )))),
            },
            (None, None) => Ok(CONCURRENCY),
        }
    }
}

fn in_place(place: &str, mut error: SelectionError) -> Stopped {
    error.message = format!("{place}: {}", error.message);
    error.into()
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
