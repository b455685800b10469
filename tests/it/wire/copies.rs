//! What a copy does when everybody behaves.

use super::server::Reply;
use super::*;

#[tokio::test]
async fn an_index_arrives_byte_for_byte_with_its_attestation() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let amd = image(
        &from,
        "a/b",
        &[&bytes(1, 300), &bytes(2, 200_000), &bytes(3, 0)],
    );
    let arm = image(&from, "a/b", &[&bytes(4, 300), &bytes(2, 200_000)]);
    let attestation = image(&from, "a/b", &[&bytes(5, 100)]);
    let index = index(
        &from,
        "a/b",
        &[
            ("linux/amd64", &amd),
            ("linux/arm64", &arm),
            ("unknown/unknown", &attestation),
        ],
    );
    from.put_manifest("a/b", "1", INDEX, &index);

    let told = Told::default();
    let copied = copier()
        .copy(&request(&from, &to, "a/b:1"), &told)
        .await
        .unwrap();

    assert_eq!(
        to.manifest("a/b", "1"),
        Some((INDEX.to_owned(), index.clone()))
    );
    for child in [&amd, &arm, &attestation] {
        assert_eq!(
            to.manifest("a/b", &digest(child)),
            Some((MANIFEST.to_owned(), child.clone()))
        );
    }
    let blobs = [
        bytes(1, 300),
        bytes(2, 200_000),
        bytes(3, 0),
        bytes(4, 300),
        bytes(5, 100),
    ];
    for blob in &blobs {
        assert_eq!(to.blob("a/b", &digest(blob)).as_ref(), Some(blob));
    }
    let carried: usize = blobs.iter().map(Vec::len).sum();
    assert_eq!(copied.digest.as_str(), digest(&index));
    assert_eq!((copied.present, copied.kept), (false, None));
    assert_eq!(copied.bytes, carried as u64);
    assert_eq!(told.expected.into_inner(), carried as u64);
    assert_eq!(told.carried.into_inner(), carried as u64);
    let pushes: Vec<_> = to
        .log()
        .into_iter()
        .filter(|r| r.is("PUT", "/manifests/"))
        .collect();
    assert_eq!(pushes.last().unwrap().path, "/v2/a/b/manifests/1");
    assert_eq!(pushes.len(), 4);
}

#[tokio::test]
async fn a_second_copy_costs_one_head_on_each_side() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    simple(&from);
    let copier = copier();
    let request = request(&from, &to, "a/b:1");
    copy(&copier, &request).await.unwrap();
    from.log();
    to.log();

    let again = copy(&copier, &request).await.unwrap();

    assert!(again.present);
    assert_eq!(from.lines(), ["HEAD /v2/a/b/manifests/1"]);
    assert_eq!(to.lines(), ["HEAD /v2/a/b/manifests/1"]);
}

#[tokio::test]
async fn uploads_have_a_length_and_keep_the_locations_query() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    simple(&from);
    copy(&copier(), &request(&from, &to, "a/b:1"))
        .await
        .unwrap();

    let uploads: Vec<_> = to
        .log()
        .into_iter()
        .filter(|r| r.is("PUT", "/blobs/uploads/"))
        .collect();
    assert_eq!(uploads.len(), 2);
    for upload in uploads {
        assert!(upload.header("content-length").is_some());
        assert_eq!(upload.header("transfer-encoding"), None);
        assert!(
            upload.query.starts_with("_state=a%2Fb&digest=sha256%3A"),
            "{}",
            upload.query
        );
    }
}

#[tokio::test]
async fn a_blob_that_two_images_share_is_carried_once_and_mounted() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let shared = bytes(9, 900_000);
    for name in ["a", "b", "c"] {
        let manifest = image(&from, name, &[name.as_bytes(), &shared]);
        from.put_manifest(name, "1", MANIFEST, &manifest);
    }
    let copier = copier();
    let requests = ["a:1", "b:1", "c:1"].map(|name| request(&from, &to, name));
    let copied = futures::future::join_all(requests.iter().map(|r| copy(&copier, r))).await;

    let bytes: u64 = copied.into_iter().map(|c| c.unwrap().bytes).sum();
    assert_eq!(bytes, 900_003);
    let log = to.log();
    let mounts = log.iter().filter(|r| r.parameter("mount").is_some());
    assert_eq!(mounts.count(), 2);
    let reads = from
        .log()
        .into_iter()
        .filter(|r| r.is("GET", &digest(&shared)));
    assert_eq!(reads.count(), 1);
    for name in ["a", "b", "c"] {
        assert_eq!(to.blob(name, &digest(&shared)).as_ref(), Some(&shared));
    }
}

#[tokio::test]
async fn two_images_that_go_to_one_repository_mount_a_blob_there_once() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let shared = bytes(9, 900_000);
    for (name, tag) in [("a", "1"), ("b", "1"), ("b", "2"), ("b", "3")] {
        let own = format!("{name}:{tag}");
        let manifest = image(&from, name, &[own.as_bytes(), &shared, &shared]);
        from.put_manifest(name, tag, MANIFEST, &manifest);
    }
    let copier = copier();
    copy(&copier, &request(&from, &to, "a:1")).await.unwrap();
    to.log();

    let requests = ["b:1", "b:2", "b:3"].map(|name| request(&from, &to, name));
    let copied = futures::future::join_all(requests.iter().map(|r| copy(&copier, r))).await;

    for copied in copied {
        assert_eq!(copied.unwrap().bytes, 3);
    }
    let log = to.log();
    let mounts = log.iter().filter(|r| r.parameter("mount").is_some());
    assert_eq!(mounts.count(), 1);
}

/// What an image costs whose base is in the target's registry already: each request is one that something
/// depends on, and none is made twice.
#[tokio::test]
async fn an_image_on_a_known_base_costs_no_request_that_could_be_left_out() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let base = [bytes(7, 30_000), bytes(8, 20_000), bytes(9, 10_000)];
    for name in ["a", "b"] {
        let (config, own) = (format!("config of {name}"), format!("layer of {name}"));
        let blobs = [
            config.as_bytes(),
            &base[0],
            &base[1],
            &base[2],
            own.as_bytes(),
        ];
        let manifest = image(&from, name, &blobs);
        from.put_manifest(name, "1", MANIFEST, &manifest);
    }
    let copier = copier();
    copy(&copier, &request(&from, &to, "a:1")).await.unwrap();
    from.log();
    to.log();

    copy(&copier, &request(&from, &to, "b:1")).await.unwrap();

    let counted = |registry: &Registry| {
        let mut counts = BTreeMap::new();
        for request in registry.log() {
            let what = match request.path.split('/').nth(3).unwrap() {
                "blobs" if request.parameter("mount").is_some() => "mount",
                "blobs" => "blob",
                other => other,
            };
            *counts
                .entry(format!("{} {what}", request.method))
                .or_default() += 1;
        }
        counts.into_iter().collect::<Vec<(String, usize)>>()
    };
    let expect = |counts: &[(&str, usize)]| {
        let counts = counts
            .iter()
            .map(|(what, count)| ((*what).to_owned(), *count));
        counts.collect::<Vec<_>>()
    };
    // which digest is meant; the manifest by it; config and layer
    assert_eq!(
        counted(&from),
        expect(&[("GET blob", 2), ("GET manifests", 1), ("HEAD manifests", 1)])
    );
    // whether the tag is taken; three mounts; a session and an upload each of config and layer; the tag
    assert_eq!(
        counted(&to),
        expect(&[
            ("HEAD manifests", 1),
            ("POST blob", 2),
            ("POST mount", 3),
            ("PUT blob", 2),
            ("PUT manifests", 1),
        ])
    );
}

#[tokio::test]
async fn a_refused_mount_becomes_an_upload() {
    for answer in [400, 401, 202] {
        let (from, to) = (Registry::start().await, Registry::start().await);
        let shared = bytes(9, 900_000);
        for name in ["a", "b"] {
            let manifest = image(&from, name, &[name.as_bytes(), &shared]);
            from.put_manifest(name, "1", MANIFEST, &manifest);
        }
        // what a registry opens that does not mount: an upload session
        to.hook(move |r| {
            r.parameter("mount")?;
            match answer {
                202 => Some(Reply::new(202).header("Location", Registry::hooked_upload("b"))),
                status => Some(Reply::error(status, "UNSUPPORTED", "no mounts here")),
            }
        });
        let copier = copier();
        copy(&copier, &request(&from, &to, "a:1")).await.unwrap();
        to.log();
        let copied = copy(&copier, &request(&from, &to, "b:1")).await.unwrap();

        assert_eq!(copied.bytes, 900_001, "{answer}");
        assert_eq!(to.blob("b", &digest(&shared)), Some(shared));
        let posts = to.log().into_iter().filter(|r| r.method == "POST").count();
        // the session that the mount opened is used
        assert_eq!(posts, if answer == 202 { 2 } else { 3 }, "{answer}");
    }
}

#[tokio::test]
async fn within_one_registry_blobs_are_mounted_not_carried() {
    let registry = Registry::start().await;
    let manifest = simple(&registry);
    let mut request = request(&registry, &registry, "a/b:1");
    request.target = reference(&format!("{}/copies/b:1", registry.host));

    let copied = copy(&copier(), &request).await.unwrap();

    assert_eq!(copied.bytes, 0);
    assert_eq!(registry.manifest("copies/b", "1").unwrap().1, manifest);
    assert!(!registry.log().iter().any(|r| r.is("GET", "/blobs/")));
}

#[tokio::test]
async fn big_blobs_that_the_target_has_are_not_sent_again() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let big = bytes(2, 5 << 20);
    let manifest = image(&from, "a/b", &[&bytes(1, 300), &big]);
    from.put_manifest("a/b", "1", MANIFEST, &manifest);
    to.put_blob("a/b", &big);

    let copied = copy(&copier(), &request(&from, &to, "a/b:1"))
        .await
        .unwrap();

    assert_eq!(copied.bytes, 300);
}

#[tokio::test]
async fn a_tag_that_moves_is_kept_under_a_second_name() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let new = simple(&from);
    let old = image(&to, "a/b", &[b"old"]);
    to.put_manifest("a/b", "1", MANIFEST, &old);

    let copied = copy(&copier(), &request(&from, &to, "a/b:1"))
        .await
        .unwrap();

    let kept = format!("1-replaced-{}", &digest(&old)[7..19]);
    assert_eq!(copied.kept.as_deref(), Some(kept.as_str()));
    assert_eq!(to.manifest("a/b", &kept).unwrap().1, old);
    assert_eq!(to.manifest("a/b", "1").unwrap().1, new);
    let lines = to.lines();
    let at = |line: String| lines.iter().position(|l| *l == line).unwrap();
    assert!(at(format!("PUT /v2/a/b/manifests/{kept}")) < at("PUT /v2/a/b/manifests/1".into()));
    assert_eq!(lines.last().unwrap(), "HEAD /v2/a/b/manifests/1");
}

#[tokio::test]
async fn a_moved_tag_that_is_not_ours_afterwards_is_an_error_with_the_other_digest() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    simple(&from);
    let old = image(&to, "a/b", &[b"old"]);
    to.put_manifest("a/b", "1", MANIFEST, &old);
    let foreign = format!("sha256:{}", "f".repeat(64));
    let mut pushed = false;
    let theirs = foreign.clone();
    to.hook(move |r| {
        pushed |= r.is("PUT", "/manifests/1") && !r.path.contains("replaced");
        (pushed && r.method == "HEAD").then(|| {
            Reply::new(200)
                .header("Docker-Content-Digest", &theirs)
                .header("Content-Type", MANIFEST)
        })
    });

    let error = copy(&copier(), &request(&from, &to, "a/b:1"))
        .await
        .unwrap_err();

    assert!(error.to_string().contains(&foreign), "{error}");
}

#[tokio::test]
async fn an_immutable_tag_with_our_digest_is_success() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let manifest = simple(&from);
    let (other, bytes) = (to.clone(), manifest.clone());
    to.hook(move |r| {
        r.is("PUT", "/manifests/1").then(|| {
            // somebody pushed the same just before
            other.put_later("a/b", "1", MANIFEST, &bytes);
            Reply::error(400, "TAG_INVALID", "the tag is immutable")
        })
    });

    let copied = copy(&copier(), &request(&from, &to, "a/b:1"))
        .await
        .unwrap();

    assert_eq!(copied.digest.as_str(), digest(&manifest));
}

#[tokio::test]
async fn a_pinned_copy_gets_a_keeping_tag_and_moves_no_other() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let manifest = simple(&from);
    let pin = digest(&manifest);
    let keeping = format!("digest-{}", &pin[7..23]);
    let copier = copier();

    // no tag at all
    copy(&copier, &request(&from, &to, &format!("a/b@{pin}")))
        .await
        .unwrap();
    assert_eq!(to.manifest("a/b", &keeping).unwrap().1, manifest);
    // its tag is free
    copy(&copier, &request(&from, &to, &format!("a/b:1@{pin}")))
        .await
        .unwrap();
    assert_eq!(to.manifest("a/b", "1").unwrap().1, manifest);
    // its tag is taken
    let other = image(&to, "a/b", &[b"other"]);
    to.put_manifest("a/b", "1", MANIFEST, &other);
    to.drop_manifest("a/b", &keeping);
    let copied = copy(&copier, &request(&from, &to, &format!("a/b:1@{pin}")))
        .await
        .unwrap();
    assert_eq!((copied.kept, copied.digest.as_str()), (None, pin.as_str()));
    assert_eq!(to.manifest("a/b", "1").unwrap().1, other);
    assert_eq!(to.manifest("a/b", &keeping).unwrap().1, manifest);
    // and there already
    to.log();
    assert!(
        copy(&copier, &request(&from, &to, &format!("a/b:1@{pin}")))
            .await
            .unwrap()
            .present
    );
    assert!(to.log().iter().all(|r| r.method == "HEAD"));
}

#[tokio::test]
async fn a_settled_digest_is_copied_not_what_the_tag_has_now() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let running = simple(&from);
    let newer = image(&from, "a/b", &[b"newer"]);
    from.put_manifest("a/b", "1", MANIFEST, &newer);
    let mut request = request(&from, &to, "a/b:1");
    request.digest = Some(digest(&running).parse().unwrap());

    copy(&copier(), &request).await.unwrap();

    assert_eq!(to.manifest("a/b", "1").unwrap().1, running);
}

#[tokio::test]
async fn a_child_that_is_missing_in_the_target_is_brought_before_its_index() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let amd = image(&from, "a/b", &[&bytes(1, 300)]);
    let arm = image(&from, "a/b", &[&bytes(4, 300)]);
    let whole = index(
        &from,
        "a/b",
        &[("linux/amd64", &amd), ("linux/arm64", &arm)],
    );
    from.put_manifest("a/b", "1", INDEX, &whole);
    // an index by another tag whose one child was collected, the other's blob too
    to.put_manifest("a/b", "old", INDEX, &whole);
    to.put_manifest("a/b", &digest(&amd), MANIFEST, &amd);

    copy(&copier(), &request(&from, &to, "a/b:1"))
        .await
        .unwrap();

    assert_eq!(to.manifest("a/b", &digest(&arm)).unwrap().1, arm);
    assert_eq!(to.blob("a/b", &digest(&bytes(1, 300))), Some(bytes(1, 300)));
    assert_eq!(to.blob("a/b", &digest(&bytes(4, 300))), Some(bytes(4, 300)));
}

#[tokio::test]
async fn sizes_count_each_digest_once() {
    let from = Registry::start().await;
    let amd = image(&from, "a/b", &[&bytes(1, 300), &bytes(2, 1000)]);
    let arm = image(&from, "a/b", &[&bytes(4, 300), &bytes(2, 1000)]);
    let index = index(
        &from,
        "a/b",
        &[("linux/amd64", &amd), ("linux/arm64", &arm)],
    );
    from.put_manifest("a/b", "1", INDEX, &index);

    let registries = registries(&BTreeMap::new());
    let source = reference(&format!("{}/a/b:1", from.host));
    let found = registries
        .source(&source, &[Credentials::Anonymous])
        .await
        .unwrap();
    assert_eq!(found.digest().as_str(), digest(&index));
    let size = registries.size(&found, Extras::default()).await.unwrap();
    assert_eq!(
        size,
        (300 + 300 + 1000 + amd.len() + arm.len() + index.len()) as u64
    );
    let gone = reference(&format!("{}/a/b:2", from.host));
    assert_eq!(
        resolve(&registries, &gone, &Credentials::Anonymous)
            .await
            .unwrap(),
        None
    );
}
