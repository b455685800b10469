//! Whether the images that a restore would give back are still to be had.
//!
//! Decides nothing about the restore itself: tells which workloads would be pointed at an image that their
//! registry does not give. Never writes.

use super::source_credentials::SourceCredentials;
use crate::cluster::Cluster;
use crate::credentials::Chain;
use crate::outcome::Failure;
use crate::plan::{Decision, Plan};
use crate::reference::Reference;
use crate::registry::Registries;
use crate::workload::{Workload, WorkloadId};
use futures::stream::{self, StreamExt as _};
use std::collections::BTreeMap;

/// Images asked for at once.
const PARALLEL: usize = 16;

/// The workloads of a restore that would get an image which cannot be had, and why. Each image is asked for
/// once, with whatever its workloads pull with and with this machine's own credentials.
///
/// # Errors
/// When the API server cannot be asked for pull secrets.
pub async fn unavailable(
    plan: &Plan,
    cluster: &Cluster,
    registries: &Registries,
    chain: &Chain,
) -> Result<BTreeMap<WorkloadId, Failure>, Failure> {
    let mut users: BTreeMap<&str, Vec<&Workload>> = BTreeMap::new();
    for planned in &plan.workloads {
        if let Decision::Repoint(repoint) = &planned.decision {
            for change in &repoint.slots {
                let of_image = users.entry(&change.to).or_default();
                of_image.push(&planned.workload);
            }
        }
    }
    let all: Vec<Workload> = users.values().flatten().copied().cloned().collect();
    let credentials = SourceCredentials {
        keyrings: cluster.keyrings(all).await?,
        chain: chain.clone(),
    };
    let answers: Vec<(Vec<&Workload>, Result<(), Failure>)> = stream::iter(users)
        .map(|(image, users)| {
            let credentials = &credentials;
            async move {
                let found = look(image, &users, credentials, registries).await;
                let doing = format!("its original {image} cannot be had");
                let found = found.map_err(|failure| {
                    let failure = failure.context(doing);
                    failure.hint("--force gives it back all the same")
                });
                (users, found)
            }
        })
        .buffer_unordered(PARALLEL)
        .collect()
        .await;
    let mut unavailable = BTreeMap::new();
    for (users, found) in answers {
        if let Err(failure) = found {
            let ids = users.into_iter().map(|user| user.id.clone());
            unavailable.extend(ids.map(|id| (id, failure.clone())));
        }
    }
    Ok(unavailable)
}

async fn look(
    image: &str,
    users: &[&Workload],
    credentials: &SourceCredentials,
    registries: &Registries,
) -> Result<(), Failure> {
    // what is no reference to us was one to whoever wrote it
    let Ok(reference) = Reference::parse(image) else {
        return Ok(());
    };
    let users = users.iter().map(|user| &user.id);
    let offer = credentials.of(users, &reference).await?;
    let found = registries.source(&reference, &offer.credentials).await;
    found.map_err(|error| offer.explain(error.into()))?;
    Ok(())
}
