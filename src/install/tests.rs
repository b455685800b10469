use super::*;
use std::collections::{BTreeMap, BTreeSet};

fn settings() -> Settings {
    let config = [("IMAGE_CLONER_REGISTRY", "localhost:5000")];
    Settings {
        image: "localhost:5000/image-cloner.internal/agent@sha256:0a".to_owned(),
        architectures: BTreeSet::new(),
        replicas: 1,
        config: owned(&config),
        login: BTreeMap::new(),
        pull_secret: None,
        secrets: Secrets::None,
        extras: BTreeSet::new(),
    }
}

fn owned(config: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = config.iter();
    pairs
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// `Kind namespace/name` of each.
fn names(settings: &Settings) -> Vec<String> {
    let objects = objects(settings);
    let name = |object: &Value| {
        let metadata = &object["metadata"];
        let namespace = metadata["namespace"].as_str().unwrap_or_default();
        let slash = if namespace.is_empty() { "" } else { "/" };
        format!(
            "{} {namespace}{slash}{}",
            object["kind"].as_str().unwrap(),
            metadata["name"].as_str().unwrap()
        )
    };
    objects.iter().map(name).collect()
}

fn yaml(objects: &[Value]) -> String {
    let texts = objects
        .iter()
        .map(|object| serde_saphyr::to_string(object).unwrap());
    texts.collect::<Vec<_>>().join("---\n")
}

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

#[test]
#[allow(clippy::too_many_lines, reason = "it is the whole Deployment")]
fn the_agent_runs_as_nobody_with_nothing_to_write_to() {
    let settings = Settings {
        architectures: set(&["amd64", "arm64"]),
        pull_secret: Some("{}".to_owned().into()),
        replicas: 2,
        ..settings()
    };
    let deployment = objects(&settings).pop().unwrap();
    insta::assert_snapshot!(yaml(&[deployment]), @r#"
    apiVersion: apps/v1
    kind: Deployment
    metadata:
      annotations:
        image-cloner.io/skip: "true"
      labels:
        app: image-cloner
        app.kubernetes.io/managed-by: image-cloner
        app.kubernetes.io/name: image-cloner
      name: image-cloner
      namespace: image-cloner-system
    spec:
      replicas: 2
      revisionHistoryLimit: 3
      selector:
        matchLabels:
          app: image-cloner
      strategy:
        rollingUpdate:
          maxSurge: 1
          maxUnavailable: 0
        type: RollingUpdate
      template:
        metadata:
          labels:
            app: image-cloner
            app.kubernetes.io/managed-by: image-cloner
            app.kubernetes.io/name: image-cloner
        spec:
          affinity:
            nodeAffinity:
              requiredDuringSchedulingIgnoredDuringExecution:
                nodeSelectorTerms:
                - matchExpressions:
                  - key: kubernetes.io/arch
                    operator: In
                    values:
                    - amd64
                    - arm64
          automountServiceAccountToken: true
          containers:
          - args:
            - --metrics-bind-address=:8080
            - --health-probe-bind-address=:8081
            - --settings=/etc/image-cloner/config
            - --settings=/etc/image-cloner/credentials
            - --leader-elect
            env:
            - name: POD_NAME
              valueFrom:
                fieldRef:
                  fieldPath: metadata.name
            - name: POD_NAMESPACE
              valueFrom:
                fieldRef:
                  fieldPath: metadata.namespace
            - name: MALLOC_ARENA_MAX
              value: "1"
            - name: MALLOC_TRIM_THRESHOLD_
              value: "65536"
            image: localhost:5000/image-cloner.internal/agent@sha256:0a
            imagePullPolicy: IfNotPresent
            livenessProbe:
              httpGet:
                path: /healthz
                port: probes
              initialDelaySeconds: 1
              periodSeconds: 20
              timeoutSeconds: 5
            name: agent
            ports:
            - containerPort: 8080
              name: metrics
              protocol: TCP
            - containerPort: 8081
              name: probes
              protocol: TCP
            readinessProbe:
              httpGet:
                path: /readyz
                port: probes
              initialDelaySeconds: 1
              periodSeconds: 5
              timeoutSeconds: 5
            resources:
              limits:
                cpu: "1"
                memory: 256Mi
              requests:
                cpu: 10m
                memory: 32Mi
            securityContext:
              allowPrivilegeEscalation: false
              capabilities:
                drop:
                - ALL
              privileged: false
              readOnlyRootFilesystem: true
              runAsNonRoot: true
            terminationMessagePolicy: FallbackToLogsOnError
            volumeMounts:
            - mountPath: /etc/image-cloner/config
              name: config
              readOnly: true
            - mountPath: /etc/image-cloner/credentials
              name: credentials
              readOnly: true
          enableServiceLinks: false
          imagePullSecrets:
          - name: image-cloner-pull
          nodeSelector:
            kubernetes.io/os: linux
          securityContext:
            fsGroup: 65532
            runAsGroup: 65532
            runAsNonRoot: true
            runAsUser: 65532
            seccompProfile:
              type: RuntimeDefault
          serviceAccountName: image-cloner
          terminationGracePeriodSeconds: 40
          topologySpreadConstraints:
          - labelSelector:
              matchLabels:
                app: image-cloner
            maxSkew: 1
            topologyKey: kubernetes.io/hostname
            whenUnsatisfiable: ScheduleAnyway
          volumes:
          - configMap:
              name: image-cloner-config
            name: config
          - name: credentials
            secret:
              defaultMode: 288
              optional: true
              secretName: image-cloner-cr-login
    "#);
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

#[test]
fn the_webhook_is_asked_about_what_the_agent_works_on_and_is_in_nobodys_way() {
    let asked = |config: &[(&str, &str)]| {
        let settings = Settings {
            config: owned(config),
            extras: [Extra::Webhook].into(),
            ..settings()
        };
        let mut objects = objects(&settings).into_iter();
        let kind = "MutatingWebhookConfiguration";
        let mut configuration = objects.find(|object| object["kind"] == kind).unwrap();
        configuration["webhooks"][0].take()
    };
    let rules = |webhook: &Value| {
        let rules = webhook["rules"].as_array().unwrap().iter();
        let rules = rules.map(|rule| {
            let of = |field: &str| serde_json::to_string(&rule[field]).unwrap();
            [of("apiGroups"), of("apiVersions"), of("resources")].join(" ")
        });
        rules.collect::<Vec<_>>()
    };
    let webhook = asked(&[]);
    assert_eq!(
        rules(&webhook),
        [
            r#"[""] ["v1"] ["pods"]"#,
            r#"["apps"] ["v1"] ["deployments"]"#,
            r#"["batch"] ["v1","v1beta1"] ["jobs"]"#,
        ]
    );
    assert_eq!(
        (
            &webhook["failurePolicy"],
            &webhook["sideEffects"],
            &webhook["timeoutSeconds"]
        ),
        (&json!("Ignore"), &json!("None"), &json!(1))
    );
    assert_eq!(
        webhook["clientConfig"]["caBundle"],
        Value::Null,
        "the agent writes it"
    );
    let label = "kubernetes.io/metadata.name";
    let but =
        |key: &str, values: &[&str]| json!({"key": key, "operator": "NotIn", "values": values});
    let opted_out = but("image-cloner.io/skip", &["true"]);
    let system = but(label, &crate::plan::SYSTEM_NAMESPACES);
    let selector = |webhook: &Value, name: &str| webhook[name]["matchExpressions"].clone();
    assert_eq!(selector(&webhook, "objectSelector"), json!([opted_out]));
    assert_eq!(
        selector(&webhook, "namespaceSelector"),
        json!([system, opted_out])
    );

    let webhook = asked(&[
        ("IMAGE_CLONER_KINDS", "sts,cj"),
        ("IMAGE_CLONER_NAMESPACES", "shop"),
    ]);
    assert_eq!(
        rules(&webhook)[1..],
        [
            r#"["apps"] ["v1"] ["statefulsets"]"#,
            r#"["batch"] ["v1","v1beta1"] ["cronjobs","jobs"]"#,
        ]
    );
    let only = json!({"key": label, "operator": "In", "values": ["shop"]});
    let expressions = selector(&webhook, "namespaceSelector");
    assert_eq!(expressions, json!([system, opted_out, only]));
}
