//! The one integration-test crate: one crate links once.

mod architecture;
mod bed;
mod clone;
mod conflict;
mod dry_run;
mod names;
mod refusals;
mod restore;
mod wire;
