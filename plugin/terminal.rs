//! Where words go: data to standard output, everything else to standard error.

use crate::stop::Stopped;
use console::{Term, style};
use image_cloner::outcome::Failure;
use std::io::{IsTerminal, Write};

/// What is known of the process's three streams.
#[derive(Debug, Clone)]
pub(crate) struct Terminal {
    /// Somebody can be asked: standard input and standard error are a terminal.
    pub(crate) can_ask: bool,
    /// Bars may be drawn on standard error.
    pub(crate) can_draw: bool,
    /// Columns of standard error; 80 where it is none.
    pub(crate) width: usize,
}

impl Terminal {
    pub(crate) fn detect() -> Self {
        let can_draw = std::io::stderr().is_terminal();
        let width = Term::stderr()
            .size_checked()
            .map_or(80, |(_, columns)| usize::from(columns));
        Self {
            can_ask: can_draw && std::io::stdin().is_terminal(),
            can_draw,
            width,
        }
    }

    /// A line of data. A reader that went away (`| head`) is no error of ours.
    #[allow(clippy::unused_self, reason = "one way to print, whatever the stream")]
    pub(crate) fn data(&self, line: &str) {
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }

    /// A line for the person who watches.
    #[allow(clippy::unused_self, reason = "one way to print, whatever the stream")]
    pub(crate) fn say(&self, line: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }

    /// A failure, its hints, and that nothing was changed.
    pub(crate) fn error(&self, stopped: &Stopped) {
        self.failure(&stopped.failure);
        if !stopped.changed {
            self.say("nothing was changed");
        }
        self.hints(&stopped.failure);
    }

    /// `error: …` in one line.
    pub(crate) fn failure(&self, failure: &Failure) {
        self.say(&format!(
            "{} {}",
            style("error:").red().bold().for_stderr(),
            failure.message
        ));
    }

    /// `hint: …`, a line each.
    pub(crate) fn hints(&self, failure: &Failure) {
        for hint in &failure.hints {
            self.say(&format!("{} {hint}", style("hint:").cyan().for_stderr()));
        }
    }

    /// Something worth knowing that stops nothing.
    pub(crate) fn note(&self, text: &str) {
        self.say(&format!("{} {text}", style("note:").yellow().for_stderr()));
    }
}
