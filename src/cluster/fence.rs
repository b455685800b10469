//! Until when requests may be under way, where only one of several processes may write.
//!
//! Decides by a clock of this machine that nobody sets and no sleep stops: nothing begins after the moment, and
//! what had begun is given up at it. Never decides until when: that is whoever holds the fence. What the server
//! has of a request by then may still take effect, within its own limit for one: what is sent is
//! compare-and-set.
//!
//! Reads pass it as writes do, watches too, although they change nothing: whatever is decided is decided on
//! what they say, and one rule for all requests can be seen to hold. What a watch tells that was begun in time
//! leads to nothing: every write is behind the same fence.
//!
//! Registries need none. Blobs and manifests are named by their digests: of two processes that send the same,
//! one finds it done. A tag is looked at before it moves, and what it was is kept.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// A moment of this machine's own clock, worth nothing elsewhere and after a restart.
///
/// Not [`std::time::Instant`], which stands still while Linux sleeps: whoever wakes up must see for how long
/// the others went on without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    /// One that never comes.
    const NEVER: Self = Self(Duration::MAX);

    /// This one.
    pub fn now() -> Self {
        Self(since_boot())
    }

    /// So long after it.
    #[must_use]
    pub fn plus(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time))
    }

    /// How long it is from this moment until that; nothing when that is past.
    pub fn until(self, later: Self) -> Duration {
        later.0.saturating_sub(self.0)
    }
}

#[cfg(target_os = "linux")]
fn since_boot() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::Boottime);
    Duration::try_from(time).expect("this clock starts at zero and only grows")
}

#[cfg(not(target_os = "linux"))]
fn since_boot() -> Duration {
    static START: std::sync::LazyLock<std::time::Instant> =
        std::sync::LazyLock::new(std::time::Instant::now);
    START.elapsed()
}

/// What requests do not pass after its time; a clone is another handle to the same.
#[derive(Debug, Clone)]
pub struct Fence {
    until: Arc<watch::Sender<Moment>>,
}

impl Fence {
    /// One that nothing passes yet.
    pub fn closed() -> Self {
        Self::until(Moment(Duration::ZERO))
    }

    /// One that everything passes always.
    pub fn open() -> Self {
        Self::until(Moment::NEVER)
    }

    fn until(moment: Moment) -> Self {
        let until = Arc::new(watch::Sender::new(moment));
        Self { until }
    }

    /// Lets requests pass before this moment.
    pub fn open_until(&self, moment: Moment) {
        self.until.send_replace(moment);
    }

    /// Lets nothing pass from now on.
    pub fn close(&self) {
        self.open_until(Moment(Duration::ZERO));
    }

    /// Whether a request may begin now.
    pub fn is_open(&self) -> bool {
        Moment::now() < *self.until.borrow()
    }

    /// What a request comes to that is begun and ends while this is open.
    pub(super) async fn pass<T>(&self, request: impl Future<Output = T>) -> Result<T, Shut> {
        if !self.is_open() {
            return Err(Shut::Before);
        }
        tokio::select! {
            // an answer that is there counts, however late it is looked at
            biased;
            answer = request => Ok(answer),
            () = self.shut() => Err(Shut::Meanwhile),
        }
    }

    async fn shut(&self) {
        let mut until = self.until.subscribe();
        loop {
            let left = Moment::now().until(*until.borrow_and_update());
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                // the sender is held by this fence itself
                _ = until.changed() => {}
            }
        }
    }
}

/// Why a request did not pass a fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Shut {
    /// It was not begun.
    #[error("not begun: leadership is over")]
    Before,
    /// What became of it is not known.
    #[error("given up: leadership was over before it was answered")]
    Meanwhile,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_is_open_before_its_moment_and_never_after() {
        let fence = Fence::closed();
        assert!(!fence.is_open());
        fence.open_until(Moment::now().plus(Duration::from_secs(600)));
        assert!(fence.clone().is_open());
        fence.open_until(Moment::now());
        assert!(!fence.is_open());

        let fence = Fence::open();
        assert!(fence.is_open());
        fence.clone().close();
        assert!(!fence.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_under_way_when_a_fence_closes_is_given_up() {
        let never = std::future::pending::<()>;
        let fence = Fence::closed();
        assert_eq!(fence.pass(never()).await, Err(Shut::Before));

        fence.open_until(Moment::now().plus(Duration::from_secs(600)));
        assert_eq!(fence.pass(async { 7 }).await, Ok(7));
        let under_way = tokio::spawn({
            let fence = fence.clone();
            async move { fence.pass(never()).await }
        });
        tokio::task::yield_now().await;
        // held for longer, then given up before its time
        fence.open_until(Moment::now().plus(Duration::from_secs(900)));
        tokio::task::yield_now().await;
        assert!(!under_way.is_finished());
        fence.close();
        assert_eq!(under_way.await.unwrap(), Err(Shut::Meanwhile));

        // nobody closes it: its moment comes
        fence.open_until(Moment::now().plus(Duration::from_millis(1)));
        assert!(fence.pass(never()).await.is_err());
    }
}
