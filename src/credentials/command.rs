//! Commands that answer with credentials: docker's credential helpers and the user's password commands.
//!
//! Each question is asked once, however many repositories need the answer, and failures count as answers:
//! a helper that hangs must not hang for every image. The standard output of a command is never repeated.

use super::Credentials;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use std::collections::HashMap;
use std::ffi::OsString;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::OnceCell;

/// Long enough for a helper that has its user unlock something.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

/// The user name under which helpers keep identity tokens.
const TOKEN_USER: &str = "<token>";

/// What is asked, and of whom.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Question {
    /// `docker-credential-<name> get` for a server.
    Helper { name: String, server: String },
    /// A command for the shell that prints the password of a user.
    Password { username: String, command: String },
}

/// None when there are no credentials; an error says what failed, without naming the host.
pub(super) type Answer = Result<Option<Credentials>, String>;

/// Runs commands and remembers their answers.
pub(super) struct Commands {
    /// How long a command may take.
    limit: Duration,
    /// Where to look for helpers, if not where the process itself would.
    path: Option<OsString>,
    answers: Mutex<HashMap<Question, Arc<OnceCell<Answer>>>>,
}

impl Default for Commands {
    fn default() -> Self {
        Self::new(LIMIT, None)
    }
}

impl Commands {
    pub(super) fn new(limit: Duration, path: Option<OsString>) -> Self {
        Self {
            limit,
            path,
            answers: Mutex::default(),
        }
    }

    pub(super) async fn ask(&self, question: Question) -> Answer {
        let cell = {
            let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(answers.entry(question.clone()).or_default())
        };
        cell.get_or_init(|| async {
            match &question {
                Question::Helper { name, server } => self.helper(name, server).await,
                Question::Password { username, command } => self.password(username, command).await,
            }
        })
        .await
        .clone()
    }

    /// Has a helper keep credentials for a server.
    pub(super) async fn store(
        &self,
        name: &str,
        server: &str,
        credentials: &Credentials,
    ) -> Result<(), String> {
        let (username, secret) = match credentials {
            Credentials::Anonymous => return Err("there is nothing to keep".to_owned()),
            Credentials::Basic { username, password } => (username.as_str(), password),
            Credentials::IdentityToken(token) => (TOKEN_USER, token),
        };
        let secret = secret.expose_secret();
        let input = json!({"ServerURL": server, "Username": username, "Secret": secret});
        self.tell(name, "store", &input.to_string()).await
    }

    /// Has a helper forget a server.
    pub(super) async fn erase(&self, name: &str, server: &str) -> Result<(), String> {
        self.tell(name, "erase", server).await
    }

    async fn tell(&self, name: &str, verb: &str, input: &str) -> Result<(), String> {
        let (program, output) = self.docker_helper(name, verb, input).await?;
        if output.status.success() {
            return Ok(());
        }
        let said = indented(&String::from_utf8_lossy(&output.stderr));
        Err(format!("{program} {verb} failed ({}){said}", output.status))
    }

    async fn docker_helper(
        &self,
        name: &str,
        verb: &str,
        input: &str,
    ) -> Result<(String, Output), String> {
        let program = format!("docker-credential-{name}");
        if name.contains(['/', '\\']) {
            return Err(format!(
                "{program:?} is not the name of a credential helper"
            ));
        }
        let mut command = Command::new(&program);
        command.arg(verb);
        let output = self.run(command, input).await;
        match output {
            Ok(output) => Ok((program, output)),
            Err(reason) => Err(format!("{program} {reason}")),
        }
    }

    async fn helper(&self, name: &str, server: &str) -> Answer {
        let (program, output) = self.docker_helper(name, "get", server).await?;
        if !output.status.success() {
            return refusal(&output).map_or(Ok(None), |reason| {
                Err(format!("{program} failed ({}){reason}", output.status))
            });
        }
        let answer: HelperAnswer = serde_json::from_slice(&output.stdout)
            .map_err(|_| format!("{program} printed something else than credentials"))?;
        Ok(answer.into_credentials())
    }

    async fn password(&self, username: &str, command: &str) -> Answer {
        let output = self
            .run(shell(command), "")
            .await
            .map_err(|reason| format!("passwordCommand {reason}"))?;
        if !output.status.success() {
            let said = indented(&String::from_utf8_lossy(&output.stderr));
            return Err(format!("passwordCommand failed ({}){said}", output.status));
        }
        let password = String::from_utf8(output.stdout)
            .map_err(|_| "passwordCommand printed something else than text".to_owned())?;
        let password = password.trim_end_matches(['\r', '\n']);
        if password.is_empty() {
            return Err("passwordCommand printed nothing".to_owned());
        }
        Ok(Some(Credentials::Basic {
            username: username.to_owned(),
            password: password.into(),
        }))
    }

    async fn run(&self, mut command: Command, input: &str) -> Result<Output, String> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(path) = &self.path {
            command.env("PATH", path);
        }
        let run = async {
            let mut child = command.spawn()?;
            if let Some(mut stdin) = child.stdin.take() {
                // a command that does not read its input is no failure; its answer counts
                let _ = stdin.write_all(input.as_bytes()).await;
            }
            child.wait_with_output().await
        };
        match tokio::time::timeout(self.limit, run).await {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(cause)) => Err(format!("cannot be run: {cause}")),
            Err(_) => Err(format!("gave no answer within {:?}", self.limit)),
        }
    }
}

/// What a helper prints when it has credentials.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

impl HelperAnswer {
    fn into_credentials(self) -> Option<Credentials> {
        let secret = SecretString::from(self.secret);
        if secret.expose_secret().is_empty() {
            return None;
        }
        Some(if self.username == TOKEN_USER {
            Credentials::IdentityToken(secret)
        } else {
            Credentials::Basic {
                username: self.username,
                password: secret,
            }
        })
    }
}

/// Why a helper failed, in its own words; none when it only has no credentials.
///
/// The protocol has helpers print errors on their standard output. It is searched for the one message
/// that is no error, but not shown.
fn refusal(output: &Output) -> Option<String> {
    let words = String::from_utf8_lossy(&output.stdout).to_lowercase();
    let said = String::from_utf8_lossy(&output.stderr);
    let none = "credentials not found";
    let has_none = words.contains(none) || said.to_lowercase().contains(none);
    (!has_none).then(|| indented(&said))
}

/// A command's messages as the rest of an error.
fn indented(said: &str) -> String {
    match said.trim() {
        "" => String::new(),
        said => format!(": {said}"),
    }
}

#[cfg(unix)]
fn shell(text: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", text]);
    command
}

#[cfg(windows)]
fn shell(text: &str) -> Command {
    let mut command = Command::new("cmd");
    command.arg("/C").raw_arg(text);
    command
}
