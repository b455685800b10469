//! One request that did not give what it was sent for, and what that means.
//!
//! Decides how an answer of a registry reads in one line, and whether asking again can help. Never sends
//! anything.

use super::connection;
use super::retry::LONGEST_PAUSE;
use oci_client::errors::{OciEnvelope, OciErrorCode};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode, Url};
use std::time::Duration;

/// What the inside of this module fails with; boxed, since it is large and rare.
pub(super) type Result<T> = std::result::Result<T, Box<Refusal>>;

/// How much of an error's body is read.
const BODY_CAP: usize = 64 * 1024;

/// Characters of what an error says that are kept: what registries and manifests say may be long.
const WORDS: usize = 1000;

/// Why a request gave nothing.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Method and redacted URL, or what was being done.
    pub(super) what: String,
    pub(super) kind: Kind,
    pub(super) detail: String,
    /// `anonymous`, `as testuser`.
    pub(super) who: String,
    /// How long the registry asks to wait.
    pub(super) retry_after: Option<Duration>,
    pub(super) hint: Option<String>,
    /// Whether the credentials were refused themselves, not their use here.
    pub(super) by_token_server: bool,
    /// To whom it was the answer.
    pub(super) asker: Asker,
    /// Whether it was answered with as many further tries as there are.
    pub(super) exhausted: bool,
    /// The registry's own word for it, such as `MANIFEST_UNKNOWN`.
    pub(super) code: String,
}

/// Who asks, as far as that bears on an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// Somebody whom the registry knows, or no registry had a part in it.
    Known,
    /// Nobody in particular, who is shown less.
    Stranger,
    /// Somebody who may write, known or not.
    Writer,
}

/// The kinds that are told apart inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The registry answered with this status.
    Status(StatusCode),
    /// No connection could be made.
    NoConnection,
    /// The connection broke or stalled.
    Connection,
    /// The certificate was not accepted.
    Certificate,
    /// Something answered that is no registry.
    NotARegistry,
    /// The bytes are not what their digest or size says.
    Corrupt,
    /// Anything else; asking again does not help.
    Other,
}

/// The beginning of what is very long.
fn cut(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(WORDS) {
        text.truncate(end);
        text += "..";
        text.shrink_to_fit();
    }
    text
}

impl Refusal {
    pub(super) fn new(what: impl Into<String>, kind: Kind, detail: impl Into<String>) -> Box<Self> {
        Box::new(Self {
            what: cut(what.into()),
            kind,
            detail: cut(detail.into()),
            who: String::new(),
            retry_after: None,
            hint: None,
            by_token_server: false,
            asker: Asker::Known,
            exhausted: false,
            code: String::new(),
        })
    }

    pub(super) fn hinted(mut self: Box<Self>, hint: impl Into<String>) -> Box<Self> {
        self.hint.get_or_insert(hint.into());
        self
    }

    /// The same, named by what it was a part of.
    pub(super) fn while_doing(mut self: Box<Self>, whole: &str) -> Box<Self> {
        self.what = format!("{whole}: {}", self.what);
        self
    }

    /// Whether the same request may do better later.
    pub(super) fn transient(&self) -> bool {
        match self.kind {
            Kind::NoConnection | Kind::Connection => true,
            Kind::Status(status) => transient(status),
            _ => false,
        }
    }

    /// The pause that everybody is to make, where it is short enough to be waited out.
    pub(super) fn pause_asked(&self) -> Option<Duration> {
        let asked = self.retry_after.filter(|_| self.transient());
        asked.filter(|asked| *asked <= LONGEST_PAUSE)
    }

    pub(super) fn status(&self) -> Option<StatusCode> {
        match self.kind {
            Kind::Status(status) => Some(status),
            _ => None,
        }
    }

    pub(super) fn is_denied(&self) -> bool {
        matches!(
            self.status(),
            Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        )
    }

    pub(super) fn is_not_found(&self) -> bool {
        self.status() == Some(StatusCode::NOT_FOUND)
    }

    /// Whether a manifest was refused for what it refers to.
    pub(super) fn misses_content(&self) -> bool {
        let status = self.status().map(|status| status.as_u16());
        let codes = ["MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN"];
        matches!(status, Some(400 | 404)) && codes.contains(&self.code.as_str())
    }

    /// Whether another endpoint of the same registry may do better.
    pub(super) fn is_unreachable(&self) -> bool {
        matches!(self.kind, Kind::Certificate | Kind::NotARegistry) || self.transient()
    }
}

/// Whether a status says "later" rather than "no".
pub(super) fn transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// `GET https://host/path`, without query (it may be signed) and without user information.
pub(super) fn describe(method: &Method, url: &Url) -> String {
    format!("{method} {}", describe_url(url))
}

pub(super) fn describe_url(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|p| format!(":{p}")).unwrap_or_default();
    format!("{}://{host}{port}{}", url.scheme(), url.path())
}

/// Reads a refusing answer: the registry's own code and message, or what came in their place.
pub(super) async fn read(method: &Method, response: Response, who: &str) -> Box<Refusal> {
    let what = describe(method, response.url());
    let status = response.status();
    let headers = response.headers().clone();
    let body = connection::capped(response, BODY_CAP)
        .await
        .unwrap_or_default();
    from_parts(what, status, &headers, &body, who)
}

/// The pure part of [`read`].
fn from_parts(
    what: String,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    who: &str,
) -> Box<Refusal> {
    let html = is_html(headers);
    // 5xx pages come from gateways in front of a registry that is there
    if html && (status == StatusCode::NOT_FOUND || status.is_success() || status.is_redirection()) {
        return Refusal::new(
            what,
            Kind::NotARegistry,
            format!(
                "{} with an HTML page: this is not a registry",
                status.as_u16()
            ),
        );
    }
    let words = if html {
        "(an HTML page)".to_owned()
    } else {
        words(body).unwrap_or_else(|| status.canonical_reason().unwrap_or("").to_ascii_lowercase())
    };
    let mut refusal = Refusal::new(
        what,
        Kind::Status(status),
        format!("{} {words}", status.as_u16()).trim_end().to_owned(),
    );
    who.clone_into(&mut refusal.who);
    refusal.code = telling_code(body);
    refusal.retry_after = retry_after(headers, jiff::Timestamp::now());
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        refusal = refusal.hinted(
            "something between here and the registry limits the size of a request: \
             raise it there (nginx: client_max_body_size)",
        );
    }
    refusal
}

pub(super) fn is_html(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|v| v.trim_start().to_ascii_lowercase().starts_with("text/html"))
}

/// Code and message of the first error in a registry's envelope, on one line.
fn words(body: &[u8]) -> Option<String> {
    let text = if let Ok(envelope) = serde_json::from_slice::<OciEnvelope>(body) {
        let error = envelope.errors.into_iter().next()?;
        let detail = match &error.detail {
            serde_json::Value::String(s) if *s != error.message => format!(": {s}"),
            _ => String::new(),
        };
        format!("{} {}{detail}", code(&error.code), error.message)
    } else if let Ok(other) = serde_json::from_slice::<TokenError>(body) {
        other.words()?
    } else {
        String::from_utf8_lossy(body).into_owned()
    };
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line: String = line.chars().filter(|c| !c.is_control()).take(300).collect();
    (!line.is_empty()).then_some(line)
}

/// What token servers answer instead of the envelope.
#[derive(serde::Deserialize)]
struct TokenError {
    error: Option<String>,
    error_description: Option<String>,
    details: Option<String>,
    message: Option<String>,
}

impl TokenError {
    fn words(self) -> Option<String> {
        let parts: Vec<String> = [
            self.error,
            self.error_description,
            self.message,
            self.details,
        ]
        .into_iter()
        .flatten()
        .collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }
}

/// The code of the first error in a registry's envelope.
fn telling_code(body: &[u8]) -> String {
    let envelope = serde_json::from_slice::<OciEnvelope>(body);
    let errors = envelope.map(|envelope| envelope.errors).unwrap_or_default();
    let codes: Vec<String> = errors.iter().map(|error| code(&error.code)).collect();
    // Distribution 2.8 says that a manifest's blobs are missing behind a DIGEST_INVALID
    let telling = codes.iter().find(|code| *code != "DIGEST_INVALID");
    telling.or(codes.first()).cloned().unwrap_or_default()
}

fn code(code: &OciErrorCode) -> String {
    match serde_json::to_value(code) {
        Ok(serde_json::Value::String(text)) => text,
        _ => String::new(),
    }
}

/// `Retry-After`, in seconds or as a date.
fn retry_after(headers: &HeaderMap, now: jiff::Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail(status: u16, content_type: &str, body: &str) -> (Kind, String) {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        let refusal = from_parts(
            "GET https://r/v2/".into(),
            StatusCode::from_u16(status).unwrap(),
            &headers,
            body.as_bytes(),
            "anonymous",
        );
        (refusal.kind, refusal.detail)
    }

    #[test]
    fn missing_content_is_seen_behind_an_invalid_digest() {
        let misses = |body: &str| {
            let status = StatusCode::BAD_REQUEST;
            let what = "PUT https://r/v2/a/manifests/b".to_owned();
            from_parts(what, status, &HeaderMap::new(), body.as_bytes(), "me").misses_content()
        };
        let invalid = r#"{"code":"DIGEST_INVALID","message":"provided digest did not match"}"#;
        let unknown = r#"{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown"}"#;
        assert!(misses(&format!(r#"{{"errors":[{invalid},{unknown}]}}"#)));
        assert!(misses(&format!(r#"{{"errors":[{unknown}]}}"#)));
        assert!(!misses(&format!(r#"{{"errors":[{invalid}]}}"#)));
        assert!(!misses("busy"));
    }

    #[test]
    fn an_answer_reads_in_one_line() {
        let check = |status, body, expected: &str| {
            assert_eq!(detail(status, "application/json", body).1, expected);
        };
        check(
            404,
            r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#,
            "404 MANIFEST_UNKNOWN manifest unknown",
        );
        check(
            400,
            r#"{"errors":[{"code":"ODD_ONE","message":"a\nb","detail":"c"}]}"#,
            "400 ODD_ONE a b: c",
        );
        check(
            401,
            r#"{"details":"incorrect username or password"}"#,
            "401 incorrect username or password",
        );
        check(503, "", "503 service unavailable");
        check(500, "plain\n words", "500 plain words");
    }

    #[test]
    fn an_html_page_is_not_a_registry_unless_a_gateway_made_it() {
        assert_eq!(
            detail(404, "text/html; charset=utf-8", "<html>").0,
            Kind::NotARegistry
        );
        assert_eq!(
            detail(502, "text/html", "<html>"),
            (
                Kind::Status(StatusCode::BAD_GATEWAY),
                "502 (an HTML page)".into()
            )
        );
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: jiff::Timestamp = "1994-11-06T08:49:30Z".parse().unwrap();
        let check = |text: &str, expected: Option<u64>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            assert_eq!(
                retry_after(&headers, now),
                expected.map(Duration::from_secs),
                "{text}"
            );
        };
        check("7", Some(7));
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(7));
        check("Sun, 06 Nov 1994 08:49:00 GMT", Some(0));
        check("soon", None);
    }

    #[test]
    fn urls_are_told_without_query_and_user() {
        let url: Url = "https://me:pass@host:5000/v2/a/blobs/uploads/x?_state=signed"
            .parse()
            .unwrap();
        assert_eq!(
            describe(&Method::PUT, &url),
            "PUT https://host:5000/v2/a/blobs/uploads/x"
        );
    }
}
