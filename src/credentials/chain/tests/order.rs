//! Which source's credentials count, for which host and for what.

use super::*;

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
