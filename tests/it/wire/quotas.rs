//! What a registry says of how much may be read there, and how little of it is used up.

use super::server::Reply;
use super::*;
use image_cloner::config::{Config, Environment};
use image_cloner::credentials::Chain;
use image_cloner::execute::{Event, Images, Observer, Options};
use image_cloner::outcome::{ImageState, Reads, Survey};
use image_cloner::plan::Copy;
use image_cloner::report;
use std::collections::BTreeSet;

/// Watches nothing.
struct Nobody;

impl Observer for Nobody {
    fn notice(&self, _event: &Event<'_>) {}
}

fn images() -> Images {
    let chain = Chain::local(&Environment::from_process(), &Config::default()).unwrap();
    Images::new(
        registries(&BTreeMap::new()),
        chain,
        BTreeMap::new(),
        Credentials::Anonymous,
        4,
        Options::default(),
    )
}

/// `a/b:1` from the one to the other.
fn copies(from: &Registry, to: &Registry) -> Vec<Copy> {
    vec![Copy {
        origin: reference(&format!("{}/a/b:1", from.host)),
        source: reference(&format!("{}/a/b:1", from.host)),
        target: reference(&format!("{}/a/b:1", to.host)),
        running: BTreeSet::new(),
        users: BTreeMap::new(),
    }]
}

/// Puts an index over two manifests there as `a/b:1` and lets so many manifests be read, as Docker Hub does:
/// HEADs are not counted, and tell of the rest.
fn limited(registry: &Registry, left: u64) {
    let amd = image(registry, "a/b", &[&bytes(1, 300)]);
    let arm = image(registry, "a/b", &[&bytes(4, 300)]);
    let platforms: [(&str, &[u8]); 2] = [("linux/amd64", &amd), ("linux/arm64", &arm)];
    let whole = index(registry, "a/b", &platforms);
    let manifests = BTreeMap::from([
        ("1".to_owned(), (INDEX, whole.clone())),
        (digest(&whole), (INDEX, whole)),
        (digest(&amd), (MANIFEST, amd)),
        (digest(&arm), (MANIFEST, arm)),
    ]);
    let mut left = left;
    registry.hook(move |r| {
        let (kind, bytes) = manifests.get(r.path.strip_prefix("/v2/a/b/manifests/")?)?;
        let refused = r.method == "GET" && left == 0;
        if r.method == "GET" {
            left = left.saturating_sub(1);
        }
        let reply = if refused {
            Reply::error(429, "TOOMANYREQUESTS", "you have reached your limit")
        } else {
            Reply::new(200)
                .header("Content-Type", *kind)
                .header("Docker-Content-Digest", digest(bytes))
                .body(bytes.clone())
        };
        Some(
            reply
                .header("ratelimit-limit", "100;w=21600")
                .header("ratelimit-remaining", format!("{left};w=21600")),
        )
    });
}

fn reads(survey: &Survey) -> &Reads {
    let found = survey.values().next().unwrap().as_ref().unwrap();
    found.reads.as_ref().unwrap()
}

/// How many manifests were read since the last call.
fn manifests_read(registry: &Registry) -> usize {
    let log = registry.log();
    log.iter().filter(|r| r.is("GET", "/manifests/")).count()
}

#[tokio::test]
async fn what_is_read_for_the_plan_is_not_read_again_for_the_copy() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    limited(&from, 50);
    let (images, copies) = (images(), copies(&from, &to));

    let survey = images.survey(&copies).await;

    let told = reads(&survey);
    assert_eq!(
        (told.limit, told.left, told.user.as_deref()),
        (100, 47, None)
    );
    assert_eq!((told.made, told.needed, told.exact), (3, 0, true));
    assert!(
        survey
            .values()
            .all(|found| found.as_ref().unwrap().size.is_some())
    );
    assert_eq!(report::shortages(&survey), [""; 0]);
    assert_eq!(manifests_read(&from), 3);
    let observer: Arc<dyn Observer> = Arc::new(Nobody);
    let outcome = images.copy(&copies, &observer).await;
    assert!(
        matches!(outcome[0].state, ImageState::Copied { .. }),
        "{outcome:?}"
    );
    assert_eq!(manifests_read(&from), 0);
}

#[tokio::test]
async fn a_plan_spends_no_more_than_half_of_what_is_left() {
    for (left, read, needed, exact, short) in [
        (1, 0, 2, false, 1),
        (3, 1, 2, true, 0),
        (2, 1, 2, true, 1),
        (0, 0, 2, false, 1),
        (6, 3, 0, true, 0),
    ] {
        let (from, to) = (Registry::start().await, Registry::start().await);
        limited(&from, left);

        let survey = images().survey(&copies(&from, &to)).await;

        let told = reads(&survey);
        assert_eq!((told.needed, told.exact), (needed, exact), "{left} left");
        assert_eq!(told.left, left - read, "{left} left");
        assert_eq!(report::shortages(&survey).len(), short, "{left} left");
        assert_eq!(manifests_read(&from) as u64, read, "{left} left");
    }
}

#[tokio::test]
async fn a_look_ahead_reads_no_manifest_and_knows_a_run_that_would_stall() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    limited(&from, 1);

    let survey = images().outlook(&copies(&from, &to)).await;

    let shortages = report::shortages(&survey);
    let expected = format!(
        "{}: 1 of 100 manifest reads left, this run needs at least 2",
        from.host
    );
    assert!(shortages[0].starts_with(&expected), "{shortages:?}");
    assert_eq!(manifests_read(&from), 0);
}

#[tokio::test]
async fn what_the_look_ahead_could_not_find_is_not_looked_for_again() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let (images, copies) = (images(), copies(&from, &to));
    images.outlook(&copies).await;
    assert!(!from.log().is_empty());

    let observer: Arc<dyn Observer> = Arc::new(Nobody);
    let outcome = images.copy(&copies, &observer).await;

    assert!(
        matches!(outcome[0].state, ImageState::Failed(_)),
        "{outcome:?}"
    );
    assert!(from.log().is_empty());
}

#[tokio::test]
async fn a_spent_quota_is_told_at_once_with_what_helps() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    limited(&from, 0);

    let error = copy(&copier(), &request(&from, &to, "a/b:1"))
        .await
        .unwrap_err();

    let expected = format!("{} allows 100 manifest reads in 6 h, 0 are left", from.host);
    assert!(error.to_string().contains(&expected), "{error}");
    assert!(error.hint().unwrap().contains("log in"), "{error:?}");
    assert_eq!(manifests_read(&from), 1);
}
