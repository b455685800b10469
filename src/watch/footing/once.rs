//! Something that is found out once, for all who ask.
//!
//! Decides for how long a failure to find it out is the answer: many ask at the same time, and each try may be
//! a login, of which registries count how many fail; but what failed once may have been a moment's trouble.

use crate::outcome::Failure;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// Between the first two tries; twice as long after each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(10);

/// Between two tries at the most.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What was found out, or why it was not.
pub(super) struct Once<T> {
    found: OnceCell<T>,
    failed: Mutex<Option<Failed>>,
}

/// The last try.
struct Failed {
    failure: Failure,
    at: Instant,
    pause: Duration,
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
                let pause = failed.as_ref().map_or(FIRST_PAUSE, |last| 2 * last.pause);
                *failed = Some(Failed {
                    failure: failure.clone(),
                    at: Instant::now(),
                    pause: pause.min(LONGEST_PAUSE),
                });
            }
            found
        };
        self.found.get_or_try_init(try_it).await
    }

    fn failed_lately(&self) -> Option<Failure> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = failed.as_ref().filter(|it| it.at.elapsed() < it.pause);
        lately.map(|it| it.failure.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::join_all;
    use std::cell::Cell;

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_found_out_is_tried_ever_less_often_however_many_ask() {
        let (once, tries) = (Once::new(), Cell::new(0));
        let attempt = |answer: Result<u8, Failure>| async {
            tries.set(tries.get() + 1);
            tokio::task::yield_now().await;
            answer
        };
        let refused = || Err(Failure::new("401"));
        for (tried, pause) in [10, 20, 40, 60, 60].into_iter().enumerate() {
            for seconds in [pause - 1, 1] {
                let many = join_all((0..1000).map(|_| once.find(attempt(refused())))).await;
                assert!(many.iter().all(Result::is_err));
                assert_eq!(tries.get(), tried + 1);
                tokio::time::advance(Duration::from_secs(seconds)).await;
            }
        }
        for _ in 0..2 {
            assert_eq!(once.find(attempt(Ok(7))).await.ok(), Some(&7));
        }
        assert_eq!((tries.get(), once.get()), (6, Some(&7)));
    }
}
