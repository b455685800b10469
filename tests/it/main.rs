//! The one integration-test crate: one crate links once.

mod names;
mod wire;
