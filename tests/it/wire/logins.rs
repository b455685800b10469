//! Who asks: challenges, tokens, and where credentials never go.

use super::server::{Reply, Request};
use super::*;
use std::sync::Mutex;

/// Makes a registry want Bearer tokens from itself. A token is `t<n>:<scopes>`; `valid` says which `n`
/// the registry takes.
pub(super) fn guard(registry: &Registry, valid: impl Fn(u64, &Request) -> bool + Send + 'static) {
    let host = registry.host.clone();
    let mut issued = 0;
    registry.hook(move |r| {
        if r.path == "/token" {
            issued += 1;
            // an identity token comes as a form
            let asked = format!("{}&{}", r.query, String::from_utf8_lossy(&r.body));
            let scopes: Vec<_> = asked.split('&').filter(|p| p.starts_with("scope=")).collect();
            let scopes = scopes.join("+").replace("scope=", "").replace("%3A", ":");
            let scopes = scopes.replace("%2F", "/").replace("%2C", ",");
            let body = format!(r#"{{"token":"t{issued}:{scopes}","expires_in":300}}"#);
            return Some(Reply::new(200).body(body));
        }
        let token = r.header("authorization").and_then(|v| v.strip_prefix("Bearer t"));
        let (number, scopes) = token.and_then(|t| t.split_once(':')).unwrap_or(("0", ""));
        let repository = r.path.strip_prefix("/v2/")?.split(['/']).take(2).collect::<Vec<_>>().join("/");
        let action = if matches!(r.method.as_str(), "GET" | "HEAD") { "pull" } else { "push" };
        let granted = scopes.split('+').any(|scope| {
            scope.strip_prefix(&format!("repository:{repository}:"))
                .is_some_and(|actions| actions.split(',').any(|a| a == action))
        });
        if granted && valid(number.parse().unwrap(), r) {
            return None;
        }
        let challenge = format!(
            r#"Bearer realm="http://{host}/token",service="here",scope="repository:{repository}:{action}""#
        );
        Some(Reply::error(401, "UNAUTHORIZED", "authentication required").header("WWW-Authenticate", challenge))
    });
}

fn authorizations(log: &[Request], path: &str) -> Vec<Option<String>> {
    let asked = log.iter().filter(|r| r.path.contains(path));
    asked
        .map(|r| r.header("authorization").map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn tokens_are_asked_for_by_scope_and_shared() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    simple(&from);
    guard(&from, |_, _| true);
    guard(&to, |_, _| true);
    let mut request = request(&from, &to, "a/b:1");
    request.source_credentials = vec![basic("reader", "r-pass")];
    request.target_credentials = basic("writer", "w-pass");

    copy(&copier(), &request).await.unwrap();

    let asked = |log: Vec<Request>| {
        let tokens: Vec<_> = log.into_iter().filter(|r| r.path == "/token").collect();
        assert_eq!(tokens.len(), 1);
        (
            tokens[0].query.clone(),
            tokens[0].header("authorization").unwrap().to_owned(),
        )
    };
    assert_eq!(
        asked(from.log()),
        (
            "service=here&scope=repository%3Aa%2Fb%3Apull&account=reader".into(),
            "Basic cmVhZGVyOnItcGFzcw==".into()
        )
    );
    assert_eq!(
        asked(to.log()),
        (
            "service=here&scope=repository%3Aa%2Fb%3Apull%2Cpush&account=writer".into(),
            "Basic d3JpdGVyOnctcGFzcw==".into()
        )
    );
}

#[tokio::test]
async fn a_mount_asks_for_both_scopes() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    for name in ["a/x", "a/y"] {
        let manifest = image(&from, name, &[&bytes(1, 300)]);
        from.put_manifest(name, "1", MANIFEST, &manifest);
    }
    guard(&to, |_, _| true);
    let copier = copier();
    copy(&copier, &request(&from, &to, "a/x:1")).await.unwrap();
    to.log();
    copy(&copier, &request(&from, &to, "a/y:1")).await.unwrap();

    let log = to.log();
    let mount = log.iter().find(|r| r.parameter("mount").is_some()).unwrap();
    let authorization = mount.header("authorization").unwrap();
    assert!(
        authorization.contains("repository:a/x:pull+repository:a/y:pull,push"),
        "{authorization}"
    );
}

#[tokio::test]
async fn a_token_that_is_refused_in_the_middle_is_renewed() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    simple(&from);
    // the registry forgets the first token before the blobs come
    guard(&to, |number, r| number > 1 || !r.path.contains("/blobs/"));
    guard(&from, |number, r| number > 1 || !r.path.contains("/blobs/"));

    copy(&copier(), &request(&from, &to, "a/b:1"))
        .await
        .unwrap();

    for registry in [&from, &to] {
        let tokens = registry.log().into_iter().filter(|r| r.path == "/token");
        assert_eq!(tokens.count(), 2);
    }
}

#[tokio::test]
async fn a_token_that_never_helps_is_a_denial_that_names_who_asked() {
    let registry = Registry::start().await;
    guard(&registry, |_, _| false);
    let source = reference(&format!("{}/a/b:1", registry.host));
    let registries = registries(&BTreeMap::new());

    let error = resolve(&registries, &source, &basic("testuser", "secret"))
        .await
        .unwrap_err();
    let Error::Denied { who, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(who, "as testuser");
    assert!(error.to_string().starts_with(&format!(
        "HEAD http://{}/v2/a/b/manifests/1: 401",
        registry.host
    )));
    assert!(!format!("{error:?}{error}").contains("secret"));
    assert!(registries.needs_credentials(&source).await.unwrap());
}

#[tokio::test]
async fn basic_credentials_are_sent_once_asked_for() {
    let registry = Registry::start().await;
    simple(&registry);
    registry.hook(|r| {
        (r.header("authorization") != Some("Basic dTpw")).then(|| {
            Reply::error(401, "UNAUTHORIZED", "who are you")
                .header("WWW-Authenticate", "Basic realm=\"x\"")
        })
    });
    let registries = registries(&BTreeMap::new());

    registries
        .ping(&registry.host, &basic("u", "p"))
        .await
        .unwrap();
    let error = registries
        .ping(&registry.host, &basic("u", "wrong"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error}");
    let error = registries
        .ping(&registry.host, &Credentials::Anonymous)
        .await
        .unwrap_err();
    assert!(error.to_string().ends_with("(anonymous)"), "{error}");
    let source = reference(&format!("{}/a/b:1", registry.host));
    assert!(
        resolve(&registries, &source, &basic("u", "p"))
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn a_404_for_strangers_is_asked_again_with_credentials() {
    let registry = Registry::start().await;
    simple(&registry);
    // Nexus and GitLab hide what exists; only /v2/ has the challenge
    registry.hook(|r| match (r.header("authorization"), r.path.as_str()) {
        (Some("Basic dTpw"), _) => None,
        (_, "/v2/") => Some(Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\"")),
        _ => Some(Reply::error(404, "MANIFEST_UNKNOWN", "manifest unknown")),
    });
    let source = reference(&format!("{}/a/b:1", registry.host));
    let found = resolve(&registries(&BTreeMap::new()), &source, &basic("u", "p")).await;
    assert!(found.unwrap().is_some());
}

#[tokio::test]
async fn source_credentials_are_tried_in_order() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    simple(&from);
    from.hook(|r| match r.header("authorization") {
        Some("Basic dTpw") => None,
        Some(_) => Some(Reply::error(403, "DENIED", "not you")),
        None => Some(Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\"")),
    });
    let mut request = request(&from, &to, "a/b:1");
    request.source_credentials = vec![Credentials::Anonymous, basic("other", "x"), basic("u", "p")];

    copy(&copier(), &request).await.unwrap();
}

#[tokio::test]
async fn a_redirect_to_another_host_carries_no_credentials() {
    let (from, to, storage) = (
        Registry::start().await,
        Registry::start().await,
        Registry::start().await,
    );
    simple(&from);
    let blobs = [bytes(1, 300), bytes(2, 200_000)];
    for blob in &blobs {
        storage.put_blob("stored", blob);
    }
    let elsewhere = storage.host.clone();
    from.hook(move |r| {
        if r.header("authorization") != Some("Basic dTpw") {
            return Some(Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\""));
        }
        let digest = r.path.strip_prefix("/v2/a/b/blobs/")?;
        let location = format!("http://{elsewhere}/v2/stored/blobs/{digest}?sig=abc");
        Some(Reply::new(307).header("Location", location))
    });
    let mut request = request(&from, &to, "a/b:1");
    request.source_credentials = vec![basic("u", "p")];

    copy(&copier(), &request).await.unwrap();

    let log = storage.log();
    assert_eq!(authorizations(&log, "/blobs/"), [None, None]);
    assert_eq!(log[0].query, "sig=abc");
}

#[tokio::test]
async fn an_upload_on_another_host_carries_no_credentials() {
    let (from, to, storage) = (
        Registry::start().await,
        Registry::start().await,
        Registry::start().await,
    );
    simple(&from);
    let elsewhere = storage.host.clone();
    let stored: Arc<Mutex<Vec<Request>>> = Arc::default();
    let seen = Arc::clone(&stored);
    storage.hook(move |r| {
        seen.lock().unwrap().push(r.clone());
        Some(Reply::new(201))
    });
    to.hook(move |r| match r.header("authorization") {
        Some("Basic dTpw") if r.method == "POST" => {
            Some(Reply::new(202).header("Location", format!("http://{elsewhere}/u?sig=1")))
        }
        Some("Basic dTpw") => None,
        _ => Some(Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\"")),
    });
    let mut request = request(&from, &to, "a/b:1");
    request.target_credentials = basic("u", "p");

    copy(&copier(), &request).await.unwrap();

    let stored = stored.lock().unwrap();
    assert_eq!(authorizations(&stored, "/u"), [None, None]);
    assert!(stored.iter().all(|r| r.query.starts_with("sig=1&digest=")));
}

#[tokio::test]
async fn a_realm_on_another_machine_gets_no_credentials_over_plain_http() {
    let registry = Registry::start().await;
    registry.hook(|_| {
        let challenge = "Bearer realm=\"http://tokens.example.com/t\",service=\"s\"";
        Some(Reply::new(401).header("WWW-Authenticate", challenge))
    });
    let registries = registries(&BTreeMap::new());
    let error = registries
        .ping(&registry.host, &basic("u", "p"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("over plain HTTP"), "{error}");
}

#[tokio::test]
async fn an_identity_token_is_traded_by_oauth2() {
    let registry = Registry::start().await;
    simple(&registry);
    let host = registry.host.clone();
    registry.hook(move |r| {
        if r.is("POST", "/oauth2/token") {
            let form = String::from_utf8_lossy(&r.body).into_owned();
            assert!(
                form.contains("grant_type=refresh_token&refresh_token=idt"),
                "{form}"
            );
            return Some(Reply::new(200).body(r#"{"access_token":"good"}"#));
        }
        (r.header("authorization") != Some("Bearer good")).then(|| {
            let challenge = format!("Bearer realm=\"http://{host}/oauth2/token\",service=\"acr\"");
            Reply::new(401).header("WWW-Authenticate", challenge)
        })
    });
    let token = Credentials::IdentityToken(SecretString::from("idt".to_owned()));
    let source = reference(&format!("{}/a/b:1", registry.host));
    let found = resolve(&registries(&BTreeMap::new()), &source, &token).await;
    assert!(found.unwrap().is_some());
}

#[tokio::test]
async fn debug_output_shows_no_password_and_no_token() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    simple(&from);
    guard(&from, |_, _| true);
    let registries = registries(&BTreeMap::new());
    let copier = Engine::over(Arc::clone(&registries));
    let mut request = request(&from, &to, "a/b:1");
    request.source_credentials = vec![basic("reader", "hunter2")];
    copy(&copier, &request).await.unwrap();

    let shown = format!("{registries:?} {copier:?} {request:?}");
    for secret in ["hunter2", "t1:", "cmVhZGVy"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
