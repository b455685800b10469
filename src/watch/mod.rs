//! The agent's loop: watch workloads, copy their images, repoint the ones that are settled.
//!
//! Decides when a workload is looked at, how many copies and rollouts are under way, when something is tried
//! again and when it is left. Never decides what a workload's images become (that is [`crate::plan`]) nor how
//! anything is written (that is [`crate::execute`]).

mod health;
mod known;
mod metrics;

pub use health::Health;
pub use known::{Known, Reader, Terms};
pub use metrics::{Metrics, Result as CopyResult};
