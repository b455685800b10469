//! Waits that belong to no copy: while images are looked up.
//!
//! Decides nothing; hands them to whoever wants to hear of them.

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

type Told = dyn Fn(&str, Duration) + Send + Sync;

/// Somebody who is told of waits, once somebody is.
#[derive(Default)]
pub(super) struct Waits(OnceLock<Box<Told>>);

impl fmt::Debug for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waits")
    }
}

impl Waits {
    /// The first who asks is told; nobody else.
    pub(super) fn listen(&self, told: impl Fn(&str, Duration) + Send + Sync + 'static) {
        let _ = self.0.set(Box::new(told));
    }

    pub(super) fn tell(&self, why: &str, pause: Duration) {
        if let Some(told) = self.0.get() {
            told(why, pause);
        }
    }
}
