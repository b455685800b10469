//! Pull secrets, matched as the kubelet matches them.

use super::docker_config::DockerConfig;
use super::scope::{self, Scope};
use super::{Credentials, CredentialsError};
use globset::Glob;
use std::sync::Arc;

/// The entries of `dockerconfigjson` pull secrets, with Kubernetes' matching rules.
///
/// A key matches when its port is the same, its host has as many labels and each matches as a glob
/// (`*.corp.io` matches `reg.corp.io`, neither `corp.io` nor `a.b.corp.io`), and its text after the
/// host is what the repository begins with, in the middle of a component too.
///
/// Clones share their entries: each image of a workload has one, and a Secret may hold tens of thousands.
#[derive(Debug, Clone, Default, Hash)]
pub struct Keyring {
    entries: Arc<Vec<(Scope, Credentials)>>,
}

impl Keyring {
    /// Adds the entries of a Secret's `.dockerconfigjson`.
    ///
    /// # Errors
    /// When it cannot be parsed, or an entry cannot be used; the usable ones are added all the same.
    pub fn add_docker_config_json(&mut self, json: &[u8]) -> Result<(), CredentialsError> {
        let config = DockerConfig::parse(json)
            .map_err(|reason| CredentialsError::of_file(format!("the pull secret is {reason}")))?;
        let mut result = Ok(());
        let entries = Arc::make_mut(&mut self.entries);
        for (scope, credentials) in config.entries {
            match credentials {
                Ok(credentials) => entries.push((scope, credentials)),
                Err(reason) => result = Err(CredentialsError::of_host(&scope.host, reason)),
            }
        }
        // stable: among equals, the secret that was added first comes first
        entries.sort_by_key(|(scope, _)| scope.specificity());
        result
    }

    /// Every match for a repository, most specific first.
    pub fn find(&self, registry: &str, repository: &str) -> Vec<Credentials> {
        let registry = scope::canonical(registry);
        self.entries
            .iter()
            .filter(|(scope, _)| hosts_match(&scope.host, &registry) && scope.begins(repository))
            .map(|(_, credentials)| credentials.clone())
            .collect()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

fn hosts_match(pattern: &str, host: &str) -> bool {
    let (pattern, pattern_port) = split_port(pattern);
    let (host, port) = split_port(host);
    let labels = |name: &str| name.split('.').count();
    let label_matches = |(pattern, label): (&str, &str)| {
        // making a matcher takes its time
        pattern == label
            || pattern.contains(['*', '?', '[', '{', '\\'])
                && Glob::new(pattern).is_ok_and(|glob| glob.compile_matcher().is_match(label))
    };
    pattern_port == port
        && labels(pattern) == labels(host)
        && pattern.split('.').zip(host.split('.')).all(label_matches)
}

fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A keyring with these keys, each with its own key as user name.
    fn keyring(keys: &[&str]) -> Keyring {
        let entry = |key: &&str| ((*key).to_owned(), json!({"username": key, "password": "p"}));
        let auths: Value = keys.iter().map(entry).collect();
        let mut keyring = Keyring::default();
        let json = json!({"auths": auths}).to_string();
        keyring.add_docker_config_json(json.as_bytes()).unwrap();
        keyring
    }

    fn users(found: &[Credentials]) -> Vec<&str> {
        found
            .iter()
            .map(|credentials| match credentials {
                Credentials::Basic { username, .. } => username.as_str(),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[track_caller]
    fn check(key: &str, registry: &str, repository: &str, expected: bool) {
        let found = keyring(&[key]).find(registry, repository);
        assert_eq!(
            !found.is_empty(),
            expected,
            "{key} for {registry}/{repository}"
        );
    }

    #[test]
    fn hosts_match_by_label_and_port() {
        check("reg.corp.io", "reg.corp.io", "a", true);
        check("https://REG.corp.io/v2/", "reg.corp.io", "a", true);
        check("reg.corp.io", "reg.corp.io:5000", "a", false);
        check("reg.corp.io:5000", "reg.corp.io", "a", false);
        check("reg.corp.io:5000", "reg.corp.io:5000", "a", true);
        check("reg.corp.io:5000", "reg.corp.io:50001", "a", false);
        check("*.corp.io", "reg.corp.io", "a", true);
        check("*.corp.io", "a.b.corp.io", "a", false);
        check("*.corp.io", "corp.io", "a", false);
        check("reg.corp.io", "reg.corp.io.evil.net", "a", false);
        check("reg.corp.io.evil.net", "reg.corp.io", "a", false);
        check("*.corp.io:5000", "reg.corp.io:5000", "a", true);
        check("*.corp.io", "reg.corp.io:5000", "a", false);
        check("reg*.corp.io", "reg-eu.corp.io", "a", true);
        check("reg*.corp.io", "eu.corp.io", "a", false);
        check("reg?.*.io", "reg1.corp.io", "a", true);
        check("[.corp.io", "reg.corp.io", "a", false);
    }

    #[test]
    fn paths_match_by_their_beginning() {
        check("reg.io/a", "reg.io", "a/b", true);
        check("reg.io/a/", "reg.io", "a/b", true);
        check("reg.io/team", "reg.io", "team-x/app", true);
        check("reg.io/team/", "reg.io", "team-x/app", false);
        check("https://reg.io/v2/team", "reg.io", "team-x/app", true);
        check("reg.io/team", "reg.io", "my/team", false);
        check("reg.io/a/b", "reg.io", "a", false);
    }

    #[test]
    fn docker_hub_has_many_names() {
        for key in [
            "https://index.docker.io/v1/",
            "index.docker.io",
            "docker.io",
            "registry-1.docker.io",
            "docker.io/library",
        ] {
            check(key, "docker.io", "library/nginx", true);
        }
        check("docker.io/grafana", "docker.io", "library/nginx", false);
    }

    #[test]
    fn the_most_specific_comes_first() {
        let keyring = keyring(&["*.io", "reg.io", "reg.io/a/b", "reg.io/a", "other.io"]);
        assert_eq!(
            users(&keyring.find("reg.io", "a/b/c")),
            ["reg.io/a/b", "reg.io/a", "reg.io", "*.io"]
        );
    }

    #[test]
    fn secrets_add_up_and_the_first_wins() {
        let mut keyring = Keyring::default();
        assert!(keyring.is_empty());
        for user in ["first", "second"] {
            let json = json!({"auths": {"reg.io": {"username": user, "password": "p"}}});
            keyring
                .add_docker_config_json(json.to_string().as_bytes())
                .unwrap();
        }
        assert_eq!(users(&keyring.find("reg.io", "a")), ["first", "second"]);
    }

    #[test]
    fn usable_entries_survive_unusable_ones() {
        let mut keyring = Keyring::default();
        let json =
            br#"{"auths": {"a.io": {"auth": "$"}, "b.io": {"username": "b", "password": "p"}}}"#;
        let error = keyring.add_docker_config_json(json).unwrap_err();
        assert_eq!(error.registry.as_deref(), Some("a.io"));
        assert_eq!(users(&keyring.find("b.io", "x")), ["b"]);

        let error = keyring
            .add_docker_config_json(b"hunter2")
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "reading credentials: the pull secret is not JSON, line 1 column 1"
        );
    }
}
