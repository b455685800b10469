//! Checks of the cluster: is it there, what does it allow, what is cloned, what does its admission watch.

use super::{Doctor, Findings, Sample, failed, limited, rights, sources, too_late, within};
use crate::cluster::{self, Cluster, LocalRegistry, Selection, Server};
use crate::outcome::{Check, Verdict};
use crate::reference::Reference;
use crate::target::TargetRegistry;
use crate::workload::Workload;
use std::collections::BTreeSet;

impl Doctor {
    /// Whether the API server answers.
    pub(super) async fn contact_cluster(&self) -> (Check, Option<Server>) {
        let name = "cluster";
        let cluster = match &self.cluster {
            Ok(cluster) => cluster,
            Err(failure) => return (failed(name, failure.clone()), None),
        };
        match limited(cluster.server()).await {
            Ok(Ok(server)) => {
                let context = cluster.context();
                let found = format!(
                    "{} at {}, context {context}",
                    server.version, server.address
                );
                (Check::ok(name, found), Some(server))
            }
            Ok(Err(error)) => (failed(name, error), None),
            Err(()) => (too_late(name, Verdict::Fail), None),
        }
    }

    /// Whether the verbs will be allowed what they do.
    pub(super) async fn permissions(&self, findings: &Findings) -> Check {
        let name = "permissions";
        let cluster = match self.reachable(findings) {
            Ok(cluster) => cluster,
            Err(why) => return Check::skip(name, why),
        };
        within(name, Verdict::Warn, async {
            let namespace = self.namespace.as_deref();
            let needed = rights::needed(namespace);
            let resources = rights::resources(&needed);
            let place = match namespace {
                Some(namespace) => format!("in {namespace}"),
                None => "in every namespace".to_owned(),
            };
            match cluster.lacking(needed, namespace).await {
                Err(error) => Check::warn(name, error.to_string()),
                Ok(lacking) if lacking.is_empty() => Check::ok(
                    name,
                    format!("all that is needed of {resources} resources {place}"),
                ),
                Ok(lacking) => {
                    let user = cluster.user().await;
                    let found = format!("missing {place}: {}", rights::told(&lacking));
                    let check = if rights::can_do_without(&lacking) {
                        Check::warn(name, found)
                    } else {
                        Check::fail(name, found)
                    };
                    check.mend_all(rights::grants(&lacking, user.as_deref(), namespace))
                }
            }
        })
        .await
    }

    /// What there is to clone, one copy of what is cloned, and what comes from Docker Hub.
    pub(super) async fn workloads(
        &self,
        findings: &Findings,
    ) -> (Check, Option<Sample>, Vec<Reference>) {
        let name = "workloads";
        let cluster = match self.reachable(findings) {
            Ok(cluster) => cluster,
            Err(why) => return (Check::skip(name, why), None, Vec::new()),
        };
        let target = self.target.as_ref().ok().map(|target| &target.registry);
        match limited(survey(cluster, self.namespace.as_deref())).await {
            Ok(Ok((workloads, missing))) => {
                let check = tell(
                    name,
                    &workloads,
                    &missing,
                    target,
                    self.namespace.as_deref(),
                );
                let from_hub = sources::from_hub(&workloads);
                let sample = target.and_then(|target| sample(workloads, target));
                (check, sample, from_hub)
            }
            Ok(Err(error)) => (failed(name, error), None, Vec::new()),
            Err(()) => (too_late(name, Verdict::Warn), None, Vec::new()),
        }
    }

    /// Admission policies that may refuse the copies.
    pub(super) async fn policies(&self, findings: &Findings) -> Check {
        let name = "policies";
        let cluster = match self.reachable(findings) {
            Ok(cluster) => cluster,
            Err(why) => return Check::skip(name, why),
        };
        let Ok(target) = &self.target else {
            return Check::skip(name, "no target registry is known");
        };
        within(name, Verdict::Warn, async {
            let (host, namespace) = (target.registry.host(), self.namespace.as_deref());
            match cluster.image_policies(host, namespace).await {
                Err(error) => Check::warn(name, error.to_string()),
                Ok(policies) if !policies.found.is_empty() => {
                    let named = policies.found.join(", ");
                    Check::warn(name, format!("may look at an image's registry: {named}")).mend(
                        format!("they must allow {}: see what they match", target.registry),
                    )
                }
                Ok(policies) if !policies.unread.is_empty() => {
                    let kinds = policies.unread.join(", ");
                    Check::skip(name, format!("these may not be listed: {kinds}"))
                }
                Ok(_) => Check::ok(name, format!("none looks at images without naming {host}")),
            }
        })
        .await
    }

    /// What the cluster publishes of a registry of its own; nothing where that cannot be had.
    pub(super) async fn published(&self, findings: &Findings) -> Option<LocalRegistry> {
        let cluster = self.reachable(findings).ok()?;
        limited(cluster.local_registry()).await.ok()?.ok()?
    }
}

async fn survey(
    cluster: &Cluster,
    namespace: Option<&str>,
) -> Result<(Vec<Workload>, Vec<cluster::Error>), cluster::Error> {
    let selection = match namespace {
        Some(name) => Selection::parse(&[format!("ns/{name}")], false, None),
        None => Selection::parse(&[], true, None),
    };
    let selection = selection.map_err(|error| cluster::Error::Invalid {
        message: error.message,
        hint: error.hint,
    })?;
    cluster.workloads(&selection).await
}

fn tell(
    name: &'static str,
    workloads: &[Workload],
    missing: &[cluster::Error],
    target: Option<&TargetRegistry>,
    namespace: Option<&str>,
) -> Check {
    // one reason is enough: what is lacking is told under `permissions`
    if let Some(first) = missing.first() {
        return match first {
            cluster::Error::NotFound(message) => {
                Check::fail(name, message.clone()).mend("kubectl get namespaces")
            }
            error => Check::warn(name, error.to_string()),
        };
    }
    let place = match namespace {
        Some(namespace) => format!("in {namespace}"),
        None => {
            let of = |workload: &Workload| workload.id.namespace.clone();
            let namespaces: BTreeSet<String> = workloads.iter().map(of).collect();
            format!("in {} namespaces", namespaces.len())
        }
    };
    let cloned = |workload: &&Workload| {
        target.is_some_and(|target| copies(workload, target).next().is_some())
    };
    let cloned = workloads.iter().filter(cloned).count();
    let found = format!("{} {place}, {cloned} of them cloned", workloads.len());
    Check::ok(name, found)
}

/// The copies in the target that a workload runs.
fn copies<'a>(
    workload: &'a Workload,
    target: &'a TargetRegistry,
) -> impl Iterator<Item = Reference> + 'a {
    let images = workload.slots.iter();
    images
        .filter_map(|slot| Reference::parse(&slot.image).ok())
        .filter(|image| target.holds(image))
}

fn sample(workloads: Vec<Workload>, target: &TargetRegistry) -> Option<Sample> {
    workloads.into_iter().find_map(|workload| {
        let copy = copies(&workload, target).next()?;
        Some(Sample { copy, workload })
    })
}
