//! `WWW-Authenticate`: what a registry wants to be told.
//!
//! Decides which of several challenges is answered (Bearer before Basic). Never fetches a token.

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// A challenge that can be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User name and password with every request.
    Basic,
    /// A token from `realm`.
    Bearer(Bearer),
}

/// Where a token comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bearer {
    pub(super) realm: String,
    pub(super) service: String,
    /// The scopes that the registry misses.
    pub(super) scopes: Vec<String>,
}

/// The best challenge of an answer; several headers and several challenges in one header occur.
pub(super) fn best(headers: &HeaderMap) -> Option<Challenge> {
    headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(parse)
        .max_by_key(|challenge| matches!(challenge, Challenge::Bearer(_)))
}

/// The challenges of one header that are understood.
fn parse(text: &str) -> Vec<Challenge> {
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut rest = text.trim_start_matches([' ', ',']);
    while !rest.is_empty() {
        let (word, after) = split_word(rest);
        if word.is_empty() {
            break;
        }
        if let Some(after) = after.trim_start().strip_prefix('=') {
            let (value, after) = value(after.trim_start());
            if let Some((_, parameters)) = found.last_mut() {
                parameters.push((word.to_ascii_lowercase(), value));
            }
            rest = after;
        } else {
            found.push((word.to_ascii_lowercase(), Vec::new()));
            rest = after;
        }
        rest = rest.trim_start_matches([' ', ',', '\t']);
    }
    found
        .into_iter()
        .filter_map(|(scheme, parameters)| understood(&scheme, &parameters))
        .collect()
}

fn understood(scheme: &str, parameters: &[(String, String)]) -> Option<Challenge> {
    let get = |key: &str| {
        parameters
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v.clone())
    };
    match scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer(Bearer {
            realm: get("realm")?,
            service: get("service").unwrap_or_default(),
            scopes: get("scope")
                .unwrap_or_default()
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
        })),
        _ => None,
    }
}

fn split_word(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| c == '=' || c == ',' || c.is_whitespace())
        .unwrap_or(text.len());
    text.split_at(end)
}

/// A quoted string or a bare token, and what follows it.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text
            .find(|c: char| c == ',' || c.is_whitespace())
            .unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            _ => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: &str, scopes: &[&str]) -> Challenge {
        Challenge::Bearer(Bearer {
            realm: realm.into(),
            service: service.into(),
            scopes: scopes.iter().map(|&s| s.into()).collect(),
        })
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let check = |headers: &[&str], expected: Option<Challenge>| {
            let mut map = HeaderMap::new();
            for header in headers {
                map.append(WWW_AUTHENTICATE, header.parse().unwrap());
            }
            assert_eq!(best(&map), expected, "{headers:?}");
        };
        check(&[], None);
        check(&["Negotiate"], None);
        check(&["Basic realm=\"Registry\""], Some(Challenge::Basic));
        check(&["bearer service=x"], None);
        check(
            &[
                "Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:a:pull,push repository:b:pull\"",
            ],
            Some(bearer(
                "https://a/t",
                "s",
                &["repository:a:pull,push", "repository:b:pull"],
            )),
        );
        check(
            &[
                "Basic realm=\"x\"",
                "Bearer realm=https://a/t , service = s",
            ],
            Some(bearer("https://a/t", "s", &[])),
        );
        check(
            &["Bearer realm=\"https://a/\\\"t\", Basic realm=\"x, y=z\""],
            Some(bearer("https://a/\"t", "", &[])),
        );
        check(
            &["Bearer realm=\"unterminated"],
            Some(bearer("unterminated", "", &[])),
        );
    }
}
