//! The agent's plain HTTP servers.
//!
//! Decides where they listen and how much of the process they may take. Never decides what they answer.

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use image_cloner::outcome::Failure;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, lookup_host};
use tokio::sync::Semaphore;

/// Connections to one server at once: kubelets and Prometheus need a few.
const CONNECTIONS: usize = 32;

/// How long a connection may ask nothing: its place is another's then.
const SILENT: Duration = Duration::from_secs(10);

/// What cannot be accepted now may be a moment later.
const NOT_ACCEPTED: Duration = Duration::from_millis(100);

/// Where to listen, as Go programs are told: `:8080` is that port of every address, `0` nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Nowhere,
    Everywhere(u16),
    At(String),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text == "0" {
            return Ok(Self::Nowhere);
        }
        let parts = text.rsplit_once(':');
        let port = parts.and_then(|(host, port)| Some((host, port.parse().ok()?)));
        match port {
            Some(("", port)) => Ok(Self::Everywhere(port)),
            Some(_) => Ok(Self::At(text.to_owned())),
            None => Err("not HOST:PORT, :PORT or 0".to_owned()),
        }
    }
}

impl Address {
    /// Listens there; nothing where that is nowhere.
    pub(crate) async fn listen(&self) -> Result<Option<TcpListener>, Failure> {
        let listener = match self {
            Self::Nowhere => return Ok(None),
            // one socket for both families, where the machine has both
            Self::Everywhere(port) => {
                match TcpListener::bind((Ipv6Addr::UNSPECIFIED, *port)).await {
                    Ok(listener) => Ok(listener),
                    Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).await,
                }
            }
            Self::At(address) => match lookup_host(address).await {
                Ok(addresses) => {
                    TcpListener::bind(&addresses.collect::<Vec<SocketAddr>>()[..]).await
                }
                Err(error) => Err(error),
            },
        };
        let failed = |error: std::io::Error| {
            Failure::new(error.to_string()).context(format!("listening at {self}"))
        };
        listener.map(Some).map_err(failed)
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, text: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nowhere => text.write_str("0"),
            Self::Everywhere(port) => write!(text, ":{port}"),
            Self::At(address) => text.write_str(address),
        }
    }
}

/// Answers whoever connects, as long as the process lives.
pub(crate) async fn serve(listener: TcpListener, router: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "a connection was not accepted");
                tokio::time::sleep(NOT_ACCEPTED).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let _place = place;
            let mut builder = Builder::new(TokioExecutor::new()).http1_only();
            builder
                .http1()
                .timer(TokioTimer::new())
                .header_read_timeout(SILENT);
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_go_programs_read_it() {
        let read = |text: &str| text.parse::<Address>();
        assert_eq!(read(":8080"), Ok(Address::Everywhere(8080)));
        assert_eq!(read("0"), Ok(Address::Nowhere));
        assert_eq!(read(""), Ok(Address::Nowhere));
        for text in ["127.0.0.1:0", "[::1]:8080", "localhost:80"] {
            assert_eq!(read(text), Ok(Address::At(text.to_owned())));
            assert_eq!(read(text).unwrap().to_string(), text);
        }
        for text in ["8080", "localhost", ":http", ":70000"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn an_address_in_use_is_named() {
        let first = "127.0.0.1:0".parse::<Address>().unwrap();
        let first = first.listen().await.unwrap().unwrap();
        let address = first.local_addr().unwrap().to_string();
        let second = address.parse::<Address>().unwrap().listen().await;
        let error = second.unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("listening at {address}: ")),
            "{error}"
        );
        assert!(Address::Nowhere.listen().await.unwrap().is_none());
        assert!(Address::Everywhere(0).listen().await.unwrap().is_some());
    }
}
