//! The one integration-test crate: one crate links once.

mod cluster_api;
mod cluster_wire;
mod names;
