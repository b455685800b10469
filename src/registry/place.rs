//! Where a registry answers, as it is written in a configuration.
//!
//! Decides how an endpoint is read, and which places are this machine or the registry itself.

use crate::reference::grammar::canonical_host;
pub(super) use crate::reference::grammar::is_loopback;
use reqwest::Url;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An endpoint as configured: a URL, or `host[:port]`, with an optional path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) scheme: Option<&'static str>,
    pub(super) address: String,
    pub(super) prefix: Option<String>,
}

impl Place {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Some("http"), rest),
            Some(("https", rest)) => (Some("https"), rest),
            Some(_) => return None,
            None => (None, text),
        };
        let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = path.trim_matches('/');
        // people paste the API's address
        let path = match path.split_once('/') {
            Some(("v2", rest)) => rest.trim_start_matches('/'),
            None if path == "v2" => "",
            _ => path,
        };
        let url = Url::parse(&format!("https://{address}/")).ok()?;
        let has_credentials = !url.username().is_empty() || url.password().is_some();
        if url.host_str().is_none() || has_credentials || url.query().is_some() {
            return None;
        }
        Some(Self {
            scheme,
            address: address.to_ascii_lowercase(),
            prefix: (!path.is_empty()).then(|| path.to_owned()),
        })
    }
}

/// Whether a place is the registry itself and no mirror of it.
pub(super) fn same_registry(address: &str, host: &str) -> bool {
    address == host || canonical_host(address).is_ok_and(|name| name == host)
}

/// The host that serves the API: Docker Hub's name is not where it answers.
pub(super) fn api_host(name: &str) -> &str {
    if name == "docker.io" {
        "registry-1.docker.io"
    } else {
        name
    }
}

pub(super) fn host_of(address: &str) -> &str {
    match address.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => address,
    }
}

/// Whether `[scheme://]host[:port]` means the machine that reads it.
pub fn means_this_machine(address: &str) -> bool {
    let address = address
        .split_once("://")
        .map_or(address, |(_, address)| address);
    is_loopback(host_of(address))
}

/// Whether a manifest may send us to this address, as far as it can be told without resolving its name.
pub(super) fn check_public(url: &Url) -> Result<(), &'static str> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err("not an http or https address");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the address has credentials in it");
    }
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    // behind a proxy it is the proxy that resolves names
    let serves_metadata = bare.trim_end_matches('.') == "metadata.google.internal"
        || bare.parse().is_ok_and(serves_metadata);
    if serves_metadata {
        return Err("link-local and metadata addresses are not contacted");
    }
    Ok(())
}

/// Whether an address belongs to the machine's own surroundings: link-local, or where clouds serve
/// credentials to whatever runs in them.
pub(super) fn serves_metadata(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            // Alibaba, Oracle, Azure
            let others = [[100, 100, 100, 200], [192, 0, 0, 192], [168, 63, 129, 16]];
            address.is_link_local()
                || address.is_unspecified()
                || others.map(Ipv4Addr::from).contains(&address)
        }
        IpAddr::V6(address) => {
            // AWS, Google
            let others = [
                Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
                Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
            ];
            let inner = address.to_ipv4_mapped().map(IpAddr::V4);
            address.is_unicast_link_local()
                || address.is_unspecified()
                || others.contains(&address)
                || inner.is_some_and(serves_metadata)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_urls_or_hosts() {
        let check = |text, expected: Option<(Option<&'static str>, &str, Option<&str>)>| {
            let expected = expected.map(|(scheme, address, prefix)| Place {
                scheme,
                address: address.into(),
                prefix: prefix.map(Into::into),
            });
            assert_eq!(Place::parse(text), expected, "{text}");
        };
        check("mirror.corp", Some((None, "mirror.corp", None)));
        check("Mirror.corp:5000/", Some((None, "mirror.corp:5000", None)));
        check(
            "http://127.0.0.1:5000",
            Some((Some("http"), "127.0.0.1:5000", None)),
        );
        check(
            "https://harbor/v2/hub",
            Some((Some("https"), "harbor", Some("hub"))),
        );
        check("harbor/v2", Some((None, "harbor", None)));
        check("harbor/v2-hub", Some((None, "harbor", Some("v2-hub"))));
        check("harbor/hub/x/", Some((None, "harbor", Some("hub/x"))));
        check("ftp://harbor", None);
        check("https://me:pw@harbor", None);
        check("", None);
    }

    #[test]
    fn a_manifest_sends_us_to_no_metadata_and_with_no_credentials() {
        let check = |url: &str, allowed: bool| {
            let checked = check_public(&url.parse().unwrap());
            assert_eq!(checked.is_ok(), allowed, "{url}");
        };
        check("https://layers.corp/a?b=c", true);
        check("http://127.0.0.1:5000/a", true);
        check("http://10.0.0.1/a", true);
        check("https://[2001:db8::1]/a", true);
        for address in [
            "http://169.254.169.254/latest",
            "http://0xa9fea9fe/",
            "http://2852039166/",
            "https://[fe80::1]/",
            "https://[::ffff:169.254.169.254]/",
            "https://[fd00:ec2::254]/",
            "http://100.100.100.200/",
            "http://0.0.0.0/",
            "http://metadata.google.internal./",
            "https://me@layers.corp/a",
            "https://me:pw@layers.corp/a",
            "ftp://layers.corp/a",
            "file:///etc/passwd",
        ] {
            check(address, false);
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for host in [
            "localhost",
            "127.0.0.1",
            "127.8.9.1",
            "[::1]",
            "a.localhost",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "localhost.corp",
            "128.0.0.1",
            "registry",
            "127.0.0.1.nip.io",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
