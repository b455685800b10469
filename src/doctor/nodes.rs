//! Checks of the nodes: would they find the target registry, and do they pull from it.

use super::{Doctor, Findings, Sample, failed};
use crate::cluster::{Cluster, LocalRegistry, Trial, Tried};
use crate::outcome::Check;
use crate::platform::Platform;
use crate::registry;
use crate::target::TargetRegistry;
use std::time::Duration;

/// How long a node may take to pull: longer than other checks, since it pulls a whole image.
const PATIENCE: Duration = Duration::from_secs(60);

const NAME: &str = "nodes";

impl Doctor {
    /// One check where nodes are not tried; else one for each platform.
    pub(super) async fn nodes(&self, findings: &Findings) -> Vec<Check> {
        let cluster = match self.reachable(findings) {
            Ok(cluster) => cluster,
            Err(why) => return vec![Check::skip(NAME, why)],
        };
        let Ok(target) = &self.target else {
            return vec![Check::skip(NAME, "no target registry is known")];
        };
        if !self.nodes {
            return vec![guess(&target.registry, findings.published.as_ref())];
        }
        let Some(sample) = &findings.sample else {
            let why = "no workload here runs a copy that they could pull";
            return vec![Check::skip(NAME, why).mend("clone one, then look again")];
        };
        match cluster.platforms().await {
            Err(error) => vec![failed(NAME, error)],
            Ok(platforms) => {
                let trials = platforms
                    .iter()
                    .map(|platform| pull(cluster, &target.registry, sample, platform));
                futures::future::join_all(trials).await
            }
        }
    }
}

async fn pull(
    cluster: &Cluster,
    target: &TargetRegistry,
    sample: &Sample,
    platform: &Platform,
) -> Check {
    let image = target.relative(&sample.copy);
    let workload = &sample.workload;
    let trial = Trial {
        namespace: &workload.id.namespace,
        image: sample.copy.typed(),
        pull_secrets: workload.pull_secrets.as_deref().unwrap_or_default(),
        service_account: &workload.service_account,
        platform,
    };
    match cluster.trial(&trial, PATIENCE).await {
        Ok(Tried::Pulled(node)) => Check::ok(NAME, format!("{node} ({platform}) pulled {image}")),
        Ok(Tried::Refused(node, reason)) => {
            let check = Check::fail(NAME, format!("{node} ({platform}): {reason}"));
            check.mend_all(advice(&reason).map(str::to_owned))
        }
        Ok(Tried::Unknown(reason)) => Check::warn(NAME, format!("{platform}: {reason}")),
        Err(error) => failed(NAME, error),
    }
}

/// What helps a node that cannot pull, by its own words.
fn advice(reason: &str) -> Option<&'static str> {
    let has = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    if has(&["x509", "certificate"]) {
        Some("the nodes need the registry's authority (containerd: certs.d/HOST/hosts.toml)")
    } else if has(&["no such host", "lookup"]) {
        Some("the nodes do not resolve the registry's name: give it to their DNS")
    } else if has(&["server gave HTTP response"]) {
        Some("the nodes expect TLS: tell them that it is plain HTTP (containerd: hosts.toml)")
    } else if has(&["unauthorized", "authorization failed", "403 Forbidden"]) {
        Some("kubectl image-cloner sync-credentials")
    } else {
        None
    }
}

/// What can be told of the nodes without asking them.
fn guess(target: &TargetRegistry, published: Option<&LocalRegistry>) -> Check {
    let host = target.host();
    let mut hosts = published.into_iter().flat_map(|local| {
        let runtime = local.host_from_container_runtime.as_deref();
        [runtime, local.host.as_deref()]
    });
    if hosts.any(|published| published == Some(host)) {
        return Check::ok(
            NAME,
            format!("the cluster publishes {host} as its own registry"),
        );
    }
    if registry::means_this_machine(host) {
        return Check::warn(
            NAME,
            format!("{host} is this machine here, and each node itself there"),
        )
        .mend("kubectl image-cloner doctor --nodes  # do they pull from it?")
        .mend("if not: --to NAME-FOR-NODES, and `endpoint` in config.yaml to push to");
    }
    if is_service(host) {
        return Check::warn(
            NAME,
            format!("{host} is a Service's name, which nodes do not resolve"),
        )
        .mend("name the registry as nodes reach it: a NodePort, an ingress, a name of their DNS");
    }
    Check::skip(NAME, "not asked")
        .mend("kubectl image-cloner doctor --nodes  # a pod pulls on each platform")
}

/// Whether a host is the cluster DNS's to resolve (kubernetes/kubernetes#128057).
fn is_service(host: &str) -> bool {
    let name = host.split(':').next().unwrap_or(host);
    // NAME.NAMESPACE.svc, and what the cluster's domain adds to it
    name.split('.').nth(2) == Some("svc")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Verdict;
    use crate::target::Layout;

    #[test]
    fn names_that_nodes_do_not_know_are_told_without_asking_them() {
        let published = LocalRegistry {
            host: Some("localhost:5001".to_owned()),
            host_from_container_runtime: Some("registry:5000".to_owned()),
            host_from_cluster_network: None,
        };
        let check = |target: &str, expected: Verdict| {
            let target = TargetRegistry::parse(target, Layout::default()).unwrap();
            let check = guess(&target, Some(&published));
            assert_eq!(check.verdict, expected, "{check:?}");
        };
        check("localhost:5000/x", Verdict::Warn);
        check("127.0.0.1:5000", Verdict::Warn);
        check("localhost:5001", Verdict::Ok);
        check("registry:5000/x", Verdict::Ok);
        check("registry.infra.svc:5000", Verdict::Warn);
        check("registry.infra.svc.cluster.local", Verdict::Warn);
        check("registry.corp/x", Verdict::Skip);
    }
}
