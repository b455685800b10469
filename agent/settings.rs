//! Where the settings come from: the environment, and folders whose files are named like variables.
//!
//! Decides when they are read again: files are compared as they are, a few times a minute, which also works
//! where a mounted ConfigMap is swapped by a link. Never decides what a value means.

use image_cloner::config::{AgentSettings, Config, Environment};
use image_cloner::outcome::Failure;
use image_cloner::watch::Health;
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How soon a change is seen; the kubelet itself takes a minute to bring one.
const PAUSE: Duration = Duration::from_secs(2);
/// The file that `config.yaml` of the plugin is beside the variables.
const FILE: &str = "config.yaml";

/// Where settings come from.
pub(crate) struct Sources {
    environment: Environment,
    /// A later one goes before an earlier one.
    folders: Vec<PathBuf>,
}

/// What was read, and how to tell that it changed.
struct Read {
    variables: Vec<(String, String)>,
    stamp: u64,
}

impl Sources {
    pub(crate) fn new(folders: Vec<PathBuf>) -> Self {
        Self {
            environment: Environment::from_process(),
            folders,
        }
    }

    /// The settings as they are now.
    pub(crate) fn load(&self) -> Result<AgentSettings, Failure> {
        self.settings(self.read()?)
    }

    /// The settings from now on. Those that cannot be used are told of, and the old ones hold.
    pub(crate) async fn follow(self, settings: watch::Sender<Arc<AgentSettings>>, health: Health) {
        let mut stamp = self.read().map(|read| read.stamp).ok();
        loop {
            tokio::time::sleep(PAUSE).await;
            let read = match self.read() {
                Ok(read) if stamp == Some(read.stamp) => continue,
                Ok(read) => read,
                // while a folder is being swapped
                Err(error) => {
                    tracing::debug!("{error}");
                    continue;
                }
            };
            stamp = Some(read.stamp);
            match self.settings(read) {
                Ok(changed) => {
                    tracing::info!(target_registry = %changed.target, "settings changed");
                    health.well("settings");
                    settings.send_replace(Arc::new(changed));
                }
                Err(error) => {
                    tracing::error!("new settings cannot be used, the old ones hold: {error}");
                    health.trouble("settings", error.to_string());
                }
            }
        }
    }

    fn settings(&self, read: Read) -> Result<AgentSettings, Failure> {
        let folders: Environment = read.variables.into_iter().collect();
        let environment = folders.over(self.environment.clone());
        let unusable = |error: &dyn std::fmt::Display| Failure::new(error.to_string());
        let config = Config::load(&environment).map_err(|error| unusable(&error))?;
        AgentSettings::new(environment, config).map_err(|error| unusable(&error))
    }

    fn read(&self) -> Result<Read, Failure> {
        let mut hasher = DefaultHasher::new();
        let mut variables = Vec::new();
        for folder in &self.folders {
            for (path, text) in files(folder)? {
                path.hash(&mut hasher);
                text.hash(&mut hasher);
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                variables.push(if name == FILE {
                    let file = path.display().to_string();
                    ("IMAGE_CLONER_CONFIG".to_owned(), file)
                } else {
                    (name.into_owned(), text)
                });
            }
        }
        Ok(Read {
            variables,
            stamp: hasher.finish(),
        })
    }
}

/// The files of a folder, by name. Those that begin with a dot are the kubelet's own.
fn files(folder: &Path) -> Result<Vec<(PathBuf, String)>, Failure> {
    let failed = |error: std::io::Error| {
        let reading = format!("reading settings in {}", folder.display());
        Failure::new(error.to_string()).context(reading)
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') || !path.is_file() {
            continue;
        }
        let bytes = fs::read(&path).map_err(failed)?;
        files.push((path, String::from_utf8_lossy(&bytes).into_owned()));
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn sources(folders: &[&tempfile::TempDir]) -> Sources {
        Sources {
            environment: [
                ("IMAGE_CLONER_REGISTRY", "from.environment"),
                ("IMAGE_CLONER_MODE", "copy"),
            ]
            .into_iter()
            .collect(),
            folders: folders
                .iter()
                .map(|folder| folder.path().to_owned())
                .collect(),
        }
    }

    #[test]
    fn a_folder_goes_before_the_environment_and_a_later_one_before_an_earlier() {
        let first = folder(&[
            ("IMAGE_CLONER_REGISTRY", "first.corp\n"),
            ("IMAGE_CLONER_SKIP_NAMESPACES", "a"),
            ("..data", "the kubelet's"),
        ]);
        let second = folder(&[
            ("IMAGE_CLONER_REGISTRY", "second.corp\n"),
            ("config.yaml", "skipNamespaces: [b]\n"),
        ]);
        let settings = sources(&[&first, &second]).load().unwrap();
        assert_eq!(settings.target.to_string(), "second.corp");
        assert!(settings.skip_namespaces.matches("a") && settings.skip_namespaces.matches("b"));
        assert_eq!(settings.mode, image_cloner::config::Mode::Copy);
    }

    #[tokio::test]
    async fn a_change_is_taken_over_and_a_bad_one_is_not() {
        let folder = folder(&[("IMAGE_CLONER_REGISTRY", "old.corp")]);
        let sources = sources(&[&folder]);
        let (sender, mut settings) = watch::channel(Arc::new(sources.load().unwrap()));
        let health = Health::starting();
        health.well("workloads");
        let following = tokio::spawn(sources.follow(sender, health.clone()));
        // it looks as it is now before it looks for changes
        tokio::time::sleep(Duration::from_millis(100)).await;
        let write = |text: &str| {
            fs::write(folder.path().join("IMAGE_CLONER_REGISTRY"), text).unwrap();
        };
        write("new.corp");
        settings.changed().await.unwrap();
        let target =
            |settings: &watch::Receiver<Arc<AgentSettings>>| settings.borrow().target.to_string();
        assert_eq!(target(&settings), "new.corp");
        write("not a registry");
        while health.ready().is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(health.ready().unwrap_err().contains("not a registry"));
        assert_eq!(target(&settings), "new.corp");
        write("newer.corp");
        settings.changed().await.unwrap();
        assert_eq!(target(&settings), "newer.corp");
        assert_eq!(health.ready(), Ok(()));
        following.abort();
    }
}
