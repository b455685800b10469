//! The HTTP clients: which certificates count, which protocol is spoken.
//!
//! Decides how connections are made. Never decides what is asked over them.

use super::place;
use super::proxy::Proxies;
use super::refusal::{self, Kind, Refusal};
use super::resolve::{BY_ITSELF, Resolver};
use crate::config::{HostConfig, Insecure};
use reqwest::{Certificate, Client, ClientBuilder, Proxy, Url};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

/// Which of a host's connections a request takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Manifests, tokens, everything with small bodies: HTTP/2 where it is offered.
    Small,
    /// Blob bodies: HTTP/1.1, one connection each, since an HTTP/2 stream's window caps what a far
    /// registry can be given.
    Bulk,
}

/// Where docker and podman keep certificate authorities per registry host; the same is looked for in the
/// user's own configuration folders.
const CERTIFICATE_DIRECTORIES: [&str; 2] = ["docker/certs.d", "containers/certs.d"];

/// Connection pools that share one notion of trust; built when first used.
#[derive(Debug)]
pub(super) struct Clients {
    authorities: Vec<Certificate>,
    skip_verify: bool,
    /// Whether metadata addresses, and names that lead to them, are refused.
    guarded: bool,
    plain: OnceLock<Client>,
    small: OnceLock<Result<Client, String>>,
    bulk: OnceLock<Result<Client, String>>,
}

impl Clients {
    /// Clients that trust what the platform trusts.
    pub(super) fn new() -> Self {
        Self {
            authorities: Vec::new(),
            skip_verify: false,
            guarded: false,
            plain: OnceLock::new(),
            small: OnceLock::new(),
            bulk: OnceLock::new(),
        }
    }

    /// Clients for addresses that strangers may choose.
    pub(super) fn guarded() -> Self {
        Self {
            guarded: true,
            ..Self::new()
        }
    }

    /// Clients of their own for a host, where its settings or docker's directories ask for them.
    pub(super) fn for_host(
        host: &str,
        config: Option<&HostConfig>,
        shared: &Self,
    ) -> refusal::Result<Option<Self>> {
        let skip_verify = config.is_some_and(|c| c.insecure == Some(Insecure::SkipVerify));
        let mut authorities = Vec::new();
        if let Some(file) = config.and_then(|c| c.ca_file.as_deref()) {
            authorities = certificates(file).map_err(|reason| {
                let what = format!("reading caFile {} of {host}", file.display());
                Refusal::new(what, Kind::Other, reason)
            })?;
        }
        for file in docker_authorities(host) {
            match certificates(&file) {
                Ok(more) => authorities.extend(more),
                Err(reason) => {
                    tracing::warn!(file = %file.display(), %reason, "certificate authority not read");
                }
            }
        }
        if authorities.is_empty() && !skip_verify {
            return Ok(None);
        }
        Ok(Some(Self {
            authorities,
            skip_verify,
            guarded: shared.guarded,
            ..Self::new()
        }))
    }

    /// The client for a URL.
    ///
    /// # Errors
    /// When it cannot be made, or the address is not to be contacted.
    pub(super) fn get(&self, url: &Url, lane: Lane) -> Result<&Client, &str> {
        if self.guarded {
            place::check_public(url)?;
        }
        if url.scheme() == "http" {
            return Ok(self.plain.get_or_init(|| self.build_plain()));
        }
        let cell = match lane {
            Lane::Small => &self.small,
            Lane::Bulk => &self.bulk,
        };
        cell.get_or_init(|| self.build_tls(lane))
            .as_ref()
            .map_err(String::as_str)
    }

    /// Plain HTTP needs no certificates, and must work where the system has none.
    fn build_plain(&self) -> Client {
        self.base()
            .tls_certs_only([])
            .build()
            .expect("a client without certificates has nothing that can fail")
    }

    fn build_tls(&self, lane: Lane) -> Result<Client, String> {
        let mut builder = self.base();
        if !self.authorities.is_empty() {
            builder = builder.tls_certs_merge(self.authorities.iter().cloned());
        }
        if self.skip_verify {
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        if lane == Lane::Bulk {
            builder = builder.http1_only();
        }
        builder
            .build()
            .map_err(|error| format!("loading the system's certificate authorities: {error:?}"))
    }

    fn base(&self) -> ClientBuilder {
        let proxies = Proxies::from_environment();
        let builder = Client::builder()
            .user_agent(concat!("image-cloner/", env!("CARGO_PKG_VERSION")))
            // redirects are followed by the transport, which knows what to drop
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .connect_timeout(Duration::from_secs(10))
            .tcp_keepalive(Duration::from_secs(30))
            .http2_keep_alive_interval(Duration::from_secs(30))
            .http2_adaptive_window(true)
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(32)
            .proxy(Proxy::custom(move |url| proxies.of(url)));
        if self.guarded || BY_ITSELF {
            builder.dns_resolver(Resolver::new(self.guarded))
        } else {
            builder
        }
    }
}

/// The certificates of a PEM file.
fn certificates(file: &Path) -> Result<Vec<Certificate>, String> {
    let pem = std::fs::read(file).map_err(|error| error.to_string())?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|error| error.to_string())?;
    if found.is_empty() {
        return Err("there is no certificate in it".to_owned());
    }
    Ok(found)
}

/// The files `certs.d/HOST/*.crt`, all of which docker takes for authorities; usually it is one `ca.crt`.
fn docker_authorities(host: &str) -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::from("/etc")];
    let mut own = None;
    if let Some(dirs) = directories::BaseDirs::new() {
        folders.push(dirs.config_dir().to_owned());
        // podman's on a Mac too
        folders.push(dirs.home_dir().join(".config"));
        // where Docker Desktop takes them from
        own = Some(dirs.home_dir().join(".docker/certs.d"));
    }
    let folders = folders
        .iter()
        .flat_map(|folder| CERTIFICATE_DIRECTORIES.map(|own| folder.join(own)))
        .chain(own);
    // there a file's name has no colon, and docker leaves it out
    let host = if cfg!(windows) {
        &host.replace(':', "")
    } else {
        host
    };
    let entries = folders
        .filter_map(|folder| std::fs::read_dir(folder.join(host)).ok())
        .flat_map(|entries| entries.filter_map(Result::ok))
        .map(|entry| entry.path());
    let mut files: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|end| end == "crt"))
        .collect();
    files.sort();
    files.dedup();
    files
}
