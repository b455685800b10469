//! The agent's loop: watch workloads, copy their images, repoint the ones that are settled.
//!
//! Decides when a workload is looked at, how many copies and rollouts are under way, when something is tried
//! again and when it is left. Never decides what a workload's images become (that is [`crate::plan`]) nor how
//! anything is written (that is [`crate::execute`]).
//!
//! | part | decides |
//! |---|---|
//! | `ledger` | what is to be done next; pure but for the time, which it is given |
//! | `round` | what becomes of workloads that are due: read with their surroundings, planned |
//! | `deeds` | nothing: it copies, writes, looks, puts back, and says how that ended |
//! | `grant` | whether a planned repoint is made, or left to others |
//! | `footing` | what the settings come to |
//! | `seen` | which changes of a workload count |
//! | `copies` | when a registry need not be asked about a copy |
//! | `known` | what whoever asks on admission is told of copies and of what surrounds workloads |
//! | `health` | what the probes answer |
//! | `metrics` | what is counted, under which names |
//! | `agent` | the loop around them |

mod agent;
mod copies;
mod deeds;
mod footing;
mod grant;
mod health;
mod known;
mod ledger;
mod metrics;
mod round;
mod seen;

pub use agent::Agent;
pub use footing::RunId;
pub use grant::grant;
pub use health::Health;
pub use known::{Known, Reader, Terms};
pub use metrics::{Metrics, Result as CopyResult};
