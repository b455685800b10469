//! One line for one workload or image.

use super::text::{bytes, count};
use crate::outcome::{
    DryRun, ImageOutcome, ImageState, SecretOutcome, SecretState, WorkloadOutcome, WorkloadState,
};

/// What stdout says of a workload, in kubectl's form: `deployment.apps/nginx repointed`; none for one that
/// failed, which is said on stderr. `named` adds its namespace, where several are worked on.
pub fn workload_line(outcome: &WorkloadOutcome, named: bool, dry_run: DryRun) -> Option<String> {
    let (verb, detail) = match &outcome.state {
        WorkloadState::Repointed { rollout } => ("repointed", rollout.as_ref().map(after_comma)),
        WorkloadState::Restored { rollout } => ("restored", rollout.as_ref().map(after_comma)),
        WorkloadState::CopiedOnly(reason) => ("copied only", Some(format!(": {reason}"))),
        WorkloadState::Unchanged => ("unchanged", None),
        WorkloadState::Skipped(reason) => ("skipped", Some(format!(": {reason}"))),
        WorkloadState::PutBack(_) | WorkloadState::Failed(_) => return None,
    };
    let id = &outcome.workload;
    let place = if named {
        format!(" in {}", id.namespace)
    } else {
        String::new()
    };
    let detail = detail.unwrap_or_default();
    let mode = dry_run
        .label()
        .map_or(String::new(), |mode| format!(" ({mode})"));
    Some(format!("{id} {verb}{place}{detail}{mode}"))
}

fn after_comma(rollout: &String) -> String {
    format!(", {rollout}")
}

/// What stderr says of a finished image where there are no bars: `nginx:1.25 copied, 71 MB`; none for one
/// that failed.
pub fn image_line(outcome: &ImageOutcome) -> Option<String> {
    let source = outcome.source.familiar();
    match &outcome.state {
        ImageState::Copied { bytes: 0 } => {
            Some(format!("{source} copied, its layers were there already"))
        }
        ImageState::Copied { bytes: carried } => {
            Some(format!("{source} copied, {}", bytes(*carried)))
        }
        ImageState::Present => Some(format!("{source} present in the target")),
        ImageState::Failed(_) => None,
    }
}

/// What stderr says of an image whose foreign layers were not copied; none for others.
pub fn foreign_line(outcome: &ImageOutcome) -> Option<String> {
    (outcome.foreign_left > 0).then(|| {
        let layers = count(outcome.foreign_left, "foreign layer");
        let source = outcome.source.familiar();
        format!("{source}: {layers} not copied, which nodes get from their owner")
    })
}

/// What stdout of `copy` says of an image: `source target digest`; none for one that failed.
pub fn copy_line(outcome: &ImageOutcome) -> Option<String> {
    match (&outcome.state, &outcome.digest) {
        (ImageState::Failed(_), _) | (_, None) => None,
        (_, Some(digest)) => Some(format!(
            "{} {} {digest}",
            outcome.source.typed(),
            outcome.target
        )),
    }
}

/// What stdout says of our pull secret in a namespace: `secret/image-cloner-pull updated`; none for what
/// failed or is only worth a hint. `named` adds the namespace, where several are worked on.
pub fn secret_line(
    name: &str,
    outcome: &SecretOutcome,
    named: bool,
    dry_run: DryRun,
) -> Option<String> {
    let verb = match &outcome.state {
        SecretState::Created => "created",
        SecretState::Updated => "updated",
        SecretState::Unchanged => "unchanged",
        SecretState::Pruned => "pruned",
        SecretState::Unused | SecretState::Left(_) | SecretState::Failed(_) => return None,
    };
    let place = if named {
        format!(" in {}", outcome.namespace)
    } else {
        String::new()
    };
    let mode = dry_run
        .label()
        .map_or(String::new(), |mode| format!(" ({mode})"));
    Some(format!("secret/{name} {verb}{place}{mode}"))
}
