//! The end of a run in a few lines.

use super::text::{bytes, count, duration, like, tally};
use crate::outcome::{DryRun, Failure, ImageState, Outcome, WorkloadOutcome, WorkloadState};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The end of a run: figures, what failed and why, and what to type next.
pub fn summary(outcome: &Outcome) -> String {
    let how = match outcome.exit_code() {
        130 => ", interrupted",
        1 => " with failures",
        _ => "",
    };
    let what = outcome.dry_run.label().unwrap_or("run");
    let took = duration(outcome.took);
    let mut text = format!("{what} {} finished in {took}{how}\n\n", outcome.run);
    for (head, figures) in [
        ("images", images(outcome)),
        ("workloads", workloads(outcome)),
        ("not copied", foreign_left(outcome)),
    ] {
        if !figures.is_empty() {
            let _ = writeln!(text, "{head:<10}  {figures}");
        }
    }
    text += &reasons(outcome);
    let failures = failures(outcome);
    if !failures.is_empty() {
        let _ = write!(text, "\n{failures}");
    }
    let repointed: BTreeSet<&str> = outcome
        .workloads
        .iter()
        .filter(|outcome| was_repointed(outcome))
        .map(|outcome| outcome.workload.namespace.as_str())
        .collect();
    let mut next = Vec::new();
    let owned = outcome.workloads.iter().filter(|workload| workload.owned);
    let owned = owned.count();
    if owned > 0 {
        next.push(format!(
            "next    same command with -o kustomize   # for the manifests of the {owned} owned"
        ));
    }
    if outcome.exit_code() == 1 || outcome.interrupted {
        next.push("retry   same command; finished work is not repeated".to_owned());
    }
    let scope = match repointed.iter().collect::<Vec<_>>().as_slice() {
        [] => None,
        [one] => Some(format!("-n {one}")),
        _ => Some("-A".to_owned()),
    };
    if let Some(scope) = scope {
        let run = &outcome.run;
        next.push(format!(
            "undo    kubectl image-cloner restore --run {run} {scope}"
        ));
    }
    if !next.is_empty() && outcome.dry_run == DryRun::None {
        let _ = write!(text, "\n{}\n", next.join("\n"));
    }
    text
}

/// Whether there is something to undo: also where the rollout came to nothing.
fn was_repointed(outcome: &WorkloadOutcome) -> bool {
    match outcome.state {
        WorkloadState::Repointed { .. } => true,
        WorkloadState::Failed(_) => outcome.object.is_some(),
        _ => false,
    }
}

fn images(outcome: &Outcome) -> String {
    let (mut copied, mut carried, mut present, mut failed) = (0, 0, 0, 0);
    for image in &outcome.images {
        match image.state {
            ImageState::Copied { bytes } => {
                copied += 1;
                carried += bytes;
            }
            ImageState::Present => present += 1,
            ImageState::Failed(_) => failed += 1,
        }
    }
    let brought = match outcome.dry_run {
        DryRun::None => format!("copied ({})", bytes(carried)),
        DryRun::Client | DryRun::Server => "to copy".to_owned(),
    };
    figures(&[(copied, &brought), (present, "present"), (failed, "failed")])
}

/// `4 foreign layers of 2 images (--foreign-layers copy)`.
fn foreign_left(outcome: &Outcome) -> String {
    let images = outcome.images.iter();
    let left: Vec<usize> = images
        .map(|image| image.foreign_left)
        .filter(|left| *left > 0)
        .collect();
    if left.is_empty() {
        return String::new();
    }
    format!(
        "{} of {} (--foreign-layers copy)",
        count(left.iter().sum(), "foreign layer"),
        count(left.len(), "image")
    )
}

fn workloads(outcome: &Outcome) -> String {
    let count = |wanted: fn(&WorkloadState) -> bool| {
        outcome
            .workloads
            .iter()
            .filter(|workload| wanted(&workload.state))
            .count()
    };
    figures(&[
        (
            count(|state| matches!(state, WorkloadState::Repointed { .. })),
            "repointed",
        ),
        (
            count(|state| {
                matches!(
                    state,
                    WorkloadState::Restored { .. } | WorkloadState::PutBack(_)
                )
            }),
            "restored",
        ),
        (
            count(|state| matches!(state, WorkloadState::Failed(_))),
            "failed",
        ),
        (
            count(|state| matches!(state, WorkloadState::CopiedOnly(_))),
            "copied only",
        ),
        (
            count(|state| matches!(state, WorkloadState::Unchanged)),
            "unchanged",
        ),
        (
            count(|state| matches!(state, WorkloadState::Skipped(_))),
            "skipped",
        ),
    ])
}

/// Why workloads were left as they are: a line a reason, beside the number of those it holds for.
fn reasons(outcome: &Outcome) -> String {
    let reasons = outcome.workloads.iter().filter_map(|one| match &one.state {
        WorkloadState::CopiedOnly(reason) => Some(("copied only", like(reason))),
        WorkloadState::Skipped(reason) => Some(("skipped", like(reason))),
        _ => None,
    });
    let mut text = String::new();
    let mut last = "";
    for ((head, reason), number) in tally(reasons) {
        let shown = if head == last { "" } else { head };
        let _ = writeln!(text, "{shown:<11} {number}: {reason}");
        last = head;
    }
    text
}

fn figures(parts: &[(usize, &str)]) -> String {
    let parts: Vec<_> = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, word)| format!("{number} {word}"))
        .collect();
    parts.join(", ")
}

/// Failed workloads, and failed images that no workload speaks for.
fn failures(outcome: &Outcome) -> String {
    let mut text = String::new();
    let mut said: Vec<&Failure> = Vec::new();
    for workload in &outcome.workloads {
        let (how, failure) = match &workload.state {
            WorkloadState::Failed(failure) => ("failed", failure),
            WorkloadState::PutBack(failure) => ("restored", failure),
            _ => continue,
        };
        let id = &workload.workload;
        let _ = writeln!(text, "{id} in {} {how}: {failure}", id.namespace);
        hints(&mut text, failure);
        said.push(failure);
    }
    for image in &outcome.images {
        if let ImageState::Failed(failure) = &image.state
            && !said.contains(&failure)
        {
            let _ = writeln!(text, "{}", failure.message);
            hints(&mut text, failure);
        }
    }
    text
}

fn hints(text: &mut String, failure: &Failure) {
    for hint in &failure.hints {
        let _ = writeln!(text, "  hint: {hint}");
    }
}
