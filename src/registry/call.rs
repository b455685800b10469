//! One request as it is to be sent.

use super::clients::Lane;
use super::refusal;
use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use std::time::Duration;

/// No answer to a small request for so long is a broken connection.
pub(super) const ANSWER: Duration = Duration::from_secs(60);

/// One request, as often as it has to be sent.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) lane: Lane,
    /// Scopes besides the repository's own.
    pub(super) more_scopes: Vec<String>,
    pub(super) timeout: Option<Duration>,
}

impl Call {
    pub(super) fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            lane: Lane::Small,
            more_scopes: Vec::new(),
            timeout: Some(ANSWER),
        }
    }

    pub(super) fn header(mut self, name: reqwest::header::HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.append(name, value);
        }
        self
    }

    pub(super) fn body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }

    /// For blob bodies: connections of their own, and no limit on the whole.
    pub(super) fn bulk(mut self) -> Self {
        self.lane = Lane::Bulk;
        self
    }

    /// For streams, which are watched by whoever sends them.
    pub(super) fn untimed(mut self) -> Self {
        self.timeout = None;
        self
    }

    /// For what takes longer than an answer usually does.
    pub(super) fn within(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Method and redacted URL.
    pub(super) fn name(&self) -> String {
        refusal::describe(&self.method, &self.url)
    }

    pub(super) fn scope(mut self, scope: String) -> Self {
        self.more_scopes.push(scope);
        self
    }
}
