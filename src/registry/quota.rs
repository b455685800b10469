//! How much a registry lets somebody read, as it says in its answers.
//!
//! Decides what of that is worth knowing. Docker Hub says it in the answers to manifest requests and does not
//! count the HEADs among them, so that what is left can be known for free.

use super::refusal::Refusal;
use super::retry::LONGEST_PAUSE;
use super::token;
use crate::credentials::Credentials;
use reqwest::header::HeaderMap;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What somebody may read of a registry's manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// How many in a window.
    pub limit: u64,
    /// How many of them are left.
    pub left: u64,
    /// How long the window is.
    pub window: Duration,
}

impl Quota {
    /// `ratelimit-limit: 100;w=21600` and `ratelimit-remaining: 76;w=21600`. Without a window other things
    /// are meant (GitLab counts requests so), and a short one is waited out.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let (limit, window) = figure(headers, "ratelimit-limit")?;
        let (left, _) = figure(headers, "ratelimit-remaining")?;
        let window = window.filter(|window| *window > LONGEST_PAUSE)?;
        Some(Self {
            limit,
            left,
            window,
        })
    }

    /// A 429 with what it is about. Asking again is of no use where nothing is left.
    pub(super) fn explain(
        self,
        mut refusal: Box<Refusal>,
        host: &str,
        is_anonymous: bool,
    ) -> Box<Refusal> {
        let Self {
            limit,
            left,
            window,
        } = self;
        let hours = window.as_secs().div_ceil(3600);
        refusal.detail = format!(
            "{}; {host} allows {limit} manifest reads in {hours} h, {left} are left",
            refusal.detail
        );
        refusal.exhausted |= left == 0 && refusal.retry_after.is_none();
        refusal.hinted(if is_anonymous {
            format!("log in to {host} for more, or wait; finished work is not repeated")
        } else {
            "wait, or log in as somebody with more; finished work is not repeated".to_owned()
        })
    }
}

fn figure(headers: &HeaderMap, name: &str) -> Option<(u64, Option<Duration>)> {
    let text = headers.get(name)?.to_str().ok()?;
    let mut parts = text.split(';').map(str::trim);
    let figure = parts.next()?.parse().ok()?;
    let window = parts.find_map(|part| part.strip_prefix("w=")?.parse().ok());
    Some((figure, window.map(Duration::from_secs)))
}

/// The quotas of an endpoint, by who asks.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    told: Mutex<HashMap<String, Quota>>,
}

impl Quotas {
    /// Remembers what an answer says.
    pub(super) fn learn(&self, asker: &Credentials, headers: &HeaderMap) {
        if let Some(quota) = Quota::of(headers) {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            told.insert(token::who(asker), quota);
        }
    }

    /// What was said last to somebody.
    pub(super) fn of(&self, asker: &Credentials) -> Option<Quota> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.get(&token::who(asker)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_a_figure_with_a_long_window() {
        let check = |limit: &str, left: &str, expected: Option<(u64, u64, u64)>| {
            let mut headers = HeaderMap::new();
            headers.insert("ratelimit-limit", limit.parse().unwrap());
            headers.insert("ratelimit-remaining", left.parse().unwrap());
            let quota = Quota::of(&headers).map(|q| (q.limit, q.left, q.window.as_secs()));
            assert_eq!(quota, expected, "{limit} {left}");
        };
        check("100;w=21600", "76;w=21600", Some((100, 76, 21600)));
        check("200; w=21600", "0", Some((200, 0, 21600)));
        check("2000", "1999", None);
        check("100;w=60", "76;w=60", None);
        check("many;w=21600", "76;w=21600", None);
        assert_eq!(Quota::of(&HeaderMap::new()), None);
    }
}
