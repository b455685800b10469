//! What an install that is there says of itself, and how another one differs.

use super::*;

#[test]
fn what_is_there_is_read_back_as_it_was_made() {
    let settings = Settings {
        replicas: 3,
        architectures: set(&["amd64"]),
        config: owned(&[
            ("IMAGE_CLONER_REGISTRY", "localhost:5000"),
            ("IMAGE_CLONER_NAMESPACES", "db,shop"),
        ]),
        login: [("IMAGE_CLONER_USER".to_owned(), "me".to_owned().into())].into(),
        secrets: Secrets::Namespaces(set(&["shop"])),
        extras: [Extra::Budget, Extra::NetworkPolicy].into(),
        ..settings()
    };
    let live = Live::read(&objects(&settings)).unwrap();
    assert_eq!(live.config, settings.config);
    assert_eq!(live.image.as_ref(), Some(&settings.image));
    assert_eq!(live.replicas, 3);
    assert_eq!(live.architectures, settings.architectures);
    assert_eq!(live.secrets, settings.secrets);
    assert_eq!(live.extras, settings.extras);
    assert_eq!(live.login.keys().collect::<Vec<_>>(), ["IMAGE_CLONER_USER"]);
    assert!(Live::read(&[]).is_none());

    // everywhere where it works is all
    let all = Settings {
        secrets: Secrets::All,
        ..settings
    };
    assert_eq!(Live::read(&objects(&all)).unwrap().secrets, Secrets::All);
}

#[test]
fn another_target_registry_gets_nothing_that_belongs_to_the_one_before() {
    let before = Settings {
        config: owned(&[
            ("IMAGE_CLONER_REGISTRY", "old.corp/mirror"),
            ("IMAGE_CLONER_REGISTRY_ENDPOINT", "https://10.0.0.1"),
            ("IMAGE_CLONER_LAYOUT", "flat"),
            ("IMAGE_CLONER_SHARE_CREDENTIALS", "true"),
            ("IMAGE_CLONER_NAMESPACES", "shop"),
            ("config.yaml", "registries:\n  docker.io: {endpoint: hub}\n"),
        ]),
        login: [("IMAGE_CLONER_PASS".to_owned(), "hunter2".to_owned().into())].into(),
        pull_secret: Some("{}".to_owned().into()),
        ..settings()
    };
    let before = objects(&before);
    let mut live = Live::read(&before).unwrap();
    assert_eq!(live.registry().unwrap().to_string(), "old.corp/mirror");
    live.leave_registry();
    assert!(live.login.is_empty());
    assert_eq!(
        live.config.keys().collect::<Vec<_>>(),
        ["IMAGE_CLONER_NAMESPACES", "config.yaml"]
    );
    // and what is not written anew is taken away
    let after = Settings {
        config: live.config,
        ..settings()
    };
    let wanted = objects(&after);
    let (_, unwanted) = unwanted_settings(&before, &wanted).unwrap();
    assert_eq!(
        unwanted,
        [
            "IMAGE_CLONER_LAYOUT",
            "IMAGE_CLONER_REGISTRY",
            "IMAGE_CLONER_REGISTRY_ENDPOINT",
            "IMAGE_CLONER_SHARE_CREDENTIALS"
        ]
    );
    let told = differences(&before, &objects(&after));
    let told: Vec<&String> = told
        .iter()
        .filter(|line| line.contains("secret/"))
        .collect();
    assert_eq!(
        told,
        [
            "secret/image-cloner-cr-login: removed",
            "secret/image-cloner-pull: removed"
        ]
    );
    // credentials that were put there for an install to come stay
    let logins: Vec<Value> = before.into_iter().filter(holds_credentials).collect();
    assert_eq!(logins.len(), 2);
    assert_eq!(stale(&logins, &objects(&settings())), [Value::Null; 0]);
}

#[test]
fn what_is_left_of_an_install_says_where_it_worked() {
    let whole = Settings {
        config: owned(&[("IMAGE_CLONER_NAMESPACES", "shop")]),
        extras: [Extra::Budget, Extra::Webhook].into(),
        replicas: 2,
        ..settings()
    };
    let mut left = objects(&whole);
    left.retain(|object| object["kind"] != "Deployment");
    let live = Live::read(&left).unwrap();
    assert_eq!(live.image, None);
    assert_eq!((live.replicas, &live.extras), (2, &whole.extras));
    assert_eq!(Scope::of(&live.config), Scope::Namespaces(set(&["shop"])));
}

#[test]
fn how_many_there_were_outlives_the_deployment() {
    let whole = Settings {
        replicas: 4,
        extras: [Extra::Budget].into(),
        ..settings()
    };
    let mut left = objects(&whole);
    let noted = noting_replicas(&left).unwrap();
    left.retain(|object| object["kind"] != "Deployment");
    let config = left
        .iter_mut()
        .find(|it| it["kind"] == "ConfigMap")
        .unwrap();
    assert_eq!(noted["data"], config["data"]);
    *config = noted;
    assert_eq!(Live::read(&left).unwrap().replicas, 4);
    // and again, when it is stopped a second time
    let config = noting_replicas(&left).unwrap();
    assert_eq!(
        config["metadata"]["annotations"]["image-cloner.io/replicas"],
        "4"
    );
    assert_eq!(noting_replicas(&[]), None);
}

#[test]
fn differences_are_told_and_credentials_are_not() {
    let password = |text: &str| [("IMAGE_CLONER_PASS".to_owned(), text.to_owned().into())].into();
    let before = Settings {
        config: owned(&[
            ("IMAGE_CLONER_MODE", "copy"),
            ("IMAGE_CLONER_KINDS", "deploy"),
        ]),
        login: password("hunter2"),
        extras: [Extra::NetworkPolicy].into(),
        ..settings()
    };
    let after = Settings {
        config: owned(&[
            ("IMAGE_CLONER_MODE", "clone"),
            ("IMAGE_CLONER_OWNED", "live"),
        ]),
        login: password("hunter3"),
        replicas: 2,
        secrets: Secrets::Namespaces(set(&["shop"])),
        ..settings()
    };
    let (before, after) = (objects(&before), objects(&after));
    insta::assert_snapshot!(differences(&before, &after).join("\n"), @r"
    role.rbac.authorization.k8s.io/image-cloner-secrets-role in shop: new
    rolebinding.rbac.authorization.k8s.io/image-cloner-secrets-role-binding in shop: new
    configmap/image-cloner-config: IMAGE_CLONER_KINDS deploy -> none
    configmap/image-cloner-config: IMAGE_CLONER_MODE copy -> clone
    configmap/image-cloner-config: IMAGE_CLONER_OWNED none -> live
    secret/image-cloner-cr-login: IMAGE_CLONER_PASS changed
    deployment.apps/image-cloner: replicas 1 -> 2
    networkpolicy.networking.k8s.io/image-cloner: removed
    ");
    assert_eq!(differences(&after, &after), [""; 0]);
    let stale: Vec<String> = stale(&before, &after).iter().map(name_of).collect();
    assert_eq!(stale, ["networkpolicy.networking.k8s.io/image-cloner"]);
}

#[test]
fn what_the_agent_made_itself_is_not_stale() {
    let certificate = object("v1", "Secret", "image-cloner-webhook");
    assert_eq!(
        stale(&[certificate], &objects(&settings())),
        [Value::Null; 0]
    );
}
