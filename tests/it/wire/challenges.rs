//! When and how a registry asks who is there, and what it gets to know.

use super::logins::guard;
use super::server::{Reply, Request as Asked};
use super::tls::Secure;
use super::*;

const BASIC: &str = "Basic realm=\"x\"";

/// Challenges what `is_asked` says and nothing else, with what the registry's host makes the challenge.
fn challenge(
    registry: &Registry,
    headers: impl Fn(&str) -> Vec<String> + Send + 'static,
    is_asked: impl Fn(&Asked) -> bool + Send + 'static,
) {
    let host = registry.host.clone();
    registry.hook(move |r| {
        if r.path == "/token" {
            return Some(Reply::new(200).body(r#"{"token":"good"}"#));
        }
        let shown = r.header("authorization").unwrap_or_default();
        if !is_asked(r) || ["Basic dTpw", "Bearer good"].contains(&shown) {
            return None;
        }
        let refused = Reply::error(401, "UNAUTHORIZED", "who are you");
        let headers = headers(&host).into_iter();
        Some(headers.fold(refused, |reply, value| {
            reply.header("WWW-Authenticate", value)
        }))
    });
}

fn bearer(host: &str) -> String {
    format!("Bearer realm=\"http://{host}/token\",service=\"s\"")
}

#[tokio::test]
async fn a_challenge_may_come_on_any_request() {
    // what is challenged, and whether it is the source that does
    let requests = [
        ("HEAD", "/manifests/", true),
        ("GET", "/manifests/", true),
        ("GET", "/blobs/", true),
        ("HEAD", "/manifests/", false),
        ("POST", "/blobs/uploads/", false),
        ("PUT", "/blobs/uploads/", false),
        ("PATCH", "/blobs/uploads/", false),
        ("PUT", "/manifests/", false),
    ];
    for (method, path, at_source) in requests {
        for with_token in [true, false] {
            let (from, to) = (Registry::start().await, Registry::start().await);
            let manifest = simple(&from);
            let asking = if at_source { &from } else { &to };
            let header = move |host: &str| {
                vec![if with_token {
                    bearer(host)
                } else {
                    BASIC.into()
                }]
            };
            challenge(asking, header, move |r| r.is(method, path));
            if method == "PATCH" {
                // pieces alone are taken
                to.hook(|r| {
                    let whole = r.is("PUT", "/uploads/") && !r.body.is_empty();
                    whole.then(|| Reply::error(413, "SIZE_INVALID", "too large"))
                });
            }
            let mut request = request(&from, &to, "a/b:1");
            request.source_credentials = vec![basic("u", "p")];
            request.target_credentials = basic("u", "p");

            let copied = copy(&copier(), &request).await;

            assert!(copied.is_ok(), "{method} {path} {with_token}: {copied:?}");
            assert_eq!(to.manifest("a/b", "1").unwrap().1, manifest);
        }
    }
}

#[tokio::test]
async fn of_several_challenges_one_that_is_understood_is_answered() {
    type Headers = fn(&str) -> Vec<String>;
    let cases: [(Headers, &str); 7] = [
        (|_| vec!["Negotiate".into(), BASIC.into()], "Basic"),
        (|_| vec![format!("Negotiate, {BASIC}")], "Basic"),
        (
            |_| {
                vec![format!(
                    "Digest realm=\"a, Bearer b\", nonce=\"x=\", {BASIC}"
                )]
            },
            "Basic",
        ),
        (|host| vec![BASIC.into(), bearer(host)], "Bearer"),
        (|host| vec![bearer(host), BASIC.into()], "Bearer"),
        (|host| vec![format!("{BASIC}, {}", bearer(host))], "Bearer"),
        (
            |host| vec![format!("Negotiate YWJj==, {},error=\"a, b\"", bearer(host))],
            "Bearer",
        ),
    ];
    for (headers, expected) in cases {
        let registry = Registry::start().await;
        simple(&registry);
        challenge(&registry, headers, |_| true);
        let source = reference(&format!("{}/a/b:1", registry.host));

        let found = resolve(&registries(&BTreeMap::new()), &source, &basic("u", "p")).await;

        assert!(found.unwrap().is_some(), "{:?}", headers(""));
        let log = registry.log();
        let shown = log.last().unwrap().header("authorization").unwrap();
        assert!(shown.starts_with(expected), "{:?}: {shown}", headers(""));
    }
}

#[tokio::test]
async fn a_token_that_is_refused_in_the_middle_of_an_upload_is_renewed() {
    for method in ["PUT", "PATCH"] {
        let (from, to) = (Registry::start().await, Registry::start().await);
        let manifest = image(&from, "a/b", &[&bytes(3, 700_000)]);
        from.put_manifest("a/b", "1", MANIFEST, &manifest);
        guard(&to, move |number, r| {
            number > 1 || !r.is(method, "/uploads/")
        });
        if method == "PATCH" {
            to.hook(|r| {
                let whole = r.is("PUT", "/uploads/") && !r.body.is_empty();
                whole.then(|| Reply::error(400, "BLOB_UPLOAD_INVALID", "no body here"))
            });
        }

        copy(&copier(), &request(&from, &to, "a/b:1"))
            .await
            .unwrap();

        assert_eq!(to.manifest("a/b", "1").unwrap().1, manifest);
        let log = to.log();
        assert_eq!(
            log.iter().filter(|r| r.path == "/token").count(),
            2,
            "{method}"
        );
        // the registry did take bytes of the first try
        assert!(log.iter().filter(|r| r.is(method, "/uploads/")).count() >= 2);
    }
}

#[tokio::test]
async fn what_never_helps_is_not_said_again_and_again() {
    for challenged in ["HEAD", "POST", "PUT"] {
        let (from, to) = (Registry::start().await, Registry::start().await);
        let manifest = image(&from, "a/b", &[&bytes(3, 1000)]);
        from.put_manifest("a/b", "1", MANIFEST, &manifest);
        to.hook(move |r| {
            (r.method == challenged)
                .then(|| Reply::error(401, "UNAUTHORIZED", "no").header("WWW-Authenticate", BASIC))
        });
        let mut request = request(&from, &to, "a/b:1");
        request.target_credentials = basic("u", "wrong");

        let error = copy(&copier(), &request).await.unwrap_err();

        assert!(
            matches!(error, Error::Denied { .. }),
            "{challenged}: {error:?}"
        );
        assert!(error.to_string().contains("as u"), "{error}");
        let asked = to.log().into_iter().filter(|r| r.method == challenged);
        assert!(asked.count() <= 6, "{challenged}");
    }
}

#[tokio::test]
async fn a_token_server_that_redirects_gives_nobody_the_credentials() {
    for credentials in [
        basic("u", "p"),
        Credentials::IdentityToken(SecretString::from("idt".to_owned())),
    ] {
        let (registry, elsewhere) = (Registry::start().await, Registry::start().await);
        let (host, other) = (registry.host.clone(), elsewhere.host.clone());
        registry.hook(move |r| {
            Some(if r.path == "/token" {
                Reply::new(307).header("Location", format!("http://{other}/token"))
            } else {
                Reply::new(401).header("WWW-Authenticate", bearer(&host))
            })
        });

        let registries = registries(&BTreeMap::new());
        let error = registries
            .ping(&registry.host, &credentials)
            .await
            .unwrap_err();

        assert!(error.to_string().contains("307"), "{error}");
        assert_eq!(elsewhere.lines(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_realm_without_tls_is_asked_by_nobody_who_has_credentials_or_tls() {
    let registry = Registry::start().await;
    let secure = Secure::start(&registry, "localhost").await;
    registry.hook(|r| {
        let realm = match r.path.as_str() {
            "/v2/far/manifests/1" => "http://tokens.example.com/t",
            _ => "http://localhost.example.com/t",
        };
        let challenge = format!("Bearer realm=\"{realm}\",service=\"s\"");
        Some(Reply::new(401).header("WWW-Authenticate", challenge))
    });
    let registries = registries(&secure.trusted());
    let check = async |host: &str, name: &str, credentials: Credentials, expected: &str| {
        let source = reference(&format!("{host}/{name}:1"));
        let error = resolve(&registries, &source, &credentials).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    for name in ["far", "near"] {
        let tls = "the registry speaks TLS, and this does not";
        check(&secure.host, name, Credentials::Anonymous, tls).await;
        check(&secure.host, name, basic("u", "p"), tls).await;
        let clear = "credentials would go over plain HTTP";
        check(&registry.host, name, basic("u", "p"), clear).await;
    }
}

#[tokio::test]
async fn a_token_server_on_this_machine_is_given_them() {
    let (registry, tokens) = (Registry::start().await, Registry::start().await);
    let secure = Secure::start(&registry, "localhost").await;
    simple(&registry);
    let realm = bearer(&tokens.host);
    registry.hook(move |r| {
        (r.header("authorization") != Some("Bearer good"))
            .then(|| Reply::new(401).header("WWW-Authenticate", realm.clone()))
    });
    tokens.hook(|_| Some(Reply::new(200).body(r#"{"token":"good"}"#)));
    let source = reference(&format!("{}/a/b:1", secure.host));

    let found = resolve(&registries(&secure.trusted()), &source, &basic("u", "p")).await;

    assert!(found.unwrap().is_some());
    assert_eq!(tokens.log()[0].header("authorization"), Some("Basic dTpw"));
}
