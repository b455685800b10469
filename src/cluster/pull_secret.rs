//! Our pull secret in a namespace.
//!
//! Decides when it is written: never when it says the same already, and never when it is not ours.

use super::request::Collection;
use super::{Cluster, Error, TRIES};
use crate::credentials::{Credentials, docker_config_json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The name of the pull secrets that we make.
pub const PULL_SECRET: &str = "image-cloner-pull";

/// Marks what is ours.
const LABEL: &str = "app.kubernetes.io/managed-by";
const OURS: &str = "image-cloner";
const TYPE: &str = "kubernetes.io/dockerconfigjson";
const KEY: &str = ".dockerconfigjson";

pub(super) async fn ensure(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    key: &str,
    credentials: &Credentials,
) -> Result<(), Error> {
    let secrets = Collection::core("secrets", "secret", Some(namespace));
    let mut attempt = 0;
    loop {
        attempt += 1;
        let written = match cluster.get_one(&secrets, name).await {
            Ok(existing) => match changed(existing, key, credentials)? {
                None => return Ok(()),
                Some(secret) => cluster.replace(&secrets, name, &secret).await,
            },
            Err(Error::NotFound(_)) => {
                let secret = fresh(namespace, name, key, credentials)?;
                cluster.create(&secrets, name, &secret).await
            }
            Err(error) => return Err(error),
        };
        match written {
            // created or changed, or deleted, since it was read
            Err(Error::Conflict(_)) if attempt < TRIES => {}
            Err(Error::NotFound(_)) if attempt == 1 => {}
            answer => return answer.map(|_| ()),
        }
    }
}

/// Whether this is the pull secret that we make, and no namesake.
pub(super) fn is_ours(secret: &Value) -> bool {
    let metadata = &secret["metadata"];
    metadata["name"] == PULL_SECRET && metadata["labels"][LABEL] == OURS
}

fn fresh(
    namespace: &str,
    name: &str,
    key: &str,
    credentials: &Credentials,
) -> Result<Value, Error> {
    let content = docker_config_json(None, key, credentials).map_err(|error| failed(&error))?;
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": {LABEL: OURS}},
        "type": TYPE,
        "data": {KEY: STANDARD.encode(content)},
    }))
}

/// The secret as it must become; none where it is so already.
fn changed(
    mut secret: Value,
    key: &str,
    credentials: &Credentials,
) -> Result<Option<Value>, Error> {
    let metadata = &secret["metadata"];
    if metadata["labels"][LABEL] != OURS {
        return Err(Error::Failed(format!(
            "secret/{} in {} is not ours: it lacks the label {LABEL}={OURS}; choose another name \
             with --pull-secret",
            metadata["name"].as_str().unwrap_or_default(),
            metadata["namespace"].as_str().unwrap_or_default(),
        )));
    }
    if secret["type"] != TYPE {
        return Err(Error::Failed(format!(
            "secret/{} in {} is of type {}, not {TYPE}; delete it, or choose another name with \
             --pull-secret",
            metadata["name"].as_str().unwrap_or_default(),
            metadata["namespace"].as_str().unwrap_or_default(),
            secret["type"],
        )));
    }
    let encoded = secret["data"][KEY].as_str();
    let existing = encoded.and_then(|encoded| STANDARD.decode(encoded).ok());
    let content = docker_config_json(existing.as_deref(), key, credentials)
        .map_err(|error| failed(&error))?;
    if existing.as_deref() == Some(content.as_slice()) {
        return Ok(None);
    }
    secret["data"][KEY] = Value::String(STANDARD.encode(content));
    Ok(Some(secret))
}

fn failed(error: &crate::credentials::CredentialsError) -> Error {
    Error::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(password: &str) -> Credentials {
        Credentials::Basic {
            username: "puller".to_owned(),
            password: password.to_owned().into(),
        }
    }

    #[test]
    fn an_unchanged_secret_is_no_write_and_a_changed_one_keeps_the_rest() {
        let mut secret = fresh("prod", "image-cloner-pull", "reg.corp", &credentials("a")).unwrap();
        secret["metadata"]["resourceVersion"] = json!("7");
        assert_eq!(
            changed(secret.clone(), "reg.corp", &credentials("a")).unwrap(),
            None
        );

        let next = changed(secret.clone(), "other.corp", &credentials("b"))
            .unwrap()
            .unwrap();
        assert_eq!(next["metadata"], secret["metadata"]);
        let content = STANDARD
            .decode(next["data"][KEY].as_str().unwrap())
            .unwrap();
        let content: Value = serde_json::from_slice(&content).unwrap();
        let hosts: Vec<&String> = content["auths"].as_object().unwrap().keys().collect();
        assert_eq!(hosts, ["other.corp", "reg.corp"]);
    }

    #[test]
    fn a_namesake_without_our_label_is_refused() {
        let mut secret = fresh("prod", "regcred", "reg.corp", &credentials("a")).unwrap();
        secret["metadata"]["labels"] = json!({});
        let error = changed(secret, "reg.corp", &credentials("a")).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("secret/regcred in prod is not ours"),
            "{error}"
        );
    }
}
