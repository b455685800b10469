//! Asking a token server: by GET with a password, or by OAuth2 with what stands for one.
//!
//! Decides how these credentials are shown. Never sends them over plain HTTP to another machine, and never
//! after a redirect, which is an answer like any other here.

use super::call::ANSWER;
use super::challenge::Bearer;
use super::clients::Lane;
use super::connection;
use super::place::is_loopback;
use super::refusal::{self, Kind, Refusal, Result};
use super::token::Asked;
use crate::credentials::Credentials;
use base64::Engine as _;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, Response, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

/// Trades a refresh token, as ACR's identity tokens need it.
pub(super) async fn refresh(
    asked: &Asked<'_>,
    bearer: &Bearer,
    realm: Url,
    token: &SecretString,
) -> Result<Response> {
    let grant = [
        ("grant_type", "refresh_token"),
        ("refresh_token", token.expose_secret()),
    ];
    oauth2(asked, bearer, realm, &grant).await
}

/// Asks the token server in the usual way, and where it does not know that one, by OAuth2.
pub(super) async fn ask(asked: &Asked<'_>, bearer: &Bearer, realm: Url) -> Result<Response> {
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

/// The `Authorization` header of a user name and password; none for others.
pub(super) fn basic(credentials: &Credentials) -> Option<HeaderValue> {
    let Credentials::Basic { username, password } = credentials else {
        return None;
    };
    let pair = format!("{username}:{}", password.expose_secret());
    let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
    let mut header = HeaderValue::from_str(&format!("Basic {encoded}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// The realm's URL, refused where it would carry credentials in the clear to another machine, and where a
/// registry behind TLS sends to something that has none.
pub(super) async fn realm(asked: &Asked<'_>, bearer: &Bearer) -> Result<Url> {
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
    let is_anonymous = matches!(asked.credentials, Credentials::Anonymous);
    let is_here = realm.host_str().is_some_and(is_loopback);
    let detail = match (base.scheme(), realm.scheme()) {
        (_, "https") => return Ok(realm),
        // the user allowed plain HTTP to this very host
        ("http", "http") if is_anonymous || is_here || realm.host_str() == base.host_str() => {
            return Ok(realm);
        }
        ("http", "http") => "credentials would go over plain HTTP",
        ("https", "http") if is_here && base.host_str().is_some_and(is_loopback) => {
            return Ok(realm);
        }
        // it might be anything that this machine reaches and the registry's owner does not
        ("https", "http") => {
            let detail = "the registry speaks TLS, and this does not";
            return Err(Refusal::new(what(), Kind::Other, detail)
                .hinted("who runs it sets its external URL to https://"));
        }
        _ => "no place for HTTP",
    };
    Err(Refusal::new(what(), Kind::Other, detail))
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

/// OAuth2.
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
        .get(&realm, Lane::Small)
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
        .get(request.url(), Lane::Small)
        .map_err(|reason| Refusal::new(what.clone(), Kind::Other, reason))?;
    match timeout(ANSWER, client.execute(request)).await {
        Ok(answer) => answer.map_err(|error| connection::broken(what, &error)),
        Err(_) => {
            let detail = format!("no answer within {} s", ANSWER.as_secs());
            Err(Refusal::new(what, Kind::Connection, detail))
        }
    }
}
