//! Why a verb ended before it had an outcome, and the exit code that goes with it.

use image_cloner::cluster::{self, SelectionError};
use image_cloner::config::{ConfigError, KeyError, SettingsError};
use image_cloner::credentials::CredentialsError;
use image_cloner::outcome::Failure;
use image_cloner::plan::PlanError;
use image_cloner::reference::ParseError;
use image_cloner::registry;
use image_cloner::target::{NameError, TargetParseError};

/// A verb that ended without an outcome to show.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub(crate) failure: Failure,
    /// 1 something failed, 2 the request itself is wrong, 130 interrupted.
    pub(crate) code: u8,
    /// Whether something was done before.
    pub(crate) changed: bool,
}

impl Stopped {
    /// The request itself is wrong.
    pub(crate) fn wrong(failure: Failure) -> Self {
        Self {
            failure,
            code: 2,
            changed: false,
        }
    }

    /// The request is right and cannot be carried out.
    pub(crate) fn failed(failure: Failure) -> Self {
        Self {
            failure,
            code: 1,
            changed: false,
        }
    }

    /// The same, where the work itself was done before.
    pub(crate) fn after_changes(mut self) -> Self {
        self.changed = true;
        self
    }

    /// Whether nothing went wrong: somebody decided so.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.code == 130
    }

    /// Somebody pressed Ctrl-C or Esc, or said no.
    pub(crate) fn cancelled() -> Self {
        Self {
            failure: Failure::new("cancelled"),
            code: 130,
            changed: false,
        }
    }
}

macro_rules! wrong_request {
    ($($error:ty),*) => {$(
        impl From<$error> for Stopped {
            fn from(error: $error) -> Self {
                Self::wrong(Failure::new(error.to_string()))
            }
        }
    )*};
}

wrong_request!(
    ConfigError,
    ParseError,
    TargetParseError,
    NameError,
    PlanError,
    SettingsError
);

impl From<KeyError> for Stopped {
    fn from(error: KeyError) -> Self {
        let failure = Failure::new(error.message);
        Self::wrong(match error.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        })
    }
}

impl From<SelectionError> for Stopped {
    fn from(error: SelectionError) -> Self {
        let failure = Failure::new(error.message);
        Self::wrong(match error.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        })
    }
}

impl From<CredentialsError> for Stopped {
    fn from(error: CredentialsError) -> Self {
        Self::failed(Failure::new(error.to_string()))
    }
}

impl From<registry::Error> for Stopped {
    fn from(error: registry::Error) -> Self {
        Self::failed(error.into())
    }
}

impl From<cluster::Error> for Stopped {
    fn from(error: cluster::Error) -> Self {
        match error {
            error @ cluster::Error::Invalid { .. } => Self::wrong(error.into()),
            error => Self::failed(error.into()),
        }
    }
}
