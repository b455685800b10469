//! Tokens: fetched once, shared, renewed before they expire.
//!
//! Decides how a challenge is answered and for how long an answer is good. Never shows a token, nor what
//! was given for it.

use super::challenge::{self, Bearer, Challenge};
use super::connection;
use super::grant;
use super::host::Endpoint;
use super::refusal::{self, Kind, Refusal, Result};
use super::retry::Pause;
use crate::credentials::Credentials;
use reqwest::header::HeaderValue;
use reqwest::{Method, Response, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What a token is good for where its answer does not say: the token specification's default.
const DEFAULT_LIFE: Duration = Duration::from_secs(60);

/// With so many tokens, those that are of no use any more are forgotten; all of them, where there are none.
const MANY: usize = 1000;

/// How much of a token server's answer is read. Servers and proxies take headers of 8 to 32 KiB, which is
/// what a token becomes.
const ANSWER_CAP: usize = 64 * 1024;

/// Every token of the process, by what it was asked for.
#[derive(Default)]
pub(super) struct Tokens {
    cache: Mutex<HashMap<Key, Slot>>,
    /// What token servers gave to be used in place of an identity token from then on.
    successors: Mutex<HashMap<Server, SecretString>>,
}

type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

/// A token server, as somebody knows it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Server {
    realm: String,
    service: String,
    who: [u8; 32],
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    server: Server,
    scopes: BTreeSet<String>,
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
            Challenge::Basic => Ok(grant::basic(asked.credentials)),
            Challenge::Bearer(bearer) => self.bearer(asked, bearer).await.map(Some),
        }
    }

    async fn bearer(&self, asked: &Asked<'_>, bearer: &Bearer) -> Result<HeaderValue> {
        let server = Server {
            realm: bearer.realm.clone(),
            service: bearer.service.clone(),
            who: fingerprint(asked.credentials),
        };
        let slot = self.slot(Key {
            server: server.clone(),
            scopes: asked.scopes.clone(),
        });
        // held while fetching: whoever comes meanwhile wants the same token
        let mut slot = slot.lock().await;
        if let Some(token) = slot.as_ref()
            && token.fresh_until > Instant::now()
            && Some(&token.header) != asked.refused
        {
            return Ok(token.header.clone());
        }
        // whoever was here before may have been told to come back later
        while let Some(left) = asked.endpoint.held() {
            tokio::time::sleep(Pause::asked(&asked.endpoint.host, left).length).await;
        }
        let token = self.fetch(asked, bearer, &server).await?;
        let header = token.header.clone();
        *slot = Some(token);
        Ok(header)
    }

    fn slot(&self, key: Key) -> Slot {
        let mut cache = lock(&self.cache);
        if cache.len() >= MANY && !cache.contains_key(&key) {
            let now = Instant::now();
            let is_fresh =
                |token: &Option<Token>| token.as_ref().is_some_and(|it| it.fresh_until > now);
            // one that is locked is being fetched
            cache.retain(|_, slot| slot.try_lock().map_or(true, |token| is_fresh(&token)));
            if cache.len() >= MANY {
                cache.retain(|_, slot| Arc::strong_count(slot) > 1);
            }
        }
        Arc::clone(cache.entry(key).or_default())
    }

    async fn fetch(&self, asked: &Asked<'_>, bearer: &Bearer, server: &Server) -> Result<Token> {
        let realm = grant::realm(asked, bearer).await?;
        let what = refusal::describe(&Method::GET, &realm);
        let response = match asked.credentials {
            Credentials::IdentityToken(token) => {
                self.trade(asked, bearer, realm, server, token).await?
            }
            Credentials::Anonymous | Credentials::Basic { .. } => {
                grant::ask(asked, bearer, realm).await?
            }
        };
        if !response.status().is_success() {
            let mut refusal = refusal::read(&Method::GET, response, &who(asked.credentials)).await;
            refusal.by_token_server = true;
            // without its tokens nothing is to be had from the registry either
            if let Some(pause) = refusal.pause_asked() {
                asked.endpoint.hold(pause);
            }
            return Err(refusal);
        }
        let body = connection::capped(response, ANSWER_CAP).await?;
        let answer = serde_json::from_slice::<Answer>(&body).ok();
        let (token, successor) = answer
            .and_then(|answer| {
                Some((
                    read_answer(&answer)?,
                    answer.refresh_token.filter(|t| !t.is_empty()),
                ))
            })
            .ok_or_else(|| {
                Refusal::new(what, Kind::Other, "the token server's answer has no token")
            })?;
        // it was not asked for in exchange for a password, which is good for longer
        if let (Credentials::IdentityToken(_), Some(successor)) = (asked.credentials, successor) {
            lock(&self.successors).insert(server.clone(), successor.into());
        }
        Ok(token)
    }

    /// Trades an identity token, or what the server gave in its place.
    async fn trade(
        &self,
        asked: &Asked<'_>,
        bearer: &Bearer,
        realm: Url,
        server: &Server,
        given: &SecretString,
    ) -> Result<Response> {
        let successor = lock(&self.successors).get(server).cloned();
        if let Some(successor) = successor {
            let response = grant::refresh(asked, bearer, realm.clone(), &successor).await?;
            let is_refused = matches!(
                response.status(),
                StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED
            );
            if !is_refused {
                return Ok(response);
            }
            lock(&self.successors).remove(server);
        }
        grant::refresh(asked, bearer, realm, given).await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells credentials apart without keeping them.
pub(super) fn fingerprint(credentials: &Credentials) -> [u8; 32] {
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
    refresh_token: Option<String>,
}

fn read_answer(answer: &Answer) -> Option<Token> {
    let secret = [&answer.token, &answer.access_token]
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
    fn tokens_that_are_of_no_use_any_more_are_forgotten() {
        let tokens = Tokens::default();
        let key = |at: usize| Key {
            server: Server {
                realm: String::new(),
                service: String::new(),
                who: [0; 32],
            },
            scopes: [at.to_string()].into(),
        };
        let good = read_answer(&serde_json::from_str(r#"{"token":"a"}"#).unwrap());
        *tokens.slot(key(0)).try_lock().unwrap() = good;
        let fetched = tokens.slot(key(1));
        let _fetching = fetched.try_lock().unwrap();
        for at in 2..=MANY {
            tokens.slot(key(at));
        }
        let cache = lock(&tokens.cache);
        let kept: BTreeSet<_> = cache.keys().flat_map(|key| key.scopes.clone()).collect();
        let last = MANY.to_string();
        assert_eq!(kept, ["0", "1", last.as_str()].map(str::to_owned).into());
    }

    #[test]
    fn tokens_that_are_all_good_are_not_kept_without_end() {
        let tokens = Tokens::default();
        for at in 0..3 * MANY {
            let server = Server {
                realm: at.to_string(),
                service: String::new(),
                who: [0; 32],
            };
            let slot = tokens.slot(Key {
                server,
                scopes: BTreeSet::new(),
            });
            let answer = r#"{"token":"a","expires_in":86400}"#;
            *slot.try_lock().unwrap() = read_answer(&serde_json::from_str(answer).unwrap());
        }
        let kept = lock(&tokens.cache).len();
        assert!((1..=MANY).contains(&kept), "{kept}");
    }

    #[test]
    fn token_answers_are_read_as_servers_write_them() {
        let check = |body: &str, expected: Option<(&str, u32)>| {
            let answer = serde_json::from_str(body).ok();
            let got = answer.and_then(|answer| read_answer(&answer)).map(|t| {
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
