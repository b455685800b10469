//! Foreign layers: those that a manifest says are to be had elsewhere, from their owner.
//!
//! Decides which of the addresses in a manifest are asked, and that the source registry is when none of
//! them gives the layer. Never sends anybody's credentials to such an address.

use super::clients::Clients;
use super::copy::Job;
use super::host::Endpoint;
use super::manifest::Content;
use super::place;
use super::refusal::{self, Kind, Refusal, Result};
use super::repository::Repository;
use super::session::Session;
use super::upload;
use reqwest::{Method, Url};
use std::sync::Arc;

/// So many of the addresses of a layer are tried: a manifest is anybody's, and lists as many as it likes.
const ADDRESSES: usize = 8;

/// The way to whoever owns a foreign layer.
#[derive(Debug)]
pub(super) struct Owners {
    clients: Arc<Clients>,
}

impl Owners {
    pub(super) fn new() -> Self {
        Self {
            clients: Arc::new(Clients::guarded()),
        }
    }

    /// Carries a blob to the job's target: a foreign one from where its owner gives it out, else, as every
    /// other, from the source registry.
    pub(super) async fn carry(
        &self,
        job: &Job<'_>,
        blob: &Content,
        mut session: Option<Session>,
    ) -> Result<()> {
        let mut refused = Vec::new();
        for address in blob.urls.iter().take(ADDRESSES) {
            let tried = match self.at(job, address) {
                Ok(owner) => upload::carry(&owner, &job.to, blob, session.take()).await,
                Err(refusal) => Err(refusal),
            };
            match tried {
                Ok(()) => return Ok(()),
                Err(refusal) => refused.push(format!("{}: {}", refusal.what, refusal.detail)),
            }
        }
        let carried = upload::carry(&job.from, &job.to, blob, session).await;
        carried.map_err(|mut refusal| {
            for refused in refused {
                refusal.detail = format!("{}; {refused}", refusal.detail);
            }
            refusal
        })
    }

    /// An address in a manifest as a place to read from.
    fn at(&self, job: &Job<'_>, address: &str) -> Result<Repository> {
        let url: Url = address.parse().map_err(|error| {
            let detail = format!("its address is no URL: {error}");
            Refusal::new("reading a foreign layer", Kind::Other, detail)
        })?;
        place::check_public(&url).map_err(|reason| {
            Refusal::new(refusal::describe(&Method::GET, &url), Kind::Other, reason)
        })?;
        let endpoint = Arc::new(Endpoint::outside(&url, &self.clients)?);
        Ok(Repository::at(url, &endpoint, &job.from))
    }
}
