//! Time that runs faster than the wall's, while real processes are talked to.
//!
//! A paused clock alone would jump whenever a real registry takes a moment to answer.

use std::cell::Cell;
use std::time::Duration;
use tokio::task::JoinHandle;

/// What a millisecond lasts while nothing is stalled.
const BRISK: Duration = Duration::from_millis(10);

/// What it lasts while somebody's patience is to end.
const FAST: Duration = Duration::from_millis(50);

thread_local! {
    /// Each test has a thread and a clock of its own.
    static MILLISECOND: Cell<Duration> = const { Cell::new(BRISK) };
}

/// Until dropped, pauses are shorter than they say.
pub(super) struct Lapse(JoinHandle<()>);

impl Lapse {
    pub(super) fn start() -> Self {
        tokio::time::pause();
        Self(tokio::spawn(async {
            loop {
                // the clock does not jump while such a task is under way
                let tick = || std::thread::sleep(Duration::from_millis(1));
                tokio::task::spawn_blocking(tick).await.unwrap();
                tokio::time::advance(MILLISECOND.get()).await;
            }
        }))
    }
}

impl Drop for Lapse {
    fn drop(&mut self) {
        self.0.abort();
        tokio::time::resume();
    }
}

/// Lets so much time go by quickly.
pub(super) async fn let_pass(time: Duration) {
    MILLISECOND.set(FAST);
    tokio::time::sleep(time).await;
    MILLISECOND.set(BRISK);
}
