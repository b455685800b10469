//! What a registry is, and what somebody may do there, found out without leaving anything behind.
//!
//! Decides which requests show it: uploads that are opened and given up, a mount of a blob to where it is
//! already. Never sends a blob or a manifest, and never deletes what it did not open.

use super::authorization::ping_url;
use super::call::Call;
use super::find::{no_endpoint, point};
use super::host::Endpoint;
use super::refusal::{self, Kind, Refusal};
use super::repository::{Access, Repository};
use super::session::{Mount, Session};
use super::transport::drain;
use super::{Error, Registries};
use crate::config::Insecure;
use crate::credentials::Credentials;
use crate::reference::{Digest, Reference};
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, DATE};
use reqwest::{Method, StatusCode, Url};
use std::sync::Arc;

/// A registry that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// `https://registry.corp`.
    pub address: String,
    /// How the connection is protected.
    pub security: Security,
    /// The registry's own clock, where it says.
    pub date: Option<Timestamp>,
}

/// How a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS, with a certificate that was checked.
    Verified,
    /// TLS, with whatever certificate.
    Unverified,
    /// Plain HTTP.
    Plain,
}

/// Why a registry was not reached.
#[derive(Debug)]
pub struct Unreached {
    /// Where something answers whose certificate is not trusted.
    pub untrusted: Option<String>,
    /// What happened.
    pub error: Error,
}

impl Registries {
    /// Asks for `/v2/` as nobody: whatever a registry answers to that, it is there.
    ///
    /// # Errors
    /// When no endpoint has a registry that can be talked to; says the first one's reason.
    pub async fn reach(&self, host: &str) -> Result<Reached, Unreached> {
        let unreached = |refusal: Box<Refusal>| Unreached {
            untrusted: None,
            error: refusal.into(),
        };
        let found = self.host(host).map_err(unreached)?;
        let mut first = None;
        for endpoint in &found.endpoints {
            match reach(endpoint).await {
                Ok((url, date)) => {
                    return Ok(Reached {
                        address: url.origin().ascii_serialization(),
                        security: self.security(host, &url),
                        date,
                    });
                }
                Err(unreached) => {
                    first.get_or_insert(unreached);
                }
            }
        }
        Err(first.unwrap_or_else(|| Unreached {
            untrusted: None,
            error: no_endpoint(host).into(),
        }))
    }

    fn security(&self, host: &str, url: &Url) -> Security {
        let settings = self.settings.get(host);
        match url.scheme() {
            "http" => Security::Plain,
            _ if settings.is_some_and(|own| own.insecure == Some(Insecure::SkipVerify)) => {
                Security::Unverified
            }
            _ => Security::Verified,
        }
    }

    /// Whether these credentials may push to a repository: an upload is opened and given up.
    pub async fn try_push(
        &self,
        repository: &Reference,
        credentials: &Credentials,
    ) -> Result<(), Error> {
        let asked = self.pushing(repository, credentials)?;
        let session = asked.start_upload().await?;
        give_up(&asked, session).await;
        Ok(())
    }

    /// Whether a registry takes a blob over from a repository by itself: an image's config is mounted to
    /// where it is already, so that nothing changes.
    pub async fn try_mount(
        &self,
        image: &Reference,
        credentials: &Credentials,
    ) -> Result<bool, Error> {
        let asked = self.pushing(image, credentials)?;
        let mut manifest = asked.get_manifest(&*point(image)).await?;
        if let Some(child) = manifest.children.first() {
            manifest = asked.get_manifest(child.digest.as_str()).await?;
        }
        let Some(blob) = manifest.blobs.first() else {
            return Err(Error::Failed {
                what: format!("looking for a blob of {image}"),
                detail: "it has none".to_owned(),
                hint: None,
            });
        };
        match asked.mount(&blob.digest, &asked.name).await? {
            Mount::Done => Ok(true),
            Mount::Upload(session) => {
                give_up(&asked, session).await;
                Ok(false)
            }
            Mount::Refused => Ok(false),
        }
    }

    /// Whether a registry lists what refers to an image.
    pub async fn lists_referrers(
        &self,
        image: &Reference,
        credentials: &Credentials,
    ) -> Result<bool, Error> {
        let asked = self.asking(image, credentials, Access::Pull)?;
        let digest: Digest = match image.digest() {
            Some(digest) => digest.clone(),
            None => asked.get_manifest(&*point(image)).await?.digest,
        };
        let url = asked.url(&format!("referrers/{digest}")).await?;
        let response = asked.send(&Call::new(Method::GET, url)).await?;
        match response.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(asked.refuse(&Method::GET, response).await.into())
            }
            status => {
                let listed = response.headers().get(CONTENT_TYPE);
                let listed = listed.is_some_and(|kind| {
                    kind.to_str()
                        .is_ok_and(|kind| kind.contains("image.index.v1+json"))
                });
                drain(response).await;
                Ok(status.is_success() && listed)
            }
        }
    }

    fn pushing(
        &self,
        repository: &Reference,
        credentials: &Credentials,
    ) -> Result<Repository, Error> {
        self.asking(repository, credentials, Access::Push)
    }

    fn asking(
        &self,
        repository: &Reference,
        credentials: &Credentials,
        access: Access,
    ) -> Result<Repository, Error> {
        let host = self.host(repository.registry())?;
        let endpoint = host
            .endpoints
            .first()
            .ok_or_else(|| no_endpoint(repository.registry()))?;
        let name = repository.repository();
        Ok(Repository::new(endpoint, name, credentials, access))
    }
}

/// One request, without a second try: whoever asks wants to hear of a registry that falters.
async fn reach(endpoint: &Arc<Endpoint>) -> Result<(Url, Option<Timestamp>), Unreached> {
    let asked = Repository::root(endpoint, &Credentials::Anonymous, Access::Pull);
    let answer = async {
        let url = ping_url(endpoint).await?;
        let response = asked.follow(&Call::new(Method::GET, url), None, None).await;
        let response = response?;
        let there = response.status().is_success()
            || matches!(
                response.status(),
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS
            );
        if there && !refusal::is_html(response.headers()) {
            let date = response.headers().get(DATE);
            let date = date.and_then(|date| parse_date(date.to_str().ok()?));
            let url = response.url().clone();
            drain(response).await;
            return Ok((url, date));
        }
        let mut refusal = asked.refuse(&Method::GET, response).await;
        if refusal.is_not_found() {
            refusal.detail += ": this is not a registry";
            refusal.kind = Kind::NotARegistry;
        }
        Err(refusal)
    };
    match answer.await {
        Ok(reached) => Ok(reached),
        Err(refusal) => {
            let place = match refusal.kind {
                Kind::Certificate => endpoint.base().await.ok(),
                _ => None,
            };
            Err(Unreached {
                untrusted: place.map(|base| base.origin().ascii_serialization()),
                error: refusal.into(),
            })
        }
    }
}

/// The HTTP date, which is written as mails write theirs.
fn parse_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text)
        .ok()
        .map(|date| date.timestamp())
}

/// Tells the registry that an upload will not go on. One that does not care forgets it by itself.
async fn give_up(asked: &Repository, session: Session) {
    let call = Call::new(Method::DELETE, session.location);
    match asked.send(&call).await {
        Ok(response) => {
            tracing::debug!(status = %response.status(), "upload given up");
            drain(response).await;
        }
        Err(refusal) => tracing::debug!(reason = %refusal.detail, "upload left to the registry"),
    }
}
