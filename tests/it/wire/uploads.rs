//! How blobs get into a target that breaks off, forgets, refuses, or is particular about uploads.

use super::server::{Break, Reply, digest_like};
use super::*;

const MIB: usize = 1 << 20;

/// What becomes of an answer.
type Answer = fn(Reply) -> Reply;

/// `a/b:1` over one layer of this size; gives the layer.
fn layered(registry: &Registry, size: usize) -> Vec<u8> {
    let layer = bytes(2, size);
    let manifest = image(registry, "a/b", &[b"config", &layer]);
    registry.put_manifest("a/b", "1", MANIFEST, &manifest);
    layer
}

/// Breaks the first upload request of at least a MiB after `after` bytes.
fn break_once(registry: &Registry, after: usize, reply: Option<Reply>, silent: bool) {
    let mut broken = false;
    registry.breaks(move |r| {
        let here = !broken && r.path.contains("/uploads/") && r.length() >= MIB;
        broken |= here;
        here.then(|| Break {
            after,
            reply: reply.clone(),
            silent,
        })
    });
}

/// The parts in which a target was sent something, as `METHOD range`.
fn parts(registry: &Registry) -> Vec<String> {
    let log = registry.log();
    let sent = log.iter().filter(|r| r.path.contains("/uploads/"));
    sent.filter(|r| r.length() >= MIB || r.header("content-range").is_some())
        .map(|r| format!("{} {}", r.method, r.header("content-range").unwrap_or("-")))
        .collect()
}

async fn copied(from: &Registry, to: &Registry) -> Told {
    let told = Told::default();
    let copied = copier().copy(&request(from, to, "a/b:1"), &told).await;
    copied.unwrap();
    told
}

#[tokio::test]
async fn an_upload_that_breaks_goes_on_where_the_registry_has_it() {
    let answers = [
        (None, false),
        (Some(Reply::new(502)), false),
        (Some(Reply::error(401, "UNAUTHORIZED", "expired")), false),
        (None, true),
    ];
    for (reply, silent) in answers {
        let (from, to) = (Registry::start().await, Registry::start().await);
        let layer = layered(&from, 12 * MIB);
        break_once(&to, 10 * MIB, reply, silent);

        let told = copied(&from, &to).await;

        assert_eq!(to.blob("a/b", &digest(&layer)), Some(layer.clone()));
        let ranges = format!("{}-{}", 10 * MIB, 12 * MIB - 1);
        assert_eq!(parts(&to), [format!("PATCH {ranges}")]);
        // no byte is told of twice, and the source is not read from the start
        assert_eq!(told.carried.into_inner(), (12 * MIB + 6) as u64);
        let log = from.log();
        let reads: Vec<_> = log
            .iter()
            .filter(|r| r.is("GET", &digest(&layer)))
            .collect();
        assert_eq!(reads.len(), 2);
        assert!(reads[1].header("range").is_some());
    }
}

#[tokio::test]
async fn a_piece_that_breaks_goes_on_where_the_registry_has_it() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let layer = layered(&from, 20 * MIB);
    to.hook(|r| {
        (r.method == "PUT" && r.length() > 0 && r.path.contains("/uploads/"))
            .then(|| Reply::new(411))
    });
    let mut broken = false;
    to.breaks(move |r| {
        let second =
            r.method == "PATCH" && r.header("content-range").unwrap().starts_with("16777216-");
        let here = second && !std::mem::replace(&mut broken, second);
        here.then_some(Break {
            after: MIB,
            reply: None,
            silent: false,
        })
    });

    copied(&from, &to).await;

    assert_eq!(to.blob("a/b", &digest(&layer)), Some(layer));
    let parts = parts(&to);
    let pieces: Vec<_> = parts.iter().filter(|p| p.starts_with("PATCH")).collect();
    assert_eq!(
        pieces,
        ["PATCH 0-5", "PATCH 0-16777215", "PATCH 17825792-20971519"]
    );
}

#[tokio::test]
async fn each_break_of_an_upload_that_gets_further_has_all_tries_again() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let layer = layered(&from, 12 * MIB);
    let mut breaks = 9;
    to.breaks(move |r| {
        let here = breaks > 0 && r.path.contains("/uploads/") && r.length() > MIB;
        breaks -= usize::from(here);
        here.then(|| {
            patience::run_the_clock();
            Break {
                after: MIB,
                reply: None,
                silent: false,
            }
        })
    });

    copied(&from, &to).await;

    assert_eq!(to.blob("a/b", &digest(&layer)), Some(layer));
    assert_eq!(parts(&to).len(), 1);
}

#[tokio::test]
async fn an_upload_that_the_registry_lost_or_misplaced_is_done_anew() {
    let location = |r: &super::server::Request| format!("{}?{}", r.path, r.query);
    let answers: Vec<(&str, Answer)> = vec![
        ("gone", |_| {
            Reply::error(404, "BLOB_UPLOAD_INVALID", "blob upload invalid")
        }),
        ("not to be asked", |_| Reply::new(405)),
        ("out of range", |_| Reply::new(416)),
        ("empty", |reply| {
            Reply::new(204)
                .header("Range", "0-0")
                .header("Location", reply.headers[0].1.clone())
        }),
        ("without a range", |_| Reply::new(204)),
        // ECR
        ("stale", |reply| {
            Reply::new(204)
                .header("Range", "0-99")
                .header("Location", reply.headers[0].1.clone())
        }),
        ("more than was sent", |reply| {
            Reply::new(204)
                .header("Range", "0-99999999")
                .header("Location", reply.headers[0].1.clone())
        }),
    ];
    for (name, answer) in answers {
        let (from, to) = (Registry::start().await, Registry::start().await);
        let layer = layered(&from, 3 * MIB);
        break_once(&to, 2 * MIB, None, false);
        to.amend(move |r, reply| {
            if r.is("GET", "/uploads/") {
                answer(reply.header("Location", location(r)))
            } else {
                reply
            }
        });

        copied(&from, &to).await;

        assert_eq!(to.blob("a/b", &digest(&layer)), Some(layer), "{name}");
        let last = parts(&to).pop().unwrap();
        assert!(
            ["PUT -", "PATCH 0-3145727"].contains(&last.as_str()),
            "{name}: {last}"
        );
    }
}

#[tokio::test]
async fn a_blob_whose_answer_alone_was_lost_is_not_sent_again() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let layer = layered(&from, 3 * MIB);
    to.amend(|r, reply| {
        let stored = r.is("PUT", "/uploads/") && r.length() >= MIB;
        if stored { Reply::new(504) } else { reply }
    });

    copied(&from, &to).await;

    assert_eq!(to.blob("a/b", &digest(&layer)), Some(layer));
    assert_eq!(parts(&to), ["PUT -"]);
}

#[tokio::test]
async fn an_upload_that_gets_no_further_is_done_anew() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let layer = layered(&from, 3 * MIB);
    break_once(&to, 2 * MIB, None, false);
    to.breaks(|r| {
        let stuck = r.header("content-range") == Some("2097152-3145727");
        stuck.then(|| {
            patience::run_the_clock();
            Break {
                after: 0,
                reply: None,
                silent: false,
            }
        })
    });

    copied(&from, &to).await;

    assert_eq!(to.blob("a/b", &digest(&layer)), Some(layer));
}

#[tokio::test]
async fn a_source_that_gives_other_bytes_the_second_time_is_noticed_before_the_upload_is_closed() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    // more than connections hold, so that the end is not read before the break
    let layer = layered(&from, 24 * MIB);
    let (path, mut wrong) = (digest(&layer), layer.clone());
    wrong[100] ^= 1;
    let mut first = true;
    from.hook(move |r| {
        (r.is("GET", &path) && std::mem::take(&mut first))
            .then(|| Reply::new(200).body(wrong.clone()))
    });
    // the wrong byte is in what the registry keeps
    break_once(&to, 2 * MIB, None, false);

    copied(&from, &to).await;

    assert_eq!(to.blob("a/b", &digest(&layer)), Some(layer.clone()));
    let closed = to
        .log()
        .into_iter()
        .filter(|r| r.parameter("digest") == Some(digest(&layer)));
    assert_eq!(closed.count(), 1);
}

#[tokio::test]
async fn a_limit_that_is_enforced_by_hanging_up_leads_to_pieces() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let layer = layered(&from, 20 * MIB);
    let tries = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&tries);
    to.breaks(move |r| {
        (r.is("PUT", "/uploads/") && r.length() > 16 * MIB).then(|| {
            seen.fetch_add(1, Ordering::Relaxed);
            Break {
                after: 70_000,
                reply: Some(Reply::new(413)),
                silent: false,
            }
        })
    });

    copied(&from, &to).await;

    assert_eq!(to.blob("a/b", &digest(&layer)), Some(layer));
    assert_eq!(tries.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn pieces_that_are_too_large_get_smaller_and_later_blobs_start_so() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let first = layered(&from, 3 * MIB);
    let second = bytes(7, 3 * MIB);
    let manifest = image(&from, "a/b", &[b"config", &second]);
    from.put_manifest("a/b", "2", MANIFEST, &manifest);
    to.hook(|r| (r.length() > MIB).then(|| Reply::error(413, "SIZE_INVALID", "too large")));
    let copier = copier();
    copy(&copier, &request(&from, &to, "a/b:1")).await.unwrap();
    assert_eq!(to.blob("a/b", &digest(&first)), Some(first));
    to.log();

    copy(&copier, &request(&from, &to, "a/b:2")).await.unwrap();

    assert_eq!(to.blob("a/b", &digest(&second)), Some(second));
    let pieces = [
        "PATCH 0-1048575",
        "PATCH 1048576-2097151",
        "PATCH 2097152-3145727",
    ];
    assert_eq!(parts(&to), pieces);
}

#[tokio::test]
async fn where_pieces_are_refused_after_a_break_the_blob_goes_whole_again() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let layer = layered(&from, 3 * MIB);
    break_once(&to, 2 * MIB, None, false);
    to.hook(|r| (r.method == "PATCH").then(|| Reply::new(405)));

    copied(&from, &to).await;

    assert_eq!(to.blob("a/b", &digest(&layer)), Some(layer));
}

#[tokio::test]
async fn the_least_piece_that_a_registry_takes_is_kept_to() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let layer = layered(&from, 18 * MIB);
    to.hook(|r| (r.is("PUT", "/uploads/") && r.length() > 0).then(|| Reply::new(400)));
    to.amend(|r, reply| match r.method.as_str() {
        "POST" => reply.header("OCI-Chunk-Min-Length", (17 * MIB).to_string()),
        _ => reply,
    });

    copied(&from, &to).await;

    assert_eq!(to.blob("a/b", &digest(&layer)), Some(layer));
    let parts = parts(&to);
    let pieces: Vec<_> = parts
        .iter()
        .filter(|p| p.starts_with("PATCH") && p.len() > 9)
        .collect();
    assert_eq!(pieces, ["PATCH 0-17825791", "PATCH 17825792-18874367"]);
}

#[tokio::test]
async fn answers_may_have_other_statuses_and_leave_out_what_they_should_say() {
    for (patched, put, whole) in [(202, 201, true), (201, 204, false), (204, 202, false)] {
        let (from, to) = (Registry::start().await, Registry::start().await);
        let layer = layered(&from, 2 * MIB);
        to.hook(move |r| {
            let refused = !whole && r.is("PUT", "/uploads/") && r.length() > 0;
            refused.then(|| Reply::new(400))
        });
        let host = to.host.clone();
        to.amend(move |r, reply| match r.method.as_str() {
            // absolute, and for each piece the same
            "POST" => {
                let location = format!("http://{host}{}", reply.headers[0].1);
                Reply::new(202).header("Location", location)
            }
            "PATCH" if reply.status == 202 => Reply::new(patched),
            "PUT" if reply.status == 201 => Reply::new(put),
            _ => reply,
        });

        copied(&from, &to).await;

        assert_eq!(to.blob("a/b", &digest(&layer)), Some(layer));
    }
}

#[tokio::test]
async fn an_upload_without_a_location_is_an_error_that_says_so() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    layered(&from, 1000);
    to.hook(|r| (r.method == "POST").then(|| Reply::new(202)));

    let error = copy(&copier(), &request(&from, &to, "a/b:1"))
        .await
        .unwrap_err();

    assert!(error.to_string().contains("without a Location"), "{error}");
}

#[tokio::test]
async fn a_blob_that_the_registry_stored_as_another_never_leads_to_a_manifest() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    layered(&from, 1000);
    to.amend(|r, reply| {
        let other = format!("sha256:{}", "0".repeat(64));
        if r.is("PUT", "/uploads/") {
            reply.header("Docker-Content-Digest", other)
        } else {
            reply
        }
    });
    to.hook(|r| (r.is("HEAD", "/blobs/")).then(|| Reply::new(404)));

    let error = copy(&copier(), &request(&from, &to, "a/b:1"))
        .await
        .unwrap_err();

    assert!(error.to_string().contains("stored sha256:000"), "{error}");
    assert_eq!(to.manifest("a/b", "1"), None);
}

#[tokio::test]
async fn sha512_digests_are_checked_like_others() {
    let sha512 = |bytes: &[u8]| digest_like("sha512:", bytes);
    for honest in [true, false] {
        let (from, to) = (Registry::start().await, Registry::start().await);
        let layer = bytes(2, 200_000);
        let name = sha512(&layer);
        let mut given = layer.clone();
        given[7] ^= u8::from(!honest);
        from.put_blob_as("a/b", &name, &given);
        let child = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"x","digest":"{name}","size":200000}},"layers":[]}}"#
        );
        let child_name = sha512(child.as_bytes());
        from.put_manifest("a/b", &child_name, MANIFEST, child.as_bytes());
        let index = format!(
            r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{{"mediaType":"{MANIFEST}","digest":"{child_name}","size":{}}}]}}"#,
            child.len()
        );
        from.put_manifest("a/b", "1", INDEX, index.as_bytes());

        let result = copy(&copier(), &request(&from, &to, "a/b:1")).await;

        assert_eq!(result.is_ok(), honest, "{result:?}");
        assert_eq!(to.blob("a/b", &name), honest.then_some(layer));
        let there = to.manifest("a/b", &child_name);
        assert_eq!(there.is_some(), honest);
    }
}

#[tokio::test]
async fn a_manifest_by_sha512_that_is_another_is_refused() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let manifest = image(&from, "a/b", &[b"config"]);
    let name = digest_like("sha512:", b"something else");
    from.put_manifest("a/b", &name, MANIFEST, &manifest);
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{{"mediaType":"{MANIFEST}","digest":"{name}","size":{}}}]}}"#,
        manifest.len()
    );
    from.put_manifest("a/b", "1", INDEX, index.as_bytes());

    let error = copy(&copier(), &request(&from, &to, "a/b:1"))
        .await
        .unwrap_err();

    assert!(
        error.to_string().contains("the bytes are sha512:"),
        "{error}"
    );
    assert!(to.log().iter().all(|r| !r.is("PUT", "/manifests/")));
}

#[tokio::test]
async fn a_digest_that_cannot_be_checked_and_a_manifest_without_end_are_refused() {
    let unknown = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"x","digest":"sha384:{}","size":2}},"layers":[]}}"#,
        "a".repeat(96)
    );
    let endless = format!(r#"{{"schemaVersion":2,"x":"{}"}}"#, "y".repeat(9 * MIB));
    for (manifest, words) in [
        (unknown, "neither sha256 nor sha512"),
        (endless, "larger than"),
    ] {
        let (from, to) = (Registry::start().await, Registry::start().await);
        from.put_manifest("a/b", "1", MANIFEST, manifest.as_bytes());

        let error = copy(&copier(), &request(&from, &to, "a/b:1"))
            .await
            .unwrap_err();

        assert!(error.to_string().contains(words), "{error}");
        assert!(to.log().iter().all(|r| r.method != "PUT"));
    }
}
