//! Pull secrets: what one holds, and ours in a namespace.
//!
//! Decides when ours is written: never when it says the same already, and never when it is not ours.

use super::collection::Collection;
use super::{Cluster, Error, TRIES};
use crate::credentials::{Credentials, Keyring, docker_config_json};
use crate::target::TargetRegistry;
use crate::workload::{MANAGED_BY, PULL_SECRET};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// What a pull secret is to say.
#[derive(Debug, Clone)]
pub struct PullSecret {
    /// The entry's key: `host[/prefix]`.
    pub key: String,
    /// What nodes pull with.
    pub credentials: Credentials,
}

const TYPE: &str = "kubernetes.io/dockerconfigjson";
const KEY: &str = ".dockerconfigjson";

/// What it took to have our pull secret say what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretWrite {
    /// It was not there.
    Created,
    /// It said something else.
    Updated,
    /// Nothing.
    Unchanged,
}

impl PullSecret {
    /// The text of a secret that says this, and what it says already besides.
    fn content(&self, existing: Option<&[u8]>) -> Result<Vec<u8>, Error> {
        docker_config_json(existing, &self.key, &self.credentials).map_err(|error| failed(&error))
    }
}

impl Cluster {
    /// Makes sure the namespace has our pull secret of this name, saying this; other entries stay. No write
    /// when it is so already. Tells whether it was not there before.
    ///
    /// # Errors
    /// [`Error::Namesake`] for a namesake that is not ours: without our label, or of another type. When it may
    /// not be read or written, and when it changed too often meanwhile.
    pub async fn ensure_pull_secret(
        &self,
        namespace: &str,
        name: &str,
        wanted: &PullSecret,
    ) -> Result<SecretWrite, Error> {
        let secrets = Collection::core("secrets", "secret", Some(namespace));
        let mut attempt = 0;
        loop {
            attempt += 1;
            let (write, secret) = next(self, namespace, name, wanted).await?;
            let written = match write {
                SecretWrite::Unchanged => return Ok(write),
                SecretWrite::Updated => self.replace(&secrets, name, &secret).await,
                SecretWrite::Created => self.create(&secrets, name, &secret).await,
            };
            match written {
                // created or changed, or deleted, since it was read
                Err(Error::Conflict(_)) if attempt < TRIES => {}
                Err(Error::NotFound(_)) if attempt == 1 => {}
                answer => return answer.map(|_| write),
            }
        }
    }

    /// What [`Self::ensure_pull_secret`] would do.
    ///
    /// # Errors
    /// As that.
    pub async fn preview_pull_secret(
        &self,
        namespace: &str,
        name: &str,
        wanted: &PullSecret,
    ) -> Result<SecretWrite, Error> {
        let (write, _) = next(self, namespace, name, wanted).await?;
        Ok(write)
    }

    /// Deletes our pull secret in a namespace, if it is there; never a namesake.
    pub async fn delete_pull_secret(&self, namespace: &str, name: &str) -> Result<(), Error> {
        let secrets = Collection::core("secrets", "secret", Some(namespace));
        match self.get_one(&secrets, name).await {
            Ok(secret) if is_ours(&secret) => {
                let uid = secret["metadata"]["uid"].as_str();
                self.delete(&secrets, name, uid).await
            }
            Ok(_) | Err(Error::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether the secret that `--pull-secret` names is in the namespace and has credentials for the target.
    ///
    /// # Errors
    /// When it does not, [`Error::Invalid`] with the reason; when it is not there or cannot be read,
    /// [`Error::NotFound`] or [`Error::Forbidden`].
    pub async fn check_pull_secret(
        &self,
        namespace: &str,
        name: &str,
        target: &TargetRegistry,
    ) -> Result<(), Error> {
        let secrets = Collection::core("secrets", "secret", Some(namespace));
        let secret = self.get_one(&secrets, name).await?;
        let mut keyring = Keyring::default();
        let lack =
            match docker_config(&secret).map(|config| keyring.add_docker_config_json(&config)) {
                Some(Ok(())) if has_credentials(&keyring, target) => return Ok(()),
                Some(Ok(())) => format!("has no credentials for {target}"),
                Some(Err(error)) => format!("cannot be used: {error}"),
                None => "is no pull secret".to_owned(),
            };
        Err(Error::Invalid {
            message: format!("secret/{name} in {namespace} {lack}"),
            hint: Some(format!(
                "kubectl create secret docker-registry makes one that does, with --docker-server={}",
                target.host()
            )),
        })
    }
}

/// The write that is due, and the secret after it.
async fn next(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    wanted: &PullSecret,
) -> Result<(SecretWrite, Value), Error> {
    let secrets = Collection::core("secrets", "secret", Some(namespace));
    match cluster.get_one(&secrets, name).await {
        Ok(existing) => Ok(match changed(existing, wanted)? {
            None => (SecretWrite::Unchanged, Value::Null),
            Some(secret) => (SecretWrite::Updated, secret),
        }),
        Err(Error::NotFound(_)) => Ok((SecretWrite::Created, fresh(namespace, name, wanted)?)),
        Err(error) => Err(error),
    }
}

/// Whether a pull secret has an entry of this very key.
pub(super) fn has_entry(secret: &Value, key: &str) -> bool {
    let config = docker_config(secret).and_then(|config| serde_json::from_slice(&config).ok());
    config.is_some_and(|config: Value| config["auths"].get(key).is_some())
}

/// Whether this is the pull secret that we make, and no namesake.
pub(super) fn is_ours(secret: &Value) -> bool {
    let metadata = &secret["metadata"];
    let (label, ours) = MANAGED_BY;
    metadata["name"] == PULL_SECRET && metadata["labels"][label] == ours
}

/// Whether nodes could pull copies with these.
pub(super) fn has_credentials(pulls: &Keyring, target: &TargetRegistry) -> bool {
    let path = target.prefix().unwrap_or_default();
    !pulls.find(target.host(), path).is_empty()
}

/// The content of a pull secret as docker's `config.json`; the legacy type holds its `auths` alone.
pub(super) fn docker_config(secret: &Value) -> Option<Vec<u8>> {
    let content = |key: &str| STANDARD.decode(secret["data"][key].as_str()?).ok();
    match secret["type"].as_str()? {
        TYPE => content(KEY),
        "kubernetes.io/dockercfg" => {
            let auths: Value = serde_json::from_slice(&content(".dockercfg")?).ok()?;
            Some(json!({ "auths": auths }).to_string().into_bytes())
        }
        _ => None,
    }
}

fn fresh(namespace: &str, name: &str, wanted: &PullSecret) -> Result<Value, Error> {
    let content = wanted.content(None)?;
    let (label, ours) = MANAGED_BY;
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": {label: ours}},
        "type": TYPE,
        "data": {KEY: STANDARD.encode(content)},
    }))
}

/// The secret as it must become; none where it is so already.
fn changed(mut secret: Value, wanted: &PullSecret) -> Result<Option<Value>, Error> {
    let metadata = &secret["metadata"];
    let (label, ours) = MANAGED_BY;
    if metadata["labels"][label] != ours {
        return Err(namesake(
            metadata,
            &format!("it lacks the label {label}={ours}"),
        ));
    }
    if secret["type"] != TYPE {
        let kind = secret["type"].as_str().unwrap_or_default();
        return Err(namesake(
            metadata,
            &format!("it is of type {kind}, not {TYPE}"),
        ));
    }
    let encoded = secret["data"][KEY].as_str();
    let existing = encoded.and_then(|encoded| STANDARD.decode(encoded).ok());
    let content = wanted.content(existing.as_deref())?;
    if existing.as_deref() == Some(content.as_slice()) {
        return Ok(None);
    }
    secret["data"][KEY] = Value::String(STANDARD.encode(content));
    Ok(Some(secret))
}

/// Another secret has the name of ours.
fn namesake(metadata: &Value, why: &str) -> Error {
    Error::Namesake {
        message: format!(
            "secret/{} in {} is not ours: {why}",
            metadata["name"].as_str().unwrap_or_default(),
            metadata["namespace"].as_str().unwrap_or_default(),
        ),
        hint: "rename or delete it, or name a secret that has credentials for the target with --pull-secret"
            .to_owned(),
    }
}

fn failed(error: &crate::credentials::CredentialsError) -> Error {
    Error::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(key: &str, password: &str) -> PullSecret {
        PullSecret {
            key: key.to_owned(),
            credentials: Credentials::Basic {
                username: "puller".to_owned(),
                password: password.to_owned().into(),
            },
        }
    }

    #[test]
    fn an_unchanged_secret_is_no_write_and_a_changed_one_keeps_the_rest() {
        let mut secret = fresh("prod", "image-cloner-pull", &wanted("reg.corp", "a")).unwrap();
        secret["metadata"]["resourceVersion"] = json!("7");
        assert_eq!(
            changed(secret.clone(), &wanted("reg.corp", "a")).unwrap(),
            None
        );

        let next = changed(secret.clone(), &wanted("other.corp", "b"))
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
        let mut secret = fresh("prod", "regcred", &wanted("reg.corp", "a")).unwrap();
        secret["metadata"]["labels"] = json!({});
        let error = changed(secret, &wanted("reg.corp", "a")).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("secret/regcred in prod is not ours"),
            "{error}"
        );
        // that flag names a secret to use, and does not rename ours
        let hint = error.hint().unwrap_or_default();
        assert!(hint.starts_with("rename or delete it"), "{hint}");
    }

    #[test]
    fn a_namesake_of_another_type_is_refused() {
        let mut secret = fresh("prod", "regcred", &wanted("reg.corp", "a")).unwrap();
        secret["type"] = json!("Opaque");
        let error = changed(secret, &wanted("reg.corp", "a")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "secret/regcred in prod is not ours: it is of type Opaque, not kubernetes.io/dockerconfigjson"
        );
    }

    #[test]
    fn both_types_of_pull_secrets_are_read_and_no_other() {
        let auths = json!({"reg.corp": {"auth": "cDpw"}});
        let modern = json!({"auths": auths}).to_string();
        let secret = |kind: &str, key: &str, content: &str| json!({"type": kind, "data": {key: STANDARD.encode(content)}});
        let read = |secret: &Value| {
            docker_config(secret).map(|content| String::from_utf8(content).unwrap())
        };
        let new = secret(
            "kubernetes.io/dockerconfigjson",
            ".dockerconfigjson",
            &modern,
        );
        assert_eq!(read(&new), Some(modern.clone()));
        let legacy = secret("kubernetes.io/dockercfg", ".dockercfg", &auths.to_string());
        assert_eq!(read(&legacy), Some(modern.clone()));
        assert_eq!(read(&secret("Opaque", ".dockerconfigjson", &modern)), None);
    }
}
