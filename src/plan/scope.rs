//! What a clone is about: globs over names, and which images of a workload are asked for.
//!
//! Decides what a pattern matches. Never what happens to what is asked for.

use crate::reference::{Digest, Reference};
use crate::target::TargetRegistry;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use std::collections::{BTreeMap, BTreeSet};

/// Globs over names; none match nothing.
///
/// `*` and `?` stay within a path component, `**` crosses them, `{a,b}` and `[a-c]` are alternatives.
#[derive(Debug, Clone, Default)]
pub struct Patterns(GlobSet);

/// Why a text is no glob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a pattern: {reason}")]
pub struct PatternError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Patterns {
    /// Reads globs.
    pub fn parse(
        patterns: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Self, PatternError> {
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            set.add(glob(pattern.as_ref())?);
        }
        Ok(Self(set.build().map_err(|error| refused(&error))?))
    }

    /// Reads globs over images. One that ends at a path component stands for all below it: `docker.io` and
    /// `quay.io/org` are enough.
    pub fn of_images(
        patterns: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Self, PatternError> {
        let mut all = Vec::new();
        for pattern in patterns {
            let pattern = pattern.as_ref();
            // said with the text as it was typed
            glob(pattern)?;
            all.push(pattern.to_owned());
            all.push(format!("{}/**", pattern.trim_end_matches('/')));
        }
        Self::parse(all)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them matches this name.
    pub fn matches(&self, name: &str) -> bool {
        self.0.is_match(name)
    }

    /// Whether one of them matches an image under any of its names: as kubectl users write it (`nginx`) or
    /// in full (`docker.io/library/nginx`), with its tag or without.
    fn matches_image(&self, image: &Reference) -> bool {
        let bare = image.with(None, None);
        let (host, repository) = (image.registry(), image.repository());
        let full = format!("{host}/{repository}");
        let tagged = image.tag().map(|tag| format!("{full}:{tag}"));
        let short = bare.familiar();
        let short = short.strip_suffix(":latest").unwrap_or(&short);
        self.matches(&full)
            || tagged.is_some_and(|name| self.matches(&name))
            || self.matches(short)
            || self.matches(&image.familiar())
    }
}

fn glob(pattern: &str) -> Result<globset::Glob, PatternError> {
    GlobBuilder::new(pattern)
        .literal_separator(true)
        .build()
        .map_err(|error| refused(&error))
}

fn refused(error: &globset::Error) -> PatternError {
    PatternError {
        text: error.glob().unwrap_or_default().to_owned(),
        reason: error.kind().to_string(),
    }
}

/// Which images are cloned, at which digest, and how workloads name the copies.
#[derive(Debug, Clone, Default)]
pub struct ImagePolicy {
    /// `--source`: only images that one of these matches; none is all.
    pub sources: Patterns,
    /// `--from`: only copies in this target registry, which move on.
    pub from: Option<TargetRegistry>,
    /// `--resolve`: which digest is meant by a tag.
    pub resolve: Resolve,
    /// `--pin`: workloads name copies as `tag@digest`, those that were cloned before too. The digests that are
    /// known, by the copy's name in the plan; a copy whose digest is not known yet has that name.
    pub pins: Option<BTreeMap<Reference, Digest>>,
    /// Registries whose names mean another machine to whoever copies than to the nodes: their images are
    /// left.
    pub out_of_reach: BTreeSet<String>,
}

/// Which digest is meant by a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Resolve {
    /// The one that the pods run, where they agree and it can be had: cloning is no upgrade.
    #[default]
    Running,
    /// The tag's present one.
    Tag,
}

impl ImagePolicy {
    /// Whether an image is asked for: where it is, and what it was first copied from.
    pub(super) fn asks_for(&self, source: &Reference, origin: &Reference) -> bool {
        let from = self.from.as_ref().is_none_or(|from| from.holds(source));
        let any = [source, origin];
        from && (self.sources.is_empty()
            || any.iter().any(|image| self.sources.matches_image(image)))
    }

    /// Why a workload none of whose images is asked for is left.
    pub(super) fn nothing_asked_for(&self) -> String {
        match &self.from {
            Some(from) => format!("none of its images is in {from}"),
            None => "none of its images matches --source".to_owned(),
        }
    }

    /// The name that a workload gets for a copy.
    pub(super) fn name_in_workload(&self, copy: &Reference) -> Reference {
        let pin = self.pins.as_ref().and_then(|pins| pins.get(copy));
        match pin {
            Some(digest) => copy.with(copy.tag(), Some(digest)),
            None => copy.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_pattern_matches_an_image_under_any_of_its_names() {
        let check = |pattern: &str, image: &str, expected: bool| {
            let patterns = Patterns::of_images([pattern]).unwrap();
            let image = Reference::parse(image).unwrap();
            assert_eq!(
                patterns.matches_image(&image),
                expected,
                "{pattern} {image}"
            );
        };
        for pattern in [
            "docker.io/**",
            "docker.io",
            "docker.io/",
            "docker.io/*",
            "*",
            "docker.io/library/*",
            "docker.io/library/nginx",
            "docker.io/library/nginx:1.25",
            "nginx",
            "nginx:1.25",
            "nginx:1.*",
            "ngin?",
            "{nginx,redis}",
            "**",
        ] {
            check(pattern, "nginx:1.25", true);
        }
        for pattern in ["quay.io/**", "nginx:1.24", "docker.i", "ng", "library"] {
            check(pattern, "nginx:1.25", false);
        }
        check("quay.io/org", "quay.io/org/tool:3", true);
        check("quay.io/org", "quay.io/organ/tool:3", false);
        check("registry.corp:5443/**", "registry.corp:5443/a/b", true);
        check("nginx", "quay.io/x/nginx", false);
        check("**/nginx", "quay.io/x/nginx", true);
        let digest = format!("nginx@sha256:{}", "a".repeat(64));
        check("nginx", &digest, true);
    }

    #[test]
    fn a_pattern_that_is_none_is_named() {
        let error = Patterns::of_images(["docker.io/**", "quay.io/[a"]).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("\"quay.io/[a\" is not a pattern: unclosed character class"),
            "{error}"
        );
        assert!(!Patterns::default().matches("anything"));
        assert!(Patterns::parse(["team-*"]).unwrap().matches("team-a"));
    }
}
