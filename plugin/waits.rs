//! Waits as lines: each is said once, however many wait it out together.

use crate::terminal::Terminal;
use image_cloner::registry::Registries;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

pub(crate) struct Waits {
    terminal: Terminal,
    /// Why, and until when that was said to last.
    said: Mutex<HashMap<String, Instant>>,
}

impl Waits {
    pub(crate) fn new(terminal: &Terminal) -> Self {
        Self {
            terminal: terminal.clone(),
            said: Mutex::default(),
        }
    }

    /// Says waits while images are looked up.
    pub(crate) fn of_lookups(terminal: &Terminal, registries: &Registries) {
        let waits = Self::new(terminal);
        registries.on_wait(move |why, pause| waits.say("", why, pause));
    }

    /// `nginx:1.25  waiting 12 s: docker.io asks for it`.
    pub(crate) fn say(&self, what: &str, why: &str, pause: Duration) {
        let until = Instant::now() + pause;
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let before = said.get(why).copied();
        // they do not all return at the same moment
        if before.is_some_and(|before| until < before + Duration::from_secs(1)) {
            return;
        }
        said.insert(why.to_owned(), until);
        let gap = if what.is_empty() { "" } else { "  " };
        self.terminal
            .say(&format!("{what}{gap}{}", waiting(why, pause)));
    }
}

/// `waiting 12 s: docker.io asks for it`.
pub(crate) fn waiting(why: &str, pause: Duration) -> String {
    format!("waiting {} s: {why}", pause.as_secs())
}
