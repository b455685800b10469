//! Whether a planned repoint is made: one rule for the loop and for whoever is asked on admission.
//!
//! Decides what is left to others though it could be repointed, and how that is counted. Never plans.

use crate::plan::{self, Repoint};
use crate::workload::{RECLAIMED, Workload};

/// How often images that somebody put back are cloned again.
const RECLAIMS: u32 = 3;

/// Grants a repoint of this workload, with the annotation that counts how often somebody has `put_back` the
/// images that it has; `stateful` allows what is down while it changes, or does not recover by itself.
///
/// # Errors
/// When it is left: the reason.
pub fn grant(
    workload: &Workload,
    repoint: &mut Repoint,
    stateful: bool,
    put_back: u32,
) -> Result<(), String> {
    if workload.recreates && !stateful {
        return Err(
            "a Recreate Deployment is down while its pods are replaced: only with IMAGE_CLONER_STATEFUL".to_owned(),
        );
    }
    if workload.id.kind.kind == "StatefulSet" && !stateful {
        return Err(
            "a StatefulSet does not recover from a bad image by itself: only with IMAGE_CLONER_STATEFUL".to_owned(),
        );
    }
    if put_back > RECLAIMS {
        return Err(format!(
            "somebody put its images back {RECLAIMS} times after they were cloned: left to them"
        ));
    }
    let count = (put_back > 0).then(|| plan::reclaimed(workload, put_back));
    if count.is_some() || workload.reclaimed.is_some() {
        repoint.annotations.insert(RECLAIMED, count);
    }
    Ok(())
}
