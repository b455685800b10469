//! The plan of a restore as a screen, before the confirmation.

use super::text::{count, rows, shorten};
use crate::plan::{Decision, Plan};
use comfy_table::{ContentArrangement, Table, presets};

/// What a restore would change, slot by slot.
pub fn restore(plan: &Plan, context: &str, width: usize) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(["NAMESPACE", "WORKLOAD", "SLOT", "BACK TO"]);
    let room = width.saturating_sub(8) / 4;
    for planned in &plan.workloads {
        let Decision::Repoint(repoint) = &planned.decision else {
            continue;
        };
        let id = &planned.workload.id;
        for change in &repoint.slots {
            let cells = [
                id.namespace.clone(),
                id.to_string(),
                change.slot.to_string(),
                change.to.clone(),
            ];
            table.add_row(cells.map(|cell| shorten(&cell, room)));
        }
    }
    if table.is_empty() {
        return format!("context {context}   nothing to restore");
    }
    format!("context {context}\n\n{}", rows(&mut table, &[]))
}

/// The question before a restore: `Restore 3 workloads?`
pub fn restore_question(workloads: usize) -> String {
    format!("Restore {}?", count(workloads, "workload"))
}
