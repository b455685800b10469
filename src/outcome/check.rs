//! One thing that was checked, and what came of it.

/// One check as people read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at: `push`.
    pub name: &'static str,
    /// What it came to.
    pub verdict: Verdict,
    /// What was found, in one line.
    pub found: String,
    /// How to mend it: facts, and commands that can be pasted.
    pub mend: Vec<String>,
}

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, or may; somebody should look.
    Warn,
    /// It will not work.
    Fail,
    /// It was not looked at, for the reason that was found.
    Skip,
}

impl Verdict {
    /// `ok`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

impl Check {
    /// As it should be.
    pub fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Verdict::Ok, found.into())
    }

    /// Somebody should look.
    pub fn warn(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Verdict::Warn, found.into())
    }

    /// It will not work.
    pub fn fail(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Verdict::Fail, found.into())
    }

    /// It was not looked at.
    pub fn skip(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Verdict::Skip, found.into())
    }

    fn new(name: &'static str, verdict: Verdict, found: String) -> Self {
        Self {
            name,
            verdict,
            found,
            mend: Vec::new(),
        }
    }

    /// The same with one line more on how to mend it.
    #[must_use]
    pub fn mend(mut self, line: impl Into<String>) -> Self {
        self.mend.push(line.into());
        self
    }

    /// The same with these lines on how to mend it.
    #[must_use]
    pub fn mend_all(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.mend.extend(lines);
        self
    }
}
