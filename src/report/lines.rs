//! One line for one workload or image.

use super::text::bytes;
use crate::outcome::{ImageOutcome, ImageState, WorkloadOutcome, WorkloadState};

/// What stdout says of a workload, in kubectl's form: `deployment.apps/nginx repointed`; none for one that
/// failed, which is said on stderr.
pub fn workload_line(outcome: &WorkloadOutcome, dry_run: Option<&str>) -> Option<String> {
    let what = match &outcome.state {
        WorkloadState::Repointed { rollout } => with("repointed", rollout.as_deref()),
        WorkloadState::Restored { rollout } => with("restored", rollout.as_deref()),
        WorkloadState::CopiedOnly(reason) => format!("copied only: {reason}"),
        WorkloadState::Unchanged => "unchanged".to_owned(),
        WorkloadState::Skipped(reason) => format!("skipped: {reason}"),
        WorkloadState::Failed(_) => return None,
    };
    let mode = dry_run.map_or(String::new(), |mode| format!(" ({mode} dry run)"));
    Some(format!("{} {what}{mode}", outcome.workload))
}

fn with(verb: &str, detail: Option<&str>) -> String {
    detail.map_or_else(|| verb.to_owned(), |detail| format!("{verb}, {detail}"))
}

/// What stderr says of a finished image where there are no bars: `nginx:1.25 copied, 71 MB`; none for one
/// that failed.
pub fn image_line(outcome: &ImageOutcome) -> Option<String> {
    let source = outcome.source.familiar();
    match &outcome.state {
        ImageState::Copied { bytes: 0 } => Some(format!("{source} copied, nothing to carry")),
        ImageState::Copied { bytes: carried } => {
            Some(format!("{source} copied, {}", bytes(*carried)))
        }
        ImageState::Present => Some(format!("{source} present in the target")),
        ImageState::Failed(_) => None,
    }
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
