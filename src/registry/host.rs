//! A registry host: where it really is and how it is reached.
//!
//! Decides endpoint, scheme and trust for a registry's name as it stands in references. Never decides
//! what is asked there.

use super::challenge::Challenge;
use super::clients::{Clients, Lane};
use super::connection;
use super::distance::Distances;
use super::doubt::LetIn;
use super::place::{Place, api_host, host_of, is_loopback, same_registry};
use super::quota::Quotas;
use super::recall::Memory;
use super::refusal::{Kind, Refusal, Result};
use super::repository::Access;
use super::token::Tokens;
use super::waits::Waits;
use super::ways::Ways;
use crate::config::{HostConfig, Insecure};
use reqwest::{Method, Url};
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::num::NonZero;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::Instant;

/// Small requests in flight to one host where nothing else is said. Wide, since far registries are the
/// normal case.
const SMALL_REQUESTS: usize = 32;

/// Scopes that a registry may add for a repository; one or two are usual.
const MOST_SCOPES: usize = 16;

/// How long a loopback host may take to show whether it speaks TLS.
const PROBE: Duration = Duration::from_secs(3);

/// A registry as references name it, with the places where it answers.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) endpoints: Vec<Arc<Endpoint>>,
}

/// One place where a registry answers, and what was learnt about it.
pub(super) struct Endpoint {
    /// The registry's name, for limits and messages.
    pub(super) host: String,
    address: String,
    /// None where it has to be found out.
    scheme: Option<&'static str>,
    /// Whether the credentials of the registry's name belong to this place too.
    pub(super) shares_credentials: bool,
    /// Path in front of every repository.
    prefix: Option<String>,
    base: OnceCell<Url>,
    challenge: RwLock<Option<Challenge>>,
    /// Set once `/v2/` was asked for the challenge that a 404 may have hidden.
    pub(super) asked: OnceCell<()>,
    /// Scopes that challenges asked for besides the repository's own (a registry that knows it by
    /// another name): without them a body would be sent in vain each time.
    wanted: Mutex<HashMap<(String, Access), BTreeSet<String>>>,
    /// In which ways it takes blobs.
    pub(super) ways: Ways,
    /// Whether it ever answered.
    pub(super) answered: AtomicBool,
    /// Who was let in, by the fingerprints of their credentials.
    pub(super) let_in: LetIn<[u8; 32]>,
    /// Until when it asked to be left alone.
    not_before: Mutex<Option<Instant>>,
    pub(super) memory: Arc<Memory>,
    /// How much may be read here, as it says itself.
    pub(super) quotas: Quotas,
    /// How far it is, and those it redirects to.
    pub(super) distances: Distances,
    /// Whether it was seen to know no referrers API.
    pub(super) lists_no_referrers: AtomicBool,
    pub(super) clients: Arc<Clients>,
    pub(super) tokens: Arc<Tokens>,
    pub(super) waits: Arc<Waits>,
    pub(super) requests: Semaphore,
    /// Transfers at once that the user allows here, whatever is allowed elsewhere.
    pub(super) concurrency: Option<usize>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.place())
    }
}

/// What hosts share within a process.
#[derive(Debug)]
pub(super) struct Shared {
    clients: Arc<Clients>,
    tokens: Arc<Tokens>,
    memory: Arc<Memory>,
    pub(super) waits: Arc<Waits>,
}

impl Shared {
    pub(super) fn new(clients: Clients) -> Self {
        Self {
            clients: Arc::new(clients),
            tokens: Arc::new(Tokens::default()),
            memory: Arc::default(),
            waits: Arc::default(),
        }
    }
}

impl Host {
    /// `is_target` where this host is pushed to: its endpoints are then no mirrors but the registry itself.
    pub(super) fn new(
        name: &str,
        config: Option<&HostConfig>,
        is_target: bool,
        shared: &Shared,
    ) -> Result<Self> {
        let given = config.map(|c| c.endpoint.as_slice()).unwrap_or_default();
        let default = [api_host(name).to_owned()];
        let places = if given.is_empty() { &default } else { given };
        let endpoints = places
            .iter()
            .map(|place| {
                let mut endpoint = Endpoint::new(name, place, config, shared)?;
                endpoint.shares_credentials |= is_target;
                Ok(Arc::new(endpoint))
            })
            .collect::<Result<_>>()?;
        Ok(Self { endpoints })
    }
}

impl Endpoint {
    pub(super) fn new(
        host: &str,
        place: &str,
        config: Option<&HostConfig>,
        shared: &Shared,
    ) -> Result<Self> {
        let Place {
            scheme,
            address,
            prefix,
        } = Place::parse(place).ok_or_else(|| {
            Refusal::new(
                format!("reading endpoint {place:?} of {host}"),
                Kind::Other,
                "not a URL and not host[:port]",
            )
        })?;
        let loopback = is_loopback(host_of(&address));
        let insecure = config.and_then(|c| c.insecure);
        let scheme = scheme.or(match insecure {
            Some(Insecure::Http) => Some("http"),
            None if loopback => None,
            Some(Insecure::SkipVerify) | None => Some("https"),
        });
        let clients = Clients::for_host(&address, config, &shared.clients)?
            .map_or_else(|| Arc::clone(&shared.clients), Arc::new);
        let concurrency = config.and_then(|c| c.concurrency).map(NonZero::get);
        Ok(Self {
            host: host.to_owned(),
            shares_credentials: loopback
                || same_registry(&address, host)
                || config.is_some_and(|c| c.username.is_some()),
            address,
            scheme,
            prefix,
            base: OnceCell::new(),
            challenge: RwLock::new(None),
            asked: OnceCell::new(),
            wanted: Mutex::default(),
            ways: Ways::default(),
            answered: AtomicBool::new(false),
            let_in: LetIn::default(),
            not_before: Mutex::default(),
            quotas: Quotas::default(),
            distances: Distances::default(),
            lists_no_referrers: AtomicBool::new(false),
            clients,
            tokens: Arc::clone(&shared.tokens),
            memory: Arc::clone(&shared.memory),
            waits: Arc::clone(&shared.waits),
            requests: Semaphore::new(concurrency.map_or(SMALL_REQUESTS, usize::from)),
            concurrency: concurrency.map(usize::from),
        })
    }

    /// A place outside of all registries, at this origin.
    pub(super) fn outside(origin: &Url, clients: &Arc<Clients>) -> Result<Self> {
        let origin = origin.origin().ascii_serialization();
        let host = origin.split_once("://").map_or("", |(_, host)| host);
        Ok(Self {
            clients: Arc::clone(clients),
            ..Self::new(host, &origin, None, &Shared::new(Clients::guarded()))?
        })
    }

    /// What tells it from all others.
    pub(super) fn place(&self) -> String {
        format!("{} for {}", self.address, self.host)
    }

    /// The repository's path at this endpoint.
    pub(super) fn repository(&self, name: &str) -> String {
        match &self.prefix {
            Some(prefix) => format!("{prefix}/{name}"),
            None => name.to_owned(),
        }
    }

    /// `scheme://address/`.
    pub(super) async fn base(&self) -> Result<&Url> {
        self.base
            .get_or_try_init(|| async {
                let scheme = match self.scheme {
                    Some(scheme) => scheme,
                    None => self.probe().await?,
                };
                Url::parse(&format!("{scheme}://{}/", self.address)).map_err(|error| {
                    Refusal::new(
                        format!("contacting {}", self.host),
                        Kind::Other,
                        error.to_string(),
                    )
                })
            })
            .await
    }

    /// Whether both are one registry, whatever names it is known by. Only for those that were asked.
    pub(super) fn is_same_place(&self, other: &Self) -> bool {
        let place = |endpoint: &Self| {
            let base = endpoint.base.get()?;
            let host = base.host_str()?;
            let host = if is_loopback(host) { "localhost" } else { host };
            Some((host.to_owned(), base.port_or_known_default()))
        };
        place(self).is_some_and(|own| place(other) == Some(own))
    }

    /// Which scheme a loopback host speaks: TLS if it does, else plain HTTP.
    ///
    /// A host that cannot be connected to is not remembered as either.
    async fn probe(&self) -> Result<&'static str> {
        let text = format!("https://{}/v2/", self.address);
        let what = format!("{} {text}", Method::GET);
        let url = Url::parse(&text)
            .map_err(|error| Refusal::new(&what, Kind::Other, error.to_string()))?;
        // without certificate authorities only plain HTTP is left to try
        let Ok(client) = self.clients.get(&url, Lane::Small) else {
            return Ok("http");
        };
        match client.get(url).timeout(PROBE).send().await {
            Ok(_) => Ok("https"),
            Err(error) if error.is_timeout() => Ok("http"),
            Err(error) => {
                if let Some(rustls::Error::InvalidCertificate(_)) = connection::tls_cause(&error) {
                    return Ok("https");
                }
                if connection::is_refused(&error) {
                    return Err(connection::broken(what, &error));
                }
                Ok("http")
            }
        }
    }

    /// What this endpoint wants to be told, as far as it has said so.
    pub(super) fn challenge(&self) -> Option<Challenge> {
        self.challenge
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn learn(&self, challenge: Challenge) {
        *self
            .challenge
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(challenge);
    }

    /// Nothing is to be asked here for so long.
    pub(super) fn hold(&self, pause: Duration) {
        let until = Some(Instant::now() + pause);
        let mut not_before = lock(&self.not_before);
        *not_before = until.max(*not_before);
    }

    /// Until when nothing was to be asked here, or still is.
    pub(super) fn held_until(&self) -> Option<Instant> {
        *lock(&self.not_before)
    }

    /// How long nothing is to be asked here.
    pub(super) fn held(&self) -> Option<Duration> {
        let left = self
            .held_until()
            .map(|until| until.duration_since(Instant::now()));
        left.filter(|left| !left.is_zero())
    }

    /// Remembers scopes that a challenge added for a repository.
    pub(super) fn want<'a>(
        &self,
        place: (String, Access),
        added: impl Iterator<Item = &'a String>,
    ) {
        let mut wanted = lock(&self.wanted);
        let wanted = wanted.entry(place).or_default();
        let room = MOST_SCOPES.saturating_sub(wanted.len());
        wanted.extend(added.take(room).cloned());
    }

    /// The scopes that are to be asked for besides the repository's own.
    pub(super) fn wanted(&self, place: &(String, Access)) -> BTreeSet<String> {
        let wanted = lock(&self.wanted);
        wanted.get(place).cloned().unwrap_or_default()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_does_not_get_the_credentials_of_what_it_mirrors() {
        let check = |host: &str, endpoint: &[&str], username: Option<&str>, expected: &[bool]| {
            let config = HostConfig {
                endpoint: endpoint.iter().map(|&e| e.to_owned()).collect(),
                username: username.map(str::to_owned),
                ..HostConfig::default()
            };
            let host = Host::new(host, Some(&config), false, &Shared::new(Clients::new())).unwrap();
            let shared = host.endpoints.iter().map(|e| e.shares_credentials);
            assert_eq!(shared.collect::<Vec<_>>(), expected, "{endpoint:?}");
        };
        check("docker.io", &[], None, &[true]);
        check("reg.corp:5443", &[], None, &[true]);
        check(
            "docker.io",
            &[
                "mirror.corp",
                "https://registry-1.docker.io",
                "index.docker.io/v2/",
            ],
            None,
            &[false, true, true],
        );
        check("docker.io", &["mirror.corp"], Some("me"), &[true]);
        check(
            "reg.corp",
            &["Reg.corp/x", "reg.corp:5000"],
            None,
            &[true, false],
        );
        // a port of this machine that leads to it
        check("reg.corp:5443", &["http://127.0.0.1:5000"], None, &[true]);
    }
}
