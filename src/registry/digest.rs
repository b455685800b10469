//! Digests over bytes, whole and on the way.

use crate::reference::Digest;
use ring::digest::{Context, SHA256, SHA512};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

/// How far the marks of a [`Trail`] are apart, which is the most that is read again to go back to a place.
const STRIDE: u64 = 8 * 1024 * 1024;

/// Hashes what passes by.
///
/// With `ring`, which is here for TLS already: where the processor has no SHA instructions, its vector
/// code is twice as fast as `sha2`'s, and hashing is most of what a copy costs.
#[derive(Clone)]
pub(super) struct Hasher {
    algorithm: &'static str,
    state: Context,
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.algorithm)
    }
}

impl Hasher {
    /// A hasher for `sha256` or `sha512`; none for another algorithm.
    pub(super) fn new(algorithm: &str) -> Option<Self> {
        match algorithm {
            "sha256" => Some(Self::sha256()),
            "sha512" => Some(Self {
                algorithm: "sha512",
                state: Context::new(&SHA512),
            }),
            _ => None,
        }
    }

    fn sha256() -> Self {
        Self {
            algorithm: "sha256",
            state: Context::new(&SHA256),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
    }

    /// The digest of everything so far.
    pub(super) fn finish(&self) -> Digest {
        let mut text = format!("{}:", self.algorithm);
        for byte in self.state.clone().finish().as_ref() {
            // writing to a String does not fail
            let _ = write!(text, "{byte:02x}");
        }
        text.parse()
            .expect("an algorithm and its hash are a digest")
    }
}

/// A hasher that can go back, so that bytes can pass a second time; its digest is always that of each byte
/// once.
///
/// What passes a second time must be what passed first: a part of it may have been stored then.
#[derive(Debug)]
pub(super) struct Trail {
    at: u64,
    hasher: Hasher,
    /// The hasher as it was on the way.
    marks: BTreeMap<u64, Hasher>,
}

impl Trail {
    pub(super) fn new(algorithm: &str) -> Option<Self> {
        let hasher = Hasher::new(algorithm)?;
        Some(Self {
            at: 0,
            marks: BTreeMap::from([(0, hasher.clone())]),
            hasher,
        })
    }

    /// How many bytes the digest covers.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Goes on; false where these bytes are not what passed here before.
    pub(super) fn update(&mut self, mut bytes: &[u8]) -> bool {
        while let Some((&mark, before)) = self.marks.range(self.at + 1..).next()
            && mark - self.at <= bytes.len() as u64
        {
            let (up_to_mark, rest) = bytes.split_at(usize::try_from(mark - self.at).unwrap_or(0));
            self.hasher.update(up_to_mark);
            self.at = mark;
            bytes = rest;
            if self.hasher.finish() != before.finish() {
                return false;
            }
        }
        self.hasher.update(bytes);
        self.at += bytes.len() as u64;
        let last = self.marks.last_key_value().map_or(0, |(mark, _)| *mark);
        if self.at >= last + STRIDE {
            self.marks.insert(self.at, self.hasher.clone());
        }
        true
    }

    /// Goes back to the last mark that is not after `to`. From the very start nothing that passed before
    /// counts any more.
    pub(super) fn back(&mut self, to: u64) {
        if to == 0 {
            self.marks.retain(|mark, _| *mark == 0);
        } else {
            self.marks.insert(self.at, self.hasher.clone());
        }
        if let Some((mark, hasher)) = self.marks.range(..=to).next_back() {
            self.at = *mark;
            self.hasher = hasher.clone();
        }
    }

    pub(super) fn finish(&self) -> Digest {
        self.hasher.finish()
    }
}

/// The digest of these bytes; sha256 where the algorithm is not known.
pub(super) fn of(algorithm: &str, bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(algorithm).unwrap_or_else(Hasher::sha256);
    hasher.update(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_standard() {
        let check = |algorithm, expected: &str| {
            assert!(
                of(algorithm, b"abc").as_str().starts_with(expected),
                "{algorithm}"
            );
        };
        check(
            "sha256",
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        );
        check(
            "sha512",
            "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea2",
        );
        assert!(Hasher::new("md5").is_none());
    }

    #[test]
    fn a_trail_that_went_back_still_has_the_digest_of_each_byte_once() {
        let stride = usize::try_from(STRIDE).unwrap();
        let bytes: Vec<u8> = (0..=250).cycle().take(3 * stride + 777).collect();
        let mut trail = Trail::new("sha256").unwrap();
        for chunk in bytes[..2 * stride + 5000].chunks(70_001) {
            assert!(trail.update(chunk));
        }
        for to in [2 * stride + 4999, stride + 1, 5, 0] {
            trail.back(to as u64);
            let at = usize::try_from(trail.at()).unwrap();
            assert!(at <= to && to - at < stride + 70_001, "{at} for {to}");
            for chunk in bytes[at..].chunks(33_333) {
                assert!(trail.update(chunk));
            }
            assert_eq!(trail.finish(), of("sha256", &bytes));
        }
    }

    #[test]
    fn a_trail_notices_what_is_not_the_same_the_second_time() {
        let mut trail = Trail::new("sha256").unwrap();
        trail.update(&[1; 1000]);
        trail.back(500);
        assert!(trail.update(&[1; 400]));
        assert!(!trail.update(&[2; 1000]));
        // from the start it is another try
        trail.back(0);
        assert!(trail.update(&[2; 2000]));
    }
}
