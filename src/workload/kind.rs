//! The kinds that have a pod template: how they are called and where the template is.

use std::fmt;

/// A kind as the API server knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind {
    /// API group, empty for the core group.
    pub group: String,
    /// API version, such as `v1`.
    pub version: String,
    /// `Deployment`.
    pub kind: String,
    /// `deployments`, as in URLs.
    pub plural: String,
}

impl Kind {
    /// The kinds that every cluster has, in the order in which they are listed and shown.
    pub fn builtin() -> Vec<Kind> {
        todo!()
    }

    /// The built-in kind that kubectl means by this word: short name, singular, plural, with or
    /// without the group, in any case.
    pub fn from_word(_word: &str) -> Option<Kind> {
        todo!()
    }

    /// The JSON pointer of the pod spec inside an object of this kind: `/spec/template/spec`.
    pub fn pod_spec(&self) -> &'static str {
        todo!()
    }
}

/// As kubectl prints it: `deployment.apps`, `pod`.
impl fmt::Display for Kind {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
