//! Records that a rollback took from its Deployment.
//!
//! Decides which ReplicaSets are looked at: those of Deployments that have no record and were not
//! restored. Never decides what a lost record means.

use super::observe::PARALLEL;
use super::request::Only;
use super::{Cluster, Error};
use crate::plan::Observed;
use crate::workload::{Kind, Record, Workload, WorkloadId};
use futures::stream::{self, StreamExt as _};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A record as a ReplicaSet has it, and the revision that it is of.
struct Kept {
    owner: WorkloadId,
    revision: u64,
    record: Record,
}

/// The newest record that each of these Deployments once had, and what could not be read.
pub(super) async fn records(
    cluster: &Cluster,
    everywhere: bool,
    observed: &[Observed],
) -> Result<(BTreeMap<WorkloadId, Record>, Vec<String>), Error> {
    let without: BTreeSet<&WorkloadId> = observed
        .iter()
        .map(|one| &one.workload)
        .filter(|workload| workload.id.kind.kind == "Deployment")
        .filter(|workload| workload.record_text.is_none() && workload.restored.is_none())
        .map(|workload| &workload.id)
        .collect();
    let namespaces: BTreeSet<Option<&str>> = without
        .iter()
        .map(|id| (!everywhere).then_some(id.namespace.as_str()))
        .collect();
    let answers: Vec<Result<Vec<Kept>, Error>> = stream::iter(namespaces)
        .map(|namespace| list(cluster, namespace))
        .buffered(PARALLEL)
        .collect()
        .await;
    let mut newest: BTreeMap<WorkloadId, Kept> = BTreeMap::new();
    let mut notes = Vec::new();
    for answer in answers {
        match answer {
            Ok(all) => {
                for kept in all.into_iter().filter(|kept| without.contains(&kept.owner)) {
                    let known = newest.get(&kept.owner).map(|known| known.revision);
                    if known.is_none_or(|known| known < kept.revision) {
                        newest.insert(kept.owner.clone(), kept);
                    }
                }
            }
            Err(error) if error.is_local() => {
                notes.push(format!("{error}; what was rolled back is not known"));
            }
            Err(error) => return Err(error),
        }
    }
    let records = newest.into_iter().map(|(id, kept)| (id, kept.record));
    Ok((records.collect(), notes))
}

async fn list(cluster: &Cluster, namespace: Option<&str>) -> Result<Vec<Kept>, Error> {
    let replica_sets = Kind::from_word("rs").expect("it is built in");
    let deployments = Kind::from_word("deploy").expect("it is built in");
    let collection = cluster.collection(&replica_sets, namespace).await?;
    let keep = |object: Value| kept(&replica_sets, &deployments, &object);
    cluster.list(&collection, Only::default(), keep).await
}

fn kept(replica_sets: &Kind, deployments: &Kind, object: &Value) -> Option<Kept> {
    let replica_set = Workload::from_object(replica_sets, object).ok()?;
    let controller = replica_set.controller?;
    if controller.kind != deployments.kind {
        return None;
    }
    let revision = &object["metadata"]["annotations"]["deployment.kubernetes.io/revision"];
    Some(Kept {
        owner: WorkloadId {
            kind: deployments.clone(),
            namespace: replica_set.id.namespace,
            name: controller.name,
        },
        revision: revision.as_str()?.parse().ok()?,
        record: replica_set.record?,
    })
}
