//! A blob on its way: read from the source, hashed, handed to the upload.
//!
//! Decides that the last bytes leave only when the whole is what its digest says, where a broken read goes
//! on, and what is read again for an upload that broke. Never holds more than one chunk of one connection;
//! what several are good for is in [`super::lanes`].

use super::connection;
use super::digest::Trail;
use super::lanes::Lanes;
use super::manifest::Content;
use super::refusal::{self, Kind, Refusal, Result};
use super::repository::{Event, Repository};
use super::retry::{Pauses, RETRIES};
use bytes::{Buf as _, Bytes};
use futures::stream::{self, Stream};
use reqwest::header::CONTENT_RANGE;
use reqwest::{Method, Response, StatusCode};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::time::Instant;

/// How far a blob has come; shared by the stream and those who wait for it.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// Bytes handed on. The last ones are only when the whole is right.
    pub(super) at: AtomicU64,
    /// The most that was ever handed on: what the observer was told of.
    told: AtomicU64,
}

/// A refusal that travels through the HTTP stack as a body's error.
pub(super) struct BodyError(Mutex<Option<Box<Refusal>>>, String);

impl BodyError {
    fn new(refusal: Box<Refusal>) -> Self {
        let text = format!("{}: {}", refusal.what, refusal.detail);
        Self(Mutex::new(Some(refusal)), text)
    }

    /// The refusal itself, once.
    pub(super) fn take(&self) -> Option<Box<Refusal>> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take()
    }
}

impl fmt::Debug for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.1)
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.1)
    }
}

impl std::error::Error for BodyError {}

/// A blob that is read from its source for one upload after another.
#[derive(Debug)]
pub(super) struct Source(Arc<tokio::sync::Mutex<Option<Reading>>>);

impl Source {
    pub(super) fn new(
        repository: &Repository,
        content: &Content,
        meter: &Arc<Meter>,
    ) -> Result<Self> {
        let what = format!("reading {} of {}", content.digest, repository.name);
        let trail = Trail::new(content.digest.algorithm())
            .ok_or_else(|| Refusal::new(what, Kind::Other, "unknown digest algorithm"))?;
        Ok(Self(lend(Some(Reading {
            repository: repository.clone(),
            content: content.clone(),
            meter: Arc::clone(meter),
            trail,
            open: None,
            lanes: Lanes::new(repository, content),
            from: 0,
            left: None,
        }))))
    }

    /// Gets ready to give the bytes from `at` on, at most those that were given before. The answer's headers
    /// are in when this returns.
    ///
    /// The HTTP stack may hold on to a stream whose request is over: none that was made before gives
    /// anything any more.
    pub(super) async fn seek(&mut self, at: u64) -> Result<()> {
        let reading = self.0.lock().await.take();
        self.0 = lend(reading);
        match self.0.lock().await.as_mut() {
            Some(reading) => reading.seek(at).await,
            None => Ok(()),
        }
    }

    /// The next `limit` bytes, or as many as there are.
    pub(super) fn stream(
        &self,
        limit: u64,
    ) -> impl Stream<Item = std::result::Result<Bytes, BodyError>> + Send + use<> {
        let lent = Arc::clone(&self.0);
        stream::try_unfold((lent, limit), |(lent, limit)| async move {
            let mut guard = lent.lock().await;
            let chunk = match guard.as_mut() {
                Some(reading) if limit > 0 => reading.give(limit).await.map_err(BodyError::new)?,
                _ => None,
            };
            drop(guard);
            Ok(chunk.map(|chunk| {
                let limit = limit - chunk.len() as u64;
                (chunk, (lent, limit))
            }))
        })
    }
}

fn lend(reading: Option<Reading>) -> Arc<tokio::sync::Mutex<Option<Reading>>> {
    Arc::new(tokio::sync::Mutex::new(reading))
}

#[derive(Debug)]
struct Reading {
    repository: Repository,
    content: Content,
    meter: Arc<Meter>,
    /// The digest of what was read, in whose place the reading is.
    trail: Trail,
    /// What is open; none before the first and after a broken read.
    open: Option<Open>,
    /// What is read beside it.
    lanes: Lanes,
    /// What is before this is read to be hashed only.
    from: u64,
    /// Read already, to be given next.
    left: Option<Bytes>,
}

/// The one connection: the blob from some place on.
#[derive(Debug)]
struct Open {
    response: Response,
    /// Bytes to come that were read before.
    skip: u64,
    /// Bytes that came and are past where lanes begin.
    rest: Bytes,
}

impl Reading {
    async fn seek(&mut self, at: u64) -> Result<()> {
        let left = self.left.as_ref().map_or(0, |left| left.len() as u64);
        if at + left != self.trail.at() {
            (self.left, self.open) = (None, None);
            self.lanes.clear();
            self.trail.back(at);
        }
        self.from = at;
        self.meter.at.store(at, Ordering::Relaxed);
        if self.trail.at() == self.content.size {
            // an upload of no bytes never asks for one
            self.finish()
        } else {
            if self.open.is_none() && self.lanes.are_empty() {
                self.open = Some(self.get().await?);
            }
            Ok(())
        }
    }

    /// At most `limit` of the next bytes; none at the end.
    async fn give(&mut self, limit: u64) -> Result<Option<Bytes>> {
        let Some(mut chunk) = self.next().await? else {
            return Ok(None);
        };
        if chunk.len() as u64 > limit {
            let keep = usize::try_from(limit).unwrap_or(usize::MAX);
            self.left = Some(chunk.split_off(keep));
        }
        let length = chunk.len() as u64;
        let at = self.meter.at.fetch_add(length, Ordering::Relaxed) + length;
        let told = self.meter.told.fetch_max(at, Ordering::Relaxed);
        if at > told {
            self.repository.tell(Event::Carried(at - told));
        }
        Ok(Some(chunk))
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        if let Some(left) = self.left.take() {
            return Ok(Some(left));
        }
        while self.trail.at() < self.content.size {
            let start = self.trail.at();
            let mut chunk = self.read().await?;
            self.pass(&chunk)?;
            let before = self.from.saturating_sub(start).min(chunk.len() as u64);
            chunk.advance(usize::try_from(before).unwrap_or(usize::MAX));
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    /// The next bytes of the source. Broken reads are resumed where they broke.
    async fn read(&mut self) -> Result<Bytes> {
        if let Some(chunk) = self.lanes.next(self.trail.at()).await {
            if self.open.take().is_some() {
                self.lanes.closed();
            }
            return Ok(chunk);
        }
        let mut pauses = Pauses::new(&self.repository.endpoint, RETRIES);
        loop {
            // asking is tried again by the transport; here only what breaks later is
            let open = match self.open.take() {
                Some(open) => open,
                None => self.get().await?,
            };
            match self.read_on(open).await {
                Ok(chunk) => return Ok(chunk),
                Err(refusal) if refusal.transient() => {
                    let pause = pauses.after(refusal)?;
                    self.repository.pause(pause).await;
                }
                Err(refusal) => return Err(refusal),
            }
        }
    }

    async fn read_on(&mut self, mut open: Open) -> Result<Bytes> {
        let at = self.trail.at();
        loop {
            let mut chunk = std::mem::take(&mut open.rest);
            if chunk.is_empty() {
                let asked = Instant::now();
                let Some(next) = connection::chunk(&mut open.response).await? else {
                    let what = refusal::describe(&Method::GET, open.response.url());
                    let detail =
                        format!("the body ended after {at} of {} bytes", self.content.size);
                    return Err(Refusal::new(what, Kind::Connection, detail));
                };
                chunk = next;
                let skipped = usize::try_from(open.skip)
                    .unwrap_or(usize::MAX)
                    .min(chunk.len());
                chunk.advance(skipped);
                open.skip -= skipped as u64;
                let length = chunk.len();
                self.lanes
                    .watch(at + length as u64, length, asked.elapsed(), &open.response);
            }
            if !chunk.is_empty() {
                open.rest = chunk.split_off(self.lanes.spare(at, chunk.len()));
                self.open = Some(open);
                return Ok(chunk);
            }
        }
    }

    /// Opens the blob at the place that was reached.
    async fn get(&mut self) -> Result<Open> {
        let (digest, at) = (&self.content.digest, self.trail.at());
        let response = self.repository.blob(digest, at).await?;
        let what = refusal::describe(&Method::GET, response.url());
        let mut skip = 0;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if at > 0 => self.check_range(&what, &response)?,
            // a server without Range starts again: what passed before is dropped
            StatusCode::OK if at > 0 => {
                skip = at;
                self.lanes.close();
            }
            StatusCode::OK => {
                if let Some(length) = response.content_length()
                    && length != self.content.size
                {
                    let detail = format!("{length} bytes, the manifest says {}", self.content.size);
                    return Err(Refusal::new(what, Kind::Corrupt, detail));
                }
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                let detail = format!("the body ends after {at} of {} bytes", self.content.size);
                return Err(Refusal::new(what, Kind::Corrupt, detail));
            }
            _ => return Err(self.repository.refuse(&Method::GET, response).await),
        }
        self.lanes.opened();
        Ok(Open {
            response,
            skip,
            rest: Bytes::new(),
        })
    }

    fn check_range(&self, what: &str, response: &Response) -> Result<()> {
        let range = response.headers().get(CONTENT_RANGE);
        let range = range.and_then(|v| v.to_str().ok()).unwrap_or_default();
        if range.starts_with(&format!("bytes {}-", self.trail.at())) {
            return Ok(());
        }
        let detail = format!("asked for bytes from {}, got {range:?}", self.trail.at());
        Err(Refusal::new(what, Kind::Corrupt, detail))
    }

    /// Hashes what was read; the last of it passes only when the whole is right.
    fn pass(&mut self, chunk: &Bytes) -> Result<()> {
        let start = self.trail.at();
        if start + chunk.len() as u64 > self.content.size {
            let detail = format!(
                "more than the {} bytes that the manifest says",
                self.content.size
            );
            return Err(self.corrupt(detail));
        }
        if !self.trail.update(chunk) {
            let detail = format!("the bytes from {start} on are not what they were before");
            return Err(self.corrupt(detail));
        }
        if self.trail.at() == self.content.size {
            self.finish()?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        let actual = self.trail.finish();
        if actual != self.content.digest {
            return Err(self.corrupt(format!("the bytes are {actual}")));
        }
        Ok(())
    }

    fn corrupt(&mut self, detail: String) -> Box<Refusal> {
        // nothing goes on from here, and what several connections gave is not trusted again
        self.open = None;
        self.lanes.close();
        Refusal::new(
            format!(
                "reading {} from {}/{}",
                self.content.digest, self.repository.endpoint.host, self.repository.name
            ),
            Kind::Corrupt,
            detail,
        )
    }
}
