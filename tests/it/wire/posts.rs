//! Blobs by one POST: where a registry takes them so, and what becomes of them where it does not, or says so
//! and does not.

use super::logins::guard;
use super::server::{Break, Reply, Request as Asked};
use super::*;

const MIB: usize = 1 << 20;

/// `a/b:TAG` over these blobs.
fn tagged(registry: &Registry, tag: &str, blobs: &[Vec<u8>]) {
    let parts: Vec<_> = blobs.iter().map(Vec::as_slice).collect();
    let manifest = image(registry, "a/b", &parts);
    registry.put_manifest("a/b", tag, MANIFEST, &manifest);
}

/// Small blobs of their own.
fn small(seed: u8, count: usize) -> Vec<Vec<u8>> {
    let length = |n| 1000 + usize::from(seed) * 100 + n;
    (0..count).map(|n| bytes(seed, length(n))).collect()
}

fn is_posted(r: &Asked) -> bool {
    r.is("POST", "/uploads/") && r.parameter("digest").is_some()
}

/// How a target was asked about blobs, in the order of the requests: `POST blob`, `POST`, `PUT`, `HEAD`.
fn steps(registry: &Registry) -> Vec<String> {
    let log = registry.log();
    let asked = log.iter().filter(|r| r.path.contains("/blobs/"));
    let step = |r: &Asked| match r.length() {
        0 => r.method.clone(),
        _ => format!("{} blob", r.method),
    };
    asked.map(step).collect()
}

async fn copy_tag(engine: &Engine, from: &Registry, to: &Registry, tag: &str) {
    let request = request(from, to, &format!("a/b:{tag}"));
    copy(engine, &request).await.unwrap();
}

fn has_all(registry: &Registry, blobs: &[Vec<u8>]) {
    for blob in blobs {
        assert_eq!(registry.blob("a/b", &digest(blob)).as_ref(), Some(blob));
    }
}

/// Copies an image of one blob, then one of five, to a target that answers a blob by POST so; gives the
/// steps of both.
async fn twice(
    answer: impl FnMut(&Asked) -> Option<Reply> + Send + 'static,
) -> (Vec<String>, Vec<String>) {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let (one, five) = (small(1, 1), small(2, 5));
    tagged(&from, "1", &one);
    tagged(&from, "2", &five);
    let mut answer = answer;
    to.hook(move |r| is_posted(r).then(|| answer(r)).flatten());
    let engine = copier();
    copy_tag(&engine, &from, &to, "1").await;
    let first = steps(&to);
    copy_tag(&engine, &from, &to, "2").await;
    has_all(&to, &one);
    has_all(&to, &five);
    // nothing is read again for having been sent in vain
    let reads = from.log().into_iter().filter(|r| r.is("GET", "/blobs/"));
    assert_eq!(reads.count(), 6);
    (first, steps(&to))
}

#[tokio::test]
async fn where_a_registry_takes_it_a_blob_is_one_request() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    to.takes_posts();
    let (one, five) = (small(1, 1), small(2, 5));
    let large = [bytes(3, 70_000), bytes(4, 4 * MIB), bytes(5, 4 * MIB + 1)];
    tagged(&from, "1", &one);
    tagged(&from, "2", &five);
    tagged(&from, "3", &large);
    let engine = copier();

    copy_tag(&engine, &from, &to, "1").await;
    // the first one is looked at
    assert_eq!(steps(&to), ["POST blob", "HEAD"]);

    copy_tag(&engine, &from, &to, "2").await;
    let log = to.log();
    let posted: Vec<_> = log.iter().filter(|r| r.path.contains("/blobs/")).collect();
    assert_eq!(posted.len(), 5, "{posted:#?}");
    for request in posted {
        assert!(is_posted(request));
        assert_eq!(
            request.header("content-type"),
            Some("application/octet-stream")
        );
        assert_eq!(request.header("transfer-encoding"), None);
        assert_eq!(request.parameter("digest"), Some(digest(&request.body)));
    }

    // one that takes long goes where it can go on
    copy_tag(&engine, &from, &to, "3").await;
    let mut third = steps(&to);
    third.sort_unstable();
    assert_eq!(
        third,
        ["HEAD", "POST", "POST blob", "POST blob", "PUT blob"]
    );
    for blobs in [&one[..], &five, &large] {
        has_all(&to, blobs);
    }
}

#[tokio::test]
async fn one_blob_finds_out_while_the_others_wait_for_nothing() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    to.takes_posts();
    let blobs = small(1, 8);
    tagged(&from, "1", &blobs);
    // what the first POST with a blob asks for is answered when all others are there
    let others = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&others);
    to.hook(move |r| {
        if r.is("PUT", "/uploads/") {
            seen.fetch_add(1, Ordering::Relaxed);
        }
        None
    });
    let first = digest(&blobs[0]);
    let (done, held) = (Arc::clone(&others), first.clone());
    from.hook(move |r| {
        let early = r.is("GET", &held) && done.load(Ordering::Relaxed) < 7;
        early.then(|| Reply::new(503))
    });

    copy_tag(&copier(), &from, &to, "1").await;

    has_all(&to, &blobs);
    let log = to.log();
    let posted: Vec<_> = log.iter().filter(|r| is_posted(r)).collect();
    assert_eq!(posted.len(), 1);
    assert_eq!(posted[0].parameter("digest"), Some(first));
}

#[tokio::test]
async fn a_registry_that_opens_a_session_instead_is_tried_once_and_its_session_used() {
    let (first, second) = twice(|_| None).await;

    assert_eq!(first, ["POST blob", "PUT blob"]);
    let of = |what: &str| second.iter().filter(|step| *step == what).count();
    assert_eq!((of("POST"), of("PUT blob"), second.len()), (5, 5, 10));
}

#[tokio::test]
async fn a_registry_that_refuses_is_tried_once() {
    for status in [200, 301, 400, 404, 405, 411, 413, 415, 501] {
        let (first, second) = twice(move |_| Some(Reply::new(status))).await;

        if status > 301 {
            assert_eq!(first, ["POST blob", "POST", "PUT blob"], "{status}");
        }
        let tries = [first, second].concat();
        let posted = tries.iter().filter(|step| *step == "POST blob").count();
        // what says neither is not tried for ever
        assert!(posted <= if status > 301 { 1 } else { 3 }, "{status}");
    }
}

#[tokio::test]
async fn a_registry_that_stored_nothing_is_not_believed() {
    let other = format!("sha256:{}", "0".repeat(64));
    let stored = |status| Reply::new(status);
    let answers = [
        (stored(201), 1),
        (stored(204), 1),
        // it is asked for after the pause that wrong bytes have
        (stored(201).header("Docker-Content-Digest", other), 1),
    ];
    for (answer, looks) in answers {
        let (first, second) = twice(move |_| Some(answer.clone())).await;

        assert_eq!(first.iter().filter(|step| *step == "HEAD").count(), looks);
        assert_eq!(first.last().unwrap(), "PUT blob");
        assert!(!second.contains(&"POST blob".to_owned()), "{second:?}");
    }
}

#[tokio::test]
async fn a_registry_that_drops_blobs_later_gets_them_all_in_sessions() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    to.takes_posts();
    let (one, five) = (small(1, 1), small(2, 5));
    tagged(&from, "1", &one);
    tagged(&from, "2", &five);
    let engine = copier();
    copy_tag(&engine, &from, &to, "1").await;
    to.log();
    to.hook(|r| is_posted(r).then(|| Reply::new(201)));
    let (there, wanted) = (to.clone(), five.clone());
    let refusal = Reply::error(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry");
    to.amend({
        let mut sent = 0;
        move |r, reply| {
            sent += usize::from(r.is("PUT", "/uploads/"));
            let misses = r.is("PUT", "/manifests/") && sent < 5;
            if misses { refusal.clone() } else { reply }
        }
    });

    copy_tag(&engine, &from, &to, "2").await;

    has_all(&there, &wanted);
}

#[tokio::test]
async fn what_is_taken_no_more_goes_in_sessions_again() {
    let answers = [
        Reply::new(202).header("Location", Registry::hooked_upload("a/b")),
        Reply::new(405),
        Reply::new(307).header("Location", "/v2/a/b/elsewhere"),
        Reply::new(201).header("Docker-Content-Digest", digest(b"another")),
    ];
    for answer in answers {
        let (from, to) = (Registry::start().await, Registry::start().await);
        to.takes_posts();
        let [one, two, three] = [small(1, 1), small(2, 1), small(3, 1)];
        tagged(&from, "1", &one);
        tagged(&from, "2", &two);
        tagged(&from, "3", &three);
        let engine = copier();
        copy_tag(&engine, &from, &to, "1").await;
        to.log();
        let status = answer.status;
        to.hook(move |r| is_posted(r).then(|| answer.clone()));

        copy_tag(&engine, &from, &to, "2").await;
        let second = steps(&to);
        let expected: &[&str] = match status {
            202 => &["POST blob", "PUT blob"],
            // after wrong bytes the registry is asked whether it has the right ones
            201 => &["POST blob", "HEAD", "POST", "PUT blob"],
            _ => &["POST blob", "POST", "PUT blob"],
        };
        assert_eq!(second, expected);

        copy_tag(&engine, &from, &to, "3").await;
        if status != 307 {
            assert_eq!(steps(&to), ["POST", "PUT blob"]);
        }
        for blobs in [one, two, three] {
            has_all(&to, &blobs);
        }
    }
}

#[tokio::test]
async fn an_answer_before_the_last_byte_is_not_believed() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    to.takes_posts();
    tagged(&from, "1", &small(1, 1));
    let large = [bytes(4, 4 * MIB)];
    tagged(&from, "2", &large);
    let engine = copier();
    copy_tag(&engine, &from, &to, "1").await;
    to.breaks(|r| {
        is_posted(r).then(|| Break {
            after: 70_000,
            reply: Some(Reply::new(201)),
            silent: false,
        })
    });

    copy_tag(&engine, &from, &to, "2").await;

    has_all(&to, &large);
}

#[tokio::test]
async fn a_session_that_has_the_blob_already_is_not_given_it_twice() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let blobs = small(1, 1);
    tagged(&from, "1", &blobs);
    // the body goes into the session that is opened: a second one is too many
    let mut is_full = false;
    to.hook(move |r| {
        is_full |= is_posted(r);
        let doubled = r.is("PUT", "/uploads/") && std::mem::take(&mut is_full);
        doubled.then(|| Reply::error(400, "DIGEST_INVALID", "provided digest did not match"))
    });

    copy_tag(&copier(), &from, &to, "1").await;

    has_all(&to, &blobs);
}

/// What goes wrong with the first blob by POST.
type Wrong = fn(&Registry);

#[tokio::test]
async fn what_passes_tells_nothing_of_a_registry_and_loses_no_blob() {
    let cases: [(&str, Wrong); 7] = [
        ("cut before the body", |to| cut(to, 0)),
        ("cut in the middle", |to| cut(to, 600)),
        ("503", |to| once(to, Reply::new(503))),
        ("429", |to| {
            once(to, Reply::new(429).header("Retry-After", "1"));
        }),
        ("403", |to| once(to, Reply::error(403, "DENIED", "no"))),
        ("401", |to| once(to, Reply::new(401))),
        ("wrong on the way", |to| {
            once(to, Reply::error(400, "DIGEST_INVALID", "did not match"));
        }),
    ];
    for (name, wrong) in cases {
        for believed in [false, true] {
            let (from, to) = (Registry::start().await, Registry::start().await);
            to.takes_posts();
            let [zero, one, two, three] = [0, 1, 2, 3].map(|seed| small(seed, 1));
            let images = [("0", &zero), ("1", &one), ("2", &two), ("3", &three)];
            for (tag, blobs) in images {
                tagged(&from, tag, blobs);
            }
            let engine = copier();
            if believed {
                copy_tag(&engine, &from, &to, "0").await;
                to.log();
            }
            wrong(&to);

            copy_tag(&engine, &from, &to, "1").await;
            let first = steps(&to);
            assert_eq!(first.last().unwrap(), "PUT blob", "{name}: {first:?}");

            copy_tag(&engine, &from, &to, "2").await;
            let looked: &[&str] = if believed { &[] } else { &["HEAD"] };
            let expected = [&["POST blob"], looked].concat();
            assert_eq!(steps(&to), expected, "{name} {believed}");
            copy_tag(&engine, &from, &to, "3").await;
            assert_eq!(steps(&to), ["POST blob"], "{name} {believed}");
            for blobs in [&one, &two, &three] {
                has_all(&to, blobs);
            }
        }
    }
}

fn once(to: &Registry, reply: Reply) {
    let mut reply = Some(reply);
    to.hook(move |r| is_posted(r).then(|| reply.take()).flatten());
}

fn cut(to: &Registry, after: usize) {
    let mut broken = false;
    to.breaks(move |r| {
        let here = is_posted(r) && !std::mem::replace(&mut broken, true);
        here.then_some(Break {
            after,
            reply: None,
            silent: false,
        })
    });
}

#[tokio::test]
async fn a_pause_that_is_asked_for_is_kept() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    to.takes_posts();
    tagged(&from, "1", &small(1, 1));
    once(&to, Reply::new(503).header("Retry-After", "1"));
    let told = Told::default();

    copier()
        .copy(&request(&from, &to, "a/b:1"), &told)
        .await
        .unwrap();

    assert!(told.waited.into_inner() >= 1);
}

#[tokio::test]
async fn a_registry_that_always_fails_at_it_is_tried_three_times() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let engine = copier();
    to.hook(|r| is_posted(r).then(|| Reply::new(500)));
    for seed in 1..=5 {
        let blobs = small(seed, 1);
        tagged(&from, &seed.to_string(), &blobs);
        copy_tag(&engine, &from, &to, &seed.to_string()).await;
        has_all(&to, &blobs);
    }
    assert_eq!(to.log().iter().filter(|r| is_posted(r)).count(), 3);
}

#[tokio::test]
async fn a_token_that_lapses_is_renewed_and_asks_for_no_more_than_an_upload_does() {
    for takes in [true, false] {
        let (from, to) = (Registry::start().await, Registry::start().await);
        if takes {
            to.takes_posts();
        }
        let blobs = small(1, 1);
        tagged(&from, "1", &blobs);
        guard(&to, |number, r| number > 1 || !r.is("POST", "/uploads/"));

        copy_tag(&copier(), &from, &to, "1").await;

        has_all(&to, &blobs);
        let log = to.log();
        let asked: Vec<_> = log.iter().filter(|r| r.path == "/token").collect();
        assert_eq!(asked.len(), 2);
        let scope = |r: &&Asked| r.query.replace("%3A", ":").replace("%2F", "/");
        for query in asked.iter().map(scope) {
            let scopes = query.matches("scope=").count();
            assert_eq!(scopes, 1, "{query}");
            assert!(query.contains("repository:a/b:p"), "{query}");
        }
        let posted: Vec<_> = log.iter().filter(|r| is_posted(r)).collect();
        assert!(
            posted[0]
                .header("authorization")
                .unwrap()
                .starts_with("Bearer t1:")
        );
    }
}

#[tokio::test]
async fn a_session_that_a_refused_mount_opened_is_used() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    to.takes_posts();
    let shared = bytes(9, 5000);
    for name in ["a", "b"] {
        let manifest = image(&from, name, &[&shared]);
        from.put_manifest(name, "1", MANIFEST, &manifest);
    }
    to.hook(|r| {
        r.parameter("mount")?;
        Some(Reply::new(202).header("Location", Registry::hooked_upload("b")))
    });
    let engine = copier();
    copy(&engine, &request(&from, &to, "a:1")).await.unwrap();
    to.log();

    copy(&engine, &request(&from, &to, "b:1")).await.unwrap();

    assert_eq!(to.blob("b", &digest(&shared)), Some(shared));
    assert_eq!(steps(&to), ["POST", "PUT blob"]);
}

#[tokio::test]
async fn a_wrong_source_sends_no_last_byte() {
    for believed in [false, true] {
        let (from, to) = (Registry::start().await, Registry::start().await);
        to.takes_posts();
        tagged(&from, "0", &small(0, 1));
        let blobs = small(1, 1);
        tagged(&from, "1", &blobs);
        let (path, mut wrong) = (digest(&blobs[0]), blobs[0].clone());
        wrong[7] ^= 1;
        from.hook(move |r| {
            r.is("GET", &path)
                .then(|| Reply::new(200).body(wrong.clone()))
        });
        let engine = copier();
        if believed {
            copy_tag(&engine, &from, &to, "0").await;
            to.log();
        }

        let copied = copy(&engine, &request(&from, &to, "a/b:1")).await;

        let error = copied.unwrap_err().to_string();
        assert!(error.contains("the bytes are sha256:"), "{error}");
        // only what arrived whole is listed
        let log = to.log();
        assert!(log.iter().all(|r| r.length() == 0), "{log:#?}");
    }
}
