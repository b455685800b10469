//! Signatures, attestations and SBOMs: where they are found, and how they arrive.

use super::server::Reply;
use super::*;
use image_cloner::registry::Referrers;
use serde_json::{Value, json};
use std::sync::Mutex;

/// By subject: the entries of its list.
type Lists = Arc<Mutex<BTreeMap<String, Vec<Value>>>>;

/// An engine that copies what refers to images.
fn engine() -> Engine {
    Engine {
        copier: Copier::new(4).with(Extras {
            referrers: true,
            ..Extras::default()
        }),
        ..copier()
    }
}

/// Copies `a/b:1` and gives what became of its referrers.
async fn bring(engine: &Engine, from: &Registry, to: &Registry) -> Referrers {
    let copied = copy(engine, &request(from, to, "a/b:1")).await.unwrap();
    copied.referrers.unwrap()
}

fn copied(count: usize) -> Referrers {
    Referrers {
        copied: count,
        ..Referrers::default()
    }
}

/// Something that refers to a manifest, with a blob of its own; put into the repository by its digest.
fn referrer(registry: &Registry, subject: &[u8], text: &str) -> Vec<u8> {
    let config = registry.put_blob("a/b", b"{}");
    let blob = registry.put_blob("a/b", text.as_bytes());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": "application/x-signature",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2},
        "layers": [{"mediaType": "text/plain", "digest": blob, "size": text.len()}],
        "subject": {"mediaType": MANIFEST, "digest": digest(subject), "size": subject.len()},
        "annotations": {"says": text},
    });
    let bytes = manifest.to_string().into_bytes();
    registry.put_manifest("a/b", &digest(&bytes), MANIFEST, &bytes);
    bytes
}

fn entry(manifest: &[u8]) -> Value {
    let document: Value = serde_json::from_slice(manifest).unwrap();
    json!({
        "mediaType": MANIFEST,
        "digest": digest(manifest),
        "size": manifest.len(),
        "artifactType": document["artifactType"],
        "annotations": document["annotations"],
    })
}

fn list(entries: &[Value]) -> Vec<u8> {
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
    index.to_string().into_bytes()
}

/// Gives a registry the referrers API: one entry a page, kept up as manifests are pushed.
fn with_api(registry: &Registry) -> Lists {
    let lists = Lists::default();
    let (kept, own) = (Arc::clone(&lists), registry.clone());
    registry.hook(move |r| {
        if r.is("PUT", "/manifests/sha256:") {
            let document: Value = serde_json::from_slice(&r.body).unwrap();
            let subject = document["subject"]["digest"].as_str()?.to_owned();
            let digest = digest(&r.body);
            own.put_later("a/b", &digest, r.header("content-type")?, &r.body);
            let mut kept = kept.lock().unwrap();
            kept.entry(subject.clone())
                .or_default()
                .push(entry(&r.body));
            return Some(
                Reply::new(201)
                    .header("OCI-Subject", subject)
                    .header("Docker-Content-Digest", digest),
            );
        }
        let subject = r.path.strip_prefix("/v2/a/b/referrers/")?;
        let kept = kept.lock().unwrap();
        let entries = kept.get(subject).cloned().unwrap_or_default();
        let page: usize = r.parameter("page").map_or(0, |page| page.parse().unwrap());
        let shown = entries.get(page..=page).unwrap_or_default();
        let mut reply = Reply::new(200)
            .header("Content-Type", INDEX)
            .body(list(shown));
        if page + 1 < entries.len() {
            let next = format!("<{}?page={}>; rel=\"next\"", r.path, page + 1);
            reply = reply.header("Link", next);
        }
        Some(reply)
    });
    lists
}

/// Puts entries into the list of a registry with the API.
fn known(lists: &Lists, subject: &[u8], manifests: &[&[u8]]) {
    let entries = manifests.iter().map(|manifest| entry(manifest));
    let mut lists = lists.lock().unwrap();
    lists.entry(digest(subject)).or_default().extend(entries);
}

fn fallback(subject: &[u8]) -> String {
    digest(subject).replace(':', "-")
}

fn cosign(subject: &[u8], ending: &str) -> String {
    format!("{}.{ending}", fallback(subject))
}

/// The digests of the clients' list for a manifest.
fn kept_list(registry: &Registry, subject: &[u8]) -> Vec<String> {
    let Some((kind, bytes)) = registry.manifest("a/b", &fallback(subject)) else {
        return Vec::new();
    };
    assert_eq!(kind, INDEX);
    let index: Value = serde_json::from_slice(&bytes).unwrap();
    let entries = index["manifests"].as_array().unwrap().iter();
    entries
        .map(|entry| entry["digest"].as_str().unwrap().to_owned())
        .collect()
}

fn assert_has(registry: &Registry, manifest: &[u8]) {
    let there = registry.manifest("a/b", &digest(manifest));
    assert_eq!(there.map(|(_, bytes)| bytes).as_deref(), Some(manifest));
    let document: Value = serde_json::from_slice(manifest).unwrap();
    for layer in document["layers"].as_array().unwrap() {
        assert!(
            registry
                .blob("a/b", layer["digest"].as_str().unwrap())
                .is_some()
        );
    }
}

#[tokio::test]
async fn what_a_registry_lists_page_by_page_arrives_where_the_registry_lists_it_too() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let image = simple(&from);
    let (lists, listed) = (with_api(&from), with_api(&to));
    let (first, second) = (
        referrer(&from, &image, "one"),
        referrer(&from, &image, "two"),
    );
    let on_first = referrer(&from, &first, "signs one");
    known(&lists, &image, &[&first, &second]);
    // and round in a circle
    known(&lists, &first, &[&on_first]);
    known(&lists, &on_first, &[&first]);

    assert_eq!(bring(&engine(), &from, &to).await, copied(3));

    for manifest in [&first, &second, &on_first] {
        assert_has(&to, manifest);
    }
    assert_eq!(listed.lock().unwrap()[&digest(&image)].len(), 2);
    // the registry keeps the list
    assert_eq!(to.manifest("a/b", &fallback(&image)), None);
}

#[tokio::test]
async fn a_target_without_a_list_of_its_own_gets_one_from_us_beside_what_others_put_on_it() {
    for status in [404, 405] {
        let (from, to) = (Registry::start().await, Registry::start().await);
        let image = simple(&from);
        let lists = with_api(&from);
        let ours = referrer(&from, &image, "ours");
        known(&lists, &image, &[&ours]);
        let mut others = entry(b"{\"somebody\": \"else's\"}");
        others["theirs"] = json!("stays");
        to.put_manifest("a/b", &fallback(&image), INDEX, &list(&[others.clone()]));
        to.hook(move |r| r.path.contains("/referrers/").then(|| Reply::new(status)));

        assert_eq!(bring(&engine(), &from, &to).await, copied(1));

        assert_has(&to, &ours);
        let (kind, bytes) = to.manifest("a/b", &fallback(&image)).unwrap();
        assert_eq!(kind, INDEX);
        let index: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(index["manifests"], json!([others, entry(&ours)]));
    }
}

#[tokio::test]
async fn a_source_without_a_list_of_its_own_is_asked_for_the_one_of_its_clients() {
    for reply in [
        Reply::new(404),
        Reply::new(405),
        Reply::error(403, "DENIED", "no such question"),
        Reply::new(200)
            .header("Content-Type", "text/html")
            .body("<html>"),
        Reply::new(200).body("{}"),
    ] {
        let (from, to) = (Registry::start().await, Registry::start().await);
        let image = simple(&from);
        let signature = referrer(&from, &image, "signed");
        from.put_manifest("a/b", &fallback(&image), INDEX, &list(&[entry(&signature)]));
        let status = reply.status;
        from.hook(move |r| r.path.contains("/referrers/").then(|| reply.clone()));

        assert_eq!(bring(&engine(), &from, &to).await, copied(1), "{status}");

        assert_has(&to, &signature);
        assert_eq!(kept_list(&to, &image), [digest(&signature)]);
    }
}

#[tokio::test]
async fn signatures_of_an_index_and_of_each_platform_arrive_by_cosigns_tags() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let amd = image(&from, "a/b", &[&bytes(1, 300)]);
    let arm = image(&from, "a/b", &[&bytes(4, 300)]);
    let platforms: [(&str, &[u8]); 2] = [("linux/amd64", &amd), ("linux/arm64", &arm)];
    let whole = index(&from, "a/b", &platforms);
    from.put_manifest("a/b", "1", INDEX, &whole);
    let sbom = image(&from, "a/b", &[b"{}", b"sbom"]);
    let tags = [
        (
            cosign(&whole, "sig"),
            image(&from, "a/b", &[b"{}", b"signs all"]),
        ),
        (
            cosign(&amd, "att"),
            image(&from, "a/b", &[b"{}", b"attests amd64"]),
        ),
        (cosign(&arm, "sbom"), sbom.clone()),
        (
            cosign(&sbom, "sig"),
            image(&from, "a/b", &[b"{}", b"signs the sbom"]),
        ),
    ];
    for (tag, manifest) in &tags {
        from.put_manifest("a/b", tag, MANIFEST, manifest);
    }

    assert_eq!(bring(&engine(), &from, &to).await, copied(4));

    for (tag, manifest) in &tags {
        assert_eq!(&to.manifest("a/b", tag).unwrap().1, manifest);
        assert_has(&to, manifest);
    }
}

#[tokio::test]
async fn a_second_run_pushes_nothing_and_asks_little() {
    for target_lists in [true, false] {
        let (from, to) = (Registry::start().await, Registry::start().await);
        let image = simple(&from);
        let lists = with_api(&from);
        if target_lists {
            with_api(&to);
        }
        known(&lists, &image, &[&referrer(&from, &image, "signed")]);
        let sig = super::image(&from, "a/b", &[b"{}", b"signature"]);
        from.put_manifest("a/b", &cosign(&image, "sig"), MANIFEST, &sig);
        assert_eq!(bring(&engine(), &from, &to).await, copied(2));
        from.log();
        to.log();

        assert_eq!(bring(&engine(), &from, &to).await, copied(0));

        let manifest_reads = from.lines().into_iter();
        let manifest_reads =
            manifest_reads.filter(|line| line.starts_with("GET /v2/a/b/manifests"));
        assert_eq!(manifest_reads.count(), 0);
        let asked = to.lines();
        assert!(asked.len() <= 8, "{asked:?}");
        let reads = |line: &String| line.starts_with("GET ") || line.starts_with("HEAD ");
        assert!(asked.iter().all(reads), "{asked:?}");
    }
}

#[tokio::test]
async fn a_list_that_somebody_else_writes_at_the_same_time_ends_with_both_entries() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let image = simple(&from);
    let lists = with_api(&from);
    let ours = referrer(&from, &image, "ours");
    known(&lists, &image, &[&ours]);
    let theirs = entry(b"{\"somebody\": \"else's\"}");
    let (other, tag) = (to.clone(), fallback(&image));
    let overwritten = list(std::slice::from_ref(&theirs));
    let mut first = true;
    to.hook(move |r| {
        let is_list = r.is("PUT", &tag) && std::mem::take(&mut first);
        is_list.then(|| {
            other.put_later("a/b", &tag, INDEX, &overwritten);
            Reply::new(201)
        })
    });

    assert_eq!(bring(&engine(), &from, &to).await, copied(1));

    let expected = [theirs["digest"].as_str().unwrap().to_owned(), digest(&ours)];
    assert_eq!(kept_list(&to, &image), expected);
}

#[tokio::test]
async fn a_registry_that_compares_refuses_a_list_that_was_changed_meanwhile() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let image = simple(&from);
    let lists = with_api(&from);
    let ours = referrer(&from, &image, "ours");
    known(&lists, &image, &[&ours]);
    let (one, two) = (entry(b"{\"one\": 1}"), entry(b"{\"two\": 2}"));
    let both = list(&[one.clone(), two.clone()]);
    let (other, tag) = (to.clone(), fallback(&image));
    let mut version = 1;
    to.put_manifest("a/b", &tag, INDEX, &list(std::slice::from_ref(&one)));
    to.hook(move |r| {
        if !r.path.ends_with(&tag) {
            return None;
        }
        if r.method == "GET" {
            let (kind, bytes) = (
                INDEX,
                if version == 1 {
                    list(std::slice::from_ref(&one))
                } else {
                    both.clone()
                },
            );
            let reply = Reply::new(200).header("Content-Type", kind).body(bytes);
            return (version < 3).then(|| reply.header("ETag", format!("\"{version}\"")));
        }
        let expected = format!("\"{version}\"");
        version += 1;
        if version == 2 {
            other.put_later("a/b", &tag, INDEX, &both);
            return Some(Reply::new(412));
        }
        (r.header("if-match") != Some(&expected)).then(|| Reply::new(412))
    });

    assert_eq!(bring(&engine(), &from, &to).await, copied(1));

    assert_eq!(kept_list(&to, &image).len(), 3);
}

#[tokio::test]
async fn a_tag_of_cosigns_that_differs_moves_and_keeps_what_it_had() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let signed = simple(&from);
    let tag = cosign(&signed, "sig");
    let ours = image(&from, "a/b", &[b"{}", b"ours"]);
    from.put_manifest("a/b", &tag, MANIFEST, &ours);
    let theirs = image(&to, "a/b", &[b"{}", b"theirs"]);
    to.put_manifest("a/b", &tag, MANIFEST, &theirs);

    let came_to = bring(&engine(), &from, &to).await;

    let kept = format!("{tag}-replaced-{}", &digest(&theirs)[7..19]);
    assert_eq!(came_to.kept, [(tag.clone(), kept.clone())]);
    assert_eq!(to.manifest("a/b", &tag).unwrap().1, ours);
    assert_eq!(to.manifest("a/b", &kept).unwrap().1, theirs);
}

#[tokio::test]
async fn a_signature_that_was_added_to_the_copy_stays_under_its_tag() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let signed = simple(&from);
    let tag = cosign(&signed, "sig");
    let ours = image(&from, "a/b", &[b"{}", b"ours"]);
    from.put_manifest("a/b", &tag, MANIFEST, &ours);
    let both = image(&to, "a/b", &[b"{ }", b"ours", b"theirs"]);
    to.put_manifest("a/b", &tag, MANIFEST, &both);

    assert_eq!(bring(&engine(), &from, &to).await, copied(0));

    assert_eq!(to.manifest("a/b", &tag).unwrap().1, both);
}

#[tokio::test]
async fn what_cannot_be_copied_fails_neither_the_image_nor_the_rest() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let image = simple(&from);
    let lists = with_api(&from);
    let (broken, whole) = (
        referrer(&from, &image, "broken"),
        referrer(&from, &image, "whole"),
    );
    known(&lists, &image, &[&broken, &whole]);
    from.drop_blob("a/b", &digest(b"broken"));
    let refused = cosign(&image, "att");
    from.hook(move |r| {
        r.path
            .ends_with(&refused)
            .then(|| Reply::error(400, "ODD", "no"))
    });

    let came_to = bring(&engine(), &from, &to).await;

    assert_eq!(to.manifest("a/b", "1").unwrap().1, image);
    assert_eq!(came_to.copied, 1);
    assert_eq!(came_to.failures.len(), 2, "{:?}", came_to.failures);
    assert!(
        came_to
            .failures
            .iter()
            .any(|why| why.contains("BLOB_UNKNOWN"))
    );
    // what is not there is not listed
    assert_eq!(to.manifest("a/b", &digest(&broken)), None);
    assert_eq!(kept_list(&to, &image), [digest(&whole)]);
}

#[tokio::test]
async fn a_tag_in_the_way_of_the_list_is_left_alone_and_told_of() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let image = simple(&from);
    let lists = with_api(&from);
    known(&lists, &image, &[&referrer(&from, &image, "signed")]);
    let theirs = super::image(&to, "a/b", &[b"theirs"]);
    to.put_manifest("a/b", &fallback(&image), MANIFEST, &theirs);

    let came_to = bring(&engine(), &from, &to).await;

    assert!(
        came_to.failures[0].contains("something else"),
        "{:?}",
        came_to.failures
    );
    assert_eq!(to.manifest("a/b", &fallback(&image)).unwrap().1, theirs);
}

#[tokio::test]
async fn a_list_without_end_is_given_up() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    simple(&from);
    let mut page = 0;
    from.hook(move |r| {
        r.path.contains("/referrers/").then(|| {
            page += 1;
            let next = format!("<{}?page={page}>; rel=\"next\"", r.path);
            Reply::new(200).header("Link", next).body(list(&[]))
        })
    });

    let came_to = bring(&engine(), &from, &to).await;

    assert!(
        came_to.failures[0].contains("referrers"),
        "{:?}",
        came_to.failures
    );
    assert!(from.log().len() < 200);
}

#[tokio::test]
async fn nothing_is_asked_about_referrers_where_nobody_wants_them() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    simple(&from);

    let copied = copy(&copier(), &request(&from, &to, "a/b:1"))
        .await
        .unwrap();

    assert_eq!(copied.referrers, None);
    for registry in [&from, &to] {
        let asked = registry.lines();
        let about = |line: &String| line.contains("sha256-") || line.contains("/referrers/");
        assert!(!asked.iter().any(about), "{asked:?}");
    }
}
