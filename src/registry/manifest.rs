//! Manifests and indexes: asked for, read, pushed; always the exact bytes.
//!
//! Decides what counts as a manifest and what it refers to. Never changes one.

use super::Descriptor;
use super::call::Call;
use super::connection;
use super::digest::{self, Hasher};
use super::point::Point;
use super::refusal::{self, Kind, Refusal, Result};
use super::repository::Repository;
use super::retry::Pauses;
use super::transport::drain;
use crate::reference::Digest;
use bytes::Bytes;
use oci_client::manifest::{
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE,
    OCI_IMAGE_MEDIA_TYPE, OciDescriptor,
};
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, IF_MATCH};
use reqwest::{Method, Response, StatusCode};
use std::collections::HashSet;

/// What is asked for; a registry may convert to an older form whatever is not listed.
const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// Registries take 4 MiB at least; some take more.
pub(super) const CAP: usize = 8 * 1024 * 1024;

/// How often a manifest is asked for again whose body broke off or was wrong.
const BROKEN_BODIES: usize = 2;

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// A manifest or index with its bytes.
#[derive(Debug, Clone)]
pub(super) struct Manifest {
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) bytes: Bytes,
    /// Manifests below an index.
    pub(super) children: Vec<Content>,
    /// Config and layers.
    pub(super) blobs: Vec<Content>,
}

/// What a manifest refers to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Content {
    pub(super) digest: Digest,
    pub(super) size: u64,
    /// Not the registry's to give: held elsewhere under the terms of its owner.
    pub(super) foreign: bool,
    /// Where the owner gives it out.
    pub(super) urls: Vec<String>,
}

/// The parts of manifests and indexes that say what they refer to.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: Option<i64>,
    media_type: Option<String>,
    manifests: Option<Vec<OciDescriptor>>,
    config: Option<OciDescriptor>,
    layers: Option<Vec<OciDescriptor>>,
}

impl Repository {
    /// What a tag or digest points to: one HEAD.
    pub(super) async fn head_manifest(&self, point: &str) -> Result<Option<Descriptor>> {
        let url = self.url(&format!("manifests/{point}")).await?;
        let call = Call::new(Method::HEAD, url).header(ACCEPT, ACCEPTED);
        let response = self.send(&call).await?;
        match response.status() {
            StatusCode::NOT_FOUND if !refusal::is_html(response.headers()) => Ok(None),
            // a registry that cannot be asked so
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
                self.describe_by_get(point).await
            }
            status if status.is_success() && !refusal::is_html(response.headers()) => {
                match described(response.headers()) {
                    Some(found) => same(point, found, &response).map(Some),
                    None => self.describe_by_get(point).await,
                }
            }
            _ => Err(self.refuse(&Method::HEAD, response).await),
        }
    }

    async fn describe_by_get(&self, point: &str) -> Result<Option<Descriptor>> {
        let found = self.find_manifest(point).await?;
        Ok(found.map(|manifest| Descriptor {
            size: manifest.bytes.len() as u64,
            media_type: manifest.media_type,
            digest: manifest.digest,
        }))
    }

    /// A manifest that may not be there.
    pub(super) async fn find_manifest(
        &self,
        point: impl Into<Point<'_>>,
    ) -> Result<Option<Manifest>> {
        match self.get_manifest(point).await {
            Ok(manifest) => Ok(Some(manifest)),
            Err(refusal) if refusal.is_not_found() => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// The error for a manifest that a HEAD did not find: only a GET has the registry's own words.
    pub(super) async fn missing(&self, point: &str) -> Box<Refusal> {
        match self.get_manifest(point).await {
            Err(refusal) => refusal,
            Ok(manifest) => Refusal::new(
                format!("reading {point} of {}", self.name),
                Kind::Other,
                format!("not there when asked first, then {}", manifest.digest),
            ),
        }
    }

    /// A manifest by tag or digest, checked against the digest.
    pub(super) async fn get_manifest(&self, point: impl Into<Point<'_>>) -> Result<Manifest> {
        let Point { text, cap } = point.into();
        let url = self.url(&format!("manifests/{text}")).await?;
        let what = refusal::describe(&Method::GET, &url);
        let call = Call::new(Method::GET, url).header(ACCEPT, ACCEPTED);
        // a tag has no colon; what was asked for by digest must be that, whatever the header says
        let pinned = text.parse::<Digest>().ok();
        let (headers, bytes, digest) = self
            .read_checked(&call, cap, |headers, bytes| {
                let named = pinned.clone().or_else(|| header_digest(headers));
                let algorithm = named.as_ref().map_or("sha256", Digest::algorithm);
                let actual = digest::of(algorithm, bytes);
                match named {
                    Some(named) if named != actual => {
                        let detail = format!("the bytes are {actual}, not {named}");
                        Err(Refusal::new(&what, Kind::Corrupt, detail))
                    }
                    _ => Ok(actual),
                }
            })
            .await?;
        let served = header(&headers, &CONTENT_TYPE);
        Manifest::read(&what, bytes, digest, served.as_deref())
    }

    /// What a tag has, to be put under another one: whatever it is, and unread.
    pub(super) async fn find_anything(&self, digest: &Digest) -> Result<Option<Manifest>> {
        let url = self.url(&format!("manifests/{digest}")).await?;
        let call = Call::new(Method::GET, url)
            .header(ACCEPT, ACCEPTED)
            .header(ACCEPT, "*/*");
        let (headers, bytes) = match self.read(&call).await {
            Ok(read) => read,
            Err(refusal) if refusal.is_not_found() => return Ok(None),
            Err(refusal) => return Err(refusal),
        };
        let served = header(&headers, &CONTENT_TYPE);
        Ok(Some(Manifest {
            media_type: served.unwrap_or_else(|| OCI_IMAGE_MEDIA_TYPE.to_owned()),
            // of a signed schema 1 manifest it is not the digest of the bytes
            digest: digest.clone(),
            bytes,
            children: Vec::new(),
            blobs: Vec::new(),
        }))
    }

    /// What a place of manifests answers; asked for again where it breaks off.
    pub(super) async fn read(&self, call: &Call) -> Result<(HeaderMap, Bytes)> {
        let (headers, bytes, ()) = self.read_checked(call, CAP, |_, _| Ok(())).await?;
        Ok((headers, bytes))
    }

    /// The same, and what a check of it gave; asked for again, too, where it comes wrong.
    async fn read_checked<T>(
        &self,
        call: &Call,
        cap: usize,
        check: impl Fn(&HeaderMap, &[u8]) -> Result<T>,
    ) -> Result<(HeaderMap, Bytes, T)> {
        let mut pauses = Pauses::new(&self.endpoint, BROKEN_BODIES);
        loop {
            let response = self.send(call).await?;
            if !response.status().is_success() || refusal::is_html(response.headers()) {
                return Err(self.refuse(&Method::GET, response).await);
            }
            let headers = response.headers().clone();
            let read = connection::capped(response, cap).await;
            let checked = read.and_then(|bytes| Ok((check(&headers, &bytes)?, bytes)));
            match checked {
                Ok((checked, bytes)) => return Ok((headers, Bytes::from(bytes), checked)),
                Err(refusal) if refusal.transient() || refusal.kind == Kind::Corrupt => {
                    let pause = pauses.after(refusal)?;
                    self.pause(pause).await;
                }
                Err(refusal) => return Err(refusal),
            }
        }
    }

    /// Pushes a manifest under a tag or its digest.
    pub(super) async fn put_manifest(&self, point: &str, manifest: &Manifest) -> Result<()> {
        self.push_manifest(point, manifest, None).await.map(drop)
    }

    /// The same, where the point still has the version that was read, as far as the registry looks at that;
    /// gives the headers of the answer.
    pub(super) async fn push_manifest(
        &self,
        point: &str,
        manifest: &Manifest,
        version: Option<&str>,
    ) -> Result<HeaderMap> {
        let url = self.url(&format!("manifests/{point}")).await?;
        let what = refusal::describe(&Method::PUT, &url);
        let mut call = Call::new(Method::PUT, url)
            .header(CONTENT_TYPE, &manifest.media_type)
            .body(manifest.bytes.clone());
        if let Some(version) = version {
            call = call.header(IF_MATCH, version);
        }
        let response = self.send(&call).await?;
        if !response.status().is_success() {
            return Err(self.refuse(&Method::PUT, response).await);
        }
        // neither Location nor digest need be there (ECR)
        let headers = response.headers().clone();
        let stored = header_digest(&headers);
        drain(response).await;
        match stored {
            Some(stored)
                if stored.algorithm() == manifest.digest.algorithm()
                    && stored != manifest.digest =>
            {
                let detail = format!(
                    "the registry stored {stored} instead of {}",
                    manifest.digest
                );
                Err(Refusal::new(what, Kind::Corrupt, detail))
            }
            _ => Ok(headers),
        }
    }
}

impl Manifest {
    /// What these bytes say; `served` is the media type that they came with.
    pub(super) fn read(
        what: &str,
        bytes: Bytes,
        digest: Digest,
        served: Option<&str>,
    ) -> Result<Self> {
        let fail = |detail: String| Refusal::new(what, Kind::Other, detail);
        let served = served.map(|s| s.split(';').next().unwrap_or(s).trim());
        let document: Document = serde_json::from_slice(&bytes)
            .map_err(|error| fail(format!("the answer is not a manifest: {error}")))?;
        if document.schema_version == Some(1)
            || served.is_some_and(|s| s.contains("distribution.manifest.v1"))
        {
            return Err(fail(
                "this image has a schema 1 manifest, which container runtimes no longer pull"
                    .to_owned(),
            )
            .hinted("push it again with a tool of this decade to convert it"));
        }
        let media_type = document.media_type(served).ok_or_else(|| {
            let served = served.unwrap_or("nothing");
            fail(format!("the answer is not a manifest but {served}"))
        })?;
        let mut children = Vec::new();
        let mut blobs = Vec::new();
        for child in document.manifests.into_iter().flatten() {
            // build caches list layers where others list manifests
            if is_manifest(&child.media_type) {
                children.push(content(&child).map_err(&fail)?);
            } else {
                blobs.push(content(&child).map_err(&fail)?);
            }
        }
        let mut known: HashSet<Content> = blobs.iter().cloned().collect();
        for blob in document
            .config
            .into_iter()
            .chain(document.layers.into_iter().flatten())
        {
            let blob = content(&blob).map_err(&fail)?;
            if known.insert(blob.clone()) {
                blobs.push(blob);
            }
        }
        Ok(Self {
            media_type,
            digest,
            bytes,
            children,
            blobs,
        })
    }
}

impl Document {
    /// The exact media type: the document's own word, else the registry's, else by its looks.
    fn media_type(&self, served: Option<&str>) -> Option<String> {
        let told = self
            .media_type
            .as_deref()
            .or(served)
            .filter(|t| is_manifest(t));
        let looks = || match (&self.manifests, &self.config) {
            (Some(_), _) => Some(OCI_IMAGE_INDEX_MEDIA_TYPE),
            (None, Some(_)) => Some(OCI_IMAGE_MEDIA_TYPE),
            (None, None) => None,
        };
        told.or_else(looks).map(str::to_owned)
    }
}

/// Whether this is an index (OCI) or a manifest list (Docker).
pub(super) fn is_index(media_type: &str) -> bool {
    [OCI_IMAGE_INDEX_MEDIA_TYPE, IMAGE_MANIFEST_LIST_MEDIA_TYPE].contains(&media_type)
}

fn is_manifest(media_type: &str) -> bool {
    matches!(
        media_type,
        IMAGE_MANIFEST_LIST_MEDIA_TYPE
            | IMAGE_MANIFEST_MEDIA_TYPE
            | OCI_IMAGE_INDEX_MEDIA_TYPE
            | OCI_IMAGE_MEDIA_TYPE
    )
}

fn content(descriptor: &OciDescriptor) -> std::result::Result<Content, String> {
    let digest = descriptor
        .digest
        .parse::<Digest>()
        .map_err(|error| format!("the manifest names a bad digest: {error}"))?;
    if Hasher::new(digest.algorithm()).is_none() {
        return Err(format!(
            "the manifest names {digest}, which cannot be checked"
        ));
    }
    let size = u64::try_from(descriptor.size)
        .map_err(|_| format!("the manifest gives {digest} a size of {}", descriptor.size))?;
    let foreign = ["nondistributable", ".foreign."]
        .iter()
        .any(|mark| descriptor.media_type.contains(mark));
    let urls = descriptor.urls.clone().filter(|_| foreign);
    Ok(Content {
        digest,
        size,
        foreign,
        urls: urls.unwrap_or_default(),
    })
}

/// What a HEAD says; none where the digest is missing.
fn described(headers: &HeaderMap) -> Option<Descriptor> {
    Some(Descriptor {
        media_type: header(headers, &CONTENT_TYPE).unwrap_or_default(),
        digest: header_digest(headers)?,
        size: header(headers, &CONTENT_LENGTH)
            .and_then(|v| v.parse().ok())
            .unwrap_or(0),
    })
}

/// What was asked for by digest must be that.
fn same(point: &str, found: Descriptor, response: &Response) -> Result<Descriptor> {
    match point.parse::<Digest>() {
        Ok(asked) if asked.algorithm() == found.digest.algorithm() && asked != found.digest => {
            let what = refusal::describe(&Method::HEAD, response.url());
            let detail = format!("the registry has {} there", found.digest);
            Err(Refusal::new(what, Kind::Corrupt, detail))
        }
        _ => Ok(found),
    }
}

/// The digest that a registry says it has.
pub(super) fn header_digest(headers: &HeaderMap) -> Option<Digest> {
    header(headers, &CONTENT_DIGEST)?.parse().ok()
}

fn header(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers
        .get(name)
        .and_then(|v| v.to_str().ok())
        .map(|v| v.trim().to_owned())
}
