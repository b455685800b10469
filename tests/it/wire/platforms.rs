//! Indexes narrowed to some platforms, and what of an image's form must not matter to a copy.

use super::*;
use image_cloner::config::{Config, Environment};
use image_cloner::credentials::Chain;
use image_cloner::execute::{Event, Images, Observer, Options};
use image_cloner::outcome::{ImageOutcome, ImageState};
use image_cloner::plan;
use image_cloner::platform::{PlatformChoice, Platforms};
use std::collections::BTreeSet;

pub(super) fn platforms(text: &str) -> Platforms {
    match text.parse().unwrap() {
        PlatformChoice::Named(platforms) => platforms,
        PlatformChoice::Cluster => panic!("no cluster here"),
    }
}

/// `a/b:1` for three platforms, one with an attestation.
struct Three {
    amd: Vec<u8>,
    arm: Vec<u8>,
    z: Vec<u8>,
    about_arm: Vec<u8>,
    index: Vec<u8>,
}

impl Three {
    fn put(registry: &Registry) -> Self {
        let amd = image(registry, "a/b", &[&bytes(1, 300), &bytes(2, 20_000)]);
        let arm = image(registry, "a/b", &[&bytes(3, 300), &bytes(4, 20_000)]);
        let z = image(registry, "a/b", &[&bytes(5, 300), &bytes(6, 20_000)]);
        let about_arm = image(registry, "a/b", &[&bytes(7, 100)]);
        let manifests: [(&str, &[u8]); 4] = [
            ("linux/amd64", &amd),
            ("linux/arm64", &arm),
            ("linux/s390x", &z),
            ("unknown/unknown", &about_arm),
        ];
        let whole = String::from_utf8(index(registry, "a/b", &manifests)).unwrap();
        let about = format!(
            r#""annotations":{{"vnd.docker.reference.digest":"{}"}},"platform":{{"os":"unknown""#,
            digest(&arm)
        );
        let index = whole
            .replace(r#""platform":{"os":"unknown""#, &about)
            .into_bytes();
        registry.put_manifest("a/b", "1", INDEX, &index);
        Self {
            amd,
            arm,
            z,
            about_arm,
            index,
        }
    }

    /// The bytes of the index with only the entries of these manifests.
    fn only(&self, kept: &[&[u8]]) -> Vec<u8> {
        let text = String::from_utf8(self.index.clone()).unwrap();
        let (head, rest) = text.split_once('[').unwrap();
        let entries = rest
            .strip_suffix("]}")
            .unwrap()
            .replace("},{\"mediaType", "}|{\"mediaType");
        let digests: Vec<String> = kept.iter().map(|manifest| digest(manifest)).collect();
        let is_kept = |entry: &&str| {
            let own = entry.split("\"digest\":\"").nth(1).unwrap();
            digests
                .iter()
                .any(|digest| own.starts_with(digest.as_str()))
        };
        let entries: Vec<&str> = entries.split('|').filter(is_kept).collect();
        format!("{head}[{}]}}", entries.join(",")).into_bytes()
    }
}

/// Images of one run for these platforms, with nothing of this machine's configuration.
fn images(text: &str) -> Images {
    let chain = Chain::local(&Environment::default(), &Config::default()).unwrap();
    Images::new(
        registries(&BTreeMap::new()),
        chain,
        BTreeMap::new(),
        Credentials::Anonymous,
        4,
        Options {
            platforms: platforms(text),
            ..Options::default()
        },
    )
}

pub(super) struct Nobody;

impl Observer for Nobody {
    fn notice(&self, _: &Event<'_>) {}
}

fn wanted(from: &Registry, to: &Registry, name: &str) -> plan::Copy {
    plan::Copy {
        origin: reference(&format!("{}/{name}", from.host)),
        source: reference(&format!("{}/{name}", from.host)),
        target: reference(&format!("{}/{name}", to.host)),
        running: BTreeSet::new(),
        users: BTreeMap::new(),
    }
}

/// Copies one image as a run does, with an engine of its own.
async fn bring(copy: &plan::Copy, text: &str) -> ImageOutcome {
    let observer: Arc<dyn Observer> = Arc::new(Nobody);
    let copies = std::slice::from_ref(copy);
    images(text).copy(copies, &observer).await.remove(0)
}

#[track_caller]
pub(super) fn failure(outcome: &ImageOutcome) -> String {
    match &outcome.state {
        ImageState::Failed(failure) => failure.message.clone(),
        state => panic!("{state:?}"),
    }
}

#[tokio::test]
async fn only_the_wanted_platforms_are_read_and_pushed_and_a_second_run_does_nothing() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let three = Three::put(&from);
    let copy = wanted(&from, &to, "a/b:1");

    let outcome = bring(&copy, "linux/arm64").await;

    let expected = three.only(&[&three.arm, &three.about_arm]);
    assert!(
        matches!(outcome.state, ImageState::Copied { .. }),
        "{outcome:?}"
    );
    assert_eq!(outcome.digest.unwrap().as_str(), digest(&expected));
    assert_eq!(to.manifest("a/b", "1"), Some((INDEX.to_owned(), expected)));
    assert!(to.manifest("a/b", &digest(&three.arm)).is_some());
    assert!(to.manifest("a/b", &digest(&three.about_arm)).is_some());
    let log = from.log();
    for dropped in [&three.amd, &three.z] {
        assert_eq!(to.manifest("a/b", &digest(dropped)), None);
        assert!(!log.iter().any(|r| r.is("GET", &digest(dropped))));
    }
    assert!(!log.iter().any(|r| r.is("GET", &digest(&bytes(2, 20_000)))));
    // sources count what is read
    let reads = log.iter().filter(|r| r.is("GET", &digest(&three.index)));
    assert_eq!(reads.count(), 1);
    to.log();

    let again = bring(&copy, "linux/arm64").await;

    assert_eq!(again.state, ImageState::Present);
    assert!(to.log().iter().all(|r| r.method == "HEAD"));
    let expected = [
        "HEAD /v2/a/b/manifests/1".to_owned(),
        format!("GET /v2/a/b/manifests/{}", digest(&three.index)),
    ];
    assert_eq!(from.lines(), expected);
}

#[tokio::test]
async fn a_survey_reads_an_index_once_and_counts_what_is_wanted() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let three = Three::put(&from);
    let copy = wanted(&from, &to, "a/b:1");

    let survey = images("linux/amd64")
        .survey(std::slice::from_ref(&copy))
        .await;

    let found = survey[&copy.target].as_ref().unwrap();
    let narrowed = three.only(&[&three.amd]);
    assert_eq!(found.digest.as_str(), digest(&narrowed));
    let size = 300 + 20_000 + three.amd.len() + narrowed.len();
    assert_eq!(found.size, Some(size as u64));
    let log = from.log();
    let reads = log.iter().filter(|r| r.is("GET", &digest(&three.index)));
    assert_eq!(reads.count(), 1);
}

#[tokio::test]
async fn a_target_keeps_the_platforms_of_the_same_index_that_others_copied() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let three = Three::put(&from);
    let copy = wanted(&from, &to, "a/b:1");

    bring(&copy, "linux/amd64").await;
    bring(&copy, "linux/s390x").await;

    let both = three.only(&[&three.amd, &three.z]);
    assert_eq!(to.manifest("a/b", "1"), Some((INDEX.to_owned(), both)));
    // for either of them there is nothing left to do
    for text in ["linux/amd64", "linux/s390x"] {
        assert_eq!(
            bring(&copy, text).await.state,
            ImageState::Present,
            "{text}"
        );
    }
    // all of them are the index itself
    bring(&copy, "linux/arm64").await;
    assert_eq!(to.manifest("a/b", "1").unwrap().1, three.index);
    from.log();
    let whole = bring(&copy, "linux/amd64").await;
    assert_eq!(whole.state, ImageState::Present);
    assert_eq!(from.lines(), ["HEAD /v2/a/b/manifests/1"]);
}

#[tokio::test]
async fn another_index_in_the_target_widens_nothing() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let three = Three::put(&from);
    let old = image(&to, "a/b", &[b"old"]);
    let old = index(&to, "a/b", &[("linux/s390x", &old)]);
    to.put_manifest("a/b", "1", INDEX, &old);

    bring(&wanted(&from, &to, "a/b:1"), "linux/amd64").await;

    assert_eq!(
        to.manifest("a/b", "1").unwrap().1,
        three.only(&[&three.amd])
    );
}

#[tokio::test]
async fn an_index_for_other_platforms_is_an_error_that_names_its_own() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    Three::put(&from);

    let outcome = bring(&wanted(&from, &to, "a/b:1"), "linux/ppc64le").await;

    let message = failure(&outcome);
    let why = "it is not for linux/ppc64le, but for linux/amd64, linux/arm64, linux/s390x";
    assert!(message.ends_with(why), "{message}");
    assert!(to.log().iter().all(|r| r.method == "HEAD"));
}

#[tokio::test]
async fn an_image_that_is_no_index_is_copied_as_it_is_and_read_once() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let manifest = simple(&from);

    let outcome = bring(&wanted(&from, &to, "a/b:1"), "linux/s390x").await;

    assert_eq!(outcome.digest.unwrap().as_str(), digest(&manifest));
    assert_eq!(to.manifest("a/b", "1").unwrap().1, manifest);
    let reads = from
        .log()
        .into_iter()
        .filter(|r| r.is("GET", "/manifests/"));
    assert_eq!(reads.count(), 1);
}

#[tokio::test]
async fn a_pinned_index_is_copied_whole_and_said() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let three = Three::put(&from);
    let pin = digest(&three.index);

    for name in [format!("a/b@{pin}"), format!("a/b:1@{pin}")] {
        let outcome = bring(&wanted(&from, &to, &name), "linux/amd64").await;
        assert_eq!(outcome.digest.unwrap().as_str(), pin);
        assert_eq!(to.manifest("a/b", &pin).unwrap().1, three.index);
        let [note] = outcome.notes.as_slice() else {
            panic!("{:?}", outcome.notes);
        };
        assert!(
            note.contains("is pinned to its digest: all of its platforms"),
            "{note}"
        );
    }
}

#[tokio::test]
async fn pods_that_run_the_whole_index_or_a_child_of_it_have_not_moved() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let three = Three::put(&from);
    let narrowed = three.only(&[&three.amd]);
    for running in [&three.index, &three.amd, &three.z] {
        let mut copy = wanted(&from, &to, "a/b:1");
        copy.running = BTreeSet::from([digest(running).parse().unwrap()]);

        let survey = images("linux/amd64")
            .survey(std::slice::from_ref(&copy))
            .await;
        let found = survey[&copy.target].as_ref().unwrap();
        assert_eq!((&found.moved, found.notes.len()), (&None, 0));
        assert_eq!(found.digest.as_str(), digest(&narrowed));
    }
}

#[tokio::test]
async fn pods_that_are_said_to_run_the_narrowed_copy_run_the_tag_or_what_it_was() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let three = Three::put(&from);
    let mut copy = wanted(&from, &to, "a/b:1");
    let narrowed = bring(&copy, "linux/amd64").await.digest.unwrap();
    copy.running = BTreeSet::from([narrowed.clone()]);

    // runtimes know an image by several names, and give any of their digests
    let same = bring(&copy, "linux/amd64").await;
    assert_eq!((same.state, same.notes), (ImageState::Present, vec![]));
    let newer = image(&from, "a/b", &[b"newer"]);
    let newer = index(&from, "a/b", &[("linux/amd64", &newer)]);
    from.put_manifest("a/b", "1", INDEX, &newer);
    let moved = bring(&copy, "linux/amd64").await;
    assert_eq!(moved.state, ImageState::Present);
    assert!(
        moved.notes[0].contains("upstream; what runs is in the target"),
        "{:?}",
        moved.notes
    );
    assert_eq!(
        to.manifest("a/b", "1").unwrap().1,
        three.only(&[&three.amd])
    );
    // what nobody has is gone
    copy.running = BTreeSet::from([digest(b"gone").parse().unwrap()]);
    let gone = bring(&copy, "linux/amd64").await;
    assert!(
        gone.notes[0].contains("is gone from its registry"),
        "{:?}",
        gone.notes
    );
}

#[tokio::test]
async fn what_runs_of_a_tag_that_moved_is_narrowed_too() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let three = Three::put(&from);
    let newer = image(&from, "a/b", &[b"newer"]);
    let newer = index(&from, "a/b", &[("linux/amd64", &newer)]);
    from.put_manifest("a/b", "1", INDEX, &newer);
    let mut copy = wanted(&from, &to, "a/b:1");
    copy.running = BTreeSet::from([digest(&three.index).parse().unwrap()]);

    let outcome = bring(&copy, "linux/amd64").await;

    assert_eq!(
        to.manifest("a/b", "1").unwrap().1,
        three.only(&[&three.amd])
    );
    assert!(
        outcome.notes[0].contains("what runs is copied"),
        "{:?}",
        outcome.notes
    );
}

#[tokio::test]
async fn a_narrowed_copy_stands_in_for_pods_that_run_a_manifest_of_it_and_for_no_others() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let three = Three::put(&from);
    let mut copy = wanted(&from, &to, "a/b:1");
    bring(&copy, "linux/amd64").await;
    for point in ["1", &digest(&three.index), &digest(&three.amd)] {
        from.drop_manifest("a/b", point);
    }
    from.drop_manifest("a/b", &digest(&three.z));

    copy.running = BTreeSet::from([digest(&three.amd).parse().unwrap()]);
    let outcome = bring(&copy, "linux/amd64").await;
    assert_eq!(outcome.state, ImageState::Present);
    assert!(outcome.notes[0].contains("its copy in the target is used"));

    copy.running = BTreeSet::from([digest(&three.z).parse().unwrap()]);
    let message = failure(&bring(&copy, "linux/amd64").await);
    assert!(message.contains("not in its registry"), "{message}");
}

#[tokio::test]
async fn a_narrowed_copy_that_lost_a_child_is_repaired_when_verified() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let three = Three::put(&from);
    let mut copy = wanted(&from, &to, "a/b:1");
    bring(&copy, "linux/amd64,linux/arm64").await;
    to.drop_manifest("a/b", &digest(&three.arm));
    to.drop_blob("a/b", &digest(&bytes(4, 20_000)));
    // whoever is pointed to the copy needs all of it
    let user = image_cloner::workload::WorkloadId {
        kind: image_cloner::workload::Kind::from_word("deploy").unwrap(),
        namespace: "shop".to_owned(),
        name: "web".to_owned(),
    };
    copy.users.insert(user, BTreeSet::new());

    let outcome = bring(&copy, "linux/amd64,linux/arm64").await;

    assert_eq!(outcome.state, ImageState::Present);
    assert_eq!(
        to.manifest("a/b", &digest(&three.arm)).unwrap().1,
        three.arm
    );
    assert!(to.blob("a/b", &digest(&bytes(4, 20_000))).is_some());
    assert_eq!(to.manifest("a/b", &digest(&three.z)), None);
}

#[tokio::test]
async fn a_child_that_the_target_lost_is_brought_again_though_its_index_is_there() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let three = Three::put(&from);
    let mut request = request(&from, &to, "a/b:1");
    copy(&copier(), &request).await.unwrap();
    to.drop_manifest("a/b", &digest(&three.arm));
    request.verify = true;

    let copied = copy(&copier(), &request).await.unwrap();

    assert!(copied.present);
    assert_eq!(
        to.manifest("a/b", &digest(&three.arm)).unwrap().1,
        three.arm
    );
}

#[tokio::test]
async fn layers_of_any_type_artifacts_and_indexes_in_indexes_are_copied_as_they_are() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let put = |kind: &str, bytes: &[u8]| {
        let digest = from.put_blob("a/b", bytes);
        let size = bytes.len();
        format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":{size}}}"#)
    };
    // as zstd frames and as what nobody knows: never unpacked, never packed
    let zstd = [&[0x28, 0xb5, 0x2f, 0xfd][..], &bytes(8, 400)].concat();
    let picture = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{},"layers":[{},{}]}}"#,
        put("application/vnd.oci.image.config.v1+json", &bytes(1, 30)),
        put("application/vnd.oci.image.layer.v1.tar+zstd", &zstd),
        put("application/vnd.corp.weights+cbor", &bytes(9, 70)),
    );
    let artifact = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","artifactType":"application/vnd.corp.chart","config":{},"layers":[{}]}}"#,
        put("application/vnd.oci.empty.v1+json", b"{}"),
        put("application/vnd.corp.chart.v1", &bytes(10, 50)),
    );
    let inner = index(&from, "a/b", &[("linux/amd64", picture.as_bytes())]);
    from.put_manifest("a/b", &digest(&inner), INDEX, &inner);
    from.put_manifest(
        "a/b",
        &digest(artifact.as_bytes()),
        MANIFEST,
        artifact.as_bytes(),
    );
    let outer = format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{{"mediaType":"{INDEX}","digest":"{}","size":{}}},{{"mediaType":"{MANIFEST}","artifactType":"application/vnd.corp.chart","digest":"{}","size":{}}}]}}"#,
        digest(&inner),
        inner.len(),
        digest(artifact.as_bytes()),
        artifact.len()
    );
    from.put_manifest("a/b", "1", INDEX, outer.as_bytes());

    // none of them names a platform: there is nothing to choose between
    bring(&wanted(&from, &to, "a/b:1"), "linux/s390x").await;

    assert_eq!(to.manifest("a/b", "1").unwrap().1, outer.as_bytes());
    for manifest in [picture.as_bytes(), artifact.as_bytes(), &inner] {
        assert_eq!(to.manifest("a/b", &digest(manifest)).unwrap().1, manifest);
    }
    for blob in [&zstd[..], &bytes(9, 70), b"{}", &bytes(10, 50)] {
        assert_eq!(to.blob("a/b", &digest(blob)).as_deref(), Some(blob));
    }
}
