//! A blob read ahead: pieces of it over connections of their own, given in their order.
//!
//! Decides which pieces are asked for and when; whether that pays is for [`super::pace`] to say. Never fails a
//! blob: what a lane does not get is left to the one connection, which decides what becomes of it. Never waits
//! for room at a host, and never holds more than a run's room in memory.

use super::connection;
use super::manifest::Content;
use super::pace::{self, PIECE, Pace, Width};
use super::refusal::{self, Kind, Refusal, Result};
use super::repository::Repository;
use super::retry::{Pauses, RETRIES};
use bytes::Bytes;
use reqwest::header::{ACCEPT_RANGES, CONTENT_RANGE};
use reqwest::{Method, Response, StatusCode};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Pieces that a run holds at a time, of all its blobs, from being asked for until the target has them.
pub(super) const AHEAD: usize = 4;

/// How much of a piece is handed on at a time: a stalled target is told by what moves.
const SLICE: usize = 64 * 1024;

/// The room for reading ahead at a host.
#[derive(Debug, Clone)]
pub(super) struct Room {
    /// What is held in memory, in pieces.
    pub(super) ahead: Arc<Semaphore>,
    /// Transfers at the host: a lane is one of them.
    pub(super) transfers: Arc<Semaphore>,
}

/// The lanes of one blob, beside or instead of the one connection.
#[derive(Debug)]
pub(super) struct Lanes {
    from: Arc<(Repository, Content)>,
    /// None where no further piece is asked for.
    room: Option<Room>,
    pace: Pace,
    width: Option<Width>,
    /// The transfer that the one connection was.
    own: Arc<Semaphore>,
    under_way: JoinSet<(u64, Option<Bytes>)>,
    /// Pieces that are not next; none of those that were not to be had.
    read: BTreeMap<u64, Option<Bytes>>,
    /// The pieces that were asked for and are not given yet.
    ahead: Range<u64>,
    /// What is left of the piece that is being given.
    left: Bytes,
}

impl Lanes {
    pub(super) fn new(repository: &Repository, content: &Content) -> Self {
        Self {
            from: Arc::new((repository.clone(), content.clone())),
            room: repository.room.clone(),
            pace: Pace::new(Instant::now()),
            width: None,
            own: Arc::new(Semaphore::new(0)),
            under_way: JoinSet::new(),
            read: BTreeMap::new(),
            ahead: 0..0,
            left: Bytes::new(),
        }
    }

    /// Whether nothing is read ahead.
    pub(super) fn are_empty(&self) -> bool {
        self.left.is_empty() && self.ahead.is_empty()
    }

    /// How many of so many bytes from `at` on are the one connection's to give.
    pub(super) fn spare(&self, at: u64, length: usize) -> usize {
        if self.ahead.is_empty() {
            return length;
        }
        let until = self.ahead.start.saturating_sub(at);
        usize::try_from(until).map_or(length, |until| length.min(until))
    }

    /// Drops what was read ahead.
    pub(super) fn clear(&mut self) {
        self.under_way = JoinSet::new();
        self.read.clear();
        self.ahead = 0..0;
        self.left = Bytes::new();
    }

    /// Leaves all that is left to the one connection.
    pub(super) fn close(&mut self) {
        self.room = None;
        self.clear();
    }

    /// Told that the one connection is a new one.
    pub(super) fn opened(&mut self) {
        self.pace = Pace::new(Instant::now());
    }

    /// Told that the one connection was closed, whose place a lane may take.
    pub(super) fn closed(&mut self) {
        self.own.add_permits(1);
    }

    /// Told that the one connection came to `at` with so many bytes, and how long they were waited for. Begins
    /// to read ahead where that pays: the next piece comes over the one connection still, the one after it
    /// over another.
    pub(super) fn watch(&mut self, at: u64, bytes: usize, waited: Duration, response: &Response) {
        let now = Instant::now();
        let Some(piece) = self.pace.note(bytes as u64, waited, now) else {
            return;
        };
        let refused = response.headers().get(ACCEPT_RANGES);
        let refused = refused.is_some_and(|ranges| ranges == "none");
        if !self.are_empty() || refused {
            return;
        }
        let (repository, content) = &*self.from;
        let Some(answer) = repository.endpoint.distances.of(response.url()) else {
            return;
        };
        if pace::pays(content.size.saturating_sub(at), answer, piece) {
            let digest = content.digest.clone();
            self.width = Some(Width::new(piece, now));
            self.own = Arc::new(Semaphore::new(0));
            self.ahead = at + PIECE..at + PIECE;
            if self.hold().is_some_and(|held| self.start(held)) {
                tracing::debug!(%digest, ?answer, ?piece, "reading ahead");
            }
        }
    }

    /// The next bytes, where they were read ahead; else they are the one connection's to read.
    pub(super) async fn next(&mut self, at: u64) -> Option<Bytes> {
        if self.left.is_empty() {
            if self.ahead.is_empty() || at < self.ahead.start {
                return None;
            }
            self.left = self.piece().await?;
        }
        self.fill();
        Some(self.left.split_to(SLICE.min(self.left.len())))
    }

    /// The next piece, as soon as it is there; others are asked for meanwhile.
    async fn piece(&mut self) -> Option<Bytes> {
        let mut full = false;
        loop {
            if let Some(read) = self.read.remove(&self.ahead.start) {
                let Some(bytes) = read else { break };
                self.ahead.start += bytes.len() as u64;
                self.came();
                return Some(bytes);
            }
            let room = self.room.as_ref().filter(|_| self.wants_more() && !full);
            let room = room.map(|room| Arc::clone(&room.ahead));
            tokio::select! {
                biased;
                Some(joined) = self.under_way.join_next() => {
                    let Ok((start, read)) = joined else { break };
                    if read.is_none() {
                        self.room = None;
                    }
                    self.read.insert(start, read);
                    full = false;
                }
                Some(held) = acquire(room) => full = !self.start(held),
                else => break,
            }
        }
        self.close();
        None
    }

    /// A piece came: there may be reason for another lane, or for none at all.
    fn came(&mut self) {
        if let Some(width) = &mut self.width {
            width.note(Instant::now());
            if width.lanes() < 2 {
                tracing::debug!(digest = %self.from.1.digest, "reading ahead brings nothing");
                self.room = None;
            }
        }
    }

    fn wants_more(&self) -> bool {
        let lanes = self.width.as_ref().map_or(0, Width::lanes);
        self.under_way.len() < lanes && self.ahead.end < self.from.1.size
    }

    /// Asks for further pieces, as many as there is room for at once.
    fn fill(&mut self) {
        while self.wants_more() && self.hold().is_some_and(|held| self.start(held)) {}
    }

    fn hold(&self) -> Option<OwnedSemaphorePermit> {
        let room = self.room.as_ref()?;
        Arc::clone(&room.ahead).try_acquire_owned().ok()
    }

    /// Asks for the next piece; false where the host has no room for another transfer.
    fn start(&mut self, held: OwnedSemaphorePermit) -> bool {
        let Some(room) = &self.room else {
            return false;
        };
        let own = Arc::clone(&self.own).try_acquire_owned();
        let transfer = own.or_else(|_| Arc::clone(&room.transfers).try_acquire_owned());
        let Ok(transfer) = transfer else {
            return false;
        };
        let start = self.ahead.end;
        let range = start..self.from.1.size.min(start + PIECE);
        self.ahead.end = range.end;
        let from = Arc::clone(&self.from);
        self.under_way.spawn(async move {
            let read = read(&from.0, &from.1, range).await;
            drop(transfer);
            if let Err(refusal) = &read {
                tracing::debug!(what = refusal.what, detail = refusal.detail, "not ahead");
            }
            let piece = read.map(|bytes| Bytes::from_owner(Piece { bytes, _held: held }));
            (start, piece.ok())
        });
        true
    }
}

/// The bytes of a piece, which take room until nobody has any of them any more.
struct Piece {
    bytes: Vec<u8>,
    _held: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

async fn acquire(room: Option<Arc<Semaphore>>) -> Option<OwnedSemaphorePermit> {
    room?.acquire_owned().await.ok()
}

/// Reads a piece of a blob. Where its connection breaks it goes on as any other read does; a refusal is no
/// reason to ask again.
async fn read(from: &Repository, content: &Content, range: Range<u64>) -> Result<Vec<u8>> {
    let length = usize::try_from(range.end - range.start).unwrap_or(0);
    let mut bytes = Vec::with_capacity(length);
    let mut pauses = Pauses::new(&from.endpoint, RETRIES);
    while bytes.len() < length {
        let had = bytes.len();
        let start = range.start + had as u64;
        let Err(refusal) = read_on(from, content, start..range.end, &mut bytes).await else {
            continue;
        };
        if !matches!(refusal.kind, Kind::Connection | Kind::NoConnection) {
            return Err(refusal);
        }
        if bytes.len() > had {
            pauses = Pauses::new(&from.endpoint, RETRIES);
        }
        let pause = pauses.after(refusal)?;
        from.pause(pause).await;
    }
    Ok(bytes)
}

async fn read_on(
    from: &Repository,
    content: &Content,
    range: Range<u64>,
    bytes: &mut Vec<u8>,
) -> Result<()> {
    let mut response = from.piece(&content.digest, &range).await?;
    let what = refusal::describe(&Method::GET, response.url());
    let odd = |detail| Refusal::new(&what, Kind::Corrupt, detail);
    match response.status() {
        StatusCode::PARTIAL_CONTENT => {}
        StatusCode::OK => return Err(odd("all of it instead of a piece".to_owned())),
        _ => return Err(from.refuse(&Method::GET, response).await),
    }
    let given = response.headers().get(CONTENT_RANGE);
    let given = given.and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !given.starts_with(&format!("bytes {}-{}/", range.start, range.end - 1)) {
        return Err(odd(format!(
            "asked for the bytes of {range:?}, got {given:?}"
        )));
    }
    let end = bytes.len() as u64 + (range.end - range.start);
    // to its very end, so that its connection can be used again
    while let Some(chunk) = connection::chunk(&mut response).await? {
        if (bytes.len() + chunk.len()) as u64 > end {
            return Err(odd(format!("more than the bytes of {range:?}")));
        }
        bytes.extend_from_slice(&chunk);
    }
    if (bytes.len() as u64) < end {
        let detail = format!("the body ended {} bytes early", end - bytes.len() as u64);
        return Err(Refusal::new(what, Kind::Connection, detail));
    }
    Ok(())
}
