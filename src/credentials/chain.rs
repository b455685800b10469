//! The local sources of credentials, in order.

mod sources;
#[cfg(test)]
mod tests;

use super::command::{Answer, Commands, Question};
use super::docker_config::DockerConfig;
use super::scope;
use super::{Credentials, CredentialsError};
use crate::config::{Config, Environment, HostConfig};
use crate::reference::grammar::DOCKER_HUB;
pub(super) use sources::Sources;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The name under which docker and its helpers keep the credentials of Docker Hub.
pub(super) const DOCKER_HUB_SERVER: &str = "https://index.docker.io/v1/";

/// The local sources of credentials, in order: environment, `config.yaml`, docker's `config.json`, podman's
/// `auth.json`.
///
/// Clones share what helpers answered. Files are read and helpers asked once: a process that outlives its
/// credentials (those of ECR last 12 hours) makes a new chain from time to time.
#[derive(Clone, Default)]
pub struct Chain {
    /// `IMAGE_CLONER_USER` and `_PASS`, for the host of `IMAGE_CLONER_REGISTRY` alone.
    environment: Option<(String, Credentials)>,
    parts: Arc<Parts>,
}

#[derive(Default)]
struct Parts {
    /// `IMAGE_CLONER_PULL_USER` and `_PULL_PASS`, for that host where there is one.
    pull: Option<(Option<String>, Credentials)>,
    hosts: BTreeMap<String, HostConfig>,
    /// docker's file before podman's, each with its path for messages.
    files: Vec<(String, DockerConfig)>,
    commands: Commands,
}

impl Chain {
    /// The chain of this machine: environment, `config.yaml`, docker's and podman's files.
    ///
    /// # Errors
    /// When a file that exists cannot be read or parsed, or a variable is given without its counterpart.
    pub fn local(environment: &Environment, config: &Config) -> Result<Self, CredentialsError> {
        Self::new(Sources::local(), environment, config)
    }

    fn new(
        sources: Sources,
        environment: &Environment,
        config: &Config,
    ) -> Result<Self, CredentialsError> {
        let host = bound_host(environment)?;
        let own = pair(environment, "USER", "PASS")?;
        let pull = pair(environment, "PULL_USER", "PULL_PASS")?;
        Ok(Self {
            environment: host.clone().zip(own),
            parts: Arc::new(Parts {
                pull: pull.map(|credentials| (host, credentials)),
                hosts: config.registries.clone(),
                files: sources.read()?,
                commands: Commands::new(sources.limit, sources.path),
            }),
        })
    }

    /// The same without what the environment has for the target registry. For whoever reads sources on behalf
    /// of others: with those credentials anybody would get to read what else is at the target's host.
    #[must_use]
    pub fn without_environment(&self) -> Self {
        Self {
            environment: None,
            parts: Arc::clone(&self.parts),
        }
    }

    /// Credentials for a repository: the first source that has some, else [`Credentials::Anonymous`].
    pub async fn find(
        &self,
        registry: &str,
        repository: &str,
    ) -> Result<Credentials, CredentialsError> {
        let found = self.locate(registry, repository).await?;
        Ok(found.map_or(Credentials::Anonymous, |(credentials, _)| credentials))
    }

    /// The same, with the source that has them as people know it; none where none has.
    pub async fn locate(
        &self,
        registry: &str,
        repository: &str,
    ) -> Result<Option<(Credentials, String)>, CredentialsError> {
        let host = scope::canonical(registry);
        if let Some((bound, credentials)) = &self.environment
            && *bound == host
        {
            return Ok(Some((credentials.clone(), "IMAGE_CLONER_USER".to_owned())));
        }
        let found = self.parts.search(&host, repository).await;
        found.map_err(|reason| CredentialsError::of_host(registry, reason))
    }

    /// Credentials that may be put into pull secrets for the target registry `host`: the pull user of the
    /// environment or of `config.yaml`; none when neither is given.
    ///
    /// The environment's are bound to the host of `IMAGE_CLONER_REGISTRY`. Without that variable they are
    /// for whichever target is asked for: unlike the others, they are never sent to a source.
    pub async fn for_pull(&self, registry: &str) -> Result<Option<Credentials>, CredentialsError> {
        let host = scope::canonical(registry);
        match &self.parts.pull {
            Some((None, credentials)) => return Ok(Some(credentials.clone())),
            Some((Some(bound), credentials)) if *bound == host => {
                return Ok(Some(credentials.clone()));
            }
            _ => {}
        }
        let Some(settings) = self.parts.hosts.get(&host) else {
            return Ok(None);
        };
        let (user, command) = (&settings.pull_username, &settings.pull_password_command);
        self.parts
            .password(user.as_deref(), command.as_deref())
            .await
            .map_err(|reason| CredentialsError::of_host(registry, format!("pull user: {reason}")))
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths = self.parts.files.iter().map(|(path, _)| path);
        f.debug_tuple("Chain")
            .field(&paths.collect::<Vec<_>>())
            .finish()
    }
}

/// Credentials and the name of their source, or why a source failed.
type Located = Result<Option<(Credentials, String)>, String>;

impl Parts {
    async fn search(&self, host: &str, repository: &str) -> Located {
        if let Some(settings) = self.hosts.get(host) {
            let (user, command) = (&settings.username, &settings.password_command);
            let found = self.password(user.as_deref(), command.as_deref()).await?;
            if let Some(found) = found {
                return Ok(Some((found, "passwordCommand in config.yaml".to_owned())));
            }
        }
        for (path, file) in &self.files {
            let found = self
                .search_file(path, file, host, repository)
                .await
                .map_err(|reason| format!("{path}: {reason}"))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// A helper for the host comes before the general one, and both before what the file itself holds.
    async fn search_file(
        &self,
        path: &str,
        file: &DockerConfig,
        host: &str,
        repository: &str,
    ) -> Located {
        let own_helper = file
            .helpers
            .iter()
            .find(|(scope, _)| scope.host == host && scope.has_path(repository))
            .map(|(_, helper)| helper);
        for name in own_helper.into_iter().chain(&file.store) {
            let server = if host == DOCKER_HUB {
                DOCKER_HUB_SERVER
            } else {
                host
            };
            let question = Question::Helper {
                name: name.clone(),
                server: server.to_owned(),
            };
            if let Some(found) = self.commands.ask(question).await? {
                return Ok(Some((found, format!("docker-credential-{name} ({path})"))));
            }
        }
        let entry = file
            .entries
            .iter()
            .find(|(scope, _)| scope.host == host && scope.has_path(repository));
        let entry = entry.map(|(_, entry)| entry.clone()).transpose()?;
        Ok(entry.map(|entry| (entry, path.to_owned())))
    }

    async fn password(&self, username: Option<&str>, command: Option<&str>) -> Answer {
        let (Some(username), Some(command)) = (username, command) else {
            return Ok(None);
        };
        let question = Question::Password {
            username: username.to_owned(),
            command: command.to_owned(),
        };
        self.commands.ask(question).await
    }
}

/// The host that the environment's credentials belong to.
fn bound_host(environment: &Environment) -> Result<Option<String>, CredentialsError> {
    let target = environment.registry();
    let target = target.map_err(|error| CredentialsError::of_file(error.to_string()))?;
    Ok(target.map(|target| target.host().to_owned()))
}

fn pair(
    environment: &Environment,
    user: &str,
    password: &str,
) -> Result<Option<Credentials>, CredentialsError> {
    let [given, missing] = match (environment.get(user), environment.get(password)) {
        (None, None) => return Ok(None),
        (Some(username), Some(password)) => {
            return Ok(Some(Credentials::Basic {
                username: username.to_owned(),
                password: password.into(),
            }));
        }
        (Some(_), None) => [user, password],
        (None, Some(_)) => [password, user],
    };
    Err(CredentialsError::of_file(format!(
        "IMAGE_CLONER_{given} is set, but not IMAGE_CLONER_{missing}"
    )))
}
