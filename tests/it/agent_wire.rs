//! `install-agent` and `uninstall-agent` against an API server and registries that answer what a test tells
//! them: what is sent where, in which order, and what of an install is kept.

mod uninstall;

use crate::cluster_wire::Server;
use crate::wire::server::{Registry, Reply};
use image_cloner::install::{self, Scope, Secrets, Settings};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

/// The password of the registry that is left.
const PASSWORD: &str = "hunter2";
/// The same as it stands in a Secret.
const ENCODED: &str = "aHVudGVyMg==";

/// A cluster that holds these objects: it lists, gives and deletes them, and takes what is applied.
pub(crate) struct Cluster {
    pub(crate) server: Server,
    asked: Arc<Mutex<Vec<String>>>,
}

/// What a test has to say about a request, by method and path, before the cluster does.
pub(crate) type Says = fn(&str, &str) -> Option<(u16, Value)>;

impl Cluster {
    pub(crate) async fn of(objects: Vec<Value>, says: Says) -> Self {
        let objects = Mutex::new(objects);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let server = Server::start(move |line, _| {
            let (method, path) = line.split_once(' ').unwrap();
            let (path, query) = path.split_once('?').unwrap_or((path, ""));
            log.lock().unwrap().push(format!("{method} {path}"));
            let mut objects = objects.lock().unwrap();
            says(method, path).unwrap_or_else(|| answer(&mut objects, method, path, query))
        })
        .await;
        Self { server, asked }
    }

    /// What changed something, as `DELETE deployments/image-cloner`.
    pub(crate) fn writes(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let writes = asked.iter().filter(|line| !line.starts_with("GET "));
        writes.map(|line| tail(line)).collect()
    }

    /// What was asked, whole.
    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// The plugin with nothing from this machine but this cluster.
    pub(crate) fn plugin(&self, home: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-image_cloner"));
        command
            .args(args)
            .args(["--server", &self.server.address])
            .env_clear()
            .env("HOME", home);
        command
    }
}

/// `PATCH /apis/apps/v1/namespaces/x/deployments/y` without what is between.
fn tail(line: &str) -> String {
    let (method, path) = line.split_once(' ').unwrap();
    let mut parts = path.rsplit('/');
    let name = parts.next().unwrap();
    format!("{method} {}/{name}", parts.next().unwrap())
}

fn plural(object: &Value) -> String {
    let kind = object["kind"].as_str().unwrap().to_lowercase();
    match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{kind}s"),
    }
}

fn answer(objects: &mut Vec<Value>, method: &str, path: &str, query: &str) -> (u16, Value) {
    let not_found = || {
        (
            404,
            json!({"kind": "Status", "code": 404, "reason": "NotFound", "message": "not found"}),
        )
    };
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let at = objects.iter().position(|object| {
        object["metadata"]["name"] == parts[parts.len() - 1]
            && parts.len() > 1
            && parts[parts.len() - 2] == plural(object)
    });
    match (method, at) {
        ("GET", Some(at)) => (200, objects[at].clone()),
        ("DELETE", Some(at)) => (200, objects.remove(at)),
        ("DELETE", None) => not_found(),
        ("GET", None) => {
            let collection = parts[parts.len() - 1];
            let known = ["nodes", "namespaces", "pods", "serviceaccounts", "secrets"];
            let is_list = query.contains("managed-by") || known.contains(&collection) || {
                let workloads = ["deployments", "statefulsets", "daemonsets", "replicasets"];
                workloads.contains(&collection) || ["cronjobs", "jobs"].contains(&collection)
            };
            if path == "/apis" {
                return (200, json!({"kind": "APIGroupList", "groups": []}));
            }
            if !is_list {
                return not_found();
            }
            let (ours, named) = (
                query.contains("managed-by"),
                query.contains("fieldSelector"),
            );
            let within = parts
                .iter()
                .position(|part| *part == "namespaces")
                .and_then(|at| parts.get(at + 1));
            let items = objects.iter().filter(|object| {
                let metadata = &object["metadata"];
                let is_ours = metadata["labels"]["app.kubernetes.io/managed-by"] == "image-cloner";
                let is_here = within.is_none_or(|name| metadata["namespace"] == *name);
                plural(object) == collection && is_here && (named || ours && is_ours)
            });
            let items: Vec<Value> = items.cloned().collect();
            (200, json!({"kind": "List", "metadata": {}, "items": items}))
        }
        _ => (200, json!({"metadata": {}})),
    }
}

/// An install for a registry that asks for credentials, in namespaces or everywhere.
pub(crate) fn installed(registry: &str, more: &[(&str, &str)]) -> Vec<Value> {
    let mut config: BTreeMap<String, String> = [
        ("IMAGE_CLONER_REGISTRY", registry),
        ("IMAGE_CLONER_REGISTRY_ENDPOINT", "http://10.0.0.1:5000"),
        ("IMAGE_CLONER_LAYOUT", "flat"),
        ("IMAGE_CLONER_NAMESPACES", "shop"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    for (key, value) in more {
        config.insert((*key).to_owned(), (*value).to_owned());
    }
    let secret = |text: &str| text.to_owned().into();
    let settings = Settings {
        image: format!("{registry}/agent:1"),
        architectures: BTreeSet::new(),
        replicas: 1,
        config,
        login: [
            ("IMAGE_CLONER_USER".to_owned(), secret("me")),
            ("IMAGE_CLONER_PASS".to_owned(), secret(PASSWORD)),
        ]
        .into(),
        pull_secret: Some(secret("{}")),
        secrets: Secrets::None,
        extras: BTreeSet::new(),
    };
    assert!(
        settings.scope() != Scope::Everything || more.contains(&("IMAGE_CLONER_NAMESPACES", ""))
    );
    let mut objects = install::objects(&settings);
    objects.push(json!({"kind": "Namespace", "metadata": {"name": "shop"}}));
    objects
}

/// Runs a command to its end; gives its exit code and what it said.
fn run(mut command: Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn another_registry_gets_no_credentials_of_the_one_before() {
    let (old, new) = (Registry::start().await, Registry::start().await);
    for registry in [&old, &new] {
        registry.hook(|asked| {
            let refused = Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\"");
            asked.header("authorization").is_none().then_some(refused)
        });
    }
    let home = tempfile::tempdir().unwrap();
    let to = new.host.replace("127.0.0.1", "localhost");
    let cluster = Cluster::of(installed(&old.host, &[]), |_, _| None).await;
    let image = "--agent-image=elsewhere.corp/agent:1";
    let args = [
        "install-agent",
        "--to",
        &to,
        image,
        "--registry-endpoint=http://10.0.0.2:5000",
        "--yes",
    ];

    // with none of its own there is nothing to log in with
    let (code, _, said) = run(cluster.plugin(home.path(), &args));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("to push: "), "{said}");
    assert_eq!(cluster.writes(), [""; 0]);

    // with some, these are what the agent gets
    let with_own = |more: &[&str]| {
        let mut command = cluster.plugin(home.path(), &[&args[..], more].concat());
        command
            .env("IMAGE_CLONER_REGISTRY", &to)
            .env("IMAGE_CLONER_USER", "other")
            .env("IMAGE_CLONER_PASS", "0ther");
        run(command)
    };
    let (code, printed, said) = with_own(&["--dry-run=client", "-o", "yaml"]);
    assert_eq!(code, 0, "{said}");
    let (code, _, _) = with_own(&["--dry-run=client"]);
    assert_eq!(code, 0);
    assert!(
        printed.contains("IMAGE_CLONER_NAMESPACES: shop"),
        "{printed}"
    );
    for gone in [ENCODED, "LAYOUT", "10.0.0.1", &old.host] {
        assert!(!printed.contains(gone), "{gone} in {printed}");
    }
    let sent = new.log().into_iter().filter_map(|asked| {
        let sent = asked.header("authorization")?;
        Some(sent.to_owned())
    });
    let sent: BTreeSet<String> = sent.collect();
    assert_eq!(sent, BTreeSet::from(["Basic b3RoZXI6MHRoZXI=".to_owned()]));

    // the agent is stopped and its logins are gone before it is told of another registry
    let (code, _, said) = with_own(&["--wait=false"]);
    assert_eq!(code, 0, "{said}");
    let begin = format!("note: nothing that belongs to {} is kept", old.host);
    assert!(said.contains(&begin), "{said}");
    for line in [
        "configmap/image-cloner-config: IMAGE_CLONER_LAYOUT flat -> none",
        "secret/image-cloner-cr-login: IMAGE_CLONER_PASS changed",
        "secret/image-cloner-pull: removed",
    ] {
        assert!(said.contains(line), "{line} in {said}");
    }
    let writes = cluster.writes();
    assert_eq!(
        writes[..5],
        [
            // how many of it there were
            "PATCH configmaps/image-cloner-config",
            "DELETE deployments/image-cloner",
            "DELETE secrets/image-cloner-cr-login",
            "DELETE secrets/image-cloner-pull",
            "PUT configmaps/image-cloner-config"
        ]
    );
    let writes = &writes[5..];
    let told = |write: &str| writes.iter().position(|line| line == write).unwrap();
    let config = told("PATCH configmaps/image-cloner-config");
    assert!(told("PATCH deployments/image-cloner") > config);
    assert!(old.log().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_registry_keeps_what_the_agent_logs_in_with() {
    let registry = Registry::start().await;
    registry.hook(|asked| {
        let refused = Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\"");
        asked.header("authorization").is_none().then_some(refused)
    });
    let home = tempfile::tempdir().unwrap();
    let cluster = Cluster::of(installed(&registry.host, &[]), |_, _| None).await;
    // another prefix is no other registry
    let to = format!("{}/mirror", registry.host);
    let args = [
        "install-agent",
        "--to",
        &to,
        "--agent-image=elsewhere.corp/agent:1",
    ];
    let dry = ["--dry-run=client", "-o", "yaml"];
    let (code, printed, said) = run(cluster.plugin(home.path(), &[&args[..], &dry].concat()));
    assert_eq!(code, 0, "{said}");
    for kept in [ENCODED, "IMAGE_CLONER_LAYOUT: flat", "http://10.0.0.1:5000"] {
        assert!(printed.contains(kept), "{kept} in {printed}");
    }
}

#[test]
fn an_empty_item_of_a_list_is_refused_and_the_option_named() {
    let home = tempfile::tempdir().unwrap();
    for args in [
        &["install-agent", "--namespaces", ""][..],
        &["install-agent", "-A", "--secrets", " "],
        &["install-agent", "-A", "--kinds", "deploy,"],
        &["clone", "-A", "--skip-namespace", ""],
        &["clone", "-A", "--source", ""],
        &["restore", "-A", "--selector", ""],
        &["status", "-A", "--kinds", ""],
        &["clone", "-f", ""],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-image_cloner"));
        command.args(args).env_clear().env("HOME", home.path());
        let (code, _, said) = run(command);
        assert_eq!(code, 2, "{args:?}: {said}");
        let option = args[args.len() - 2];
        let first = said.lines().next().unwrap_or_default();
        assert!(
            first.contains(option) && first.contains("it is empty"),
            "{args:?}: {said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_is_read_the_same_everywhere() {
    let registry = Registry::start().await;
    let home = tempfile::tempdir().unwrap();
    let cluster = Cluster::of(installed(&registry.host, &[]), |_, _| None).await;
    let args = [
        "install-agent",
        "--agent-image=elsewhere.corp/agent:1",
        "--dry-run",
        "-o",
        "yaml",
    ];
    let with = |more: &str| run(cluster.plugin(home.path(), &[&args[..], &[more]].concat()));
    for (said, kept) in [
        ("--share-credentials", "true"),
        ("--share-credentials=off", "false"),
    ] {
        let (code, printed, error) = with(said);
        assert_eq!(code, 0, "{error}");
        let line = format!("IMAGE_CLONER_SHARE_CREDENTIALS: \"{kept}\"");
        assert!(printed.contains(&line), "{printed}");
    }
    let (code, _, error) = with("--webhook=maybe");
    assert_eq!(code, 2);
    assert!(
        error.contains("not one of true, yes, on, 1, false, no, off, 0"),
        "{error}"
    );
    let mut command = cluster.plugin(home.path(), &["sync-credentials", "--to", &registry.host]);
    command.env("IMAGE_CLONER_SHARE_CREDENTIALS", "maybe");
    let (code, _, error) = run(command);
    assert_eq!(code, 2);
    assert!(
        error.contains("IMAGE_CLONER_SHARE_CREDENTIALS is \"maybe\": not one of true, "),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_that_a_clone_is_told_of_are_looked_at_and_undone_too() {
    let registry = Registry::start().await;
    let home = tempfile::tempdir().unwrap();
    let says: Says = |_, path| {
        let rollouts = json!({"name": "rollouts", "singularName": "rollout", "kind": "Rollout",
            "namespaced": true, "verbs": ["get", "list", "patch"]});
        let group = json!({"name": "argoproj.io", "versions": [{"groupVersion": "argoproj.io/v1alpha1", "version": "v1alpha1"}],
            "preferredVersion": {"groupVersion": "argoproj.io/v1alpha1", "version": "v1alpha1"}});
        let body = match path {
            "/apis" => json!({"kind": "APIGroupList", "groups": [group]}),
            "/apis/argoproj.io" => group,
            "/apis/argoproj.io/v1alpha1" => json!({"resources": [rollouts]}),
            path if path.ends_with("/rollouts") => {
                json!({"kind": "List", "metadata": {}, "items": []})
            }
            path if path.ends_with("/namespaces/default") => {
                json!({"metadata": {"name": "default"}})
            }
            _ => return None,
        };
        Some((200, body))
    };
    for args in [
        &["status"][..],
        &["verify"],
        &["restore", "--last", "--yes"],
    ] {
        let cluster = Cluster::of(Vec::new(), says).await;
        let mut command = cluster.plugin(home.path(), args);
        command
            .env("IMAGE_CLONER_REGISTRY", &registry.host)
            .env("IMAGE_CLONER_KINDS", "rollouts.argoproj.io");
        let (_, _, said) = run(command);
        let asked = cluster.asked();
        let lists = |kind: &str| asked.iter().any(|line| line.ends_with(&format!("/{kind}")));
        // those that clone was not told of may have been cloned by their names
        assert!(
            lists("rollouts") && lists("deployments"),
            "{args:?}: {said}{asked:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn owned_workloads_are_repointed_where_the_flag_or_else_the_variable_says_so() {
    let (source, target) = (Registry::start().await, Registry::start().await);
    let home = tempfile::tempdir().unwrap();
    let image = format!("{}/app:1", source.host);
    let pod = json!({"containers": [{"name": "web", "image": image}]});
    let owned = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default", "uid": "1", "resourceVersion": "1",
            "labels": {"argocd.argoproj.io/instance": "shop"}},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": pod}},
    });
    let cluster = Cluster::of(vec![owned], |_, _| None).await;
    let is_left = |variable: &str, more: &[&str]| {
        let args = ["clone", "deploy/web", "--to", &target.host, "--dry-run"];
        let mut command = cluster.plugin(home.path(), &[&args[..], more].concat());
        command.env("IMAGE_CLONER_OWNED", variable);
        let (_, _, said) = run(command);
        assert!(said.contains(&target.host), "{said}");
        said.contains("would be reverted by Argo CD")
    };
    assert!(is_left("", &[]));
    assert!(!is_left("live", &[]));
    assert!(is_left("live", &["--owned", "copy"]));
    assert!(!is_left("copy", &["--owned", "live"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_in_place_of_the_agents_own_is_refused_and_not_shown() {
    let home = tempfile::tempdir().unwrap();
    let cluster = Cluster::of(installed("reg.corp", &[]), |_, _| None).await;
    for args in [
        &["uninstall-agent", "--yes", "--restore"][..],
        &["agent", "uninstall", "--yes"],
        &["agent", "install", "--yes"],
        &["agent", "status"],
        &["agent", "logs"],
        &["agent", "pause"],
        &["agent", "resume"],
    ] {
        let (code, printed, said) =
            run(cluster.plugin(home.path(), &[args, &["-n", "shop"]].concat()));
        assert_eq!((code, printed.as_str()), (2, ""), "{args:?}: {said}");
        let first =
            "error: -n shop: the agent lives in image-cloner-system\nnothing was changed\nhint: ";
        assert!(said.starts_with(first), "{args:?}: {said}");
        let (_, help, _) = run(cluster.plugin(home.path(), &[args, &["--help"]].concat()));
        assert!(help.contains("--context"), "{args:?}: {help}");
        assert!(!help.contains("--namespace "), "{args:?}: {help}");
    }
    assert_eq!(cluster.asked(), [""; 0]);
    // its own is right, and nobody's business
    let own = ["agent", "pause", "-n", "image-cloner-system"];
    let (code, _, said) = run(cluster.plugin(home.path(), &own));
    assert_eq!(code, 0, "{said}");
}

/// A program for Linux on this machine that needs no other file, as far as its header says.
fn program() -> Vec<u8> {
    let machine: u16 = if cfg!(target_arch = "aarch64") {
        183
    } else {
        62
    };
    let mut bytes = vec![0; 64 + 56];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    bytes[18..20].copy_from_slice(&machine.to_le_bytes());
    // one segment, to be loaded
    (bytes[32], bytes[54], bytes[56], bytes[64]) = (64, 56, 1, 1);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_dry_run_says_that_the_image_is_not_pushed() {
    let registry = Registry::start().await;
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("image-cloner-agent");
    std::fs::write(&path, program()).unwrap();
    let architecture = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    };
    let node = json!({"kind": "Node", "metadata": {"name": "n"}, "status": {"nodeInfo":
        {"operatingSystem": "linux", "architecture": architecture}}});
    for (mode, pushed) in [
        ("--dry-run=client", false),
        ("--dry-run=server", false),
        ("--wait=false", true),
    ] {
        let cluster = Cluster::of(vec![node.clone()], |_, _| None).await;
        let args = [
            "install-agent",
            "-A",
            "--to",
            &registry.host,
            "--registry-endpoint=http://10.0.0.2:5000",
            "--agent-binary",
            path.to_str().unwrap(),
            "-o",
            "yaml",
            mode,
        ];
        let (code, printed, said) = run(cluster.plugin(home.path(), &args));
        assert_eq!(code, 0, "{mode}: {said}");
        assert!(printed.contains("kind: Deployment"), "{printed}");
        let log = registry.log();
        let is_there = log.iter().any(|asked| asked.is("PUT", "/manifests/"));
        assert_eq!(is_there, pushed, "{mode}");
        assert_eq!(
            said.contains("is not pushed yet"),
            !pushed,
            "{mode}: {said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_stand_for_all_or_none_are_no_namespaces() {
    let registry = Registry::start().await;
    let home = tempfile::tempdir().unwrap();
    let cluster = Cluster::of(Vec::new(), |_, _| None).await;
    let with = |more: &[&str]| {
        let args = [
            "install-agent",
            "--to",
            &registry.host,
            "--agent-image=elsewhere.corp/agent:1",
            "--registry-endpoint=http://10.0.0.2:5000",
            "--dry-run",
            "-o",
            "yaml",
        ];
        run(cluster.plugin(home.path(), &[&args[..], more].concat()))
    };
    for (more, words) in [
        (
            &["-A", "--secrets", "none,shop"][..],
            "--secrets none,shop: \"none\"",
        ),
        (
            &["-A", "--secrets", "shop,all"],
            "--secrets shop,all: \"all\"",
        ),
        (
            &["-A", "--secrets", "none,all"],
            "--secrets none,all: \"none\"",
        ),
        (&["-A", "--secrets", "*"], "--secrets *: \"*\""),
        (&["--namespaces", "shop,*"], "--namespaces shop,*: \"*\""),
        (
            &["--namespaces", "team-*"],
            "--namespaces team-*: \"team-*\"",
        ),
        (&["--namespaces", "Shop"], "--namespaces Shop: \"Shop\""),
    ] {
        let (code, printed, said) = with(more);
        assert_eq!((code, printed.as_str()), (2, ""), "{more:?}: {said}");
        assert!(
            said.contains(words) && said.contains("hint: "),
            "{more:?}: {said}"
        );
    }
    let (code, everywhere, said) = with(&["--namespaces", "*"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(everywhere, with(&["-A"]).1);
    assert!(
        !everywhere.contains("IMAGE_CLONER_NAMESPACES"),
        "{everywhere}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_install_that_stopped_the_agent_and_failed_says_so_and_goes_on_with_as_many() {
    let (old, new) = (Registry::start().await, Registry::start().await);
    let home = tempfile::tempdir().unwrap();
    let to = new.host.replace("127.0.0.1", "localhost");
    let image = "--agent-image=elsewhere.corp/agent:1";
    let endpoint = "--registry-endpoint=http://10.0.0.2:5000";
    let args = ["install-agent", "--to", &to, image, endpoint, "--yes"];
    let mut objects = installed(&old.host, &[]);
    for object in &mut objects {
        if object["kind"] == "Deployment" {
            object["spec"]["replicas"] = json!(3);
        }
    }
    let forbidden: Says = |method, path| {
        let body = json!({"kind": "Status", "code": 403, "reason": "Forbidden", "message": "no"});
        (method == "PATCH" && path.ends_with("/deployments/image-cloner")).then_some((403, body))
    };
    let cluster = Cluster::of(objects.clone(), forbidden).await;
    let (code, printed, said) = run(cluster.plugin(home.path(), &args));
    assert_eq!(code, 1, "{said}");
    let removed: Vec<&str> = printed
        .lines()
        .filter(|line| line.ends_with(" removed"))
        .collect();
    assert_eq!(
        removed,
        [
            "deployment.apps/image-cloner removed",
            "secret/image-cloner-cr-login removed",
            "secret/image-cloner-pull removed"
        ]
    );
    assert!(
        said.ends_with("hint: the agent is stopped; the same install-agent goes on\n"),
        "{said}"
    );
    assert!(!said.contains("nothing was changed"), "{said}");

    // what it left: no Deployment, and a note of how many of it there were
    let noted = install::noting_replicas(&objects).unwrap();
    objects.retain(|object| object["kind"] != "Deployment" && object["kind"] != "ConfigMap");
    objects.push(noted);
    let cluster = Cluster::of(objects, |_, _| None).await;
    let dry = [&args[..], &["--dry-run", "-o", "yaml"]].concat();
    let (code, printed, said) = run(cluster.plugin(home.path(), &dry));
    assert_eq!(code, 0, "{said}");
    assert!(printed.contains("  replicas: 3\n"), "{printed}");
    assert!(!printed.contains("image-cloner.io/replicas"), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_that_are_not_repointed_are_told_of() {
    let registry = Registry::start().await;
    let home = tempfile::tempdir().unwrap();
    let cluster = Cluster::of(installed(&registry.host, &[]), |_, _| None).await;
    let image = "--agent-image=elsewhere.corp/agent:1";
    let note = "note: StatefulSets are copied and not repointed: --set STATEFUL=true does that";
    for (more, is_told) in [
        (&["--kinds", "deploy,sts"][..], true),
        (&["--kinds", "deploy,sts", "--set", "STATEFUL=true"], false),
        (&["--kinds", "deploy,sts", "--mode", "copy"], false),
        (&["--kinds", "deploy,ds"], false),
    ] {
        let args = [&["install-agent", image, "--dry-run"], more].concat();
        let (code, _, said) = run(cluster.plugin(home.path(), &args));
        assert_eq!(code, 0, "{said}");
        assert_eq!(said.contains(note), is_told, "{more:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_not_every_cluster_has_a_use_for_is_made_where_it_has() {
    let registry = Registry::start().await;
    let home = tempfile::tempdir().unwrap();
    let new: Says = |_, path| {
        let version = path.strip_prefix("/apis/")?;
        let is_new = ["policy/v1", "monitoring.coreos.com/v1"].contains(&version);
        is_new.then(|| (200, json!({"kind": "APIResourceList", "resources": []})))
    };
    let image = "--agent-image=elsewhere.corp/agent:1";
    for (says, more, made) in [
        (new, &["--replicas", "2"][..], &["PodDisruptionBudget"][..]),
        (new, &["--replicas", "1"], &[]),
        (|_: &str, _: &str| None, &["--replicas", "2"], &[]),
        (new, &["--network-policy"], &["NetworkPolicy"]),
        (new, &["--service-monitor"], &["Service", "ServiceMonitor"]),
    ] as [(Says, &[&str], &[&str]); 5]
    {
        let cluster = Cluster::of(installed(&registry.host, &[]), says).await;
        let args = ["install-agent", image, "--dry-run", "-o", "json"];
        let (code, printed, said) = run(cluster.plugin(home.path(), &[&args[..], more].concat()));
        assert_eq!(code, 0, "{said}");
        let list: Value = serde_json::from_str(&printed).unwrap();
        let kinds = list["items"].as_array().unwrap().iter();
        let kinds = kinds.filter_map(|object| object["kind"].as_str());
        let extra = [
            "PodDisruptionBudget",
            "NetworkPolicy",
            "Service",
            "ServiceMonitor",
        ];
        let kinds: Vec<&str> = kinds.filter(|kind| extra.contains(kind)).collect();
        assert_eq!(kinds, made, "{more:?}");
    }
}

#[test]
fn the_agents_log_is_text_or_an_object_a_line() {
    let said = |format: &str| {
        let mut agent = Command::new(env!("CARGO_BIN_EXE_image-cloner-agent"));
        agent.args(["--log-format", format]).env_clear();
        let (code, _, said) = run(agent);
        assert_eq!(code, 1, "{said}");
        said
    };
    let text = said("text");
    assert!(
        text.contains(" ERROR no target registry is named"),
        "{text}"
    );
    let json: Value = serde_json::from_str(said("json").trim()).unwrap();
    assert_eq!(json["level"], "ERROR");
    let message = json["message"].as_str().unwrap();
    assert!(message.starts_with("no target registry is named"), "{json}");
}

#[test]
fn an_agent_that_is_to_log_what_nobody_understands_says_so() {
    let mut agent = Command::new(env!("CARGO_BIN_EXE_image-cloner-agent"));
    agent.env_clear().env("RUST_LOG", "image_cloner=verbose");
    let (code, _, said) = run(agent);
    assert_eq!(code, 1, "{said}");
    let expected = r#" ERROR RUST_LOG is "image_cloner=verbose": "#;
    assert!(said.contains(expected), "{said}");
}
