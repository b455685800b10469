//! The one integration-test crate: one crate links once.

// clippy.toml allows it in tests, which does not reach their helpers
#![allow(clippy::unwrap_used)]

mod architecture;
mod bed;
mod clone;
mod cluster_api;
mod cluster_wire;
mod conflict;
mod dry_run;
mod names;
mod refusals;
mod restore;
mod round_trip;
mod wire;
