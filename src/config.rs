//! Configuration: the local file, the environment, and where they are.
//!
//! Decides which value wins (flags, then environment, then file) and what a value may be. Never decides
//! which credentials go where (that is [`crate::credentials`]).

mod agent;
mod agent_file;
pub(crate) mod document;
mod endpoint;
mod environment;
mod file;
mod keys;
mod layout;
mod locate;
pub(crate) mod private;
#[cfg(test)]
mod tests;
mod view;

pub use agent::{AgentSettings, Mode, SettingsError};
pub use agent_file::AgentFile;
pub use environment::{Environment, switch};
pub use file::ConfigFile;
pub use keys::{KeyError, Place};
pub use private::overwrite;
pub use view::{Override, Setting, in_force};

use crate::plan;
use crate::platform::PlatformChoice;
use crate::reference::grammar;
use crate::target::{Layout, TargetRegistry};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZero;
use std::path::{Path, PathBuf};

/// `config.yaml`, as written by the user.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// The target registry when nothing nearer names one.
    pub registry: Option<String>,
    /// Per kube context.
    #[serde(deserialize_with = "or_none")]
    pub contexts: BTreeMap<String, ContextConfig>,
    /// `mirror` or `flat`.
    pub layout: Option<String>,
    /// `all`, `cluster` or a list of `os/arch[/variant]`.
    pub platform: Option<String>,
    /// What "every workload" means to a clone: types as on the command line.
    #[serde(deserialize_with = "or_none")]
    pub kinds: Vec<String>,
    /// Namespaces that broad selections leave alone, besides the system's; globs.
    #[serde(deserialize_with = "or_none")]
    pub skip_namespaces: Vec<String>,
    /// Workloads that serve the target registry itself: `NAMESPACE/NAME`.
    #[serde(deserialize_with = "or_none")]
    pub protect: Vec<String>,
    /// Per registry host, by its canonical name: `docker.io`, `registry.corp:5443`.
    #[serde(deserialize_with = "or_none")]
    pub registries: BTreeMap<String, HostConfig>,
}

/// Settings of one kube context.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ContextConfig {
    /// The target registry in this context.
    pub registry: Option<String>,
}

/// Settings of one registry host.
#[derive(Clone, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HostConfig {
    /// Where to really talk to it (a target's push address; a source's credentials go there only where
    /// `username` is set, or on loopback): URLs or `host[:port]`, tried in order.
    #[serde(deserialize_with = "endpoint::one_or_many")]
    pub endpoint: Vec<String>,
    /// How much of transport security to give up.
    pub insecure: Option<Insecure>,
    /// PEM file with a further certificate authority; relative to the folder of `config.yaml`.
    pub ca_file: Option<PathBuf>,
    /// Blob transfers at once with this registry, and small requests at once, whatever is allowed elsewhere:
    /// for one that takes few connections, or many.
    pub concurrency: Option<NonZero<u16>>,
    /// `mirror` or `flat`, for copies in this registry.
    pub layout: Option<String>,
    /// User name.
    pub username: Option<String>,
    /// A command that prints the password.
    pub password_command: Option<String>,
    /// User name for pulling, as it goes into pull secrets.
    pub pull_username: Option<String>,
    /// A command that prints the pull password.
    pub pull_password_command: Option<String>,
}

/// How much of transport security to give up for one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Insecure {
    /// Plain HTTP.
    Http,
    /// TLS without checking the certificate.
    SkipVerify,
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("reading configuration {path}: {reason}")]
pub struct ConfigError {
    /// The file.
    pub path: String,
    /// What is wrong in it, and where.
    pub reason: String,
}

impl Config {
    /// The workloads that serve this target registry, as far as they are named or called as a Service by which
    /// it is reached.
    pub fn protected(
        &self,
        target: &TargetRegistry,
        registries: &BTreeMap<String, HostConfig>,
    ) -> BTreeSet<String> {
        let endpoints = registries.get(target.host());
        let endpoints = endpoints.into_iter().flat_map(|own| &own.endpoint);
        let addresses = endpoints.map(String::as_str).chain([target.host()]);
        let behind = addresses.filter_map(plan::behind);
        self.protect.iter().cloned().chain(behind).collect()
    }

    /// Loads the file that the environment names (`IMAGE_CLONER_CONFIG`), else the one at its usual place;
    /// the default when there is none there.
    pub fn load(environment: &Environment) -> Result<Self, ConfigError> {
        let is_named = environment.get("CONFIG").is_some();
        if !is_named && locate::usual_place().is_none() {
            return Ok(Self::default());
        }
        let file = ConfigFile::open(environment)?;
        if is_named && !file.exists() {
            return Err(ConfigError {
                path: file.path().display().to_string(),
                reason: "there is no such file".to_owned(),
            });
        }
        file.config()
    }

    /// The target registry by configuration alone: the context's, else the general one.
    pub fn registry_for(&self, context: Option<&str>) -> Option<&str> {
        context
            .and_then(|context| self.contexts.get(context)?.registry.as_deref())
            .or(self.registry.as_deref())
    }

    fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        // without the excerpt: the offending line may be a password that somebody tried to put there
        let options = serde_saphyr::options! { with_snippet: false };
        let config: Option<Self> = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| error.to_string())?;
        let mut config = config.unwrap_or_default();
        config.check()?;
        let mut registries = BTreeMap::new();
        for (key, mut host) in config.registries {
            let in_host = |reason: String| format!("registries: {key:?}: {reason}");
            let name = grammar::canonical_host(&key).map_err(in_host)?;
            host.check().map_err(in_host)?;
            host.ca_file = host.ca_file.map(|file| folder.join(file));
            if registries.insert(name, host).is_some() {
                return Err(in_host(
                    "is there already under another spelling".to_owned(),
                ));
            }
        }
        config.registries = registries;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        let target = |registry: &String| {
            TargetRegistry::parse(registry, Layout::default())
                .map(drop)
                .map_err(|error| error.to_string())
        };
        if let Some(registry) = &self.registry {
            target(registry).map_err(|reason| format!("registry: {reason}"))?;
        }
        for (context, settings) in &self.contexts {
            if let Some(registry) = &settings.registry {
                target(registry)
                    .map_err(|reason| format!("contexts: {context:?}: registry: {reason}"))?;
            }
        }
        check_layout(self.layout.as_deref())?;
        if let Some(platform) = &self.platform {
            platform
                .parse::<PlatformChoice>()
                .map_err(|reason| format!("platform: {reason}"))?;
        }
        for workload in &self.protect {
            let parts: Vec<_> = workload.split('/').collect();
            if parts.len() != 2 || parts.contains(&"") {
                return Err(format!("protect: {workload:?} is not NAMESPACE/NAME"));
            }
        }
        Ok(())
    }
}

/// Reads a key whose entries were all taken out, or made comments, for one without entries.
fn or_none<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de> + Default,
{
    let given: Option<T> = serde::Deserialize::deserialize(deserializer)?;
    Ok(given.unwrap_or_default())
}

fn check_layout(layout: Option<&str>) -> Result<(), String> {
    let read = layout.map(str::parse::<Layout>).transpose();
    read.map(drop).map_err(|reason| format!("layout: {reason}"))
}

/// Shows no command: people do write `echo <password>`.
impl fmt::Debug for HostConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostConfig")
            .field("endpoint", &self.endpoint)
            .field("insecure", &self.insecure)
            .field("ca_file", &self.ca_file)
            .field("concurrency", &self.concurrency)
            .field("layout", &self.layout)
            .field("username", &self.username)
            .field("pull_username", &self.pull_username)
            .finish_non_exhaustive()
    }
}

impl HostConfig {
    fn check(&self) -> Result<(), String> {
        check_layout(self.layout.as_deref())?;
        for (user, command, names) in [
            (
                &self.username,
                &self.password_command,
                ["username", "passwordCommand"],
            ),
            (
                &self.pull_username,
                &self.pull_password_command,
                ["pullUsername", "pullPasswordCommand"],
            ),
        ] {
            let [given, missing] = match (user, command) {
                (Some(_), None) => names,
                (None, Some(_)) => [names[1], names[0]],
                _ => continue,
            };
            return Err(format!("{given} needs {missing} beside it"));
        }
        Ok(())
    }
}
