//! Names → addresses.
//!
//! Decides who is asked: the system, or, where this program is linked statically, the name servers themselves.
//! Static glibc resolves by libraries that it loads, which must be of its own version, and an image that holds
//! nothing else has none. Decides also which addresses are not contacted.

use super::place;
use hickory_resolver::TokioResolver;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Whether names are resolved without the system.
pub(super) const BY_ITSELF: bool = cfg!(target_feature = "crt-static");

/// Resolves names; a clone shares what it knows.
#[derive(Clone, Default)]
pub(super) struct Resolver {
    /// Whether names that lead to metadata addresses are refused.
    pub(super) guarded: bool,
    own: Arc<OnceLock<TokioResolver>>,
}

impl Resolver {
    pub(super) fn new(guarded: bool) -> Self {
        Self {
            guarded,
            own: Arc::default(),
        }
    }

    async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, Failed> {
        let found: Vec<IpAddr> = if BY_ITSELF {
            self.own()?.lookup_ip(name).await?.iter().collect()
        } else {
            let found = tokio::net::lookup_host((name, 0)).await?;
            found.map(|found| found.ip()).collect()
        };
        self.allowed(found)
    }

    fn allowed(&self, found: Vec<IpAddr>) -> Result<Vec<IpAddr>, Failed> {
        if self.guarded && found.iter().any(|found| place::serves_metadata(*found)) {
            return Err("link-local and metadata addresses are not contacted".into());
        }
        Ok(found)
    }

    /// By `/etc/resolv.conf` and `/etc/hosts`, as the system would.
    fn own(&self) -> Result<&TokioResolver, Failed> {
        if let Some(own) = self.own.get() {
            return Ok(own);
        }
        let own = TokioResolver::builder_tokio()?.build()?;
        Ok(self.own.get_or_init(|| own))
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let found = resolver.addresses(name.as_str()).await?;
            let found = found.into_iter().map(|found| SocketAddr::new(found, 0));
            let found: Addrs = Box::new(found);
            Ok(found)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
    use hickory_resolver::net::runtime::TokioRuntimeProvider;
    use std::net::Ipv4Addr;
    use tokio::net::UdpSocket;

    /// A name server that has this address for every name, and no other kind of record.
    async fn name_server(address: Ipv4Addr) -> u16 {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut query = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut query).await {
                let name_end = 12
                    + query[12..length]
                        .iter()
                        .position(|byte| *byte == 0)
                        .unwrap();
                let question = &query[12..name_end + 5];
                let is_a = query[name_end + 2] == 1;
                let mut answer = query[..2].to_vec();
                answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
                answer.extend(question);
                if is_a {
                    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                    answer.extend(address.octets());
                }
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        port
    }

    #[tokio::test]
    async fn name_servers_are_asked_without_the_system() {
        let address = Ipv4Addr::new(192, 0, 2, 7);
        let mut connection = ConnectionConfig::udp();
        connection.port = name_server(address).await;
        let server = NameServerConfig::new(Ipv4Addr::LOCALHOST.into(), true, vec![connection]);
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let own = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let resolver = Resolver::new(true);
        assert!(resolver.own.set(own.build().unwrap()).is_ok());
        let found = resolver
            .own()
            .unwrap()
            .lookup_ip("reg.corp.")
            .await
            .unwrap();
        assert_eq!(found.iter().collect::<Vec<_>>(), [IpAddr::V4(address)]);
    }

    #[tokio::test]
    async fn metadata_addresses_are_refused_to_whoever_is_guarded() {
        let metadata = vec![IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254))];
        assert!(Resolver::new(true).allowed(metadata.clone()).is_err());
        assert!(Resolver::new(false).allowed(metadata).is_ok());
        let found = Resolver::new(true).addresses("localhost").await.unwrap();
        assert!(found.iter().all(IpAddr::is_loopback));
    }
}
