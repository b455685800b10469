//! Registries behind TLS: whom to trust, and which protocol is spoken for what.

use super::tls::{HTTP2, Secure};
use super::*;
use image_cloner::config::Insecure;

#[tokio::test]
async fn small_requests_go_over_http2_and_blob_bodies_over_connections_of_their_own() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let (source, target) = (
        Secure::start(&from, "localhost").await,
        Secure::start(&to, "localhost").await,
    );
    let mut hosts = source.trusted();
    hosts.extend(target.trusted());
    let engine = Engine::over(registries(&hosts));
    let mut requests = Vec::new();
    for name in ["a/x", "a/y", "b/z"] {
        let manifest = image(&from, name, &[name.as_bytes(), &bytes(2, 900_000)]);
        from.put_manifest(name, "1", MANIFEST, &manifest);
        let mut request = request(&from, &to, &format!("{name}:1"));
        request.source = reference(&format!("{}/{name}:1", source.host));
        request.target = reference(&format!("{}/{name}:1", target.host));
        requests.push(request);
    }

    let copies = requests.iter().map(|request| copy(&engine, request));
    for copied in futures::future::join_all(copies).await {
        copied.unwrap();
    }

    for name in ["a/x", "a/y", "b/z"] {
        assert_eq!(to.manifest(name, "1"), from.manifest(name, "1"));
        assert_eq!(
            to.blob(name, &digest(&bytes(2, 900_000))),
            Some(bytes(2, 900_000))
        );
    }
    let log: Vec<_> = from.log().into_iter().chain(to.log()).collect();
    assert!(log.iter().any(|r| r.is("PUT", "/uploads/")));
    for asked in log {
        let is_body =
            asked.is("GET", "/blobs/") || asked.length() > 0 && asked.path.contains("/uploads/");
        let line = format!("{} {}", asked.method, asked.path);
        assert_eq!(asked.header(HTTP2).is_none(), is_body, "{line}");
    }
}

#[tokio::test]
async fn a_certificate_is_not_checked_where_the_user_says_so_and_nowhere_else() {
    let registry = Registry::start().await;
    simple(&registry);
    // it is not even made out to the name that is asked for
    let (one, other) = (
        Secure::start(&registry, "reg.corp").await,
        Secure::start(&registry, "reg.corp").await,
    );
    let config = HostConfig {
        insecure: Some(Insecure::SkipVerify),
        ..HostConfig::default()
    };
    let registries = registries(&BTreeMap::from([(one.address.clone(), config)]));
    let resolve = async |secure: &Secure| {
        let source = reference(&format!("{}/a/b:1", secure.address));
        resolve(&registries, &source, &Credentials::Anonymous).await
    };

    assert!(resolve(&one).await.unwrap().is_some());
    let error = resolve(&other).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}
