//! `config.yaml` as a file that is changed on its owner's behalf.
//!
//! Decides that nothing is written that would not load. Never changes what it was not asked to: comments
//! and order stay.

use super::document::{self, Notation};
use super::keys::{KeyError, Place};
use super::{Config, ConfigError, Environment, locate, private};
use crate::reference::grammar;
use serde_json::Value;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

/// The user's `config.yaml`, there or not.
#[derive(Clone)]
pub struct ConfigFile {
    path: PathBuf,
    text: String,
    exists: bool,
}

impl ConfigFile {
    /// The file that the environment names, else the one at its usual place; empty where there is none.
    ///
    /// # Errors
    /// When it cannot be read, or there is no place for it.
    pub fn open(environment: &Environment) -> Result<Self, ConfigError> {
        let named = environment.get("CONFIG").map(PathBuf::from);
        let path = named
            .or_else(locate::usual_place)
            .ok_or_else(|| ConfigError {
                path: "config.yaml".to_owned(),
                reason: "there is no home folder to keep it in; set IMAGE_CLONER_CONFIG".to_owned(),
            })?;
        let (text, exists) = match std::fs::read_to_string(&path) {
            Ok(text) => (text, true),
            Err(cause) if is_missing(&cause) => (String::new(), false),
            Err(cause) => return Err(error(&path, cause.to_string())),
        };
        Ok(Self { path, text, exists })
    }

    /// Where it is, or would be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is there.
    pub fn exists(&self) -> bool {
        self.exists
    }

    /// What stands in it, as it stands there.
    ///
    /// # Errors
    /// When it is not YAML.
    pub fn contents(&self) -> Result<Value, ConfigError> {
        document::meaning(&self.text, Notation::Yaml).map_err(|reason| error(&self.path, reason))
    }

    /// Sets a key to a value as it was typed.
    ///
    /// # Errors
    /// When there is no such key, or the value is not of its form. Whether it is right is seen when the
    /// file is saved.
    pub fn set(&mut self, place: &Place, key: &str, value: &str) -> Result<(), KeyError> {
        let value = place.form(key)?.read(key, value)?;
        let path = self.path_of(place, key)?;
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let new = document::set(&self.text, Notation::Yaml, &path, &value);
        self.text = new.map_err(|reason| self.by_hand(&reason))?;
        Ok(())
    }

    /// Takes a key out; gives whether it was there.
    ///
    /// # Errors
    /// When there is no such key at all.
    pub fn unset(&mut self, place: &Place, key: &str) -> Result<bool, KeyError> {
        place.form(key)?;
        let path = self.path_of(place, key)?;
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let new = document::remove(&self.text, Notation::Yaml, &path);
        match new.map_err(|reason| self.by_hand(&reason))? {
            Some(text) => self.text = text,
            None => return Ok(false),
        }
        Ok(true)
    }

    /// What it comes to.
    ///
    /// # Errors
    /// When it would not load.
    pub fn config(&self) -> Result<Config, ConfigError> {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        Config::parse(&self.text, folder).map_err(|reason| error(&self.path, reason))
    }

    /// Writes it, in one step, and only where it loads.
    pub fn save(&self) -> Result<(), ConfigError> {
        self.config()?;
        private::write(&self.path, self.text.as_bytes(), private::Mode::Kept).map_err(|cause| {
            ConfigError {
                path: self.path.display().to_string(),
                reason: format!("it cannot be written: {cause}"),
            }
        })
    }

    /// The keys that lead to an entry, with the host or context as the file spells it.
    fn path_of(&self, place: &Place, key: &str) -> Result<Vec<String>, KeyError> {
        let path = match place {
            Place::General => vec![],
            Place::Context(name) => vec!["contexts".to_owned(), name.clone()],
            Place::Host(host) => {
                let canonical = grammar::canonical_host(host).map_err(|message| KeyError {
                    message,
                    hint: None,
                })?;
                let contents = self.contents().unwrap_or_default();
                let hosts = contents["registries"].as_object().into_iter().flatten();
                let spelled = hosts
                    .map(|(spelled, _)| spelled)
                    .find(|spelled| grammar::canonical_host(spelled).as_ref() == Ok(&canonical));
                let host = spelled.cloned().unwrap_or(canonical);
                vec!["registries".to_owned(), host]
            }
        };
        Ok(path.into_iter().chain([key.to_owned()]).collect())
    }

    fn by_hand(&self, reason: &str) -> KeyError {
        KeyError {
            message: format!("changing {}: {reason}", self.path.display()),
            hint: Some("change it in an editor".to_owned()),
        }
    }
}

/// Whether there is nothing, not even a folder that it could be in: a home may be `/dev/null`.
fn is_missing(cause: &Error) -> bool {
    matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn error(path: &Path, reason: String) -> ConfigError {
    ConfigError {
        path: path.display().to_string(),
        reason,
    }
}
