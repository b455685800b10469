//! The one integration-test crate: one crate links once.

// clippy.toml allows it in tests, which does not reach their helpers
#![allow(clippy::unwrap_used)]

mod architecture;
mod names;
mod round_trip;
