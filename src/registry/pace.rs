//! Whether a blob is read over several connections, and over how many.
//!
//! A TCP connection brings what its window holds in each round trip. Near, that is more than anything else
//! allows; far, a window that losses keep small, or a CDN that limits each connection, leaves most of a line
//! unused, and several connections bring a multiple. Hence this rule:
//!
//! - A blob is read ahead in pieces, each over a connection beside the first, where 32 MiB or more of it are
//!   left, its host never answered anything in less than 10 ms, the copy spends most of its time waiting for
//!   the source, and a piece takes at least twice as long as an answer. Every piece has to wait for an answer
//!   first; so two lanes bring a third more than the one connection did, unless the line is full.
//! - Another lane is tried as long as the last one made pieces come an eighth sooner. One that did not is
//!   taken back, and that is how many there are: the line is full, or the target takes no more.
//!
//! Decides that by what it is told; never asks for anything.

use std::time::Duration;
use tokio::time::Instant;

/// What is asked for at a time.
pub(super) const PIECE: u64 = 2 * 1024 * 1024;

/// Lanes of one blob, at most.
const MOST: u32 = 4;

/// With less left of a blob, trying costs more than it brings.
const WORTH: u64 = 32 * 1024 * 1024;

/// Within a data centre answers come sooner.
const FAR: Duration = Duration::from_millis(10);

/// How the one connection does, a few pieces at a time.
#[derive(Debug)]
pub(super) struct Pace {
    since: Instant,
    bytes: u64,
    waited: Duration,
    /// Whether it may still be finding its speed (TCP starts slowly).
    starting: bool,
}

impl Pace {
    const PIECES: u32 = 2;

    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            bytes: 0,
            waited: Duration::ZERO,
            starting: true,
        }
    }

    /// Takes note of bytes and of how long they were waited for; gives what a piece takes, once in a while
    /// and where it is the source that takes it.
    pub(super) fn note(&mut self, bytes: u64, waited: Duration, now: Instant) -> Option<Duration> {
        self.bytes += bytes;
        self.waited += waited;
        if self.bytes < PIECE * u64::from(Self::PIECES) {
            return None;
        }
        let took = now - self.since;
        let telling = !self.starting && self.waited * 2 > took;
        *self = Self {
            starting: false,
            ..Self::new(now)
        };
        telling.then(|| took / Self::PIECES)
    }
}

/// Whether a blob is to be read ahead: so much of it is left, an answer takes so long, and so does a piece.
pub(super) fn pays(left: u64, answer: Duration, piece: Duration) -> bool {
    left >= WORTH && answer >= FAR && piece >= answer * 2
}

/// How many lanes there are.
#[derive(Debug)]
pub(super) struct Width {
    lanes: u32,
    /// What a piece took with one lane fewer.
    before: Duration,
    /// Pieces that came since there are so many lanes.
    pieces: u32,
    since: Instant,
    settled: bool,
}

impl Width {
    /// Two, where a piece took so long over the one connection.
    pub(super) fn new(before: Duration, now: Instant) -> Self {
        Self {
            lanes: 2,
            before,
            pieces: 0,
            since: now,
            settled: false,
        }
    }

    /// How many may be under way; one where the one connection is as good.
    pub(super) fn lanes(&self) -> usize {
        self.lanes as usize
    }

    /// Takes note of a piece that came.
    pub(super) fn note(&mut self, now: Instant) {
        if self.settled {
            return;
        }
        self.pieces += 1;
        // the first pieces are those of a connection that finds its speed
        if self.pieces == self.lanes {
            self.since = now;
        }
        if self.pieces < 2 * self.lanes {
            return;
        }
        let took = (now - self.since) / self.lanes;
        let better = took * 9 <= self.before * 8;
        self.settled = !better || self.lanes == MOST;
        if !better {
            self.lanes -= 1;
        } else if !self.settled {
            *self = Self {
                lanes: self.lanes + 1,
                ..Self::new(took, now)
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const MIB: u64 = 1024 * 1024;

    #[test]
    fn only_a_big_blob_that_comes_slowly_from_afar_is_read_ahead() {
        let check = |left: u64, answer: u32, piece: u32| pays(left * MIB, MS * answer, MS * piece);
        assert!(check(32, 40, 100));
        assert!(check(500, 10, 20));
        // small, near, or with a wide window
        assert!(!check(31, 40, 100));
        assert!(!check(500, 9, 1000));
        assert!(!check(500, 40, 79));
    }

    #[test]
    fn a_connection_is_judged_after_its_start_and_only_where_the_source_is_waited_for() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        let mut seen = Vec::new();
        // the start, then a window that waits for the source, then one that waits for the target
        for (chunks, waited) in [(64, 50), (64, 45), (64, 10)] {
            for _ in 0..chunks {
                now += MS * 50;
                seen.extend(pace.note(64 * 1024, MS * waited, now));
            }
        }
        assert_eq!(seen, [MS * 1600]);
    }

    /// The lanes that a line comes to over which a piece takes so long with so many of them.
    fn comes_to(piece: impl Fn(u32) -> u32) -> u32 {
        let mut now = Instant::now();
        let mut width = Width::new(MS * piece(1), now);
        for _ in 0..100 {
            now += MS * piece(width.lanes);
            width.note(now);
        }
        assert!(width.settled);
        width.lanes
    }

    #[test]
    fn lanes_are_added_as_long_as_each_brings_something() {
        assert_eq!(comes_to(|lanes| 120 / lanes), 4);
        assert_eq!(comes_to(|lanes| 120 / lanes.min(3)), 3);
        assert_eq!(comes_to(|lanes| 120 / lanes.min(2)), 2);
        // full with one connection; worse with more
        assert_eq!(comes_to(|_| 120), 1);
        assert_eq!(comes_to(|lanes| 100 + lanes), 1);
    }

    #[test]
    fn the_start_of_a_lane_does_not_count() {
        let mut now = Instant::now();
        let mut width = Width::new(MS * 100, now);
        for took in [900, 900, 50, 50] {
            now += MS * took;
            width.note(now);
        }
        assert_eq!(width.lanes, 3);
    }
}
