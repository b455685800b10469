//! The outcome of a run as a document, `image-cloner.io/v1alpha1`.

use crate::outcome::{
    DryRun, Failure, ImageOutcome, ImageState, Outcome, WorkloadOutcome, WorkloadState,
};
use serde_json::{Value, json};

/// The outcome of a run as a document, for `--report`.
pub fn report_file(outcome: &Outcome) -> Value {
    json!({
        "apiVersion": "image-cloner.io/v1alpha1",
        "kind": "Run",
        "metadata": {"name": outcome.run},
        "seconds": outcome.took.as_secs_f64(),
        "interrupted": outcome.interrupted,
        "dryRun": match outcome.dry_run {
            DryRun::None => "none",
            DryRun::Client => "client",
            DryRun::Server => "server",
        },
        "exitCode": outcome.exit_code(),
        "images": outcome.images.iter().map(image).collect::<Vec<_>>(),
        "workloads": outcome.workloads.iter().map(workload).collect::<Vec<_>>(),
    })
}

fn image(outcome: &ImageOutcome) -> Value {
    let mut value = json!({
        "source": outcome.source.to_string(),
        "target": outcome.target.to_string(),
        "notes": outcome.notes,
    });
    if let Some(digest) = &outcome.digest {
        value["digest"] = json!(digest.as_str());
    }
    if outcome.foreign_left > 0 {
        value["foreignLayersNotCopied"] = json!(outcome.foreign_left);
    }
    match &outcome.state {
        ImageState::Copied { bytes } => {
            value["state"] = json!("copied");
            value["bytes"] = json!(bytes);
        }
        ImageState::Present => value["state"] = json!("present"),
        ImageState::Failed(failure) => fail(&mut value, failure),
    }
    value
}

fn workload(outcome: &WorkloadOutcome) -> Value {
    let id = &outcome.workload;
    let group = &id.kind.group;
    let version = &id.kind.version;
    let mut value = json!({
        "apiVersion": if group.is_empty() { version.clone() } else { format!("{group}/{version}") },
        "kind": id.kind.kind,
        "namespace": id.namespace,
        "name": id.name,
        "notes": outcome.notes,
    });
    let mut state = |word: &str, detail: Option<(&str, &String)>| {
        value["state"] = json!(word);
        if let Some((key, text)) = detail {
            value[key] = json!(text);
        }
    };
    match &outcome.state {
        WorkloadState::Repointed { rollout } => {
            state("repointed", rollout.as_ref().map(|text| ("rollout", text)));
        }
        WorkloadState::Restored { rollout } => {
            state("restored", rollout.as_ref().map(|text| ("rollout", text)));
        }
        WorkloadState::CopiedOnly(reason) => state("copiedOnly", Some(("reason", reason))),
        WorkloadState::Unchanged => state("unchanged", None),
        WorkloadState::Skipped(reason) => state("skipped", Some(("reason", reason))),
        WorkloadState::PutBack(failure) => {
            fail(&mut value, failure);
            value["state"] = json!("putBack");
        }
        WorkloadState::Failed(failure) => fail(&mut value, failure),
    }
    value
}

fn fail(value: &mut Value, failure: &Failure) {
    value["state"] = json!("failed");
    value["error"] = json!(failure.message);
    value["hints"] = json!(failure.hints);
}
