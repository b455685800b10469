//! SIGTERM and SIGINT: an end in order, and one at once for who cannot wait.
//!
//! Decides how long what is under way may take. Never decides what that is.

use image_cloner::outcome::Failure;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long what is under way may take to end. A pod has 40 s until it is killed: enough is left to hand over
/// the Lease.
const GRACE: Duration = Duration::from_secs(25);

/// What a process that was told to end does first and last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop {
    /// Cancelled at the first signal: nothing new is begun.
    pub(crate) closing: CancellationToken,
    /// Cancelled when what is under way has had its time.
    pub(crate) ending: CancellationToken,
}

impl Stop {
    /// Listens for signals from now on.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let signals = Signals::listen()
            .map_err(|error| Failure::new(error.to_string()).context("listening for signals"))?;
        let stop = Self::default();
        tokio::spawn(signals.follow(stop.clone()));
        Ok(stop)
    }
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

/// Elsewhere there is a console's Ctrl-C alone.
#[cfg(not(unix))]
struct Signals;

impl Signals {
    async fn follow(mut self, stop: Stop) {
        self.next().await;
        tracing::info!("stopping: nothing new is begun, what is under way may end");
        stop.closing.cancel();
        let at_once = async {
            let code = self.next().await;
            tracing::warn!("stopping at once");
            std::process::exit(code);
        };
        let in_time = async {
            tokio::time::sleep(GRACE).await;
            tracing::warn!("what is still under way is left: whoever leads next does it again");
            stop.ending.cancel();
            std::future::pending::<()>().await;
        };
        tokio::join!(at_once, in_time);
    }
}

#[cfg(unix)]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The exit code that goes with the next signal.
    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.terminate.recv() => 128 + 15,
            _ = self.interrupt.recv() => 128 + 2,
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    /// The exit code that goes with the next one.
    async fn next(&mut self) -> i32 {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        128 + 2
    }
}
