//! Five images that share a base, and the repositories of a real registry that have them or not.

use crate::wire::server::{Request, digest};
use crate::wire::{INDEX, MANIFEST, bytes};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use std::sync::LazyLock;

/// Large enough that an upload of it does not fit into the sockets on the way.
const BIG: usize = 12 * 1024 * 1024;

/// One image, whole.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) repository: String,
    pub(super) tag: String,
    /// Tag or digest, media type and bytes; children first, the tag last.
    manifests: Vec<(String, &'static str, Vec<u8>)>,
    blobs: Vec<Vec<u8>>,
}

/// Images of several layers on one base; one of them is an index, one has a layer that takes its time.
pub(super) fn five() -> Vec<Image> {
    let base = bytes(1, 600_000);
    let plain = ["web", "api", "jobs"].into_iter().zip([10, 20, 30]);
    let mut images: Vec<Image> = plain
        .map(|(name, seed)| {
            let own = [
                bytes(seed, 300),
                bytes(seed + 1, 90_000),
                bytes(seed + 2, 7),
            ];
            single(name, &[&own[0], &base, &own[1], &own[2]])
        })
        .collect();
    images.push(single(
        "data",
        &[&bytes(40, 301), &base, &big_layer(), &bytes(42, 50_000)],
    ));
    let amd = single("multi", &[&bytes(50, 302), &base, &bytes(51, 120_000)]);
    let arm = single("multi", &[&bytes(60, 303), &base, &bytes(61, 130_000)]);
    images.push(index(vec![("amd64", amd), ("arm64", arm)]));
    images
}

/// The layer that takes its time.
fn big_layer() -> Vec<u8> {
    bytes(41, BIG / 256).repeat(256)
}

/// Its digest.
pub(super) fn big() -> &'static str {
    static DIGEST: LazyLock<String> = LazyLock::new(|| digest(&big_layer()));
    &DIGEST
}

fn single(name: &str, blobs: &[&[u8]]) -> Image {
    let describe = |blob: &&[u8]| {
        json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": digest(blob),
            "size": blob.len(),
        })
    };
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": describe(&blobs[0]),
        "layers": blobs[1..].iter().map(describe).collect::<Vec<_>>(),
    });
    Image {
        repository: format!("shop/{name}"),
        tag: "1".to_owned(),
        manifests: vec![("1".to_owned(), MANIFEST, manifest.to_string().into_bytes())],
        blobs: blobs.iter().map(|blob| blob.to_vec()).collect(),
    }
}

fn index(children: Vec<(&str, Image)>) -> Image {
    let mut entries = Vec::new();
    let mut manifests = Vec::new();
    let mut blobs = Vec::new();
    let mut repository = String::new();
    for (architecture, child) in children {
        let (_, kind, bytes) = child.manifests.into_iter().next_back().unwrap();
        entries.push(json!({
            "mediaType": kind,
            "digest": digest(&bytes),
            "size": bytes.len(),
            "platform": {"os": "linux", "architecture": architecture},
        }));
        manifests.push((digest(&bytes), kind, bytes));
        blobs.extend(child.blobs);
        repository = child.repository;
    }
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
    manifests.push(("1".to_owned(), INDEX, index.to_string().into_bytes()));
    Image {
        repository,
        tag: "1".to_owned(),
        manifests,
        blobs,
    }
}

/// What a registry has, asked past any proxy.
#[derive(Debug, Clone)]
pub(super) struct Repositories {
    pub(super) host: String,
    client: Client,
}

impl Repositories {
    pub(super) fn of(host: &str) -> Self {
        let client = Client::builder().tls_certs_only([]).no_proxy();
        Self {
            host: host.to_owned(),
            client: client.build().unwrap(),
        }
    }

    /// Pushes an image.
    pub(super) async fn publish(&self, image: &Image) {
        let base = format!("http://{}/v2/{}", self.host, image.repository);
        for blob in &image.blobs {
            let opened = self.client.post(format!("{base}/blobs/uploads/"));
            let opened = opened.send().await.unwrap();
            let location = opened.headers()["location"].to_str().unwrap();
            let put = self
                .client
                .put(format!("{location}&digest={}", digest(blob)));
            let put = put.body(blob.clone()).send().await.unwrap();
            assert_eq!(put.status(), StatusCode::CREATED);
        }
        for (point, kind, bytes) in &image.manifests {
            let put = self.client.put(format!("{base}/manifests/{point}"));
            let put = put.header("content-type", *kind).body(bytes.clone());
            let put = put.send().await.unwrap();
            assert_eq!(put.status(), StatusCode::CREATED);
        }
    }

    /// What is not as it was, byte for byte, in the copy of an image; nothing is what should come out.
    pub(super) async fn differs(&self, image: &Image, repository: &str) -> Vec<String> {
        let mut differs = Vec::new();
        for (point, kind, bytes) in &image.manifests {
            let found = self.get(repository, &format!("manifests/{point}")).await;
            if found != Some(((*kind).to_owned(), bytes.clone())) {
                differs.push(format!("manifest {point} of {repository}"));
            }
        }
        for blob in &image.blobs {
            let digest = digest(blob);
            let found = self.get(repository, &format!("blobs/{digest}")).await;
            if found.map(|(_, bytes)| bytes).as_ref() != Some(blob) {
                differs.push(format!("blob {digest} of {repository}"));
            }
        }
        differs
    }

    /// What a manifest that is being pushed refers to and is not in its repository, or is wrong there.
    pub(super) async fn lacks(&self, push: &Request) -> Vec<String> {
        let (repository, point) = push.path["/v2/".len()..].split_once("/manifests/").unwrap();
        let document: Value = serde_json::from_slice(&push.body).unwrap();
        let list = |key: &str| document[key].as_array().cloned().unwrap_or_default();
        let children = list("manifests")
            .into_iter()
            .map(|child| ("manifests", child));
        let config = document.get("config").cloned();
        let blobs = config.into_iter().chain(list("layers"));
        let mut lacks = Vec::new();
        for (folder, content) in children.chain(blobs.map(|blob| ("blobs", blob))) {
            let named = content["digest"].as_str().unwrap();
            let found = self.get(repository, &format!("{folder}/{named}")).await;
            let right = found.is_some_and(|(_, bytes)| {
                digest(&bytes) == named && content["size"] == bytes.len()
            });
            if !right {
                lacks.push(format!("{named} for {repository}:{point}"));
            }
        }
        lacks
    }

    async fn get(&self, repository: &str, rest: &str) -> Option<(String, Vec<u8>)> {
        let url = format!("http://{}/v2/{repository}/{rest}", self.host);
        let asked = self.client.get(url).header("accept", MANIFEST);
        let found = asked.header("accept", INDEX).send().await.unwrap();
        let kind = found.headers().get("content-type").cloned();
        let kind = kind.map_or_else(String::new, |kind| kind.to_str().unwrap().to_owned());
        let ok = found.status().is_success();
        let bytes = found.bytes().await.unwrap().to_vec();
        ok.then_some((kind, bytes))
    }
}
