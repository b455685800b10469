//! Scopes: what a key of a docker configuration stands for, `host[:port][/path]` in many spellings.

use crate::reference::grammar;
use std::cmp::Reverse;

/// The host and path that credentials are for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    /// `host[:port]`, canonical; may have globs in pull secrets.
    pub(super) host: String,
    /// Without a leading slash; empty where the whole host is meant.
    path: String,
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
        let path = match path.split_once('/') {
            Some(("v1" | "v2", rest)) => rest,
            None if matches!(path, "v1" | "v2") => "",
            _ => path,
        };
        Self {
            host: canonical(host),
            path: path.trim_start_matches('/').to_owned(),
        }
    }

    /// Whether a repository's path is inside, by whole components, as docker and podman have it.
    pub(super) fn has_path(&self, repository: &str) -> bool {
        let mut components = repository.split('/');
        self.components()
            .all(|part| components.next() == Some(part))
    }

    /// Whether a repository's path begins with the very text, as the kubelet has it: `reg.io/team` is good
    /// for `reg.io/team-x/app` too (`urlsMatch` in k8s.io/kubernetes/pkg/credentialprovider).
    pub(super) fn begins(&self, repository: &str) -> bool {
        repository.starts_with(&self.path)
    }

    /// Whether this is the very host and path.
    pub(super) fn is(&self, host: &str, repository: &str) -> bool {
        self.host == host
            && self
                .components()
                .eq(repository.split('/').filter(|part| !part.is_empty()))
    }

    fn components(&self) -> impl Iterator<Item = &str> {
        self.path.split('/').filter(|part| !part.is_empty())
    }

    /// Sorts the most specific scope first.
    pub(super) fn specificity(&self) -> impl Ord + use<> {
        let globs = self.host.contains(['*', '?', '[']);
        Reverse((self.components().count(), !globs, self.host.len()))
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
            let components: Vec<_> = scope.components().collect();
            assert_eq!((scope.host.as_str(), &components[..]), (host, path));
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
