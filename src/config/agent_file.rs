//! A `config.yaml` for the agent, with the files that it names.
//!
//! Decides what of it makes sense in a pod.

use super::document::{self, Notation};
use super::{Config, ConfigError, Environment, HostConfig, Insecure};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// The entries of a ConfigMap that a `config.yaml` becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentFile {
    /// `config.yaml`, and `ca-HOST.crt` for each certificate authority that it names.
    pub entries: BTreeMap<String, String>,
}

impl AgentFile {
    /// Reads a file and those that it names. Its text stays as it is where it names none.
    ///
    /// # Errors
    /// When it cannot be read, or asks for commands: there are none in the agent's image.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let error = |reason: String| ConfigError {
            path: path.display().to_string(),
            reason,
        };
        let text = std::fs::read_to_string(path).map_err(|cause| error(cause.to_string()))?;
        let named = [("IMAGE_CLONER_CONFIG", path.display().to_string())];
        let config = Config::load(&named.into_iter().collect::<Environment>())?;
        let mut entries = BTreeMap::new();
        for (host, settings) in &config.registries {
            if settings.password_command.is_some() || settings.pull_password_command.is_some() {
                return Err(error(format!(
                    "registries: {host:?}: the agent can run no passwordCommand: its credentials are in \
                     IMAGE_CLONER_USER and _PASS"
                )));
            }
            if let Some(file) = &settings.ca_file {
                let authority = std::fs::read_to_string(file)
                    .map_err(|cause| error(format!("caFile {}: {cause}", file.display())))?;
                entries.insert(authority_of(host), authority);
            }
        }
        let text = if entries.is_empty() {
            text
        } else {
            renamed(&text).map_err(error)?
        };
        entries.insert(Self::NAME.to_owned(), text);
        Ok(Self { entries })
    }
}

impl AgentFile {
    /// The entry with the configuration itself.
    pub const NAME: &str = "config.yaml";

    /// A configuration that also says how far a host is to be trusted, as it is here; none where nothing is
    /// said of it here, or something there.
    ///
    /// # Errors
    /// When its certificate authority cannot be read, or the configuration is none.
    pub fn with_host(
        text: &str,
        host: &str,
        settings: &HostConfig,
    ) -> Result<Option<Self>, ConfigError> {
        let error = |path: &str, reason: String| ConfigError {
            path: path.to_owned(),
            reason,
        };
        let known =
            Config::parse(text, Path::new("")).map_err(|reason| error(Self::NAME, reason))?;
        let mut own = Map::new();
        let mut entries = BTreeMap::new();
        if let Some(insecure) = settings.insecure {
            let word = match insecure {
                Insecure::Http => "http",
                Insecure::SkipVerify => "skip-verify",
            };
            own.insert("insecure".to_owned(), word.into());
        }
        if let Some(file) = &settings.ca_file {
            let authority = std::fs::read_to_string(file)
                .map_err(|cause| error(&file.display().to_string(), cause.to_string()))?;
            own.insert("caFile".to_owned(), authority_of(host).into());
            entries.insert(authority_of(host), authority);
        }
        if own.is_empty() || known.registries.contains_key(host) {
            return Ok(None);
        }
        let path = ["registries", host];
        let text = document::set(text, Notation::Yaml, &path, &own.into());
        let text = text.map_err(|reason| error(Self::NAME, reason))?;
        entries.insert(Self::NAME.to_owned(), text);
        Ok(Some(Self { entries }))
    }
}

/// The entry with a host's certificate authority.
fn authority_of(host: &str) -> String {
    format!("ca-{}.crt", host.replace(':', "_"))
}

/// The same configuration with its certificate authorities beside it.
fn renamed(text: &str) -> Result<String, String> {
    let options = serde_saphyr::options! { with_snippet: false };
    let mut document: Value =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())?;
    let registries = document["registries"].as_object_mut();
    for (host, settings) in registries.into_iter().flatten() {
        let name = crate::reference::grammar::canonical_host(host)?;
        if settings.get("caFile").is_some() {
            settings["caFile"] = authority_of(&name).into();
        }
    }
    serde_saphyr::to_string(&document).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn certificate_authorities_come_along_under_names_that_a_config_map_takes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.yaml");
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("root.pem", "PEM");
        write(
            "agent.yaml",
            "registries:\n  'Reg.corp:5443': {caFile: root.pem, endpoint: 'https://reg'}\n",
        );
        let read = AgentFile::read(&path).unwrap().entries;
        assert_eq!(read["ca-reg.corp_5443.crt"], "PEM");
        let config: Value = serde_saphyr::from_str(&read["config.yaml"]).unwrap();
        let own = &config["registries"]["Reg.corp:5443"];
        assert_eq!(own["caFile"], "ca-reg.corp_5443.crt");
        assert_eq!(own["endpoint"], "https://reg");

        // comments stay where nothing has to change
        write("agent.yaml", "# ours\nlayout: flat\n");
        let read = AgentFile::read(&path).unwrap().entries;
        assert_eq!(read["config.yaml"], "# ours\nlayout: flat\n");
    }

    #[test]
    fn how_the_target_is_trusted_here_goes_along() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.pem");
        std::fs::write(&path, "PEM").unwrap();
        let trusted = HostConfig {
            ca_file: Some(path),
            insecure: Some(Insecure::SkipVerify),
            ..HostConfig::default()
        };
        let with = |text: &str, settings: &HostConfig| {
            let file = AgentFile::with_host(text, "reg.corp:5443", settings).unwrap();
            file.map(|file| file.entries)
        };
        let entries = with("", &trusted).unwrap();
        assert_eq!(entries["ca-reg.corp_5443.crt"], "PEM");
        let config: Value = serde_saphyr::from_str(&entries["config.yaml"]).unwrap();
        assert_eq!(
            config["registries"]["reg.corp:5443"],
            json!({"caFile": "ca-reg.corp_5443.crt", "insecure": "skip-verify"})
        );
        // what is there stays as it is, and goes before
        let ours = "# ours\nregistries:\n  docker.io: {endpoint: 'https://hub'}\n";
        let both = with(ours, &trusted).unwrap();
        assert!(both["config.yaml"].starts_with(ours), "{both:?}");
        let config: Value = serde_saphyr::from_str(&both["config.yaml"]).unwrap();
        assert_eq!(
            config["registries"]["reg.corp:5443"]["insecure"],
            "skip-verify"
        );
        assert_eq!(with(&both["config.yaml"], &trusted), None);
        let elsewhere = HostConfig {
            endpoint: vec!["http://127.0.0.1:5000".to_owned()],
            ..HostConfig::default()
        };
        assert_eq!(with("", &elsewhere), None);
    }

    #[test]
    fn commands_are_refused_since_there_is_nothing_to_run_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.yaml");
        let text = "registries:\n  reg.corp: {username: me, passwordCommand: pass show reg}\n";
        std::fs::write(&path, text).unwrap();
        let error = AgentFile::read(&path).unwrap_err().to_string();
        assert!(
            error.contains("\"reg.corp\": the agent can run no passwordCommand"),
            "{error}"
        );
    }
}
