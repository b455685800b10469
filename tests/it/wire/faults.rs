//! What a copy does when something goes wrong.

use super::server::Reply;
use super::*;

fn pushed_manifests(registry: &Registry) -> usize {
    let log = registry.log();
    log.iter().filter(|r| r.is("PUT", "/manifests/")).count()
}

#[tokio::test]
async fn a_read_that_breaks_goes_on_where_it_broke() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    simple(&from);
    let big = bytes(2, 200_000);
    let (digest, body) = (digest(&big), big.clone());
    let path = format!("/blobs/{digest}");
    let mut breaks = 2;
    from.hook(move |r| {
        if !r.is("GET", &path) || breaks == 0 {
            return None;
        }
        breaks -= 1;
        let range = r
            .header("range")
            .and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-'));
        let start: usize = range.map_or(0, |s| s.parse().unwrap());
        let mut reply = Reply::new(if start == 0 { 200 } else { 206 })
            .header("Content-Range", format!("bytes {start}-199999/200000"))
            .body(&body[start..]);
        reply.cut = Some(70_000);
        Some(reply)
    });

    let told = Told::default();
    copier()
        .copy(&request(&from, &to, "a/b:1"), &told)
        .await
        .unwrap();

    assert_eq!(to.blob("a/b", &digest), Some(big));
    let log = from.log();
    let ranges: Vec<_> = log.iter().filter_map(|r| r.header("range")).collect();
    assert_eq!(ranges, ["bytes=70000-", "bytes=140000-"]);
    let uploads = to
        .log()
        .into_iter()
        .filter(|r| r.is("PUT", "/uploads/"))
        .count();
    assert_eq!((uploads, told.carried.into_inner()), (2, 200_300));
}

#[tokio::test]
async fn a_source_without_ranges_is_read_again_from_the_start() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    simple(&from);
    let big = bytes(2, 200_000);
    let (digest, body) = (digest(&big), big.clone());
    let path = format!("/blobs/{digest}");
    let mut first = true;
    from.hook(move |r| {
        if !r.is("GET", &path) {
            return None;
        }
        let mut reply = Reply::new(200).body(body.clone());
        reply.cut = std::mem::take(&mut first).then_some(70_001);
        Some(reply)
    });

    copy(&copier(), &request(&from, &to, "a/b:1"))
        .await
        .unwrap();

    assert_eq!(to.blob("a/b", &digest), Some(big));
}

#[tokio::test]
async fn wrong_short_and_long_bodies_never_lead_to_a_manifest() {
    let mut flipped = bytes(2, 200_000);
    flipped[199_999] ^= 1;
    let bodies = [
        ("wrong", flipped),
        ("short", bytes(2, 199_000)),
        ("long", bytes(2, 200_001)),
    ];
    for (name, body) in bodies {
        let (from, to) = (Registry::start().await, Registry::start().await);
        simple(&from);
        let path = format!("/blobs/{}", digest(&bytes(2, 200_000)));
        from.hook(move |r| {
            r.is("GET", &path)
                .then(|| Reply::new(200).body(body.clone()))
        });

        let error = copy(&copier(), &request(&from, &to, "a/b:1"))
            .await
            .unwrap_err();

        assert!(matches!(error, Error::Failed { .. }), "{name}: {error}");
        let log = to.log();
        assert_eq!(
            log.iter().filter(|r| r.is("PUT", "/manifests/")).count(),
            0,
            "{name}"
        );
        // the server here lists only requests that arrived whole
        assert_eq!(
            log.iter().filter(|r| r.is("PUT", "/uploads/")).count(),
            1,
            "{name}"
        );
        assert_eq!(
            from.log().iter().filter(|r| r.is("GET", "/blobs/")).count(),
            6,
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_wrong_body_is_read_again_from_the_source() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let manifest = simple(&from);
    let path = format!("/blobs/{}", digest(&bytes(2, 200_000)));
    let mut first = true;
    from.hook(move |r| {
        (r.is("GET", &path) && std::mem::take(&mut first))
            .then(|| Reply::new(200).body(bytes(7, 200_000)))
    });

    copy(&copier(), &request(&from, &to, "a/b:1"))
        .await
        .unwrap();

    assert_eq!(to.manifest("a/b", "1").unwrap().1, manifest);
}

#[tokio::test]
async fn a_manifest_that_is_not_its_digest_is_refused() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let manifest = simple(&from);
    let path = format!("/manifests/{}", digest(&manifest));
    from.hook(move |r| {
        let mut other = manifest.clone();
        other.push(b' ');
        r.is("GET", &path)
            .then(|| Reply::new(200).header("Content-Type", MANIFEST).body(other))
    });

    let error = copy(&copier(), &request(&from, &to, "a/b:1"))
        .await
        .unwrap_err();

    assert!(
        error.to_string().contains("the bytes are sha256:"),
        "{error}"
    );
    assert_eq!(pushed_manifests(&to), 0);
}

#[tokio::test]
async fn a_manifest_that_came_wrong_once_is_asked_for_again() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let manifest = simple(&from);
    let path = format!("/manifests/{}", digest(&manifest));
    let mut flipped = Some(manifest.clone());
    from.hook(move |r| {
        let mut other = r.is("GET", &path).then(|| flipped.take())??;
        other[9] ^= 1;
        Some(Reply::new(200).header("Content-Type", MANIFEST).body(other))
    });

    copy(&copier(), &request(&from, &to, "a/b:1"))
        .await
        .unwrap();

    assert_eq!(to.manifest("a/b", "1").unwrap().1, manifest);
}

#[tokio::test]
async fn a_pause_that_the_registry_asks_for_is_kept_and_told() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    simple(&from);
    let mut limited = true;
    to.hook(move |r| {
        (r.is("PUT", "/manifests/1") && std::mem::take(&mut limited))
            .then(|| Reply::error(429, "TOOMANYREQUESTS", "slow down").header("Retry-After", "1"))
    });
    let told = Told::default();
    let started = std::time::Instant::now();

    copier()
        .copy(&request(&from, &to, "a/b:1"), &told)
        .await
        .unwrap();

    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(told.waited.into_inner(), 1);
}

#[tokio::test]
async fn a_pause_that_is_too_long_is_an_error_that_says_so() {
    let registry = Registry::start().await;
    registry.hook(|_| {
        Some(Reply::error(429, "TOOMANYREQUESTS", "pull rate limit").header("Retry-After", "3600"))
    });
    let source = reference(&format!("{}/a/b:1", registry.host));
    let error = resolve(
        &registries(&BTreeMap::new()),
        &source,
        &Credentials::Anonymous,
    )
    .await
    .unwrap_err();
    assert!(error.to_string().contains("3600 s"), "{error}");
    assert_eq!(registry.log().len(), 1);
}

#[tokio::test]
async fn an_upload_that_fails_is_done_again_in_a_new_session() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let manifest = simple(&from);
    let mut fails = true;
    to.hook(move |r| {
        (r.is("PUT", "/uploads/") && std::mem::take(&mut fails))
            .then(|| Reply::new(502).body("oops"))
    });

    copy(&copier(), &request(&from, &to, "a/b:1"))
        .await
        .unwrap();

    assert_eq!(to.manifest("a/b", "1").unwrap().1, manifest);
    assert_eq!(to.log().iter().filter(|r| r.method == "POST").count(), 3);
}

#[tokio::test]
async fn where_whole_blobs_are_refused_they_go_in_pieces() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let big = vec![3; 17 * 1024 * 1024];
    let manifest = image(&from, "a/b", &[&big]);
    from.put_manifest("a/b", "1", MANIFEST, &manifest);
    to.hook(|r| {
        (r.is("PUT", "/uploads/") && !r.body.is_empty())
            .then(|| Reply::error(400, "BLOB_UPLOAD_INVALID", "no body here"))
    });

    copy(&copier(), &request(&from, &to, "a/b:1"))
        .await
        .unwrap();

    assert_eq!(to.blob("a/b", &digest(&big)), Some(big));
    let log = to.log();
    let ranges: Vec<_> = log
        .iter()
        .filter_map(|r| r.header("content-range"))
        .collect();
    assert_eq!(ranges, ["0-16777215", "16777216-17825791"]);
}

#[tokio::test]
async fn an_image_that_is_gone_is_not_found() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    simple(&from);
    let mut request = request(&from, &to, "a/b:1");
    request.digest = Some(format!("sha256:{}", "0".repeat(64)).parse().unwrap());

    let error = copy(&copier(), &request).await.unwrap_err();

    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    let expected = format!(
        "GET http://{}/v2/a/b/manifests/sha256:{}: 404 MANIFEST_UNKNOWN manifest unknown",
        from.host,
        "0".repeat(64)
    );
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn an_index_whose_child_is_missing_is_not_pushed() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let amd = image(&from, "a/b", &[&bytes(1, 300)]);
    let arm = image(&from, "a/b", &[&bytes(4, 300)]);
    let index = index(
        &from,
        "a/b",
        &[("linux/amd64", &amd), ("linux/arm64", &arm)],
    );
    from.put_manifest("a/b", "1", INDEX, &index);
    from.drop_manifest("a/b", &digest(&arm));

    let error = copy(&copier(), &request(&from, &to, "a/b:1"))
        .await
        .unwrap_err();

    assert!(error.to_string().contains(&digest(&arm)), "{error}");
    assert_eq!(to.manifest("a/b", "1"), None);
}

#[tokio::test]
async fn a_missing_repository_in_the_target_is_no_missing_source() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    simple(&from);
    to.hook(|r| {
        (r.method == "POST").then(|| Reply::error(404, "NAME_UNKNOWN", "repository does not exist"))
    });

    let error = copy(&copier(), &request(&from, &to, "a/b:1"))
        .await
        .unwrap_err();

    assert!(matches!(error, Error::Failed { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("created first"), "{error:?}");
}

#[tokio::test]
async fn a_repository_that_shows_itself_only_after_the_first_push_is_pushed_to() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let manifest = simple(&from);
    let mut exists = false;
    // Quay: 401 for a repository that is not there, which a push creates
    to.hook(move |r| {
        exists |= r.method == "POST";
        (!exists && r.path != "/v2/").then(|| Reply::error(401, "UNAUTHORIZED", "access denied"))
    });

    copy(&copier(), &request(&from, &to, "a/b:1"))
        .await
        .unwrap();

    assert_eq!(to.manifest("a/b", "1").unwrap().1, manifest);
}

#[tokio::test]
async fn a_tag_that_cannot_be_seen_is_not_moved() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    simple(&from);
    to.hook(|r| (r.method == "HEAD").then(|| Reply::error(403, "DENIED", "push only")));

    let error = copy(&copier(), &request(&from, &to, "a/b:1"))
        .await
        .unwrap_err();

    assert!(matches!(error, Error::Denied { .. }), "{error}");
    assert_eq!(pushed_manifests(&to), 0);
}

#[tokio::test]
async fn schema_1_is_refused_in_plain_words() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let old = br#"{"schemaVersion":1,"name":"a/b","fsLayers":[]}"#;
    from.put_manifest(
        "a/b",
        "1",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        old,
    );

    let error = copy(&copier(), &request(&from, &to, "a/b:1"))
        .await
        .unwrap_err();

    assert!(error.to_string().contains("schema 1"), "{error}");
}

#[tokio::test]
async fn what_answers_with_a_page_is_not_a_registry() {
    let page = Registry::start().await;
    page.hook(|_| {
        Some(
            Reply::new(200)
                .header("Content-Type", "text/html")
                .body("<html>"),
        )
    });
    let registries = registries(&BTreeMap::new());
    let source = reference(&format!("{}/a/b:1", page.host));

    let errors = [
        registries
            .ping(&page.host, &Credentials::Anonymous)
            .await
            .unwrap_err(),
        resolve(&registries, &source, &Credentials::Anonymous)
            .await
            .unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
        assert!(error.to_string().contains("not a registry"), "{error}");
    }
}

#[tokio::test]
async fn a_redirect_from_https_to_http_is_refused_and_an_unknown_authority_named() {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let plain = Registry::start().await;
    simple(&plain);
    let host = tls_redirecting(&key, format!("http://{}/", plain.host)).await;
    let source = reference(&format!("{host}/a/b:1"));

    let error = resolve(
        &registries(&BTreeMap::new()),
        &source,
        &Credentials::Anonymous,
    )
    .await
    .unwrap_err();
    assert!(error.to_string().contains("unknown authority"), "{error}");
    assert!(error.hint().unwrap().contains("caFile"));

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.crt");
    std::fs::write(&file, key.cert.pem()).unwrap();
    let config = HostConfig {
        ca_file: Some(file),
        ..HostConfig::default()
    };
    let trusting = registries(&BTreeMap::from([(host.clone(), config)]));
    let error = resolve(&trusting, &source, &Credentials::Anonymous)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("refusing to follow"), "{error}");
    assert!(plain.log().is_empty());
}

/// A TLS server on `localhost` that redirects everything.
async fn tls_redirecting(key: &rcgen::CertifiedKey<rcgen::KeyPair>, to: String) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let _ = registries(&BTreeMap::new());
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(
            vec![key.cert.der().clone()],
            rustls::pki_types::PrivateKeyDer::Pkcs8(key.signing_key.serialize_der().into()),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, to) = (acceptor.clone(), to.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer).await;
                let answer = format!(
                    "HTTP/1.1 307 X\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                );
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    host
}

#[tokio::test]
async fn a_closed_port_is_unreachable() {
    let registries = registries(&BTreeMap::new());
    // bound and let go again: nobody listens there
    let port = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let error = registries
        .ping(&format!("127.0.0.1:{port}"), &Credentials::Anonymous)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_second_endpoint_serves_where_the_first_does_not_answer() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let manifest = simple(&from);
    let config = HostConfig {
        endpoint: vec![
            "http://127.0.0.1:1".to_owned(),
            format!("http://{}", from.host),
        ],
        ..HostConfig::default()
    };
    let registries = registries(&BTreeMap::from([(
        "registry.example.com".to_owned(),
        config,
    )]));
    let mut request = request(&from, &to, "a/b:1");
    request.source = reference("registry.example.com/a/b:1");

    copy(&Engine::over(registries), &request).await.unwrap();

    assert_eq!(to.manifest("a/b", "1").unwrap().1, manifest);
}
