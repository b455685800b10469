//! A blob on its way into a target repository.
//!
//! Decides when a blob is sent again, where its upload goes on after a break, and what of the answers is
//! believed. Never decides whether a blob is needed, nor which way it goes (that is [`super::ways`]).

use super::body::{BodyError, Meter, Source};
use super::call::Call;
use super::host::Endpoint;
use super::manifest::{Content, header_digest};
use super::refusal::{self, Kind, Refusal, Result};
use super::repository::Repository;
use super::retry::{Pauses, RETRIES, is_odd};
use super::session::{Session, finished};
use super::transport::drain;
use super::ways::{Posting, Way};
use bytes::Bytes;
use futures::TryStreamExt as _;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use reqwest::{Body, Method, Response, StatusCode};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

const BYTES: &str = "application/octet-stream";

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

/// Whether a registry says that it has a blob which came by POST.
fn is_stored(response: &Response) -> bool {
    matches!(
        response.status(),
        StatusCode::CREATED | StatusCode::NO_CONTENT
    )
}

/// A blob that is being uploaded.
struct Upload<'a> {
    from: &'a Repository,
    to: &'a Repository,
    content: &'a Content,
    /// Where its bytes come from.
    source: Source,
    meter: Arc<Meter>,
    /// Whether nothing was tried yet.
    is_new: bool,
    /// What is open; none before the first and where nothing is left of it.
    session: Option<Session>,
    way: Way<'a>,
    /// The furthest place from which it went on after a break.
    resumed: u64,
}

impl<'a> Upload<'a> {
    fn new(
        from: &'a Repository,
        to: &'a Repository,
        content: &'a Content,
        session: Option<Session>,
    ) -> Result<Self> {
        let meter = Arc::new(Meter::default());
        Ok(Self {
            from,
            to,
            content,
            source: Source::new(from, content, &meter)?,
            meter,
            is_new: true,
            session,
            way: Way::new(&to.endpoint.ways, content.size),
            resumed: 0,
        })
    }

    /// Whether all bytes were handed on, which they are only when they are right.
    fn all_sent(&self) -> bool {
        self.meter.at.load(Ordering::Relaxed) == self.content.size
    }

    async fn attempt(&mut self) -> std::result::Result<(), Failure> {
        if std::mem::take(&mut self.is_new) && self.session.is_none() {
            let ways = &self.to.endpoint.ways;
            if let Some(posting) = ways.posting(self.content.size)
                && self.post(posting).await?
            {
                return Ok(());
            }
        }
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
        let sent = match self.way.piece {
            Some(piece) => self.pieces(session, piece).await,
            None => self.whole(session).await,
        };
        self.check(sent.map_err(Failure::Sending)?)
            .await
            .map_err(Failure::Sending)
    }

    /// One POST with everything; whether the registry has it now. Where not, it goes on in a session: never
    /// does a blob fail for this one.
    async fn post(&mut self, posting: Posting<'_>) -> std::result::Result<bool, Failure> {
        if posting.is_trial {
            self.hold().await.map_err(Failure::Before)?;
        }
        self.source.seek(0).await.map_err(Failure::Before)?;
        let url = self.to.url("blobs/uploads/").await;
        let url = finished(url.map_err(Failure::Before)?, &self.content.digest);
        let call = Call::new(Method::POST, url);
        let refusal = match self.stream(call, self.content.size).await {
            Ok(response) if is_stored(&response) => {
                match self.believe(&Method::POST, response).await {
                    Ok(()) => return self.settle(posting).await,
                    Err(refusal) => {
                        posting.refused();
                        return Err(Failure::Sending(refusal));
                    }
                }
            }
            Ok(response) if response.status() == StatusCode::ACCEPTED => {
                posting.refused();
                self.session = Session::read(&response).ok();
                drain(response).await;
                return Ok(false);
            }
            Ok(response) => self.to.refuse(&Method::POST, response).await,
            Err(refusal) => refusal,
        };
        posting.failed(&refusal);
        if refusal.transient() || refusal.kind == Kind::Corrupt {
            return Err(Failure::Sending(refusal));
        }
        tracing::debug!(
            what = refusal.what,
            detail = refusal.detail,
            "opening a session"
        );
        Ok(false)
    }

    /// Reads a small blob into memory, from where it goes however often it is sent.
    async fn hold(&mut self) -> Result<()> {
        self.source.seek(0).await?;
        let stream = self.source.stream(self.content.size);
        let read: std::result::Result<Vec<_>, BodyError> = stream.try_collect().await;
        let chunks = read.map_err(|error| {
            let lost = || Refusal::new("reading a blob", Kind::Other, error.to_string());
            error.take().unwrap_or_else(lost)
        })?;
        let blob = Bytes::from(chunks.concat());
        let held = self.from.holding(&self.content.digest, blob);
        self.source = Source::new(&held, self.content, &self.meter)?;
        Ok(())
    }

    /// Whether what the registry says it stored is there. The first one is asked for: who answers 201 may have
    /// dropped the body.
    async fn settle(&self, posting: Posting<'_>) -> std::result::Result<bool, Failure> {
        if posting.is_trial && !self.is_there().await.map_err(Failure::Before)? {
            posting.refused();
            return Ok(false);
        }
        posting.taken();
        Ok(true)
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
        watched(
            sending,
            &what,
            self.content,
            &self.meter,
            &self.from.endpoint,
        )
        .await
    }

    /// What the answer to the last request of a session is worth.
    async fn check(&mut self, response: Response) -> Result<()> {
        if !response.status().is_success() {
            return Err(self.to.refuse(&Method::PUT, response).await);
        }
        self.believe(&Method::PUT, response).await?;
        self.way.led_there();
        Ok(())
    }

    /// Whether it may be believed that the blob was stored.
    async fn believe(&self, method: &Method, response: Response) -> Result<()> {
        let what = refusal::describe(method, response.url());
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
            _ => Ok(()),
        }
    }

    /// Whether there is another way left after this refusal. It starts anew.
    fn turns(&mut self, refusal: &Refusal, odd: usize) -> bool {
        let Some(way) = self.way.turns(refusal, odd) else {
            return false;
        };
        let host = &self.to.endpoint.host;
        tracing::debug!(host, detail = refusal.detail, "uploading {way}");
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
        let worth_asking = worth_asking && sent >= WORTH_ASKING && self.way.may_go_on();
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
        self.way.goes_on();
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
