//! What serves the target registry itself, as far as addresses and ports tell.
//!
//! Never sure of all: a Service of another name than its workload, or a registry behind a load balancer,
//! is known only by what the user says (`protect`).

use super::Policy;
use crate::workload::Workload;

/// The workload that is called as the Service that an address means, `NAMESPACE/NAME`: charts and manifests
/// call both the same as a rule. None where the address means no Service.
pub fn behind(address: &str) -> Option<String> {
    let bare = address.split_once("://").map_or(address, |(_, rest)| rest);
    let host = bare.split(['/', ':']).next()?;
    let labels: Vec<&str> = host.split('.').collect();
    // NAME.NAMESPACE.svc, and with the name of a pod before it
    let svc = labels.iter().position(|label| *label == "svc")?;
    let (name, namespace) = (labels.get(svc.checked_sub(2)?)?, labels[svc - 1]);
    Some(format!("{namespace}/{name}"))
}

/// Whether a workload serves the target.
pub(super) fn serves_target(workload: &Workload, policy: &Policy) -> bool {
    let id = &workload.id;
    let listens = |port: u16| workload.host_ports.contains(&port);
    policy
        .protect
        .contains(&format!("{}/{}", id.namespace, id.name))
        || policy.target.node_port().is_some_and(listens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_service_names_the_workload_behind_it() {
        let check = |address: &str, expected: Option<&str>| {
            assert_eq!(behind(address).as_deref(), expected, "{address}");
        };
        let zot = Some("registry/zot");
        check("zot.registry.svc", zot);
        check("zot.registry.svc:5000", zot);
        check("http://zot.registry.svc.cluster.local:5000/v2/", zot);
        check("zot-0.zot.registry.svc.cluster.local", zot);
        check("registry.corp:5000", None);
        check("localhost:5000", None);
        check("svc", None);
        check("a.svc", None);
    }
}
