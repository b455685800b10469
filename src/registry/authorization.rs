//! What a request says of who sends it.
//!
//! Decides which challenges are heard, what is asked of token servers, and when a 404 may hide something. Never
//! decides whether a request is sent again.

use super::call::Call;
use super::challenge::Challenge;
use super::host::Endpoint;
use super::refusal::{Kind, Refusal, Result};
use super::repository::{Access, Repository};
use super::token::{self, Asked};
use super::transport::same_origin;
use reqwest::header::HeaderValue;
use reqwest::{Method, Response, StatusCode, Url};
use std::collections::BTreeSet;

impl Repository {
    /// The challenge in an answer of the registry itself. A host that it redirected to must not ask for
    /// what belongs to the registry.
    pub(super) async fn challenge_of(
        &self,
        response: &Response,
        scopes: &BTreeSet<String>,
    ) -> Result<Option<(Challenge, BTreeSet<String>)>> {
        let own = same_origin(response.url(), self.endpoint.base().await?);
        // an address in a manifest may not send us on to a token server
        let own = own && self.address.is_none();
        Ok(own.then(|| token::challenge_of(response, scopes)).flatten())
    }

    /// Whether a 404 or 403 for a stranger may hide something: some registries answer so without a
    /// challenge (Nexus, GitLab), and only `/v2/` has it. Asked once; whoever comes meanwhile waits.
    pub(super) async fn may_hide(&self) -> Result<bool> {
        if self.is_anonymous() {
            return Ok(false);
        }
        if self.endpoint.challenge().is_none() {
            let asked = &self.endpoint.asked;
            asked.get_or_try_init(|| self.ask_for_challenge()).await?;
        }
        Ok(self.endpoint.challenge().is_some())
    }

    /// Whether `/v2/` refuses this asker, with whatever token it gives for this repository.
    pub(super) async fn is_closed_to_strangers(&self) -> Result<bool> {
        let ping = Call::new(Method::GET, ping_url(&self.endpoint).await?);
        match self.send(&ping).await {
            Ok(response) => Ok(response.status() == StatusCode::UNAUTHORIZED),
            Err(refusal) if refusal.is_denied() => Ok(true),
            Err(refusal) => Err(refusal),
        }
    }

    async fn ask_for_challenge(&self) -> Result<()> {
        let ping = Call::new(Method::GET, ping_url(&self.endpoint).await?);
        let response = self.follow(&ping, None, None).await?;
        if let Some((challenge, _)) = self.challenge_of(&response, &BTreeSet::new()).await? {
            self.endpoint.learn(challenge);
        }
        Ok(())
    }

    pub(super) fn scopes(&self, call: &Call) -> BTreeSet<String> {
        let mut scopes: BTreeSet<String> = call.more_scopes.iter().cloned().collect();
        if !self.name.is_empty() {
            let actions = match self.access {
                Access::Pull => "pull",
                Access::Push => "pull,push",
            };
            scopes.insert(format!("repository:{}:{actions}", self.name));
        }
        scopes.extend(self.endpoint.wanted(&(self.name.clone(), self.access)));
        scopes
    }

    pub(super) async fn authorization(
        &self,
        scopes: &BTreeSet<String>,
        refused: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>> {
        let Some(challenge) = self.endpoint.challenge() else {
            return Ok(None);
        };
        if challenge == Challenge::Basic && refused.is_some() {
            return Ok(None);
        }
        let asked = Asked {
            endpoint: &self.endpoint,
            credentials: &self.credentials,
            scopes,
            refused,
        };
        self.endpoint.tokens.answer(&asked, &challenge).await
    }
}

/// `BASE/v2/`, by which a registry is known.
pub(super) async fn ping_url(endpoint: &Endpoint) -> Result<Url> {
    let base = endpoint.base().await?;
    base.join("v2/")
        .map_err(|error| Refusal::new("v2/", Kind::Other, error.to_string()))
}
