//! Where this machine keeps credentials.

use crate::credentials::CredentialsError;
use crate::credentials::command::LIMIT;
use crate::credentials::docker_config::DockerConfig;
use directories::BaseDirs;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The places to look at, as values, so that tests can have their own.
pub(in crate::credentials) struct Sources {
    /// docker's and podman's files in the order they are asked.
    pub(in crate::credentials) files: Vec<PathBuf>,
    /// Where to look for helpers, if not where the process itself would.
    pub(in crate::credentials) path: Option<OsString>,
    /// How long a helper or password command may take.
    pub(in crate::credentials) limit: Duration,
}

impl Sources {
    pub(in crate::credentials) fn local() -> Self {
        let home = BaseDirs::new().map(|dirs| dirs.home_dir().to_owned());
        Self {
            files: files(|name| std::env::var_os(name), home.as_deref()),
            path: None,
            limit: LIMIT,
        }
    }

    /// Reads the files that exist.
    pub(super) fn read(&self) -> Result<Vec<(String, DockerConfig)>, CredentialsError> {
        let mut files = Vec::new();
        for file in &self.files {
            let path = file.display().to_string();
            let error = |reason| CredentialsError::of_file(format!("{path}: {reason}"));
            match std::fs::read(file) {
                Ok(json) => {
                    let config = DockerConfig::parse(&json).map_err(error)?;
                    files.push((path, config));
                }
                Err(cause) if is_absent(&cause) => {}
                Err(cause) => return Err(error(cause.to_string())),
            }
        }
        Ok(files)
    }
}

fn is_absent(cause: &std::io::Error) -> bool {
    matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// The files by docker's and podman's own rules.
pub(super) fn files(
    variable: impl Fn(&str) -> Option<OsString>,
    home: Option<&Path>,
) -> Vec<PathBuf> {
    let folder = |name| {
        variable(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let docker = folder("DOCKER_CONFIG").or_else(|| Some(home?.join(".docker")));
    let mut files: Vec<_> = docker
        .map(|folder| folder.join("config.json"))
        .into_iter()
        .collect();
    if let Some(file) = folder("REGISTRY_AUTH_FILE") {
        files.push(file);
        return files;
    }
    let config = folder("XDG_CONFIG_HOME").or_else(|| Some(home?.join(".config")));
    let podman = [folder("XDG_RUNTIME_DIR"), config];
    files.extend(
        podman
            .into_iter()
            .flatten()
            .map(|folder| folder.join("containers/auth.json")),
    );
    files
}
