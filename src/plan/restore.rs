//! Planning a restore.

use super::Plan;
use crate::workload::Workload;

/// Plans to give back what the records of these workloads say, where the slots still equal the recorded
/// targets. `run` keeps only records of that run.
pub fn restore(_workloads: &[Workload], _run: Option<&str>) -> Plan {
    todo!()
}
