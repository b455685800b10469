//! Images that nobody would make but to do harm: they cost their own copy, and no memory that others need.

use super::server::Break;
use super::*;
use std::collections::HashSet;

/// `a/b:1`: an index over so many manifests of one blob, each with so many bytes of its own.
fn wide(registry: &Registry, many: usize, own: usize) {
    let blob = bytes(1, 300);
    let manifests: Vec<Vec<u8>> = (0..many)
        .map(|at| {
            let mut manifest = image(registry, "a/b", &[&blob]);
            manifest.pop();
            let note = format!(r#","annotations":{{"{at}":"{}"}}}}"#, "x".repeat(own));
            manifest.extend(note.as_bytes());
            manifest
        })
        .collect();
    let children: Vec<_> = manifests.iter().map(|m| ("linux/amd64", &m[..])).collect();
    let index = index(registry, "a/b", &children);
    registry.put_manifest("a/b", "1", INDEX, &index);
}

#[tokio::test]
async fn of_an_index_with_very_many_manifests_a_few_are_held_at_a_time() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    wide(&from, 300, 0);
    // the blob of all of them never gets there
    to.breaks(|head| {
        let silent = head.is("PUT", "/uploads/") || head.is("PATCH", "/uploads/");
        silent.then_some(Break {
            after: 0,
            reply: None,
            silent: true,
        })
    });

    let (engine, request) = (copier(), request(&from, &to, "a/b:1"));
    let copied = copy(&engine, &request);
    let ended = tokio::time::timeout(Duration::from_secs(30), copied).await;

    assert!(ended.is_err(), "{ended:?}");
    // its own beside them
    assert!((2..=17).contains(&read(&from)), "{}", read(&from));
}

/// Manifests that were asked for by digest, each once.
fn read(registry: &Registry) -> usize {
    let log = registry.log();
    let read = log.iter().filter(|r| r.is("GET", "/manifests/sha256:"));
    read.map(|r| &r.path).collect::<HashSet<_>>().len()
}

#[tokio::test]
async fn an_image_with_more_manifests_than_memory_is_refused_before_they_are_read() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    wide(&from, 9, 4 * 1024 * 1024);

    let refused = copy(&copier(), &request(&from, &to, "a/b:1")).await;

    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("more than 16 MiB together"), "{refused}");
    assert!(to.manifest("a/b", "1").is_none());
    // its own, and no more than there is room for
    assert!(read(&from) <= 4, "{}", read(&from));
}

#[tokio::test]
async fn no_more_is_read_of_a_manifest_than_its_index_says() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    wide(&from, 1, 4 * 1024 * 1024);
    let (_, index) = from.manifest("a/b", "1").unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let size = index["manifests"][0]["size"].to_string();
    let lie = index.to_string().replace(&size, "1000");
    from.put_manifest("a/b", "1", INDEX, lie.as_bytes());

    let refused = copy(&copier(), &request(&from, &to, "a/b:1")).await;

    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("larger than 4096 bytes"), "{refused}");
}

#[tokio::test]
async fn what_an_error_repeats_of_a_manifest_has_an_end() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let long = "x".repeat(1024 * 1024);
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"a","digest":"{long}","size":1}},"layers":[]}}"#
    );
    from.put_manifest("a/b", "1", MANIFEST, manifest.as_bytes());

    let refused = copy(&copier(), &request(&from, &to, "a/b:1")).await;

    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("bad digest"), "{refused}");
    assert!(refused.len() < 4096, "{}", refused.len());
}
