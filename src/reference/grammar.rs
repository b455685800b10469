//! The grammar of references: hosts, paths, tags and digests, as the `distribution/reference` grammar
//! that container runtimes share has them.
//!
//! Each check answers with the reason, without the offending whole: the caller knows what it parsed.

use core::net::IpAddr;

/// Docker Hub's one canonical host.
pub(crate) const DOCKER_HUB: &str = "docker.io";

/// Characters of a repository's path, and of a target's `host/path`, at most.
const NAME_MAX: usize = 255;

const TAG_MAX: usize = 128;

/// Whether runtimes read a reference's first component as a host rather than a Docker Hub path.
///
/// They also take any component with an upper-case letter for one (`Foo/bar`). That host has no
/// lower-case form that would still be read as a host, so [`path`] refuses it instead.
pub(crate) fn is_host(component: &str) -> bool {
    component.contains(['.', ':', '[']) || component.eq_ignore_ascii_case("localhost")
}

/// Whether a host name means the machine that reads it.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.ends_with(".localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// The canonical form of `host[:port]`: lower case, and `docker.io` for all names of Docker Hub.
pub(crate) fn canonical_host(text: &str) -> Result<String, String> {
    if text.contains(['[', ']']) {
        return Err(format!(
            "the host {text:?} is an IPv6 literal, which has no place in a path; give it a DNS name"
        ));
    }
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    if !name.split('.').all(label) {
        return Err(format!("{name:?} is not a host name"));
    }
    let name = name.to_ascii_lowercase();
    let Some(port) = port else {
        // the API host and the old index host serve the very same repositories
        let hub = ["index.docker.io", "registry-1.docker.io"].contains(&name.as_str());
        return Ok(if hub { DOCKER_HUB.to_owned() } else { name });
    };
    match port.parse::<u16>() {
        Ok(number) if number > 0 && port.chars().all(|c| c.is_ascii_digit()) => {
            Ok(format!("{name}:{number}"))
        }
        _ => Err(format!("the port {port:?} is not a number from 1 to 65535")),
    }
}

/// Checks a repository's path, component by component.
pub(crate) fn path(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("the repository is missing".to_owned());
    }
    if text.chars().any(|c| c.is_ascii_uppercase()) {
        return Err(format!("the repository {text:?} must be lower case"));
    }
    text.split('/').try_for_each(component)
}

/// Checks the length of a repository or `host/repository`.
pub(crate) fn length(name: &str) -> Result<(), String> {
    if name.len() > NAME_MAX {
        return Err(format!(
            "the name has {} characters, more than {NAME_MAX}",
            name.len()
        ));
    }
    Ok(())
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn component(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("a component of the repository is empty".to_owned());
    }
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if let Some(c) = text
        .chars()
        .find(|&c| !alphanumeric(c) && !['.', '_', '-'].contains(&c))
    {
        return Err(format!("{c:?} is not allowed in the repository"));
    }
    if !text.starts_with(alphanumeric) || !text.ends_with(alphanumeric) {
        return Err(format!(
            "{text:?} does not start and end with a letter or digit"
        ));
    }
    let separator = |s: &str| matches!(s, "" | "." | "_" | "__") || s.trim_matches('-').is_empty();
    match text.split(alphanumeric).find(|s| !separator(s)) {
        Some(s) => Err(format!("{s:?} in {text:?} is not a separator")),
        None => Ok(()),
    }
}

/// `[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}`
pub(crate) fn tag(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("the tag is empty".to_owned());
    }
    if text.len() > TAG_MAX {
        return Err(format!(
            "the tag has {} characters, more than {TAG_MAX}",
            text.len()
        ));
    }
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !text.starts_with(word) || !text.chars().all(|c| word(c) || c == '.' || c == '-') {
        return Err(format!("{text:?} is not a tag"));
    }
    Ok(())
}

/// `sha256:<64 hex>` or `sha512:<128 hex>`, in lower case as registries require it.
pub(crate) fn digest(text: &str) -> Result<(), String> {
    let Some((algorithm, hex)) = text.split_once(':') else {
        return Err(format!("the digest {text:?} has no algorithm"));
    };
    let length = match algorithm {
        "sha256" => 64,
        "sha512" => 128,
        _ => {
            return Err(format!(
                "the digest algorithm {algorithm:?} is neither sha256 nor sha512"
            ));
        }
    };
    if let Some(c) = hex.chars().find(|c| !matches!(c, '0'..='9' | 'a'..='f')) {
        return Err(format!(
            "{c:?} in the digest is not a lower-case hexadecimal digit"
        ));
    }
    if hex.len() != length {
        return Err(format!(
            "the {algorithm} digest has {} hexadecimal digits instead of {length}",
            hex.len()
        ));
    }
    Ok(())
}

/// What is wrong with a text as a whole, before it is taken apart: `http://` and white space.
pub(crate) fn whole(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if text.contains(char::is_whitespace) {
        return Err("it contains white space".to_owned());
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        return Err(format!(
            "it starts with a scheme; leave out \"{scheme}://\" and write {rest:?}"
        ));
    }
    Ok(())
}
