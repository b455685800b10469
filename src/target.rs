//! The naming rule: source reference → target reference.
//!
//! The one place that decides what a copy is called. Never looks at a registry or a workload.

use crate::reference::{Digest, Reference};
use std::fmt;
use std::str::FromStr;

/// How a source's host and path become a path under the target registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// The source's host and path, nested: `quay.io/a/b` → `TARGET/quay.io/a/b`; Docker Hub's host is left out.
    #[default]
    Mirror,
    /// One path component, for registries without nested paths.
    Flat,
}

/// A target registry: `host[:port]` and an optional path prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetRegistry {
    host: String,
    prefix: Option<String>,
    layout: Layout,
}

/// Why a source has no name in the target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reference} cannot be named in the target: {reason}")]
pub struct NameError {
    /// The source reference, as typed.
    pub reference: String,
    /// Why it cannot be named.
    pub reason: String,
}

impl TargetRegistry {
    /// Parses `host[:port][/prefix]`, as `--to` takes it.
    pub fn parse(_text: &str, _layout: Layout) -> Result<Self, TargetParseError> {
        todo!()
    }

    /// `host[:port]`, lower case.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path prefix below the host, without slashes at its ends.
    pub fn prefix(&self) -> Option<&str> {
        self.prefix.as_deref()
    }

    /// Whether a reference is already under this target registry, by host and whole path components.
    pub fn holds(&self, _reference: &Reference) -> bool {
        todo!()
    }

    /// The target reference of a source. Tag and digest are kept as they are.
    ///
    /// A source that the target already [holds](Self::holds) is its own name.
    pub fn name(&self, _source: &Reference) -> Result<Reference, NameError> {
        todo!()
    }
}

/// The tag that keeps a digest-pinned copy from being cleaned up: `digest-<first 16 hex>`.
pub fn keeping_tag(_digest: &Digest) -> String {
    todo!()
}

/// Why a text is not a target registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a target registry: {reason}")]
pub struct TargetParseError {
    /// The text that was parsed.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl FromStr for Layout {
    type Err = String;

    fn from_str(_text: &str) -> Result<Self, String> {
        todo!()
    }
}

/// `host[:port][/prefix]`.
impl fmt::Display for TargetRegistry {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
