//! What the agent is to be: flags over what is installed, and questions where neither says.

use super::image::{self, Image};
use super::{InstallArgs, Mode};
use crate::settings::{Settings, Target};
use crate::stop::Stopped;
use crate::terminal::Terminal;
use image_cloner::cluster::Cluster;
use image_cloner::config::{self, AgentFile, AgentSettings, Config, Environment};
use image_cloner::install::{self, Extra, Live, Scope, Secrets};
use image_cloner::outcome::Failure;
use image_cloner::target::TargetRegistry;
use std::collections::{BTreeMap, BTreeSet};

/// What the agent is to be, and what that takes.
pub(super) struct Composed {
    pub(super) settings: install::Settings,
    pub(super) image: Image,
    pub(super) target: Target,
    pub(super) notes: Vec<String>,
    /// Whether there is one already.
    pub(super) is_update: bool,
    /// The target registry that it is to leave for another one.
    pub(super) left: Option<TargetRegistry>,
}

/// Settings that have no flag of their own.
const SETTABLE: [&str; 9] = [
    "SKIP_NAMESPACES",
    "MAX_ROLLOUTS",
    "RESYNC",
    "REFRESH",
    "OWNED",
    "PLATFORM",
    "LAYOUT",
    "CONCURRENCY",
    "STATEFUL",
];

pub(super) async fn compose(
    args: &InstallArgs,
    settings: &Settings,
    cluster: &Cluster,
    live: Option<Live>,
    terminal: &Terminal,
) -> Result<Composed, Stopped> {
    let mut composing = Composing {
        args,
        settings,
        cluster,
        terminal,
        live,
        said: BTreeMap::new(),
        left: None,
        notes: Vec::new(),
    };
    composing.leave()?;
    composing.flags()?;
    composing.scope()?;
    let secrets = composing.secrets()?;
    let target = composing.target().await?;
    composing.endpoint(&target).await?;
    composing.trust(&target)?;
    composing.check()?;
    // an image in the registry that it leaves is left there
    let live = composing.live.as_ref().filter(|_| composing.left.is_none());
    let image = image::choose(args, cluster, &target, live, &mut composing.notes).await?;
    let (login, pull_secret) = composing.credentials(&target, &image).await?;
    let extras = composing.extras().await?;
    let live = composing.live.as_ref();
    let architectures = match &image {
        Image::Made { architectures, .. } => architectures.clone(),
        Image::There(name) => live
            .filter(|live| live.image.as_ref() == Some(name))
            .map(|live| live.architectures.clone())
            .unwrap_or_default(),
    };
    let replicas = args.replicas.or(live.map(|live| live.replicas));
    Ok(Composed {
        settings: install::Settings {
            image: image.name().to_owned(),
            architectures,
            replicas: replicas.unwrap_or(1),
            config: composing.config(),
            login,
            pull_secret,
            secrets,
            extras,
        },
        image,
        target,
        notes: composing.notes,
        is_update: composing.live.is_some(),
        left: composing.left,
    })
}

impl Composed {
    /// The agent in a few words.
    pub(super) fn summary(&self) -> Vec<(&'static str, String)> {
        let of = |name: &str| self.settings.config.get(name).map(String::as_str);
        let scope = match self.settings.scope() {
            Scope::Everything => "all namespaces but those of the system".to_owned(),
            Scope::Namespaces(names) => words(&names),
        };
        let secrets = match &self.settings.secrets {
            Secrets::None => "none: it reads no private source and makes no pull secret".to_owned(),
            Secrets::All => "read, and image-cloner-pull written, wherever it works".to_owned(),
            Secrets::Namespaces(names) => {
                format!("read, and image-cloner-pull written, in {}", words(names))
            }
        };
        let mut lines = vec![
            ("works in", scope),
            (
                "works on",
                of("IMAGE_CLONER_KINDS").unwrap_or("deployments").to_owned(),
            ),
            (
                "mode",
                of("IMAGE_CLONER_MODE").unwrap_or("clone").to_owned(),
            ),
            ("secrets", secrets),
            ("image", self.settings.image.clone()),
        ];
        if let Some(endpoint) = of("IMAGE_CLONER_REGISTRY_ENDPOINT") {
            lines.insert(2, ("pushes to", endpoint.to_owned()));
        }
        lines
    }
}

fn words(names: &BTreeSet<String>) -> String {
    names
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

pub(super) struct Composing<'a> {
    pub(super) args: &'a InstallArgs,
    pub(super) settings: &'a Settings,
    pub(super) cluster: &'a Cluster,
    pub(super) terminal: &'a Terminal,
    pub(super) live: Option<Live>,
    /// What is said of the ConfigMap's entries now, over what stands there; none takes one away.
    said: BTreeMap<String, Option<String>>,
    left: Option<TargetRegistry>,
    notes: Vec<String>,
}

impl Composing<'_> {
    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.say(name, Some(value.into()));
    }

    pub(super) fn say(&mut self, name: &str, value: Option<String>) {
        self.said.insert(format!("IMAGE_CLONER_{name}"), value);
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let value = self.entry(&format!("IMAGE_CLONER_{name}"))?;
        Some(value).filter(|value| !value.is_empty())
    }

    /// Whether the agent may put the credentials for pushing into pull secrets; none where nobody says.
    pub(super) fn shares(&self) -> Result<Option<bool>, Stopped> {
        let variables: Environment = self.config().iter().collect();
        Ok(variables.switch("SHARE_CREDENTIALS")?)
    }

    /// An entry of the ConfigMap.
    pub(super) fn entry(&self, key: &str) -> Option<&str> {
        match self.said.get(key) {
            Some(said) => said.as_deref(),
            None => Some(self.live.as_ref()?.config.get(key)?),
        }
    }

    /// The whole ConfigMap.
    fn config(&self) -> BTreeMap<String, String> {
        let kept = self.live.as_ref().map(|live| live.config.clone());
        let mut config = kept.unwrap_or_default();
        for (key, said) in &self.said {
            match said {
                Some(value) => config.insert(key.clone(), value.clone()),
                None => config.remove(key),
            };
        }
        config
    }

    /// Forgets what belongs to the registry that was, where another one is named.
    fn leave(&mut self) -> Result<(), Stopped> {
        let (Some(to), Some(live)) = (&self.args.to, &mut self.live) else {
            return Ok(());
        };
        let to = self.settings.registry(to)?;
        self.left = live.registry().filter(|left| left.host() != to.host());
        if let Some(left) = &self.left {
            live.leave_registry();
            self.notes.push(format!(
                "nothing that belongs to {left} is kept: no credentials, no layout, no way there; the agent \
                 stops until it has those of {to}"
            ));
        }
        Ok(())
    }

    /// What flags say in so many words.
    fn flags(&mut self) -> Result<(), Stopped> {
        if let Some(mode) = self.args.mode {
            let mode = match mode {
                Mode::Observe => "observe",
                Mode::Copy => "copy",
                Mode::Clone => "clone",
            };
            self.set("MODE", mode);
        }
        if !self.args.kinds.is_empty() {
            self.set("KINDS", self.args.kinds.join(","));
        }
        if let Some(shares) = self.args.sharing.share_credentials {
            self.set("SHARE_CREDENTIALS", shares.to_string());
        }
        for setting in &self.args.set {
            let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
            let name = name.trim().to_uppercase().replace('-', "_");
            let name = name.strip_prefix("IMAGE_CLONER_").unwrap_or(&name);
            if !SETTABLE.contains(&name) || !setting.contains('=') {
                return Err(Stopped::wrong(
                    Failure::new(format!("--set {setting:?} is no setting"))
                        .hint(format!("NAME=VALUE with one of {}", SETTABLE.join(", "))),
                ));
            }
            if value.trim().is_empty() {
                self.say(name, None);
            } else {
                self.set(name, value.trim());
            }
        }
        if let Some(path) = &self.args.agent_config {
            let files = AgentFile::read(path)?;
            if let Some(live) = &mut self.live {
                live.config
                    .retain(|key, _| key.starts_with("IMAGE_CLONER_"));
            }
            self.take(files);
        }
        Ok(())
    }

    pub(super) fn take(&mut self, files: AgentFile) {
        let entries = files.entries.into_iter();
        self.said
            .extend(entries.map(|(key, text)| (key, Some(text))));
    }

    /// Whether the agent will take its settings, and what they come to that may surprise.
    fn check(&mut self) -> Result<(), Stopped> {
        let variables: Environment = self.config().iter().collect();
        let settings = AgentSettings::new(variables, Config::default())
            .map_err(|error| Stopped::wrong(Failure::new(error.to_string())))?;
        let mut kinds = settings.kinds.iter();
        if settings.mode == config::Mode::Clone
            && !settings.stateful
            && kinds.any(|kind| kind.kind == "StatefulSet")
        {
            let note = "StatefulSets are copied and not repointed: --set STATEFUL=true does that";
            self.notes.push(note.to_owned());
        }
        Ok(())
    }

    async fn extras(&self) -> Result<BTreeSet<Extra>, Stopped> {
        let mut extras = self
            .live
            .as_ref()
            .map(|live| live.extras.clone())
            .unwrap_or_default();
        for (extra, flag) in [
            (Extra::Webhook, self.args.webhook),
            (Extra::NetworkPolicy, self.args.network_policy),
            (Extra::ServiceMonitor, self.args.service_monitor),
        ] {
            match flag {
                Some(true) => drop(extras.insert(extra)),
                Some(false) => drop(extras.remove(&extra)),
                None => {}
            }
        }
        if self.cluster.serves("policy/v1").await? {
            extras.insert(Extra::Budget);
        }
        if extras.contains(&Extra::ServiceMonitor)
            && !self.cluster.serves("monitoring.coreos.com/v1").await?
        {
            return Err(Stopped::wrong(
                Failure::new("--service-monitor: the cluster knows no ServiceMonitor")
                    .hint("it comes with the Prometheus operator"),
            ));
        }
        Ok(extras)
    }
}

#[cfg(test)]
mod tests {
    use super::super::arguments::EXAMPLES;
    use super::SETTABLE;

    #[test]
    fn the_help_and_the_readme_name_every_setting() {
        let readme = include_str!("../../README.md");
        for name in SETTABLE {
            assert!(EXAMPLES.contains(&format!("\n  {name}=")), "{name}");
            assert!(readme.contains(&format!("\n| `{name}` | ")), "{name}");
        }
    }
}
