//! Logins: what docker keeps for a registry, put there and taken away.
//!
//! Decides where that is: the credential helper that docker's `config.json` names for the host, else that
//! file. Everything else in the file stays as it is. Never asks a registry whether credentials are good.

use super::chain::{DOCKER_HUB_SERVER, Sources};
use super::command::{Commands, Question};
use super::docker_config::{DockerConfig, own_entry};
use super::scope::Scope;
use super::{Credentials, CredentialsError};
use crate::config::document::{self, Notation};
use crate::config::private;
use crate::reference::grammar::DOCKER_HUB;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// docker's `config.json` with its helpers.
pub struct Logins {
    path: PathBuf,
    /// podman's files, which are read like docker's and never written.
    others: Vec<PathBuf>,
    text: String,
    config: DockerConfig,
    commands: Commands,
}

/// Where a login is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keeper {
    /// `docker-credential-NAME`.
    Helper(String),
    /// docker's `config.json`, where everybody who can read the file can read it.
    File(PathBuf),
}

impl Logins {
    /// Those of this user.
    ///
    /// # Errors
    /// When docker's file cannot be read, or there is no place for it.
    pub fn local() -> Result<Self, CredentialsError> {
        Self::new(Sources::local())
    }

    pub(super) fn new(sources: Sources) -> Result<Self, CredentialsError> {
        let mut files = sources.files.into_iter();
        let path = files.next().ok_or_else(|| {
            CredentialsError::of_file(
                "there is no home folder for docker's config.json; set DOCKER_CONFIG",
            )
        })?;
        let error =
            |reason: String| CredentialsError::of_file(format!("{}: {reason}", path.display()));
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == ErrorKind::NotFound => String::new(),
            Err(cause) => return Err(error(cause.to_string())),
        };
        let config = DockerConfig::parse(text.as_bytes()).map_err(error)?;
        Ok(Self {
            path,
            others: files.collect(),
            text,
            config,
            commands: Commands::new(sources.limit, sources.path),
        })
    }

    /// Keeps credentials for a host, or for the repositories below a path on it.
    ///
    /// # Errors
    /// When the helper or the file does not take them; nothing is kept then.
    pub async fn store(
        &mut self,
        host: &str,
        path: &str,
        credentials: &Credentials,
    ) -> Result<Keeper, CredentialsError> {
        let error = |reason: String| CredentialsError::of_host(host, reason);
        let Some(helper) = self.config.helper_of(host).map(str::to_owned) else {
            let key = self.key(host, path);
            let entry = own_entry(credentials);
            let new = document::set(&self.text, Notation::Json, &["auths", &key], &entry);
            let new = new.map_err(|reason| error(self.in_file(&reason)))?;
            self.write(new).map_err(error)?;
            return Ok(Keeper::File(self.path.clone()));
        };
        if !path.is_empty() {
            return Err(error(format!(
                "docker-credential-{helper} keeps one login a host, none for {host}/{path} alone"
            )));
        }
        let stored = self
            .commands
            .store(&helper, server(host), credentials)
            .await;
        stored.map_err(error)?;
        // what the file had before is not to lie about
        self.forget(host, path).map_err(error)?;
        Ok(Keeper::Helper(helper))
    }

    /// Takes away what is kept for a host or path; gives where it was.
    ///
    /// # Errors
    /// When the helper or the file does not let go of it.
    pub async fn erase(&mut self, host: &str, path: &str) -> Result<Vec<Keeper>, CredentialsError> {
        let error = |reason: String| CredentialsError::of_host(host, reason);
        let mut kept = Vec::new();
        if path.is_empty()
            && let Some(helper) = self.config.helper_of(host).map(str::to_owned)
        {
            let question = Question::Helper {
                name: helper.clone(),
                server: server(host).to_owned(),
            };
            if self.commands.ask(question).await.map_err(error)?.is_some() {
                let erased = self.commands.erase(&helper, server(host)).await;
                erased.map_err(error)?;
                kept.push(Keeper::Helper(helper));
            }
        }
        if self.forget(host, path).map_err(error)? {
            kept.push(Keeper::File(self.path.clone()));
        }
        Ok(kept)
    }

    /// Files of podman's that have a login for a host or path, which stays.
    pub fn kept_by_podman(&self, host: &str, path: &str) -> Vec<&Path> {
        let has = |file: &&PathBuf| {
            let bytes = std::fs::read(file).unwrap_or_default();
            let config = DockerConfig::parse(&bytes);
            config.is_ok_and(|config| config.entries.iter().any(|(scope, _)| scope.is(host, path)))
        };
        let others = self.others.iter().filter(has);
        others.map(PathBuf::as_path).collect()
    }

    /// Takes the entries of a host or path out of the file, however they are spelled; gives whether there
    /// were credentials in one.
    fn forget(&mut self, host: &str, path: &str) -> Result<bool, String> {
        let keys = self.keys(host, path);
        let entries = &self.config.entries;
        let had = entries.iter().any(|(scope, _)| scope.is(host, path));
        let mut text = self.text.clone();
        for key in &keys {
            let new = document::remove(&text, Notation::Json, &["auths", key]);
            text = new.map_err(|reason| self.in_file(&reason))?.unwrap_or(text);
        }
        if !keys.is_empty() {
            self.write(text)?;
        }
        Ok(had)
    }

    /// The key for a host or path, as the file spells it already, else as docker would.
    fn key(&self, host: &str, path: &str) -> String {
        let found = self.keys(host, path).into_iter().next();
        found.unwrap_or_else(|| match path {
            "" => server(host).to_owned(),
            path => format!("{host}/{path}"),
        })
    }

    fn keys(&self, host: &str, path: &str) -> Vec<String> {
        let file = document::meaning(&self.text, Notation::Json).unwrap_or_default();
        let entries = file["auths"].as_object().into_iter().flatten();
        entries
            .map(|(key, _)| key.clone())
            .filter(|key| Scope::parse(key).is(host, path))
            .collect()
    }

    fn write(&mut self, text: String) -> Result<(), String> {
        let error = |reason: String| self.in_file(&reason);
        private::write(&self.path, text.as_bytes(), private::Mode::Owner)
            .map_err(|cause| error(cause.to_string()))?;
        self.config = DockerConfig::parse(text.as_bytes()).map_err(error)?;
        self.text = text;
        Ok(())
    }

    fn in_file(&self, reason: &str) -> String {
        format!("writing {}: {reason}", self.path.display())
    }
}

/// The name under which docker and its helpers keep a host.
fn server(host: &str) -> &str {
    if host == DOCKER_HUB {
        DOCKER_HUB_SERVER
    } else {
        host
    }
}

impl Keeper {
    /// The file, where it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Helper(_) => None,
            Self::File(path) => Some(path),
        }
    }
}
