//! A blob on its way: read from the source, hashed, handed to the upload.
//!
//! Decides that the last bytes leave only when the whole is what its digest says, and where a broken
//! transfer goes on. Never holds more than one chunk.

use super::call::Call;
use super::connection;
use super::digest::Hasher;
use super::manifest::Content;
use super::refusal::{self, Kind, Refusal, Result};
use super::retry::{Pauses, RETRIES};
use super::transport::{Event, Repository};
use bytes::{Buf as _, Bytes};
use futures::stream::{self, Stream};
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Method, Response, StatusCode};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::timeout;

/// No byte for so long is a broken transfer, however long the whole takes.
const STALL: Duration = Duration::from_secs(60);

/// How far a blob has come; shared by the stream and those who wait for it.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// Bytes handed on in this attempt.
    pub(super) at: AtomicU64,
    /// The most that any attempt handed on: what the observer was told of.
    told: AtomicU64,
    /// Whether the whole went through and its digest was right.
    pub(super) whole: AtomicBool,
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

/// A blob being read from its source.
#[derive(Debug)]
pub(super) struct Source {
    repository: Repository,
    content: Content,
    meter: Arc<Meter>,
    hasher: Hasher,
    /// What is open; none before the first and after a broken read.
    open: Option<Response>,
    /// Bytes that passed.
    at: u64,
    /// Bytes of what is open that passed before.
    skip: u64,
    /// Read already, to be given next.
    left: Option<Bytes>,
}

impl Source {
    /// Opens a blob for reading. The answer's headers are in when this returns.
    pub(super) async fn open(
        repository: &Repository,
        content: &Content,
        meter: &Arc<Meter>,
    ) -> Result<Self> {
        let what = format!("reading {} of {}", content.digest, repository.name);
        let hasher = Hasher::new(content.digest.algorithm())
            .ok_or_else(|| Refusal::new(what, Kind::Other, "unknown digest algorithm"))?;
        meter.at.store(0, Ordering::Relaxed);
        meter.whole.store(false, Ordering::Relaxed);
        let mut source = Self {
            repository: repository.clone(),
            content: content.clone(),
            meter: Arc::clone(meter),
            hasher,
            open: None,
            at: 0,
            skip: 0,
            left: None,
        };
        if content.size == 0 {
            // an upload of no bytes never asks for one
            source.finish()?;
        } else {
            source.open = Some(source.get().await?);
        }
        Ok(source)
    }

    /// The rest of the blob as a stream.
    pub(super) fn into_stream(
        self,
    ) -> impl Stream<Item = std::result::Result<Bytes, BodyError>> + Send {
        stream::try_unfold(self, |mut source| async move {
            let chunk = source.next().await.map_err(BodyError::new)?;
            Ok(chunk.map(|chunk| (chunk, source)))
        })
    }

    /// At most `limit` bytes of the blob as a stream, for uploads in pieces.
    pub(super) fn piece(
        this: Arc<tokio::sync::Mutex<Self>>,
        limit: u64,
    ) -> impl Stream<Item = std::result::Result<Bytes, BodyError>> + Send {
        stream::try_unfold((this, limit), |(this, limit)| async move {
            if limit == 0 {
                return Ok(None);
            }
            let mut source = this.lock().await;
            let Some(mut chunk) = source.next().await.map_err(BodyError::new)? else {
                return Ok(None);
            };
            if chunk.len() as u64 > limit {
                let keep = usize::try_from(limit).unwrap_or(usize::MAX);
                source.left = Some(chunk.split_off(keep));
            }
            drop(source);
            let limit = limit - chunk.len() as u64;
            Ok(Some((chunk, (this, limit))))
        })
    }

    /// The next bytes; none at the end. Broken reads are resumed where they broke.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        if let Some(left) = self.left.take() {
            return Ok(Some(left));
        }
        if self.at == self.content.size {
            return Ok(None);
        }
        let mut pauses = Pauses::new(&self.repository.endpoint, RETRIES);
        loop {
            // asking is tried again by the transport; here only what breaks later is
            let response = match self.open.take() {
                Some(response) => response,
                None => self.get().await?,
            };
            match self.read(response).await {
                Ok(chunk) => return self.pass(chunk).map(Some),
                Err(refusal) if refusal.transient() => {
                    let pause = pauses.after(refusal)?;
                    self.repository.pause(pause).await;
                }
                Err(refusal) => return Err(refusal),
            }
        }
    }

    async fn read(&mut self, mut response: Response) -> Result<Bytes> {
        let what = refusal::describe(&Method::GET, response.url());
        loop {
            let mut chunk = match timeout(STALL, response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => {
                    let detail = format!(
                        "the body ended after {} of {} bytes",
                        self.at, self.content.size
                    );
                    return Err(Refusal::new(what, Kind::Connection, detail));
                }
                Ok(Err(error)) => return Err(connection::broken(what, &error)),
                Err(_) => {
                    let detail = format!("no byte for {} s", STALL.as_secs());
                    return Err(Refusal::new(what, Kind::Connection, detail));
                }
            };
            let skipped = usize::try_from(self.skip)
                .unwrap_or(usize::MAX)
                .min(chunk.len());
            chunk.advance(skipped);
            self.skip -= skipped as u64;
            if !chunk.is_empty() {
                self.open = Some(response);
                return Ok(chunk);
            }
        }
    }

    /// Opens the blob at the place that was reached.
    async fn get(&mut self) -> Result<Response> {
        self.skip = 0;
        let url = self.repository.blob_url(&self.content.digest).await?;
        let mut call = Call::new(Method::GET, url).bulk();
        if self.at > 0 {
            call = call.header(RANGE, &format!("bytes={}-", self.at));
        }
        let response = self.repository.send(&call).await?;
        let what = refusal::describe(&Method::GET, response.url());
        match response.status() {
            StatusCode::PARTIAL_CONTENT if self.at > 0 => self.check_range(&what, &response)?,
            // a server without Range starts again: what passed before is dropped
            StatusCode::OK if self.at > 0 => self.skip = self.at,
            StatusCode::OK => {
                if let Some(length) = response.content_length()
                    && length != self.content.size
                {
                    let detail = format!("{length} bytes, the manifest says {}", self.content.size);
                    return Err(Refusal::new(what, Kind::Corrupt, detail));
                }
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                let detail = format!(
                    "the body ends after {} of {} bytes",
                    self.at, self.content.size
                );
                return Err(Refusal::new(what, Kind::Corrupt, detail));
            }
            _ => return Err(self.repository.refuse(&Method::GET, response).await),
        }
        Ok(response)
    }

    fn check_range(&self, what: &str, response: &Response) -> Result<()> {
        let range = response.headers().get(CONTENT_RANGE);
        let range = range.and_then(|v| v.to_str().ok()).unwrap_or_default();
        if range.starts_with(&format!("bytes {}-", self.at)) {
            return Ok(());
        }
        let detail = format!("asked for bytes from {}, got {range:?}", self.at);
        Err(Refusal::new(what, Kind::Corrupt, detail))
    }

    /// Counts and hashes a chunk; the last one passes only when the whole is right.
    fn pass(&mut self, chunk: Bytes) -> Result<Bytes> {
        self.hasher.update(&chunk);
        self.at += chunk.len() as u64;
        if self.at > self.content.size {
            let detail = format!(
                "more than the {} bytes that the manifest says",
                self.content.size
            );
            return Err(self.corrupt(detail));
        }
        if self.at == self.content.size {
            self.finish()?;
        }
        self.meter.at.store(self.at, Ordering::Relaxed);
        let told = self.meter.told.fetch_max(self.at, Ordering::Relaxed);
        if self.at > told {
            self.repository.tell(Event::Carried(self.at - told));
        }
        Ok(chunk)
    }

    fn finish(&mut self) -> Result<()> {
        let actual = self.hasher.finish();
        if actual != self.content.digest {
            return Err(self.corrupt(format!("the bytes are {actual}")));
        }
        self.meter.whole.store(true, Ordering::Release);
        Ok(())
    }

    fn corrupt(&self, detail: String) -> Box<Refusal> {
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
