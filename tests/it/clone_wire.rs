//! A clone between registries and an API server that answer what a test tells them: what is asked how often,
//! and what goes on beside what.

use crate::cluster_wire::Server;
use crate::round_trip::policy;
use crate::wire::server::{Registry, Reply};
use crate::wire::{registries, simple};
use image_cloner::cluster::PullSecret;
use image_cloner::config::{Config, Environment};
use image_cloner::credentials::{Chain, Credentials};
use image_cloner::execute::{CloneTerms, Event, Images, Observer, Options, Rollouts, Run};
use image_cloner::outcome::{Outcome, WorkloadState};
use image_cloner::plan::{self, Observed, PullCredentials};
use image_cloner::reference::Reference;
use image_cloner::workload::{Kind, PULL_SECRET, Workload};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Remembers what is said.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Observer for Heard {
    fn notice(&self, event: &Event<'_>) {
        if let Event::Said(text) = event {
            self.0.lock().unwrap().push((*text).to_owned());
        }
    }
}

/// What happened to the cluster.
#[derive(Default)]
struct State {
    /// Paths of Deployments that were repointed.
    changed: BTreeSet<String>,
    /// Namespaces that saw a canary.
    tried: BTreeSet<String>,
    /// The nodes; none where they may not be seen.
    nodes: Option<Value>,
    /// Once so many Deployments were repointed, all namespaces have opted out.
    opts_out_after: Option<usize>,
}

/// A cluster with Deployments of one image each, all of it pulled by whoever tries.
struct Scene {
    state: Arc<Mutex<State>>,
    api: Server,
    to: Registry,
    observed: Vec<Observed>,
    heard: Arc<Heard>,
}

impl Scene {
    /// `ready` tells of each Deployment, by its namespace, whether it is.
    async fn of(
        deployments: &[(&'static str, &'static str, String)],
        ready: impl Fn(&str, &State) -> bool + Send + Sync + 'static,
    ) -> Self {
        let to = Registry::start().await;
        let state = Arc::<Mutex<State>>::default();
        let observed = deployments.iter().map(|(namespace, name, image)| {
            let object = deployment(namespace, name, image, true);
            Observed {
                workload: Workload::from_object(&Kind::from_word("deploy").unwrap(), &object)
                    .unwrap(),
                running: BTreeMap::new(),
                account_pull_secrets: Some(Vec::new()),
                pull_credentials: PullCredentials::None,
                named: true,
                namespace_opted_out: false,
            }
        });
        let observed: Vec<Observed> = observed.collect();
        let shared = Arc::clone(&state);
        let images: BTreeMap<String, String> = deployments
            .iter()
            .map(|(namespace, name, image)| (format!("{namespace}/{name}"), image.clone()))
            .collect();
        let target = to.host.clone();
        let api = Server::start(move |line, _| {
            let mut state = shared.lock().unwrap();
            let (method, path) = line.split_once(' ').unwrap();
            let (path, _) = path.split_once('?').unwrap_or((path, ""));
            let parts: Vec<&str> = path.split('/').collect();
            let at = parts.iter().position(|part| *part == "namespaces");
            let namespace = at.map_or("", |at| parts[at + 1]).to_owned();
            let last = parts[parts.len() - 1];
            match method {
                "PATCH" => drop(state.changed.insert(path.to_owned())),
                "POST" if last == "pods" => drop(state.tried.insert(namespace.clone())),
                _ => {}
            }
            if path.contains("/deployments/") {
                let Some(image) = images.get(&format!("{namespace}/{last}")) else {
                    return missing();
                };
                let image = if state.changed.contains(path) {
                    let copy = policy(&target)
                        .target
                        .name(&Reference::parse(image).unwrap());
                    copy.unwrap().to_string()
                } else {
                    image.clone()
                };
                let ready = ready(&namespace, &state);
                return (200, deployment(&namespace, last, &image, ready));
            }
            match (method, last) {
                ("GET", "pods") => (200, json!({"items": []})),
                ("GET", "nodes") if state.nodes.is_some() => {
                    (200, json!({"metadata": {}, "items": state.nodes}))
                }
                ("GET", PULL_SECRET) => missing(),
                ("GET", _) if path.ends_with(&format!("/namespaces/{namespace}")) => {
                    let after = state.opts_out_after;
                    let is_out = after.is_some_and(|after| state.changed.len() >= after);
                    let labels = json!({"image-cloner.io/skip": is_out.to_string()});
                    (
                        200,
                        json!({"metadata": {"name": namespace, "labels": labels}}),
                    )
                }
                ("GET", _) if path.contains("/pods/") => (200, pulled()),
                ("GET", _) => (
                    403,
                    json!({"kind": "Status", "code": 403, "reason": "Forbidden",
                    "message": "not allowed"}),
                ),
                ("POST", _) => (201, json!({"metadata": {}})),
                _ => (200, json!({"metadata": {}})),
            }
        })
        .await;
        Self {
            state,
            api,
            to,
            observed,
            heard: Arc::default(),
        }
    }

    /// Clones all of it with canaries.
    async fn clone(&self, batch: Option<usize>) -> Outcome {
        let policy = policy(&self.to.host);
        let plan = plan::clone(&self.observed, &policy).unwrap();
        let chain = Chain::local(&Environment::default(), &Config::default()).unwrap();
        let images = Images::new(
            registries(&BTreeMap::new()),
            chain,
            BTreeMap::new(),
            Credentials::Anonymous,
            4,
            Options::default(),
        );
        let run = Run {
            cluster: self.api.cluster().await,
            id: "a7f3".to_owned(),
            options: Options::default(),
            observer: Arc::clone(&self.heard) as Arc<dyn Observer>,
        };
        let terms = CloneTerms {
            policy,
            pull_secret: Some(PullSecret {
                key: self.to.host.clone(),
                credentials: Credentials::Basic {
                    username: "puller".to_owned(),
                    password: "p".to_owned().into(),
                },
            }),
            rollouts: Some(Rollouts {
                timeout: Duration::from_secs(30),
                batch,
            }),
            put_back: false,
            canary: Some(Duration::from_secs(30)),
        };
        run.clone(&plan, &self.observed, &terms, &images).await
    }
}

fn missing() -> (u16, Value) {
    let status = json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound",
                        "message": "not found"});
    (404, status)
}

/// A canary whose kubelet is past the pull.
fn pulled() -> Value {
    json!({"spec": {"nodeName": "n1"}, "status": {"containerStatuses": [
        {"name": "canary", "state": {"waiting": {"reason": "CreateContainerConfigError"}}}]}})
}

fn deployment(namespace: &str, name: &str, image: &str, ready: bool) -> Value {
    let count = i32::from(ready);
    json!({"metadata": {"name": name, "namespace": namespace}, "spec": {
        "selector": {"matchLabels": {"app": name}},
        "template": {"spec": {"containers": [{"name": "web", "image": image}]}}},
        "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": count,
                   "availableReplicas": count}})
}

fn is_repointed(outcome: &Outcome) -> Vec<bool> {
    let states = outcome.workloads.iter().map(|one| &one.state);
    states
        .map(|state| matches!(state, WorkloadState::Repointed { .. }))
        .collect()
}

#[tokio::test]
async fn what_a_namespace_needs_is_asked_for_once_however_many_workloads_it_has() {
    let from = Registry::start().await;
    simple(&from);
    let image = format!("{}/a/b:1", from.host);
    let names = ["one", "two", "three", "four"];
    let scene = Scene::of(&names.map(|name| ("a", name, image.clone())), |_, _| true).await;

    let outcome = scene.clone(None).await;

    assert_eq!(is_repointed(&outcome), [true; 4], "{outcome:?}");
    let asked = scene.api.asked();
    let count = |method: &str, part: &str| {
        let asked = asked.iter();
        asked
            .filter(|line| line.starts_with(method) && line.contains(part))
            .count()
    };
    assert_eq!(count("GET", "/secrets/"), 1, "{asked:#?}");
    assert_eq!(count("POST", "/secrets"), 1, "{asked:#?}");
    assert_eq!(count("GET", "/nodes"), 1, "{asked:#?}");
    assert_eq!(count("POST", "/pods"), 1, "{asked:#?}");
    assert_eq!(count("PATCH", "/deployments/"), 4, "{asked:#?}");
    let opt_out = "GET /api/v1/namespaces/a";
    let opt_outs = asked
        .iter()
        .filter(|line| line.split('?').next() == Some(opt_out));
    assert_eq!(opt_outs.count(), 1, "{asked:#?}");
}

#[tokio::test]
async fn a_namespace_that_opts_out_while_it_is_cloned_is_left_alone_from_then_on() {
    let from = Registry::start().await;
    simple(&from);
    let image = format!("{}/a/b:1", from.host);
    let names = ["one", "two", "three"];
    let scene = Scene::of(&names.map(|name| ("a", name, image.clone())), |_, _| true).await;
    scene.state.lock().unwrap().opts_out_after = Some(1);

    let outcome = scene.clone(Some(1)).await;

    let states = outcome.workloads.iter().map(|one| &one.state);
    let left = states.filter(|state| {
        let WorkloadState::Skipped(reason) = state else {
            return false;
        };
        reason == "namespace a opted out by image-cloner.io/skip"
    });
    assert_eq!(left.count(), 2, "{outcome:?}");
    assert_eq!(scene.state.lock().unwrap().changed.len(), 1);
}

#[tokio::test]
async fn each_platform_of_nodes_that_would_take_a_pod_tries_its_pull() {
    let from = Registry::start().await;
    simple(&from);
    let image = format!("{}/a/b:1", from.host);
    let scene = Scene::of(&[("a", "web", image)], |_, _| true).await;
    let node = |name: &str, architecture: &str, taints: Value| {
        json!({"metadata": {"name": name}, "spec": {"taints": taints}, "status": {"nodeInfo":
            {"operatingSystem": "linux", "architecture": architecture}}})
    };
    let kept = json!([{"key": "gpu", "effect": "NoSchedule"}]);
    scene.state.lock().unwrap().nodes = Some(json!([
        node("n1", "amd64", json!([])),
        node("n2", "arm64", json!([])),
        node("n3", "arm64", json!([])),
        node("n4", "riscv64", kept),
    ]));

    let outcome = scene.clone(None).await;

    assert_eq!(is_repointed(&outcome), [true], "{outcome:?}");
    let asked = scene.api.asked();
    let tried = asked
        .iter()
        .filter(|line| line.starts_with("POST") && line.contains("/pods"));
    assert_eq!(tried.count(), 2, "{asked:#?}");
}

#[tokio::test]
async fn canaries_go_on_while_a_batch_rolls_out() {
    let (early, late) = (Registry::start().await, Registry::start().await);
    simple(&early);
    simple(&late);
    let deployments = [
        ("a", "web", format!("{}/a/b:1", early.host)),
        ("b", "web", format!("{}/a/b:1", late.host)),
    ];
    // the first is ready when the second namespace's pull was tried, which waits for the first to be changed
    let scene = Scene::of(&deployments, |namespace, state| {
        namespace != "a" || state.tried.contains("b")
    })
    .await;
    let state = Arc::clone(&scene.state);
    late.hook(move |_| {
        let is_held = state.lock().unwrap().changed.is_empty();
        is_held.then(|| Reply::new(503).header("Retry-After", "1"))
    });

    let outcome = scene.clone(Some(1)).await;

    assert_eq!(is_repointed(&outcome), [true; 2], "{outcome:?}");
}

#[tokio::test]
async fn a_workload_that_is_gone_fails_no_canary_of_its_namespace() {
    let from = Registry::start().await;
    simple(&from);
    let image = format!("{}/a/b:1", from.host);
    let mut scene = Scene::of(&[("a", "web", image.clone())], |_, _| true).await;
    let object = deployment("a", "gone", &image, true);
    let mut gone = scene.observed[0].clone();
    gone.workload = Workload::from_object(&Kind::from_word("deploy").unwrap(), &object).unwrap();
    scene.observed.insert(0, gone);

    let outcome = scene.clone(None).await;

    assert_eq!(is_repointed(&outcome), [false, true], "{outcome:?}");
    let heard = scene.heard.0.lock().unwrap().clone();
    assert!(
        heard.contains(&"deployment.apps/gone in a is gone: its pulls are not tried".to_owned()),
        "{heard:?}"
    );
}
