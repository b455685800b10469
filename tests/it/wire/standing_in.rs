//! Copies in place of sources that cannot be read, and which digest is meant where pods disagree.

use super::platforms::{Nobody, failure};
use super::server::Reply;
use super::*;
use image_cloner::config::{Config, Environment};
use image_cloner::credentials::{Chain, Keyring};
use image_cloner::execute::{Images, Observer, Options};
use image_cloner::outcome::{Failure, ImageOutcome, ImageState};
use image_cloner::plan;
use image_cloner::workload::{Kind, WorkloadId};
use std::collections::BTreeSet;

fn user(name: &str) -> WorkloadId {
    WorkloadId {
        kind: Kind::from_word("deploy").unwrap(),
        namespace: name.to_owned(),
        name: "app".to_owned(),
    }
}

/// Images of one run; team `a` has credentials for this registry.
fn images(private: &Registry, config: &Config) -> Images {
    let chain = Chain::local(&Environment::default(), config).unwrap();
    let mut keyring = Keyring::default();
    let auths = format!(
        r#"{{"auths":{{"{}":{{"username":"u","password":"p"}}}}}}"#,
        private.host
    );
    keyring.add_docker_config_json(auths.as_bytes()).unwrap();
    Images::new(
        registries(&BTreeMap::new()),
        chain,
        BTreeMap::from([(user("a"), keyring)]),
        Credentials::Anonymous,
        4,
        Options::default(),
    )
}

fn wanted(from: &Registry, to: &Registry, users: &[(&str, &[&[u8]])]) -> plan::Copy {
    let runs = |manifests: &[&[u8]]| -> BTreeSet<Digest> {
        let digests = manifests.iter().map(|manifest| digest(manifest));
        digests.map(|digest| digest.parse().unwrap()).collect()
    };
    plan::Copy {
        origin: reference(&format!("{}/a/b:1", from.host)),
        source: reference(&format!("{}/a/b:1", from.host)),
        target: reference(&format!("{}/a/b:1", to.host)),
        running: users.iter().flat_map(|(_, all)| runs(all)).collect(),
        users: users
            .iter()
            .map(|(name, all)| (user(name), runs(all)))
            .collect(),
    }
}

/// Copies one image as a run does; gives whom it is denied as well.
async fn bring(
    from: &Registry,
    copy: &plan::Copy,
) -> (ImageOutcome, BTreeMap<WorkloadId, Failure>) {
    bring_with(&Config::default(), from, copy).await
}

async fn bring_with(
    config: &Config,
    from: &Registry,
    copy: &plan::Copy,
) -> (ImageOutcome, BTreeMap<WorkloadId, Failure>) {
    let copies = std::slice::from_ref(copy);
    let images = images(from, config);
    let mut found = images.outlook(copies).await;
    let denied = match found.remove(&copy.target).unwrap() {
        Ok(found) => found.denied,
        Err(_) => BTreeMap::new(),
    };
    let observer: Arc<dyn Observer> = Arc::new(Nobody);
    (images.copy(copies, &observer).await.remove(0), denied)
}

/// Strangers are told that there is nothing, and where the credentials go.
fn hides(registry: &Registry) {
    registry.hook(|asked| match asked.header("authorization") {
        Some("Basic dTpw") => None,
        _ if asked.path == "/v2/" => {
            Some(Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\""))
        }
        _ => Some(Reply::error(404, "NAME_UNKNOWN", "no such repository")),
    });
}

#[tokio::test]
async fn what_strangers_are_told_is_not_there_is_not_given_to_them_from_the_target() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let manifest = simple(&from);
    hides(&from);
    let (done, _) = bring(&from, &wanted(&from, &to, &[("a", &[])])).await;
    assert!(matches!(done.state, ImageState::Copied { .. }), "{done:?}");

    // others alone, and beside those who may
    let (done, _) = bring(&from, &wanted(&from, &to, &[("b", &[])])).await;
    let said = failure(&done);
    assert!(said.contains("404"), "{said}");
    let (done, denied) = bring(&from, &wanted(&from, &to, &[("a", &[]), ("b", &[])])).await;
    assert_eq!(done.state, ImageState::Present);
    assert_eq!(denied.keys().collect::<Vec<_>>(), [&user("b")]);

    // it really goes: who was let in is told the truth, who runs it was let in once
    for point in ["1", &digest(&manifest)] {
        from.drop_manifest("a/b", point);
    }
    let own: &[&[u8]] = &[&manifest];
    let copy = wanted(&from, &to, &[("a", &[]), ("b", &[]), ("c", own)]);
    let (done, denied) = bring(&from, &copy).await;
    assert_eq!(done.state, ImageState::Present);
    assert_eq!(denied.keys().collect::<Vec<_>>(), [&user("b")]);
}

#[tokio::test]
async fn a_public_image_that_is_gone_is_still_there_for_those_who_run_it() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let manifest = simple(&from);
    let own: &[&[u8]] = &[&manifest];
    bring(&from, &wanted(&from, &to, &[("b", own)])).await;
    for point in ["1", &digest(&manifest)] {
        from.drop_manifest("a/b", point);
    }

    let (done, denied) = bring(&from, &wanted(&from, &to, &[("b", own), ("c", &[])])).await;

    assert_eq!(done.state, ImageState::Present);
    assert!(done.notes[0].contains("its copy in the target is used"));
    assert_eq!(denied.keys().collect::<Vec<_>>(), [&user("c")]);
}

#[tokio::test]
async fn that_a_copy_stands_in_for_a_source_that_nobody_read_is_told() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let manifest = simple(&from);
    let own: &[&[u8]] = &[&manifest];
    let copy = wanted(&from, &to, &[("b", own)]);
    let observer: Arc<dyn Observer> = Arc::new(Nobody);
    let bring = || async {
        let images = images(&from, &Config::default());
        images.bring(&copy, &observer).await
    };
    let copied = bring().await;
    assert!(matches!(copied.outcome.state, ImageState::Copied { .. }));
    assert!(copied.was_read);
    let present = bring().await;
    assert_eq!(present.outcome.state, ImageState::Present);
    assert!(present.was_read);

    for point in ["1", &digest(&manifest)] {
        from.drop_manifest("a/b", point);
    }
    let stands_in = bring().await;
    assert_eq!(stands_in.outcome.state, ImageState::Present);
    assert!(stands_in.denied.is_empty());
    assert!(!stands_in.was_read);
}

#[tokio::test]
async fn pods_that_disagree_are_told_of_where_the_tag_is_none_of_theirs() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let old = image(&from, "a/b", &[b"old"]);
    let older = image(&from, "a/b", &[b"older"]);
    let amd = image(&from, "a/b", &[b"amd"]);
    let whole = index(&from, "a/b", &[("linux/amd64", &amd)]);
    from.put_manifest("a/b", "1", INDEX, &whole);

    let users: [(&str, &[&[u8]]); 2] = [("b", &[&old]), ("c", &[&older])];
    let (done, _) = bring(&from, &wanted(&from, &to, &users)).await;
    let said = done.notes.join("\n");
    assert!(said.contains("pods run several digests"), "{done:?}");

    // the index and one of its manifests are one image
    let users: [(&str, &[&[u8]]); 2] = [("b", &[&amd]), ("c", &[&whole])];
    let (done, _) = bring(&from, &wanted(&from, &to, &users)).await;
    assert_eq!(done.notes, Vec::<String>::new());
}

#[tokio::test]
async fn credentials_of_this_machine_that_cannot_be_had_take_nothing_from_pull_secrets() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    simple(&from);
    hides(&from);
    let host = HostConfig {
        username: Some("me".to_owned()),
        password_command: Some("exit 3".to_owned()),
        ..HostConfig::default()
    };
    let config = Config {
        registries: BTreeMap::from([(from.host.clone(), host)]),
        ..Config::default()
    };

    let copy = wanted(&from, &to, &[("a", &[]), ("b", &[])]);
    let (done, denied) = bring_with(&config, &from, &copy).await;

    assert!(matches!(done.state, ImageState::Copied { .. }), "{done:?}");
    // whoever has none of their own is told, and gets no copy that others brought
    assert_eq!(denied.keys().collect::<Vec<_>>(), [&user("b")]);
    let why = &denied[&user("b")].message;
    assert!(why.starts_with("reading credentials for "), "{why}");
    let (done, _) = bring_with(&config, &from, &wanted(&from, &to, &[("b", &[])])).await;
    let said = failure(&done);
    assert!(said.contains("reading credentials for "), "{said}");

    // where theirs are refused, what might have helped is said
    from.hook(|_| Some(Reply::new(403)));
    let (done, _) = bring_with(&config, &from, &wanted(&from, &to, &[("a", &[])])).await;
    let ImageState::Failed(failed) = &done.state else {
        panic!("{done:?}");
    };
    let hints = failed.hints.join("\n");
    assert!(hints.contains("reading credentials for "), "{failed:?}");
}
