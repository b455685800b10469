use super::*;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
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
async fn a_bare_machine_is_anonymous() {
    let machine = Machine::new();
    assert_eq!(machine.find("reg.corp", "a").await, "anonymous");
    assert_eq!(machine.for_pull("reg.corp").await, None);
}

#[tokio::test]
async fn sources_come_in_order() {
    let machine = Machine::new().podman(&json!({"auths": {"reg.corp": user("podman")}}));
    assert_eq!(machine.find("reg.corp", "a").await, "podman:p");
    let machine = machine.docker(&json!({"auths": {"reg.corp": user("docker")}}));
    assert_eq!(machine.find("reg.corp", "a").await, "docker:p");
    let machine = machine.config(|host| {
        host.username = Some("config".to_owned());
        host.password_command = Some("printf 'c\\n'".to_owned());
    });
    assert_eq!(machine.find("reg.corp", "a").await, "config:c");
    let machine = machine.variables(ENVIRONMENT);
    assert_eq!(machine.find("reg.corp", "a").await, "env:e");
}

#[tokio::test]
async fn the_environments_credentials_go_to_their_own_host_alone() {
    let machine = Machine::new().variables(ENVIRONMENT);
    assert_eq!(machine.find("REG.corp", "any/path").await, "env:e");
    for other in ["reg.corp:5000", "docker.io", "corp", "reg.corp.evil.io"] {
        assert_eq!(machine.find(other, "a").await, "anonymous");
    }
    let unbound = Machine::new().variables(&ENVIRONMENT[1..]);
    assert_eq!(unbound.find("reg.corp", "a").await, "anonymous");
}

#[test]
fn half_given_variables_are_refused() {
    let check = |machine: Machine, expected: &str| {
        let error = machine.chain().unwrap_err().to_string();
        assert!(
            error.contains(expected) && !error.contains("hunter2"),
            "{error}"
        );
    };
    let machine = Machine::new().variables(&ENVIRONMENT[..2]);
    check(
        machine,
        "IMAGE_CLONER_USER is set, but not IMAGE_CLONER_PASS",
    );
    let machine = Machine::new().variables(&[("IMAGE_CLONER_PULL_PASS", "hunter2")]);
    check(
        machine,
        "IMAGE_CLONER_PULL_PASS is set, but not IMAGE_CLONER_PULL_USER",
    );
    let machine = Machine::new().variables(&[("IMAGE_CLONER_REGISTRY", "http://reg.corp")]);
    check(machine, "IMAGE_CLONER_REGISTRY: ");
}

#[tokio::test]
async fn pull_credentials_are_others() {
    let pull = &[
        ("IMAGE_CLONER_PULL_USER", "pull"),
        ("IMAGE_CLONER_PULL_PASS", "p"),
    ];
    let bound = Machine::new().variables(ENVIRONMENT);
    assert_eq!(bound.for_pull("reg.corp").await, None);
    let bound = bound.variables(pull);
    assert_eq!(bound.for_pull("reg.corp").await.as_deref(), Some("pull:p"));
    assert_eq!(bound.for_pull("other.corp").await, None);

    let unbound = Machine::new().variables(pull);
    assert_eq!(
        unbound.for_pull("other.corp").await.as_deref(),
        Some("pull:p")
    );
    assert_eq!(unbound.find("other.corp", "a").await, "anonymous");

    let configured = Machine::new().config(|host| {
        host.username = Some("push".to_owned());
        host.password_command = Some("echo 1".to_owned());
        host.pull_username = Some("robot".to_owned());
        host.pull_password_command = Some("echo 2".to_owned());
    });
    assert_eq!(
        configured.for_pull("reg.corp").await.as_deref(),
        Some("robot:2")
    );
    assert_eq!(configured.for_pull("other.corp").await, None);
}

#[tokio::test]
async fn the_most_specific_entry_wins() {
    let machine = Machine::new().podman(&json!({"auths": {
        "reg.corp": user("host"),
        "reg.corp/team": user("team"),
        "reg.corp/team/app": user("app"),
    }}));
    assert_eq!(machine.find("reg.corp", "team/app").await, "app:p");
    assert_eq!(machine.find("reg.corp", "team/app/web").await, "app:p");
    assert_eq!(machine.find("reg.corp", "team/application").await, "team:p");
    assert_eq!(machine.find("reg.corp", "teams").await, "host:p");
    assert_eq!(machine.find("reg.corp:5000", "team").await, "anonymous");
}

#[tokio::test]
async fn docker_hub_goes_by_its_old_name() {
    let machine =
        Machine::new().docker(&json!({"auths": {"https://index.docker.io/v1/": user("hub")}}));
    for registry in ["docker.io", "index.docker.io", "registry-1.docker.io"] {
        assert_eq!(machine.find(registry, "library/nginx").await, "hub:p");
    }
    let machine = Machine::new()
        .docker(&json!({"credsStore": "desktop"}))
        .helper("desktop", ANSWER);
    assert_eq!(machine.find("docker.io", "library/nginx").await, "helped:h");
    assert_eq!(machine.asked(), ["desktop get https://index.docker.io/v1/"]);
}

#[tokio::test]
async fn helpers_come_before_stored_entries() {
    let machine = Machine::new()
        .docker(&json!({
            "auths": {"reg.corp": user("stored"), "other.corp": {}},
            "credHelpers": {"reg.corp": "own"},
            "credsStore": "general",
        }))
        .helper("own", ANSWER)
        .helper("general", NOT_FOUND);
    assert_eq!(machine.find("reg.corp", "a").await, "helped:h");
    assert_eq!(machine.find("other.corp:5000", "a").await, "anonymous");
    assert_eq!(
        machine.asked(),
        ["own get reg.corp", "general get other.corp:5000"]
    );
}

#[tokio::test]
async fn a_helper_without_credentials_passes_the_question_on() {
    let machine = Machine::new()
        .docker(&json!({
            "auths": {"reg.corp": user("stored")},
            "credHelpers": {"reg.corp": "own"},
            "credsStore": "general",
        }))
        .helper("own", NOT_FOUND)
        .helper("general", NOT_FOUND);
    assert_eq!(machine.find("reg.corp", "a").await, "stored:p");
    assert_eq!(
        machine.asked(),
        ["own get reg.corp", "general get reg.corp"]
    );
}

#[tokio::test]
async fn a_helper_may_answer_with_an_identity_token() {
    let machine = Machine::new()
        .docker(&json!({"credsStore": "acr"}))
        .helper("acr", r#"echo '{"Username":"<token>","Secret":"t"}'"#);
    assert_eq!(machine.find("reg.corp", "a").await, "token t");
}

#[tokio::test]
async fn a_helper_is_asked_once_for_a_host() {
    let machine = Machine::new()
        .docker(&json!({"credsStore": "x"}))
        .helper("x", &format!("sleep 0.1; {ANSWER}"));
    let chain = machine.chain().unwrap();
    let clone = chain.clone();
    let (one, two, _) = tokio::join!(
        chain.find("reg.corp", "a"),
        clone.find("reg.corp", "b"),
        chain.find("other.corp", "a"),
    );
    assert_eq!(show(&one.unwrap()), show(&two.unwrap()));
    let mut asked = machine.asked();
    asked.sort();
    assert_eq!(asked, ["x get other.corp", "x get reg.corp"]);
}

#[tokio::test]
async fn a_failing_helper_is_named_and_not_asked_again() {
    let machine = Machine::new()
        .docker(&json!({"credsStore": "x", "auths": {"reg.corp": user("stored")}}))
        .helper(
            "x",
            "echo '{\"Secret\":\"hunter2\"}'; echo 'store is locked' >&2; exit 3",
        );
    let chain = machine.chain().unwrap();
    for _ in 0..2 {
        let error = chain.find("reg.corp", "a").await.unwrap_err().to_string();
        let expected = format!(
            "reading credentials for reg.corp: {}: docker-credential-x failed (exit status: 3): store is locked",
            machine.path("docker.json").display()
        );
        assert_eq!(error, expected);
    }
    assert_eq!(machine.asked().len(), 1);
}

#[tokio::test]
async fn helpers_that_are_missing_or_talk_nonsense_are_named() {
    let machine = Machine::new()
        .docker(&json!({"credHelpers": {
            "a.io": "absent", "b.io": "nonsense", "c.io": "../nonsense",
        }}))
        .helper("nonsense", "echo hunter2");
    let absent = machine.find("a.io", "a").await;
    assert!(
        absent.contains("docker-credential-absent cannot be run"),
        "{absent}"
    );
    let nonsense = machine.find("b.io", "a").await;
    assert!(
        nonsense.contains("docker-credential-nonsense printed"),
        "{nonsense}"
    );
    assert!(!nonsense.contains("hunter2"));
    let outside = machine.find("c.io", "a").await;
    assert!(
        outside.contains("is not the name of a credential helper"),
        "{outside}"
    );
}

#[tokio::test]
async fn a_helper_that_hangs_is_given_up() {
    let mut machine = Machine::new()
        .docker(&json!({"credsStore": "slow"}))
        .helper("slow", "exec sleep 60");
    machine.limit = Duration::from_millis(100);
    let error = machine.find("reg.corp", "a").await;
    assert!(
        error.ends_with("docker-credential-slow gave no answer within 100ms"),
        "{error}"
    );
}

#[tokio::test]
async fn a_failing_password_command_shows_its_messages_alone() {
    let check = async |command: &str, expected: &str| {
        let machine = Machine::new().config(|host| {
            host.username = Some("me".to_owned());
            host.password_command = Some(command.to_owned());
        });
        assert_eq!(machine.find("reg.corp", "a").await, expected);
    };
    check(
        "echo hunter2; echo 'vault is sealed' >&2; exit 2",
        "reading credentials for reg.corp: passwordCommand failed (exit status: 2): vault is sealed",
    )
    .await;
    check(
        "true",
        "reading credentials for reg.corp: passwordCommand printed nothing",
    )
    .await;
    check("printf ' two words \\n'", "me: two words ").await;
}

#[tokio::test]
async fn an_unusable_entry_matters_only_to_its_own_host() {
    let machine = Machine::new().docker(&json!({"auths": {
        "bad.io": {"auth": "$"}, "good.io": user("good"),
    }}));
    assert_eq!(machine.find("good.io", "a").await, "good:p");
    let error = machine.find("bad.io", "a").await;
    assert!(
        error.contains("docker.json: the entry \"bad.io\" has an auth"),
        "{error}"
    );
}

#[test]
fn a_file_that_cannot_be_parsed_is_named() {
    let machine = Machine::new();
    std::fs::write(machine.path("podman.json"), "hunter2").unwrap();
    let error = machine.chain().unwrap_err().to_string();
    assert!(error.contains("podman.json: not JSON, line 1"), "{error}");
    assert!(!error.contains("hunter2"));
}

#[test]
fn debug_shows_no_password() {
    let machine = Machine::new()
        .variables(&[
            ("IMAGE_CLONER_REGISTRY", "reg.corp"),
            ("IMAGE_CLONER_USER", "me"),
            ("IMAGE_CLONER_PASS", "hunter2"),
        ])
        .docker(&json!({"auths": {"reg.corp": {"username": "me", "password": "hunter2"}}}));
    let chain = machine.chain().unwrap();
    let shown = format!("{chain:?}");
    assert!(
        shown.contains("docker.json") && !shown.contains("hunter2"),
        "{shown}"
    );
}

#[test]
fn files_are_where_docker_and_podman_keep_them() {
    #[track_caller]
    fn check(variables: &[(&str, &str)], expected: &[&str]) {
        let variable = |name: &str| {
            let found = variables.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let expected: Vec<_> = expected.iter().map(PathBuf::from).collect();
        assert_eq!(
            sources::files(variable, Some(Path::new("/home/me"))),
            expected
        );
    }
    check(
        &[],
        &[
            "/home/me/.docker/config.json",
            "/home/me/.config/containers/auth.json",
        ],
    );
    check(
        &[
            ("DOCKER_CONFIG", "/d"),
            ("XDG_RUNTIME_DIR", "/run/me"),
            ("XDG_CONFIG_HOME", "/c"),
        ],
        &[
            "/d/config.json",
            "/run/me/containers/auth.json",
            "/c/containers/auth.json",
        ],
    );
    check(
        &[
            ("DOCKER_CONFIG", ""),
            ("REGISTRY_AUTH_FILE", "/a.json"),
            ("XDG_RUNTIME_DIR", "/run/me"),
        ],
        &["/home/me/.docker/config.json", "/a.json"],
    );
}
