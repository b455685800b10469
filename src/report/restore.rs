//! The plan of a restore as a screen, before the confirmation.

use super::text::{count, rows};
use crate::plan::{Decision, Plan};
use comfy_table::{ContentArrangement, Table, presets};

/// What a restore would change, slot by slot.
pub fn restore(plan: &Plan) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(["NAMESPACE", "WORKLOAD", "SLOT", "BACK TO"]);
    for planned in &plan.workloads {
        let Decision::Repoint(repoint) = &planned.decision else {
            continue;
        };
        let id = &planned.workload.id;
        for change in &repoint.slots {
            table.add_row([
                id.namespace.clone(),
                id.to_string(),
                change.slot.to_string(),
                change.to.clone(),
            ]);
        }
    }
    if table.is_empty() {
        return "nothing to restore".to_owned();
    }
    rows(&mut table, &[])
}

/// The question before a restore: `Restore 3 workloads?`
pub fn restore_question(workloads: usize) -> String {
    format!("Restore {}?", count(workloads, "workload"))
}
