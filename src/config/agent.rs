//! The agent's settings: what its variables and its `config.yaml` say, checked as a whole.
//!
//! Decides which values are accepted and what holds where nothing is said. Never reads a folder, and never
//! decides what the settings lead to (that is the loop).

#[cfg(test)]
mod tests;

use super::{Config, Environment, HostConfig};
use crate::plan::Patterns;
use crate::platform::{PlatformChoice, Platforms};
use crate::target::{Layout, TargetRegistry};
use crate::workload::Kind;
use std::collections::BTreeMap;
use std::time::Duration;

/// Kinds that the agent may watch: others are made by these, or cannot be changed.
const KINDS: [&str; 4] = ["Deployment", "StatefulSet", "DaemonSet", "CronJob"];

/// Transfers of big blobs at once per registry where nothing else is said: more of them fill no line
/// better, and each holds more than a megabyte.
const CONCURRENCY: usize = 5;
/// Rollouts that may be unfinished at a time where nothing else is said.
const MAX_ROLLOUTS: usize = 10;
/// How often everything is looked at again where nothing else is said: as often as controllers made with
/// controller-runtime do.
const RESYNC: Duration = Duration::from_secs(10 * 60 * 60);

/// How far the agent goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// It looks, and says what it would do.
    Observe,
    /// It copies images and repoints nothing.
    Copy,
    /// It copies and repoints.
    #[default]
    Clone,
}

/// What the agent works by.
#[derive(Debug, Clone)]
pub struct AgentSettings {
    /// Where copies go.
    pub target: TargetRegistry,
    /// Where registries are really talked to, and how.
    pub registries: BTreeMap<String, HostConfig>,
    /// The only namespaces it works in; none is all.
    pub namespaces: Vec<String>,
    /// Namespaces that it leaves alone, besides the system's.
    pub skip_namespaces: Patterns,
    /// The kinds it watches; never none.
    pub kinds: Vec<Kind>,
    /// How far it goes.
    pub mode: Mode,
    /// Whether what another tool would revert is repointed all the same.
    pub owned_live: bool,
    /// Whether StatefulSets and Deployments that are recreated are repointed too.
    pub stateful: bool,
    /// Rollouts that may be unfinished at a time once one has shown that nodes pull; none is no limit.
    pub max_rollouts: Option<usize>,
    /// How often everything is looked at again, in the target too; none is never.
    pub resync: Option<Duration>,
    /// How often tags are looked up again and copied where they have moved; none is never.
    pub refresh: Option<Duration>,
    /// Which platforms are copied.
    pub platforms: PlatformChoice,
    /// Transfers of big blobs at once per registry.
    pub concurrency: usize,
    /// Whether the push credentials may go into pull secrets.
    pub share_credentials: bool,
    /// The file, for what is not named here.
    pub config: Config,
    /// The variables, for what is not named here: credentials.
    pub environment: Environment,
}

/// Why settings cannot be used: the variable or key, its value and the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SettingsError(pub(super) String);

impl AgentSettings {
    /// Reads them; the variables go before the file.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub fn new(environment: Environment, config: Config) -> Result<Self, SettingsError> {
        let values = Values(&environment);
        let (target, registries) = values.target(&config)?;
        let names = environment.list("SKIP_NAMESPACES");
        let skip_namespaces = Patterns::parse(config.skip_namespaces.iter().chain(&names))
            .map_err(|error| refused("IMAGE_CLONER_SKIP_NAMESPACES", error))?;
        Ok(Self {
            target,
            registries,
            namespaces: environment.list("NAMESPACES"),
            skip_namespaces,
            kinds: values.kinds(&config.kinds)?,
            mode: values.one_of(
                "MODE",
                &[
                    ("clone", Mode::Clone),
                    ("copy", Mode::Copy),
                    ("observe", Mode::Observe),
                ],
            )?,
            owned_live: values.one_of("OWNED", &[("copy", false), ("live", true)])?,
            stateful: environment.switch("STATEFUL")?.unwrap_or(false),
            max_rollouts: match values.number("MAX_ROLLOUTS", 0, 100_000)? {
                Some(0) => None,
                given => Some(given.unwrap_or(MAX_ROLLOUTS)),
            },
            resync: values.interval("RESYNC", Some(RESYNC))?,
            refresh: values.interval("REFRESH", None)?,
            platforms: values.platforms(&config)?,
            concurrency: values.number("CONCURRENCY", 1, 256)?.unwrap_or(CONCURRENCY),
            share_credentials: environment.switch("SHARE_CREDENTIALS")?.unwrap_or(false),
            config,
            environment,
        })
    }
}

/// The variables, one at a time.
struct Values<'a>(&'a Environment);

impl Values<'_> {
    /// The target registry, and the settings of all registries with the way there.
    fn target(
        &self,
        config: &Config,
    ) -> Result<(TargetRegistry, BTreeMap<String, HostConfig>), SettingsError> {
        let name = self.0.get("REGISTRY").or(config.registry.as_deref());
        let name = name.ok_or_else(|| {
            SettingsError(
                "no target registry is named: IMAGE_CLONER_REGISTRY is HOST[:PORT][/PREFIX]".into(),
            )
        })?;
        let parse = |layout| {
            TargetRegistry::parse(name, layout)
                .map_err(|error| refused("IMAGE_CLONER_REGISTRY", error))
        };
        let host = parse(Layout::default())?.host().to_owned();
        let mut registries = config.registries.clone();
        let own = registries.get(&host).and_then(|own| own.layout.as_deref());
        let layout = self.0.get("LAYOUT").or(own).or(config.layout.as_deref());
        let layout = layout.map(str::parse::<Layout>).transpose();
        let layout = layout.map_err(|error| refused("IMAGE_CLONER_LAYOUT", error))?;
        if let Some(endpoint) = self.0.endpoint()? {
            let own = registries.entry(host).or_default();
            own.endpoint = vec![endpoint.to_owned()];
        }
        Ok((parse(layout.unwrap_or_default())?, registries))
    }

    fn kinds(&self, of_file: &[String]) -> Result<Vec<Kind>, SettingsError> {
        let named = self.0.list("KINDS");
        let named = if named.is_empty() { of_file } else { &named };
        if named.is_empty() {
            return Ok(Kind::from_word("deployments").into_iter().collect());
        }
        let mut kinds = Vec::new();
        for word in named {
            let kind = Kind::from_word(word).filter(|kind| KINDS.contains(&kind.kind.as_str()));
            let kind = kind.ok_or_else(|| {
                let known = KINDS.join(", ");
                SettingsError(format!(
                    "IMAGE_CLONER_KINDS: {word:?} is not one of {known}"
                ))
            })?;
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        Ok(kinds)
    }

    /// The value of one of these words; of the first where nothing is said.
    fn one_of<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Result<T, SettingsError> {
        let text = self.0.get(name).unwrap_or(words[0].0);
        let found = words
            .iter()
            .find(|(word, _)| text.eq_ignore_ascii_case(word));
        found.map(|(_, value)| *value).ok_or_else(|| {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let known = known.join(", ");
            SettingsError(format!(
                "IMAGE_CLONER_{name} is {text:?}: not one of {known}"
            ))
        })
    }

    fn number(
        &self,
        name: &str,
        least: usize,
        most: usize,
    ) -> Result<Option<usize>, SettingsError> {
        let Some(text) = self.0.get(name) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => Err(SettingsError(format!(
                "IMAGE_CLONER_{name} is {text:?}: give a number from {least} to {most}"
            ))),
        }
    }

    /// A time such as `10h` or `1h 30m`; `off` is none.
    fn interval(
        &self,
        name: &str,
        default: Option<Duration>,
    ) -> Result<Option<Duration>, SettingsError> {
        let Some(text) = self.0.get(name) else {
            return Ok(default);
        };
        if text.eq_ignore_ascii_case("off") || text == "0" {
            return Ok(None);
        }
        let time = text.parse::<jiff::SignedDuration>().ok();
        let time = time.and_then(|time| Duration::try_from(time).ok());
        match time {
            Some(time) if time >= Duration::from_secs(1) => Ok(Some(time)),
            _ => Err(SettingsError(format!(
                "IMAGE_CLONER_{name} is {text:?}: give a time such as 10h or 30m, or off"
            ))),
        }
    }

    fn platforms(&self, config: &Config) -> Result<PlatformChoice, SettingsError> {
        match self.0.get("PLATFORM").or(config.platform.as_deref()) {
            None => Ok(PlatformChoice::Named(Platforms::All)),
            Some(text) => text
                .parse()
                .map_err(|error| refused("IMAGE_CLONER_PLATFORM", error)),
        }
    }
}

fn refused(name: &str, error: impl std::fmt::Display) -> SettingsError {
    SettingsError(format!("{name}: {error}"))
}
