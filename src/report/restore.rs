//! The plan of a restore as a screen, before the confirmation.

use super::text::count;
use crate::plan::{Decision, Plan};
use std::fmt::Write as _;

/// What a restore would change, slot by slot.
pub fn restore(plan: &Plan, context: &str) -> String {
    let mut screen = format!("context {context}   back to what was there before\n");
    let mut empty = true;
    for planned in &plan.workloads {
        let Decision::Repoint(repoint) = &planned.decision else {
            continue;
        };
        empty = false;
        let id = &planned.workload.id;
        let _ = writeln!(screen, "\n{id} in {}", id.namespace);
        for change in &repoint.slots {
            let _ = writeln!(screen, "  {}  {}", change.slot, change.to);
        }
    }
    if empty {
        return format!("context {context}   nothing to restore\n");
    }
    screen
}

/// The question before a restore: `Restore 3 workloads?`
pub fn restore_question(workloads: usize) -> String {
    format!("Restore {}?", count(workloads, "workload"))
}
