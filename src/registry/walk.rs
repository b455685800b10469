//! The way through an image: its manifest, and all that is below it.
//!
//! Decides how far it goes and how much of it at a time. Whoever may push an image decides what it lists; no
//! image may take the memory that others need. Reads nothing itself.

use super::manifest::Content;
use super::point;
use super::refusal::{Kind, Refusal, Result};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};

/// Indexes in indexes: nobody nests them deeper than once or twice.
const DEPTH: usize = 8;

/// Bytes that the manifests below an image's first may have together: more than a thousand of the usual ones.
const ROOM: u64 = 16 * 1024 * 1024;

/// Manifests of an index that are worked on side by side: each is in memory until all below it is done.
pub(super) const MANIFESTS: usize = 16;

/// Blobs of a manifest that are worked on side by side: container runtimes take 127 layers.
pub(super) const BLOBS: usize = 128;

/// How far one has come through an image.
#[derive(Debug, Default)]
pub(super) struct Walk {
    bytes: AtomicU64,
}

impl Walk {
    /// Told of each manifest below another before it is read, and of how many indexes are around it.
    ///
    /// # Errors
    /// Where an image goes on without end, as far as anybody can tell.
    pub(super) fn enter(&self, child: &Content, depth: usize) -> Result<()> {
        let room = point::room_of(child);
        let before = self.bytes.fetch_add(room, Ordering::Relaxed);
        let detail = if depth > DEPTH {
            format!("more than {DEPTH} indexes around it")
        } else if before.saturating_add(room) > ROOM {
            let most = ROOM / (1024 * 1024);
            format!("the manifests of its image have more than {most} MiB together")
        } else {
            return Ok(());
        };
        let what = format!("reading {}", child.digest);
        Err(Refusal::new(what, Kind::Other, detail))
    }
}

/// Ends all of it, or with the first failure; what comes out is in the order in which it ended.
pub(super) async fn abreast<T, F>(
    at_once: usize,
    work: impl IntoIterator<Item = F>,
) -> Result<Vec<T>>
where
    F: Future<Output = Result<T>>,
{
    let work = stream::iter(work).buffer_unordered(at_once);
    work.try_collect().await
}
