//! Until when requests may begin, where only one of several processes may write.
//!
//! Decides by a clock of this machine that nobody sets and no sleep stops. Never decides until when: that is
//! whoever holds the fence. A request that had begun may still arrive: what is sent is compare-and-set.
//!
//! Registries need none. Blobs and manifests are named by their digests: of two processes that send the same,
//! one finds it done. A tag is looked at before it moves, and what it was is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A moment of this machine's own clock, worth nothing elsewhere and after a restart.
///
/// Not [`std::time::Instant`], which stands still while Linux sleeps: whoever wakes up must see for how long
/// the others went on without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
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
#[derive(Debug, Clone, Default)]
pub struct Fence {
    /// Nanoseconds of the clock: 584 years of them.
    until: Arc<AtomicU64>,
}

impl Fence {
    /// One that nothing passes yet.
    pub fn closed() -> Self {
        Self::default()
    }

    /// One that everything passes always.
    pub fn open() -> Self {
        let until = Arc::new(AtomicU64::new(u64::MAX));
        Self { until }
    }

    /// Lets requests begin before this moment.
    pub fn open_until(&self, moment: Moment) {
        let nanoseconds = u64::try_from(moment.0.as_nanos()).unwrap_or(u64::MAX);
        self.until.store(nanoseconds, Ordering::SeqCst);
    }

    /// Lets nothing pass from now on.
    pub fn close(&self) {
        self.until.store(0, Ordering::SeqCst);
    }

    /// Whether a request may begin now.
    pub fn is_open(&self) -> bool {
        let until = Duration::from_nanos(self.until.load(Ordering::SeqCst));
        Moment::now() < Moment(until)
    }
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
}
