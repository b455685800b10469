//! Blobs in a target repository: known, mounted, uploaded.
//!
//! Decides how an upload goes: one PUT with a length where the registry takes it, pieces where not.
//! Never decides whether a blob is needed.

use super::body::{Meter, Source};
use super::call::Call;
use super::manifest::Content;
use super::refusal::{self, Kind, Refusal, Result};
use super::retry::{Pauses, RETRIES};
use super::transport::{Repository, drain, same_origin};
use crate::reference::Digest;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName, LOCATION};
use reqwest::{Body, Method, Response, StatusCode, Url};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const BYTES: &str = "application/octet-stream";

/// The least size of a piece that a registry takes.
const MIN_PIECE: HeaderName = HeaderName::from_static("oci-chunk-min-length");

/// Size of a piece where whole blobs are refused.
const PIECE: u64 = 16 * 1024 * 1024;

/// An upload that takes no byte for so long is given up.
const STALL: Duration = Duration::from_secs(120);

/// How long a registry may take to store a blob after its last byte (object stores copy it once more).
const STORING: Duration = Duration::from_secs(15 * 60);

/// How often a blob is carried again that was wrong, or whose upload was lost.
const AGAIN: usize = 2;

/// A place where a blob may be uploaded to.
#[derive(Debug, Clone)]
pub(super) struct Session {
    location: Url,
    min_piece: u64,
}

/// What came of asking for a mount.
#[derive(Debug)]
pub(super) enum Mount {
    /// It is in the repository now.
    Done,
    /// The registry would not, but opened an upload.
    Upload(Session),
    /// The registry would not.
    Refused,
}

impl Repository {
    /// Whether a blob is in the repository.
    pub(super) async fn has_blob(&self, digest: &Digest) -> Result<bool> {
        let url = self.url(&format!("blobs/{digest}")).await?;
        let response = self.send(&Call::new(Method::HEAD, url)).await?;
        match response.status() {
            status if status.is_success() => Ok(true),
            // the last two: a registry that cannot be asked so
            StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_IMPLEMENTED => Ok(false),
            _ => Err(self.refuse(&Method::HEAD, response).await),
        }
    }

    /// Whether the repository is known to hold no tag: small blobs need not be asked for then.
    pub(super) async fn is_new(&self) -> bool {
        let Ok(mut url) = self.url("tags/list").await else {
            return false;
        };
        url.set_query(Some("n=1"));
        let answer = self.send(&Call::new(Method::GET, url)).await;
        matches!(answer, Ok(response) if response.status() == StatusCode::NOT_FOUND)
    }

    /// Asks the registry to take a blob over from another of its repositories.
    pub(super) async fn mount(&self, digest: &Digest, from: &str) -> Result<Mount> {
        let mut url = self.url("blobs/uploads/").await?;
        url.query_pairs_mut()
            .append_pair("mount", digest.as_str())
            .append_pair("from", from);
        let call = Call::new(Method::POST, url)
            .header(CONTENT_LENGTH, "0")
            .scope(format!("repository:{from}:pull"));
        let response = self.send(&call).await?;
        let answer = match response.status() {
            StatusCode::CREATED | StatusCode::NO_CONTENT => Mount::Done,
            StatusCode::ACCEPTED => Mount::Upload(session(&response)?),
            // Docker Hub answers 400, Harbor 401 where others open an upload
            status => {
                tracing::debug!(%status, %digest, from, "mount refused");
                Mount::Refused
            }
        };
        drain(response).await;
        Ok(answer)
    }

    async fn start_upload(&self) -> Result<Session> {
        let url = self.url("blobs/uploads/").await?;
        let call = Call::new(Method::POST, url).header(CONTENT_LENGTH, "0");
        let response = self.send(&call).await?;
        if !response.status().is_success() {
            return Err(self.refuse(&Method::POST, response).await);
        }
        let session = session(&response)?;
        drain(response).await;
        Ok(session)
    }
}

/// Carries a blob from one repository to another, checked on the way.
///
/// `session` is an upload that is open already.
pub(super) async fn carry(
    from: &Repository,
    to: &Repository,
    content: &Content,
    mut session: Option<Session>,
) -> Result<()> {
    let meter = Arc::new(Meter::default());
    let mut pauses = Pauses::new(&to.endpoint, RETRIES);
    let mut odd = 0;
    let mut in_pieces = content.size > 0 && to.endpoint.in_pieces.load(Ordering::Relaxed);
    loop {
        // a new session for every try: what a broken one holds is not known (ECR's Range is stale)
        let tried = attempt(from, to, content, session.take(), &meter, in_pieces).await;
        let refusal = match tried {
            Ok(()) => {
                // only now: one odd answer to a whole blob must not slow down all that follow
                to.endpoint.in_pieces.fetch_or(in_pieces, Ordering::Relaxed);
                return Ok(());
            }
            Err(Failure::Whole(refusal)) if content.size > 0 && refused_whole(&refusal) => {
                let (host, detail) = (&to.endpoint.host, &refusal.detail);
                tracing::debug!(host, detail, "uploading in pieces");
                in_pieces = true;
                continue;
            }
            Err(Failure::Whole(refusal) | Failure::Other(refusal)) => refusal,
        };
        // a 401 in the middle of it: the next session renews the token
        let odd_one = refusal.kind == Kind::Corrupt
            || matches!(
                refusal.status(),
                Some(StatusCode::UNAUTHORIZED | StatusCode::RANGE_NOT_SATISFIABLE)
            );
        odd += usize::from(odd_one);
        let again = refusal.transient() || (odd_one && odd <= AGAIN);
        if !again || refusal.exhausted {
            return Err(refusal);
        }
        let pause = pauses.after(refusal)?;
        to.pause(pause).await;
    }
}

/// Why a blob did not get there.
enum Failure {
    /// The registry's answer to all of it in one request.
    Whole(Box<Refusal>),
    Other(Box<Refusal>),
}

impl From<Box<Refusal>> for Failure {
    fn from(refusal: Box<Refusal>) -> Self {
        Self::Other(refusal)
    }
}

/// Whether a registry, or a proxy before it, takes no blob in one piece.
fn refused_whole(refusal: &Refusal) -> bool {
    refusal
        .status()
        .is_some_and(|status| matches!(status.as_u16(), 400 | 405 | 411 | 413 | 415 | 501))
}

async fn attempt(
    from: &Repository,
    to: &Repository,
    content: &Content,
    session: Option<Session>,
    meter: &Arc<Meter>,
    in_pieces: bool,
) -> std::result::Result<(), Failure> {
    let opened = async {
        match session {
            Some(session) => Ok(session),
            None => to.start_upload().await,
        }
    };
    let (session, source) =
        futures::future::try_join(opened, Source::open(from, content, meter)).await?;
    let response = if in_pieces {
        pieces(to, content, session, source, meter).await?
    } else {
        whole(to, content, session, source, meter).await?
    };
    if !response.status().is_success() {
        let refusal = to.refuse(&Method::PUT, response).await;
        return Err(if in_pieces {
            Failure::Other(refusal)
        } else {
            Failure::Whole(refusal)
        });
    }
    let what = refusal::describe(&Method::PUT, response.url());
    drain(response).await;
    // an answer before the last byte proves nothing
    if meter.whole.load(Ordering::Acquire) {
        Ok(())
    } else {
        let detail = "stored before all of it was sent";
        Err(Refusal::new(what, Kind::Corrupt, detail).into())
    }
}

/// One PUT with everything.
async fn whole(
    to: &Repository,
    content: &Content,
    session: Session,
    source: Source,
    meter: &Meter,
) -> Result<Response> {
    let call = Call::new(Method::PUT, finished(session.location, &content.digest))
        .header(CONTENT_TYPE, BYTES)
        // a fixed length: chunked encoding stalls on ECR Public
        .header(CONTENT_LENGTH, &content.size.to_string())
        .bulk()
        .untimed();
    let body = Body::wrap_stream(source.into_stream());
    watched(to.send_stream(&call, body), &call.name(), content, meter).await
}

/// PATCH after PATCH, then a PUT without body.
async fn pieces(
    to: &Repository,
    content: &Content,
    session: Session,
    source: Source,
    meter: &Meter,
) -> Result<Response> {
    let size = PIECE.max(session.min_piece);
    let mut location = session.location;
    let source = Arc::new(tokio::sync::Mutex::new(source));
    let mut start = 0;
    while start < content.size {
        let length = size.min(content.size - start);
        let call = Call::new(Method::PATCH, location.clone())
            .header(CONTENT_TYPE, BYTES)
            .header(CONTENT_LENGTH, &length.to_string())
            .header(CONTENT_RANGE, &format!("{start}-{}", start + length - 1))
            .bulk()
            .untimed();
        let body = Body::wrap_stream(Source::piece(Arc::clone(&source), length));
        let sending = to.send_stream(&call, body);
        let response = watched(sending, &call.name(), content, meter).await?;
        // 202 by the specification, 201 on ECR, 204 on Pulp
        if !response.status().is_success() {
            return Err(to.refuse(&Method::PATCH, response).await);
        }
        location = next_location(&response)?.unwrap_or(location);
        drain(response).await;
        start += length;
    }
    let call = Call::new(Method::PUT, finished(location, &content.digest))
        .header(CONTENT_LENGTH, "0")
        .within(STORING);
    to.send(&call).await
}

/// Waits for an upload as long as bytes move.
async fn watched(
    sending: impl Future<Output = Result<Response>>,
    what: &str,
    content: &Content,
    meter: &Meter,
) -> Result<Response> {
    tokio::pin!(sending);
    let mut at = meter.at.load(Ordering::Relaxed);
    loop {
        let limit = if at == content.size { STORING } else { STALL };
        if let Ok(result) = tokio::time::timeout(limit, &mut sending).await {
            return result;
        }
        let now = meter.at.load(Ordering::Relaxed);
        if now == at {
            let detail = format!("stalled at {at} of {} bytes", content.size);
            return Err(Refusal::new(what, Kind::Connection, detail));
        }
        at = now;
    }
}

/// Where an upload goes on: relative, absolute, on another host, with or without a query.
fn next_location(response: &Response) -> Result<Option<Url>> {
    let what = || refusal::describe(&Method::POST, response.url());
    let Some(location) = response.headers().get(LOCATION) else {
        return Ok(None);
    };
    let text = location
        .to_str()
        .map_err(|error| Refusal::new(what(), Kind::Other, format!("Location: {error}")))?;
    resolve(response.url(), text)
        .map(Some)
        .map_err(|detail| Refusal::new(what(), Kind::Other, detail))
}

fn resolve(from: &Url, text: &str) -> std::result::Result<Url, String> {
    let mut url = from
        .join(text)
        .map_err(|error| format!("the upload's Location is no URL: {error}"))?;
    if from.scheme() == "https" && url.scheme() == "http" {
        // a registry behind a proxy that ends TLS and does not say so
        let mut upgraded = url.clone();
        let _ = upgraded.set_scheme("https");
        if url.port() == Some(80) || url.port().is_none() || url.port() == from.port() {
            let _ = upgraded.set_port(from.port());
        }
        if !same_origin(&upgraded, from) {
            return Err("the upload's Location leads from https to http".to_owned());
        }
        url = upgraded;
    }
    Ok(url)
}

fn session(response: &Response) -> Result<Session> {
    let location = next_location(response)?.ok_or_else(|| {
        Refusal::new(
            refusal::describe(&Method::POST, response.url()),
            Kind::Other,
            "the registry opened an upload without a Location",
        )
    })?;
    let min_piece = response.headers().get(MIN_PIECE);
    let min_piece = min_piece.and_then(|v| v.to_str().ok()?.parse().ok());
    Ok(Session {
        location,
        min_piece: min_piece.unwrap_or(0),
    })
}

/// The location with the digest that ends the upload, after whatever query is there.
fn finished(mut location: Url, digest: &Digest) -> Url {
    location
        .query_pairs_mut()
        .append_pair("digest", digest.as_str());
    location
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upload_locations_are_resolved_as_registries_write_them() {
        let check = |from: &str, location: &str, expected: std::result::Result<&str, ()>| {
            let digest: Digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
            let got = resolve(&from.parse().unwrap(), location)
                .map(|url| finished(url, &digest).to_string())
                .map_err(|_| ());
            let expected = expected.map(|e| format!("{e}digest=sha256%3A{}", "a".repeat(64)));
            assert_eq!(got, expected, "{location}");
        };
        let post = "https://r:5000/v2/a/blobs/uploads/";
        check(
            post,
            "/v2/a/blobs/uploads/1",
            Ok("https://r:5000/v2/a/blobs/uploads/1?"),
        );
        check(
            post,
            "x?_state=a%2Fb%3D",
            Ok("https://r:5000/v2/a/blobs/uploads/x?_state=a%2Fb%3D&"),
        );
        check(post, "https://s3/u?sig=1", Ok("https://s3/u?sig=1&"));
        check(post, "http://r:5000/u", Ok("https://r:5000/u?"));
        check(post, "http://r/u", Ok("https://r:5000/u?"));
        check(post, "http://other/u", Err(()));
        check(
            "http://r/v2/a/blobs/uploads/",
            "http://r:81/u",
            Ok("http://r:81/u?"),
        );
        check(post, "https://[", Err(()));
    }
}
