//! Digests over bytes, whole and on the way.

use crate::reference::Digest;
use sha2::digest::DynDigest;
use std::fmt::{self, Write as _};

/// Hashes what passes by.
pub(super) struct Hasher {
    algorithm: &'static str,
    state: Box<dyn DynDigest + Send>,
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.algorithm)
    }
}

impl Hasher {
    /// A hasher for `sha256` or `sha512`; none for another algorithm.
    pub(super) fn new(algorithm: &str) -> Option<Self> {
        Some(match algorithm {
            "sha256" => Self {
                algorithm: "sha256",
                state: Box::new(sha2::Sha256::default()),
            },
            "sha512" => Self {
                algorithm: "sha512",
                state: Box::new(sha2::Sha512::default()),
            },
            _ => return None,
        })
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
    }

    /// The digest of everything so far; starts over.
    pub(super) fn finish(&mut self) -> Digest {
        let mut text = format!("{}:", self.algorithm);
        for byte in self.state.finalize_reset() {
            // writing to a String does not fail
            let _ = write!(text, "{byte:02x}");
        }
        text.parse()
            .expect("an algorithm and its hash are a digest")
    }
}

/// The digest of these bytes; sha256 where the algorithm is not known.
pub(super) fn of(algorithm: &str, bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(algorithm)
        .or_else(|| Hasher::new("sha256"))
        .expect("sha256 is known");
    hasher.update(bytes);
    hasher.finish()
}
