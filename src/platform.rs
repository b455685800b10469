//! Platforms, and an index narrowed to some of them.
//!
//! Decides which entries of an index a choice of platforms means. Never changes what it keeps: a narrowed
//! index has the bytes of the whole one, without those of the entries that were dropped.

#[cfg(test)]
mod tests;

use crate::reference::Digest;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

/// What an image runs on: `os/arch[/variant]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

/// The platforms of an index that are copied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Platforms {
    /// Every one, with everything else that is in the index.
    #[default]
    All,
    /// These; never empty.
    Only(BTreeSet<Platform>),
}

/// The platforms as a user asks for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlatformChoice {
    /// Those that are named.
    Named(Platforms),
    /// `cluster`: those of the cluster's nodes.
    Cluster,
}

/// Why an index cannot be narrowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NarrowError {
    /// It does not read as one.
    #[error("not an index: {0}")]
    NotAnIndex(String),
    /// It is for other platforms.
    #[error("it is not for {wanted}, but for {has}")]
    NoneOf {
        /// The platforms that were asked for.
        wanted: String,
        /// The platforms that it has.
        has: String,
    },
}

impl Platform {
    /// A platform in the words of a node or an index; none where they say nothing.
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Option<Self> {
        let says_nothing = |word: &str| word.is_empty() || word == "unknown";
        if says_nothing(os) || says_nothing(architecture) {
            return None;
        }
        Some(Self {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant
                .filter(|variant| !variant.is_empty())
                .map(str::to_owned),
        })
    }

    /// The operating system, as nodes and indexes name it.
    pub fn os(&self) -> &str {
        &self.os
    }

    /// The processor architecture, as nodes and indexes name it.
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// Whether an image for `other` is meant: without a variant, every variant is.
    fn means(&self, other: &Self) -> bool {
        self.os == other.os
            && self.architecture == other.architecture
            && (self.variant.is_none() || self.variant() == other.variant())
    }

    /// The variant, with that which goes without saying (as container runtimes have it).
    fn variant(&self) -> &str {
        match (self.architecture.as_str(), self.variant.as_deref()) {
            (_, Some(variant)) => variant,
            ("arm64", None) => "v8",
            ("arm", None) => "v7",
            ("amd64", None) => "v1",
            (_, None) => "",
        }
    }
}

impl FromStr for Platform {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.trim().to_ascii_lowercase();
        let words: Vec<&str> = lower.split('/').collect();
        let is_word = |word: &&str| {
            let in_word = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
            !word.is_empty() && word.bytes().all(in_word)
        };
        let platform = match words.as_slice() {
            words if !words.iter().all(is_word) => None,
            [os, architecture] => Self::new(os, go_name(architecture), None),
            [os, architecture, variant] => Self::new(os, go_name(architecture), Some(variant)),
            _ => None,
        };
        platform.ok_or_else(|| format!("{text:?} is not os/arch[/variant], such as linux/amd64"))
    }
}

/// What `uname -m` says, in the words of images.
fn go_name(architecture: &str) -> &str {
    match architecture {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Platforms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Only(platforms) => f.write_str(&list(platforms)),
        }
    }
}

impl FromStr for PlatformChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "all" => Ok(Self::Named(Platforms::All)),
            "cluster" => Ok(Self::Cluster),
            text => {
                let platforms = text.split(',').map(str::parse).collect::<Result<_, _>>();
                let platforms = platforms.map_err(|reason: String| {
                    format!("{reason}; or write all, or cluster for those of its nodes")
                })?;
                Ok(Self::Named(Platforms::Only(platforms)))
            }
        }
    }
}

fn list(platforms: &BTreeSet<Platform>) -> String {
    let names: Vec<String> = platforms.iter().map(ToString::to_string).collect();
    names.join(", ")
}

#[derive(Deserialize)]
struct Index<'a> {
    #[serde(borrow)]
    manifests: Option<Vec<&'a RawValue>>,
}

/// One descriptor of an index.
#[derive(Deserialize)]
struct Entry {
    digest: String,
    platform: Option<EntryPlatform>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct EntryPlatform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

/// The manifest that an attestation is about, as BuildKit notes it.
const REFERS_TO: &str = "vnd.docker.reference.digest";

impl Entry {
    /// What it runs on; none for an attestation (`unknown/unknown`), an index in the index, an artifact.
    fn platform(&self) -> Option<Platform> {
        let named = self.platform.as_ref()?;
        Platform::new(&named.os, &named.architecture, named.variant.as_deref())
    }

    fn refers_to(&self) -> Option<&str> {
        let annotations = self.annotations.as_ref()?;
        annotations.get(REFERS_TO).map(String::as_str)
    }
}

/// The bytes of an index without the platforms that are not wanted; none where that is all of it.
///
/// An entry is dropped when it names another platform, and with it the attestations that refer to it.
/// What names no platform stays, and so does what is in `anyway`.
///
/// # Errors
/// When it names platforms and none of them is wanted.
pub fn narrow(
    index: &[u8],
    wanted: &BTreeSet<Platform>,
    anyway: &BTreeSet<Digest>,
) -> Result<Option<Vec<u8>>, NarrowError> {
    let not_an_index = |error: serde_json::Error| NarrowError::NotAnIndex(error.to_string());
    let document: Index<'_> = serde_json::from_slice(index).map_err(not_an_index)?;
    let texts = document.manifests.unwrap_or_default();
    let entries = texts
        .iter()
        .map(|text| serde_json::from_str(text.get()).map_err(not_an_index))
        .collect::<Result<Vec<Entry>, _>>()?;
    let has: BTreeSet<Platform> = entries.iter().filter_map(Entry::platform).collect();
    let is_wanted = |platform: &Platform| wanted.iter().any(|one| one.means(platform));
    if !has.is_empty() && !has.iter().any(is_wanted) {
        return Err(NarrowError::NoneOf {
            wanted: list(wanted),
            has: list(&has),
        });
    }
    let kept = kept(&entries, is_wanted, anyway);
    if kept.iter().all(|kept| *kept) {
        return Ok(None);
    }
    let spans: Vec<(usize, usize)> = texts.iter().map(|text| span(index, text)).collect();
    Ok(Some(without(index, &spans, &kept)))
}

/// Which entries stay.
fn kept(
    entries: &[Entry],
    is_wanted: impl Fn(&Platform) -> bool,
    anyway: &BTreeSet<Digest>,
) -> Vec<bool> {
    let anyway: BTreeSet<&str> = anyway.iter().map(Digest::as_str).collect();
    let is_kept = |entry: &Entry| {
        anyway.contains(entry.digest.as_str()) || entry.platform().as_ref().is_none_or(&is_wanted)
    };
    let digests = |wanted: bool| -> BTreeSet<&str> {
        let of_that_kind = entries.iter().filter(|entry| is_kept(entry) == wanted);
        of_that_kind.map(|entry| entry.digest.as_str()).collect()
    };
    // one manifest may serve two platforms
    let (stay, go) = (digests(true), digests(false));
    let is_about_what_goes = |entry: &Entry| {
        let about = entry.refers_to();
        about.is_some_and(|digest| go.contains(digest) && !stay.contains(digest))
    };
    entries
        .iter()
        .map(|entry| is_kept(entry) && !is_about_what_goes(entry))
        .collect()
}

/// Where a part of a text begins and ends.
fn span(whole: &[u8], part: &RawValue) -> (usize, usize) {
    let start = part.get().as_ptr().addr() - whole.as_ptr().addr();
    (start, start + part.get().len())
}

/// An index without some of its entries, which are at `spans`.
fn without(index: &[u8], spans: &[(usize, usize)], kept: &[bool]) -> Vec<u8> {
    let (Some((first, _)), Some((_, last))) = (spans.first(), spans.last()) else {
        return index.to_vec();
    };
    let mut text = index[..*first].to_vec();
    let mut is_first = true;
    for (at, (start, end)) in spans.iter().enumerate() {
        if !kept[at] {
            continue;
        }
        if !is_first {
            // the comma, and the white space around it
            text.extend_from_slice(&index[spans[at - 1].1..*start]);
        }
        text.extend_from_slice(&index[*start..*end]);
        is_first = false;
    }
    text.extend_from_slice(&index[*last..]);
    text
}
