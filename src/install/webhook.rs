//! The admission webhook's objects, and the rights that its certificate needs.
//!
//! Decides what the API server asks the agent about. Never makes a certificate: the agent does, itself.

use super::Settings;
use super::rbac::Rule;
use serde_json::Value;

/// What is made only with `--webhook`.
pub(super) fn objects(_settings: &Settings) -> Vec<Value> {
    Vec::new()
}

/// What the agent needs for it.
pub(super) fn rules() -> Vec<Rule> {
    Vec::new()
}
