//! Writing a target registry into the configuration file.
//!
//! Adds what is not there. Never changes a line that somebody wrote.

use super::{Config, ConfigError, Environment, locate};
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

impl Config {
    /// Keeps a target registry as the general one, in the file that [`Self::load`] reads; gives its path.
    ///
    /// # Errors
    /// When the file cannot be written, or names a registry already.
    pub fn remember_registry(
        environment: &Environment,
        registry: &str,
    ) -> Result<PathBuf, ConfigError> {
        let path = environment.get("CONFIG").map(PathBuf::from);
        let path = path.or_else(locate::usual_place).ok_or(ConfigError {
            path: "config.yaml".to_owned(),
            reason: "there is no home folder to keep it in".to_owned(),
        })?;
        match append(&path, registry) {
            Ok(()) => Ok(path),
            Err(reason) => Err(ConfigError {
                path: path.display().to_string(),
                reason: format!("adding `registry: {registry}`: {reason}"),
            }),
        }
    }
}

fn append(path: &Path, registry: &str) -> Result<(), String> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let before = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::create_dir_all(folder).map_err(|error| error.to_string())?;
            String::new()
        }
        Err(error) => return Err(error.to_string()),
    };
    let line_end = if before.is_empty() || before.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    let addition = format!("{line_end}registry: {registry}\n");
    // also a file in another style, in which a further line has no place
    let after = Config::parse(&format!("{before}{addition}"), folder)?;
    if after.registry.as_deref() != Some(registry) {
        return Err("the file would not be read so".to_owned());
    }
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map_err(|error| error.to_string())?;
    file.write_all(addition.as_bytes())
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_added_below_what_is_there_and_nothing_is_changed() {
        let check = |before: Option<&str>, expected: Result<&str, &str>| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("image-cloner").join("config.yaml");
            if let Some(text) = before {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, text).unwrap();
            }
            let environment =
                Environment::from_iter([("IMAGE_CLONER_CONFIG", path.to_str().unwrap())]);
            let kept = Config::remember_registry(&environment, "reg.corp:5000/mirror");
            match expected {
                Ok(text) => {
                    assert_eq!(kept.unwrap(), path);
                    assert_eq!(fs::read_to_string(&path).unwrap(), text);
                }
                Err(reason) => {
                    let error = kept.unwrap_err().to_string();
                    assert!(error.contains(reason), "{error}");
                    assert_eq!(fs::read_to_string(&path).ok().as_deref(), before);
                }
            }
        };
        check(None, Ok("registry: reg.corp:5000/mirror\n"));
        check(
            Some("# mine\nlayout: flat # why"),
            Ok("# mine\nlayout: flat # why\nregistry: reg.corp:5000/mirror\n"),
        );
        check(Some("registry: other.corp\n"), Err("registry"));
        check(Some("{layout: flat}\n"), Err("adding `registry: reg.corp"));
    }
}
