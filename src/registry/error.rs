//! Why a registry is no use, as the rest of the crate is told.
//!
//! Decides which refusals are told apart: those where a caller branches.

use super::refusal::{Asker, Kind, Refusal};

/// Why a registry's answer is no use. Variants where a caller branches; everything else is `Failed`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 404, or what stands for it: the manifest or repository is not there.
    #[error("{what}{detail}")]
    NotFound {
        /// Method, redacted URL.
        what: String,
        /// The registry's own words, with a leading `: `.
        detail: String,
        /// Whether only strangers asked: some registries tell them so of what they hide.
        to_stranger: bool,
    },
    /// 401 or 403 after all credentials were tried.
    #[error("{what}: {detail} ({who})")]
    Denied {
        /// Method, redacted URL.
        what: String,
        /// The registry's own words.
        detail: String,
        /// Who asked: `anonymous`, `as testuser`.
        who: String,
        /// What helps.
        hint: Option<String>,
    },
    /// No connection, or no registry behind it.
    #[error("{what}: {detail}")]
    Unreachable {
        /// What was tried.
        what: String,
        /// The cause, innermost last.
        detail: String,
        /// What helps.
        hint: Option<String>,
    },
    /// Anything else.
    #[error("{what}: {detail}")]
    Failed {
        /// What was being done.
        what: String,
        /// The cause.
        detail: String,
        /// What helps.
        hint: Option<String>,
    },
}

impl Error {
    /// What helps, where something is known to.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::NotFound { .. } => None,
            Self::Denied { hint, .. }
            | Self::Unreachable { hint, .. }
            | Self::Failed { hint, .. } => hint.as_deref(),
        }
    }
}

impl From<Box<Refusal>> for Error {
    fn from(refusal: Box<Refusal>) -> Self {
        let denied = refusal.is_denied();
        let missing = refusal.is_not_found();
        let Refusal {
            what,
            kind,
            detail,
            who,
            hint,
            asker,
            ..
        } = *refusal;
        if denied {
            return Self::Denied {
                what,
                detail,
                who,
                hint,
            };
        }
        // the caller must not take a refused push for a source that is gone
        if missing && asker != Asker::Writer {
            return Self::NotFound {
                what,
                detail: format!(": {detail}"),
                to_stranger: asker == Asker::Stranger,
            };
        }
        match kind {
            Kind::NoConnection | Kind::Connection | Kind::Certificate | Kind::NotARegistry => {
                Self::Unreachable { what, detail, hint }
            }
            Kind::Status(_) if !who.is_empty() => Self::Failed {
                what,
                detail: format!("{detail} ({who})"),
                hint,
            },
            _ => Self::Failed { what, detail, hint },
        }
    }
}
