//! Which objects an install consists of, and what shows their credentials.

use super::*;

#[test]
fn the_least_install_is_this_and_nothing_more() {
    assert_eq!(
        names(&settings()),
        [
            "Namespace image-cloner-system",
            "ServiceAccount image-cloner-system/image-cloner",
            "ClusterRole image-cloner-role",
            "ClusterRoleBinding image-cloner-role-binding",
            "Role image-cloner-system/image-cloner-role",
            "RoleBinding image-cloner-system/image-cloner-role-binding",
            "ConfigMap image-cloner-system/image-cloner-config",
            "Deployment image-cloner-system/image-cloner",
        ]
    );
}

#[test]
fn everything_that_can_be_asked_for_is_made_in_an_order_that_can_be_applied() {
    let settings = Settings {
        replicas: 2,
        login: [("IMAGE_CLONER_USER".to_owned(), "me".to_owned().into())].into(),
        pull_secret: Some("{}".to_owned().into()),
        secrets: Secrets::Namespaces(set(&["shop"])),
        extras: [Extra::Budget, Extra::NetworkPolicy, Extra::ServiceMonitor].into(),
        ..settings()
    };
    assert_eq!(
        names(&settings)[2..],
        [
            "ClusterRole image-cloner-role",
            "ClusterRoleBinding image-cloner-role-binding",
            "Role image-cloner-system/image-cloner-role",
            "RoleBinding image-cloner-system/image-cloner-role-binding",
            "Role shop/image-cloner-secrets-role",
            "RoleBinding shop/image-cloner-secrets-role-binding",
            "ConfigMap image-cloner-system/image-cloner-config",
            "Secret image-cloner-system/image-cloner-cr-login",
            "Secret image-cloner-system/image-cloner-pull",
            "PodDisruptionBudget image-cloner-system/image-cloner",
            "NetworkPolicy image-cloner-system/image-cloner",
            "Service image-cloner-system/image-cloner-metrics",
            "ServiceMonitor image-cloner-system/image-cloner",
            "Deployment image-cloner-system/image-cloner",
        ]
    );
}

#[test]
fn all_that_is_made_is_found_again_by_kind_name_and_place() {
    let scopes = [&[][..], &[("IMAGE_CLONER_NAMESPACES", "shop")]];
    for (scope, secrets) in scopes.into_iter().flat_map(|scope| {
        let secrets = [Secrets::All, Secrets::Namespaces(set(&["db"]))];
        secrets.map(|secrets| (scope, secrets))
    }) {
        let settings = Settings {
            replicas: 2,
            config: owned(scope),
            login: [("IMAGE_CLONER_USER".to_owned(), "me".to_owned().into())].into(),
            pull_secret: Some("{}".to_owned().into()),
            secrets,
            extras: [
                Extra::Budget,
                Extra::NetworkPolicy,
                Extra::ServiceMonitor,
                Extra::Webhook,
            ]
            .into(),
            ..settings()
        };
        for object in objects(&settings) {
            let metadata = &object["metadata"];
            let is_found = KINDS.iter().any(|(version, kind, own, names)| {
                object["apiVersion"] == *version
                    && object["kind"] == *kind
                    && (!own || metadata["namespace"] == NAMESPACE)
                    && names.iter().any(|name| metadata["name"] == *name)
            });
            assert!(is_found, "{object:#}");
        }
    }
}

#[test]
fn credentials_are_in_no_debug_output() {
    let secret = || "hunter2".to_owned().into();
    let settings = Settings {
        login: [("IMAGE_CLONER_PASS".to_owned(), secret())].into(),
        pull_secret: Some(secret()),
        ..settings()
    };
    assert!(!format!("{settings:?}").contains("hunter2"));
    let secrets: Vec<Value> = objects(&settings)
        .into_iter()
        .filter(|object| object["kind"] == "Secret")
        .collect();
    // base64, as kubectl shows them
    assert_eq!(secrets[0]["data"]["IMAGE_CLONER_PASS"], "aHVudGVyMg==");
    assert_eq!(secrets[1]["data"][".dockerconfigjson"], "aHVudGVyMg==");
}
