//! Registries that are busy: pauses that are asked for, on whatever request, and transfers that are slow.

use super::patience::run_the_clock;
use super::server::{Reply, Request as Asked};
use super::*;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Every kind of request of a copy, and whether it is the source that is asked.
const REQUESTS: [(&str, &str, bool); 9] = [
    ("HEAD", "/manifests/", true),
    ("GET", "/manifests/", true),
    ("GET", "/blobs/", true),
    ("GET", "/token", true),
    ("GET", "/token", false),
    ("POST", "/blobs/uploads/", false),
    ("PATCH", "/blobs/uploads/", false),
    ("PUT", "/blobs/uploads/", false),
    ("PUT", "/manifests/", false),
];

fn wants_tokens(registry: &Registry) {
    let host = registry.host.clone();
    registry.hook(move |r: &Asked| {
        if r.path == "/token" {
            return Some(Reply::new(200).body(r#"{"token":"t","expires_in":86400}"#));
        }
        r.header("authorization").is_none().then(|| {
            let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"s\"");
            Reply::new(401).header("WWW-Authenticate", challenge)
        })
    });
}

/// Copies with the first of these requests answered so; gives the seconds until it was sent
/// again, and those that were told of.
async fn copy_limited(
    (method, path, at_source): (&'static str, &'static str, bool),
    reply: Reply,
) -> (u64, u64) {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let manifest = image(&from, "a/b", &[&bytes(3, 1000)]);
    from.put_manifest("a/b", "1", MANIFEST, &manifest);
    let mut once = Some(reply);
    let asked: Arc<Mutex<Vec<tokio::time::Instant>>> = Arc::default();
    let times = Arc::clone(&asked);
    let busy = if at_source { &from } else { &to };
    busy.hook(move |r| {
        if r.is(method, path) {
            times.lock().unwrap().push(tokio::time::Instant::now());
        }
        let reply = r.is(method, path).then(|| once.take()).flatten();
        if reply.is_some() {
            run_the_clock();
        }
        reply
    });
    if method == "PATCH" {
        to.hook(|r| {
            let whole = r.is("PUT", "/uploads/") && !r.body.is_empty();
            whole.then(|| Reply::error(413, "SIZE_INVALID", "too large"))
        });
    }
    wants_tokens(&from);
    wants_tokens(&to);
    let told = Told::default();

    let copied = copier().copy(&request(&from, &to, "a/b:1"), &told).await;

    assert!(copied.is_ok(), "{method} {path}: {copied:?}");
    assert_eq!(
        to.manifest("a/b", "1").unwrap().1,
        manifest,
        "{method} {path}"
    );
    let asked = asked.lock().unwrap();
    ((asked[1] - asked[0]).as_secs(), told.waited.into_inner())
}

#[tokio::test]
async fn a_pause_is_kept_whichever_request_it_was_asked_on() {
    for asked in REQUESTS {
        for status in [429, 503] {
            let reply = Reply::error(status, "TOOMANYREQUESTS", "slow down");
            let (waited, _) = copy_limited(asked, reply.header("Retry-After", "7")).await;
            assert!(waited >= 7, "{status} on {asked:?}: {waited} s");
        }
    }
}

#[tokio::test]
async fn a_refusal_without_a_pause_is_tried_again_on_every_request() {
    for asked in REQUESTS {
        for status in [429, 500, 502, 503, 504] {
            let (_, waited) = copy_limited(asked, Reply::new(status)).await;
            assert!(waited < 7, "{status} on {asked:?}: {waited} s");
        }
    }
}

#[tokio::test]
async fn a_pause_is_also_a_date_and_what_is_neither_is_no_pause() {
    let date = |after: i64| {
        let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(after);
        at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    };
    let texts = [
        (date(60), true),
        (date(-3600), false),
        ("soon".to_owned(), false),
        ("-5".to_owned(), false),
        (String::new(), false),
        ("99999999999999999999999".to_owned(), false),
    ];
    for (text, waits) in texts {
        let reply = Reply::new(503).header("Retry-After", text.clone());
        let (_, waited) = copy_limited(REQUESTS[8], reply).await;
        assert_eq!(waited >= 50, waits, "{text:?}: {waited} s");
    }
}

#[tokio::test]
async fn a_transfer_that_moves_is_not_ended_however_slow_it_is() {
    let (source, to) = (Registry::start().await, Registry::start().await);
    let layer = bytes(7, 40_000);
    let manifest = image(&source, "a/b", &[&layer]);
    source.put_manifest("a/b", "1", MANIFEST, &manifest);
    let store = slow(layer.clone()).await;
    let path = format!("/blobs/{}", digest(&layer));
    source.hook(move |r| {
        let location = format!("http://{store}/");
        r.is("GET", &path)
            .then(|| Reply::new(307).header("Location", location))
    });
    let request = request(&source, &to, "a/b:1");
    let started = tokio::time::Instant::now();

    copy(&copier(), &request).await.unwrap();

    assert!(started.elapsed() >= Duration::from_secs(20 * 60));
    assert_eq!(to.blob("a/b", &digest(&layer)), Some(layer));
    let uploads = to.log().into_iter().filter(|r| r.method == "POST");
    assert_eq!(uploads.count(), 1, "in one go");
}

/// A blob store that takes more than twenty minutes.
async fn slow(blob: Vec<u8>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("127.0.0.1:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 8192]).await;
        let head = format!("HTTP/1.1 200 X\r\nContent-Length: {}\r\n\r\n", blob.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        run_the_clock();
        for piece in blob.chunks(blob.len().div_ceil(27)) {
            tokio::time::sleep(Duration::from_secs(50)).await;
            stream.write_all(piece).await.unwrap();
        }
    });
    host
}
