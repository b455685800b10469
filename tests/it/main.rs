//! The one integration-test crate: one crate links once.

mod cluster_api;
mod names;
