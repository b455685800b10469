//! One request to a registry: who asks, again after a refusal that may pass, and where redirects lead.
//!
//! Decides authorization, retries and redirects for every request of this module. Never decides what an
//! answer means beyond that; a status that is no use comes back as it is.

use super::call::Call;
use super::challenge::Challenge;
use super::clients::Lane;
use super::connection;
use super::hint;
use super::host::Endpoint;
use super::place;
use super::quota::Quota;
use super::refusal::{self, Kind, Refusal, Result};
use super::retry::{Pause, Pauses, RETRIES};
use super::token::{self, Asked};
use crate::credentials::Credentials;
use crate::reference::Digest;
use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderValue, LOCATION, RANGE};
use reqwest::{Body, Method, Response, StatusCode, Url};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// Redirects that are followed for one request.
const REDIRECTS: usize = 8;

/// How often a 401 is doubted that comes after the same asker was let in.
const DOUBTS: usize = 2;

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
    credentials: Credentials,
    access: Access,
    told: Option<UnboundedSender<Event>>,
    /// The one blob that is to be had there, where it is no repository but an address in a manifest.
    address: Option<Url>,
    /// The blobs themselves, where they were made here and nobody is asked for them.
    made: Option<Arc<BTreeMap<Digest, Bytes>>>,
    /// Whether it was ever answered as one who may ask; its clones share that.
    let_in: Arc<AtomicBool>,
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
    pub(super) fn of_made(endpoint: &Arc<Endpoint>, blobs: BTreeMap<Digest, Bytes>) -> Self {
        Self {
            made: Some(Arc::new(blobs)),
            ..Self::root(endpoint, &Credentials::Anonymous, Access::Pull)
        }
    }

    /// Asks for a blob, from this place in it on.
    pub(super) async fn blob(&self, digest: &Digest, at: u64) -> Result<Response> {
        if let Some(made) = &self.made {
            let bytes = made.get(digest).cloned().unwrap_or_default();
            return Ok(http::Response::new(bytes).into());
        }
        let mut call = Call::new(Method::GET, self.blob_url(digest).await?).bulk();
        if at > 0 {
            call = call.header(RANGE, &format!("bytes={at}-"));
        }
        self.send(&call).await
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

    /// Sends a request until its answer is neither 401-with-a-way-out nor a reason to try again.
    pub(super) async fn send(&self, call: &Call) -> Result<Response> {
        let mut pauses = Pauses::new(&self.endpoint, RETRIES);
        let mut shut_out = 0;
        loop {
            let refusal = match self.once(call).await {
                Ok(response) if refusal::transient(response.status()) => {
                    self.refuse(&call.method, response).await
                }
                Ok(response) if shut_out < DOUBTS && self.is_doubtful(call, &response) => {
                    shut_out += 1;
                    self.refuse(&call.method, response).await
                }
                Ok(response) => return Ok(response),
                Err(refusal) if refusal.transient() => refusal,
                Err(refusal) => return Err(refusal),
            };
            let pause = pauses.after(refusal)?;
            self.pause(pause).await;
        }
    }

    /// Whether a 401 is for one who was let in before: what checks tokens and passwords behind a registry
    /// fails now and then. A question about another repository has its own rights.
    fn is_doubtful(&self, call: &Call, response: &Response) -> bool {
        let status = response.status();
        if !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            self.let_in.store(true, Ordering::Relaxed);
        }
        status == StatusCode::UNAUTHORIZED
            && call.more_scopes.is_empty()
            && self.let_in.load(Ordering::Relaxed)
    }

    /// Waits, and says so where it is long enough to be noticed.
    pub(super) async fn pause(&self, pause: Pause) {
        if pause.length >= Duration::from_secs(1) {
            match &self.told {
                Some(_) => self.tell(Event::Waiting(pause.why, pause.length)),
                None => self.endpoint.waits.tell(&pause.why, pause.length),
            }
        }
        tokio::time::sleep(pause.length).await;
    }

    /// Waits as long as the registry has asked everybody to stay away.
    async fn wait_for_turn(&self) {
        while let Some(left) = self.endpoint.held() {
            self.pause(Pause::asked(&self.endpoint.host, left)).await;
        }
    }

    async fn once(&self, call: &Call) -> Result<Response> {
        // blob bodies have their own limits, see `copy::Limits`
        let _permit = match call.lane {
            Lane::Small => self.endpoint.requests.acquire().await.ok(),
            Lane::Bulk => None,
        };
        self.attempt(call, None).await
    }

    /// Sends a request whose body is a stream: once, since the stream cannot be had again.
    pub(super) async fn send_stream(&self, call: &Call, body: Body) -> Result<Response> {
        self.attempt(call, Some(body)).await
    }

    /// A refusing answer as an error.
    pub(super) async fn refuse(&self, method: &Method, response: Response) -> Box<Refusal> {
        let base = self.endpoint.base().await;
        let own = base.is_ok_and(|base| same_origin(response.url(), base));
        let mut refusal = refusal::read(method, response, &self.who()).await;
        refusal.to_stranger = self.is_anonymous();
        if let Some(asked) = refusal.pause_asked().filter(|_| own) {
            self.endpoint.hold(asked);
        }
        if own
            && refusal.status() == Some(StatusCode::TOO_MANY_REQUESTS)
            && let Some(quota) = self.quota()
        {
            refusal = quota.explain(refusal, &self.endpoint.host, self.is_anonymous());
        }
        if self.access == Access::Push && (refusal.is_denied() || refusal.is_not_found()) {
            refusal.refused_push = true;
            let hint = hint::for_push(&self.endpoint.host, &self.name, &refusal);
            return refusal.hinted(hint);
        }
        refusal
    }

    async fn attempt(&self, call: &Call, mut stream: Option<Body>) -> Result<Response> {
        self.wait_for_turn().await;
        let streaming = stream.is_some();
        let mut scopes = self.scopes(call);
        let mut sent = self.authorization(&scopes, None).await?;
        let mut renewed = false;
        loop {
            let response = self.follow(call, sent.as_ref(), stream.take()).await?;
            let status = response.status();
            let hidden = matches!(status, StatusCode::NOT_FOUND | StatusCode::FORBIDDEN)
                && sent.is_none()
                && !streaming;
            if hidden && self.may_hide().await? {
                sent = self.authorization(&scopes, None).await?;
                if sent.is_some() {
                    continue;
                }
            }
            if status != StatusCode::UNAUTHORIZED || renewed {
                return Ok(response);
            }
            let Some((challenge, wanted)) = self.challenge_of(&response, &scopes).await? else {
                return Ok(response);
            };
            self.endpoint.learn(challenge);
            if call.more_scopes.is_empty() {
                let place = (self.name.clone(), self.access);
                self.endpoint.want(place, wanted.difference(&scopes));
            }
            scopes = wanted;
            let again = self.authorization(&scopes, sent.as_ref()).await?;
            // nothing new to say, or no body left to say it with
            if again.is_none() || again == sent || streaming {
                return Ok(response);
            }
            drain(response).await;
            sent = again;
            renewed = true;
        }
    }

    /// The challenge in an answer of the registry itself. A host that it redirected to must not ask for
    /// what belongs to the registry.
    async fn challenge_of(
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
    async fn may_hide(&self) -> Result<bool> {
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

    fn scopes(&self, call: &Call) -> BTreeSet<String> {
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

    async fn authorization(
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

    /// Sends once and follows redirects, dropping `Authorization` where they leave the host.
    pub(super) async fn follow(
        &self,
        call: &Call,
        authorization: Option<&HeaderValue>,
        mut stream: Option<Body>,
    ) -> Result<Response> {
        let streaming = stream.is_some();
        let base = self.endpoint.base().await?;
        let mut url = call.url.clone();
        for _ in 0..REDIRECTS {
            if self.address.is_some() {
                place::check_public(&url).map_err(|reason| {
                    Refusal::new(refusal::describe(&call.method, &url), Kind::Other, reason)
                })?;
            }
            let body = stream
                .take()
                .unwrap_or_else(|| Body::from(call.body.clone()));
            let own = same_origin(&url, base);
            let request = build(call, url.clone(), authorization.filter(|_| own), body);
            let response = self.execute(call, request).await?;
            if own {
                self.endpoint.answered.store(true, Ordering::Relaxed);
                self.endpoint
                    .quotas
                    .learn(&self.credentials, response.headers());
            }
            let Some(next) = redirect(&response) else {
                return Ok(response);
            };
            let what = refusal::describe(&call.method, &url);
            let next = url.join(&next).map_err(|error| {
                Refusal::new(
                    &what,
                    Kind::Other,
                    format!("redirected to nowhere: {error}"),
                )
            })?;
            if url.scheme() == "https" && next.scheme() != "https" {
                let detail = format!(
                    "refusing to follow a redirect from https to {}",
                    refusal::describe(&call.method, &next)
                );
                return Err(Refusal::new(what, Kind::Other, detail));
            }
            if streaming {
                let detail = "redirected in the middle of an upload";
                return Err(Refusal::new(what, Kind::Other, detail));
            }
            drain(response).await;
            url = next;
        }
        let what = refusal::describe(&call.method, &call.url);
        Err(Refusal::new(what, Kind::Other, "too many redirects"))
    }

    async fn execute(&self, call: &Call, request: reqwest::Request) -> Result<Response> {
        let what = refusal::describe(request.method(), request.url());
        let client = self
            .endpoint
            .clients
            .get(request.url(), call.lane)
            .map_err(|reason| Refusal::new(&what, Kind::Other, reason))?;
        let sending = client.execute(request);
        let result = match call.timeout {
            Some(limit) => tokio::time::timeout(limit, sending).await.map_err(|_| {
                Refusal::new(
                    &what,
                    Kind::Connection,
                    format!("no answer within {} s", limit.as_secs()),
                )
            })?,
            None => sending.await,
        };
        if let Ok(response) = &result {
            tracing::debug!(%what, status = response.status().as_u16(), "asked a registry");
        }
        result.map_err(|error| connection::broken(what, &error))
    }
}

/// `BASE/v2/`, by which a registry is known.
pub(super) async fn ping_url(endpoint: &Endpoint) -> Result<Url> {
    let base = endpoint.base().await?;
    base.join("v2/")
        .map_err(|error| Refusal::new("v2/", Kind::Other, error.to_string()))
}

fn build(
    call: &Call,
    url: Url,
    authorization: Option<&HeaderValue>,
    body: Body,
) -> reqwest::Request {
    let mut request = reqwest::Request::new(call.method.clone(), url);
    *request.headers_mut() = call.headers.clone();
    if let Some(value) = authorization {
        request.headers_mut().insert(AUTHORIZATION, value.clone());
    }
    *request.body_mut() = Some(body);
    request
}

/// Where an answer redirects to.
fn redirect(response: &Response) -> Option<String> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(LOCATION)?;
    location.to_str().ok().map(str::to_owned)
}

pub(super) fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme()
        && a.host_str() == b.host_str()
        && a.port_or_known_default() == b.port_or_known_default()
}

/// Reads the rest of a small answer, so that its connection can be used again.
pub(super) async fn drain(response: Response) {
    let _ = connection::capped(response, 64 * 1024).await;
}
