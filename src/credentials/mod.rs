//! Credentials: which ones belong to which host.
//!
//! Decides the order of sources (environment, `config.yaml`, docker's `config.json`, podman's
//! `auth.json`, anonymous) and the matching rules of pull secrets. Never sends credentials anywhere (that
//! is [`crate::registry`]) and never prints them: `Debug` shows only the user name.

use crate::config::{Config, Environment};
use secrecy::SecretString;
use std::fmt;

/// What a registry is told about who asks.
#[derive(Clone)]
pub enum Credentials {
    /// Nothing.
    Anonymous,
    /// User name and password.
    Basic {
        /// User name.
        username: String,
        /// Password or access token.
        password: SecretString,
    },
    /// An OAuth2 refresh token, as `docker login` stores it for registries such as ACR.
    IdentityToken(SecretString),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Basic { username, .. } => write!(f, "Basic({username})"),
            Self::IdentityToken(_) => f.write_str("IdentityToken"),
        }
    }
}

/// Why credentials could not be read; never contains any.
#[derive(Debug, thiserror::Error)]
#[error("reading credentials for {registry}: {reason}")]
pub struct CredentialsError {
    /// The host they were wanted for.
    pub registry: String,
    /// The source that failed and why.
    pub reason: String,
}

/// The local sources of credentials, in order.
#[derive(Debug, Clone, Default)]
pub struct Chain {
    // private: environment, config.yaml's hosts, docker's and podman's files
}

impl Chain {
    /// The chain of this machine: environment, `config.yaml`, docker's and podman's files.
    ///
    /// # Errors
    /// When a file that exists cannot be read or parsed.
    pub fn local(_environment: &Environment, _config: &Config) -> Result<Self, CredentialsError> {
        todo!()
    }

    /// Credentials for a repository: the first source that has some, else [`Credentials::Anonymous`].
    pub async fn find(
        &self,
        _registry: &str,
        _repository: &str,
    ) -> Result<Credentials, CredentialsError> {
        todo!()
    }

    /// Credentials that may be put into pull secrets for the target registry `host`: the pull user of the
    /// environment or of `config.yaml`; none when neither is given.
    pub async fn for_pull(&self, _registry: &str) -> Result<Option<Credentials>, CredentialsError> {
        todo!()
    }
}

/// The entries of `dockerconfigjson` pull secrets, with Kubernetes' matching rules.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    // private
}

impl Keyring {
    /// Adds the entries of a Secret's `.dockerconfigjson`.
    pub fn add_docker_config_json(&mut self, _json: &[u8]) -> Result<(), CredentialsError> {
        todo!()
    }

    /// Every match for a repository, most specific first.
    pub fn find(&self, _registry: &str, _repository: &str) -> Vec<Credentials> {
        todo!()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        todo!()
    }
}

/// A `.dockerconfigjson` with one entry more: `key` is `host[/prefix]`; other entries of `existing` are
/// kept. The bytes are the same for the same input, so that an unchanged secret is no write.
pub fn docker_config_json(
    _existing: Option<&[u8]>,
    _key: &str,
    _credentials: &Credentials,
) -> Result<Vec<u8>, CredentialsError> {
    todo!()
}
