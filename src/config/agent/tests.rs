use super::*;

fn settings(variables: &[(&str, &str)]) -> Result<AgentSettings, SettingsError> {
    let environment = variables
        .iter()
        .map(|(name, value)| (format!("IMAGE_CLONER_{name}"), *value));
    AgentSettings::new(environment.collect(), Config::default())
}

#[test]
fn the_registry_alone_is_enough() {
    let settings = settings(&[("REGISTRY", "localhost:5000/cache")]).unwrap();
    assert_eq!(settings.target.to_string(), "localhost:5000/cache");
    let kinds: Vec<String> = settings.kinds.iter().map(ToString::to_string).collect();
    assert_eq!(kinds, ["deployment.apps"]);
    assert_eq!(settings.mode, Mode::Clone);
    assert_eq!(settings.max_rollouts, Some(10));
    assert_eq!(settings.resync, Some(RESYNC));
    assert_eq!(settings.refresh, None);
    assert!(!settings.stateful && !settings.owned_live && !settings.share_credentials);
}

#[test]
fn every_variable_is_read() {
    let settings = settings(&[
        ("REGISTRY", "reg.corp"),
        ("REGISTRY_ENDPOINT", "http://10.0.0.1:5000"),
        ("SKIP_NAMESPACES", " team-* , dev"),
        ("NAMESPACES", "a, b"),
        ("KINDS", "deploy, sts,cronjobs,deployments"),
        ("MODE", "Copy"),
        ("OWNED", "live"),
        ("STATEFUL", "on"),
        ("MAX_ROLLOUTS", "0"),
        ("RESYNC", "off"),
        ("REFRESH", "1h 30m"),
        ("CONCURRENCY", "2"),
        ("SHARE_CREDENTIALS", "true"),
        ("LAYOUT", "flat"),
    ])
    .unwrap();
    assert_eq!(
        settings.registries["reg.corp"].endpoint,
        ["http://10.0.0.1:5000"]
    );
    assert!(settings.skip_namespaces.matches("team-a") && settings.skip_namespaces.matches("dev"));
    assert_eq!(settings.namespaces, ["a", "b"]);
    let kinds: Vec<&str> = settings
        .kinds
        .iter()
        .map(|kind| kind.kind.as_str())
        .collect();
    assert_eq!(kinds, ["Deployment", "StatefulSet", "CronJob"]);
    assert_eq!(settings.mode, Mode::Copy);
    assert_eq!(settings.max_rollouts, None);
    assert_eq!(settings.resync, None);
    assert_eq!(settings.refresh, Some(Duration::from_secs(5400)));
    assert_eq!(settings.concurrency, 2);
    assert!(settings.stateful && settings.owned_live && settings.share_credentials);
}

#[test]
fn what_cannot_be_used_is_named() {
    let check = |name: &str, value: &str, expected: &str| {
        let error = settings(&[("REGISTRY", "reg.corp"), (name, value)]).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    check(
        "MODE",
        "clown",
        "IMAGE_CLONER_MODE is \"clown\": not one of clone, copy, observe",
    );
    check(
        "MAX_ROLLOUTS",
        "-1",
        "IMAGE_CLONER_MAX_ROLLOUTS is \"-1\": give a number from 0 to 100000",
    );
    check(
        "RESYNC",
        "often",
        "IMAGE_CLONER_RESYNC is \"often\": give a time such as 10h or 30m, or off",
    );
    check(
        "KINDS",
        "pods",
        "IMAGE_CLONER_KINDS: \"pods\" is not one of Deployment, StatefulSet, DaemonSet, CronJob",
    );
    let none = settings(&[]).unwrap_err().to_string();
    assert!(none.starts_with("no target registry is named"), "{none}");
}
