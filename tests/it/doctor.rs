//! `doctor` on the bed: what it says of a healthy one, and of each thing that can be wrong.

mod registries;

use crate::bed::{Bed, Ran, deployment, var};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The output without what differs from bed to bed and run to run.
fn redacted(bed: &Bed, text: &str) -> String {
    let server = bed.kubectl(&[
        "config",
        "view",
        "--minify",
        "-o",
        "jsonpath={.clusters[0].cluster.server}",
    ]);
    let context = bed.kubectl(&["config", "current-context"]);
    let mut text = text.to_owned();
    for (varies, name) in [
        (bed.target().as_str(), "TARGET/NS"),
        (var("TARGET").as_str(), "TARGET"),
        (&bed.namespace, "NS"),
        (&var("KUBE_VERSION"), "VERSION"),
        (server.trim(), "SERVER"),
        (&format!("context {}", context.trim()), "context CONTEXT"),
        (&var("NODE_NAME"), "NODE"),
        (&var("CONFIG"), "CONFIG"),
    ] {
        text = text.replace(varies, name);
    }
    text
}

fn doctor(bed: &Bed, args: &[&str], env: &[(&str, &str)]) -> Ran {
    let args = [&["doctor", "-n", &bed.namespace], args].concat();
    let mut command = bed.plugin_command(&args);
    command.envs(env.iter().copied());
    bed.ran(command.output().expect("the plugin starts"))
}

/// One check of `-o json`: verdict, what was found, and how to mend it, each redacted.
fn check(bed: &Bed, ran: &Ran, name: &str) -> String {
    let document: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let checks = document["checks"].as_array().expect("checks");
    let check = checks.iter().find(|check| check["name"] == name);
    let check = check.unwrap_or_else(|| panic!("no check {name} in {document:#}"));
    let mut lines = vec![format!(
        "{}  {}",
        check["verdict"].as_str().expect("a verdict"),
        check["found"].as_str().expect("what was found")
    )];
    let mend = check["mend"].as_array().expect("a list");
    lines.extend(
        mend.iter()
            .map(|line| format!("  {}", line.as_str().expect("text"))),
    );
    redacted(bed, &lines.join("\n"))
}

#[test]
fn a_healthy_bed_is_all_right() {
    let Some(bed) = Bed::share("fit", true) else {
        return;
    };
    bed.apply(&deployment("web", &[("web", "nginx:1.21.4-alpine")], &[]));
    bed.plugin(&["clone", "deploy/web"]).exits(0);

    let ran = doctor(&bed, &["--nodes"], &[]).exits(0);

    insta::assert_snapshot!(redacted(&bed, &ran.stdout), @r"
    ok    config        CONFIG
    ok    cluster       VERSION at SERVER, context CONTEXT
    ok    permissions   all that is needed of 10 resources in NS
    ok    workloads     1 in NS, 1 of them cloned
    ok    policies      none looks at images without naming TARGET
    ok    target        TARGET/NS, from IMAGE_CLONER_REGISTRY
    ok    registry      answers at http://TARGET
    ok    TLS           plain HTTP, which stays on this machine
    ok    credentials   testuser, from IMAGE_CLONER_USER
    ok    push          an upload was opened and given up
    ok    nested paths  accepted
    ok    mount         layers are taken over between repositories
    ok    referrers     not offered: signatures are found by their tags
    ok    pull          puller reads nginx:1.21.4-alpine
    ok    docker.io     tells of no limit
    ok    nodes         NODE (linux/amd64) pulled nginx:1.21.4-alpine
    ok    clock         agrees with API server and registry
    ");
    assert_eq!(ran.stderr, "");
    let pods = bed.kubectl(&["get", "pods", "-o", "name"]);
    assert!(!pods.contains("canary"), "{pods}");
}

#[test]
fn nothing_is_left_in_the_registry() {
    let Some(bed) = Bed::share("clean", false) else {
        return;
    };
    doctor(&bed, &[], &[]).exits(0);
    let writes = bed.writes("TARGET");
    let of = |verb: &str| {
        let lines = writes.iter();
        lines
            .filter(|line| line.contains(&format!("\"{verb} ")))
            .count()
    };
    assert_eq!((of("POST"), of("DELETE")), (2, 2), "{writes:#?}");
    assert_eq!(writes.len(), 4, "{writes:#?}");
}

#[test]
fn a_wrong_password_is_told_with_its_source() {
    let Some(bed) = Bed::share("pass", false) else {
        return;
    };
    let ran = doctor(&bed, &[], &[("IMAGE_CLONER_PASS", "Wr0ngWord")]).exits(1);
    assert!(!ran.stdout.contains("Wr0ngWord"), "{}", ran.stdout);
    insta::assert_snapshot!(redacted(&bed, &ran.stdout), @r"
    ok    config        CONFIG
    ok    cluster       VERSION at SERVER, context CONTEXT
    ok    permissions   all that is needed of 10 resources in NS
    ok    workloads     0 in NS, 0 of them cloned
    ok    policies      none looks at images without naming TARGET
    ok    target        TARGET/NS, from IMAGE_CLONER_REGISTRY
    ok    registry      answers at http://TARGET
    ok    TLS           plain HTTP, which stays on this machine
    fail  credentials   testuser, from IMAGE_CLONER_USER: GET
                        http://TARGET/v2/: 401 UNAUTHORIZED authentication
                        required (as testuser)
          set IMAGE_CLONER_USER and IMAGE_CLONER_PASS to what TARGET takes
    skip  push          the registry lets nobody in
    skip  nested paths  the registry lets nobody in
    skip  mount         the registry lets nobody in
    skip  referrers     the registry lets nobody in
    ok    pull          puller is let in; no copy to read yet
    skip  docker.io     no workload here runs an image from there
    warn  nodes         TARGET is this machine here, and each node itself
                        there
          kubectl image-cloner doctor --nodes  # do they pull from it?
          if not: --to NAME-FOR-NODES, and `endpoint` in config.yaml to push to
    ok    clock         agrees with API server and registry
    ");

    let ran = doctor(
        &bed,
        &["-o", "json"],
        &[("IMAGE_CLONER_PULL_PASS", "Wr0ngWord")],
    )
    .exits(1);
    assert!(!ran.stdout.contains("Wr0ngWord"), "{}", ran.stdout);
    insta::assert_snapshot!(check(&bed, &ran, "pull"), @r"
    fail  puller: GET http://TARGET/v2/: 401 UNAUTHORIZED authentication required (as puller)
      IMAGE_CLONER_PULL_USER and _PASS are for pulling
    ");
}

#[test]
fn a_registry_that_is_not_there_stops_no_other_check() {
    let Some(bed) = Bed::share("gone", false) else {
        return;
    };
    // a port that nobody listens on, and nobody may without root
    let ran = doctor(&bed, &["--to", "localhost:1"], &[]).exits(1);
    insta::assert_snapshot!(redacted(&bed, &ran.stdout), @r"
    ok    config        CONFIG
    ok    cluster       VERSION at SERVER, context CONTEXT
    ok    permissions   all that is needed of 10 resources in NS
    ok    workloads     0 in NS, 0 of them cloned
    ok    policies      none looks at images without naming localhost:1
    ok    target        localhost:1, from --to
    fail  registry      GET https://localhost:1/v2/: Connection refused (os error
                        111)
          is a registry running at localhost:1, and reachable from here?
    skip  TLS           the registry is not reached
    skip  credentials   the registry is not reached
    skip  push          the registry is not reached
    skip  nested paths  the registry is not reached
    skip  mount         the registry is not reached
    skip  referrers     the registry is not reached
    skip  pull          the registry is not reached
    skip  docker.io     no workload here runs an image from there
    warn  nodes         localhost:1 is this machine here, and each node itself there
          kubectl image-cloner doctor --nodes  # do they pull from it?
          if not: --to NAME-FOR-NODES, and `endpoint` in config.yaml to push to
    ok    clock         agrees with API server
    ");
}

#[test]
fn a_certificate_that_is_not_trusted_is_told_apart_from_a_registry_that_is_away() {
    let Some(bed) = Bed::share("tls", false) else {
        return;
    };
    // the API server is one whose authority this machine does not know
    let server = var("ADMIN_SERVER");
    let host = server.trim_start_matches("https://");
    let ran = doctor(&bed, &["--to", host, "-o", "json"], &[]).exits(1);
    let tls = check(&bed, &ran, "TLS").replace(&server, "ADMIN");
    insta::assert_snapshot!(tls, @r"
    fail  GET SERVER/v2/: certificate signed by unknown authority
      name the authority's certificate as `caFile` of this registry in config.yaml, or with `kubectl image-cloner login HOST --ca-file FILE`
    ");
    let registry = check(&bed, &ran, "registry").replace(&server, "ADMIN");
    insta::assert_snapshot!(registry, @"ok  something answers at SERVER");
}

#[test]
fn missing_rights_come_with_the_commands_that_grant_them() {
    let Some(bed) = Bed::share("rights", false) else {
        return;
    };
    let namespace = bed.namespace.as_str();
    bed.kubectl(&["create", "serviceaccount", "ci"]);
    bed.kubectl(&[
        "create",
        "role",
        "look",
        "--verb=get,list",
        "--resource=deployments.apps,pods",
    ]);
    let account = format!("--serviceaccount={namespace}:ci");
    bed.kubectl(&["create", "rolebinding", "look", "--role=look", &account]);
    let kubeconfig = account_kubeconfig(&bed, "ci");
    let env = [("KUBECONFIG", kubeconfig.as_str())];

    let ran = doctor(&bed, &["-o", "json"], &env).exits(1);
    let told = check(&bed, &ran, "permissions");
    insta::assert_snapshot!(told, @r"
    fail  missing in NS: patch deployments.apps, pods; get/list/patch statefulsets.apps, daemonsets.apps, replicasets.apps, cronjobs.batch, jobs.batch; get namespaces, secrets; get/list serviceaccounts; create/update secrets (for pull secrets that clone makes: not with --pull-secret); list secrets (for sync-credentials); delete secrets (for sync-credentials --prune and uninstall-agent)
      kubectl create role image-cloner-workloads -n NS --verb=get,list,patch --resource=deployments.apps,statefulsets.apps,daemonsets.apps,replicasets.apps,cronjobs.batch,jobs.batch,pods
      kubectl create rolebinding image-cloner-workloads -n NS --role=image-cloner-workloads --serviceaccount=NS:ci
      kubectl create role image-cloner-accounts -n NS --verb=get,list --resource=namespaces,serviceaccounts
      kubectl create rolebinding image-cloner-accounts -n NS --role=image-cloner-accounts --serviceaccount=NS:ci
      kubectl create role image-cloner-secrets -n NS --verb=get,list,create,update,delete --resource=secrets
      kubectl create rolebinding image-cloner-secrets -n NS --role=image-cloner-secrets --serviceaccount=NS:ci
    ");

    // the commands are good as they are
    let commands = told.replace("NS", namespace);
    for command in commands.lines().skip(1) {
        let done = Command::new("sh")
            .args(["-c", command])
            .output()
            .expect("a shell");
        assert!(done.status.success(), "{command}: {done:?}");
    }
    let ran = doctor(&bed, &["-o", "json"], &env).exits(0);
    insta::assert_snapshot!(check(&bed, &ran, "permissions"), @"ok  all that is needed of 10 resources in NS");

    // what only some runs need is worth a word, and no failure
    let verbs =
        r#"[{"op":"replace","path":"/rules/0/verbs","value":["get","list","create","update"]}]"#;
    let patch = [
        "patch",
        "role/image-cloner-secrets",
        "--type=json",
        "-p",
        verbs,
    ];
    bed.kubectl(&patch);
    let ran = doctor(&bed, &["-o", "json"], &env).exits(0);
    insta::assert_snapshot!(check(&bed, &ran, "permissions"), @r"
    warn  missing in NS: delete secrets (for sync-credentials --prune and uninstall-agent)
      kubectl create role image-cloner-secrets -n NS --verb=get,list,create,update,delete --resource=secrets
      kubectl create rolebinding image-cloner-secrets -n NS --role=image-cloner-secrets --serviceaccount=NS:ci
    ");
}

#[test]
fn without_a_cluster_and_a_registry_each_is_told_with_what_helps() {
    let home = tempfile::tempdir().expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_kubectl-image_cloner"))
        .args(["doctor", "--server", "http://127.0.0.1:1"])
        .env_clear()
        .env("HOME", home.path())
        .output()
        .expect("the plugin starts");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8(output.stdout).expect("UTF-8");
    // how the line before it is broken depends on where homes are made
    let at = told.find("fail  cluster").expect("the check");
    insta::assert_snapshot!(told[at..], @r#"
    fail  cluster       asking for the version: cannot reach http://127.0.0.1:1:
                        connection refused
          is the cluster of context "default" running, and reachable from here?
    skip  permissions   the cluster is not reached
    skip  workloads     the cluster is not reached
    skip  policies      the cluster is not reached
    fail  target        no target registry is named
          give --to HOST[:PORT][/PREFIX], or set IMAGE_CLONER_REGISTRY
    skip  credentials   no target registry is known
    skip  push          no target registry is known
    skip  nested paths  no target registry is known
    skip  mount         no target registry is known
    skip  referrers     no target registry is known
    skip  pull          no target registry is known
    skip  docker.io     no workload here runs an image from there
    skip  nodes         the cluster is not reached
    skip  clock         neither API server nor registry told the time
    "#);
}

/// A kubeconfig with a ServiceAccount's own token.
fn account_kubeconfig(bed: &Bed, account: &str) -> String {
    bed.apply(&format!(
        "apiVersion: v1
kind: Secret
type: kubernetes.io/service-account-token
metadata:
  name: {account}-key
  annotations: {{kubernetes.io/service-account.name: {account}}}
"
    ));
    let secret = format!("secret/{account}-key");
    bed.until("the account's token", || {
        bed.get(&secret)["data"]["token"].is_string()
    });
    let template = "go-template={{.data.token | base64decode}}";
    let token = bed.kubectl(&["get", &secret, "-o", template]);
    let mut config: Value = serde_json::from_str(&bed.kubectl(&[
        "config",
        "view",
        "--raw",
        "--minify",
        "--flatten",
        "-o",
        "json",
    ]))
    .expect("JSON");
    config["users"][0]["user"] = serde_json::json!({"token": token});
    let path = bed.folder().join("account.kubeconfig");
    std::fs::write(&path, config.to_string()).expect("a file");
    path.to_str().expect("UTF-8").to_owned()
}

/// A Deployment whose image is a copy in a registry that this machine reaches and no node does, and the
/// configuration for it.
fn nowhere(bed: &Bed) -> PathBuf {
    let image = "nowhere.corp/busybox:1.36";
    bed.apply(&deployment("web", &[("web", image)], &[]));
    bed.config(&[("nowhere.corp", &var("OPEN_TARGET"))])
}

#[test]
fn nodes_that_cannot_pull_are_told_in_their_own_words() {
    let Some(bed) = Bed::share("nodes", true) else {
        return;
    };
    let config = nowhere(&bed);
    let config = config.to_str().expect("UTF-8");
    let words = ["--nodes", "--to=nowhere.corp", "-o=json"];
    let ran = doctor(&bed, &words, &[("IMAGE_CLONER_CONFIG", config)]).exits(1);
    let told = check(&bed, &ran, "nodes");
    let (before, pod) = told.split_once("image-cloner-canary-").expect("a pod");
    let (_id, after) = pod.split_once(' ').expect("what came of it");
    insta::assert_snapshot!(format!("{before}POD {after}"), @r#"
    fail  linux/amd64: POD on NODE: failed to do request: Head "http://127.0.0.1:9/v2/busybox/manifests/1.36?ns=nowhere.corp": dial tcp 127.0.0.1:9: connect: connection refused
      NODE does not reach nowhere.corp
    "#);
    assert_no_canary(&bed);
}

#[test]
fn an_interrupt_leaves_no_pod_and_shows_what_was_looked_at() {
    let Some(bed) = Bed::share("cut", true) else {
        return;
    };
    let config = nowhere(&bed);
    let plugin = bed
        .plugin_command(&[
            "doctor",
            "-n",
            &bed.namespace,
            "--nodes",
            "--to=nowhere.corp",
        ])
        .env("IMAGE_CLONER_CONFIG", config)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the plugin starts");
    bed.until("a pod of ours", || {
        let pods = bed.kubectl(&["get", "pods", "-o", "name"]);
        pods.contains("image-cloner-canary-")
    });
    let sent = Command::new("kill")
        .args(["-INT", &plugin.id().to_string()])
        .status();
    assert!(sent.expect("kill is there").success());
    let ran = bed.ran(plugin.wait_with_output().expect("the plugin ends"));
    let ran = ran.exits(130).says("cancelled");
    assert!(ran.stdout.contains("ok    cluster "), "{}", ran.stdout);
    let nodes = "skip  nodes         linux/amd64: interrupted";
    assert!(ran.stdout.contains(nodes), "{}", ran.stdout);
    assert_no_canary(&bed);
}

fn assert_no_canary(bed: &Bed) {
    let pods = bed.kubectl(&["get", "pods", "-o", "name"]);
    assert!(!pods.contains("canary"), "{pods}");
}

#[test]
fn a_configuration_that_cannot_be_read_is_a_failed_check_and_the_cluster_is_looked_at() {
    let Some(bed) = Bed::share("broken", false) else {
        return;
    };
    let config = bed.folder().join("config.yaml");
    std::fs::write(&config, "registri: reg.corp\n").expect("a file");
    let config = config.to_str().expect("UTF-8");
    let ran = doctor(&bed, &["-o=json"], &[("IMAGE_CLONER_CONFIG", config)]).exits(1);
    let told = check(&bed, &ran, "config").replace(config, "FILE");
    insta::assert_snapshot!(told, @r"
    fail  reading configuration FILE: unknown field `registri`, expected one of registry, contexts, layout, platform, kinds, skipNamespaces, protect, registries at line 1, column 1
      mend it in an editor; `kubectl image-cloner config set` writes only what is right
    ");
    insta::assert_snapshot!(check(&bed, &ran, "target"), @"skip  the configuration cannot be used");
    insta::assert_snapshot!(check(&bed, &ran, "workloads"), @"ok  0 in NS, 0 of them cloned");
    assert_eq!(ran.stderr, "");
}

#[test]
fn a_policy_that_looks_at_images_and_does_not_name_the_target_is_told() {
    let Some(bed) = Bed::share("policies", false) else {
        return;
    };
    // Kyverno's own kind, which is looked for under this name; it stays, as other runs may look at theirs
    bed.apply(
        "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: policies.kyverno.io}
spec:
  group: kyverno.io
  scope: Namespaced
  names: {kind: Policy, plural: policies, singular: policy}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
",
    );
    let established = ["wait", "--for=condition=Established", "--timeout=60s"];
    bed.kubectl(&[&established[..], &["crd/policies.kyverno.io"]].concat());
    let policy = |name: &str, image: &str| {
        bed.apply(&format!(
            "apiVersion: kyverno.io/v1
kind: Policy
metadata: {{name: {name}}}
spec:
  rules:
  - name: registries
    match: {{resources: {{kinds: [Pod]}}}}
    validate: {{pattern: {{spec: {{containers: [{{image: '{image}'}}]}}}}}}
"
        ));
    };
    policy("allowed", &format!("{}/*", var("TARGET")));
    let ran = doctor(&bed, &["-o=json"], &[]).exits(0);
    insta::assert_snapshot!(check(&bed, &ran, "policies"), @"ok  none looks at images without naming TARGET");

    policy("hub-only", "docker.io/*");
    let ran = doctor(&bed, &["-o=json"], &[]).exits(0);
    insta::assert_snapshot!(check(&bed, &ran, "policies"), @r"
    warn  may look at an image's registry: policy/hub-only
      they must allow TARGET/NS: see what they match
    ");
}
