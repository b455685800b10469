//! The end of a verb: what goes to standard output and to the report file, and the exit code.

use crate::args::Output;
use crate::stop::Stopped;
use crate::terminal::Terminal;
use image_cloner::outcome::{Failure, Outcome};
use image_cloner::report;
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// How a verb ends.
pub(crate) struct Ending {
    pub(crate) output: Option<Output>,
    pub(crate) report: Option<Report>,
    /// Whether the run was large enough for a summary even when all went well.
    pub(crate) summary: bool,
    /// How many named things could not be had.
    pub(crate) missed: usize,
    /// Whether one object was named, and so is printed as itself; else what there is makes a List.
    pub(crate) one_object: bool,
}

impl Ending {
    /// Shows the outcome and gives the exit code.
    pub(crate) fn show(self, outcome: &Outcome, terminal: &Terminal) -> Result<u8, Stopped> {
        match self.output {
            Some(Output::Json) => terminal.data(&json_text(&self.objects(outcome))),
            Some(Output::Yaml) => terminal.data(yaml_text(&self.objects(outcome))?.trim_end()),
            Some(
                Output::Wide | Output::Name | Output::Refs | Output::Kustomize | Output::Patch,
            )
            | None => {}
        }
        let mut code = match outcome.exit_code() {
            0 | 3 if self.missed > 0 => 1,
            code => code,
        };
        if self.summary || code == 1 || code == 130 {
            let summary = report::summary(outcome, terminal.columns());
            terminal.say(&format!("\n{}", summary.trim_end()));
        }
        if let Some(report) = self.report
            && let Err(stopped) = report.write(&report::report_file(outcome))
        {
            terminal.error(&stopped);
            code = code.max(1);
        }
        Ok(code)
    }

    /// The changed objects as `kubectl get` prints them: without their managed fields.
    fn objects(&self, outcome: &Outcome) -> Value {
        let objects = outcome
            .workloads
            .iter()
            .filter_map(|workload| workload.object.clone());
        let mut objects: Vec<Value> = objects
            .map(|mut object| {
                if let Some(metadata) = object["metadata"].as_object_mut() {
                    metadata.remove("managedFields");
                }
                object
            })
            .collect();
        match objects.pop() {
            Some(one) if self.one_object => one,
            last => {
                objects.extend(last);
                json!({"apiVersion": "v1", "kind": "List", "items": objects})
            }
        }
    }
}

/// The report file: made before the run, so that a bad path costs nothing.
pub(crate) struct Report {
    path: PathBuf,
    file: File,
}

impl Report {
    pub(crate) fn create(path: &Path) -> Result<Self, Stopped> {
        let file = File::create(path).map_err(|error| {
            let what = format!("creating the report {}: {error}", path.display());
            Stopped::wrong(Failure::new(what))
        })?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    fn write(mut self, document: &Value) -> Result<(), Stopped> {
        let json = self.path.extension().is_some_and(|ending| ending == "json");
        let text = if json {
            json_text(document) + "\n"
        } else {
            yaml_text(document)?
        };
        self.file.write_all(text.as_bytes()).map_err(|error| {
            let what = format!("writing the report to {}: {error}", self.path.display());
            Stopped::failed(Failure::new(what)).after_changes()
        })
    }
}

pub(crate) fn json_text(value: &Value) -> String {
    format!("{value:#}")
}

/// A value as YAML, which ends its last line.
pub(crate) fn yaml_text(value: &Value) -> Result<String, Stopped> {
    // an image is one word however long: folded, neither eyes nor grep would find it
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
    serde_saphyr::to_string_with_options(value, options).map_err(|error| {
        Stopped::failed(Failure::new(format!("writing YAML: {error}"))).after_changes()
    })
}

/// The present moment as records have it: always as many digits, so that texts sort as times do.
pub(crate) fn now() -> String {
    let now = jiff::Timestamp::now();
    now.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// A short id for a run, unlikely to be used twice in a cluster's memory.
pub(crate) fn run_id() -> Result<String, Stopped> {
    let seed = getrandom::u32()
        .map_err(|error| Stopped::failed(Failure::new(format!("making a run id: {error}"))))?;
    Ok(format!("{:06x}", seed >> 8))
}
