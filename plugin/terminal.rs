//! Where words go: data to standard output, everything else to standard error.

use crate::stop::Stopped;
use console::{Term, style};
use image_cloner::cluster;
use image_cloner::outcome::Failure;
use image_cloner::report;
use std::io::{IsTerminal, Write};
use tokio_util::sync::CancellationToken;

/// What is known of the process's three streams.
#[derive(Debug, Clone)]
pub(crate) struct Terminal {
    /// Somebody can be asked: standard input and standard error are a terminal.
    pub(crate) can_ask: bool,
    /// Bars may be drawn on standard error.
    pub(crate) can_draw: bool,
    /// Columns of standard error; 80 where it is none.
    pub(crate) width: usize,
    /// Cancelled at the first Ctrl-C, once [`Self::watch_interrupts`] was called.
    pub(crate) stop: CancellationToken,
}

impl Terminal {
    pub(crate) fn detect() -> Self {
        let can_draw = std::io::stderr().is_terminal();
        let width = Term::stderr()
            .size_checked()
            .map_or(80, |(_, columns)| usize::from(columns));
        Self {
            stop: CancellationToken::new(),
            can_ask: can_draw && std::io::stdin().is_terminal(),
            can_draw,
            width,
        }
    }

    /// Columns to break text at; no end of them where a program reads it.
    pub(crate) fn columns(&self) -> usize {
        if self.can_draw {
            self.width
        } else {
            usize::MAX
        }
    }

    /// Ctrl-C, and what a closed session or a cancelled job sends, end what is under way in good order;
    /// sent again, they end the process.
    pub(crate) fn watch_interrupts(&self) {
        let stop = self.stop.clone();
        tokio::spawn(async move {
            interrupted().await;
            stop.cancel();
            interrupted().await;
            std::process::exit(130);
        });
    }

    /// Work that can be dropped at any time, because it changes nothing.
    pub(crate) async fn unless_interrupted<T>(
        &self,
        work: impl Future<Output = Result<T, Stopped>>,
    ) -> Result<T, Stopped> {
        self.stop
            .run_until_cancelled(work)
            .await
            .unwrap_or_else(|| Err(Stopped::cancelled()))
    }

    /// Says what of a selection could not be had; gives how much.
    pub(crate) fn missing(&self, missing: Vec<cluster::Error>) -> usize {
        let count = missing.len();
        for error in missing {
            let failure = Failure::from(error);
            self.failure(&failure);
            self.hints(&failure);
        }
        count
    }

    /// Ends a verb that found nothing to work on, `missed` of what was named among it.
    pub(crate) fn nothing_found(&self, missed: usize) -> u8 {
        self.say(if missed == 0 {
            "no workloads found"
        } else {
            "nothing was changed"
        });
        u8::from(missed > 0)
    }

    /// A line of data. A reader that went away (`| head`) is no error of ours.
    #[allow(clippy::unused_self, reason = "one way to print, whatever the stream")]
    pub(crate) fn data(&self, line: &str) {
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }

    /// Data as it is. A reader that went away is no error of ours; a full disk is one.
    #[allow(clippy::unused_self, reason = "one way to print, whatever the stream")]
    pub(crate) fn stream(&self, text: &str) -> Result<(), Stopped> {
        let mut stdout = std::io::stdout().lock();
        let written = stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush());
        match written {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                let what = format!("writing to standard output: {error}");
                Err(Stopped::failed(Failure::new(what)).after_changes())
            }
            _ => Ok(()),
        }
    }

    /// A line for the person who watches.
    #[allow(clippy::unused_self, reason = "one way to print, whatever the stream")]
    pub(crate) fn say(&self, line: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }

    /// A failure, its hints, and that nothing was changed.
    pub(crate) fn error(&self, stopped: &Stopped) {
        if stopped.is_cancelled() {
            self.say(&stopped.failure.message);
        } else {
            self.failure(&stopped.failure);
        }
        if !stopped.changed {
            self.say("nothing was changed");
        }
        self.hints(&stopped.failure);
    }

    /// `error: …`, broken between words where a person reads it.
    pub(crate) fn failure(&self, failure: &Failure) {
        let text = report::wrap(&format!("error: {}", failure.message), self.columns(), 0);
        let rest = &text["error:".len()..];
        self.say(&format!(
            "{}{rest}",
            style("error:").red().bold().for_stderr()
        ));
    }

    /// `hint: …`, a line each.
    pub(crate) fn hints(&self, failure: &Failure) {
        for hint in &failure.hints {
            self.hint(hint);
        }
    }

    /// `hint: …`, in one line: it may be a command.
    pub(crate) fn hint(&self, text: &str) {
        self.say(&format!("{} {text}", style("hint:").cyan().for_stderr()));
    }

    /// Several things worth knowing.
    pub(crate) fn notes(&self, texts: &[String]) {
        for text in texts {
            self.note(text);
        }
    }

    /// Something worth knowing that stops nothing, broken as an error is.
    pub(crate) fn note(&self, text: &str) {
        let text = report::wrap(&format!("note: {text}"), self.columns(), 0);
        let rest = &text["note:".len()..];
        self.say(&format!("{}{rest}", style("note:").yellow().for_stderr()));
    }
}

#[cfg(unix)]
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminated), Ok(mut hung_up)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::hangup()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
        _ = hung_up.recv() => {}
    }
}

#[cfg(not(unix))]
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
