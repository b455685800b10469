//! Checks of the nodes: would they find the target registry, and do they pull from it.

use super::{Doctor, Findings, Sample, failed, limited, too_late};
use crate::cluster::{Error, LocalRegistry, Pull, Pulled};
use crate::outcome::{Check, Verdict};
use crate::platform::Platform;
use crate::registry;
use crate::target::TargetRegistry;
use futures::future::join_all;
use serde_json::json;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a node may take to pull: longer than other checks, since it pulls a whole image and a kubelet
/// that failed takes half a minute to fail again.
const PATIENCE: Duration = Duration::from_secs(120);

const NAME: &str = "nodes";

impl Doctor {
    /// One check where nodes are not tried; else one for each platform. It leaves no pod when it is to end.
    pub(super) async fn nodes(&self, findings: &Findings, stop: &CancellationToken) -> Vec<Check> {
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
        match limited(cluster.platforms()).await {
            Err(()) => vec![too_late(NAME, Verdict::Fail)],
            Ok(Err(error)) => vec![failed(NAME, error)],
            Ok(Ok(platforms)) => {
                let pulls = platforms.iter().enumerate().map(|(at, platform)| {
                    let pod = format!("image-cloner-canary-{}-{at}", self.run);
                    let image = target.registry.relative(&sample.copy);
                    async move {
                        let pull = pull_of(sample, platform);
                        let namespace = &sample.workload.id.namespace;
                        let tried = cluster.try_pull(namespace, &pod, &pull, PATIENCE, stop);
                        told(tried.await, platform, image)
                    }
                });
                join_all(pulls).await
            }
        }
    }
}

/// The pull of a copy as its workload has it pulled, on any node of a platform: a taint keeps pods away, not
/// images.
fn pull_of(sample: &Sample, platform: &Platform) -> Pull {
    let workload = &sample.workload;
    Pull {
        image: sample.copy.typed().to_owned(),
        pull_secrets: workload.pull_secrets.clone().unwrap_or_default(),
        service_account: workload.service_account.clone(),
        platform: Some(platform.clone()),
        like: json!({"tolerations": [{"operator": "Exists"}]}),
    }
}

fn told(tried: Result<Pulled, Error>, platform: &Platform, image: &str) -> Check {
    match tried {
        Ok(Pulled::Yes { node }) => Check::ok(NAME, format!("{node} ({platform}) pulled {image}")),
        Ok(Pulled::No(why)) => {
            let check = Check::fail(NAME, format!("{platform}: {}", why.why));
            let check = check.mend_all(why.hint);
            if why.is_denied {
                check.mend("kubectl image-cloner sync-credentials")
            } else {
                check
            }
        }
        Ok(Pulled::Untried(why)) => Check::warn(NAME, format!("{platform}: {why}")),
        Ok(Pulled::Interrupted) => Check::skip(NAME, format!("{platform}: interrupted")),
        Err(error) => failed(NAME, error),
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
