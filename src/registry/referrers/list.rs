//! The list of what refers to a manifest: the registry's own, or the one that its clients keep.
//!
//! Decides which of the two holds (distribution-spec 1.1, "Listing Referrers", "Unavailable Referrers API")
//! and adds to the second. Never takes an entry out of it.

use crate::reference::Digest;
use crate::registry::call::Call;
use crate::registry::digest;
use crate::registry::manifest::Manifest;
use crate::registry::refusal::{self, Kind, Refusal, Result};
use crate::registry::repository::Repository;
use crate::registry::transport::same_origin;
use oci_client::manifest::OCI_IMAGE_INDEX_MEDIA_TYPE;
use reqwest::header::{ACCEPT, ETAG, HeaderMap, LINK};
use reqwest::{Method, StatusCode, Url};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

/// Pages of one list, and entries in all: more is somebody's mistake.
const PAGES: usize = 50;
const ENTRIES: usize = 1000;

/// How often the clients' list is written again because somebody else wrote it at the same time.
const TRIES: usize = 5;

/// What refers to a manifest.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) digests: Vec<Digest>,
    /// Whether the registry keeps the list, so that it names only what is there.
    pub(super) by_registry: bool,
}

/// What is under the tag of the list that clients keep.
enum Kept {
    Nothing,
    List {
        index: Value,
        /// By which the registry can tell whether somebody changed it since.
        version: Option<String>,
    },
    SomethingElse,
}

impl Repository {
    /// What refers to a manifest: by the registry's word, else by the list that its clients keep.
    pub(super) async fn referrers(&self, subject: &Digest) -> Result<Listed> {
        if let Some(made) = &self.made {
            return Ok(Listed {
                digests: made.referrers.get(subject).cloned().into_iter().collect(),
                by_registry: true,
            });
        }
        if let Some(digests) = self.referrers_by_registry(subject).await? {
            return Ok(Listed {
                digests,
                by_registry: true,
            });
        }
        Ok(Listed {
            digests: self.tagged_referrers(subject).await?,
            by_registry: false,
        })
    }

    /// What the clients' list names; nothing where the tag has anything else.
    pub(super) async fn tagged_referrers(&self, subject: &Digest) -> Result<Vec<Digest>> {
        Ok(match self.kept_list(&fallback_tag(subject)).await? {
            Kept::List { index, .. } => digests(&index),
            Kept::Nothing | Kept::SomethingElse => Vec::new(),
        })
    }

    /// The registry's own list, page by page; none where it has no such thing.
    async fn referrers_by_registry(&self, subject: &Digest) -> Result<Option<Vec<Digest>>> {
        let lists_none = &self.endpoint.lists_no_referrers;
        if lists_none.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let mut url = self.url(&format!("referrers/{subject}")).await?;
        let mut found = Vec::new();
        for page in 0..PAGES {
            let call =
                Call::new(Method::GET, url.clone()).header(ACCEPT, OCI_IMAGE_INDEX_MEDIA_TYPE);
            let (headers, bytes) = match self.read(&call).await {
                Ok(read) => read,
                Err(refusal) if page == 0 && is_unknown(&refusal) => {
                    // asked about one manifest after the other, it would say so each time
                    lists_none.fetch_or(is_about_all(&refusal), Ordering::Relaxed);
                    return Ok(None);
                }
                Err(refusal) => return Err(refusal),
            };
            match as_index(&bytes) {
                Some(index) => found.extend(digests(&index)),
                None => return Ok(None),
            }
            if found.len() > ENTRIES {
                break;
            }
            match next_page(&headers, &url) {
                Some(next) => url = next,
                None => return Ok(Some(found)),
            }
        }
        let what = refusal::describe(&Method::GET, &url);
        Err(Refusal::new(
            what,
            Kind::Other,
            format!("more than {ENTRIES} referrers"),
        ))
    }

    /// The clients' list under its tag.
    async fn kept_list(&self, tag: &str) -> Result<Kept> {
        let url = self.url(&format!("manifests/{tag}")).await?;
        let call = Call::new(Method::GET, url).header(ACCEPT, OCI_IMAGE_INDEX_MEDIA_TYPE);
        let (headers, bytes) = match self.read(&call).await {
            Ok(read) => read,
            Err(refusal) if refusal.is_not_found() => return Ok(Kept::Nothing),
            Err(refusal) => return Err(refusal),
        };
        let Some(index) = as_index(&bytes) else {
            return Ok(Kept::SomethingElse);
        };
        // a weak one never matches
        let version = headers.get(ETAG).and_then(|tag| tag.to_str().ok());
        let version = version.filter(|tag| tag.starts_with('"'));
        Ok(Kept::List {
            version: version.map(str::to_owned),
            index,
        })
    }

    /// Adds to the list that clients keep what is not on it yet, and looks whether it stayed there: few
    /// registries let a write depend on what was read.
    pub(super) async fn list_referrers(&self, subject: &Digest, added: &[Value]) -> Result<()> {
        let tag = fallback_tag(subject);
        let what = format!("adding to the list of referrers {tag} of {}", self.name);
        for _ in 0..TRIES {
            let (mut index, version) = match self.kept_list(&tag).await? {
                Kept::List { index, version } => (index, version),
                Kept::Nothing => (empty_list(), None),
                Kept::SomethingElse => {
                    let detail = "the tag has something else";
                    return Err(Refusal::new(what, Kind::Other, detail));
                }
            };
            if !add(&mut index, added) {
                return Ok(());
            }
            let bytes = index.to_string();
            let list = Manifest {
                media_type: OCI_IMAGE_INDEX_MEDIA_TYPE.to_owned(),
                digest: digest::of("sha256", bytes.as_bytes()),
                bytes: bytes.into(),
                children: Vec::new(),
                blobs: Vec::new(),
            };
            match self.push_manifest(&tag, &list, version.as_deref()).await {
                Err(refusal) if refusal.status() != Some(StatusCode::PRECONDITION_FAILED) => {
                    return Err(refusal);
                }
                Ok(_) | Err(_) => {}
            }
        }
        Err(Refusal::new(what, Kind::Other, "others keep writing it"))
    }
}

fn empty_list() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": OCI_IMAGE_INDEX_MEDIA_TYPE,
        "manifests": [],
    })
}

/// Adds what is missing; whether anything was.
fn add(index: &mut Value, added: &[Value]) -> bool {
    let entries = &mut index["manifests"];
    if !entries.is_array() {
        *entries = json!([]);
    }
    let Some(entries) = entries.as_array_mut() else {
        return false;
    };
    let before = entries.len();
    for descriptor in added {
        if !entries
            .iter()
            .any(|entry| entry["digest"] == descriptor["digest"])
        {
            entries.push(descriptor.clone());
        }
    }
    entries.len() > before
}

/// A referrer as an entry of the list.
pub(super) fn descriptor(manifest: &Manifest) -> Value {
    let document: Value = serde_json::from_slice(&manifest.bytes).unwrap_or_default();
    let mut descriptor = json!({
        "mediaType": manifest.media_type,
        "digest": manifest.digest.as_str(),
        "size": manifest.bytes.len(),
    });
    let own = &document["artifactType"];
    let kind = if own.is_string() {
        own
    } else {
        &document["config"]["mediaType"]
    };
    if kind.is_string() {
        descriptor["artifactType"] = kind.clone();
    }
    if document["annotations"].is_object() {
        descriptor["annotations"] = document["annotations"].clone();
    }
    descriptor
}

/// The tag of the list that clients keep.
fn fallback_tag(subject: &Digest) -> String {
    let algorithm: String = subject.algorithm().chars().take(32).collect();
    let hex: String = subject.hex().chars().take(64).collect();
    format!("{algorithm}-{hex}")
}

/// Whether a registry answered that it knows no such question (GHCR 404, ECR 405).
fn is_unknown(refusal: &Refusal) -> bool {
    let refused =
        |status: StatusCode| status.is_client_error() || status == StatusCode::NOT_IMPLEMENTED;
    refusal.kind == Kind::NotARegistry
        || (!refusal.transient() && refusal.status().is_some_and(refused))
}

/// Whether that holds for whatever is asked about, not only for one repository.
fn is_about_all(refusal: &Refusal) -> bool {
    let status = refusal.status().map(|status| status.as_u16());
    let is_about_one = ["NAME_UNKNOWN", "MANIFEST_UNKNOWN"].contains(&refusal.code.as_str());
    matches!(status, None | Some(404 | 405 | 501)) && !is_about_one
}

fn as_index(bytes: &[u8]) -> Option<Value> {
    let document: Value = serde_json::from_slice(bytes).ok()?;
    let is_index = document["manifests"].is_array()
        || document["mediaType"].as_str() == Some(OCI_IMAGE_INDEX_MEDIA_TYPE);
    is_index.then_some(document)
}

fn digests(index: &Value) -> Vec<Digest> {
    let entries = index["manifests"].as_array().into_iter().flatten();
    entries
        .filter_map(|entry| entry["digest"].as_str()?.parse().ok())
        .collect()
}

/// Where `Link: <…>; rel="next"` leads, in the same registry.
fn next_page(headers: &HeaderMap, url: &Url) -> Option<Url> {
    let links = headers.get_all(LINK).iter();
    let next = links
        .filter_map(|link| link.to_str().ok())
        .flat_map(|links| links.split(','))
        .find(|link| link.contains("rel=\"next\"") || link.contains("rel=next"))?;
    let (_, rest) = next.split_once('<')?;
    let next = url.join(rest.split_once('>')?.0).ok()?;
    (same_origin(&next, url) && next != *url).then_some(next)
}
