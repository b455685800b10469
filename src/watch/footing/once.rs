//! Something that is found out once, for all who ask.
//!
//! Decides for how long a failure to find it out is the answer: many ask at the same time, and each try may be
//! a login, of which registries count how many fail.

use crate::outcome::Failure;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(60);

/// What was found out, or why it was not.
pub(super) struct Once<T> {
    found: OnceCell<T>,
    failed: Mutex<Option<(Instant, Failure)>>,
}

impl<T> Once<T> {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self {
            found: OnceCell::new(),
            failed: Mutex::new(None),
        }
    }

    /// What was found out, if it was.
    pub(super) fn get(&self) -> Option<&T> {
        self.found.get()
    }

    /// What was found out, or is now. Nobody tries while another does, nor soon after one who failed.
    pub(super) async fn find(
        &self,
        find: impl Future<Output = Result<T, Failure>>,
    ) -> Result<&T, Failure> {
        let try_it = || async {
            if let Some(failure) = self.failed_lately() {
                return Err(failure);
            }
            let found = find.await;
            if let Err(failure) = &found {
                let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
                *failed = Some((Instant::now(), failure.clone()));
            }
            found
        };
        self.found.get_or_try_init(try_it).await
    }

    fn failed_lately(&self) -> Option<Failure> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = failed.as_ref().filter(|(at, _)| at.elapsed() < PAUSE);
        lately.map(|(_, failure)| failure.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::join_all;
    use std::cell::Cell;

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_found_out_is_tried_once_a_minute_however_many_ask() {
        let (once, tries) = (Once::new(), Cell::new(0));
        let attempt = |answer: Result<u8, Failure>| async {
            tries.set(tries.get() + 1);
            tokio::task::yield_now().await;
            answer
        };
        let refused = || Err(Failure::new("401"));
        for minute in 1..4 {
            let many = join_all((0..1000).map(|_| once.find(attempt(refused())))).await;
            assert!(many.iter().all(Result::is_err));
            assert_eq!(tries.get(), minute);
            tokio::time::advance(PAUSE).await;
        }
        for _ in 0..2 {
            assert_eq!(once.find(attempt(Ok(7))).await.ok(), Some(&7));
        }
        assert_eq!((tries.get(), once.get()), (4, Some(&7)));
    }
}
