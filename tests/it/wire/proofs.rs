//! Whether what a registry has is complete: found out without writing, each part once.

use super::*;
use image_cloner::registry::Prover;
use image_cloner::status::{Fault, Inventory};

async fn prove(prover: &Prover, registry: &Registry, name: &str) -> Inventory {
    let registries = registries(&BTreeMap::new());
    let copy = reference(&format!("{}/{name}", registry.host));
    let anonymous = [Credentials::Anonymous];
    let image = registries.seek(&copy, &anonymous).await.unwrap().unwrap();
    prover.prove(&image, &Told::default()).await.unwrap()
}

fn faults(found: &Inventory) -> Vec<(&str, Fault)> {
    let faults = found.faults.iter();
    faults
        .map(|(digest, fault)| (digest.as_str(), *fault))
        .collect()
}

#[tokio::test]
async fn what_is_missing_is_named_by_its_digest() {
    let target = Registry::start().await;
    let amd = image(&target, "a/b", &[&bytes(1, 300), &bytes(2, 9_000)]);
    let arm = image(&target, "a/b", &[&bytes(3, 300), &bytes(2, 9_000)]);
    let both = index(
        &target,
        "a/b",
        &[("linux/amd64", &amd), ("linux/arm64", &arm)],
    );
    target.put_manifest("a/b", "1", INDEX, &both);
    let sound = prove(&Prover::new(false, 2), &target, "a/b:1").await;
    assert!(sound.is_complete());
    let manifests = both.len() + amd.len() + arm.len();
    assert_eq!((sound.manifests, sound.blobs), (3, 3));
    assert_eq!(sound.bytes, (manifests + 300 + 300 + 9_000) as u64);

    let (lost, child) = (digest(&bytes(1, 300)), digest(&arm));
    target.drop_blob("a/b", &lost);
    target.drop_manifest("a/b", &child);
    let found = prove(&Prover::new(false, 2), &target, "a/b:1").await;
    let mut expected = vec![
        (lost.as_str(), Fault::BlobMissing),
        (child.as_str(), Fault::ManifestMissing),
    ];
    expected.sort_unstable();
    assert_eq!(faults(&found), expected);
}

#[tokio::test]
async fn only_reading_shows_that_bytes_are_others() {
    let target = Registry::start().await;
    simple(&target);
    let layer = digest(&bytes(2, 200_000));
    target.put_blob_as("a/b", &layer, &bytes(9, 200_000));
    let believed = prove(&Prover::new(false, 2), &target, "a/b:1").await;
    assert!(believed.is_complete());
    let read = prove(&Prover::new(true, 2), &target, "a/b:1").await;
    assert_eq!(faults(&read), [(layer.as_str(), Fault::BlobCorrupt)]);
}

#[tokio::test]
async fn what_images_share_is_asked_for_once_and_read_once() {
    let target = Registry::start().await;
    for tag in ["1", "2"] {
        let config = bytes(tag.as_bytes()[0], 300);
        let manifest = image(&target, "a/b", &[&config, &bytes(2, 9_000)]);
        target.put_manifest("a/b", tag, MANIFEST, &manifest);
    }
    let prover = Prover::new(true, 2);
    target.log();
    for name in ["a/b:1", "a/b:2"] {
        assert!(prove(&prover, &target, name).await.is_complete());
    }
    let layer = format!("/v2/a/b/blobs/{}", digest(&bytes(2, 9_000)));
    let mut asked: Vec<String> = target.lines();
    asked.retain(|line| line.ends_with(&layer));
    assert_eq!(asked, [format!("HEAD {layer}"), format!("GET {layer}")]);
}

#[tokio::test]
async fn sizes_beyond_every_number_are_added_up_all_the_same() {
    let registry = Registry::start().await;
    let sound = image(&registry, "a/b", &[b"one", b"two", b"six"]);
    let sizes = String::from_utf8(sound).unwrap();
    let hostile = sizes.replace("\"size\":3", &format!("\"size\":{}", i64::MAX));
    registry.put_manifest("a/b", "1", MANIFEST, hostile.as_bytes());

    let registries = registries(&BTreeMap::new());
    let name = reference(&format!("{}/a/b:1", registry.host));
    let anonymous = [Credentials::Anonymous];
    let source = registries.source(&name, &anonymous).await.unwrap();
    let size = registries.size(&source, Extras::default()).await;
    assert_eq!(size.unwrap(), u64::MAX);
    let proven = prove(&Prover::new(false, 2), &registry, "a/b:1").await;
    assert_eq!(proven.bytes, u64::MAX);
}
