//! One request to a registry: again after a refusal that may pass, and where redirects lead.
//!
//! Decides retries and redirects for every request of this module. Never decides what an answer means beyond
//! that; a status that is no use comes back as it is.

use super::call::Call;
use super::clients::Lane;
use super::connection;
use super::hint;
use super::place;
use super::refusal::{self, Asker, Kind, Refusal, Result};
use super::repository::{Access, Event, Repository};
use super::retry::{Pause, Pauses, RETRIES};
use reqwest::header::{AUTHORIZATION, HeaderValue, LOCATION};
use reqwest::{Body, Method, Response, StatusCode, Url};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// Redirects that are followed for one request.
const REDIRECTS: usize = 8;

impl Repository {
    /// Sends a request until its answer is neither 401-with-a-way-out nor a reason to try again.
    pub(super) async fn send(&self, call: &Call) -> Result<Response> {
        let mut pauses = Pauses::new(&self.endpoint, RETRIES);
        let mut shut_out = 0;
        loop {
            let refusal = match self.once(call).await {
                Ok(response) if refusal::transient(response.status()) => {
                    self.refuse(&call.method, response).await
                }
                Ok(response) if self.doubts(call, &response, shut_out) => {
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

    /// Sends a request once, whatever the answer is; a 401 with a way out is none.
    pub(super) async fn once(&self, call: &Call) -> Result<Response> {
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
        if self.is_anonymous() {
            refusal.asker = Asker::Stranger;
        }
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
            refusal.asker = Asker::Writer;
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
        let (url, sent) = (request.url().clone(), Instant::now());
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
            self.endpoint.distances.learn(&url, sent.elapsed());
            tracing::debug!(%what, status = response.status().as_u16(), "asked a registry");
        }
        result.map_err(|error| connection::broken(what, &error))
    }
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
