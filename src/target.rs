//! The naming rule: source reference → target reference.
//!
//! The one place that decides what a copy is called. Never looks at a registry or a workload.
//!
//! No two sources share a target, whatever they are: a path under the target tells its source. Its first
//! component has a dot or `__`, or is `localhost`, exactly where it is the source's host. Hosts have no
//! underscore, so that `host__port` cannot be one. What the target holds already is nobody's source and
//! keeps its name; a copy made before is told from the target's own content by the workload's record.

#[cfg(test)]
mod tests;

use crate::reference::grammar::{self, DOCKER_HUB};
use crate::reference::{Digest, Reference};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

/// How a source's host and path become a path under the target registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// The source's host and path, nested: `quay.io/a/b` → `TARGET/quay.io/a/b`; Docker Hub's host is left out.
    #[default]
    Mirror,
    /// One path component, for registries without nested paths: the mirrored path joined with `-`, and a
    /// hash of the canonical repository, since a joint can also be part of a name.
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
    pub fn parse(text: &str, layout: Layout) -> Result<Self, TargetParseError> {
        Self::canonicalise(text, layout).map_err(|reason| TargetParseError {
            text: text.to_owned(),
            reason,
        })
    }

    fn canonicalise(text: &str, layout: Layout) -> Result<Self, String> {
        grammar::whole(text)?;
        let (host, prefix) = text.split_once('/').unwrap_or((text, ""));
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        if !grammar::is_host(host) {
            return Err(format!(
                "without a dot or port, {host:?} is read as a path on Docker Hub; \
                 write docker.io/{host} or {host}:PORT"
            ));
        }
        let host = grammar::canonical_host(host)?;
        if prefix.contains([':', '@']) {
            return Err(format!("the prefix {prefix:?} has a tag or digest"));
        }
        if !prefix.is_empty() {
            grammar::path(prefix)?;
            grammar::length(&format!("{host}/{prefix}"))?;
        } else if host == DOCKER_HUB {
            return Err("on Docker Hub it needs an account: docker.io/ACCOUNT".to_owned());
        }
        Ok(Self {
            host,
            prefix: Some(prefix.to_owned()).filter(|prefix| !prefix.is_empty()),
            layout,
        })
    }

    /// `host[:port]`, lower case.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path prefix below the host, without slashes at its ends.
    pub fn prefix(&self) -> Option<&str> {
        self.prefix.as_deref()
    }

    /// The port of a node at which it is there, where its host means whoever reads it: the node that pulls.
    pub fn node_port(&self) -> Option<u16> {
        let (name, port) = self.host.split_once(':')?;
        port.parse().ok().filter(|_| grammar::is_loopback(name))
    }

    /// How copies are named.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Whether a reference is already under this target registry, by host and whole path components.
    pub fn holds(&self, reference: &Reference) -> bool {
        let below = match &self.prefix {
            None => true,
            Some(prefix) => reference
                .repository()
                .strip_prefix(prefix.as_str())
                .is_some_and(|rest| rest.starts_with('/')),
        };
        below && reference.registry() == self.host
    }

    /// The source that a copy in this target was named after; none for what is no copy by that rule, and
    /// where the layout's names do not tell.
    pub fn origin(&self, copy: &Reference) -> Option<Reference> {
        if self.layout != Layout::Mirror || !self.holds(copy) {
            return None;
        }
        let path = match &self.prefix {
            Some(prefix) => copy.repository().strip_prefix(prefix.as_str())?,
            None => copy.repository(),
        };
        let path = path.trim_start_matches('/');
        let name = match path.split_once('/') {
            Some((host, rest)) if host.contains("__") => {
                format!("{}/{rest}", host.replacen("__", ":", 1))
            }
            Some((host, _)) if grammar::is_host(host) => path.to_owned(),
            _ => format!("{DOCKER_HUB}/{path}"),
        };
        let origin = Reference::parse(&name).ok()?;
        let origin = origin.with(copy.tag(), copy.digest());
        (self.name(&origin).as_ref() == Ok(copy)).then_some(origin)
    }

    /// A reference as it is called below this target registry; in full where it is elsewhere.
    pub fn relative<'a>(&self, reference: &'a Reference) -> &'a str {
        let typed = reference.typed();
        let below = typed.strip_prefix(&self.to_string() as &str);
        below
            .and_then(|rest| rest.strip_prefix('/'))
            .unwrap_or(typed)
    }

    /// The target reference of a source. Tag and digest are kept as they are.
    ///
    /// A source that the target already [holds](Self::holds) is its own name.
    pub fn name(&self, source: &Reference) -> Result<Reference, NameError> {
        if self.holds(source) {
            return Ok(source.clone());
        }
        let path = match self.layout {
            Layout::Mirror => mirrored(source),
            Layout::Flat => flattened(source),
        };
        let name = format!("{self}/{path}");
        grammar::length(&name)
            .and_then(|()| Reference::parse(&name).map_err(|error| error.to_string()))
            .map(|repository| repository.with(source.tag(), source.digest()))
            .map_err(|reason| NameError {
                reference: source.typed().to_owned(),
                reason: format!("{name}: {reason}"),
            })
    }
}

/// The source's host and path as a path, without what goes unsaid on Docker Hub.
fn mirrored(source: &Reference) -> String {
    let (registry, repository) = (source.registry(), source.repository());
    if registry != DOCKER_HUB {
        // a colon cannot be part of a path, and an underscore not of a host
        return format!("{}/{repository}", registry.replace(':', "__"));
    }
    let short = match repository.strip_prefix("library/") {
        Some(name) if !name.contains('/') => name,
        _ => repository,
    };
    let first = short.split('/').next().unwrap_or(short);
    if grammar::is_host(first) || first.contains("__") {
        // it would be taken for another source's host
        format!("{registry}/{repository}")
    } else {
        short.to_owned()
    }
}

/// The mirrored path in one component.
fn flattened(source: &Reference) -> String {
    let repository = format!("{}/{}", source.registry(), source.repository());
    let mut name = mirrored(source).replace('/', "-");
    name.push('-');
    for byte in &Sha256::digest(repository)[..16] {
        write!(name, "{byte:02x}").expect("writing to a string cannot fail");
    }
    name
}

/// The tag that keeps a digest-pinned copy from being cleaned up: `digest-<first 16 hex>`.
pub fn keeping_tag(digest: &Digest) -> String {
    format!("digest-{}", &digest.hex()[..16])
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

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "mirror" => Ok(Self::Mirror),
            "flat" => Ok(Self::Flat),
            _ => Err(format!("{text:?} is not a layout; use mirror or flat")),
        }
    }
}

/// `host[:port][/prefix]`.
impl fmt::Display for TargetRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        match &self.prefix {
            Some(prefix) => write!(f, "/{prefix}"),
            None => Ok(()),
        }
    }
}
