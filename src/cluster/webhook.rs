//! What the admission webhook keeps in the cluster: its certificate, who vouches for it, which pod it is in.
//!
//! Decides how each is written: compare-and-set. Never what is written.

use super::collection::Collection;
use super::request::Only;
use super::{Cluster, Error};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

impl Cluster {
    /// The secret of this name, where there is one.
    pub async fn secret(&self, namespace: &str, name: &str) -> Result<Option<Value>, Error> {
        let secrets = Collection::core("secrets", "secret", Some(namespace));
        match self.get_one(&secrets, name).await {
            Ok(secret) => Ok(Some(secret)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes a secret: creates it, or replaces it in the version that it was read at. [`Error::Conflict`]
    /// where somebody else did since.
    pub async fn write_secret(
        &self,
        namespace: &str,
        name: &str,
        secret: &Value,
    ) -> Result<(), Error> {
        let secrets = Collection::core("secrets", "secret", Some(namespace));
        let is_new = secret["metadata"]["resourceVersion"].is_null();
        let written = if is_new {
            self.create(&secrets, name, secret).await
        } else {
            self.replace(&secrets, name, secret).await
        };
        match written {
            // gone since it was read
            Err(Error::NotFound(text)) if !is_new => Err(Error::Conflict(text)),
            answer => answer.map(|_| ()),
        }
    }

    /// Has the API server trust these authorities (PEM) where it calls the webhooks of this configuration,
    /// whose other fields stay whoever's they are. Tells whether that was a change.
    pub async fn vouch(&self, configuration: &str, authorities: &str) -> Result<bool, Error> {
        let configurations = Collection::at(
            "/apis/admissionregistration.k8s.io/v1",
            "mutatingwebhookconfigurations",
            None,
        );
        let object = self.get_one(&configurations, configuration).await?;
        let operations = vouching(&object, &STANDARD.encode(authorities));
        if operations.is_empty() {
            return Ok(false);
        }
        let body = Value::Array(operations);
        self.patch_one(&configurations, configuration, &body)
            .await?;
        Ok(true)
    }

    /// Puts this label on this pod, and takes it from any other of the namespace.
    pub async fn mark_only(
        &self,
        namespace: &str,
        pod: &str,
        (label, value): (&str, &str),
    ) -> Result<(), Error> {
        let pods = Collection::core("pods", "pod", Some(namespace));
        let selector = format!("{label}={value}");
        let marked = Only {
            labels: Some(&selector),
            ..Only::default()
        };
        let name = |pod: Value| Some(pod["metadata"]["name"].as_str()?.to_owned());
        let marked = self.list(&pods, marked, name).await?;
        let path = format!("/metadata/labels/{}", label.replace('/', "~1"));
        for other in marked.iter().filter(|name| *name != pod) {
            let body = json!([
                {"op": "test", "path": path, "value": value},
                {"op": "remove", "path": path},
            ]);
            match self.patch_one(&pods, other, &body).await {
                // it is gone, or not marked any more
                Ok(_) | Err(Error::NotFound(_) | Error::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
        }
        if !marked.iter().any(|name| name == pod) {
            let body = json!([{"op": "add", "path": path, "value": value}]);
            self.patch_one(&pods, pod, &body).await?;
        }
        Ok(())
    }
}

/// The patch that has each webhook's caller trust this bundle: where it does not yet.
fn vouching(configuration: &Value, bundle: &str) -> Vec<Value> {
    let webhooks = configuration["webhooks"].as_array();
    let webhooks = webhooks.into_iter().flatten().enumerate();
    webhooks
        .filter(|(_, webhook)| webhook["clientConfig"]["caBundle"] != bundle)
        .flat_map(|(index, webhook)| {
            let path = format!("/webhooks/{index}");
            let authorities = format!("{path}/clientConfig/caBundle");
            [
                json!({"op": "test", "path": format!("{path}/name"), "value": webhook["name"]}),
                json!({"op": "test", "path": authorities, "value": webhook["clientConfig"]["caBundle"]}),
                json!({"op": "add", "path": authorities, "value": bundle}),
            ]
        })
        .collect()
}
