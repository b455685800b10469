//! docker's `config.json`, which podman's `auth.json` and pull secrets share: reading and writing.

use super::scope::Scope;
use super::{Credentials, CredentialsError};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Some tools leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A parsed file; each list has the most specific scope first.
#[derive(Debug, Default)]
pub(super) struct DockerConfig {
    /// Stored credentials, or why an entry cannot be used.
    pub(super) entries: Vec<(Scope, Result<Credentials, String>)>,
    /// Names of helpers for single hosts.
    pub(super) helpers: Vec<(Scope, String)>,
    /// Name of the helper for all hosts.
    pub(super) store: Option<String>,
}

/// As docker has it: what is null is not there.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    auths: Option<BTreeMap<String, Option<Entry>>>,
    #[serde(default)]
    cred_helpers: Option<BTreeMap<String, Option<String>>>,
    #[serde(default)]
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

impl DockerConfig {
    /// Parses a file's content. One entry that cannot be used does not spoil the others.
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        // docker takes an empty file for an empty configuration
        if json.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        let raw: Raw = serde_json::from_slice(json).map_err(|error| without_values(&error))?;
        let mut config = Self {
            entries: raw
                .auths
                .unwrap_or_default()
                .into_iter()
                .filter_map(|(key, entry)| {
                    let credentials = entry.unwrap_or_default().credentials().transpose()?;
                    let credentials =
                        credentials.map_err(|reason| format!("the entry {key:?} {reason}"));
                    Some((Scope::parse(&key), credentials))
                })
                .collect(),
            helpers: raw
                .cred_helpers
                .unwrap_or_default()
                .into_iter()
                .filter_map(|(key, helper)| Some((Scope::parse(&key), helper?)))
                .collect(),
            store: raw.creds_store.filter(|store| !store.is_empty()),
        };
        config.entries.sort_by_key(|(scope, _)| scope.specificity());
        config.helpers.sort_by_key(|(scope, _)| scope.specificity());
        Ok(config)
    }
}

impl DockerConfig {
    /// The helper that keeps the credentials of a host: its own one before the general one.
    pub(super) fn helper_of(&self, host: &str) -> Option<&str> {
        let own = self.helpers.iter().find(|(scope, _)| scope.host == host);
        own.map(|(_, helper)| helper)
            .or(self.store.as_ref())
            .map(String::as_str)
    }
}

impl Entry {
    /// None for an empty entry, which docker writes for each host whose credentials a helper keeps.
    fn credentials(self) -> Result<Option<Credentials>, &'static str> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        if let Some(token) = given(self.identitytoken) {
            return Ok(Some(Credentials::IdentityToken(token.into())));
        }
        let (username, password) = match given(self.auth) {
            Some(auth) => decode(&auth).ok_or("has an auth that is not base64 of user:password")?,
            None => (
                self.username.unwrap_or_default(),
                self.password.unwrap_or_default(),
            ),
        };
        if username.is_empty() && password.is_empty() {
            return Ok(None);
        }
        let password = SecretString::from(password);
        Ok(Some(Credentials::Basic { username, password }))
    }
}

fn decode(auth: &str) -> Option<(String, String)> {
    let text = String::from_utf8(BASE64.decode(auth.trim()).ok()?).ok()?;
    let (username, password) = text.split_once(':')?;
    // old versions of docker padded the password
    Some((
        username.to_owned(),
        password.trim_end_matches('\0').to_owned(),
    ))
}

/// What docker's own file has for these credentials: no clear text beside the encoded one.
pub(super) fn own_entry(credentials: &Credentials) -> Value {
    match credentials {
        Credentials::Anonymous => json!({}),
        Credentials::Basic { username, password } => {
            json!({"auth": BASE64.encode(format!("{username}:{}", password.expose_secret()))})
        }
        Credentials::IdentityToken(token) => json!({"identitytoken": token.expose_secret()}),
    }
}

/// A `.dockerconfigjson` with one entry more: `key` is `host[/prefix]`; other entries of `existing` are
/// kept. The bytes are the same for the same input, so that an unchanged secret is no write.
pub fn docker_config_json(
    existing: Option<&[u8]>,
    key: &str,
    credentials: &Credentials,
) -> Result<Vec<u8>, CredentialsError> {
    let error = |reason: &str| CredentialsError::of_host(key, reason);
    let mut config = match existing {
        Some(json) => serde_json::from_slice::<Map<String, Value>>(json)
            .map_err(|cause| error(&without_values(&cause)))?,
        None => Map::new(),
    };
    let entry = match credentials {
        Credentials::Anonymous => {
            return Err(error("a pull secret has no entry for anonymous access"));
        }
        Credentials::Basic { username, password } => {
            let password = password.expose_secret();
            let auth = BASE64.encode(format!("{username}:{password}"));
            json!({"auth": auth, "username": username, "password": password})
        }
        Credentials::IdentityToken(token) => json!({"identitytoken": token.expose_secret()}),
    };
    let auths = config.entry("auths").or_insert_with(|| json!({}));
    let auths = auths
        .as_object_mut()
        .ok_or_else(|| error("auths is not an object"))?;
    auths.insert(key.to_owned(), entry);
    serde_json::to_vec(&config).map_err(|cause| error(&cause.to_string()))
}

/// Where JSON is wrong, without what is there: it may be a password.
fn without_values(error: &serde_json::Error) -> String {
    let kind = if error.is_data() {
        "not a docker configuration"
    } else {
        "not JSON"
    };
    format!("{kind}, line {} column {}", error.line(), error.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(entry: &Value, expected: Option<(&str, &str)>) {
        let json = json!({"auths": {"r.io": entry}}).to_string();
        let config = DockerConfig::parse(json.as_bytes()).unwrap();
        let found = config
            .entries
            .first()
            .map(|(_, found)| found.as_ref().unwrap());
        let found = found.map(|credentials| match credentials {
            Credentials::Basic { username, password } => {
                (username.as_str(), password.expose_secret())
            }
            Credentials::IdentityToken(token) => ("<token>", token.expose_secret()),
            Credentials::Anonymous => panic!("an entry is never anonymous"),
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn entries_come_in_many_forms() {
        check(&json!({"auth": "bWU6cGE6c3M="}), Some(("me", "pa:ss")));
        check(&json!({"auth": "bWU6cGE6c3M"}), Some(("me", "pa:ss")));
        check(
            &json!({"auth": BASE64.encode("me:pass\0\0")}),
            Some(("me", "pass")),
        );
        check(
            &json!({"username": "me", "password": "pass"}),
            Some(("me", "pass")),
        );
        check(
            &json!({"auth": "bWU6cGE6c3M=", "username": "old", "password": "old"}),
            Some(("me", "pa:ss")),
        );
        check(
            &json!({"auth": BASE64.encode("0000:"), "identitytoken": "t"}),
            Some(("<token>", "t")),
        );
        check(&json!({}), None);
        check(&json!({"email": "me@corp"}), None);
        check(&Value::Null, None);
        let nothing =
            json!({"auth": null, "username": "me", "password": "pass", "identitytoken": null});
        check(&nothing, Some(("me", "pass")));
    }

    #[test]
    fn an_unusable_entry_spoils_only_itself() {
        for auth in ["$", "bWU=", "//79"] {
            let json = json!({"auths": {"a.io": {"auth": auth}, "b.io": {"auth": "bWU6cGE6c3M="}}});
            let config = DockerConfig::parse(json.to_string().as_bytes()).unwrap();
            let error = config.entries[0].1.as_ref().unwrap_err();
            assert!(error.contains("a.io") && !error.contains(auth), "{error}");
            assert!(config.entries[1].1.is_ok());
        }
    }

    #[test]
    fn errors_and_debug_show_no_values() {
        let error = DockerConfig::parse(br#"{"auths": {"r.io": "hunter2"}}"#).unwrap_err();
        assert_eq!(error, "not a docker configuration, line 1 column 28");
        let error = DockerConfig::parse(b"{").unwrap_err();
        assert_eq!(error, "not JSON, line 1 column 1");
        let json = br#"{"auths": {"r.io": {"username": "me", "password": "hunter2"}}}"#;
        let shown = format!("{:?}", DockerConfig::parse(json).unwrap());
        assert!(
            shown.contains("me") && !shown.contains("hunter2"),
            "{shown}"
        );
    }

    #[test]
    fn empty_files_are_empty_configurations() {
        for json in [
            "",
            " \n",
            "{}",
            r#"{"auths": null, "credsStore": ""}"#,
            r#"{"auths": {"r.io": null}, "credHelpers": {"r.io": null}}"#,
        ] {
            let config = DockerConfig::parse(json.as_bytes()).unwrap();
            assert!(config.entries.is_empty() && config.store.is_none());
            assert_eq!(config.helper_of("r.io"), None);
        }
    }

    #[test]
    fn writing_adds_one_entry_and_keeps_the_rest() {
        let basic = Credentials::Basic {
            username: "me".to_owned(),
            password: "pass".into(),
        };
        let first = docker_config_json(None, "r.io/cache", &basic).unwrap();
        assert_eq!(
            String::from_utf8(first.clone()).unwrap(),
            r#"{"auths":{"r.io/cache":{"auth":"bWU6cGFzcw==","password":"pass","username":"me"}}}"#
        );
        let again = docker_config_json(Some(&first), "r.io/cache", &basic).unwrap();
        assert_eq!(again, first);

        let token = Credentials::IdentityToken("t".into());
        let both = docker_config_json(Some(&first), "a.io", &token).unwrap();
        let both: Value = serde_json::from_slice(&both).unwrap();
        assert_eq!(both["auths"]["a.io"], json!({"identitytoken": "t"}));
        assert_eq!(both["auths"]["r.io/cache"]["username"], "me");

        let foreign = br#"{"credsStore":"x"}"#;
        let kept = docker_config_json(Some(foreign), "a.io", &token).unwrap();
        assert!(
            String::from_utf8(kept)
                .unwrap()
                .contains(r#""credsStore":"x""#)
        );
    }

    #[test]
    fn writing_refuses_what_it_would_destroy() {
        let token = Credentials::IdentityToken("t".into());
        for existing in ["", "[]", r#"{"auths": []}"#] {
            assert!(docker_config_json(Some(existing.as_bytes()), "r.io", &token).is_err());
        }
        assert!(docker_config_json(None, "r.io", &Credentials::Anonymous).is_err());
    }
}
