//! The ways in which a blob is sent: by one POST, or in a session, there as a whole or in pieces.
//!
//! Decides which way a blob goes to a host, as far as blobs before it have shown what the host takes, and
//! which way is left after a refusal. Never sends anything.

use super::blobs::CHEAP;
use super::refusal::Refusal;
use reqwest::StatusCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Size of a piece where a blob does not go in one request.
const PIECE: u64 = 16 * 1024 * 1024;

/// Down to this size a piece is cut where it is too large; nginx takes that much unless told otherwise.
const LEAST_PIECE: u64 = 1024 * 1024;

/// Up to this size, that of a config, a blob is sent to find out whether a host takes it by one POST.
const TRIAL: u64 = 64 * 1024;

/// How many blobs are sent to find that out, where the answers say neither.
const TRIALS: usize = 3;

/// What a host was found to take; shared by all who send blobs there.
#[derive(Debug, Default)]
pub(super) struct Ways {
    /// The size of the pieces that were taken where whole blobs were refused; 0 where none were.
    piece: AtomicU64,
    posts: Mutex<Posts>,
}

/// Whether a host takes a blob by one POST without a session, which the specification leaves to it: Quay,
/// zot and Artifactory do, Distribution opens a session and drops the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Posts {
    /// So many blobs told nothing.
    Unknown(usize),
    /// The same, and one more is on its way.
    Tried(usize),
    Taken,
    Refused,
}

impl Default for Posts {
    fn default() -> Self {
        Self::Unknown(0)
    }
}

impl Ways {
    /// The leave to send a blob of this size by one POST. Of those that find out whether the host takes it,
    /// there is one at a time.
    pub(super) fn posting(&self, size: u64) -> Option<Posting<'_>> {
        let mut posts = self.posts();
        let is_trial = match *posts {
            // without a body it is how a session is opened
            _ if size == 0 => return None,
            Posts::Unknown(times) if size <= TRIAL && times < TRIALS => {
                *posts = Posts::Tried(times);
                true
            }
            // what breaks is sent again from its start: bigger ones have sessions, which go on
            Posts::Taken if size <= CHEAP => false,
            _ => return None,
        };
        Some(Posting {
            ways: self,
            is_trial,
        })
    }

    /// Believes the host no more that it stored what it was given by POST.
    pub(super) fn doubt_posts(&self) {
        *self.posts() = Posts::Refused;
    }

    fn posts(&self) -> MutexGuard<'_, Posts> {
        self.posts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The leave to send one blob by one POST.
#[derive(Debug)]
pub(super) struct Posting<'a> {
    ways: &'a Ways,
    /// Whether it is to find out what the host takes.
    pub(super) is_trial: bool,
}

impl Posting<'_> {
    /// The blob is there.
    pub(super) fn taken(self) {
        self.turn(|posts| match posts {
            Posts::Tried(_) => Posts::Taken,
            // meanwhile somebody found that it is not so
            other => other,
        });
    }

    /// This is no way to send a blob there.
    pub(super) fn refused(self) {
        self.turn(|_| Posts::Refused);
    }

    /// It was sent in vain, which is the fault of the way or of something else.
    pub(super) fn failed(self, refusal: &Refusal) {
        let is_refused = refuses_the_way(refusal) || refusal.is_not_found();
        // bytes that arrived wrong may arrive right
        if is_refused && refusal.code != "DIGEST_INVALID" {
            return self.refused();
        }
        self.turn(|posts| match posts {
            Posts::Tried(times) => Posts::Unknown(times + 1),
            other => other,
        });
    }

    fn turn(mut self, to: impl Fn(Posts) -> Posts) {
        self.is_trial = false;
        let mut posts = self.ways.posts();
        *posts = to(*posts);
    }
}

impl Drop for Posting<'_> {
    /// A trial that was given up before its end, in an abandoned copy too, lets another one begin.
    fn drop(&mut self) {
        let mut posts = self.ways.posts();
        if let Posts::Tried(times) = *posts
            && self.is_trial
        {
            *posts = Posts::Unknown(times);
        }
    }
}

/// How one blob goes in its session.
#[derive(Debug)]
pub(super) struct Way<'a> {
    ways: &'a Ways,
    size: u64,
    /// How much goes into one request; none where that is everything.
    pub(super) piece: Option<u64>,
    /// Whether the registry refused the blob as a whole.
    refused_whole: bool,
    /// Whether it refused it in pieces.
    refused_pieces: bool,
}

impl<'a> Way<'a> {
    /// How a blob of this size goes, after those before it.
    pub(super) fn new(ways: &'a Ways, size: u64) -> Self {
        let piece = match ways.piece.load(Ordering::Relaxed) {
            0 => None,
            piece => Some(piece).filter(|_| size > 0),
        };
        Self {
            ways,
            size,
            piece,
            refused_whole: piece.is_some(),
            refused_pieces: false,
        }
    }

    /// Whether a part of it can be sent.
    pub(super) fn may_go_on(&self) -> bool {
        !self.refused_pieces
    }

    /// Sends what is left: whoever has a part takes the rest as a piece, not as a whole.
    pub(super) fn goes_on(&mut self) {
        self.piece.get_or_insert(PIECE);
    }

    /// It is there; others go as it went. Only now: one odd answer to a whole blob must not slow down all
    /// that follow.
    pub(super) fn led_there(&self) {
        if let Some(piece) = self.piece.filter(|_| self.refused_whole) {
            self.ways.piece.store(piece, Ordering::Relaxed);
        }
    }

    /// Turns after this refusal, the `odd`th odd one; gives what it turns to where that is another way than
    /// before, on which the blob starts anew.
    pub(super) fn turns(&mut self, refusal: &Refusal, odd: usize) -> Option<&'static str> {
        if refusal.transient() && self.piece.is_none() && self.size > PIECE {
            // also where a limit on the size of a request is enforced by closing the connection
            self.piece = Some(PIECE).filter(|_| !self.refused_pieces);
        }
        if self.size == 0 || !refuses_the_way(refusal) {
            return None;
        }
        // bytes that arrived wrong may arrive right; who drops the body of a PUT says so again
        if refusal.code == "DIGEST_INVALID" && odd == 0 {
            return None;
        }
        match self.piece {
            None if !self.refused_pieces => {
                self.refused_whole = true;
                self.piece = Some(PIECE);
                Some("in pieces")
            }
            Some(piece)
                if refusal.status() == Some(StatusCode::PAYLOAD_TOO_LARGE)
                    && piece > LEAST_PIECE =>
            {
                self.piece = Some(piece / 4);
                Some("in smaller pieces")
            }
            Some(_) if !self.refused_whole && refusal.code != "DIGEST_INVALID" => {
                self.refused_pieces = true;
                self.piece = None;
                Some("as a whole again")
            }
            _ => None,
        }
    }
}

/// Whether a registry, or a proxy before it, does not take a blob this way.
fn refuses_the_way(refusal: &Refusal) -> bool {
    refusal
        .status()
        .is_some_and(|status| matches!(status.as_u16(), 400 | 405 | 411 | 413 | 415 | 501))
}
