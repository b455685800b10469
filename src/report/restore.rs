//! The plan of a restore as a screen, before the confirmation.

use super::text::count;
use crate::outcome::Failure;
use crate::plan::{Decision, PastRun, Plan};
use crate::workload::WorkloadId;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What a restore would change, slot by slot, and what it would leave and why.
pub fn restore(plan: &Plan, refused: &BTreeMap<WorkloadId, Failure>, context: &str) -> String {
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
        if let Some(failure) = refused.get(id) {
            let _ = writeln!(screen, "  left: {failure}");
            for hint in &failure.hints {
                let _ = writeln!(screen, "  hint: {hint}");
            }
        }
    }
    if empty {
        return format!("context {context}   nothing to restore\n");
    }
    screen
}

/// A run to choose: `a7f3c1 of 2026-11-22 19:20 UTC, 3 workloads`.
pub fn past_run(past: &PastRun) -> String {
    let time = past.time.as_deref().and_then(|time| {
        let (day, time) = time.split_once('T')?;
        Some(format!(" of {day} {} UTC", time.get(..5)?))
    });
    let time = time.unwrap_or_default();
    format!("{}{time}, {}", past.run, count(past.workloads, "workload"))
}

/// The question before a restore: `Restore 3 workloads?`
pub fn restore_question(workloads: usize) -> String {
    format!("Restore {}?", count(workloads, "workload"))
}
