//! What surrounds the selected workloads: ServiceAccounts, pull secrets, the digests that their pods run.
//!
//! Decides which of it is read: everything once, and nothing that no selected workload refers to. What
//! cannot be read becomes a note; a secret is then taken to hold nothing, a ServiceAccount is unknown.

use super::collection::Collection;
use super::observe::{Found, FoundWorkload, PARALLEL};
use super::request::Only;
use super::running::{self, Pod};
use super::{Cluster, Error, Observation, pull_secret};
use crate::credentials::Keyring;
use crate::plan::{Observed, PullCredentials};
use crate::target::TargetRegistry;
use crate::workload::{Workload, WorkloadId};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Namespace and name.
type Key = (String, String);

/// Reads what surrounds the workloads that were found.
pub(super) async fn observe(
    cluster: &Cluster,
    found: Found,
    target: &TargetRegistry,
) -> Result<Observation, Error> {
    let mut lists = pod_lists(&found.workloads, found.everywhere);
    // what was listed as workloads need not be listed again
    lists.retain(|list| !found.pods_of.contains(&list.namespace) && !found.pods_of.contains(&None));
    let (mut secrets, (mut pods, pod_notes)) = tokio::try_join!(
        pull_secrets(cluster, &found.workloads),
        pods(cluster, lists)
    )?;
    let mut observation = Observation {
        missing: found.missing,
        notes: found.notes,
        ..Observation::default()
    };
    for one in found.workloads {
        let id = one.workload.id.clone();
        let opted_out = found.opted_out.get(&id.namespace) == Some(&true);
        let (observed, keyring) = surrounded(one, opted_out, &secrets, target);
        if !keyring.is_empty() {
            observation.keyrings.insert(id, keyring);
        }
        observation.observed.push(observed);
    }
    pods.extend(found.pods);
    running::note(&mut observation.observed, &pods);
    observation.in_pods = running::in_pods(&observation.observed, &pods);
    observation.notes.append(&mut secrets.notes);
    observation.notes.extend(pod_notes);
    Ok(observation)
}

/// Reads what surrounds one workload.
pub(super) async fn of_one(
    cluster: &Cluster,
    found: FoundWorkload,
    opted_out: bool,
    target: &TargetRegistry,
) -> Result<(Observed, Keyring), Error> {
    let only = std::slice::from_ref(&found);
    let (secrets, (pods, _)) = tokio::try_join!(
        pull_secrets(cluster, only),
        pods(cluster, pod_lists(only, false))
    )?;
    let (mut observed, keyring) = surrounded(found, opted_out, &secrets, target);
    running::note(std::slice::from_mut(&mut observed), &pods);
    Ok((observed, keyring))
}

/// The credentials for the sources of these workloads.
pub(super) async fn keyrings(
    cluster: &Cluster,
    workloads: Vec<Workload>,
) -> Result<BTreeMap<WorkloadId, Keyring>, Error> {
    let named = |workload| FoundWorkload {
        workload,
        named: true,
    };
    let found: Vec<FoundWorkload> = workloads.into_iter().map(named).collect();
    let secrets = pull_secrets(cluster, &found).await?;
    let keyring = |found: FoundWorkload| {
        let workload = found.workload;
        let namespace = workload.id.namespace.as_str();
        let account = (namespace.to_owned(), workload.service_account.clone());
        let inherited = secrets.of_accounts.get(&account).into_iter().flatten();
        let own = workload.pull_secrets.iter().flatten();
        let keyring = secrets.keyring(namespace, own.chain(inherited), |_| true);
        (workload.id, keyring)
    };
    Ok(found.into_iter().map(keyring).collect())
}

/// A workload with what was read, but for what runs, and the credentials for its sources.
fn surrounded(
    FoundWorkload { workload, named }: FoundWorkload,
    namespace_opted_out: bool,
    secrets: &PullSecrets,
    target: &TargetRegistry,
) -> (Observed, Keyring) {
    let namespace = workload.id.namespace.as_str();
    let account = (namespace.to_owned(), workload.service_account.clone());
    let account_pull_secrets = secrets.of_accounts.get(&account).cloned();
    let inherited = account_pull_secrets.as_deref().unwrap_or_default();
    let own = workload.pull_secrets.as_deref().unwrap_or_default();
    // admission gives the ServiceAccount's names only to a pod whose own list is empty
    let effective = match own {
        [] => inherited,
        own => own,
    };
    let pulls = |ours: bool| {
        let of_that_kind = |content: &Content| content.ours == ours;
        pull_secret::has_credentials(&secrets.keyring(namespace, effective, of_that_kind), target)
    };
    let pull_credentials = if pulls(false) {
        PullCredentials::Own
    } else if pulls(true) {
        PullCredentials::Ours
    } else {
        PullCredentials::None
    };
    let sources = secrets.keyring(namespace, own.iter().chain(inherited), |_| true);
    let observed = Observed {
        running: BTreeMap::new(),
        pull_credentials,
        account_pull_secrets,
        named,
        namespace_opted_out,
        workload,
    };
    (observed, sources)
}

/// The pull secrets of workloads and ServiceAccounts.
struct PullSecrets {
    /// The names that each ServiceAccount gives; not in it where it could not be read.
    of_accounts: BTreeMap<Key, Vec<String>>,
    /// Every one that is named, is there and can be read.
    contents: BTreeMap<Key, Content>,
    notes: Vec<String>,
}

impl PullSecrets {
    /// What those of these names hold, as far as they are wanted.
    fn keyring<'a>(
        &self,
        namespace: &str,
        names: impl IntoIterator<Item = &'a String>,
        wanted: impl Fn(&Content) -> bool,
    ) -> Keyring {
        let mut keyring = Keyring::default();
        for name in names {
            let content = self.contents.get(&(namespace.to_owned(), name.clone()));
            if let Some(content) = content.filter(|content| wanted(content)) {
                // each was tried when it was read
                let _ = keyring.add_docker_config_json(&content.config);
            }
        }
        keyring
    }
}

/// A pull secret that was read.
struct Content {
    /// In the form that a keyring takes.
    config: Vec<u8>,
    /// Whether it is the one that we make and keep up.
    ours: bool,
}

async fn pull_secrets(
    cluster: &Cluster,
    workloads: &[FoundWorkload],
) -> Result<PullSecrets, Error> {
    let mut notes = Vec::new();
    let accounts: BTreeSet<Key> = workloads
        .iter()
        .map(|found| &found.workload)
        .map(|workload| {
            (
                workload.id.namespace.clone(),
                workload.service_account.clone(),
            )
        })
        .collect();
    let accounts = get_each(
        cluster,
        "serviceaccounts",
        "serviceaccount",
        accounts,
        &mut notes,
    );
    let accounts: BTreeMap<Key, Vec<String>> = accounts
        .await?
        .into_iter()
        .map(|(key, account)| (key, secret_names(&account)))
        .collect();

    let mut names = BTreeSet::new();
    for (key, secrets) in &accounts {
        names.extend(secrets.iter().map(|name| (key.0.clone(), name.clone())));
    }
    for FoundWorkload { workload, .. } in workloads {
        let namespace = &workload.id.namespace;
        let own = workload.pull_secrets.iter().flatten();
        names.extend(own.map(|name| (namespace.clone(), name.clone())));
    }
    let secrets = get_each(cluster, "secrets", "secret", names, &mut notes).await?;
    let mut contents = BTreeMap::new();
    for (key, secret) in secrets {
        match pull_secret::docker_config(&secret) {
            _ if secret.is_null() => {}
            Some(config) if Keyring::default().add_docker_config_json(&config).is_ok() => {
                let ours = pull_secret::is_ours(&secret);
                contents.insert(key, Content { config, ours });
            }
            // neither would the kubelet use it
            _ => notes.push(format!(
                "secret/{} in {} is no pull secret that can be read; it is left out",
                key.1, key.0
            )),
        }
    }
    Ok(PullSecrets {
        of_accounts: accounts,
        contents,
        notes,
    })
}

/// Gets each object once. One that is not there comes as null, as it is nothing to the kubelet; one that
/// cannot be read is left out, which is noted once per namespace.
async fn get_each(
    cluster: &Cluster,
    plural: &str,
    singular: &str,
    keys: BTreeSet<Key>,
    notes: &mut Vec<String>,
) -> Result<Vec<(Key, Value)>, Error> {
    let answers: Vec<(Key, Result<Value, Error>)> = stream::iter(keys)
        .map(|key| async move {
            let collection = Collection::core(plural, singular, Some(&key.0));
            let answer = match cluster.get_one(&collection, &key.1).await {
                Err(error) if !error.is_local() => return Err(error),
                answer => answer,
            };
            Ok((key, answer))
        })
        .buffered(PARALLEL)
        .try_collect()
        .await?;
    let mut found = Vec::new();
    let mut said = BTreeSet::new();
    for (key, answer) in answers {
        match answer {
            Ok(object) => found.push((key, object)),
            Err(Error::NotFound(_)) => found.push((key, Value::Null)),
            Err(error) => {
                if said.insert(key.0.clone()) {
                    notes.push(format!("cannot read {plural} in {}: {error}", key.0));
                }
            }
        }
    }
    Ok(found)
}

fn secret_names(account: &Value) -> Vec<String> {
    let references = account["imagePullSecrets"].as_array();
    references
        .into_iter()
        .flatten()
        .filter_map(|reference| reference["name"].as_str().map(str::to_owned))
        .collect()
}

/// One list of pods.
struct PodList {
    namespace: Option<String>,
    labels: Option<String>,
    fields: Option<String>,
}

/// The pods of these lists.
async fn pods(cluster: &Cluster, lists: Vec<PodList>) -> Result<(Vec<Pod>, Vec<String>), Error> {
    let answers: Vec<Result<Vec<Pod>, Error>> = stream::iter(lists)
        .map(|list| async move {
            let collection = Collection::core("pods", "pod", list.namespace.as_deref());
            let only = Only {
                labels: list.labels.as_deref(),
                fields: list.fields.as_deref(),
            };
            match cluster.list(&collection, only, |pod| Pod::read(&pod)).await {
                Err(error) if !error.is_local() => Err(error),
                answer => Ok(answer),
            }
        })
        .buffered(PARALLEL)
        .try_collect()
        .await?;
    let mut pods = Vec::new();
    let mut notes = Vec::new();
    for answer in answers {
        match answer {
            Ok(mut some) => pods.append(&mut some),
            Err(error) => notes.push(format!("{error}; which digests run is not known")),
        }
    }
    Ok((pods, notes))
}

/// The lists that have the pods of these workloads: one per namespace, or one for all.
fn pod_lists(workloads: &[FoundWorkload], everywhere: bool) -> Vec<PodList> {
    if everywhere {
        let list = PodList {
            namespace: None,
            labels: None,
            fields: None,
        };
        return if workloads.is_empty() {
            Vec::new()
        } else {
            vec![list]
        };
    }
    let mut by_namespace: BTreeMap<&str, Vec<&Workload>> = BTreeMap::new();
    for FoundWorkload { workload, .. } in workloads {
        let namespace = workload.id.namespace.as_str();
        by_namespace.entry(namespace).or_default().push(workload);
    }
    let list = |(namespace, workloads): (&str, Vec<&Workload>)| {
        let (labels, fields) = match workloads[..] {
            [workload] => only_its_pods(workload),
            _ => (None, None),
        };
        PodList {
            namespace: Some(namespace.to_owned()),
            labels,
            fields,
        }
    };
    by_namespace.into_iter().map(list).collect()
}

/// Selectors, of labels and of fields, that leave out most pods of others.
fn only_its_pods(workload: &Workload) -> (Option<String>, Option<String>) {
    match workload.id.kind.kind.as_str() {
        "Pod" => (None, Some(format!("metadata.name={}", workload.id.name))),
        // the label that every Job puts on its pods
        "CronJob" => (Some("job-name".to_owned()), None),
        _ => (workload.pod_selector.clone(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Kind;
    use serde_json::json;

    fn found(word: &str, namespace: &str, name: &str) -> FoundWorkload {
        let pod = json!({"spec": {"containers": []}});
        let spec = match word {
            "po" => pod["spec"].clone(),
            "cj" => json!({"jobTemplate": {"spec": {"template": pod}}}),
            _ => json!({"template": pod, "selector": {"matchLabels": {"app": name}}}),
        };
        let object = json!({"metadata": {"namespace": namespace, "name": name}, "spec": spec});
        FoundWorkload {
            workload: Workload::from_object(&Kind::from_word(word).unwrap(), &object).unwrap(),
            named: true,
        }
    }

    #[test]
    fn pods_are_listed_once_per_namespace_and_narrowly_for_one_workload() {
        let check = |workloads: &[FoundWorkload], everywhere: bool, expected: &[&str]| {
            let lists = pod_lists(workloads, everywhere);
            let shown = lists.iter().map(|list| {
                let namespace = list.namespace.as_deref().unwrap_or("*");
                let only = list.labels.as_deref().or(list.fields.as_deref());
                format!("{namespace} {}", only.unwrap_or("*"))
            });
            assert_eq!(shown.collect::<Vec<_>>(), expected);
        };
        check(&[], false, &[]);
        check(&[], true, &[]);
        check(&[found("deploy", "a", "web")], false, &["a app=web"]);
        check(&[found("cj", "a", "backup")], false, &["a job-name"]);
        check(
            &[found("po", "a", "debug")],
            false,
            &["a metadata.name=debug"],
        );
        let three = [
            found("deploy", "a", "x"),
            found("deploy", "b", "y"),
            found("sts", "a", "z"),
        ];
        check(&three, false, &["a *", "b app=y"]);
        check(&three, true, &["* *"]);
    }
}
