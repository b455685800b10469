//! Endpoints: where to really talk to a registry.

use reqwest::Url;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use std::fmt;

/// Reads one endpoint or a list of them; each is a URL or `host[:port]`.
pub(super) fn one_or_many<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<String>, D::Error> {
    deserializer.deserialize_any(Endpoints)
}

struct Endpoints;

impl<'de> Visitor<'de> for Endpoints {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a URL or host[:port], or a list of them")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        check(text).map_err(E::custom)?;
        Ok(vec![text.to_owned()])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut endpoints = Vec::new();
        while let Some(text) = sequence.next_element::<String>()? {
            check(&text).map_err(A::Error::custom)?;
            endpoints.push(text);
        }
        Ok(endpoints)
    }
}

/// Why a text is no endpoint, without repeating what may be a password.
pub(super) fn check(text: &str) -> Result<(), String> {
    let is_url = text.contains("://");
    let url = if is_url {
        Url::parse(text)
    } else {
        Url::parse(&format!("https://{text}"))
    };
    // a password that is not escaped makes it something else than a URL, or one of another host
    if text.contains('@') {
        return Err(
            "the endpoint has credentials in it; use username and passwordCommand".to_owned(),
        );
    }
    let url = url.map_err(|cause| format!("the endpoint {text:?} is not a URL: {cause}"))?;
    let fault = if !["http", "https"].contains(&url.scheme()) {
        "is neither http nor https"
    } else if url.query().is_some() || url.fragment().is_some() {
        "has a query or fragment"
    } else if !is_url && text.contains('/') {
        "has a path; write it as a URL with https:// in front"
    } else {
        return Ok(());
    };
    Err(format!("the endpoint {text:?} {fault}"))
}
