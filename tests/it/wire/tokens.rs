//! How long a token is good, who asks for it, and what is given for it.

use super::logins::guard;
use super::patience::run_the_clock;
use super::server::{Reply, Request as Asked};
use super::*;
use std::sync::Mutex;

fn tokens(registry: &Registry) -> Vec<Asked> {
    let log = registry.log().into_iter();
    log.filter(|r| r.path == "/token").collect()
}

/// A registry whose tokens come from `/token` as `answer` says; it takes all of them.
fn issue(registry: &Registry, mut answer: impl FnMut(&Asked) -> Reply + Send + 'static) {
    let host = registry.host.clone();
    registry.hook(move |r| {
        if r.path == "/token" {
            return Some(answer(r));
        }
        let has_token = r
            .header("authorization")
            .is_some_and(|v| v.starts_with("Bearer "));
        (!has_token).then(|| {
            let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"s\"");
            Reply::new(401).header("WWW-Authenticate", challenge)
        })
    });
}

fn form(asked: &Asked) -> String {
    String::from_utf8_lossy(&asked.body).into_owned()
}

fn identity(token: &str) -> Credentials {
    Credentials::IdentityToken(SecretString::from(token.to_owned()))
}

#[tokio::test]
async fn a_token_is_renewed_before_it_expires() {
    for (answer, life) in [
        (r#"{"token":"a"}"#, 60),
        (r#"{"access_token":"a","expires_in":300}"#, 300),
    ] {
        let registry = Registry::start().await;
        simple(&registry);
        issue(&registry, move |_| Reply::new(200).body(answer));
        let source = reference(&format!("{}/a/b:1", registry.host));
        let registries = registries(&BTreeMap::new());
        let after = async |pause: u64| {
            tokio::time::pause();
            tokio::time::advance(Duration::from_secs(pause)).await;
            tokio::time::resume();
            let found = resolve(&registries, &source, &basic("u", "p")).await;
            assert!(found.unwrap().is_some());
            tokens(&registry).len()
        };

        assert_eq!(after(0).await, 1);
        assert_eq!(after(life / 2).await, 0);
        assert_eq!(after(life / 2 - 1).await, 1, "{answer}");
    }
}

#[tokio::test]
async fn one_token_is_asked_for_however_many_want_it() {
    let registry = Registry::start().await;
    guard(&registry, |_, _| true);
    for name in ["a/b", "a/c"] {
        let manifest = image(&registry, name, &[b"x"]);
        for tag in 0..8 {
            registry.put_manifest(name, &format!("{tag}"), MANIFEST, &manifest);
        }
    }
    let sources: Vec<_> = (0..16)
        .map(|n| format!("{}/a/{}:{}", registry.host, ["b", "c"][n % 2], n / 2))
        .collect();
    let (registries, credentials) = (registries(&BTreeMap::new()), basic("u", "p"));
    let asking = sources.iter().map(|source| {
        let source = reference(source);
        let (registries, credentials) = (&registries, &credentials);
        async move { resolve(registries, &source, credentials).await }
    });

    for found in futures::future::join_all(asking).await {
        assert!(found.unwrap().is_some());
    }
    assert_eq!(tokens(&registry).len(), 2);
}

#[tokio::test]
async fn another_user_gets_another_token() {
    let registry = Registry::start().await;
    simple(&registry);
    guard(&registry, |_, _| true);
    let source = reference(&format!("{}/a/b:1", registry.host));
    let registries = registries(&BTreeMap::new());
    for credentials in [
        basic("u", "p"),
        basic("v", "p"),
        basic("u", "p"),
        Credentials::Anonymous,
    ] {
        resolve(&registries, &source, &credentials).await.unwrap();
    }
    let asked = tokens(&registry);
    let who: Vec<_> = asked.iter().map(|r| r.header("authorization")).collect();
    assert_eq!(who, [Some("Basic dTpw"), Some("Basic djpw"), None]);
}

#[tokio::test]
async fn what_a_server_gives_for_an_identity_token_is_used_from_then_on() {
    let registry = Registry::start().await;
    let mut issued = 0;
    issue(&registry, move |r| {
        issued += 1;
        if form(r).contains("refresh_token=second") && issued > 3 {
            return Reply::new(400).body(r#"{"error":"invalid_grant"}"#);
        }
        let body = match issued {
            1 => r#"{"access_token":"t","refresh_token":"second"}"#,
            _ => r#"{"access_token":"t"}"#,
        };
        Reply::new(200).body(body)
    });
    let registries = registries(&BTreeMap::new());
    // a repository each, so that a token is needed for each
    for name in ["a", "b", "c", "d", "e"] {
        let source = reference(&format!("{}/{name}:1", registry.host));
        resolve(&registries, &source, &identity("first"))
            .await
            .unwrap();
    }

    let asked = tokens(&registry);
    let used: Vec<_> = asked
        .iter()
        .map(|r| form(r).rsplit_once("refresh_token=").unwrap().1.to_owned())
        .collect();
    // refused at last, so that what the user gave is used again
    assert_eq!(
        used,
        ["first", "second", "second", "second", "first", "first"]
    );
    assert!(asked.iter().all(|r| r.header("authorization").is_none()));
}

#[tokio::test]
async fn a_refresh_token_that_came_for_a_password_is_not_used() {
    let registry = Registry::start().await;
    issue(&registry, |_| {
        Reply::new(200).body(r#"{"token":"t","refresh_token":"r"}"#)
    });
    let registries = registries(&BTreeMap::new());
    for name in ["a", "b"] {
        let source = reference(&format!("{}/{name}:1", registry.host));
        resolve(&registries, &source, &basic("u", "p"))
            .await
            .unwrap();
    }
    let asked = tokens(&registry);
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|r| r.method == "GET"));
}

#[tokio::test]
async fn a_token_server_that_knows_only_oauth2_is_asked_that_way() {
    let registry = Registry::start().await;
    simple(&registry);
    issue(&registry, |r| {
        if r.method == "GET" {
            return Reply::new(405);
        }
        assert!(form(r).contains("grant_type=password&username=u&password=p"));
        Reply::new(200).body(r#"{"access_token":"t"}"#)
    });
    let source = reference(&format!("{}/a/b:1", registry.host));
    let found = resolve(&registries(&BTreeMap::new()), &source, &basic("u", "p")).await;
    assert!(found.unwrap().is_some());
}

#[tokio::test]
async fn a_token_server_that_asks_for_a_pause_is_left_alone_by_all() {
    let registry = Registry::start().await;
    simple(&registry);
    let asked: Arc<Mutex<Vec<tokio::time::Instant>>> = Arc::default();
    let (seen, mut first) = (Arc::clone(&asked), true);
    issue(&registry, move |_| {
        seen.lock().unwrap().push(tokio::time::Instant::now());
        if std::mem::take(&mut first) {
            run_the_clock();
            return Reply::new(429).header("Retry-After", "30");
        }
        Reply::new(200).body(r#"{"token":"t","expires_in":300}"#)
    });
    let source = reference(&format!("{}/a/b:1", registry.host));
    let (registries, credentials) = (registries(&BTreeMap::new()), basic("u", "p"));

    let asking = (0..6).map(|_| resolve(&registries, &source, &credentials));
    for found in futures::future::join_all(asking).await {
        assert!(found.unwrap().is_some());
    }

    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 2);
    assert!(asked[1] - asked[0] >= Duration::from_secs(30));
}
