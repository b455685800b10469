//! Targets that are not what they were or seem to be: moved tags, lost blobs, incomplete copies.

use super::server::Reply;
use super::*;

/// An image whose transfer takes long enough for others to come first.
fn sizeable(registry: &Registry) -> Vec<u8> {
    let manifest = image(registry, "a/b", &[&bytes(1, 300), &bytes(2, 5 << 20)]);
    registry.put_manifest("a/b", "1", MANIFEST, &manifest);
    manifest
}

#[tokio::test]
async fn a_tag_that_somebody_pushes_during_the_transfer_is_kept() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let ours = sizeable(&from);
    let theirs = image(&to, "a/b", &[b"theirs"]);
    let (other, pushed) = (to.clone(), theirs.clone());
    let mut once = true;
    to.hook(move |r| {
        if r.is("PUT", "/uploads/") && std::mem::take(&mut once) {
            other.put_later("a/b", "1", MANIFEST, &pushed);
            other.put_later("a/b", &digest(&pushed), MANIFEST, &pushed);
        }
        None
    });

    let copied = copy(&copier(), &request(&from, &to, "a/b:1"))
        .await
        .unwrap();

    assert_eq!(to.manifest("a/b", "1").unwrap().1, ours);
    assert_eq!(to.manifest("a/b", &copied.kept.unwrap()).unwrap().1, theirs);
}

#[tokio::test]
async fn a_tag_that_is_taken_during_the_transfer_is_left_alone_by_a_pinned_copy() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let ours = sizeable(&from);
    let theirs = image(&to, "a/b", &[b"theirs"]);
    let (other, pushed) = (to.clone(), theirs.clone());
    to.hook(move |r| {
        if r.is("PUT", "/uploads/") {
            other.put_later("a/b", "1", MANIFEST, &pushed);
        }
        None
    });
    let pin = digest(&ours);

    copy(&copier(), &request(&from, &to, &format!("a/b:1@{pin}")))
        .await
        .unwrap();

    assert_eq!(to.manifest("a/b", "1").unwrap().1, theirs);
    let keeping = format!("digest-{}", &pin[7..23]);
    assert_eq!(to.manifest("a/b", &keeping).unwrap().1, ours);
}

#[tokio::test]
async fn a_tag_that_moves_before_an_old_answer_is_acted_on_is_kept() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    // nothing has to be carried: time alone makes what was seen doubtful
    let ours = simple(&from);
    for blob in [bytes(1, 300), bytes(2, 200_000)] {
        to.put_blob("a/b", &blob);
    }
    to.put_manifest("a/b", "old", MANIFEST, &ours);
    let theirs = image(&to, "a/b", &[b"theirs"]);
    let engine = copier();
    let request = request(&from, &to, "a/b:1");
    let anonymous = [Credentials::Anonymous];
    let source = engine.registries.source(&request.source, &anonymous);
    let source = source.await.unwrap();
    let target = engine.registries.target(&request.target, &anonymous[0]);
    let target = target.await.unwrap();
    to.put_manifest("a/b", "1", MANIFEST, &theirs);
    tokio::time::sleep(Duration::from_millis(2100)).await;

    let told = Told::default();
    let copied = engine.copier.copy(&source, &target, false, &told).await;

    let kept = copied.unwrap().kept.unwrap();
    assert_eq!(to.manifest("a/b", &kept).unwrap().1, theirs);
}

#[tokio::test]
async fn a_copy_that_is_proven_has_its_tag_still() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let ours = simple(&from);
    let engine = copier();
    let request = request(&from, &to, "a/b:1");
    copy(&engine, &request).await.unwrap();
    let anonymous = [Credentials::Anonymous];
    let source = engine.registries.source(&request.source, &anonymous);
    let source = source.await.unwrap();
    let target = engine.registries.target(&request.target, &anonymous[0]);
    let target = target.await.unwrap();
    // while somebody reads the plan
    let theirs = image(&to, "a/b", &[b"theirs"]);
    to.put_manifest("a/b", "1", MANIFEST, &theirs);
    tokio::time::sleep(Duration::from_millis(2100)).await;

    let told = Told::default();
    let copied = engine.copier.copy(&source, &target, true, &told).await;

    let kept = copied.unwrap().kept.unwrap();
    assert_eq!(to.manifest("a/b", "1").unwrap().1, ours);
    assert_eq!(to.manifest("a/b", &kept).unwrap().1, theirs);
}

#[tokio::test]
async fn images_of_a_run_that_share_a_tag_do_not_take_it_from_each_other() {
    let from = Registry::start().await;
    let pinned = image(&from, "a/b", &[b"pinned"]);
    from.put_manifest("a/b", &digest(&pinned), MANIFEST, &pinned);
    let tagged = image(&from, "a/b", &[b"tagged"]);
    from.put_manifest("a/b", "1", MANIFEST, &tagged);
    let names = ["a/b:1".to_owned(), format!("a/b:1@{}", digest(&pinned))];
    let anonymous = Credentials::Anonymous;
    for order in [[0, 1], [1, 0]] {
        let to = Registry::start().await;
        let engine = copier();
        let mut ends = Vec::new();
        // both are looked at before either is there
        for at in order {
            let request = request(&from, &to, &names[at]);
            let asked = std::slice::from_ref(&anonymous);
            let source = engine.registries.source(&request.source, asked);
            let target = engine.registries.target(&request.target, &anonymous);
            ends.push((source.await.unwrap(), target.await.unwrap()));
        }
        for (source, target) in &ends {
            let told = Told::default();
            let copied = engine.copier.copy(source, target, false, &told);
            copied.await.unwrap();
        }
        assert_eq!(to.manifest("a/b", "1").unwrap().1, tagged, "{order:?}");
        // a clean-up would take what has no tag
        let short = &digest(&pinned)[7..];
        let kept = [
            format!("digest-{}", &short[..16]),
            format!("1-replaced-{}", &short[..12]),
        ];
        let kept = kept.iter().find_map(|tag| to.manifest("a/b", tag));
        assert_eq!(kept.expect("a tag").1, pinned, "{order:?}");
    }
}

#[tokio::test]
async fn old_content_of_any_form_is_kept() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let ours = simple(&from);
    let kind = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let old = br#"{"schemaVersion":1,"name":"a/b","fsLayers":[]}"#;
    to.put_manifest("a/b", "1", kind, old);

    let copied = copy(&copier(), &request(&from, &to, "a/b:1"))
        .await
        .unwrap();

    let kept = to.manifest("a/b", &copied.kept.unwrap());
    assert_eq!(kept, Some((kind.to_owned(), old.to_vec())));
    assert_eq!(to.manifest("a/b", "1").unwrap().1, ours);
}

#[tokio::test]
async fn what_cannot_be_kept_is_not_moved_and_said() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    simple(&from);
    let old = image(&to, "a/b", &[b"old"]);
    to.put_manifest("a/b", "1", MANIFEST, &old);
    to.hook(|r| {
        r.path
            .contains("-replaced-")
            .then(|| Reply::error(403, "DENIED", "no new tags"))
    });

    let error = copy(&copier(), &request(&from, &to, "a/b:1"))
        .await
        .unwrap_err();

    assert!(
        error.to_string().starts_with("keeping what 1 has: "),
        "{error}"
    );
    assert_eq!(to.manifest("a/b", "1").unwrap().1, old);
}

#[tokio::test]
async fn blobs_that_the_target_lost_are_brought_again() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let shared = bytes(9, 5000);
    for tag in ["1", "2"] {
        let manifest = image(&from, "a/b", &[tag.as_bytes(), &shared]);
        from.put_manifest("a/b", tag, MANIFEST, &manifest);
    }
    let copier = copier();
    copy(&copier, &request(&from, &to, "a/b:1")).await.unwrap();
    let lost = digest(&shared);
    to.drop_blob("a/b", &lost);
    // it takes no manifest until the blob is there
    let (name, mut there) = (lost.clone(), false);
    to.hook(move |r| {
        there |= r.method == "PUT" && r.parameter("digest").as_deref() == Some(&name);
        (r.is("PUT", "/manifests/") && !there)
            .then(|| Reply::error(404, "MANIFEST_BLOB_UNKNOWN", "blob unknown"))
    });

    copy(&copier, &request(&from, &to, "a/b:2")).await.unwrap();

    assert_eq!(to.blob("a/b", &lost), Some(shared));
}

#[tokio::test]
async fn a_copy_that_lost_a_blob_of_a_child_is_repaired_when_verified() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let amd = image(&from, "a/b", &[&bytes(1, 300)]);
    let arm = image(&from, "a/b", &[&bytes(4, 300)]);
    let both = [("linux/amd64", amd.as_slice()), ("linux/arm64", &arm)];
    let whole = index(&from, "a/b", &both);
    from.put_manifest("a/b", "1", INDEX, &whole);
    let mut request = request(&from, &to, "a/b:1");
    copy(&copier(), &request).await.unwrap();
    let lost = bytes(4, 300);
    to.drop_blob("a/b", &digest(&lost));

    // believed without verifying
    assert_eq!(copy(&copier(), &request).await.unwrap().bytes, 0);
    request.verify = true;
    let copied = copy(&copier(), &request).await.unwrap();

    assert_eq!((copied.present, copied.bytes), (true, 300));
    assert_eq!(to.blob("a/b", &digest(&lost)), Some(lost));
}

#[tokio::test]
async fn a_manifest_that_is_gone_while_its_tag_answers_is_pushed_again_when_verified() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let manifest = simple(&from);
    let mut request = request(&from, &to, "a/b:1");
    copy(&copier(), &request).await.unwrap();
    to.drop_manifest("a/b", &digest(&manifest));
    request.verify = true;

    let copied = copy(&copier(), &request).await.unwrap();

    assert!(!copied.present);
    assert_eq!(copied.kept, None);
    let again = to.manifest("a/b", &digest(&manifest));
    assert_eq!(again.unwrap().1, manifest);
}

#[tokio::test]
async fn a_complete_copy_stands_in_for_its_source_and_an_incomplete_one_does_not() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let manifest = simple(&from);
    let engine = copier();
    let request = request(&from, &to, "a/b:1");
    copy(&engine, &request).await.unwrap();
    let anonymous = Credentials::Anonymous;
    let target = engine.registries.target(&request.target, &anonymous);
    let target = target.await.unwrap();
    let source = target.as_source().unwrap();
    assert_eq!(source.digest().as_str(), digest(&manifest));
    let verified = async || {
        // an engine that has proven nothing yet
        let told = Told::default();
        let copied = Copier::new(4).copy(&source, &target, true, &told).await;
        copied.map(|copied| (copied.present, copied.bytes))
    };

    assert_eq!(verified().await.unwrap(), (true, 0));
    to.drop_blob("a/b", &digest(&bytes(2, 200_000)));
    verified().await.unwrap_err();
}

#[tokio::test]
async fn a_copy_that_is_dropped_lets_others_have_its_blobs() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let shared = bytes(9, 900_000);
    for name in ["a", "b"] {
        let manifest = image(&from, name, &[name.as_bytes(), &shared]);
        from.put_manifest(name, "1", MANIFEST, &manifest);
    }
    let copier = copier();
    let (dropped, other) = (request(&from, &to, "a:1"), request(&from, &to, "b:1"));
    let uploading = async {
        loop {
            let log = from.log();
            if log.iter().any(|r| r.is("GET", &digest(&shared))) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        _ = copy(&copier, &dropped) => panic!("it was to be dropped before"),
        () = uploading => {}
    }

    let waiting = tokio::time::timeout(Duration::from_secs(60), copy(&copier, &other));
    waiting.await.unwrap().unwrap();
}
