//! A blob on its way into a target repository.
//!
//! Decides how an upload goes, in one request where the registry takes it, in pieces where not, and where
//! it goes on after a break. Never decides whether a blob is needed.

use super::body::{Meter, Source};
use super::call::Call;
use super::host::Endpoint;
use super::manifest::{Content, header_digest};
use super::refusal::{self, Kind, Refusal, Result};
use super::repository::Repository;
use super::retry::{Pauses, RETRIES};
use super::session::{Session, finished};
use super::transport::drain;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use reqwest::{Body, Method, Response, StatusCode};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

const BYTES: &str = "application/octet-stream";

/// Size of a piece where a blob does not go in one request.
const PIECE: u64 = 16 * 1024 * 1024;

/// Down to this size a piece is cut where it is too large; nginx takes that much unless told otherwise.
const LEAST_PIECE: u64 = 1024 * 1024;

/// So many bytes are worth a question about whether the registry still has them.
const WORTH_ASKING: u64 = 1024 * 1024;

/// An upload that takes no byte for so long is given up.
const STALL: Duration = Duration::from_secs(120);

/// How long a registry may take to store a blob after its last byte (object stores copy it once more).
const STORING: Duration = Duration::from_secs(15 * 60);

/// How often a blob is carried again that was wrong, or whose upload was lost: one bit in three blobs must not
/// be the end of one.
const AGAIN: usize = 4;

/// Carries a blob from one repository to another, checked on the way.
///
/// `session` is an upload that is open already.
pub(super) async fn carry(
    from: &Repository,
    to: &Repository,
    content: &Content,
    session: Option<Session>,
) -> Result<()> {
    let mut upload = Upload::new(from, to, content, session)?;
    let mut pauses = Pauses::new(&to.endpoint, RETRIES);
    let mut odd = 0;
    loop {
        let refusal = match upload.attempt().await {
            Ok(()) => return Ok(()),
            Err(Failure::Before(refusal)) if refusal.kind != Kind::Corrupt => return Err(refusal),
            Err(Failure::Sending(refusal)) if upload.turns(&refusal, odd) => continue,
            Err(Failure::Before(refusal) | Failure::Sending(refusal)) => refusal,
        };
        let odd_one = is_odd(&refusal);
        odd += usize::from(odd_one);
        let again = refusal.transient() || (odd_one && odd <= AGAIN);
        if !again || refusal.exhausted {
            return Err(refusal);
        }
        let resumable = refusal.transient() || refusal.status() == Some(StatusCode::UNAUTHORIZED);
        let pause = pauses.after(refusal)?;
        to.pause(pause).await;
        if upload.is_there().await? {
            return Ok(());
        }
        if upload.resume(resumable).await? {
            // whoever takes a part each time gets the whole in the end
            pauses = Pauses::new(&to.endpoint, RETRIES);
            odd = 0;
        }
    }
}

/// Why a blob did not get there.
enum Failure {
    /// Nothing was sent.
    Before(Box<Refusal>),
    /// What came of sending it.
    Sending(Box<Refusal>),
}

/// Whether it is no reason to give up, although the same request would be refused again: a wrong body may
/// come right, a token be renewed, a lost upload be opened anew.
fn is_odd(refusal: &Refusal) -> bool {
    let lost = [
        "BLOB_UPLOAD_UNKNOWN",
        "BLOB_UPLOAD_INVALID",
        "DIGEST_INVALID",
    ];
    match refusal.kind {
        Kind::Corrupt => true,
        Kind::Status(status) => {
            matches!(status.as_u16(), 401 | 404 | 410 | 416)
                || lost.contains(&refusal.code.as_str())
        }
        _ => false,
    }
}

/// Whether a registry, or a proxy before it, does not take a blob this way.
fn refuses_the_way(refusal: &Refusal) -> bool {
    refusal
        .status()
        .is_some_and(|status| matches!(status.as_u16(), 400 | 405 | 411 | 413 | 415 | 501))
}

/// A blob that is being uploaded.
struct Upload<'a> {
    /// Where its bytes come from.
    from: Arc<Endpoint>,
    to: &'a Repository,
    content: &'a Content,
    source: Source,
    meter: Arc<Meter>,
    /// What is open; none before the first and where nothing is left of it.
    session: Option<Session>,
    /// How much goes into one request; none where that is everything.
    piece: Option<u64>,
    /// Whether the registry refused the blob as a whole.
    refused_whole: bool,
    /// Whether it refused it in pieces.
    refused_pieces: bool,
    /// The furthest place from which it went on after a break.
    resumed: u64,
}

impl<'a> Upload<'a> {
    fn new(
        from: &Repository,
        to: &'a Repository,
        content: &'a Content,
        session: Option<Session>,
    ) -> Result<Self> {
        let meter = Arc::new(Meter::default());
        let piece = match to.endpoint.piece.load(Ordering::Relaxed) {
            0 => None,
            piece => Some(piece).filter(|_| content.size > 0),
        };
        Ok(Self {
            from: Arc::clone(&from.endpoint),
            to,
            content,
            source: Source::new(from, content, &meter)?,
            meter,
            session,
            piece,
            refused_whole: piece.is_some(),
            refused_pieces: false,
            resumed: 0,
        })
    }

    /// Whether all bytes were handed on, which they are only when they are right.
    fn all_sent(&self) -> bool {
        self.meter.at.load(Ordering::Relaxed) == self.content.size
    }

    async fn attempt(&mut self) -> std::result::Result<(), Failure> {
        let at = self.session.as_ref().map_or(0, |session| session.at);
        let (to, opened) = (self.to, self.session.take());
        let opened = async {
            match opened {
                Some(session) => Ok(session),
                None => to.start_upload().await,
            }
        };
        let (session, ()) = futures::future::try_join(opened, self.source.seek(at))
            .await
            .map_err(Failure::Before)?;
        let sent = match self.piece {
            Some(piece) => self.pieces(session, piece).await,
            None => self.whole(session).await,
        };
        self.check(sent.map_err(Failure::Sending)?)
            .await
            .map_err(Failure::Sending)
    }

    /// One PUT with everything.
    async fn whole(&mut self, session: Session) -> Result<Response> {
        let url = finished(session.location.clone(), &self.content.digest);
        self.session = Some(session);
        let call = Call::new(Method::PUT, url);
        self.stream(call, self.content.size).await
    }

    /// PATCH after PATCH, then a PUT without body.
    async fn pieces(&mut self, mut session: Session, piece: u64) -> Result<Response> {
        let piece = piece.max(session.min_piece);
        while session.at < self.content.size {
            let (start, length) = (session.at, piece.min(self.content.size - session.at));
            let call = Call::new(Method::PATCH, session.location.clone())
                .header(CONTENT_RANGE, &format!("{start}-{}", start + length - 1));
            self.session = Some(session.clone());
            let response = self.stream(call, length).await?;
            // 202 by the specification, 201 on ECR, 204 on Pulp
            if !response.status().is_success() {
                return Err(self.to.refuse(&Method::PATCH, response).await);
            }
            session.advance(&response, start + length)?;
            drain(response).await;
        }
        let url = finished(session.location.clone(), &self.content.digest);
        self.session = Some(session);
        let call = Call::new(Method::PUT, url)
            .header(CONTENT_LENGTH, "0")
            .within(STORING);
        self.to.send(&call).await
    }

    /// Sends the next bytes.
    async fn stream(&self, call: Call, length: u64) -> Result<Response> {
        let call = call
            .header(CONTENT_TYPE, BYTES)
            // a fixed length: chunked encoding stalls on ECR Public
            .header(CONTENT_LENGTH, &length.to_string())
            .bulk()
            .untimed();
        let sending = self
            .to
            .send_stream(&call, Body::wrap_stream(self.source.stream(length)));
        let what = call.name();
        watched(sending, &what, self.content, &self.meter, &self.from).await
    }

    /// What the answer to the last request of an upload is worth.
    async fn check(&mut self, response: Response) -> Result<()> {
        if !response.status().is_success() {
            return Err(self.to.refuse(&Method::PUT, response).await);
        }
        let what = refusal::describe(&Method::PUT, response.url());
        let stored = header_digest(response.headers());
        drain(response).await;
        // an answer before the last byte proves nothing
        if !self.all_sent() {
            let detail = "stored before all of it was sent";
            return Err(Refusal::new(what, Kind::Corrupt, detail));
        }
        // many leave the digest out, and some always name the sha256 one
        let wanted = &self.content.digest;
        match stored {
            Some(stored) if stored.algorithm() == wanted.algorithm() && stored != *wanted => {
                let detail = format!("the registry stored {stored} instead of {wanted}");
                Err(Refusal::new(what, Kind::Corrupt, detail))
            }
            _ => {
                // only now: one odd answer to a whole blob must not slow down all that follow
                if let Some(piece) = self.piece.filter(|_| self.refused_whole) {
                    self.to.endpoint.piece.store(piece, Ordering::Relaxed);
                }
                Ok(())
            }
        }
    }

    /// Whether there is another way left after this refusal. It starts anew.
    fn turns(&mut self, refusal: &Refusal, odd: usize) -> bool {
        if refusal.transient() && self.piece.is_none() && self.content.size > PIECE {
            // also where a limit on the size of a request is enforced by closing the connection
            self.piece = Some(PIECE).filter(|_| !self.refused_pieces);
        }
        if self.content.size == 0 || !refuses_the_way(refusal) {
            return false;
        }
        // bytes that arrived wrong may arrive right; who drops the body of a PUT says so again
        if refusal.code == "DIGEST_INVALID" && odd == 0 {
            return false;
        }
        let (host, detail) = (&self.to.endpoint.host, &refusal.detail);
        match self.piece {
            None if !self.refused_pieces => {
                tracing::debug!(host, detail, "uploading in pieces");
                self.refused_whole = true;
                self.piece = Some(PIECE);
            }
            Some(piece)
                if refusal.status() == Some(StatusCode::PAYLOAD_TOO_LARGE)
                    && piece > LEAST_PIECE =>
            {
                tracing::debug!(host, detail, "uploading in smaller pieces");
                self.piece = Some(piece / 4);
            }
            Some(_) if !self.refused_whole && refusal.code != "DIGEST_INVALID" => {
                tracing::debug!(host, detail, "uploading as a whole again");
                self.refused_pieces = true;
                self.piece = None;
            }
            _ => return false,
        }
        self.session = None;
        true
    }

    /// Whether it got there although it looks as if it did not: the answer may be all that was lost.
    async fn is_there(&self) -> Result<bool> {
        if !self.all_sent() {
            return Ok(false);
        }
        match self.to.has_blob(&self.content.digest).await {
            // who answers that it cannot tell is sent it again
            Err(refusal) if refusal.exhausted && refusal.status().is_none() => Err(refusal),
            found => Ok(found.unwrap_or(false)),
        }
    }

    /// Finds out where the upload goes on, which is from the start where nothing is left of it. Whether it
    /// is further than ever.
    async fn resume(&mut self, worth_asking: bool) -> Result<bool> {
        let sent = self.meter.at.load(Ordering::Relaxed);
        let worth_asking = worth_asking && sent >= WORTH_ASKING && !self.refused_pieces;
        let Some(session) = self.session.take().filter(|_| worth_asking) else {
            return Ok(false);
        };
        let found = self.to.ask_upload(session).await?;
        // a place that did not help before does not now
        let Some(session) = found.filter(|found| found.at <= sent && found.at > self.resumed)
        else {
            return Ok(false);
        };
        let further = session.at >= self.resumed + WORTH_ASKING;
        self.resumed = session.at;
        // whoever has a part takes the rest as a piece, not as a whole
        self.piece.get_or_insert(PIECE);
        self.session = Some(session);
        Ok(further)
    }
}

/// Waits for an upload as long as bytes move. No time counts while their source asks to be left alone.
async fn watched(
    sending: impl Future<Output = Result<Response>>,
    what: &str,
    content: &Content,
    meter: &Meter,
    source: &Endpoint,
) -> Result<Response> {
    tokio::pin!(sending);
    let mut at = meter.at.load(Ordering::Relaxed);
    let mut since = Instant::now();
    loop {
        let limit = if at == content.size { STORING } else { STALL };
        if let Ok(result) = tokio::time::timeout_at(since + limit, &mut sending).await {
            return result;
        }
        let now = meter.at.load(Ordering::Relaxed);
        let left_alone = source.held_until().filter(|until| *until > since);
        since = match left_alone {
            _ if now != at => Instant::now(),
            Some(until) => until,
            None => {
                let detail = format!("stalled at {at} of {} bytes", content.size);
                return Err(Refusal::new(what, Kind::Connection, detail));
            }
        };
        at = now;
    }
}
