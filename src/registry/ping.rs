//! Whether there is a registry, and whom it lets in.
//!
//! Decides whom `/v2/` is asked as. Never asks for an image but to see whether a stranger gets it.

use super::authorization::ping_url;
use super::call::Call;
use super::find::{no_endpoint, point};
use super::host::{Endpoint, Host};
use super::refusal::{self, Kind, Refusal};
use super::repository::{Access, Repository};
use super::transport::drain;
use super::{Error, Registries};
use crate::credentials::Credentials;
use crate::reference::Reference;
use reqwest::Method;
use std::sync::Arc;

impl Registries {
    /// Whether pulling from this repository needs credentials: asked anonymously.
    pub async fn needs_credentials(&self, reference: &Reference) -> Result<bool, Error> {
        let anonymous = [Credentials::Anonymous];
        let point = point(reference);
        match self.find(reference, &point, &anonymous, Access::Pull).await {
            Ok((_, Some(_))) => Ok(false),
            // strangers may be told that there is nothing where there is something
            Ok((repository, None)) => Ok(repository.is_closed_to_strangers().await?),
            Err(refusal) if refusal.is_denied() => Ok(true),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Whether there is a registry at this host that accepts these credentials (`GET /v2/`).
    pub async fn ping(&self, host: &str, credentials: &Credentials) -> Result<(), Error> {
        let found = self.host(host)?;
        let mut last = None;
        for endpoint in &found.endpoints {
            match ping(endpoint, credentials).await {
                Ok(()) => return Ok(()),
                Err(refusal) if refusal.is_unreachable() => last = Some(refusal),
                Err(refusal) => return Err(refusal.into()),
            }
        }
        Err(last.unwrap_or_else(|| no_endpoint(host)).into())
    }

    /// As [`Self::ping`], for credentials that are not known to be good yet: they go to the host they are for,
    /// or to an endpoint that has to do with them, and to no mirror.
    pub async fn check(&self, host: &str, credentials: &Credentials) -> Result<(), Error> {
        let shared = |host: &Host| host.endpoints.iter().all(|it| it.shares_credentials);
        if shared(&*self.host(host)?) {
            return self.ping(host, credentials).await;
        }
        let mut settings = self.settings.clone();
        if let Some(own) = settings.get_mut(host) {
            own.endpoint.clear();
        }
        Self::new(&settings)?.ping(host, credentials).await
    }
}

async fn ping(endpoint: &Arc<Endpoint>, credentials: &Credentials) -> refusal::Result<()> {
    let registry = Repository::root(endpoint, credentials, Access::Pull);
    let call = Call::new(Method::GET, ping_url(endpoint).await?);
    let response = registry.send(&call).await?;
    if response.status().is_success() && !refusal::is_html(response.headers()) {
        drain(response).await;
        return Ok(());
    }
    let refusal = registry.refuse(&Method::GET, response).await;
    if refusal.is_not_found() {
        return Err(Refusal::new(
            refusal.what,
            Kind::NotARegistry,
            format!("{}: this is not a registry", refusal.detail),
        ));
    }
    Err(refusal)
}
