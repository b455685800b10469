//! `cluster` against a server that answers what a test tells it: busy servers, lost pages, and how many
//! requests an observation takes.

use futures::StreamExt as _;
use http::StatusCode;
use image_cloner::cluster::{
    Cluster, ConnectFlags, Error, Fence, Pull, Pulled, Rollout, Selection, Watched, WriteMode,
};
use image_cloner::plan::{self, Upkeep};
use image_cloner::target::{Layout, TargetRegistry};
use image_cloner::workload::{Kind, WorkloadId};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// What was asked: `GET /api/v1/namespaces?limit=500`, and the header that says who asks.
type Asked = Arc<Mutex<Vec<(String, String)>>>;

/// An API server; `answer` is given each request line and how many came before it.
pub(crate) struct Server {
    pub(crate) address: String,
    asked: Asked,
    dir: tempfile::TempDir,
}

impl Server {
    pub(crate) async fn start(
        answer: impl Fn(&str, usize) -> (u16, Value) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Asked::default();
        let (seen, answer) = (Arc::clone(&asked), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&seen), Arc::clone(&answer)));
            }
        });
        let dir = tempfile::tempdir().unwrap();
        Self {
            address,
            asked,
            dir,
        }
    }

    pub(crate) async fn cluster(&self) -> Cluster {
        Cluster::connect(&self.flags("{}"), WriteMode::Apply)
            .await
            .unwrap()
    }

    /// Flags that lead here, as whom this kubeconfig says.
    fn flags(&self, kubeconfig: &str) -> ConnectFlags {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let path = self.dir.path().join("kubeconfig");
        std::fs::write(&path, kubeconfig).unwrap();
        ConnectFlags {
            kubeconfig: Some(path),
            server: Some(self.address.clone()),
            ..ConnectFlags::default()
        }
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|(line, _)| line.clone()).collect()
    }
}

async fn serve(stream: TcpStream, asked: Asked, answer: Arc<impl Fn(&str, usize) -> (u16, Value)>) {
    let mut stream = BufReader::new(stream);
    let (mut head, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        match line.trim() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let mut identity = String::new();
    for line in &head[1..] {
        match line.split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().unwrap();
            }
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                value.clone_into(&mut identity);
            }
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let line = head[0].trim_end_matches(" HTTP/1.1").to_owned();
    let before = {
        let mut asked = asked.lock().unwrap();
        asked.push((line.clone(), identity));
        asked.len() - 1
    };
    let (code, body) = answer(&line, before);
    if code == 0 {
        // never
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    let status = StatusCode::from_u16(code).unwrap();
    let body = body.to_string();
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    );
    let _ = stream.get_mut().write_all(text.as_bytes()).await;
}

pub(crate) fn failure(code: u16, reason: &str) -> (u16, Value) {
    let status = json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason,
                        "message": reason, "details": {"name": "x"}});
    (code, status)
}

fn namespaces(names: &[&str], next: &str) -> (u16, Value) {
    let items: Vec<Value> = names
        .iter()
        .map(|name| json!({"metadata": {"name": name}}))
        .collect();
    (200, json!({"metadata": {"continue": next}, "items": items}))
}

fn deployment() -> Value {
    json!({"metadata": {"name": "web", "namespace": "default"}, "spec": {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"spec": {
            "imagePullSecrets": [{"name": "regcred"}, {"name": "regcred"}],
            "containers": [{"name": "web", "image": "nginx"}]}}}})
}

#[tokio::test]
async fn a_named_deployment_takes_one_request_a_thing_and_no_more() {
    let server = Server::start(|line, _| match line {
        line if line.contains("/deployments/") => (200, deployment()),
        line if line.contains("/pods") => (200, json!({"items": []})),
        line if line.contains("/serviceaccounts/") => (200, json!({"metadata": {}})),
        line if line.contains("/secrets/") => failure(404, "NotFound"),
        _ => (200, json!({"metadata": {}})),
    })
    .await;
    let cluster = server.cluster().await;
    let selection = Selection::parse(&["deploy/web".to_owned()], false, None).unwrap();
    let target = TargetRegistry::parse("localhost:5000", Layout::Mirror).unwrap();
    let observation = cluster.observe(&selection, &target).await.unwrap();
    assert_eq!(
        (observation.observed.len(), observation.missing.len()),
        (1, 0)
    );
    let mut asked = server.asked();
    asked.sort();
    assert_eq!(
        asked,
        [
            "GET /api/v1/namespaces/default",
            "GET /api/v1/namespaces/default/pods?&labelSelector=app%3Dweb&limit=500",
            "GET /api/v1/namespaces/default/secrets/regcred",
            "GET /api/v1/namespaces/default/serviceaccounts/default",
            "GET /apis/apps/v1/namespaces/default/deployments/web",
        ]
    );
}

#[tokio::test]
async fn every_page_of_a_list_is_read_and_a_lost_one_starts_it_over() {
    let server = Server::start(|line, before| match (before, line) {
        (0, _) => namespaces(&["b"], "next"),
        (1, line) if line.contains("continue=next") => failure(410, "Expired"),
        (2, line) if !line.contains("limit=") => namespaces(&["c", "b", "a"], ""),
        _ => failure(500, "unexpected"),
    })
    .await;
    let names = server.cluster().await.namespaces().await.unwrap();
    assert_eq!(names, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_busy_server_is_asked_again_but_not_for_ever() {
    let server = Server::start(|_, before| match before {
        0 => failure(429, "TooManyRequests"),
        1 => failure(503, "ServiceUnavailable"),
        _ => namespaces(&["a"], ""),
    })
    .await;
    assert_eq!(server.cluster().await.namespaces().await.unwrap(), ["a"]);

    let server = Server::start(|_, _| failure(429, "TooManyRequests")).await;
    let error = server.cluster().await.namespaces().await.unwrap_err();
    assert!(matches!(error, Error::Failed(_)), "{error:?}");
    assert_eq!(server.asked().len(), 4);
}

/// What a watch tells next.
async fn told(watch: &mut futures::stream::BoxStream<'static, Result<Watched, Error>>) -> String {
    let told = tokio::time::timeout(Duration::from_secs(60), watch.next()).await;
    match told.expect("something is told").expect("it never ends") {
        Ok(told) => format!("{told:?}"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_watch_that_failed_tells_when_it_is_under_way_again_although_nothing_changes() {
    let server = Server::start(|line, before| match (line, before) {
        (line, _) if !line.contains("watch=true") => (
            200,
            json!({"metadata": {"resourceVersion": "7"}, "items": []}),
        ),
        (_, 1) => failure(500, "broken"),
        (_, 2) => {
            let bookmark = json!({"kind": "Deployment", "apiVersion": "apps/v1",
                                  "metadata": {"resourceVersion": "8"}});
            (200, json!({"type": "BOOKMARK", "object": bookmark}))
        }
        // without an answer
        _ => (0, Value::Null),
    });
    let server = server.await;
    let cluster = server.cluster().await;
    let deployments = Kind::from_word("deploy").unwrap();
    let mut watch = cluster.watch(&deployments, None).await.unwrap();
    for expected in ["Listing", "Listed"] {
        assert_eq!(told(&mut watch).await, expected);
    }
    let broken = told(&mut watch).await;
    assert!(
        broken.starts_with("watching deployments.apps: ") && broken.contains("broken"),
        "{broken}"
    );
    assert_eq!(told(&mut watch).await, "Begun");
    let lists = server.asked();
    let lists = lists.iter().filter(|line| !line.contains("watch=true"));
    assert_eq!(lists.count(), 1, "it is resumed, not begun anew");
}

#[tokio::test]
async fn a_watch_that_the_server_has_forgotten_lists_everything_again() {
    let server = Server::start(|line, before| match (line, before) {
        (line, _) if !line.contains("watch=true") => (
            200,
            json!({"metadata": {"resourceVersion": "7"}, "items": [deployment()]}),
        ),
        (_, 1) => {
            let (_, gone) = failure(410, "Expired");
            (200, json!({"type": "ERROR", "object": gone}))
        }
        // without an answer
        _ => (0, Value::Null),
    });
    let server = server.await;
    let cluster = server.cluster().await;
    let deployments = Kind::from_word("deploy").unwrap();
    let mut watch = cluster.watch(&deployments, None).await.unwrap();
    for expected in [
        "Listing",
        "Object(",
        "Listed",
        "Begun",
        "watching deployments.apps: ",
        "Listing",
        "Object(",
        "Listed",
    ] {
        let told = told(&mut watch).await;
        assert!(told.starts_with(expected), "{expected}: {told}");
    }
}

#[tokio::test]
async fn a_watch_asks_nothing_behind_a_closed_fence() {
    let server = Server::start(|_, _| failure(500, "asked")).await;
    let deployments = Kind::from_word("deploy").unwrap();
    let cluster = server.cluster().await.behind(&Fence::closed());
    let mut watch = cluster.watch(&deployments, None).await.unwrap();
    assert_eq!(
        told(&mut watch).await,
        "watching deployments.apps: not begun: leadership is over"
    );
    assert_eq!(server.asked(), [""; 0]);
}

#[tokio::test]
async fn a_request_that_is_not_answered_in_time_is_given_up_when_the_fence_closes() {
    let server = Server::start(|_, _| (0, Value::Null)).await;
    let fence = Fence::open();
    let cluster = server.cluster().await.behind(&fence);
    let asking = tokio::spawn(async move { cluster.namespaces().await });
    while server.asked().is_empty() {
        assert!(!asking.is_finished(), "nobody was asked");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    fence.close();
    let error = asking.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Fenced(_)), "{error:?}");
    assert_eq!(
        error.to_string(),
        "listing namespaces: given up: leadership was over before it was answered"
    );
}

#[tokio::test]
async fn a_write_is_not_repeated_when_it_may_have_been_done() {
    let server = Server::start(|_, _| failure(503, "ServiceUnavailable")).await;
    let id = WorkloadId {
        kind: Kind::from_word("deploy").unwrap(),
        namespace: "default".to_owned(),
        name: "web".to_owned(),
    };
    let error = server
        .cluster()
        .await
        .patch(&id, &json!([]))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Failed(_)), "{error:?}");
    assert_eq!(
        server.asked(),
        ["PATCH /apis/apps/v1/namespaces/default/deployments/web?&fieldManager=image-cloner"]
    );
}

#[tokio::test]
async fn a_wait_may_be_as_long_as_can_be_said() {
    let server = Server::start(|_, _| {
        let mut ready = deployment();
        ready["status"] = json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1,
                                 "availableReplicas": 1});
        (200, ready)
    })
    .await;
    let id = WorkloadId {
        kind: Kind::from_word("deploy").unwrap(),
        namespace: "default".to_owned(),
        name: "web".to_owned(),
    };
    let cluster = server.cluster().await;
    let rollout = cluster.wait(&id, None, Duration::MAX).await.unwrap();
    assert_eq!(rollout, Rollout::Ready("1/1 ready".to_owned()));
}

#[tokio::test]
async fn a_canary_that_was_ended_still_says_that_its_pull_failed() {
    let server = Server::start(|line, _| match line {
        line if line.contains("/events") => (200, json!({"items": []})),
        line if line.starts_with("GET ") && line.contains("/pods/") => {
            let waiting = json!({"reason": "ErrImagePull", "message": "401 Unauthorized"});
            let pod = json!({
                "metadata": {"name": "it", "uid": "u1"},
                "spec": {"nodeName": "n1",
                         "containers": [{"name": "canary", "image": "reg.corp/web:1"}]},
                "status": {"phase": "Failed", "reason": "DeadlineExceeded",
                           "containerStatuses": [{"name": "canary", "state": {"waiting": waiting}}]},
            });
            (200, pod)
        }
        _ => (200, json!({"metadata": {}})),
    })
    .await;
    let pull = Pull {
        image: "reg.corp/web:1".to_owned(),
        pull_secrets: Vec::new(),
        service_account: "default".to_owned(),
        platform: None,
        like: Value::Null,
    };
    let (cluster, stop) = (server.cluster().await, CancellationToken::new());
    let tried = cluster.try_pull("default", "it", &pull, Duration::from_secs(60), &stop);
    let Pulled::No(why) = tried.await.unwrap() else {
        panic!("its pull failed");
    };
    assert_eq!(why.why, "it on n1: ErrImagePull: 401 Unauthorized");
}

#[tokio::test]
async fn what_the_cluster_publishes_as_its_registry_is_asked_for_once() {
    let server = Server::start(|_, _| {
        let data = json!({"localRegistryHosting.v1": "host: localhost:5000"});
        (200, json!({"metadata": {}, "data": data}))
    })
    .await;
    let cluster = server.cluster().await;
    let first = cluster.local_registry().await.unwrap();
    assert_eq!(
        first.as_ref().and_then(|it| it.host.as_deref()),
        Some("localhost:5000")
    );
    assert_eq!(cluster.clone().local_registry().await.unwrap(), first);
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn the_request_timeout_is_kept_and_named() {
    let server = Server::start(|_, _| (0, Value::Null)).await;
    let flags = ConnectFlags {
        request_timeout: Some(Duration::from_millis(200)),
        ..server.flags("{}")
    };
    let cluster = Cluster::connect(&flags, WriteMode::Apply).await.unwrap();
    let error = cluster.namespaces().await.unwrap_err();
    let expected = format!(
        "listing namespaces: no answer from {} within 200ms",
        server.address
    );
    assert_eq!(error.to_string(), expected);
    assert!(
        error
            .hint()
            .is_some_and(|hint| hint.contains("--request-timeout"))
    );
}

#[tokio::test]
#[cfg(unix)]
async fn the_token_of_a_credential_plugin_is_sent() {
    let server = Server::start(|_, _| namespaces(&["a"], "")).await;
    let flags = server.flags(
        r#"
current-context: one
contexts: [{name: one, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://unused"}}]
users:
- name: u
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: sh
      args:
      - -c
      - >-
        echo '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
        "status": {"token": "t0ken"}}'
"#,
    );
    let cluster = Cluster::connect(&flags, WriteMode::Apply).await.unwrap();
    cluster.namespaces().await.unwrap();
    assert_eq!(server.asked.lock().unwrap()[0].1, "Bearer t0ken");
}

/// What becomes of our pull secret in a namespace where this is answered, by path, besides nothing at all.
async fn upkeep_of(answers: &'static [(&'static str, u16, &'static str)]) -> Option<plan::Upkeep> {
    let server = Server::start(|line, _| {
        let path = line.split(' ').nth(1).unwrap();
        let (path, _) = path.split_once('?').unwrap_or((path, ""));
        let ours = json!({"kind": "List", "metadata": {}, "items": [{"metadata": {
            "name": "image-cloner-pull", "namespace": "shop",
            "labels": {"app.kubernetes.io/managed-by": "image-cloner"},
        }}]});
        let found = answers.iter().find(|(end, ..)| path.ends_with(end));
        match found {
            Some((_, 200, body)) => (200, serde_json::from_str(body).unwrap()),
            Some((_, code, reason)) => failure(*code, reason),
            None if path.ends_with("/secrets") => (200, ours),
            None => (200, json!({"kind": "List", "metadata": {}, "items": []})),
        }
    })
    .await;
    let target = TargetRegistry::parse("reg.corp", Layout::Mirror).unwrap();
    let cluster = server.cluster().await;
    let (sites, _) = cluster
        .pull_secret_sites(Some("shop"), &target)
        .await
        .unwrap();
    plan::upkeep(&sites[0])
}

#[tokio::test]
async fn a_pull_secret_goes_only_where_everything_that_may_name_it_was_seen() {
    const GROUPS: (&str, u16, &str) = (
        "/apis",
        200,
        r#"{"groups": [
            {"name": "metrics.k8s.io", "preferredVersion": {"version": "v1"}},
            {"name": "argoproj.io", "preferredVersion": {"version": "v1alpha1"}}
        ]}"#,
    );
    const KINDS: (&str, u16, &str) = (
        "/apis/argoproj.io/v1alpha1",
        200,
        r#"{"resources": [
            {"name": "rollouts", "kind": "Rollout", "namespaced": true, "verbs": ["get", "list"]},
            {"name": "rollouts/scale", "kind": "Scale", "namespaced": true, "verbs": ["get"]},
            {"name": "tokens", "kind": "Token", "namespaced": true, "verbs": ["create"]},
            {"name": "clusters", "kind": "Cluster", "namespaced": false, "verbs": ["list"]}
        ]}"#,
    );
    const ROLLOUT: (&str, u16, &str) = (
        "/namespaces/shop/rollouts",
        200,
        r#"{"kind": "List", "metadata": {}, "items": [{"metadata": {"namespace": "shop"},
            "spec": {"template": {"spec": {"imagePullSecrets": [{"name": "image-cloner-pull"}]}}}}]}"#,
    );
    assert_eq!(upkeep_of(&[]).await, Some(Upkeep::Remove));
    assert_eq!(upkeep_of(&[GROUPS, KINDS]).await, Some(Upkeep::Remove));
    assert_eq!(
        upkeep_of(&[GROUPS, KINDS, ROLLOUT]).await,
        Some(Upkeep::Leave)
    );
    for hidden in [
        &[GROUPS, KINDS, ("/rollouts", 403, "Forbidden")][..],
        &[GROUPS, ("/apis/argoproj.io/v1alpha1", 500, "InternalError")],
        &[("/namespaces/shop/deployments", 403, "Forbidden")],
    ] {
        let kept = upkeep_of(hidden).await;
        assert_eq!(kept, Some(Upkeep::Leave), "{hidden:?}");
    }
}
