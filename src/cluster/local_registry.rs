//! The registry that a cluster publishes as its own (KEP-1755).

use super::collection::Collection;
use super::{Cluster, Error};
use serde::Deserialize;

/// The cluster's own registry, as KEP-1755 publishes it in `kube-public/local-registry-hosting`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LocalRegistry {
    /// As this machine reaches it.
    pub host: Option<String>,
    /// As the nodes reach it.
    pub host_from_container_runtime: Option<String>,
    /// As pods reach it.
    pub host_from_cluster_network: Option<String>,
}

impl LocalRegistry {
    /// The registry's name in workloads and the address that this machine pushes to: each stands in for
    /// the other where only one is published.
    pub fn pull_and_push(&self) -> Option<(&str, &str)> {
        let push = self.host.as_deref();
        let pull = self.host_from_container_runtime.as_deref().or(push)?;
        Some((pull, push.unwrap_or(pull)))
    }
}

/// Where it is published.
const NAMESPACE: &str = "kube-public";
const NAME: &str = "local-registry-hosting";
const KEY: &str = "localRegistryHosting.v1";

impl Cluster {
    /// The cluster's own registry, if it publishes one; asked for once.
    ///
    /// # Errors
    /// When it publishes something that cannot be read.
    pub async fn local_registry(&self) -> Result<Option<LocalRegistry>, Error> {
        let known = &self.shared.local_registry;
        Ok(known.get_or_try_init(|| self.published()).await?.clone())
    }

    async fn published(&self) -> Result<Option<LocalRegistry>, Error> {
        let config_maps = Collection::core("configmaps", "configmap", Some(NAMESPACE));
        let config_map = match self.get_one(&config_maps, NAME).await {
            Ok(config_map) => config_map,
            Err(error) if error.is_local() => return Ok(None),
            Err(error) => return Err(error),
        };
        match config_map["data"][KEY].as_str() {
            None => Ok(None),
            Some(text) => parse(text).map(Some),
        }
    }
}

fn parse(text: &str) -> Result<LocalRegistry, Error> {
    let mut registry: LocalRegistry = serde_saphyr::from_str(text).map_err(|error| {
        let reason = error.to_string();
        let reason = reason.lines().next().unwrap_or_default();
        Error::Failed(format!(
            "reading {KEY} of configmap/{NAME} in {NAMESPACE}: {reason}"
        ))
    })?;
    // the KEP's own example leaves fields empty where there is no such way
    for host in [
        &mut registry.host,
        &mut registry.host_from_container_runtime,
        &mut registry.host_from_cluster_network,
    ] {
        *host = host.take().filter(|host| !host.trim().is_empty());
    }
    Ok(registry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_the_registry_is_read_and_unknown_fields_are_left() {
        let text = "host: \"localhost:5000\"\nhostFromContainerRuntime: \"registry:5000\"\n\
                    hostFromClusterNetwork: \"\"\nhelp: \"https://kind.sigs.k8s.io\"\n";
        let expected = LocalRegistry {
            host: Some("localhost:5000".to_owned()),
            host_from_container_runtime: Some("registry:5000".to_owned()),
            host_from_cluster_network: None,
        };
        assert_eq!(parse(text).unwrap(), expected);
    }

    #[test]
    fn a_broken_text_is_an_error_that_says_where_it_is() {
        let error = parse("host: [").unwrap_err().to_string();
        let start =
            "reading localRegistryHosting.v1 of configmap/local-registry-hosting in kube-public: ";
        assert!(error.starts_with(start) && !error.contains('\n'), "{error}");
    }
}
