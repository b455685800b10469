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
    let ended = tokio::time::timeout(Duration::from_secs(2), copied).await;

    assert!(ended.is_err(), "{ended:?}");
    let read = from.log();
    let read = read.iter().filter(|r| r.is("GET", "/manifests/sha256:"));
    let read: HashSet<_> = read.map(|r| &r.path).collect();
    // its own beside them
    assert!((2..=17).contains(&read.len()), "{}", read.len());
}

#[tokio::test]
async fn an_image_with_more_manifests_than_memory_is_refused() {
    let from = Registry::start().await;
    wide(&from, 9, 4 * 1024 * 1024);
    let to = Registry::start().await;

    let refused = copy(&copier(), &request(&from, &to, "a/b:1")).await;

    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("more than 32 MiB together"), "{refused}");
    assert!(to.manifest("a/b", "1").is_none());
}
