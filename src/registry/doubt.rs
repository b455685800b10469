//! How far a 401 is doubted: what checks tokens and passwords behind a registry fails now and then.
//!
//! Decides how often a request is sent again that was refused so. Never asks for another token (that is
//! [`super::authorization`]).

use super::call::Call;
use super::repository::Repository;
use super::token::fingerprint;
use reqwest::{Method, Response, StatusCode};
use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// For one who was let in for the very same before.
const SAME: usize = 4;
/// For one who was let in to this repository before, for something else: it may have no right to this.
const HERE: usize = 2;
/// For one who was let in elsewhere at this host: it may have no right to this repository.
const ELSEWHERE: usize = 1;

/// Who was let in, or what for.
#[derive(Debug)]
pub(super) struct LetIn<T>(Mutex<HashSet<T>>);

impl<T> Default for LetIn<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Eq + Hash> LetIn<T> {
    fn all(&self) -> MutexGuard<'_, HashSet<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Repository {
    /// Whether this answer is a 401 that is to be doubted once more, after so many times.
    pub(super) fn doubts(&self, call: &Call, response: &Response, times: usize) -> bool {
        match response.status() {
            StatusCode::UNAUTHORIZED => times < self.patience(call),
            StatusCode::FORBIDDEN => false,
            _ => {
                self.was_let_in(&call.method);
                false
            }
        }
    }

    fn patience(&self, call: &Call) -> usize {
        // a question about another repository has its own rights
        if !call.more_scopes.is_empty() {
            return 0;
        }
        let here = self.let_in.all();
        if here.contains(&call.method) {
            return SAME;
        }
        if !here.is_empty() {
            return HERE;
        }
        let who = fingerprint(&self.credentials);
        if self.endpoint.let_in.all().contains(&who) {
            ELSEWHERE
        } else {
            0
        }
    }

    fn was_let_in(&self, what: &Method) {
        let mut here = self.let_in.all();
        if here.is_empty() {
            let who = fingerprint(&self.credentials);
            self.endpoint.let_in.all().insert(who);
        }
        if !here.contains(what) {
            here.insert(what.clone());
        }
    }
}
