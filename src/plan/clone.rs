//! Planning a clone.

use super::{Observed, Plan, PlanError, Planned, Policy};

/// Plans a clone of these workloads.
///
/// # Errors
/// When two sources would share one target.
pub fn clone(_observed: &[Observed], _policy: &Policy) -> Result<Plan, PlanError> {
    todo!()
}

/// Plans one workload again after it changed under way.
pub fn replan(_observed: &Observed, _policy: &Policy) -> Planned {
    todo!()
}
