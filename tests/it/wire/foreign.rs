//! Foreign layers: left with their owner, or fetched from there as a stranger.

use super::server::{Reply, Request as Asked};
use super::*;
use image_cloner::registry::ForeignLayers;

const FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";

fn layer() -> Vec<u8> {
    bytes(6, 700_000)
}

/// `a/b:1` with a config and a foreign layer that is to be had at these addresses.
fn windows(registry: &Registry, addresses: &[String]) -> Vec<u8> {
    let config = registry.put_blob("a/b", &bytes(1, 300));
    let addresses: Vec<String> = addresses.iter().map(|a| format!("\"{a}\"")).collect();
    let urls = match addresses.as_slice() {
        [] => String::new(),
        addresses => format!(r#","urls":[{}]"#, addresses.join(",")),
    };
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"application/x","digest":"{config}","size":300}},"layers":[{{"mediaType":"{FOREIGN}","digest":"{}","size":{}{urls}}}]}}"#,
        digest(&layer()),
        layer().len()
    )
    .into_bytes();
    registry.put_manifest("a/b", "1", MANIFEST, &manifest);
    manifest
}

fn copying() -> Engine {
    let mut engine = copier();
    engine.copier = Copier::new(4).with(Extras {
        foreign_layers: ForeignLayers::Copy,
        ..Extras::default()
    });
    engine
}

/// Somebody who gives out what a manifest calls foreign.
async fn owner(answer: impl FnMut(&Asked) -> Option<Reply> + Send + 'static) -> Registry {
    let owner = Registry::start().await;
    owner.hook(answer);
    owner
}

fn at(owner: &Registry, path: &str) -> String {
    format!("http://{}/{path}", owner.host)
}

#[tokio::test]
async fn foreign_layers_are_left_and_counted() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let manifest = windows(&from, &["http://127.0.0.1:1/never".to_owned()]);
    let copier = copier();
    let mut request = request(&from, &to, "a/b:1");

    let copied = copy(&copier, &request).await.unwrap();

    assert_eq!((copied.foreign_left, copied.bytes), (1, 300));
    assert_eq!(to.manifest("a/b", "1").unwrap().1, manifest);
    assert_eq!(to.blob("a/b", &digest(&layer())), None);
    // and where the copy is there and is looked at
    request.verify = true;
    let again = copy(&Engine::over(registries(&BTreeMap::new())), &request).await;
    assert_eq!(again.unwrap().foreign_left, 1);
}

#[tokio::test]
async fn foreign_layers_come_from_their_owner_without_credentials() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let owner = owner(|r| match r.path.as_str() {
        "/moved" => Some(Reply::new(302).header("Location", "/layer?sig=2")),
        "/layer" => Some(Reply::new(200).body(layer())),
        _ => None,
    })
    .await;
    let manifest = windows(&from, &[at(&owner, "moved?sig=1")]);
    from.hook(|r| {
        (r.header("authorization") != Some("Basic dTpw"))
            .then(|| Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\""))
    });
    let mut request = request(&from, &to, "a/b:1");
    request.source_credentials = vec![basic("u", "p")];
    let told = Told::default();

    let copied = copying().copy(&request, &told).await.unwrap();

    assert_eq!((copied.foreign_left, copied.bytes), (0, 700_300));
    assert_eq!(told.carried.into_inner(), 700_300);
    assert_eq!(to.blob("a/b", &digest(&layer())), Some(layer()));
    assert_eq!(to.manifest("a/b", "1").unwrap().1, manifest);
    let log = owner.log();
    assert_eq!(
        log.iter().map(|r| &r.query[..]).collect::<Vec<_>>(),
        ["sig=1", "sig=2"]
    );
    assert!(log.iter().all(|r| r.header("authorization").is_none()));
}

#[tokio::test]
async fn where_the_owner_does_not_give_it_the_source_registry_is_asked() {
    let refusing = owner(|r| match r.path.as_str() {
        "/gone" => Some(Reply::new(404)),
        "/wrong" => Some(Reply::new(200).body(bytes(7, 700_000))),
        "/short" => Some(Reply::new(200).body(bytes(6, 100))),
        "/metadata" => Some(Reply::new(302).header("Location", "http://169.254.169.254/x")),
        "/me" => Some(Reply::new(302).header("Location", "http://u:p@127.0.0.1/x")),
        _ => None,
    })
    .await;
    let cases = [
        vec![],
        vec!["gone"],
        vec!["wrong", "short"],
        vec!["metadata"],
        vec!["me"],
    ];
    for paths in cases {
        let (from, to) = (Registry::start().await, Registry::start().await);
        let mut addresses: Vec<String> = paths.iter().map(|path| at(&refusing, path)).collect();
        if !addresses.is_empty() {
            addresses.push("http://169.254.169.254/latest/meta-data".to_owned());
            addresses.push("file:///etc/passwd".to_owned());
            addresses.push("not a url".to_owned());
        }
        windows(&from, &addresses);
        from.put_blob("a/b", &layer());

        let copied = copy(&copying(), &request(&from, &to, "a/b:1")).await;

        assert_eq!(copied.unwrap().bytes, 700_300, "{paths:?}");
        assert_eq!(
            to.blob("a/b", &digest(&layer())),
            Some(layer()),
            "{paths:?}"
        );
    }
}

#[tokio::test]
async fn a_layer_that_nobody_gives_is_an_error_that_says_who_was_asked_and_no_signature() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let owner = owner(|_| Some(Reply::new(403))).await;
    windows(&from, &[at(&owner, "layer?sig=secret")]);

    let error = copy(&copying(), &request(&from, &to, "a/b:1"))
        .await
        .unwrap_err()
        .to_string();

    assert!(error.contains(&format!("{}/layer", owner.host)), "{error}");
    assert!(!error.contains("secret"), "{error}");
    assert_eq!(to.manifest("a/b", "1"), None);
}

#[tokio::test]
async fn of_very_many_addresses_the_first_few_are_tried() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let owner = owner(|_| Some(Reply::new(404))).await;
    let addresses: Vec<String> = (0..100).map(|n| at(&owner, &n.to_string())).collect();
    windows(&from, &addresses);
    from.put_blob("a/b", &layer());

    let copied = copy(&copying(), &request(&from, &to, "a/b:1")).await;

    assert_eq!(copied.unwrap().bytes, 700_300);
    let mut asked: Vec<String> = owner.log().into_iter().map(|asked| asked.path).collect();
    asked.dedup();
    assert_eq!(asked, (0..8).map(|n| format!("/{n}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_owner_who_asks_for_a_login_is_not_followed_to_a_token_server() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let tokens = owner(|_| Some(Reply::new(200).body(r#"{"token":"x"}"#))).await;
    let realm = format!(
        "Bearer realm=\"http://{}/token\",service=\"s\"",
        tokens.host
    );
    let owner = owner(move |_| Some(Reply::new(401).header("WWW-Authenticate", &realm))).await;
    windows(&from, &[at(&owner, "layer")]);
    from.put_blob("a/b", &layer());

    copy(&copying(), &request(&from, &to, "a/b:1"))
        .await
        .unwrap();

    assert!(!owner.log().is_empty());
    assert!(tokens.log().is_empty());
}

#[tokio::test]
async fn sizes_count_foreign_layers_where_they_are_copied() {
    let from = Registry::start().await;
    let manifest = windows(&from, &[]);
    let registries = registries(&BTreeMap::new());
    let source = reference(&format!("{}/a/b:1", from.host));
    let found = registries
        .source(&source, &[Credentials::Anonymous])
        .await
        .unwrap();
    let without = registries.size(&found, Extras::default()).await.unwrap();
    assert_eq!(without, (300 + manifest.len()) as u64);
    let copying = Extras {
        foreign_layers: ForeignLayers::Copy,
        ..Extras::default()
    };
    let with = registries.size(&found, copying).await.unwrap();
    assert_eq!(with, without + 700_000);
}
