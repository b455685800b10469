//! Plans and outcomes as people and programs read them: tables, lines, JSON, YAML.
//!
//! Decides words and columns. Never prints and never knows whether it is read on a terminal: callers pass
//! a width.

mod agent;
mod checks;
mod file;
mod lines;
mod plan;
mod quota;
mod restore;
mod status;
mod summary;
#[cfg(test)]
mod tests;
mod text;
mod verify;

pub use agent::{AgentView, agent, leading_pod};
pub use checks::{checks, checks_file};
pub use file::report_file;
pub use lines::{copy_line, foreign_line, image_line, secret_line, workload_line};
pub use plan::{Scene, plan, question};
pub use quota::shortages;
pub use restore::{past_run, restore, restore_question};
pub use status::{Layout, status, status_document, status_refs, status_sum, status_trouble};
pub use summary::summary;
pub use text::{bytes, duration, wrap};
pub use verify::{verify_document, verify_line, verify_sum};
