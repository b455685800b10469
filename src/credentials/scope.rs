//! Scopes: what a key of a docker configuration stands for, `host[:port][/path]` in many spellings.

use crate::reference::grammar;
use std::cmp::Reverse;

/// The host and path that credentials are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scope {
    /// `host[:port]`, canonical; may have globs in pull secrets.
    pub(super) host: String,
    /// Path components; without any, the whole host is meant.
    path: Vec<String>,
}

impl Scope {
    /// Reads a key: `host`, `host/path`, `https://host/v2/`, `https://index.docker.io/v1/`.
    ///
    /// docker writes the address of the API there, so that a leading `v1` or `v2` is no part of a
    /// repository's path.
    pub(super) fn parse(key: &str) -> Self {
        let key = key.trim();
        let bare = key.split_once("://").map_or(key, |(_, rest)| rest);
        let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
        let mut path: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
        if matches!(path.first(), Some(&("v1" | "v2"))) {
            path.remove(0);
        }
        Self {
            host: canonical(host),
            path: path.into_iter().map(str::to_owned).collect(),
        }
    }

    /// Whether a repository's path is inside, by whole components.
    pub(super) fn has_path(&self, repository: &str) -> bool {
        let mut components = repository.split('/');
        self.path.iter().all(|part| components.next() == Some(part))
    }

    /// Sorts the most specific scope first.
    pub(super) fn specificity(&self) -> impl Ord + use<> {
        let globs = self.host.contains(['*', '?', '[']);
        Reverse((self.path.len(), !globs, self.host.len()))
    }
}

/// The canonical host, or the text in lower case where it is none: a glob, or nothing anybody asks for.
pub(super) fn canonical(host: &str) -> String {
    grammar::canonical_host(host).unwrap_or_else(|_| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_in_many_spellings() {
        #[track_caller]
        fn check(key: &str, host: &str, path: &[&str]) {
            let scope = Scope::parse(key);
            assert_eq!(
                (scope.host.as_str(), scope.path.as_slice()),
                (host, &own(path)[..])
            );
        }
        fn own(path: &[&str]) -> Vec<String> {
            path.iter().map(|&part| part.to_owned()).collect()
        }
        check("https://index.docker.io/v1/", "docker.io", &[]);
        check("index.docker.io/v1", "docker.io", &[]);
        check("docker.io", "docker.io", &[]);
        check("registry-1.docker.io", "docker.io", &[]);
        check("docker.io/library", "docker.io", &["library"]);
        check("https://Reg.corp:5443/v2/", "reg.corp:5443", &[]);
        check("http://reg.corp", "reg.corp", &[]);
        check("reg.corp/a/b/", "reg.corp", &["a", "b"]);
        check("https://reg.corp/v2/a", "reg.corp", &["a"]);
        check("*.Corp.io", "*.corp.io", &[]);
    }

    #[test]
    fn paths_match_by_whole_components() {
        let scope = Scope::parse("reg.corp/a/b");
        assert!(scope.has_path("a/b"));
        assert!(scope.has_path("a/b/c"));
        assert!(!scope.has_path("a/bc"));
        assert!(!scope.has_path("a"));
        assert!(Scope::parse("reg.corp").has_path("a"));
    }
}
