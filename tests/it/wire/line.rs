//! A line to a registry: how long answers take over it, and how much each connection brings.

use super::server::{self, Reply, Request};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;

/// What is sent at a time.
const SLICE: usize = 64 * 1024;

/// After so long without a slice nothing is on its way any more.
const IDLE: Duration = Duration::from_millis(100);

thread_local! {
    /// When somebody sent over a line last. Each test has a thread and lines of its own.
    static USED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Whether anything went over a line a moment ago.
pub(crate) fn is_busy() -> bool {
    USED.get().is_some_and(|used| used.elapsed() < IDLE)
}

/// The line, and what went over it.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// Until an answer begins.
    pub(crate) answer: Duration,
    /// What 64 KiB of a body take over one connection.
    pub(crate) slice: Duration,
    /// Where all connections share that: whoever sends.
    pub(crate) shared: Option<tokio::sync::Mutex<()>>,
    under_way: AtomicUsize,
    most: AtomicUsize,
    whole: AtomicUsize,
}

impl Line {
    pub(crate) fn new(answer: Duration, slice: Duration) -> Self {
        Self {
            answer,
            slice,
            ..Self::default()
        }
    }

    pub(crate) fn over(self) -> Arc<Self> {
        Arc::new(self)
    }

    /// Answers to Range requests that were under way at once, at most.
    pub(crate) fn most_ranges(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// Answers to Range requests that went over it whole.
    pub(crate) fn whole_ranges(&self) -> usize {
        self.whole.load(Ordering::Relaxed)
    }

    /// Writes an answer at the pace of this line; false when the connection is to end.
    pub(crate) async fn write(
        &self,
        stream: &mut (impl AsyncWrite + Unpin),
        request: &Request,
        reply: &Reply,
    ) -> bool {
        USED.set(Some(Instant::now()));
        tokio::time::sleep(self.answer).await;
        let head = request.method == "HEAD";
        if head || reply.body.is_empty() {
            return server::write(stream, reply, head).await;
        }
        let range = request.header("range").is_some();
        let now = self
            .under_way
            .fetch_add(usize::from(range), Ordering::Relaxed);
        self.most
            .fetch_max(now + usize::from(range), Ordering::Relaxed);
        let sent = self.send(stream, reply).await;
        self.under_way
            .fetch_sub(usize::from(range), Ordering::Relaxed);
        self.whole
            .fetch_add(usize::from(range && sent), Ordering::Relaxed);
        sent
    }

    async fn send(&self, stream: &mut (impl AsyncWrite + Unpin), reply: &Reply) -> bool {
        let head = server::head_of(reply);
        if stream.write_all(head.as_bytes()).await.is_err() {
            return false;
        }
        let until = reply.cut.unwrap_or(reply.body.len());
        for slice in reply.body[..until].chunks(SLICE) {
            let shared = match &self.shared {
                Some(shared) => Some(shared.lock().await),
                None => None,
            };
            tokio::time::sleep(self.slice).await;
            drop(shared);
            USED.set(Some(Instant::now()));
            if stream.write_all(slice).await.is_err() {
                return false;
            }
        }
        reply.cut.is_none()
    }
}
