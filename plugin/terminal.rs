//! Where words go: data to standard output, everything else to standard error.
//!
//! Decides what is done about words of others, and about a standard output that takes no more.

use crate::harmless::harmless;
use crate::stop::Stopped;
use console::{StyledObject, Term, style};
use image_cloner::cluster;
use image_cloner::outcome::Failure;
use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, OnceLock};
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
    /// Data is read by a person.
    shows_data: bool,
    /// Why data was lost first.
    lost: Arc<OnceLock<String>>,
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
            shows_data: io::stdout().is_terminal(),
            lost: Arc::default(),
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

    /// A line of data. That it could not be written is told by [`Self::check_written`]: it ends no work.
    pub(crate) fn data(&self, line: &str) {
        self.painted(&self.shown(line));
    }

    /// A line of data with colours of ours; what others say in it has to be harmless.
    pub(crate) fn painted(&self, line: &str) {
        if let Err(error) = written(&format!("{line}\n")) {
            // only the first is told
            let _ = self.lost.set(error.to_string());
        }
    }

    /// Data as it is.
    pub(crate) fn stream(&self, text: &str) -> Result<(), Stopped> {
        written(&self.shown(text)).map_err(|error| lost(&error.to_string()))
    }

    /// Data as it is for a program, and as it can be looked at for a person.
    fn shown<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.shows_data {
            harmless(text)
        } else {
            Cow::Borrowed(text)
        }
    }

    /// Whether all data went where it was to go.
    ///
    /// # Errors
    /// When some was lost.
    pub(crate) fn check_written(&self) -> Result<(), Stopped> {
        match self.lost.get() {
            Some(why) => Err(lost(why)),
            None => Ok(()),
        }
    }

    /// A line for the person who watches.
    pub(crate) fn say(&self, line: &str) {
        self.put(&harmless(line));
    }

    #[allow(clippy::unused_self, reason = "one way to print, whatever the stream")]
    fn put(&self, line: &str) {
        let _ = writeln!(io::stderr().lock(), "{line}");
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

    /// `error: …` in one line.
    pub(crate) fn failure(&self, failure: &Failure) {
        let word = style("error:").red().bold().for_stderr();
        self.label(&word, &failure.message);
    }

    /// `hint: …`, a line each.
    pub(crate) fn hints(&self, failure: &Failure) {
        for hint in &failure.hints {
            self.hint(hint);
        }
    }

    /// `hint: …`.
    pub(crate) fn hint(&self, text: &str) {
        let word = style("hint:").cyan().for_stderr();
        self.label(&word, text);
    }

    /// Several things worth knowing.
    pub(crate) fn notes(&self, texts: &[String]) {
        for text in texts {
            self.note(text);
        }
    }

    /// Something worth knowing that stops nothing.
    pub(crate) fn note(&self, text: &str) {
        let word = style("note:").yellow().for_stderr();
        self.label(&word, text);
    }

    /// A word of ours before words of others: no line that they begin is taken for one of ours.
    fn label(&self, word: &StyledObject<&str>, text: &str) {
        let text = harmless(text.trim_end()).replace('\n', "\n    ");
        self.put(&format!("{word} {text}"));
    }
}

/// Writes data. A reader that went away (`| head`) is no error of ours; a full disk is one.
fn written(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn lost(why: &str) -> Stopped {
    let what = format!("writing to standard output: {why}");
    Stopped::failed(Failure::new(what)).after_changes()
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
