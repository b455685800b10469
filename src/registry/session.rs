//! Blobs in a target repository: known, mounted, and the sessions in which they are uploaded.
//!
//! Decides where an upload goes on, and what is believed of what the registry says it has. Never sends a
//! blob's bytes.

use super::call::Call;
use super::refusal::{self, Kind, Refusal, Result};
use super::repository::Repository;
use super::transport::{drain, same_origin};
use crate::reference::Digest;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName, LOCATION, RANGE};
use reqwest::{Method, Response, StatusCode, Url};

/// The least size of a piece that a registry takes.
const MIN_PIECE: HeaderName = HeaderName::from_static("oci-chunk-min-length");

/// A place where a blob may be uploaded to.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) location: Url,
    /// Bytes that the registry has.
    pub(super) at: u64,
    pub(super) min_piece: u64,
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
            StatusCode::ACCEPTED => Mount::Upload(Session::read(&response)?),
            // Docker Hub answers 400, Harbor 401 where others open an upload
            status => {
                tracing::debug!(%status, %digest, from, "mount refused");
                Mount::Refused
            }
        };
        drain(response).await;
        Ok(answer)
    }

    /// Opens an upload.
    pub(super) async fn start_upload(&self) -> Result<Session> {
        let url = self.url("blobs/uploads/").await?;
        let call = Call::new(Method::POST, url).header(CONTENT_LENGTH, "0");
        let response = self.send(&call).await?;
        if !response.status().is_success() {
            return Err(self.refuse(&Method::POST, response).await);
        }
        let session = Session::read(&response)?;
        drain(response).await;
        Ok(session)
    }

    /// An upload that broke, as far as the registry has it; none where it has nothing of it, has lost it
    /// (Distribution before 3.0 does, once a request broke in its middle) or cannot be asked.
    pub(super) async fn ask_upload(&self, session: Session) -> Result<Option<Session>> {
        let call = Call::new(Method::GET, session.location.clone());
        let response = match self.send(&call).await {
            Ok(response) if response.status().is_success() => response,
            Ok(response) => {
                tracing::debug!(status = %response.status(), what = call.name(), "upload lost");
                drain(response).await;
                return Ok(None);
            }
            Err(refusal) if refusal.exhausted && refusal.status().is_none() => return Err(refusal),
            // the registry is there, only this question is too much for it
            Err(_) => return Ok(None),
        };
        let found = session.found(&response).unwrap_or_default();
        drain(response).await;
        Ok(found)
    }
}

impl Session {
    pub(super) fn read(response: &Response) -> Result<Self> {
        let location = next_location(response)?.ok_or_else(|| {
            Refusal::new(
                refusal::describe(&Method::POST, response.url()),
                Kind::Other,
                "the registry opened an upload without a Location",
            )
        })?;
        let min_piece = response.headers().get(MIN_PIECE);
        let min_piece = min_piece.and_then(|v| v.to_str().ok()?.parse().ok());
        Ok(Self {
            location,
            at: 0,
            min_piece: min_piece.unwrap_or(0),
        })
    }

    /// Goes on after an answer to bytes up to `at`.
    pub(super) fn advance(&mut self, response: &Response, at: u64) -> Result<()> {
        if let Some(location) = next_location(response)? {
            self.location = location;
        }
        self.at = at;
        Ok(())
    }

    fn found(mut self, response: &Response) -> Result<Option<Self>> {
        // less than what was confirmed before is an old answer (aws/containers-roadmap#2831)
        let held = stored(response.headers()).unwrap_or(0);
        if held >= self.at {
            self.advance(response, held)?;
        }
        Ok(Some(self).filter(|session| session.at > 0))
    }
}

/// How many bytes a `Range` of an upload means. `0-0` is what an empty one has, too.
fn stored(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(RANGE)?.to_str().ok()?;
    let range = range.strip_prefix("bytes=").unwrap_or(range);
    let last: u64 = range.strip_prefix("0-")?.trim().parse().ok()?;
    last.checked_add(1).filter(|_| last > 0)
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

/// The location with the digest that ends the upload, after whatever query is there.
pub(super) fn finished(mut location: Url, digest: &Digest) -> Url {
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

    #[test]
    fn what_an_upload_has_is_read_from_its_range() {
        let check = |range: &str, expected: Option<u64>| {
            let headers = HeaderMap::from_iter([(RANGE, range.parse().unwrap())]);
            assert_eq!(stored(&headers), expected, "{range}");
        };
        check("0-99", Some(100));
        check("bytes=0-99", Some(100));
        // Distribution says so of an upload without a byte
        check("0-0", None);
        check("0--1", None);
        check("5-99", None);
        check("0-18446744073709551615", None);
        check("", None);
    }
}
