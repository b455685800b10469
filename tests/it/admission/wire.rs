//! What the webhook's server answers to whoever talks to it, over real TLS.

use super::{complete, known, place};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image_cloner::cluster::{Cluster, ConnectFlags, WriteMode};
use image_cloner::install::{WEBHOOK, WEBHOOK_PATH};
use image_cloner::plan::PullAccess;
use image_cloner::watch::{Known, Metrics};
use image_cloner::webhook::{Keeper, Webhook};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const NAME: &str = "image-cloner-webhook.agent.svc";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// An API server that keeps the webhook's Secret and configuration.
#[derive(Clone)]
struct Api {
    address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    secret: Option<Value>,
    authorities: Value,
    version: u32,
    writes: Vec<String>,
    /// Somebody else writes just before whoever writes next.
    meanwhile: Option<Value>,
}

impl Api {
    async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = Self {
            address: listener.local_addr().unwrap(),
            kept: Arc::default(),
        };
        let router = Router::new().fallback(answer).with_state(api.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        api
    }

    async fn cluster(&self) -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, "{}").unwrap();
        let flags = ConnectFlags {
            kubeconfig: Some(kubeconfig),
            server: Some(format!("http://{}", self.address)),
            ..ConnectFlags::default()
        };
        Cluster::connect(&flags, WriteMode::Apply).await.unwrap()
    }

    async fn keeper(&self) -> Keeper {
        Keeper::new(self.cluster().await, place("agent", WEBHOOK, &[NAME]))
    }

    /// Whom callers of the webhook trust.
    fn authorities(&self) -> String {
        let bundle = self.kept.lock().unwrap().authorities.clone();
        let bundle = STANDARD.decode(bundle.as_str().unwrap()).unwrap();
        String::from_utf8(bundle).unwrap()
    }

    fn secret(&self, key: &str) -> Option<String> {
        let kept = self.kept.lock().unwrap();
        let text = kept.secret.as_ref()?["data"][key].as_str()?;
        Some(String::from_utf8(STANDARD.decode(text).unwrap()).unwrap())
    }

    fn writes(&self) -> Vec<String> {
        std::mem::take(&mut self.kept.lock().unwrap().writes)
    }
}

async fn answer(State(api): State<Api>, method: Method, uri: Uri, body: Bytes) -> Response {
    let mut kept = api.kept.lock().unwrap();
    let what = if uri.path().contains("/secrets") {
        "secret"
    } else {
        "configuration"
    };
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if method != Method::GET {
        kept.writes.push(format!("{method} {what}"));
    }
    let other = kept
        .meanwhile
        .take_if(|_| what == "secret" && method != Method::GET);
    if let Some(mut secret) = other {
        kept.version += 1;
        secret["metadata"]["resourceVersion"] = json!(kept.version.to_string());
        kept.secret = Some(secret);
    }
    let status = |code: u16| {
        let status = json!({"kind": "Status", "status": "Failure", "message": "no", "reason": "", "code": code});
        (StatusCode::from_u16(code).unwrap(), status.to_string()).into_response()
    };
    match (method.as_str(), what) {
        ("GET", "configuration") => {
            let webhook = json!({"name": "w", "clientConfig": {"caBundle": kept.authorities}});
            json!({"webhooks": [webhook]}).to_string().into_response()
        }
        ("PATCH", "configuration") => {
            assert_eq!(body[1]["value"], kept.authorities, "{body}");
            kept.authorities = body[2]["value"].clone();
            json!({}).to_string().into_response()
        }
        ("GET", "secret") => match &kept.secret {
            Some(secret) => secret.to_string().into_response(),
            None => status(404),
        },
        ("POST", "secret") if kept.secret.is_some() => status(409),
        ("PUT", "secret")
            if body["metadata"]["resourceVersion"] != kept.version.to_string().as_str() =>
        {
            status(409)
        }
        ("POST" | "PUT", "secret") => {
            kept.version += 1;
            let mut secret = body;
            secret["metadata"]["resourceVersion"] = json!(kept.version.to_string());
            kept.secret = Some(secret.clone());
            secret.to_string().into_response()
        }
        _ => status(405),
    }
}

/// A webhook that serves.
struct Served {
    api: Api,
    keeper: Arc<Keeper>,
    address: SocketAddr,
    metrics: Metrics,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Served {
    async fn start(known: Known, born: SystemTime) -> Self {
        let api = Api::start().await;
        let keeper = Arc::new(api.keeper().await);
        keeper.round(born).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (metrics, stop) = (Metrics::default(), CancellationToken::new());
        let webhook = Webhook {
            listener,
            known,
            metrics: metrics.clone(),
            pod: None,
        };
        let (of, until) = (Arc::clone(&keeper), stop.clone());
        let serving = tokio::spawn(async move { webhook.serve(&of, &until).await });
        Self {
            api,
            keeper,
            address,
            metrics,
            stop,
            serving,
        }
    }

    /// Somebody who trusts only what the API server is told to trust.
    fn client(&self) -> reqwest::ClientBuilder {
        let authorities = reqwest::Certificate::from_pem_bundle(self.api.authorities().as_bytes());
        reqwest::Client::builder()
            .tls_certs_only(authorities.unwrap())
            .resolve(NAME, self.address)
            .timeout(Duration::from_secs(60))
    }

    fn url(&self, path: &str) -> String {
        format!("https://{NAME}:{}{path}", self.address.port())
    }

    async fn post(&self, body: impl Into<reqwest::Body>) -> (u16, String) {
        let client = self.client().build().unwrap();
        let answer = client
            .post(self.url(WEBHOOK_PATH))
            .body(body)
            .send()
            .await
            .unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn review(&self, review: &Value) -> Value {
        let (status, body) = self.post(review.to_string()).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }
}

fn review(version: &str, image: &str) -> Value {
    json!({"kind": "AdmissionReview", "apiVersion": version, "request": {
        "uid": "705ab4f5",
        "kind": {"group": "apps", "version": "v1", "kind": "Deployment"},
        "resource": {"group": "apps", "version": "v1", "resource": "deployments"},
        "namespace": "shop", "operation": "CREATE", "dryRun": false,
        "object": {
            "metadata": {"name": "web"},
            "spec": {"template": {"spec": {"containers": [{"name": "web", "image": image}]}}},
        },
        "oldObject": null,
        "options": {"kind": "CreateOptions", "fieldManager": "kubectl"},
    }})
}

fn something_known() -> Known {
    let known = known("reg.corp", PullAccess::Open);
    known.namespace("shop", false);
    complete(
        &known,
        "reg.corp/nginx:1",
        &format!("sha256:{}", "a".repeat(64)),
        "shop",
    );
    known
}

const V1: &str = "admission.k8s.io/v1";

#[tokio::test]
async fn a_review_is_answered_with_the_patch_of_a_repoint() {
    let served = Served::start(something_known(), SystemTime::now()).await;
    let answer = served.review(&review(V1, "nginx:1")).await;
    assert_eq!(answer["kind"], "AdmissionReview");
    assert_eq!(answer["apiVersion"], V1);
    let response = &answer["response"];
    assert_eq!(
        (&response["uid"], &response["allowed"]),
        (&json!("705ab4f5"), &json!(true))
    );
    assert_eq!(response["patchType"], "JSONPatch");
    let patch = STANDARD
        .decode(response["patch"].as_str().unwrap())
        .unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&patch).unwrap(),
        json!([
            {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "reg.corp/nginx:1"},
            {"op": "add", "path": "/metadata/annotations", "value": {"image-cloner.io/originals":
                r#"{"run":"a7f3","slots":{"containers/web":{"original":"nginx:1","target":"reg.corp/nginx:1"}}}"#}},
        ])
    );
    assert_eq!(served.metrics.admitted.get(), 1);

    // neither of these was changed
    let unknown = served.review(&review(V1, "redis:7")).await;
    assert_eq!(
        unknown["response"],
        json!({"uid": "705ab4f5", "allowed": true})
    );
    let mut dry = review(V1, "nginx:1");
    dry["request"]["dryRun"] = json!(true);
    assert!(served.review(&dry).await["response"]["patch"].is_string());
    assert_eq!(served.metrics.admitted.get(), 1);
}

#[tokio::test]
async fn a_webhook_that_is_told_to_stop_waits_for_no_api_server() {
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = Api {
        address: mute.local_addr().unwrap(),
        kept: Arc::default(),
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let webhook = Webhook {
        listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        known: something_known(),
        metrics: Metrics::default(),
        pod: None,
    };
    let (cluster, stop) = (api.cluster().await, CancellationToken::new());
    let until = stop.clone();
    let place = place("agent", WEBHOOK, &[NAME]);
    let running = tokio::spawn(async move { webhook.run(cluster, place, &until).await });
    // asked for the certificate, it says nothing
    let (asking, _) = mute.accept().await.unwrap();
    stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(60), running).await;
    ended.expect("it ends").unwrap();
    drop(asking);
}

#[tokio::test]
async fn old_and_new_http_are_spoken_at_once() {
    let served = Served::start(something_known(), SystemTime::now()).await;
    let body = review(V1, "nginx:1").to_string();
    let old = served.client().http1_only().build().unwrap();
    for (client, version) in [
        (old, reqwest::Version::HTTP_11),
        (served.client().build().unwrap(), reqwest::Version::HTTP_2),
    ] {
        let asking = (0..40).map(|_| {
            client
                .post(served.url(WEBHOOK_PATH))
                .body(body.clone())
                .send()
        });
        for answer in futures::future::join_all(asking).await {
            let answer = answer.unwrap();
            assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
        }
    }
    assert_eq!(served.metrics.admitted.get(), 80);
}

#[tokio::test]
async fn what_is_no_review_is_refused_and_the_next_one_answered() {
    let served = Served::start(something_known(), SystemTime::now()).await;
    for garbage in [
        "",
        "{",
        "null",
        "[]",
        "{\"request\":{}}",
        "\u{0}\u{1}",
        "{\"apiVersion\":\"admission.k8s.io/v1\",\"request\":{\"object\":{}}}",
    ] {
        let (status, body) = served.post(garbage).await;
        assert_eq!(status, 400, "{garbage:?}: {body}");
        assert!(body.starts_with("not an admission review: "), "{body}");
    }
    let client = served.client().build().unwrap();
    let wrong = client.post(served.url("/validate")).send().await.unwrap();
    assert_eq!(wrong.status().as_u16(), 404);
    let wrong = client.get(served.url(WEBHOOK_PATH)).send().await.unwrap();
    assert_eq!(wrong.status().as_u16(), 405);
    let padded = |size: usize| {
        let mut review = review(V1, "nginx:1");
        review["request"]["object"]["metadata"]["labels"] = json!({"x": "x".repeat(size)});
        review.to_string()
    };
    assert_eq!(served.post(padded(3 * 1024 * 1024)).await.0, 413);
    assert_eq!(served.post(padded(2 * 1024 * 1024)).await.0, 200);
}

#[tokio::test]
async fn reviews_and_objects_of_another_kind_are_allowed_as_they_are() {
    let served = Served::start(something_known(), SystemTime::now()).await;
    let old = served
        .review(&review("admission.k8s.io/v1beta1", "nginx:1"))
        .await;
    assert_eq!(
        old,
        json!({"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview",
               "response": {"uid": "705ab4f5", "allowed": true}})
    );
    for (field, value) in [
        ("object", Value::Null),
        ("object", json!("text")),
        ("object", json!({"metadata": [], "spec": {"template": 7}})),
        ("operation", json!("CONNECT")),
    ] {
        let mut strange = review(V1, "nginx:1");
        strange["request"][field] = value;
        let answer = served.review(&strange).await;
        assert_eq!(
            answer["response"],
            json!({"uid": "705ab4f5", "allowed": true})
        );
    }
}

#[tokio::test]
async fn who_stalls_or_speaks_no_tls_keeps_nobody_else_waiting() {
    let served = Served::start(something_known(), SystemTime::now()).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(served.address).await.unwrap());
    }
    let mut plain = TcpStream::connect(served.address).await.unwrap();
    plain
        .write_all(b"POST /mutate HTTP/1.1\r\nContent-Length: 9\r\n\r\n{}")
        .await
        .unwrap();
    served.review(&review(V1, "nginx:1")).await;

    // a body that does not come, more of them than are read at once
    let client = served.client().build().unwrap();
    let never = || {
        let body =
            reqwest::Body::wrap_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        client.post(served.url(WEBHOOK_PATH)).body(body).send()
    };
    let stalled = futures::future::join_all((0..20).map(|_| never())).await;
    for answer in stalled {
        assert_eq!(answer.unwrap().status().as_u16(), 408);
    }
    served.review(&review(V1, "nginx:1")).await;
    let mut end = Vec::new();
    let _ = silent[0].read_to_end(&mut end).await;
    assert!(end.is_empty(), "a handshake that does not come is given up");
}

#[tokio::test]
async fn it_ends_when_told_though_connections_are_open() {
    let served = Served::start(something_known(), SystemTime::now()).await;
    let client = served.client().build().unwrap();
    let answer = client
        .post(served.url(WEBHOOK_PATH))
        .body("{")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 400);
    let _idle = TcpStream::connect(served.address).await.unwrap();
    served.stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(60), served.serving).await;
    ended.unwrap().unwrap();
    TcpStream::connect(served.address).await.unwrap_err();
}

#[tokio::test]
async fn a_certificate_is_renewed_without_a_moment_in_which_it_is_not_trusted() {
    let born = SystemTime::now() - 61 * DAY;
    let served = Served::start(something_known(), born).await;
    let answers = async || served.review(&review(V1, "nginx:1")).await;
    assert_eq!(served.api.writes(), ["POST secret", "PATCH configuration"]);
    answers().await;
    let first = served.api.secret("tls.crt").unwrap();
    let trusted = served.api.authorities();
    assert_eq!(served.api.secret("ca.crt").unwrap(), trusted);

    served.keeper.round(born + 59 * DAY).await.unwrap();
    assert_eq!(served.api.writes(), [""; 0]);

    let due = SystemTime::now() - Duration::from_secs(30 * 60);
    served.keeper.round(due).await.unwrap();
    assert_eq!(served.api.writes(), ["PUT secret", "PATCH configuration"]);
    assert_eq!(served.api.secret("tls.crt").unwrap(), first);
    let both = served.api.authorities();
    assert!(both.starts_with(&trusted) && both.len() > trusted.len());
    answers().await;

    // another replica, which has just become the leader, goes on from there
    let other = served.api.keeper().await;
    let later = due + Duration::from_secs(11 * 60);
    other.round(later).await.unwrap();
    assert_eq!(served.api.writes(), ["PUT secret"]);
    assert_ne!(served.api.secret("tls.crt").unwrap(), first);
    assert_eq!(served.api.secret("next.crt"), None);
    assert_eq!(served.api.authorities(), both);
    // this one shows the old certificate until it looks again: both are trusted
    answers().await;
    served.keeper.round(later).await.unwrap();
    assert_eq!(served.api.writes(), [""; 0]);
    answers().await;
}

#[tokio::test]
async fn two_that_make_a_certificate_at_once_come_to_the_same() {
    let api = Api::start().await;
    let other = Api::start().await;
    other.keeper().await.round(SystemTime::now()).await.unwrap();
    let theirs = other.kept.lock().unwrap().secret.clone();
    api.kept.lock().unwrap().meanwhile = theirs;

    api.keeper().await.round(SystemTime::now()).await.unwrap();

    assert_eq!(api.writes(), ["POST secret", "PATCH configuration"]);
    assert_eq!(api.secret("tls.crt"), other.secret("tls.crt"));
    assert_eq!(api.authorities(), other.authorities());
}

#[tokio::test]
async fn a_secret_that_holds_rubbish_is_written_over() {
    let api = Api::start().await;
    api.kept.lock().unwrap().secret = Some(
        json!({"metadata": {"resourceVersion": "0"}, "data": {"tls.crt": "!", "tls.key": ""}}),
    );
    let keeper = api.keeper().await;
    keeper.round(SystemTime::now()).await.unwrap();
    assert_eq!(api.writes(), ["PUT secret", "PATCH configuration"]);
    // and an authority that somebody took away is put back
    api.kept.lock().unwrap().authorities = Value::Null;
    keeper.round(SystemTime::now()).await.unwrap();
    assert_eq!(api.writes(), ["PATCH configuration"]);
}
