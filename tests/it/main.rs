//! The one integration-test crate: one crate links once.

mod architecture;
mod names;
mod round_trip;
