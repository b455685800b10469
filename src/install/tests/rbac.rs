//! Which rights the agent has, and where.

use super::*;

#[test]
fn an_agent_for_some_namespaces_has_rights_in_those_alone() {
    let scope = ("IMAGE_CLONER_NAMESPACES", "shop, db");
    let mut settings = settings();
    settings.config = owned(&[scope]);
    settings.secrets = Secrets::All;
    let roles: Vec<String> = names(&settings)
        .into_iter()
        .filter(|name| name.contains("Role "))
        .collect();
    assert_eq!(
        roles,
        [
            "Role db/image-cloner-role",
            "Role shop/image-cloner-role",
            "Role image-cloner-system/image-cloner-role",
            "Role db/image-cloner-secrets-role",
            "Role shop/image-cloner-secrets-role",
        ]
    );
    // the nodes are in no namespace
    settings.config = owned(&[scope, ("IMAGE_CLONER_PLATFORM", "cluster")]);
    let objects = objects(&settings);
    let cluster_role = objects
        .iter()
        .find(|object| object["kind"] == "ClusterRole");
    assert_eq!(
        cluster_role.unwrap()["rules"],
        json!([{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}])
    );
}

#[test]
fn rights_are_for_the_kinds_that_it_works_on() {
    let mut settings = settings();
    settings.config = owned(&[("IMAGE_CLONER_KINDS", "deploy,sts,cj")]);
    let works: Vec<String> = rules(&settings)
        .iter()
        .filter(|rule| rule.verbs.starts_with(&["get", "list", "watch"]))
        .map(|rule| format!("{}: {}", rule.group, rule.resources.join(",")))
        .collect();
    assert_eq!(works, ["apps: deployments,statefulsets", "batch: cronjobs"]);
}

#[test]
fn no_right_to_secrets_is_given_unasked_and_none_to_everything() {
    let everything = Settings {
        secrets: Secrets::All,
        extras: [Extra::Webhook].into(),
        ..settings()
    };
    let unasked = rules(&settings());
    assert!(unasked.iter().all(|rule| rule.resources != ["secrets"]));
    for rule in rules(&everything) {
        assert!(!rule.resources.contains(&"*".to_owned()) && !rule.verbs.contains(&"*"));
        assert!(!rule.why.is_empty());
    }
    // what is written over or deleted is ours, by its name
    let writes = rules(&everything).into_iter().filter(|rule| {
        rule.resources == ["secrets"]
            && rule
                .verbs
                .iter()
                .any(|verb| ["update", "patch", "delete"].contains(verb))
    });
    assert!(writes.into_iter().all(|rule| !rule.names.is_empty()));
}

#[test]
fn the_rights_are_these() {
    let at = |object: &Value| object["kind"] == "ClusterRole" || object["kind"] == "Role";
    let roles: Vec<Value> = objects(&settings()).into_iter().filter(at).collect();
    insta::assert_snapshot!(yaml(&roles), @r#"
    apiVersion: rbac.authorization.k8s.io/v1
    kind: ClusterRole
    metadata:
      labels:
        app: image-cloner
        app.kubernetes.io/managed-by: image-cloner
        app.kubernetes.io/name: image-cloner
      name: image-cloner-role
    rules:
    - apiGroups:
      - apps
      resources:
      - deployments
      verbs:
      - get
      - list
      - watch
      - patch
    - apiGroups:
      - ""
      resources:
      - pods
      verbs:
      - get
      - list
    - apiGroups:
      - ""
      resources:
      - serviceaccounts
      verbs:
      - get
    - apiGroups:
      - ""
      resources:
      - events
      verbs:
      - list
      - create
      - patch
      - update
    - apiGroups:
      - ""
      resources:
      - namespaces
      verbs:
      - get
      - list
    - apiGroups:
      - ""
      resources:
      - namespaces
      verbs:
      - watch
    ---
    apiVersion: rbac.authorization.k8s.io/v1
    kind: Role
    metadata:
      labels:
        app: image-cloner
        app.kubernetes.io/managed-by: image-cloner
        app.kubernetes.io/name: image-cloner
      name: image-cloner-role
      namespace: image-cloner-system
    rules:
    - apiGroups:
      - coordination.k8s.io
      resources:
      - leases
      verbs:
      - create
    - apiGroups:
      - coordination.k8s.io
      resourceNames:
      - image-cloner
      resources:
      - leases
      verbs:
      - get
      - update
      - patch
    "#);
}
