//! Where a registry really is: mirrors that fall short, push addresses with a path, one registry under two
//! names, and how much is asked of it at once.

use super::patience::run_the_clock;
use super::server::Reply;
use super::*;
use std::num::NonZero;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A registry by this name that is found at these places.
fn found_at(name: &str, places: &[&str]) -> BTreeMap<String, HostConfig> {
    let config = HostConfig {
        endpoint: places.iter().map(|&place| place.to_owned()).collect(),
        ..HostConfig::default()
    };
    BTreeMap::from([(name.to_owned(), config)])
}

#[tokio::test]
async fn the_next_mirror_serves_what_the_first_does_not() {
    let page = || {
        Reply::new(200)
            .header("Content-Type", "text/html")
            .body("<html>")
    };
    for refusal in [
        Reply::error(404, "NAME_UNKNOWN", "not mirrored"),
        Reply::error(401, "UNAUTHORIZED", "not for you"),
        Reply::error(403, "DENIED", "not for you"),
        Reply::error(429, "TOOMANYREQUESTS", "slow down"),
        Reply::new(429).header("Retry-After", "3600"),
        Reply::new(503),
        page(),
    ] {
        let (mirror, origin) = (Registry::start().await, Registry::start().await);
        let to = Registry::start().await;
        let manifest = image(&origin, "hub/a/b", &[&bytes(3, 1000)]);
        origin.put_manifest("hub/a/b", "1", MANIFEST, &manifest);
        let status = refusal.status;
        mirror.hook(move |_| {
            run_the_clock();
            Some(refusal.clone())
        });
        let places = [
            format!("http://{}", mirror.host),
            format!("http://{}/v2/hub/", origin.host),
        ];
        let hosts = found_at("registry.example.com", &[&places[0], &places[1]]);
        let mut request = request(&origin, &to, "a/b:1");
        request.source = reference("registry.example.com/a/b:1");

        let copied = copy(&Engine::over(registries(&hosts)), &request).await;

        assert!(copied.is_ok(), "{status}: {copied:?}");
        assert_eq!(to.manifest("a/b", "1").unwrap().1, manifest);
        assert!(!mirror.log().is_empty());
    }
}

#[tokio::test]
async fn what_no_mirror_has_is_told_by_one_that_answered() {
    let (one, other) = (Registry::start().await, Registry::start().await);
    let places = [
        format!("http://{}", one.host),
        format!("http://{}", other.host),
    ];
    let hosts = found_at("registry.example.com", &[&places[0], &places[1]]);
    let source = reference("registry.example.com/a/b:1");
    let registries = registries(&hosts);
    let asked = registries.source(&source, &[Credentials::Anonymous]).await;
    assert!(matches!(asked, Err(Error::NotFound { .. })), "{asked:?}");
    assert!(!other.log().is_empty());
}

#[tokio::test]
async fn a_push_address_has_its_own_path_and_is_mounted_below_it() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    for name in ["a", "b"] {
        let manifest = image(&from, name, &[name.as_bytes(), &bytes(9, 900_000)]);
        from.put_manifest(name, "1", MANIFEST, &manifest);
    }
    let hosts = found_at("reg.corp", &[&format!("http://{}/team/cache/", to.host)]);
    let engine = Engine::over(registries(&hosts));
    for name in ["a", "b"] {
        let mut request = request(&from, &to, &format!("{name}:1"));
        request.target = reference(&format!("reg.corp/{name}:1"));
        copy(&engine, &request).await.unwrap();
        let path = format!("team/cache/{name}");
        assert_eq!(to.manifest(&path, "1"), from.manifest(name, "1"));
    }
    let log = to.log();
    assert!(log.iter().all(|r| r.path.starts_with("/v2/team/cache/")));
    let mounted: Vec<_> = log.iter().filter_map(|r| r.parameter("from")).collect();
    assert_eq!(mounted, ["team/cache/a"]);
}

#[tokio::test]
async fn a_push_goes_to_the_first_place_that_answers() {
    let (from, to, other) = (
        Registry::start().await,
        Registry::start().await,
        Registry::start().await,
    );
    let manifest = simple(&from);
    // the second has the image already
    let same = simple(&other);
    assert_eq!(same, manifest);
    let places = [
        "http://127.0.0.1:1".to_owned(),
        format!("http://{}", to.host),
        format!("http://{}", other.host),
    ];
    let hosts = found_at("reg.corp", &[&places[0], &places[1], &places[2]]);
    let mut request = request(&from, &to, "a/b:1");
    request.target = reference("reg.corp/a/b:1");

    copy(&Engine::over(registries(&hosts)), &request)
        .await
        .unwrap();

    assert_eq!(to.manifest("a/b", "1").unwrap().1, manifest);
    assert_eq!(other.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn a_source_that_is_the_target_under_another_name_is_mounted() {
    let registry = Registry::start().await;
    let manifest = image(&registry, "hub/library/x", &[&bytes(3, 900_000)]);
    registry.put_manifest("hub/library/x", "1", MANIFEST, &manifest);
    let (_, port) = registry.host.split_once(':').unwrap();
    // a proxy cache in the registry that copies go to
    let hosts = found_at("docker.io", &[&format!("http://localhost:{port}/hub")]);
    let mut request = request(&registry, &registry, "x:1");
    request.source = reference("docker.io/library/x:1");

    let copied = copy(&Engine::over(registries(&hosts)), &request)
        .await
        .unwrap();

    assert_eq!(copied.bytes, 0);
    assert_eq!(registry.manifest("x", "1").unwrap().1, manifest);
    let log = registry.log();
    let mounted: Vec<_> = log.iter().filter_map(|r| r.parameter("from")).collect();
    assert_eq!(mounted, ["hub/library/x"]);
    assert!(!log.iter().any(|r| r.is("GET", "/blobs/")));
}

fn limited(host: &str, to: u16) -> BTreeMap<String, HostConfig> {
    let config = HostConfig {
        concurrency: NonZero::new(to),
        ..HostConfig::default()
    };
    BTreeMap::from([(host.to_owned(), config)])
}

#[tokio::test]
async fn a_host_is_sent_no_more_at_once_than_the_user_allows() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    // small and large ones
    let blobs: Vec<_> = (0..8)
        .map(|n| bytes(n, 1000 + usize::from(n % 2) * 900_000))
        .collect();
    let parts: Vec<_> = blobs.iter().map(Vec::as_slice).collect();
    let manifest = image(&from, "a/b", &parts);
    from.put_manifest("a/b", "1", MANIFEST, &manifest);
    let steps: Arc<Mutex<Vec<&str>>> = Arc::default();
    let (read, stored) = (Arc::clone(&steps), Arc::clone(&steps));
    from.hook(move |r| {
        if r.is("GET", "/blobs/") {
            read.lock().unwrap().push("read");
        }
        None
    });
    to.hook(move |r| {
        if r.is("PUT", "/uploads/") {
            stored.lock().unwrap().push("stored");
        }
        None
    });

    let engine = Engine::over(registries(&limited(&from.host, 1)));
    copy(&engine, &request(&from, &to, "a/b:1")).await.unwrap();

    assert_eq!(*steps.lock().unwrap(), ["read", "stored"].repeat(8));
}

#[tokio::test]
async fn a_host_is_asked_no_more_at_once_than_the_user_allows() {
    for (limit, expected) in [(None, 9), (Some(2), 2)] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = format!("127.0.0.1:{}", listener.local_addr().unwrap().port());
        let under_way = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
        let counting = Arc::clone(&under_way);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let counting = Arc::clone(&counting);
                tokio::spawn(async move {
                    let (now, most) = &*counting;
                    let mut buffer = vec![0; 8192];
                    while stream.read(&mut buffer).await.unwrap_or(0) > 0 {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        // until as many came as may, and a little longer: one too many is seen
                        while most.load(Ordering::SeqCst) < expected {
                            tokio::time::sleep(Duration::from_millis(1)).await;
                        }
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        now.fetch_sub(1, Ordering::SeqCst);
                        let answer = b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n";
                        let _ = stream.write_all(answer).await;
                    }
                });
            }
        });
        let place = format!("http://{host}");
        let mut hosts = found_at("reg.corp", &[&place]);
        hosts.get_mut("reg.corp").unwrap().concurrency = limit.and_then(NonZero::new);
        let registries = registries(&hosts);
        let asking = (0..9).map(|n| {
            let source = reference(&format!("reg.corp/a:{n}"));
            let registries = &registries;
            async move { resolve(registries, &source, &Credentials::Anonymous).await }
        });
        let asking = futures::future::join_all(asking);
        let found = tokio::time::timeout(Duration::from_secs(60), asking).await;
        for found in found.expect("as many at once as are allowed") {
            assert_eq!(found.unwrap(), None);
        }
        assert_eq!(under_way.1.load(Ordering::SeqCst), expected);
    }
}
