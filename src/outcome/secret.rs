//! What became of our pull secret in each namespace.

use super::Failure;

/// What became of our pull secret in one namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretOutcome {
    /// The namespace.
    pub namespace: String,
    /// What became of it.
    pub state: SecretState,
}

/// What became of our pull secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretState {
    /// It was not there.
    Created,
    /// It had other credentials.
    Updated,
    /// It is as it should be.
    Unchanged,
    /// Nothing in its namespace names it, and it was left there.
    Unused,
    /// It is not written, for this reason.
    Left(String),
    /// Nothing in its namespace named it, and it was removed.
    Pruned,
    /// It is not as it should be.
    Failed(Failure),
}
