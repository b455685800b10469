//! The end of a verb: what goes to standard output and to the report file, and the exit code.

use crate::args::Output;
use crate::stop::Stopped;
use crate::terminal::Terminal;
use image_cloner::outcome::{Failure, Outcome};
use image_cloner::report;
use serde_json::{Value, json};
use std::path::Path;

/// How a verb ends.
pub(crate) struct Ending<'a> {
    pub(crate) output: Option<Output>,
    pub(crate) report: Option<&'a Path>,
    /// Whether the run was large enough for a summary even when all went well.
    pub(crate) summary: bool,
    /// How many named things could not be had.
    pub(crate) missed: usize,
}

impl Ending<'_> {
    /// Shows the outcome and gives the exit code.
    pub(crate) fn show(&self, outcome: &Outcome, terminal: &Terminal) -> Result<u8, Stopped> {
        let objects: Vec<&Value> = outcome
            .workloads
            .iter()
            .filter_map(|workload| workload.object.as_ref())
            .collect();
        match self.output {
            Some(Output::Json) => terminal.data(&json_text(&as_kubectl(&objects))),
            Some(Output::Yaml) => terminal.data(yaml_text(&as_kubectl(&objects))?.trim_end()),
            Some(Output::Wide | Output::Name) | None => {}
        }
        let code = match outcome.exit_code() {
            0 | 3 if self.missed > 0 => 1,
            code => code,
        };
        if self.summary || code == 1 || code == 130 {
            terminal.say(&format!("\n{}", report::summary(outcome).trim_end()));
        }
        if let Some(path) = self.report {
            write_report(path, &report::report_file(outcome))?;
        }
        Ok(code)
    }
}

/// One object as itself, several as a List.
fn as_kubectl(objects: &[&Value]) -> Value {
    match objects {
        [one] => (*one).clone(),
        several => json!({"apiVersion": "v1", "kind": "List", "items": several}),
    }
}

fn json_text(value: &Value) -> String {
    format!("{value:#}")
}

fn yaml_text(value: &Value) -> Result<String, Stopped> {
    serde_saphyr::to_string(value).map_err(|error| {
        Stopped::failed(Failure::new(format!("writing YAML: {error}"))).after_changes()
    })
}

fn write_report(path: &Path, document: &Value) -> Result<(), Stopped> {
    let json = path.extension().is_some_and(|ending| ending == "json");
    let text = if json {
        json_text(document) + "\n"
    } else {
        yaml_text(document)?
    };
    std::fs::write(path, text).map_err(|error| {
        Stopped::failed(Failure::new(format!(
            "writing the report to {}: {error}",
            path.display()
        )))
        .after_changes()
    })
}

/// A short id for a run, unlikely to be used twice in a cluster's memory.
pub(crate) fn run_id() -> Result<String, Stopped> {
    let seed = getrandom::u32()
        .map_err(|error| Stopped::failed(Failure::new(format!("making a run id: {error}"))))?;
    Ok(format!("{:06x}", seed >> 8))
}
