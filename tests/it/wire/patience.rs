//! How long a copy waits and how often it asks again: silence, refusals that pass, uploads in pieces.

use super::server::Reply;
use super::*;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Answers requests as told; where there is no answer it falls silent with the connection open, and lets
/// the clock run, so that nobody has to wait for others' patience to end.
async fn silent(answer: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("127.0.0.1:{}", listener.local_addr().unwrap().port());
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                let mut buffer = vec![0; 8192];
                loop {
                    let read = stream.read(&mut buffer).await.unwrap_or(0);
                    // the end, or a TLS greeting
                    if read == 0 || buffer[0] == 22 {
                        return;
                    }
                    let request = String::from_utf8_lossy(&buffer[..read]).into_owned();
                    let reply = answer(&request);
                    if let Some(reply) = &reply {
                        stream.write_all(reply.as_bytes()).await.unwrap();
                    }
                    // no answer, or a body that breaks off
                    if reply.is_none_or(|reply| !reply.ends_with("\r\n\r\n")) {
                        run_the_clock();
                    }
                }
            });
        }
    });
    host
}

/// From here on timers fire as soon as nothing else is left to do.
///
/// In steps of a tenth of a second, with a moment before each that is not one of that clock: what is on its way
/// between sockets is nothing that the runtime knows of, and is to arrive before anybody loses patience.
pub(super) fn run_the_clock() {
    PAUSED.with(|paused| {
        if !paused.replace(true) {
            tokio::time::pause();
            tokio::spawn(async {
                loop {
                    arrive().await;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            });
        }
    });
}

/// A moment that the clock, where it runs, does not count: it stands while such a task is under way.
pub(super) async fn arrive() {
    let moment = || std::thread::sleep(Duration::from_micros(300));
    tokio::task::spawn_blocking(moment).await.unwrap();
}

thread_local! {
    /// Each test has a thread and a clock of its own.
    static PAUSED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

fn is(request: &str, method: &str) -> bool {
    request.starts_with(method)
}

#[tokio::test]
async fn a_manifest_whose_body_never_comes_is_given_up() {
    let host = silent(|request| {
        let head = format!("HTTP/1.1 200 X\r\nContent-Type: {MANIFEST}\r\n");
        let named = format!("Docker-Content-Digest: sha256:{}\r\n", "a".repeat(64));
        let rest = if is(request, "HEAD") { "" } else { "{" };
        Some(format!("{head}{named}Content-Length: 500\r\n\r\n{rest}"))
    })
    .await;
    let registries = registries(&BTreeMap::new());
    let anonymous = [Credentials::Anonymous];
    let reference = reference(&format!("{host}/a/b:1"));
    let source = registries.source(&reference, &anonymous).await.unwrap();

    let error = registries
        .size(&source, Extras::default())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no byte for"), "{error}");
}

#[tokio::test]
async fn a_token_server_that_never_answers_is_given_up() {
    let host = silent(|request| {
        let challenge = "WWW-Authenticate: Bearer realm=\"/token\",service=\"s\"";
        let refused = format!("HTTP/1.1 401 X\r\n{challenge}\r\nContent-Length: 0\r\n\r\n");
        (!request.contains("/token")).then_some(refused)
    })
    .await;
    let source = reference(&format!("{host}/a/b:1"));

    let found = resolve(
        &registries(&BTreeMap::new()),
        &source,
        &Credentials::Anonymous,
    )
    .await;
    let error = found.unwrap_err().to_string();
    assert!(error.contains("/token: no answer within"), "{error}");
}

#[tokio::test]
async fn an_upload_in_pieces_that_is_never_closed_is_given_up() {
    let from = Registry::start().await;
    let manifest = image(&from, "a/b", &[&bytes(3, 1000)]);
    from.put_manifest("a/b", "1", MANIFEST, &manifest);
    let host = silent(|request| {
        let session = "HTTP/1.1 202 X\r\nLocation: /v2/a/b/blobs/uploads/1\r\n";
        let empty = "Content-Length: 0\r\n\r\n";
        let closing = request.to_lowercase().contains("content-length: 0");
        match request.split(' ').next().unwrap() {
            "POST" | "PATCH" => Some(format!("{session}{empty}")),
            "PUT" if closing => None,
            "PUT" => Some(format!("HTTP/1.1 400 X\r\nConnection: close\r\n{empty}")),
            _ => Some(format!("HTTP/1.1 404 X\r\n{empty}")),
        }
    })
    .await;
    let mut request = request(&from, &from, "a/b:1");
    request.target = reference(&format!("{host}/a/b:1"));

    let error = copy(&copier(), &request).await.unwrap_err();
    assert!(error.to_string().contains("no answer within"), "{error}");
}

#[tokio::test]
async fn a_registry_that_is_away_for_a_moment_is_waited_for() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let manifest = image(&from, "a/b", &[&bytes(3, 1000)]);
    from.put_manifest("a/b", "1", MANIFEST, &manifest);
    let mut away = 3;
    to.hook(move |r| {
        (r.is("PUT", "/uploads/") && away > 0).then(|| {
            away -= 1;
            run_the_clock();
            Reply::new(503)
        })
    });

    copy(&copier(), &request(&from, &to, "a/b:1"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_refusal_that_was_retried_is_not_retried_again_around_it() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let manifest = image(&from, "a/b", &[&bytes(3, 1000)]);
    from.put_manifest("a/b", "1", MANIFEST, &manifest);
    from.hook(|r| {
        r.is("GET", "/blobs/").then(|| {
            run_the_clock();
            Reply::new(503)
        })
    });

    copy(&copier(), &request(&from, &to, "a/b:1"))
        .await
        .unwrap_err();

    let asked = from.log().into_iter().filter(|r| r.is("GET", "/blobs/"));
    assert_eq!(asked.count(), 6);
}

#[tokio::test]
async fn a_pause_that_a_registry_asks_for_holds_everybody_back() {
    let registry = Registry::start().await;
    simple(&registry);
    let asked: Arc<Mutex<Vec<tokio::time::Instant>>> = Arc::default();
    let (seen, mut first) = (Arc::clone(&asked), true);
    registry.hook(move |r| {
        seen.lock().unwrap().push(tokio::time::Instant::now());
        (r.is("HEAD", "/manifests/1") && std::mem::take(&mut first))
            .then(|| Reply::new(429).header("Retry-After", "30"))
    });
    let registries = registries(&BTreeMap::new());
    let source = reference(&format!("{}/a/b:1", registry.host));
    let other = reference(&format!("{}/a/b:other", registry.host));
    let (waits, mut waiting) = tokio::sync::mpsc::unbounded_channel();
    registries.on_wait(move |_, _| waits.send(()).unwrap_or_default());
    let limited = resolve(&registries, &source, &Credentials::Anonymous);
    let bystander = async {
        waiting.recv().await.unwrap();
        run_the_clock();
        resolve(&registries, &other, &Credentials::Anonymous).await
    };

    let (limited, bystander) = tokio::join!(limited, bystander);

    assert!(limited.unwrap().is_some());
    assert_eq!(bystander.unwrap(), None);
    let asked = asked.lock().unwrap();
    let pause = Duration::from_secs(30);
    assert!(asked[1..].iter().all(|at| *at - asked[0] >= pause));
    assert!(asked.len() >= 3);
}

#[tokio::test]
async fn blobs_that_are_refused_as_a_whole_all_go_in_pieces() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let blobs: Vec<_> = (0..4).map(|n| bytes(n, 600_000 + usize::from(n))).collect();
    let parts: Vec<_> = blobs.iter().map(Vec::as_slice).collect();
    let manifest = image(&from, "a/b", &parts);
    from.put_manifest("a/b", "1", MANIFEST, &manifest);
    to.hook(|r| {
        let whole = r.is("PUT", "/uploads/") && !r.body.is_empty();
        whole.then(|| Reply::error(413, "SIZE_INVALID", "too large"))
    });

    copy(&copier(), &request(&from, &to, "a/b:1"))
        .await
        .unwrap();
}

#[tokio::test]
async fn one_odd_answer_to_a_whole_blob_does_not_switch_to_pieces_for_good() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    for (tag, seed) in [("1", 1), ("2", 2)] {
        let manifest = image(&from, "a/b", &[&bytes(seed, 1000)]);
        from.put_manifest("a/b", tag, MANIFEST, &manifest);
    }
    // pieces do not work here, and the first whole blob is refused
    let mut first = true;
    to.hook(move |r| {
        let refused =
            r.method == "PATCH" || (r.is("PUT", "/uploads/") && std::mem::take(&mut first));
        refused.then(|| Reply::error(400, "BLOB_UPLOAD_INVALID", "odd"))
    });
    let copier = copier();

    copy(&copier, &request(&from, &to, "a/b:1"))
        .await
        .unwrap_err();
    copy(&copier, &request(&from, &to, "a/b:2")).await.unwrap();
}

#[tokio::test]
async fn an_upload_does_not_stall_while_its_source_asks_to_be_left_alone() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let manifest = image(&from, "a/b", &[&bytes(3, 300), &bytes(4, 900_000)]);
    from.put_manifest("a/b", "1", MANIFEST, &manifest);
    let mut asked = 0;
    from.amend(move |r, reply| {
        if !r.is("GET", &digest(&bytes(4, 900_000))) {
            return reply;
        }
        asked += 1;
        match asked {
            // it breaks off after the upload was opened, and then has enough for a while
            1 => Reply {
                cut: Some(300_000),
                ..reply
            },
            2..=5 => {
                run_the_clock();
                Reply::new(429).header("Retry-After", "85")
            }
            _ => reply,
        }
    });

    copy(&copier(), &request(&from, &to, "a/b:1"))
        .await
        .unwrap();

    let opened = to.log().into_iter().filter(|r| r.is("POST", "/uploads/"));
    assert_eq!(opened.count(), 2, "one for each blob");
}
