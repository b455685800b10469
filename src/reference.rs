//! References: what the image text of a workload means.
//!
//! Decides the canonical form (`nginx` is `docker.io/library/nginx:latest`) and keeps the text as it
//! was typed beside it. Never decides where a copy goes (that is [`crate::target`]) and never asks a
//! registry.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// A content digest, `sha256:<64 hex>` or `sha512:<128 hex>`, lower case.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(String);

impl Digest {
    /// The algorithm, `sha256` or `sha512`.
    pub fn algorithm(&self) -> &str {
        todo!()
    }

    /// The hexadecimal part.
    pub fn hex(&self) -> &str {
        todo!()
    }

    /// The first eight hexadecimal digits, as shown to people.
    pub fn short(&self) -> &str {
        &self.hex()[..8]
    }

    /// `algorithm:hex`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Digest {
    type Err = ParseError;

    fn from_str(_text: &str) -> Result<Self, ParseError> {
        todo!()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not a reference; says what is wrong with the offending text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an image reference: {reason}")]
pub struct ParseError {
    /// The text that was parsed.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A reference in canonical form: registry, repository, tag and/or digest.
///
/// Two references are equal when their canonical parts are, however they were typed.
#[derive(Debug, Clone)]
pub struct Reference {
    typed: String,
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Parses an image text as container runtimes do.
    pub fn parse(_text: &str) -> Result<Self, ParseError> {
        todo!()
    }

    /// The text as it was typed.
    pub fn typed(&self) -> &str {
        &self.typed
    }

    /// The registry as `host[:port]`, lower case; Docker Hub is always `docker.io`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository's path inside the registry; on Docker Hub with `library/` where that applies.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag: `latest` when neither tag nor digest was given, none when only a digest was.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if the reference is pinned.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The short form that people type: `nginx:1.25`, `quay.io/a/b:1`.
    pub fn familiar(&self) -> String {
        todo!()
    }

    /// The same repository, with this tag and digest instead. At least one must be given.
    pub fn with(&self, _tag: Option<&str>, _digest: Option<&Digest>) -> Self {
        todo!()
    }
}

impl Reference {
    /// The parts that make two references equal.
    fn canonical(&self) -> (&str, &str, Option<&str>, Option<&Digest>) {
        (&self.registry, &self.repository, self.tag(), self.digest())
    }
}

impl PartialEq for Reference {
    fn eq(&self, other: &Self) -> bool {
        self.canonical() == other.canonical()
    }
}

impl Eq for Reference {}

impl PartialOrd for Reference {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Reference {
    fn cmp(&self, other: &Self) -> Ordering {
        self.canonical().cmp(&other.canonical())
    }
}

impl Hash for Reference {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.canonical().hash(state);
    }
}

/// The canonical text, `registry/repository[:tag][@digest]`.
impl fmt::Display for Reference {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
