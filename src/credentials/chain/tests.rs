//! What a machine's sources say, one by one and beside each other.

mod files;
mod helpers;
mod order;

use super::*;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A machine of its own: a folder with docker's and podman's files, and one with helpers.
struct Machine {
    folder: TempDir,
    limit: Duration,
    environment: Vec<(&'static str, &'static str)>,
    config: Config,
}

impl Machine {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            limit: Duration::from_secs(20),
            environment: Vec::new(),
            config: Config::default(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn docker(self, content: &Value) -> Self {
        std::fs::write(self.path("docker.json"), content.to_string()).unwrap();
        self
    }

    fn podman(self, content: &Value) -> Self {
        std::fs::write(self.path("podman.json"), content.to_string()).unwrap();
        self
    }

    fn variables(mut self, variables: &[(&'static str, &'static str)]) -> Self {
        self.environment.extend(variables);
        self
    }

    /// Settings of `reg.corp` in `config.yaml`.
    fn config(mut self, change: impl FnOnce(&mut HostConfig)) -> Self {
        let mut host = HostConfig::default();
        change(&mut host);
        self.config.registries.insert("reg.corp".to_owned(), host);
        self
    }

    /// A helper that appends what it was asked to `asked`, then does as `script` says.
    ///
    /// Another process writes the file: were it open for writing here while another test forks, running
    /// it would fail with "text file busy".
    fn helper(self, name: &str, script: &str) -> Self {
        let path = self.path(&format!("docker-credential-{name}"));
        let asked = self.path("asked");
        let mut writer = Command::new("sh")
            .args(["-c", r#"cat > "$0" && chmod +x "$0""#])
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let text = format!(
            "#!/bin/sh\nread -r server\necho \"{name} $1 $server\" >> '{}'\n{script}\n",
            asked.display()
        );
        writer
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        assert!(writer.wait().unwrap().success());
        self
    }

    fn chain(&self) -> Result<Chain, CredentialsError> {
        let mut path = OsString::from(self.folder.path());
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap());
        let sources = Sources {
            files: vec![self.path("docker.json"), self.path("podman.json")],
            path: Some(path),
            limit: self.limit,
        };
        Chain::new(
            sources,
            &self.environment.iter().copied().collect(),
            &self.config,
        )
    }

    async fn find(&self, registry: &str, repository: &str) -> String {
        let found = self.chain().unwrap().find(registry, repository).await;
        found.map_or_else(|error| error.to_string(), |found| show(&found))
    }

    async fn for_pull(&self, registry: &str) -> Option<String> {
        let found = self.chain().unwrap().for_pull(registry).await;
        found.unwrap().as_ref().map(show)
    }

    fn asked(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("asked")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

fn show(credentials: &Credentials) -> String {
    match credentials {
        Credentials::Anonymous => "anonymous".to_owned(),
        Credentials::Basic { username, password } => {
            format!("{username}:{}", password.expose_secret())
        }
        Credentials::IdentityToken(token) => format!("token {}", token.expose_secret()),
    }
}

fn user(name: &str) -> Value {
    json!({"username": name, "password": "p"})
}

const ENVIRONMENT: &[(&str, &str)] = &[
    ("IMAGE_CLONER_REGISTRY", "reg.corp/cache"),
    ("IMAGE_CLONER_USER", "env"),
    ("IMAGE_CLONER_PASS", "e"),
];

const ANSWER: &str = r#"echo '{"ServerURL":"x","Username":"helped","Secret":"h"}'"#;
const NOT_FOUND: &str = "echo 'credentials not found in native keychain'; exit 1";

#[tokio::test]
async fn whoever_reads_for_others_does_not_read_with_what_is_for_the_target() {
    let machine = Machine::new().variables(ENVIRONMENT);
    let chain = machine.chain().unwrap();
    let read =
        |chain: Chain| async move { show(&chain.find("reg.corp", "team/app").await.unwrap()) };
    assert_eq!(read(chain.clone()).await, "env:e");
    assert_eq!(read(chain.without_environment()).await, "anonymous");
}
