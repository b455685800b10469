//! The one integration-test crate: one crate links once.

mod architecture;
mod bed;
mod clone;
mod cluster_api;
mod conflict;
mod dry_run;
mod names;
mod refusals;
mod restore;
mod round_trip;
mod wire;
