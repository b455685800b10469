//! Connections that fail, and bodies that break off.
//!
//! Decides what a failed connection reads like and for how long the next bytes of a body are waited for.

use super::refusal::{Kind, Refusal, Result, describe, describe_url};
use bytes::Bytes;
use reqwest::{Method, Response};
use std::error::Error as StdError;
use std::time::Duration;
use tokio::time::timeout;

/// No byte of a body for so long is a broken connection, however long the whole takes.
const SILENCE: Duration = Duration::from_secs(60);

/// The next bytes of a body; none at its end.
pub(super) async fn chunk(response: &mut Response) -> Result<Option<Bytes>> {
    let detail = match timeout(SILENCE, response.chunk()).await {
        Ok(Ok(chunk)) => return Ok(chunk),
        Ok(Err(error)) => return Err(broken(describe(&Method::GET, response.url()), &error)),
        Err(_) => format!("no byte for {} s", SILENCE.as_secs()),
    };
    let what = describe(&Method::GET, response.url());
    Err(Refusal::new(what, Kind::Connection, detail))
}

/// A whole body, up to `cap` bytes; more is an error of kind `Other`.
pub(super) async fn capped(mut response: Response, cap: usize) -> Result<Vec<u8>> {
    let what = describe(&Method::GET, response.url());
    let mut bytes = Vec::new();
    while let Some(chunk) = chunk(&mut response).await? {
        if bytes.len() + chunk.len() > cap {
            let detail = format!("the answer is larger than {cap} bytes");
            return Err(Refusal::new(what, Kind::Other, detail));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// A connection that could not be made or broke.
pub(super) fn broken(what: impl Into<String>, error: &reqwest::Error) -> Box<Refusal> {
    if let Some(refusal) = inner_refusal(error) {
        return refusal;
    }
    if let Some(tls) = tls_cause(error) {
        return certificate(what.into(), tls);
    }
    let kind = if error.is_builder() {
        Kind::Other
    } else if error.is_connect() {
        Kind::NoConnection
    } else {
        Kind::Connection
    };
    Refusal::new(what, kind, innermost(error))
}

/// A body stream of ours fails with a refusal; the HTTP stack carries it out wrapped.
fn inner_refusal(error: &reqwest::Error) -> Option<Box<Refusal>> {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(body) = current.downcast_ref::<super::body::BodyError>() {
            return body.take();
        }
        cause = current.source();
    }
    None
}

fn certificate(what: String, error: &rustls::Error) -> Box<Refusal> {
    use rustls::CertificateError as Cert;
    match error {
        rustls::Error::InvalidCertificate(Cert::UnknownIssuer) => Refusal::new(
            what,
            Kind::Certificate,
            "certificate signed by unknown authority",
        )
        .hinted(
            "name the authority's certificate as `caFile` of this registry in config.yaml, \
             or with `kubectl image-cloner login HOST --ca-file FILE`",
        ),
        rustls::Error::InvalidCertificate(_) => {
            Refusal::new(what, Kind::Certificate, error.to_string())
        }
        _ => Refusal::new(what, Kind::Connection, format!("TLS: {error}")),
    }
}

/// The TLS error under a failed request, if there is one.
pub(super) fn tls_cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let mut cause = Some(error);
    while let Some(current) = cause {
        if let Some(tls) = current.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        // an io::Error hides the error it carries from `source`
        let carried = current
            .downcast_ref::<std::io::Error>()
            .and_then(|io| io.get_ref());
        if let Some(carried) = carried
            && let Some(tls) = tls_cause(carried)
        {
            return Some(tls);
        }
        cause = current.source();
    }
    None
}

/// Whether nobody listens at the other end.
pub(super) fn is_refused(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(current) = cause {
        let io = current.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused) {
            return true;
        }
        cause = current.source();
    }
    false
}

/// The last cause of an error: the outer ones only say that a request failed.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn StdError = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let mut text = cause.to_string();
    // a signed URL is as good as a password
    if let Some(url) = error.url() {
        text = text.replace(url.as_str(), &describe_url(url));
    }
    if error.is_timeout() && !text.contains("timed out") {
        return format!("timed out: {text}");
    }
    text
}
