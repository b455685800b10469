//! What there is to say about an image in use, and why a registry did not say it.

use crate::outcome::Failure;
use std::fmt;

/// One thing to say, in one or several forms: a table may have room for a word or two only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note(Vec<String>);

impl Note {
    /// All there is to say.
    pub fn new(text: impl Into<String>) -> Self {
        Self(vec![text.into()])
    }

    /// The same with a form that is shorter than those before.
    #[must_use]
    pub fn or(mut self, shorter: impl Into<String>) -> Self {
        self.0.push(shorter.into());
        self
    }

    /// All there is to say.
    pub fn text(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    /// The longest form of at most so many characters; the shortest where none is.
    pub fn within(&self, width: usize) -> &str {
        let mut forms = self.0.iter();
        let fitting = forms.find(|form| form.chars().count() <= width);
        fitting.or(self.0.last()).map_or("", String::as_str)
    }
}

/// What a registry did in place of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Silence {
    /// It did not let us.
    Refused,
    /// It was not to be had.
    Away,
    /// It answered something else.
    Failed,
}

/// `refused`, `no answer`, `error`.
impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "refused",
            Self::Away => "no answer",
            Self::Failed => "error",
        })
    }
}

/// Why a registry's answer is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untold {
    /// In a word.
    pub silence: Silence,
    /// In full.
    pub failure: Failure,
}

impl Untold {
    /// What is said of it beside an image that is at this registry.
    pub(super) fn note(&self, registry: &str) -> Note {
        let from = match self.silence {
            Silence::Refused => "by",
            Silence::Away | Silence::Failed => "from",
        };
        Note::new(format!("{registry}: {}", self.failure))
            .or(format!("{} {from} {registry}", self.silence))
            .or(self.silence.to_string())
    }
}

/// Images that a registry did not tell of, for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The registry.
    pub registry: String,
    /// What it did.
    pub silence: Silence,
    /// How many images it did not tell of.
    pub images: usize,
    /// The failure of one of them.
    pub failure: Failure,
}
