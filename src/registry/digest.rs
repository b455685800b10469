//! Digests over bytes, whole and on the way.

use crate::reference::Digest;
use ring::digest::{Context, SHA256, SHA512};
use std::fmt::{self, Write as _};

/// Hashes what passes by.
///
/// With `ring`, which is here for TLS already: where the processor has no SHA instructions, its vector
/// code is twice as fast as `sha2`'s, and hashing is most of what a copy costs.
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
}
