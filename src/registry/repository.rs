//! A repository as somebody sees it: where it is, and who asks.
//!
//! Decides whose credentials an endpoint gets, and where what is in a repository is to be had. Never decides how
//! it is asked for (that is [`super::transport`]).

use super::call::Call;
use super::doubt::LetIn;
use super::host::Endpoint;
use super::lanes::Room;
use super::made::Contents;
use super::quota::Quota;
use super::refusal::{Kind, Refusal, Result};
use super::token;
use crate::credentials::Credentials;
use crate::reference::Digest;
use bytes::Bytes;
use reqwest::header::RANGE;
use reqwest::{Method, Response, Url};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// What a copy tells its observer; carried out of streams that outlive no borrow.
#[derive(Debug)]
pub(super) enum Event {
    Expected(u64),
    Carried(u64),
    /// Why, and for how long.
    Waiting(String, Duration),
}

/// What may be done in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Access {
    Pull,
    Push,
}

/// A repository at one endpoint, asked by somebody.
#[derive(Debug, Clone)]
pub(super) struct Repository {
    pub(super) endpoint: Arc<Endpoint>,
    /// Its path at the endpoint.
    pub(super) name: String,
    pub(super) credentials: Credentials,
    pub(super) access: Access,
    pub(super) told: Option<UnboundedSender<Event>>,
    /// The one blob that is to be had there, where it is no repository but an address in a manifest.
    pub(super) address: Option<Url>,
    /// What is in it, where that was made here, or read already, and nobody is asked for it.
    pub(super) made: Option<Arc<Contents>>,
    /// What its asker was let in for; its clones share that.
    pub(super) let_in: Arc<LetIn<Method>>,
    /// Room for reading big blobs ahead, where somebody has it.
    pub(super) room: Option<Room>,
}

impl Repository {
    pub(super) fn new(
        endpoint: &Arc<Endpoint>,
        name: &str,
        credentials: &Credentials,
        access: Access,
    ) -> Self {
        // a mirror is somebody else than the registry it stands for
        let credentials = if endpoint.shares_credentials {
            credentials
        } else {
            &Credentials::Anonymous
        };
        Self {
            name: endpoint.repository(name),
            ..Self::root(endpoint, credentials, access)
        }
    }

    /// The registry itself, asked by somebody who means this very place.
    pub(super) fn root(
        endpoint: &Arc<Endpoint>,
        credentials: &Credentials,
        access: Access,
    ) -> Self {
        Self {
            name: String::new(),
            endpoint: Arc::clone(endpoint),
            credentials: credentials.clone(),
            access,
            told: None,
            address: None,
            made: None,
            let_in: Arc::default(),
            room: None,
        }
    }

    /// An address that a manifest gives for a blob: no registry, and not asked with anybody's credentials.
    pub(super) fn at(address: Url, endpoint: &Arc<Endpoint>, told: &Self) -> Self {
        Self {
            name: address.path().trim_start_matches('/').to_owned(),
            told: told.told.clone(),
            address: Some(address),
            ..Self::root(endpoint, &Credentials::Anonymous, Access::Pull)
        }
    }

    /// What was made here, under a name that nobody answers to.
    pub(super) fn of_made(endpoint: &Arc<Endpoint>, contents: Contents) -> Self {
        Self {
            made: Some(Arc::new(contents)),
            ..Self::root(endpoint, &Credentials::Anonymous, Access::Pull)
        }
    }

    /// The same, where a blob that was read already is not asked for again.
    pub(super) fn holding(&self, digest: &Digest, blob: Bytes) -> Self {
        let contents = Contents {
            blobs: BTreeMap::from([(digest.clone(), blob)]),
            referrers: BTreeMap::new(),
        };
        Self {
            made: Some(Arc::new(contents)),
            ..self.clone()
        }
    }

    /// Asks for a blob, from this place in it on.
    pub(super) async fn blob(&self, digest: &Digest, at: u64) -> Result<Response> {
        if let Some(made) = &self.made {
            let bytes = made.blobs.get(digest).cloned().unwrap_or_default();
            return Ok(http::Response::new(bytes).into());
        }
        let mut call = Call::new(Method::GET, self.blob_url(digest).await?).bulk();
        if at > 0 {
            call = call.header(RANGE, &format!("bytes={at}-"));
        }
        self.send(&call).await
    }

    /// Asks for a piece of a blob, once.
    pub(super) async fn piece(&self, digest: &Digest, range: &Range<u64>) -> Result<Response> {
        let range = format!("bytes={}-{}", range.start, range.end - 1);
        let call = Call::new(Method::GET, self.blob_url(digest).await?).bulk();
        self.once(&call.header(RANGE, &range)).await
    }

    /// Whether both are the same to a registry.
    pub(super) fn is_asked_as(&self, other: &Self) -> bool {
        self.credentials == other.credentials
    }

    /// Whether both are one repository of one registry.
    pub(super) fn is_place_of(&self, other: &Self) -> bool {
        self.endpoint.host == other.endpoint.host && self.name == other.name
    }

    /// The same, telling of what it does.
    pub(super) fn telling(&self, told: &UnboundedSender<Event>) -> Self {
        Self {
            told: Some(told.clone()),
            ..self.clone()
        }
    }

    /// The same, with room for reading ahead.
    pub(super) fn reading_ahead(&self, room: Room) -> Self {
        Self {
            room: Some(room),
            ..self.clone()
        }
    }

    /// Who asks, as errors name them.
    pub(super) fn who(&self) -> String {
        token::who(&self.credentials)
    }

    pub(super) fn is_anonymous(&self) -> bool {
        self.credentials == Credentials::Anonymous
    }

    /// As whom is asked, where that has a name.
    pub(super) fn user(&self) -> Option<&str> {
        self.credentials.user()
    }

    /// What the registry still lets be read here by who asks.
    pub(super) fn quota(&self) -> Option<Quota> {
        self.endpoint.quotas.of(&self.credentials)
    }

    pub(super) fn tell(&self, event: Event) {
        if let Some(told) = &self.told {
            // the observer may be gone already when the copy was abandoned
            let _ = told.send(event);
        }
    }

    /// `BASE/v2/NAME/REST`.
    pub(super) async fn url(&self, rest: &str) -> Result<Url> {
        let base = self.endpoint.base().await?;
        let path = format!("v2/{}/{rest}", self.name);
        base.join(&path)
            .map_err(|error| Refusal::new(path, Kind::Other, error.to_string()))
    }

    /// Where a blob is read.
    async fn blob_url(&self, digest: &Digest) -> Result<Url> {
        match &self.address {
            Some(address) => Ok(address.clone()),
            None => self.url(&format!("blobs/{digest}")).await,
        }
    }
}
