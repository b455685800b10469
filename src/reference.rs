//! References: what the image text of a workload means.
//!
//! Decides the canonical form (`nginx` is `docker.io/library/nginx:latest`) and keeps the text as it
//! was typed beside it. Never decides where a copy goes (that is [`crate::target`]) and never asks a
//! registry.

pub(crate) mod grammar;
#[cfg(test)]
mod tests;

use grammar::DOCKER_HUB;
use std::borrow::Cow;
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
        self.parts().0
    }

    /// The hexadecimal part.
    pub fn hex(&self) -> &str {
        self.parts().1
    }

    /// The first eight hexadecimal digits, as shown to people.
    pub fn short(&self) -> &str {
        &self.hex()[..8]
    }

    /// `algorithm:hex`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parts(&self) -> (&str, &str) {
        self.0
            .split_once(':')
            .expect("a digest is only made from text with a colon")
    }
}

impl FromStr for Digest {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match grammar::digest(text) {
            Ok(()) => Ok(Self(text.to_owned())),
            Err(reason) => Err(ParseError {
                what: "a digest",
                text: text.to_owned(),
                reason,
            }),
        }
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

/// Why a text is not a reference or digest; says what is wrong with the offending text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {what}: {reason}")]
pub struct ParseError {
    /// What it should have been: `an image reference` or `a digest`.
    pub what: &'static str,
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

/// What should be a reference, as it can stand in a line: whoever wrote it may have begun another one.
pub(crate) fn in_line(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) {
        text.escape_debug().to_string().into()
    } else {
        text.into()
    }
}

impl Reference {
    /// Parses an image text as container runtimes do.
    ///
    /// ```
    /// use image_cloner::reference::Reference;
    ///
    /// let nginx = Reference::parse("nginx:1.25")?;
    /// assert_eq!(nginx.to_string(), "docker.io/library/nginx:1.25");
    /// assert_eq!(nginx, Reference::parse("index.docker.io/library/nginx:1.25")?);
    /// # Ok::<(), image_cloner::reference::ParseError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Self::canonicalise(text).map_err(|reason| ParseError {
            what: "an image reference",
            text: text.to_owned(),
            reason,
        })
    }

    fn canonicalise(text: &str) -> Result<Self, String> {
        grammar::whole(text)?;
        if text.len() == 64 && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')) {
            // runtimes refuse it as well: it would be taken for the id of a local image
            return Err("it is an image id, not a name".to_owned());
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                grammar::digest(digest)?;
                (rest, Some(Digest(digest.to_owned())))
            }
            None => (text, None),
        };
        let (host, rest) = match rest.split_once('/') {
            Some((host, rest)) if grammar::is_host(host) => (host, rest),
            _ => (DOCKER_HUB, rest),
        };
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        let registry = grammar::canonical_host(host)?;
        grammar::path(path)?;
        tag.map_or(Ok(()), grammar::tag)?;

        let official = registry == DOCKER_HUB && !path.contains('/');
        let repository = if official {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        grammar::length(&repository)?;
        Ok(Self {
            typed: text.to_owned(),
            registry,
            repository,
            tag: default_tag(tag, digest.as_ref()),
            digest,
        })
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

    /// The short form that people type: `nginx:1.25`, `quay.io/a/b:1`. Parses to an equal reference.
    pub fn familiar(&self) -> String {
        self.familiar_name() + &self.suffix()
    }

    /// The same repository, with this tag and digest instead; with neither, it is `latest` as in
    /// [`Reference::parse`]. The tag must be a valid one. It counts as typed in canonical form.
    #[must_use]
    pub fn with(&self, tag: Option<&str>, digest: Option<&Digest>) -> Self {
        let mut reference = Self {
            typed: String::new(),
            registry: self.registry.clone(),
            repository: self.repository.clone(),
            tag: default_tag(tag, digest),
            digest: digest.cloned(),
        };
        reference.typed = reference.to_string();
        reference
    }

    /// Registry and path without what goes unsaid on Docker Hub.
    ///
    /// Where a path on Docker Hub starts like a host (`docker.io/a.b/c`), the registry stays: docker
    /// prints `a.b/c` here, which means something else.
    fn familiar_name(&self) -> String {
        let path = match self.repository.strip_prefix("library/") {
            Some(name) if self.registry == DOCKER_HUB && !name.contains('/') => {
                return name.to_owned();
            }
            _ => &self.repository,
        };
        let first = path.split('/').next().unwrap_or(path);
        if self.registry == DOCKER_HUB && !grammar::is_host(first) {
            path.to_owned()
        } else {
            format!("{}/{path}", self.registry)
        }
    }

    /// `[:tag][@digest]`
    fn suffix(&self) -> String {
        let tag = self.tag.iter().map(|tag| format!(":{tag}"));
        let digest = self.digest.iter().map(|digest| format!("@{digest}"));
        tag.chain(digest).collect()
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
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (registry, repository) = (&self.registry, &self.repository);
        write!(f, "{registry}/{repository}{}", self.suffix())
    }
}

/// `latest` when neither tag nor digest says which image is meant.
fn default_tag(tag: Option<&str>, digest: Option<&Digest>) -> Option<String> {
    match (tag, digest) {
        (None, None) => Some("latest".to_owned()),
        _ => tag.map(str::to_owned),
    }
}
