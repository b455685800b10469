//! Where docker's and podman's files are, and which of their entries is a registry's.

use super::*;
use std::path::Path;

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
