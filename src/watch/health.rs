//! Whether the loop lives, and whether it can do its work.
//!
//! Decides what the probes answer. Never decides why: the loop says so.
//!
//! Ready is who leads and has listed everything, watches all of it, and has no trouble with its target, its
//! settings and the nodes; or who follows, knows that another leads, and could take over.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The loop that has not moved for so long is taken for dead.
const STILL: Duration = Duration::from_secs(60);

/// What concerns a replica that waits while another works; all else is the work's.
const ABIDING: [&str; 2] = ["lease", "settings"];

/// What the loop says of itself and the probes answer; a clone is another handle to the same.
#[derive(Debug, Clone)]
pub struct Health {
    shared: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    moved: Instant,
    /// Why it is not ready, by what the reason is about.
    troubles: BTreeMap<&'static str, String>,
}

impl Health {
    /// Alive, and not ready until it works or follows.
    pub fn starting() -> Self {
        let shared = Arc::new(Mutex::new(State {
            moved: Instant::now(),
            troubles: BTreeMap::new(),
        }));
        let health = Self { shared };
        health.works();
        health
    }

    /// It begins to work, and has seen nothing yet.
    pub fn works(&self) {
        self.moved();
        self.trouble("workloads", "not listed yet");
    }

    /// The loop moved: to be said more often than once a minute.
    pub fn moved(&self) {
        self.state().moved = Instant::now();
    }

    /// Another replica works, or none: nothing of the work can fail here.
    pub fn waits(&self) {
        let mut state = self.state();
        state.moved = Instant::now();
        state.troubles.retain(|about, _| ABIDING.contains(about));
    }

    /// Something that it needs fails, why.
    pub fn trouble(&self, about: &'static str, why: impl Into<String>) {
        self.state().troubles.insert(about, why.into());
    }

    /// That works, again.
    pub fn well(&self, about: &'static str) {
        self.state().troubles.remove(about);
    }

    /// Whether the process is of any use: what a liveness probe asks.
    ///
    /// # Errors
    /// The reason.
    pub fn alive(&self) -> Result<(), String> {
        let still = self.state().moved.elapsed();
        if still < STILL {
            return Ok(());
        }
        Err(format!(
            "the loop has stood still for {} s",
            still.as_secs()
        ))
    }

    /// Whether it can do its work: what a readiness probe asks.
    ///
    /// # Errors
    /// Every reason, one line each.
    pub fn ready(&self) -> Result<(), String> {
        let troubles = &self.state().troubles;
        if troubles.is_empty() {
            return Ok(());
        }
        let lines = troubles
            .iter()
            .map(|(about, why)| format!("{about}: {why}"));
        Err(lines.collect::<Vec<_>>().join("\n"))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_when_the_last_trouble_is_over() {
        let health = Health::starting();
        assert_eq!(health.ready(), Err("workloads: not listed yet".to_owned()));
        health.trouble("target", "localhost:5000 refuses the connection");
        health.well("workloads");
        let why = "target: localhost:5000 refuses the connection";
        assert_eq!(health.ready(), Err(why.to_owned()));
        health.well("target");
        assert_eq!(health.ready(), Ok(()));
        assert_eq!(health.alive(), Ok(()));
    }

    #[test]
    fn a_replica_that_waits_is_ready_to_unless_it_could_not_take_over() {
        let health = Health::starting();
        health.trouble("lease", "no answer in time");
        health.waits();
        assert_eq!(health.ready(), Err("lease: no answer in time".to_owned()));
        health.well("lease");
        assert_eq!(health.ready(), Ok(()));
    }
}
