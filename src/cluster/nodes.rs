//! The nodes of a cluster, as far as images are concerned.
//!
//! Decides which platforms a cluster has: those that its nodes give as their own.

use super::request::{Collection, Only};
use super::{Cluster, Error};
use crate::platform::Platform;
use serde_json::Value;
use std::collections::BTreeSet;

/// What helps where the nodes do not.
const HINT: &str = "name them instead: --platform linux/amd64,linux/arm64";

/// The platforms of the nodes; never none.
pub(super) async fn platforms(cluster: &Cluster) -> Result<BTreeSet<Platform>, Error> {
    let nodes = Collection::core("nodes", "node", None);
    let read = |node: Value| platform_of(&node);
    let listed = cluster.list(&nodes, Only::default(), read).await;
    let platforms: BTreeSet<Platform> = match listed {
        Ok(platforms) => platforms.into_iter().collect(),
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
