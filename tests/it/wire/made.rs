//! Images that were made here, on their way into a registry.

use super::server::{Break, Reply};
use super::*;
use image_cloner::execute::agent_image;
use image_cloner::registry::Made;

const MIB: usize = 1024 * 1024;

/// An index of two images that share no blob; gives the second's layer too.
fn made() -> (Made, Vec<u8>) {
    let mut made = Made {
        name: "made.internal".to_owned(),
        root: Default::default(),
        children: Vec::new(),
        blobs: Vec::new(),
        referrers: BTreeMap::new(),
    };
    let layer = bytes(7, 3 * MIB);
    let mut entries = Vec::new();
    for layer in [bytes(6, 5000), layer.clone()] {
        let config = bytes(layer[0], 200);
        let describe = |blob: &[u8]| {
            format!(
                r#"{{"mediaType":"application/x","digest":"{}","size":{}}}"#,
                digest(blob),
                blob.len()
            )
        };
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{},"layers":[{}]}}"#,
            describe(&config),
            describe(&layer)
        );
        entries.push(format!(
            r#"{{"mediaType":"{MANIFEST}","digest":"{}","size":{}}}"#,
            digest(manifest.as_bytes()),
            manifest.len()
        ));
        made.children.push(manifest.into());
        made.blobs.extend([config.into(), layer.into()]);
    }
    made.root = format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#,
        entries.join(",")
    )
    .into();
    (made, layer)
}

async fn push(made: &Made, to: &Registry) -> Copied {
    let target = reference(&format!("{}/agent:v1", to.host));
    let registries = registries(&BTreeMap::new());
    agent_image::push(made, &target, &registries, &Credentials::Anonymous)
        .await
        .unwrap()
}

#[tokio::test]
async fn it_arrives_byte_for_byte_although_an_upload_breaks() {
    let to = Registry::start().await;
    let mut broken = false;
    to.breaks(move |r| {
        let here = !broken && r.path.contains("/uploads/") && r.length() >= MIB;
        broken |= here;
        here.then_some(Break {
            after: 2 * MIB,
            reply: None,
            silent: false,
        })
    });
    let (made, layer) = made();

    let pushed = push(&made, &to).await;

    assert_eq!(pushed.digest, made.digest());
    assert_eq!(
        to.manifest("agent", "v1"),
        Some((INDEX.to_owned(), made.root.to_vec()))
    );
    for child in &made.children {
        assert!(to.manifest("agent", &digest(child)).is_some());
    }
    assert_eq!(to.blob("agent", &digest(&layer)), Some(layer));
    // what arrived before the break was not sent again
    let resumed = to.log().into_iter().find(|r| r.method == "PATCH");
    let range = resumed.and_then(|r| r.header("content-range").map(str::to_owned));
    assert_eq!(range.as_deref(), Some("2097152-3145727"));
}

#[tokio::test]
async fn pushed_again_it_is_looked_at_and_sends_nothing() {
    let to = Registry::start().await;
    let (made, _) = made();
    push(&made, &to).await;
    to.log();
    push(&made, &to).await;
    let changes: Vec<String> = to.lines();
    let changes = changes
        .iter()
        .filter(|line| !line.starts_with("HEAD ") && !line.starts_with("GET "));
    assert_eq!(changes.collect::<Vec<_>>(), [""; 0]);

    // what somebody deleted is put back
    to.drop_blob("agent", &digest(&made.blobs[0]));
    push(&made, &to).await;
    assert!(to.blob("agent", &digest(&made.blobs[0])).is_some());
}

#[tokio::test]
async fn what_refers_to_it_arrives_behind_it_or_leaves_it_alone() {
    let (mut made, _) = made();
    let subject = made.children[1].clone();
    let sbom = bytes(9, 2000);
    let describe = |kind: &str, blob: &[u8]| serde_json::json!({"mediaType": kind, "digest": digest(blob), "size": blob.len()});
    let kind = "application/vnd.cyclonedx+json";
    let referrer = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": kind,
        "config": describe("application/vnd.oci.empty.v1+json", b"{}"),
        "layers": [describe(kind, &sbom)],
        "subject": describe(MANIFEST, &subject),
    })
    .to_string();
    made.blobs
        .extend([sbom.clone().into(), b"{}".as_slice().into()]);
    let named = digest(&subject).parse().unwrap();
    made.referrers.insert(named, referrer.clone().into());
    let tag = digest(&subject).replace(':', "-");

    // this registry has no list of its own
    let to = Registry::start().await;
    let pushed = push(&made, &to).await;
    assert_eq!(pushed.referrers.unwrap().failures, [""; 0]);
    let there = to.manifest("agent", &digest(referrer.as_bytes())).unwrap();
    assert_eq!(there.1, referrer.as_bytes());
    assert_eq!(to.blob("agent", &digest(&sbom)), Some(sbom));
    let (_, list) = to.manifest("agent", &tag).unwrap();
    let list: serde_json::Value = serde_json::from_slice(&list).unwrap();
    assert_eq!(list["manifests"][0]["digest"], digest(referrer.as_bytes()));
    assert_eq!(list["manifests"][0]["artifactType"], kind);
    // pushed again it is there already
    to.log();
    assert_eq!(push(&made, &to).await.referrers.unwrap().copied, 0);
    assert!(to.lines().iter().all(|line| !line.starts_with("PUT ")));

    // and one that takes no such thing has the image all the same
    let to = Registry::start().await;
    let own = digest(referrer.as_bytes());
    to.hook(move |r| {
        (r.is("PUT", "/manifests/") && r.path.ends_with(&own)).then(|| Reply::new(400))
    });
    let pushed = push(&made, &to).await;
    assert_eq!(pushed.digest, made.digest());
    assert_eq!(pushed.referrers.unwrap().failures.len(), 1);
    assert!(to.manifest("agent", "v1").is_some());
}
