//! Configuration: the local file, the environment, and where they are.
//!
//! Decides which value wins (flags, then environment, then file) and what a value may be. Never decides
//! which credentials go where (that is [`crate::credentials`]).

use std::collections::BTreeMap;
use std::path::PathBuf;

/// `config.yaml`, as written by the user.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// The target registry when nothing nearer names one.
    pub registry: Option<String>,
    /// Per kube context.
    pub contexts: BTreeMap<String, ContextConfig>,
    /// `mirror` or `flat`.
    pub layout: Option<String>,
    /// `all`, `cluster` or a list of `os/arch`.
    pub platform: Option<String>,
    /// Namespaces that broad selections leave alone, besides the system's.
    pub skip_namespaces: Vec<String>,
    /// Workloads that serve the target registry itself: `NAMESPACE/NAME`.
    pub protect: Vec<String>,
    /// Per registry host.
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
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HostConfig {
    /// Where to really talk to it: URLs or `host[:port]`, tried in order.
    #[serde(deserialize_with = "one_or_many")]
    pub endpoint: Vec<String>,
    /// How much of transport security to give up.
    pub insecure: Option<Insecure>,
    /// PEM file with a further certificate authority.
    pub ca_file: Option<PathBuf>,
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

fn one_or_many<'de, D: serde::Deserializer<'de>>(
    _deserializer: D,
) -> Result<Vec<String>, D::Error> {
    todo!()
}

/// The `IMAGE_CLONER_*` variables, read once.
///
/// `Debug` never shows a password.
#[derive(Clone, Default)]
pub struct Environment {
    vars: BTreeMap<String, String>,
}

impl Environment {
    /// Reads the process's environment.
    pub fn from_process() -> Self {
        todo!()
    }

    /// The value of `IMAGE_CLONER_<name>`, trimmed; none when unset or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str)
    }

    /// A comma-separated list, spaces trimmed, empty items dropped.
    pub fn list(&self, _name: &str) -> Vec<String> {
        todo!()
    }
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
    /// Loads the file that the environment names (`IMAGE_CLONER_CONFIG`), else the one at its usual place;
    /// the default when there is none there.
    pub fn load(_environment: &Environment) -> Result<Self, ConfigError> {
        todo!()
    }

    /// The target registry by configuration alone: the context's, else the general one.
    pub fn registry_for(&self, _context: Option<&str>) -> Option<&str> {
        todo!()
    }
}
