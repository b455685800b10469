//! Whom a registry may ask for what: challenges that are not its own, answers for strangers, digests that
//! are not what was asked for.

use super::server::{Reply, Request as Asked};
use super::*;

const BASIC: &str = "Basic realm=\"x\"";

/// Nexus and GitLab hide what exists; only `/v2/` has the challenge.
fn hides(asked: &Asked) -> Option<Reply> {
    match (asked.header("authorization"), asked.path.as_str()) {
        (Some("Basic dTpw"), _) => None,
        (_, "/v2/") => Some(Reply::new(401).header("WWW-Authenticate", BASIC)),
        _ => Some(Reply::error(404, "MANIFEST_UNKNOWN", "manifest unknown")),
    }
}

#[tokio::test]
async fn the_challenge_of_a_host_that_was_redirected_to_gets_no_credentials() {
    let (from, to, storage) = (
        Registry::start().await,
        Registry::start().await,
        Registry::start().await,
    );
    simple(&from);
    let elsewhere = storage.host.clone();
    from.hook(move |r| {
        if r.header("authorization") != Some("Basic dTpw") {
            return Some(Reply::new(401).header("WWW-Authenticate", BASIC));
        }
        let digest = r.path.strip_prefix("/v2/a/b/blobs/")?;
        let location = format!("http://{elsewhere}/stored/{digest}");
        Some(Reply::new(307).header("Location", location))
    });
    let host = storage.host.clone();
    storage.hook(move |r| {
        if r.path == "/token" {
            return Some(Reply::new(200).body(r#"{"token":"x"}"#));
        }
        let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"storage\"");
        Some(Reply::new(401).header("WWW-Authenticate", challenge))
    });
    let mut request = request(&from, &to, "a/b:1");
    request.source_credentials = vec![basic("u", "p")];

    copy(&copier(), &request).await.unwrap_err();

    let log = storage.log();
    assert!(log.iter().any(|r| r.path.starts_with("/stored/")));
    assert!(log.iter().all(|r| r.path != "/token"), "{log:?}");
    assert!(log.iter().all(|r| r.header("authorization").is_none()));
}

#[tokio::test]
async fn all_who_are_told_404_at_once_ask_again_with_credentials() {
    let registry = Registry::start().await;
    simple(&registry);
    registry.hook(hides);
    let source = reference(&format!("{}/a/b:1", registry.host));
    let (registries, credentials) = (registries(&BTreeMap::new()), basic("u", "p"));

    let asking = (0..8).map(|_| resolve(&registries, &source, &credentials));
    let found = futures::future::join_all(asking).await;

    assert!(found.iter().all(|f| f.as_ref().unwrap().is_some()));
    let log = registry.log();
    assert_eq!(log.iter().filter(|r| r.path == "/v2/").count(), 1);
}

#[tokio::test]
async fn tags_that_a_registry_hides_from_strangers_are_all_kept() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let mut requests = Vec::new();
    for name in ["a/x", "a/y", "a/z"] {
        let new = image(&from, name, &[name.as_bytes()]);
        from.put_manifest(name, "1", MANIFEST, &new);
        let old = image(&to, name, &[b"old"]);
        to.put_manifest(name, "1", MANIFEST, &old);
        let mut request = request(&from, &to, &format!("{name}:1"));
        request.target_credentials = basic("u", "p");
        requests.push(request);
    }
    to.hook(hides);
    let copier = copier();

    let copies = requests.iter().map(|request| copy(&copier, request));
    for copied in futures::future::join_all(copies).await {
        assert!(copied.unwrap().kept.is_some());
    }
}

#[tokio::test]
async fn scopes_that_a_registry_adds_are_asked_for_from_then_on() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    simple(&from);
    // the registry knows the repository by another name than its clients
    let host = to.host.clone();
    to.hook(move |r| {
        if r.path == "/token" {
            let scopes = r.query.replace("%3A", ":").replace("%2F", "/");
            let scopes = scopes.replace("%2C", ",").replace('&', "+");
            let body = format!(r#"{{"token":"{scopes}","expires_in":300}}"#);
            return Some(Reply::new(200).body(body));
        }
        let actions = match r.method.as_str() {
            "GET" | "HEAD" => "pull",
            _ => "pull,push",
        };
        let scope = format!("repository:real/a/b:{actions}");
        let shown = r.header("authorization").unwrap_or_default();
        (!shown.contains(&scope)).then(|| {
            let challenge =
                format!(r#"Bearer realm="http://{host}/token",service="s",scope="{scope}""#);
            Reply::error(401, "UNAUTHORIZED", "no").header("WWW-Authenticate", challenge)
        })
    });

    copy(&copier(), &request(&from, &to, "a/b:1"))
        .await
        .unwrap();

    let refused = to.log().into_iter().filter(|r| r.is("PUT", "/uploads/"));
    assert!(
        refused.count() <= 3,
        "bodies are not sent in vain each time"
    );
}

#[tokio::test]
async fn a_head_by_digest_that_names_another_digest_is_refused() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let asked = simple(&from);
    let other = image(&from, "a/b", &[b"other"]);
    from.put_manifest("a/b", "other", MANIFEST, &other);
    let (asked, other) = (digest(&asked), digest(&other));
    let (path, named) = (format!("/manifests/{asked}"), other.clone());
    from.hook(move |r| {
        r.is("HEAD", &path).then(|| {
            Reply::new(200)
                .header("Content-Type", MANIFEST)
                .header("Docker-Content-Digest", named.clone())
        })
    });
    let mut request = request(&from, &to, "a/b:1");
    request.digest = Some(asked.parse().unwrap());

    let error = copy(&copier(), &request).await.unwrap_err();

    assert!(error.to_string().contains(&other), "{error}");
    assert_eq!(to.manifest("a/b", "1"), None);
}

#[tokio::test]
async fn shared_children_are_read_once_and_endless_nesting_not_at_all() {
    let from = Registry::start().await;
    let mut nested = image(&from, "a/b", &[b"x"]);
    let mut kind = MANIFEST;
    for depth in 1..=10 {
        let digest = digest(&nested);
        from.put_manifest("a/b", &digest, kind, &nested);
        let size = nested.len();
        let entry = format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":{size}}}"#);
        nested =
            format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{entry},{entry}]}}"#)
                .into_bytes();
        kind = INDEX;
        from.put_manifest("a/b", &format!("{depth}"), INDEX, &nested);
    }
    let registries = registries(&BTreeMap::new());
    let size = async |tag: &str| {
        let reference = reference(&format!("{}/a/b:{tag}", from.host));
        let anonymous = [Credentials::Anonymous];
        let source = registries.source(&reference, &anonymous).await.unwrap();
        from.log();
        (
            registries.size(&source, Extras::default()).await,
            from.log().len(),
        )
    };

    let (deep, asked) = size("7").await;
    assert!(deep.is_ok());
    assert_eq!(asked, 8);
    let (endless, _) = size("10").await;
    assert!(endless.unwrap_err().to_string().contains("indexes around"));
}

#[tokio::test]
async fn whether_credentials_are_needed_is_not_taken_from_a_404() {
    let check = async |open: bool, hook: fn(&Asked) -> Option<Reply>, expected: bool| {
        let registry = Registry::start().await;
        if open {
            simple(&registry);
        }
        let host = registry.host.clone();
        registry.hook(move |asked| {
            let reply = hook(asked)?;
            let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"s\"");
            Some(match reply.status {
                401 if reply.headers.is_empty() => reply.header("WWW-Authenticate", challenge),
                _ => reply,
            })
        });
        let source = reference(&format!("{}/a/b:1", registry.host));
        let needed = registries(&BTreeMap::new())
            .needs_credentials(&source)
            .await;
        assert_eq!(needed.unwrap(), expected);
    };
    check(true, |_| None, false).await;
    check(false, |_| None, false).await;
    check(true, hides, true).await;
    // strangers get a token, and with it the truth
    let generous = |asked: &Asked| match (asked.path.as_str(), asked.header("authorization")) {
        ("/token", _) => Some(Reply::new(200).body(r#"{"token":"t"}"#)),
        (_, Some("Bearer t")) => None,
        ("/v2/", _) => Some(Reply::new(401)),
        _ => Some(Reply::error(404, "NAME_UNKNOWN", "not here")),
    };
    check(false, generous, false).await;
    // strangers get none
    let strict = |asked: &Asked| match asked.path.as_str() {
        "/token" => Some(Reply::error(403, "DENIED", "not you")),
        "/v2/" => Some(Reply::new(401)),
        _ => Some(Reply::error(404, "NAME_UNKNOWN", "not here")),
    };
    check(true, strict, true).await;
}
