//! A source narrowed to some platforms.
//!
//! Decides whether there is anything to narrow, and that the target loses no platform of the same index
//! by it. Which entries go is decided in [`crate::platform`].

use super::digest;
use super::ends::{Source, Target};
use super::manifest::{self, Manifest};
use super::refusal::{Kind, Refusal, Result};
use crate::platform::{self, NarrowError, Platform};
use crate::reference::Digest;
use std::collections::BTreeSet;

/// The same image for these platforms alone; itself where it is no index, or for no others.
///
/// What the target has of this very index already stays: clusters of different platforms may share it.
pub(super) async fn narrow(
    source: Source,
    platforms: &BTreeSet<Platform>,
    target: &Target,
) -> Result<Source> {
    if target.digest() == Some(source.digest()) {
        return Ok(source);
    }
    let whole = source.manifest().await?;
    if !manifest::is_index(&whole.media_type) {
        return Ok(source);
    }
    let Some(narrowed) = rewritten(whole, platforms, &BTreeSet::new())? else {
        return Ok(source);
    };
    let there = children_there(target, &narrowed.digest).await;
    let wider = if there.is_empty() {
        Some(narrowed)
    } else {
        rewritten(whole, platforms, &there)?
    };
    Ok(match wider {
        Some(narrowed) => source.seen_as(narrowed),
        None => source,
    })
}

/// The manifests of an index that the target has under this name, unless it is the one that is meant.
async fn children_there(target: &Target, meant: &Digest) -> BTreeSet<Digest> {
    let Some(there) = target.digest().filter(|there| *there != meant) else {
        return BTreeSet::new();
    };
    match target.repository.get_manifest(there.as_str()).await {
        Ok(there) => there.children.into_iter().map(|c| c.digest).collect(),
        // whatever it is, it has nothing in common with an index that can be read
        Err(refusal) => {
            tracing::debug!(what = refusal.what, detail = refusal.detail, "not read");
            BTreeSet::new()
        }
    }
}

/// An index for these platforms alone; none where it is that.
fn rewritten(
    whole: &Manifest,
    platforms: &BTreeSet<Platform>,
    anyway: &BTreeSet<Digest>,
) -> Result<Option<Manifest>> {
    let what = format!("choosing platforms of {}", whole.digest);
    let refused = |error: NarrowError| {
        let refusal = Refusal::new(&what, Kind::Other, error.to_string());
        match error {
            NarrowError::NoneOf { .. } => {
                refusal.hinted("--platform takes those that it has; all copies every one")
            }
            NarrowError::NotAnIndex(_) => refusal,
        }
    };
    let Some(bytes) = platform::narrow(&whole.bytes, platforms, anyway).map_err(refused)? else {
        return Ok(None);
    };
    let digest = digest::of(whole.digest.algorithm(), &bytes);
    Manifest::read(&what, bytes.into(), digest, Some(&whole.media_type)).map(Some)
}
