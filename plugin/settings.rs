//! What flags, environment, file and cluster come to.
//!
//! Decides which of them goes before which; of the target registry, [`target`] does.

mod target;

pub(crate) use target::{Target, host_in, log_in};

use crate::args::{Copying, Selecting, Sharing};
use crate::stop::Stopped;
use crate::terminal::Terminal;
use image_cloner::cluster::{Cluster, Selection, SelectionError};
use image_cloner::config::{Config, ConfigFile, Environment, Place};
use image_cloner::credentials::Chain;
use image_cloner::outcome::Failure;
use image_cloner::platform::{PlatformChoice, Platforms};
use image_cloner::target::TargetRegistry;
use std::collections::BTreeSet;
use std::path::PathBuf;

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

impl Settings {
    pub(crate) fn load() -> Result<Self, Stopped> {
        let environment = Environment::from_process();
        let config = Config::load(&environment)?;
        // a slip in the request, before it is one in the credentials that belong to it
        environment.registry()?;
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

    /// The workloads that serve this target registry, as far as that can be told.
    pub(crate) fn protected(&self, target: &TargetRegistry) -> BTreeSet<String> {
        self.config.protected(target, &self.config.registries)
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
