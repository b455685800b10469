//! What only a workload's record says that its image is a copy of.

use super::platforms::{Nobody, failure, platforms};
use super::server::Reply;
use super::*;
use image_cloner::config::{Config, Environment};
use image_cloner::credentials::Chain;
use image_cloner::execute::{Images, Observer, Options};
use image_cloner::outcome::{ImageOutcome, ImageState};
use image_cloner::plan;
use image_cloner::target::{Layout, TargetRegistry};
use image_cloner::workload::{Kind, WorkloadId};
use std::collections::BTreeSet;

/// Copies `a/b:1` of one registry as an earlier copy of what another has under that name.
async fn claim(
    origin: &Registry,
    from: &Registry,
    to: &Registry,
    leaving: Option<&str>,
) -> ImageOutcome {
    let leaving = leaving.map(|name| TargetRegistry::parse(name, Layout::Mirror).unwrap());
    let options = Options {
        leaving,
        ..Options::default()
    };
    claim_with(origin, from, to, "", options).await
}

/// The same with these options; what is written behind each name pins it.
async fn claim_with(
    origin: &Registry,
    from: &Registry,
    to: &Registry,
    pin: &str,
    options: Options,
) -> ImageOutcome {
    let name = |registry: &Registry| reference(&format!("{}/a/b:1{pin}", registry.host));
    let user = WorkloadId {
        kind: Kind::from_word("deploy").unwrap(),
        namespace: "n".to_owned(),
        name: "app".to_owned(),
    };
    let copy = plan::Copy {
        origin: name(origin),
        source: name(from),
        target: name(to),
        running: BTreeSet::new(),
        users: BTreeMap::from([(user, BTreeSet::new())]),
    };
    let images = Images::new(
        registries(&BTreeMap::new()),
        Chain::local(&Environment::default(), &Config::default()).unwrap(),
        BTreeMap::new(),
        Credentials::Anonymous,
        4,
        options,
    );
    let observer: Arc<dyn Observer> = Arc::new(Nobody);
    images.copy(&[copy], &observer).await.remove(0)
}

#[tokio::test]
async fn an_image_that_another_registry_never_had_is_not_copied_under_its_name() {
    let (origin, from) = (Registry::start().await, Registry::start().await);
    let to = Registry::start().await;
    let right = image(&origin, "a/b", &[b"right"]);
    origin.put_manifest("a/b", "1", MANIFEST, &right);
    let wrong = image(&from, "a/b", &[b"wrong"]);
    from.put_manifest("a/b", "1", MANIFEST, &wrong);

    let done = claim(&origin, &from, &to, None).await;

    let said = failure(&done);
    let (name, host) = (format!("{}/a/b:1", from.host), &origin.host);
    let only_said = format!("only its workload says that {name} is a copy of");
    assert!(said.contains(&only_said), "{said}");
    assert!(said.contains(&format!("{host} does not have it")), "{said}");
    assert!(to.manifest("a/b", "1").is_none());

    // nor where what others pull is there already
    let there = image(&to, "a/b", &[b"right"]);
    to.put_manifest("a/b", "1", MANIFEST, &there);
    let done = claim(&origin, &from, &to, None).await;
    let said = failure(&done);
    assert!(said.contains(&only_said), "{said}");
    assert_eq!(to.manifest("a/b", "1").unwrap().1, there);

    // and neither where that is not to be found out
    origin.hook(|_| Some(Reply::new(403)));
    let done = claim(&origin, &from, &to, None).await;
    let said = failure(&done);
    assert!(
        said.contains("only its workload says") && said.contains("403"),
        "{said}"
    );
}

#[tokio::test]
async fn an_earlier_copy_is_copied_on_where_its_first_registry_knows_it() {
    let (origin, from) = (Registry::start().await, Registry::start().await);
    let to = Registry::start().await;
    let one = image(&origin, "a/b", &[b"one"]);
    origin.put_manifest("a/b", &digest(&one), MANIFEST, &one);
    // its tag has moved on since
    let newer = image(&origin, "a/b", &[b"newer"]);
    origin.put_manifest("a/b", "1", MANIFEST, &newer);
    assert_eq!(image(&from, "a/b", &[b"one"]), one);
    from.put_manifest("a/b", "1", MANIFEST, &one);
    let done = claim(&origin, &from, &to, None).await;
    assert!(matches!(done.state, ImageState::Copied { .. }), "{done:?}");
    assert_eq!(to.manifest("a/b", "1").unwrap().1, one);

    // an index that was narrowed to some platforms is nowhere else, but what is in it
    let to = Registry::start().await;
    let narrowed = index(
        &from,
        "a/b",
        &[("linux/amd64", &one), ("linux/arm64", &one)],
    );
    from.put_manifest("a/b", "1", INDEX, &narrowed);
    let done = claim(&origin, &from, &to, None).await;
    assert!(matches!(done.state, ImageState::Copied { .. }), "{done:?}");
    let foreign = image(&from, "a/b", &[b"foreign"]);
    let mixed = index(
        &from,
        "a/b",
        &[("linux/amd64", &one), ("linux/arm64", &foreign)],
    );
    from.put_manifest("a/b", "1", INDEX, &mixed);
    let done = claim(&origin, &from, &to, None).await;
    let said = failure(&done);
    assert!(said.contains("only its workload says"), "{said}");
}

#[tokio::test]
async fn what_is_in_the_registry_that_is_left_is_taken_at_its_word() {
    let (origin, from) = (Registry::start().await, Registry::start().await);
    let to = Registry::start().await;
    simple(&from);
    origin.hook(|_| Some(Reply::new(403)));

    let done = claim(
        &origin,
        &from,
        &to,
        Some(&format!("{}/elsewhere", from.host)),
    )
    .await;
    assert!(
        failure(&done).contains("only its workload says"),
        "{done:?}"
    );
    let done = claim(&origin, &from, &to, Some(&from.host)).await;
    assert!(matches!(done.state, ImageState::Copied { .. }), "{done:?}");
}

#[tokio::test]
async fn a_tag_that_others_have_is_given_an_earlier_copy_only_where_upstream_has_that_now() {
    let (origin, from) = (Registry::start().await, Registry::start().await);
    let to = Registry::start().await;
    let one = image(&from, "a/b", &[b"one"]);
    from.put_manifest("a/b", "1", MANIFEST, &one);
    assert_eq!(image(&origin, "a/b", &[b"one"]), one);
    origin.put_manifest("a/b", &digest(&one), MANIFEST, &one);
    let newer = image(&origin, "a/b", &[b"newer"]);
    origin.put_manifest("a/b", "1", MANIFEST, &newer);
    assert_eq!(image(&to, "a/b", &[b"newer"]), newer);
    to.put_manifest("a/b", "1", MANIFEST, &newer);

    let done = claim(&origin, &from, &to, None).await;
    let said = failure(&done);
    let why = format!(
        "{} has {} under that name now, not {}, which {}/a/b:1 would become",
        origin.host,
        &digest(&newer)[7..15],
        &digest(&one)[7..15],
        to.host
    );
    assert!(
        said.contains("only its workload says") && said.contains(&why),
        "{said}"
    );
    assert!(format!("{done:?}").contains("--from"), "{done:?}");
    assert_eq!(to.manifest("a/b", "1").unwrap().1, newer);
    // a name with a digest moves no tag
    let pin = format!("@{}", digest(&one));
    let done = claim_with(&origin, &from, &to, &pin, Options::default()).await;
    assert!(matches!(done.state, ImageState::Copied { .. }), "{done:?}");
    assert_eq!(to.manifest("a/b", "1").unwrap().1, newer);

    // it is upstream's again
    origin.put_manifest("a/b", "1", MANIFEST, &one);
    let done = claim(&origin, &from, &to, None).await;
    assert!(!matches!(done.state, ImageState::Failed(_)), "{done:?}");
    assert_eq!(to.manifest("a/b", "1").unwrap().1, one);

    // the user says so
    to.put_manifest("a/b", "1", MANIFEST, &newer);
    origin.put_manifest("a/b", "1", MANIFEST, &newer);
    let done = claim(&origin, &from, &to, Some(&from.host)).await;
    assert!(!matches!(done.state, ImageState::Failed(_)), "{done:?}");
    assert_eq!(to.manifest("a/b", "1").unwrap().1, one);
}

#[tokio::test]
async fn a_narrowed_copy_takes_the_tag_of_others_only_as_upstream_is_narrowed_now() {
    let (origin, from) = (Registry::start().await, Registry::start().await);
    let to = Registry::start().await;
    let parts: Vec<Vec<u8>> = [b"amd", b"arm", b"s39"]
        .iter()
        .map(|part| {
            let there = image(&from, "a/b", &[&part[..]]);
            assert_eq!(image(&origin, "a/b", &[&part[..]]), there);
            there
        })
        .collect();
    let platforms_of = ["linux/amd64", "linux/arm64", "linux/s390x"];
    let of = |registry: &Registry, kept: &[usize]| {
        let entries: Vec<(&str, &[u8])> = kept
            .iter()
            .map(|at| (platforms_of[*at], parts[*at].as_slice()))
            .collect();
        index(registry, "a/b", &entries)
    };
    origin.put_manifest("a/b", "1", INDEX, &of(&origin, &[0, 1, 2]));
    let newer = image(&to, "a/b", &[b"another"]);
    to.put_manifest("a/b", "1", MANIFEST, &newer);
    let amd_and_arm = || Options {
        platforms: platforms("linux/amd64,linux/arm64"),
        ..Options::default()
    };

    // all of it is upstream's, and nothing that those who have the tag need
    from.put_manifest("a/b", "1", INDEX, &of(&from, &[1]));
    let done = claim_with(&origin, &from, &to, "", amd_and_arm()).await;
    assert!(
        failure(&done).contains("only its workload says"),
        "{done:?}"
    );
    assert_eq!(to.manifest("a/b", "1").unwrap().1, newer);

    let narrowed = of(&from, &[0, 1]);
    from.put_manifest("a/b", "1", INDEX, &narrowed);
    let done = claim_with(&origin, &from, &to, "", amd_and_arm()).await;
    assert!(matches!(done.state, ImageState::Copied { .. }), "{done:?}");
    assert_eq!(to.manifest("a/b", "1").unwrap().1, narrowed);
}
