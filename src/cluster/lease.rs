//! Leases: what several processes agree by who of them works.
//!
//! Decides nothing: what is written, and when, is [`crate::lease`]'s.

use super::collection::Collection;
use super::{Cluster, Error};
use serde_json::Value;

impl Cluster {
    /// The Lease of this name, where there is one.
    pub async fn lease(&self, namespace: &str, name: &str) -> Result<Option<Value>, Error> {
        match self.get_one(&leases(namespace), name).await {
            Ok(lease) => Ok(Some(lease)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates a Lease and gives it as it is then; [`Error::Conflict`] where there is one.
    pub async fn create_lease(
        &self,
        namespace: &str,
        name: &str,
        lease: &Value,
    ) -> Result<Value, Error> {
        self.create(&leases(namespace), name, lease).await
    }

    /// Replaces a Lease and gives it as it is then; [`Error::Conflict`] where it is not what was read.
    pub async fn replace_lease(
        &self,
        namespace: &str,
        name: &str,
        lease: &Value,
    ) -> Result<Value, Error> {
        match self.replace(&leases(namespace), name, lease).await {
            // gone since it was read
            Err(Error::NotFound(text)) => Err(Error::Conflict(text)),
            answer => answer,
        }
    }
}

fn leases(namespace: &str) -> Collection {
    Collection::named(
        "/apis/coordination.k8s.io/v1",
        "leases",
        "lease.coordination.k8s.io",
        Some(namespace),
    )
}
