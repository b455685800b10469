//! What a manifest is asked for by.
//!
//! Decides how much is read of it at the most.

use super::manifest::{CAP, Content};
use crate::reference::Digest;

/// So many bytes are read whatever a descriptor says: sizes that are a little wrong harm nobody.
const LITTLE: u64 = 4096;

/// A tag or a digest, and how much is read of what it stands for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point<'a> {
    pub(super) text: &'a str,
    pub(super) cap: usize,
}

impl<'a> From<&'a str> for Point<'a> {
    fn from(text: &'a str) -> Self {
        Self { text, cap: CAP }
    }
}

impl<'a> From<&'a Digest> for Point<'a> {
    fn from(digest: &'a Digest) -> Self {
        digest.as_str().into()
    }
}

impl<'a> From<&'a Content> for Point<'a> {
    fn from(child: &'a Content) -> Self {
        let room = usize::try_from(room_of(child)).unwrap_or(CAP);
        Self {
            text: child.digest.as_str(),
            cap: room.min(CAP),
        }
    }
}

/// The bytes that a manifest may take which is listed so.
pub(super) fn room_of(child: &Content) -> u64 {
    child.size.max(LITTLE)
}
