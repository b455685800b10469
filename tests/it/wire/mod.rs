//! The registry transport and the copy engine, against registries that speak HTTP.

#![allow(
    clippy::unwrap_used,
    clippy::similar_names,
    reason = "a helper of a test fails as the test does"
)]

mod challenges;
mod claims;
mod copies;
mod endpoints;
mod faults;
mod foreign;
mod hostile;
mod lanes;
mod limits;
mod line;
mod logins;
mod made;
mod matrix;
mod meanwhile;
mod patience;
mod platforms;
mod posts;
mod proofs;
mod quotas;
mod referrers;
mod secrets;
mod secure;
pub(crate) mod server;
mod standing_in;
mod targets;
pub(crate) mod tls;
mod tokens;
mod trust;
mod uploads;

use image_cloner::config::HostConfig;
use image_cloner::credentials::Credentials;
use image_cloner::reference::{Digest, Reference};
use image_cloner::registry::{Copied, Copier, Error, Extras, Progress, Registries};
use secrecy::SecretString;
use server::{Registry, digest};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Adds up what it is told.
#[derive(Default)]
struct Told {
    expected: AtomicU64,
    carried: AtomicU64,
    waited: AtomicU64,
}

impl Progress for Told {
    fn expected(&self, bytes: u64) {
        self.expected.fetch_add(bytes, Ordering::Relaxed);
    }

    fn carried(&self, bytes: u64) {
        self.carried.fetch_add(bytes, Ordering::Relaxed);
    }

    fn waiting(&self, _why: &str, pause: Duration) {
        self.waited.fetch_add(pause.as_secs(), Ordering::Relaxed);
    }
}

pub(crate) fn registries(hosts: &BTreeMap<String, HostConfig>) -> Arc<Registries> {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // another test of this crate may have been first
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    Arc::new(Registries::new(hosts).unwrap())
}

/// Registries and an engine, as a run has them.
#[derive(Debug)]
struct Engine {
    registries: Arc<Registries>,
    copier: Copier,
}

impl Engine {
    fn over(registries: Arc<Registries>) -> Self {
        Self {
            registries,
            copier: Copier::new(4),
        }
    }

    async fn copy(&self, request: &Request, told: &Told) -> Result<Copied, Error> {
        let source = match &request.digest {
            Some(digest) => request.source.with(None, Some(digest)),
            None => request.source.clone(),
        };
        let (source, target) = tokio::join!(
            self.registries.source(&source, &request.source_credentials),
            self.registries
                .target(&request.target, &request.target_credentials),
        );
        self.copier
            .copy(&source?, &target?, request.verify, told)
            .await
    }
}

fn copier() -> Engine {
    Engine::over(registries(&BTreeMap::new()))
}

/// What a reference points to; none when it is not there.
async fn resolve(
    registries: &Registries,
    reference: &Reference,
    credentials: &Credentials,
) -> Result<Option<Digest>, Error> {
    match registries
        .source(reference, std::slice::from_ref(credentials))
        .await
    {
        Ok(source) => Ok(Some(source.digest().clone())),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn reference(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

fn basic(username: &str, password: &str) -> Credentials {
    Credentials::Basic {
        username: username.into(),
        password: SecretString::from(password.to_owned()),
    }
}

/// One copy.
#[derive(Debug)]
struct Request {
    source: Reference,
    source_credentials: Vec<Credentials>,
    digest: Option<Digest>,
    target: Reference,
    target_credentials: Credentials,
    verify: bool,
}

/// A request between two registries, without credentials: `NAME` in the one to `NAME` in the other.
fn request(from: &Registry, to: &Registry, name: &str) -> Request {
    Request {
        source: reference(&format!("{}/{name}", from.host)),
        source_credentials: vec![Credentials::Anonymous],
        digest: None,
        target: reference(&format!("{}/{name}", to.host)),
        target_credentials: Credentials::Anonymous,
        verify: false,
    }
}

async fn copy(engine: &Engine, request: &Request) -> Result<Copied, Error> {
    engine.copy(request, &Told::default()).await
}

/// Bytes that differ by seed and are not all alike.
pub(crate) fn bytes(seed: u8, length: usize) -> Vec<u8> {
    let pattern = (0..=250u8).map(|at| at ^ seed.wrapping_mul(31));
    pattern.cycle().take(length).collect()
}

/// A manifest over blobs that are put into the repository; gives its bytes.
pub(crate) fn image(registry: &Registry, repository: &str, blobs: &[&[u8]]) -> Vec<u8> {
    let descriptors: Vec<String> = blobs
        .iter()
        .map(|blob| {
            let digest = registry.put_blob(repository, blob);
            format!(
                r#"{{"mediaType":"application/x","digest":"{digest}","size":{}}}"#,
                blob.len()
            )
        })
        .collect();
    format!(
        "{{\"schemaVersion\":2, \"mediaType\":\"{MANIFEST}\",\n\"config\":{},\"layers\":[{}]}}",
        descriptors[0],
        descriptors[1..].join(",")
    )
    .into_bytes()
}

/// An index over manifests that are put into the repository by digest; gives its bytes.
fn index(registry: &Registry, repository: &str, manifests: &[(&str, &[u8])]) -> Vec<u8> {
    let entries: Vec<String> = manifests
        .iter()
        .map(|(platform, manifest)| {
            let (os, architecture) = platform.split_once('/').unwrap();
            let digest = digest(manifest);
            registry.put_manifest(repository, &digest, MANIFEST, manifest);
            format!(
                r#"{{"mediaType":"{MANIFEST}","digest":"{digest}","size":{},"platform":{{"os":"{os}","architecture":"{architecture}"}}}}"#,
                manifest.len()
            )
        })
        .collect();
    format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"{INDEX}\",\"manifests\":[{}]}}",
        entries.join(",")
    )
    .into_bytes()
}

/// `a/b:1` with one config and one layer.
pub(crate) fn simple(registry: &Registry) -> Vec<u8> {
    let manifest = image(registry, "a/b", &[&bytes(1, 300), &bytes(2, 200_000)]);
    registry.put_manifest("a/b", "1", MANIFEST, &manifest);
    manifest
}
