//! The nodes of a cluster, as far as images are concerned.
//!
//! Decides which platforms a cluster has: those that its nodes give as their own; and which nodes would take
//! a pod.

use super::collection::Collection;
use super::request::Only;
use super::{Cluster, Error};
use crate::platform::Platform;
use serde_json::Value;
use std::collections::BTreeSet;

/// A node, as far as pods that are to pull on it are concerned.
#[derive(Debug, Clone)]
pub struct Node {
    /// What it runs.
    pub platform: Platform,
    labels: Value,
    taints: Vec<Value>,
}

impl Node {
    /// Whether pods of this spec may come to it, by their selector and its taints. Affinity is the
    /// scheduler's business.
    pub fn takes(&self, pod: &Value) -> bool {
        let selector = pod["nodeSelector"].as_object();
        let mut selector = selector.into_iter().flatten();
        let tolerations = pod["tolerations"].as_array();
        let tolerated = |taint: &Value| {
            let mut tolerations = tolerations.into_iter().flatten();
            tolerations.any(|toleration| tolerates(toleration, taint))
        };
        selector.all(|(key, value)| self.labels[key] == *value)
            && self
                .taints
                .iter()
                .filter(|taint| taint["effect"] != "PreferNoSchedule")
                .all(tolerated)
    }

    fn read(node: &Value) -> Option<Self> {
        Some(Self {
            platform: platform_of(node)?,
            labels: node["metadata"]["labels"].clone(),
            taints: node["spec"]["taints"]
                .as_array()
                .cloned()
                .unwrap_or_default(),
        })
    }
}

/// The scheduler's rule: no effect is every effect, no key with `Exists` is every key.
fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (key, effect) = (text(&toleration["key"]), text(&toleration["effect"]));
    let exists = toleration["operator"] == "Exists";
    (effect.is_empty() || taint["effect"] == effect.as_str())
        && (key.is_empty() && exists || taint["key"] == key.as_str())
        && (exists || text(&toleration["value"]) == text(&taint["value"]))
}

impl Cluster {
    /// All nodes that have reported what they run.
    ///
    /// # Errors
    /// When they may not be listed, or the API server fails.
    pub async fn nodes(&self) -> Result<Vec<Node>, Error> {
        let nodes = Collection::core("nodes", "node", None);
        let read = |node: Value| Node::read(&node);
        self.list(&nodes, Only::default(), read).await
    }

    /// The platforms of its nodes; never none.
    ///
    /// # Errors
    /// [`Error::Untold`] when the nodes may not be listed or say nothing.
    pub async fn platforms(&self) -> Result<BTreeSet<Platform>, Error> {
        let platforms: BTreeSet<Platform> = match self.nodes().await {
            Ok(nodes) => nodes.into_iter().map(|node| node.platform).collect(),
            Err(Error::Forbidden(message)) => {
                return Err(Error::Untold {
                    message: format!("finding out the platforms of the cluster: {message}"),
                    hint: HINT.to_owned(),
                });
            }
            Err(error) => return Err(error),
        };
        if platforms.is_empty() {
            return Err(Error::Untold {
                message: "finding out the platforms of the cluster: it has no nodes".to_owned(),
                hint: HINT.to_owned(),
            });
        }
        Ok(platforms)
    }
}

/// What helps where the nodes do not.
const HINT: &str = "name them instead: --platform linux/amd64,linux/arm64";

/// A node's platform; none for one that has not reported yet.
fn platform_of(node: &Value) -> Option<Platform> {
    let info = &node["status"]["nodeInfo"];
    let (os, architecture) = (&info["operatingSystem"], &info["architecture"]);
    Platform::new(os.as_str()?, architecture.as_str()?, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_node_takes_the_pods_that_select_it_and_bear_its_taints() {
        let node = json!({
            "metadata": {"labels": {"pool": "gpu"}},
            "spec": {"taints": [
                {"key": "gpu", "value": "yes", "effect": "NoSchedule"},
                {"key": "old", "effect": "PreferNoSchedule"},
            ]},
            "status": {"nodeInfo": {"operatingSystem": "linux", "architecture": "amd64"}},
        });
        let node = Node::read(&node).unwrap();
        let takes = |pod: Value| node.takes(&pod);
        let with = |toleration: Value| json!({"tolerations": [toleration]});
        assert!(!takes(json!({})));
        assert!(takes(with(json!({"operator": "Exists"}))));
        assert!(takes(with(json!({"key": "gpu", "operator": "Exists"}))));
        assert!(takes(with(
            json!({"key": "gpu", "value": "yes", "effect": "NoSchedule"})
        )));
        assert!(!takes(with(json!({"key": "gpu", "value": "no"}))));
        assert!(!takes(with(
            json!({"key": "gpu", "operator": "Exists", "effect": "NoExecute"})
        )));
        let mut selecting = with(json!({"operator": "Exists"}));
        selecting["nodeSelector"] = json!({"pool": "gpu"});
        assert!(takes(selecting.clone()));
        selecting["nodeSelector"] = json!({"pool": "web"});
        assert!(!takes(selecting));
    }

    #[test]
    fn a_nodes_platform_is_what_its_kubelet_reports() {
        let node = |info: &Value| json!({"status": {"nodeInfo": info}});
        let check = |node: &Value, expected: Option<&str>| {
            let platform = platform_of(node).map(|platform| platform.to_string());
            assert_eq!(platform.as_deref(), expected);
        };
        check(
            &node(&json!({"operatingSystem": "linux", "architecture": "arm64"})),
            Some("linux/arm64"),
        );
        check(
            &node(&json!({"operatingSystem": "", "architecture": ""})),
            None,
        );
        check(&json!({}), None);
    }
}
