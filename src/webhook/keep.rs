//! The webhook's certificate in the cluster: kept in a Secret, vouched for in the webhook's configuration.
//!
//! Decides the order of the writes. Every one is compare-and-set, so that two who do this at once come to the
//! same.

use super::certificate::{Kept, Pair};
use crate::cluster::{Cluster, Error, TRIES};
use crate::workload::MANAGED_BY;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ServerConfig;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::watch;

/// Where the certificate is kept and whom it is for.
#[derive(Debug, Clone)]
pub struct Place {
    /// The namespace of the Secret.
    pub namespace: String,
    /// The Secret's name.
    pub secret: String,
    /// The name of the MutatingWebhookConfiguration.
    pub configuration: String,
    /// The names by which the webhook is called: host names or addresses.
    pub names: Vec<String>,
}

/// Keeps the certificate; what is shown is what was kept last.
pub struct Keeper {
    cluster: Cluster,
    place: Place,
    shown: watch::Sender<Option<Shown>>,
}

/// A certificate in use.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    /// Its PEM text, by which it is told from another.
    certificate: String,
    pub(super) config: Arc<ServerConfig>,
}

/// The Secret, as it was read.
struct Stored {
    /// None where there is none.
    object: Option<Value>,
    /// None where it holds nothing of use.
    kept: Option<Kept>,
}

impl Keeper {
    /// One that keeps nothing yet.
    pub fn new(cluster: Cluster, place: Place) -> Self {
        let (shown, _) = watch::channel(None);
        Self {
            cluster,
            place,
            shown,
        }
    }

    /// What is shown, now and from then on.
    pub(super) fn shown(&self) -> watch::Receiver<Option<Shown>> {
        self.shown.subscribe()
    }

    /// Has everything as it should be at this time: a certificate that is valid and shown, its authority
    /// trusted, its successor prepared.
    ///
    /// # Errors
    /// When the API server is no help. What could be done is done.
    pub async fn round(&self, now: SystemTime) -> Result<(), Error> {
        let kept = self
            .write(|kept| match kept {
                None => Kept::new(&self.place.names, now).map(Some),
                Some(kept) => kept.renewed(&self.place.names, now),
            })
            .await?;
        self.show(&kept.shown)?;
        let configuration = &self.place.configuration;
        if self.cluster.vouch(configuration, &kept.authorities).await? {
            tracing::info!(configuration, "the API server trusts the webhook");
        }
        // not before the API server was told of its authority
        if kept.succeeded(&self.place.names, now).is_some() {
            let succeeded = |kept: Option<&Kept>| {
                Ok(kept.and_then(|kept| kept.succeeded(&self.place.names, now)))
            };
            let kept = self.write(succeeded).await?;
            self.show(&kept.shown)?;
        }
        Ok(())
    }

    /// Writes what this makes of what is kept; nothing where it makes nothing. Gives what is kept then.
    async fn write(
        &self,
        change: impl Fn(Option<&Kept>) -> Result<Option<Kept>, rcgen::Error>,
    ) -> Result<Kept, Error> {
        let Place {
            namespace, secret, ..
        } = &self.place;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let stored = self.read().await?;
            let changed = change(stored.kept.as_ref());
            let changed = changed.map_err(|error| {
                Error::Failed(format!("making the webhook's certificate: {error}"))
            })?;
            let kept = match (changed, stored.kept) {
                (Some(changed), _) => changed,
                (None, Some(kept)) => return Ok(kept),
                (None, None) => {
                    let lost = format!("secret/{secret} in {namespace} holds no certificate");
                    return Err(Error::Failed(lost));
                }
            };
            let object = filled(stored.object, &self.place, &kept);
            match self.cluster.write_secret(namespace, secret, &object).await {
                Err(Error::Conflict(_)) if attempt < TRIES => {}
                answer => {
                    answer?;
                    tracing::info!(secret, namespace, "the webhook's certificate is renewed");
                    return Ok(kept);
                }
            }
        }
    }

    async fn read(&self) -> Result<Stored, Error> {
        let Place {
            namespace, secret, ..
        } = &self.place;
        let object = self.cluster.secret(namespace, secret).await?;
        let kept = object.as_ref().and_then(|object| {
            let text = |key: &str| {
                let bytes = STANDARD.decode(object["data"][key].as_str()?).ok()?;
                String::from_utf8(bytes).ok()
            };
            let pair = |name: &str| {
                Some(Pair {
                    certificate: text(&format!("{name}.crt"))?,
                    key: SecretString::from(text(&format!("{name}.key"))?),
                })
            };
            Some(Kept {
                shown: pair(SHOWN)?,
                next: pair(NEXT),
                authorities: text(AUTHORITIES)?,
            })
        });
        Ok(Stored { object, kept })
    }

    /// Shows this certificate from the next connection on.
    fn show(&self, pair: &Pair) -> Result<(), Error> {
        let is_shown = |shown: &Shown| shown.certificate == pair.certificate;
        if self.shown.borrow().as_ref().is_some_and(is_shown) {
            return Ok(());
        }
        let config = pair.server_config().map_err(|reason| {
            Error::Failed(format!("using the webhook's certificate: {reason}"))
        })?;
        self.shown.send_replace(Some(Shown {
            certificate: pair.certificate.clone(),
            config: Arc::new(config),
        }));
        Ok(())
    }
}

/// The names of the Secret's contents, as its type has them.
const SHOWN: &str = "tls";
const NEXT: &str = "next";
const AUTHORITIES: &str = "ca.crt";

/// The Secret with these contents.
fn filled(object: Option<Value>, place: &Place, kept: &Kept) -> Value {
    let (label, value) = MANAGED_BY;
    let mut object = object.unwrap_or_else(|| {
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": place.secret,
                "namespace": place.namespace,
                "labels": {label: value},
            },
            "type": "kubernetes.io/tls",
        })
    });
    let mut data = Map::new();
    let mut put = |name: String, text: &str| data.insert(name, json!(STANDARD.encode(text)));
    for (name, pair) in [(SHOWN, Some(&kept.shown)), (NEXT, kept.next.as_ref())] {
        if let Some(pair) = pair {
            put(format!("{name}.crt"), &pair.certificate);
            put(format!("{name}.key"), pair.key.expose_secret());
        }
    }
    put(AUTHORITIES.to_owned(), &kept.authorities);
    object["data"] = Value::Object(data);
    object
}
