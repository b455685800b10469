//! The proxy that a request takes, as the environment names it.
//!
//! Decides for each URL, since a registry sends its clients on to token servers and blob stores elsewhere.
//! Never takes a proxy to this machine.

use super::place::is_loopback;
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;

/// `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, in capitals or not.
pub(super) struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
    exempt: String,
}

impl Proxies {
    pub(super) fn from_environment() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        // one that is set to nothing says nothing: shells unset variables so
        let get = |name: &str| {
            let spellings = [name.to_owned(), name.to_ascii_lowercase()];
            let mut values = spellings.iter().filter_map(|name| variable(name));
            values.find(|value| !value.trim().is_empty())
        };
        let proxy = |name| {
            let text = get(name).or_else(|| get("ALL_PROXY"))?;
            let url = parse(text.trim());
            if url.is_none() {
                // not the value: it may have a password in it
                tracing::warn!(name, "not used: the proxy is not a URL");
            }
            url
        };
        Self {
            http: proxy("HTTP_PROXY"),
            https: proxy("HTTPS_PROXY"),
            exempt: get("NO_PROXY").unwrap_or_default(),
        }
    }

    /// The proxy to this URL; none where it is reached directly.
    pub(super) fn of(&self, url: &Url) -> Option<Url> {
        let proxy = match url.scheme() {
            "http" => self.http.as_ref(),
            "https" => self.https.as_ref(),
            _ => None,
        }?;
        let (host, port) = (url.host_str()?, url.port_or_known_default()?);
        let direct = is_loopback(host) || self.exempts(host, port);
        (!direct).then(|| proxy.clone())
    }

    fn exempts(&self, host: &str, port: u16) -> bool {
        let entries: Vec<_> = self
            .exempt
            .split(|c: char| c == ',' || c.is_whitespace())
            .filter_map(|entry| at_port(entry, port))
            .map(|entry| entry.strip_prefix('*').unwrap_or(entry))
            .collect();
        // the library knows neither ports nor `*.corp`, and `*` only for names
        if entries.contains(&"") {
            return true;
        }
        let Ok(uri) = format!("http://{host}/").parse::<http::Uri>() else {
            return false;
        };
        let matcher = Matcher::builder().all("http://proxy").no(entries.join(","));
        matcher.build().intercept(&uri).is_none()
    }
}

/// An entry of `NO_PROXY` without its port; none where it is of another port, or empty.
fn at_port(entry: &str, port: u16) -> Option<&str> {
    let (host, own) = match entry.rsplit_once(':') {
        // what has more colons is an IPv6 address, unless it is in brackets
        Some((host, own)) if !host.contains(':') || host.ends_with(']') => (host, Some(own)),
        _ => (entry, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let meant = own.is_none_or(|own| own.parse() == Ok(port));
    (meant && !host.is_empty()).then_some(host)
}

/// A proxy is a URL, or `host:port` of one that speaks plain HTTP.
fn parse(text: &str) -> Option<Url> {
    let url = if text.contains("://") {
        Url::parse(text)
    } else {
        Url::parse(&format!("http://{text}"))
    };
    url.ok().filter(Url::has_host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)], url: &str) -> Option<String> {
        let proxies = Proxies::read(|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        });
        proxies.of(&url.parse().unwrap()).map(|url| url.to_string())
    }

    #[test]
    fn proxies_are_named_for_a_scheme_or_for_all_in_capitals_or_not() {
        let check = |variables: &[(&str, &str)], url: &str, expected: Option<&str>| {
            let expected = expected.map(str::to_owned);
            assert_eq!(of(variables, url), expected, "{variables:?} {url}");
        };
        let (tls, plain) = ("https://reg.corp/v2/", "http://reg.corp:5000/v2/");
        check(&[], tls, None);
        check(&[("HTTPS_PROXY", "http://p:1")], tls, Some("http://p:1/"));
        check(&[("HTTPS_PROXY", "http://p:1")], plain, None);
        check(&[("https_proxy", "p:1")], tls, Some("http://p:1/"));
        check(&[("HTTP_PROXY", "p:1")], plain, Some("http://p:1/"));
        check(&[("http_proxy", "p:1")], tls, None);
        check(
            &[("all_proxy", "socks5h://u:p@s:1")],
            tls,
            Some("socks5h://u:p@s:1"),
        );
        let both = [("HTTPS_PROXY", " "), ("https_proxy", "p:1")];
        check(&both, tls, Some("http://p:1/"));
        check(&[("ALL_PROXY", "a:1"), both[1]], tls, Some("http://p:1/"));
        check(&[("HTTPS_PROXY", "http://")], tls, None);
    }

    #[test]
    fn no_proxy_names_hosts_domains_networks_and_ports() {
        let check = |exempt: &str, url: &str, direct: bool| {
            let found = of(&[("ALL_PROXY", "p:1"), ("no_proxy", exempt)], url);
            assert_eq!(found.is_none(), direct, "{exempt} {url}");
        };
        let url = "https://reg.corp:5443/v2/";
        for exempt in [
            "*",
            "reg.corp",
            "REG.corp",
            "a,, reg.corp ,b",
            "a reg.corp",
            ".corp",
            "corp",
            "*.corp",
            "reg.corp:5443",
            ".corp:5443",
        ] {
            check(exempt, url, true);
        }
        for exempt in ["", "eg.corp", "reg.corp:443", "other.corp", "corp:1", ":"] {
            check(exempt, url, false);
        }
        check("reg.corp:443", "https://reg.corp/", true);
        check("10.0.0.0/8", "http://10.1.2.3:5000/", true);
        check("10.1.2.3:5000", "http://10.1.2.3:5000/", true);
        check("*", "http://10.1.2.3:5000/", true);
        check("11.0.0.0/8", "http://10.1.2.3:5000/", false);
        check("fd00::/8", "http://[fd00::1]:5000/", true);
        check("[fd00::1]:5000", "http://[fd00::1]:5000/", true);
        check("fd00::1", "http://[fd00::2]/", false);
    }

    #[test]
    fn this_machine_is_never_asked_for_through_a_proxy() {
        for host in ["localhost", "127.0.0.1", "[::1]", "a.localhost"] {
            let url = format!("https://{host}:5000/");
            assert_eq!(of(&[("ALL_PROXY", "p:1")], &url), None);
        }
    }
}
