//! What not every cluster has a use for: a budget, a network policy, a monitor.
//!
//! Decides what they say. Never decides whether a cluster knows them.

use super::{Extra, NAME, NAMESPACE, Settings, object, selector};
use serde_json::{Value, json};

/// The name of the Service that the monitor asks.
pub(super) const METRICS: &str = "image-cloner-metrics";

/// Of these, what the settings ask for.
pub(super) fn objects(settings: &Settings) -> Vec<Value> {
    let mut objects = Vec::new();
    if settings.replicas > 1 && settings.has(Extra::Budget) {
        objects.push(budget());
    }
    if settings.has(Extra::NetworkPolicy) {
        objects.push(network_policy());
    }
    if settings.has(Extra::ServiceMonitor) {
        objects.extend(monitor());
    }
    objects
}

fn budget() -> Value {
    let mut budget = object("policy/v1", "PodDisruptionBudget", NAME);
    budget["spec"] = json!({"minAvailable": 1, "selector": {"matchLabels": selector()}});
    budget
}

/// Lets in who reads figures and probes, and the API server; lets out everywhere but to where clouds serve
/// credentials.
fn network_policy() -> Value {
    let port = |port: &str| json!({"port": port, "protocol": "TCP"});
    let ports = ["metrics", "probes", "webhook"].map(port);
    let mut policy = object("networking.k8s.io/v1", "NetworkPolicy", NAME);
    policy["spec"] = json!({
        "podSelector": {"matchLabels": selector()},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"ports": ports}],
        "egress": [{"to": [
            {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.169.254/32"]}},
            {"ipBlock": {"cidr": "::/0", "except": ["fd00:ec2::254/128"]}},
        ]}],
    });
    policy
}

fn monitor() -> [Value; 2] {
    let mut service = object("v1", "Service", METRICS);
    service["spec"] = json!({
        "selector": selector(),
        "ports": [{"name": "metrics", "port": 8080, "targetPort": "metrics", "protocol": "TCP"}],
    });
    let mut monitor = object("monitoring.coreos.com/v1", "ServiceMonitor", NAME);
    monitor["spec"] = json!({
        "selector": {"matchLabels": selector()},
        "namespaceSelector": {"matchNames": [NAMESPACE]},
        "endpoints": [{"port": "metrics", "interval": "30s"}],
    });
    [service, monitor]
}
