//! Credentials: which ones belong to which host.
//!
//! Decides the order of sources (environment, `config.yaml`, docker's `config.json`, podman's
//! `auth.json`, anonymous) and the matching rules of pull secrets. Never sends credentials anywhere (that
//! is [`crate::registry`]) and never prints them: `Debug` shows only the user name.

mod chain;
mod command;
mod docker_config;
mod keyring;
mod login;
mod scope;

pub use chain::Chain;
pub use docker_config::docker_config_json;
pub use keyring::Keyring;
pub use login::{Keeper, Logins};

use secrecy::SecretString;
use std::fmt;
use std::hash::{Hash, Hasher};

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

impl Credentials {
    /// The user name, where there is one.
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::Basic { username, .. } => Some(username),
            Self::Anonymous | Self::IdentityToken(_) => None,
        }
    }
}

/// The same to a registry.
impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        use secrecy::ExposeSecret as _;
        match (self, other) {
            (Self::Anonymous, Self::Anonymous) => true,
            (
                Self::Basic { username, password },
                Self::Basic {
                    username: other_username,
                    password: other_password,
                },
            ) => {
                username == other_username
                    && password.expose_secret() == other_password.expose_secret()
            }
            (Self::IdentityToken(token), Self::IdentityToken(other)) => {
                token.expose_secret() == other.expose_secret()
            }
            _ => false,
        }
    }
}

impl Eq for Credentials {}

impl Hash for Credentials {
    fn hash<H: Hasher>(&self, state: &mut H) {
        use secrecy::ExposeSecret as _;
        match self {
            Self::Anonymous => {}
            Self::Basic { username, password } => {
                (username, password.expose_secret()).hash(state);
            }
            Self::IdentityToken(token) => token.expose_secret().hash(state),
        }
    }
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
#[error("reading credentials{}: {reason}", registry.as_ref().map(|host| format!(" for {host}")).unwrap_or_default())]
pub struct CredentialsError {
    /// The host they were wanted for; none when it is a whole file that cannot be read.
    pub registry: Option<String>,
    /// The source that failed and why.
    pub reason: String,
}

impl CredentialsError {
    fn of_host(registry: &str, reason: impl Into<String>) -> Self {
        Self {
            registry: Some(registry.to_owned()),
            reason: reason.into(),
        }
    }

    fn of_file(reason: impl Into<String>) -> Self {
        Self {
            registry: None,
            reason: reason.into(),
        }
    }
}
