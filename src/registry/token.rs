//! Tokens: fetched once, shared, renewed before they expire.
//!
//! Decides how a challenge is answered and for how long an answer is good. Never sends credentials over
//! plain HTTP to another machine, and never shows them.

use super::call::ANSWER;
use super::challenge::{self, Bearer, Challenge};
use super::clients::Lane;
use super::connection;
use super::host::Endpoint;
use super::place::is_loopback;
use super::refusal::{self, Kind, Refusal, Result};
use crate::credentials::Credentials;
use base64::Engine as _;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, Response, StatusCode, Url};
use secrecy::ExposeSecret;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// What a token is good for where its answer does not say: the token specification's default.
const DEFAULT_LIFE: Duration = Duration::from_secs(60);

/// How much of a token server's answer is read.
const ANSWER_CAP: usize = 1024 * 1024;

/// Every token of the process, by what it was asked for.
#[derive(Default)]
pub(super) struct Tokens {
    cache: Mutex<HashMap<Key, Slot>>,
}

type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    realm: String,
    service: String,
    scopes: BTreeSet<String>,
    who: [u8; 32],
}

struct Token {
    header: HeaderValue,
    fresh_until: Instant,
}

/// A request to answer a challenge.
pub(super) struct Asked<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) credentials: &'a Credentials,
    pub(super) scopes: &'a BTreeSet<String>,
    /// An answer that the registry has refused just now.
    pub(super) refused: Option<&'a HeaderValue>,
}

/// How errors name who asks.
pub(super) fn who(credentials: &Credentials) -> String {
    match credentials {
        Credentials::Anonymous => "anonymous".to_owned(),
        Credentials::Basic { username, .. } => format!("as {username}"),
        Credentials::IdentityToken(_) => "with an identity token".to_owned(),
    }
}

impl Tokens {
    /// The `Authorization` header that answers a challenge; none where there is nothing to say.
    pub(super) async fn answer(
        &self,
        asked: &Asked<'_>,
        challenge: &Challenge,
    ) -> Result<Option<HeaderValue>> {
        match challenge {
            Challenge::Basic => Ok(basic(asked.credentials)),
            Challenge::Bearer(bearer) => self.bearer(asked, bearer).await.map(Some),
        }
    }

    async fn bearer(&self, asked: &Asked<'_>, bearer: &Bearer) -> Result<HeaderValue> {
        let slot = self.slot(Key {
            realm: bearer.realm.clone(),
            service: bearer.service.clone(),
            scopes: asked.scopes.clone(),
            who: fingerprint(asked.credentials),
        });
        // held while fetching: whoever comes meanwhile wants the same token
        let mut slot = slot.lock().await;
        if let Some(token) = slot.as_ref()
            && token.fresh_until > Instant::now()
            && Some(&token.header) != asked.refused
        {
            return Ok(token.header.clone());
        }
        let token = fetch(asked, bearer).await?;
        let header = token.header.clone();
        *slot = Some(token);
        Ok(header)
    }

    fn slot(&self, key: Key) -> Slot {
        let mut cache = self
            .cache
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        Arc::clone(cache.entry(key).or_default())
    }
}

fn basic(credentials: &Credentials) -> Option<HeaderValue> {
    let Credentials::Basic { username, password } = credentials else {
        return None;
    };
    let pair = format!("{username}:{}", password.expose_secret());
    let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
    let mut header = HeaderValue::from_str(&format!("Basic {encoded}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// Tells credentials apart without keeping them.
fn fingerprint(credentials: &Credentials) -> [u8; 32] {
    let mut hash = Sha256::new();
    match credentials {
        Credentials::Anonymous => hash.update(b"anonymous"),
        Credentials::Basic { username, password } => {
            hash.update(b"basic");
            hash.update((username.len() as u64).to_be_bytes());
            hash.update(username);
            hash.update(password.expose_secret());
        }
        Credentials::IdentityToken(token) => {
            hash.update(b"identity");
            hash.update(token.expose_secret());
        }
    }
    hash.finalize().into()
}

#[derive(serde::Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<f64>,
}

async fn fetch(asked: &Asked<'_>, bearer: &Bearer) -> Result<Token> {
    let realm = realm(asked, bearer).await?;
    let what = refusal::describe(&Method::GET, &realm);
    let response = ask(asked, bearer, realm).await?;
    if !response.status().is_success() {
        let mut refusal = refusal::read(&Method::GET, response, &who(asked.credentials)).await;
        refusal.by_token_server = true;
        return Err(refusal);
    }
    let body = connection::capped(response, ANSWER_CAP).await?;
    read_answer(&body)
        .ok_or_else(|| Refusal::new(what, Kind::Other, "the token server's answer has no token"))
}

/// Asks the token server in the way that these credentials need.
async fn ask(asked: &Asked<'_>, bearer: &Bearer, realm: Url) -> Result<Response> {
    if let Credentials::IdentityToken(token) = asked.credentials {
        let grant = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token.expose_secret()),
        ];
        return oauth2(asked, bearer, realm, &grant).await;
    }
    let response = plain(asked, bearer, realm.clone()).await?;
    let unknown = matches!(
        response.status(),
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
    );
    match asked.credentials {
        // a server that knows only the OAuth2 way
        Credentials::Basic { username, password } if unknown => {
            let grant = [
                ("grant_type", "password"),
                ("username", username),
                ("password", password.expose_secret()),
            ];
            oauth2(asked, bearer, realm, &grant).await
        }
        _ => Ok(response),
    }
}

fn read_answer(body: &[u8]) -> Option<Token> {
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let secret = [answer.token, answer.access_token]
        .into_iter()
        .flatten()
        .find(|token| !token.is_empty())?;
    let mut header = HeaderValue::from_str(&format!("Bearer {secret}")).ok()?;
    header.set_sensitive(true);
    let life = answer
        .expires_in
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|life| !life.is_zero())
        .unwrap_or(DEFAULT_LIFE)
        .min(Duration::from_secs(24 * 3600));
    Some(Token {
        header,
        // renewed well before the registry stops taking it
        fresh_until: Instant::now() + life.mul_f64(0.8),
    })
}

/// The realm's URL, refused where it would carry credentials in the clear to another machine.
async fn realm(asked: &Asked<'_>, bearer: &Bearer) -> Result<Url> {
    let what = || {
        format!(
            "asking {:?} for a token of {}",
            bearer.realm, asked.endpoint.host
        )
    };
    let base = asked.endpoint.base().await?;
    let realm = base
        .join(&bearer.realm)
        .map_err(|error| Refusal::new(what(), Kind::Other, error.to_string()))?;
    let same_host = realm.host_str() == base.host_str();
    let safe = match realm.scheme() {
        "https" => true,
        "http" => {
            matches!(asked.credentials, Credentials::Anonymous)
                || realm.host_str().is_some_and(is_loopback)
                // the user allowed plain HTTP to this very host
                || (same_host && base.scheme() == "http")
        }
        _ => false,
    };
    if safe {
        Ok(realm)
    } else {
        Err(Refusal::new(
            what(),
            Kind::Other,
            "credentials would go over plain HTTP",
        ))
    }
}

/// The usual way: GET with the scopes in the query, Basic if there is somebody to name.
async fn plain(asked: &Asked<'_>, bearer: &Bearer, mut realm: Url) -> Result<Response> {
    {
        let mut query = realm.query_pairs_mut();
        if !bearer.service.is_empty() {
            query.append_pair("service", &bearer.service);
        }
        for scope in asked.scopes {
            query.append_pair("scope", scope);
        }
        if let Credentials::Basic { username, .. } = asked.credentials {
            query.append_pair("account", username);
        }
    }
    let mut request = reqwest::Request::new(Method::GET, realm);
    if let Some(header) = basic(asked.credentials) {
        request.headers_mut().insert(AUTHORIZATION, header);
    }
    send(asked, request).await
}

/// OAuth2, as ACR's identity tokens need it.
async fn oauth2(
    asked: &Asked<'_>,
    bearer: &Bearer,
    realm: Url,
    grant: &[(&str, &str)],
) -> Result<Response> {
    let scopes = asked
        .scopes
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(" ");
    let mut form = vec![
        ("client_id", "image-cloner"),
        ("service", &bearer.service),
        ("scope", &scopes),
    ];
    form.extend_from_slice(grant);
    let client = asked
        .endpoint
        .clients
        .get(realm.scheme(), Lane::Small)
        .map_err(|e| Refusal::new("asking for a token", Kind::Other, e))?;
    let request = client
        .post(realm)
        .form(&form)
        .build()
        .map_err(|error| connection::broken("asking for a token", &error))?;
    send(asked, request).await
}

async fn send(asked: &Asked<'_>, request: reqwest::Request) -> Result<Response> {
    let what = refusal::describe(request.method(), request.url());
    let client = asked
        .endpoint
        .clients
        .get(request.url().scheme(), Lane::Small)
        .map_err(|reason| Refusal::new(what.clone(), Kind::Other, reason))?;
    match timeout(ANSWER, client.execute(request)).await {
        Ok(answer) => answer.map_err(|error| connection::broken(what, &error)),
        Err(_) => {
            let detail = format!("no answer within {} s", ANSWER.as_secs());
            Err(Refusal::new(what, Kind::Connection, detail))
        }
    }
}

/// The challenge of a 401, its scopes joined to those that were asked for.
pub(super) fn challenge_of(
    response: &Response,
    scopes: &BTreeSet<String>,
) -> Option<(Challenge, BTreeSet<String>)> {
    let challenge = challenge::best(response.headers())?;
    let mut wanted = scopes.clone();
    if let Challenge::Bearer(bearer) = &challenge {
        // `repository:a:pull` is part of `repository:a:pull,push`
        for scope in &bearer.scopes {
            if !wanted.iter().any(|have| covers(have, scope)) {
                wanted.insert(scope.clone());
            }
        }
    }
    Some((challenge, wanted))
}

/// Whether one scope grants at least what another does.
fn covers(have: &str, want: &str) -> bool {
    let (Some((of, actions)), Some((what, wanted))) =
        (have.rsplit_once(':'), want.rsplit_once(':'))
    else {
        return have == want;
    };
    of == what
        && wanted
            .split(',')
            .all(|w| actions.split(',').any(|a| a == w))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_covers_its_parts() {
        assert!(covers("repository:a/b:pull,push", "repository:a/b:pull"));
        assert!(covers(
            "repository:a/b:pull,push",
            "repository:a/b:push,pull"
        ));
        assert!(!covers("repository:a/b:pull", "repository:a/b:pull,push"));
        assert!(!covers("repository:a/b:pull", "repository:a/c:pull"));
    }

    #[test]
    fn token_answers_are_read_as_servers_write_them() {
        let check = |body: &str, expected: Option<(&str, u32)>| {
            let got = read_answer(body.as_bytes()).map(|t| {
                let life = t.fresh_until - Instant::now();
                (
                    t.header.to_str().unwrap().to_owned(),
                    life.as_secs_f64().ceil(),
                )
            });
            let expected = expected.map(|(h, s): (&str, u32)| (h.to_owned(), f64::from(s) * 0.8));
            assert_eq!(got, expected, "{body}");
        };
        check(r#"{"token":"a"}"#, Some(("Bearer a", 60)));
        check(
            r#"{"access_token":"b","expires_in":300}"#,
            Some(("Bearer b", 300)),
        );
        check(
            r#"{"token":"","access_token":"b","expires_in":0}"#,
            Some(("Bearer b", 60)),
        );
        check(
            r#"{"token":"a","access_token":"b","issued_at":"x"}"#,
            Some(("Bearer a", 60)),
        );
        check(r#"{"refresh_token":"r"}"#, None);
        check("<html>", None);
    }
}
