//! What a copy does when everybody behaves.

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
