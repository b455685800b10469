//! The agent's loop: watch workloads, copy their images, repoint the ones that are settled.
//!
//! Decides when a workload is looked at, how many copies and rollouts are under way, when something is tried
//! again and when it is left. Never decides what a workload's images become (that is [`crate::plan`]) nor how
//! anything is written (that is [`crate::execute`]).

mod gate;
mod health;
mod metrics;

pub use gate::{Gate, Grounds};
pub use health::Health;
pub use metrics::{Metrics, Result as CopyResult};
