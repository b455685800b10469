//! Where our pull secret is, and who names it, in one namespace or in all.
//!
//! Decides what counts as naming it: pods, whatever made them, workloads and ServiceAccounts, and objects of
//! the cluster's own kinds, where nothing else does. Never decides what follows from it (that is
//! [`crate::plan::upkeep`]).

use super::collection::Collection;
use super::discovery;
use super::observe::{self, PARALLEL};
use super::pull_secret;
use super::request::Only;
use super::{Cluster, Error, Selection};
use crate::plan::{Site, SiteSecret, has_copies};
use crate::target::TargetRegistry;
use crate::workload::PULL_SECRET;
use futures::stream::{self, StreamExt as _};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

impl Cluster {
    /// Where our pull secret is and who names it, in a namespace or in all, and what of it could not be
    /// read.
    ///
    /// # Errors
    /// When secrets, ServiceAccounts or pods cannot be listed: without all of them it cannot be told who
    /// needs what.
    pub async fn pull_secret_sites(
        &self,
        namespace: Option<&str>,
        target: &TargetRegistry,
    ) -> Result<(Vec<Site>, Vec<Error>), Error> {
        let selection = match namespace {
            Some(name) => Selection::parse(&[format!("ns/{name}")], false, None),
            None => Selection::parse(&[], true, None),
        };
        let selection = selection.map_err(|error| Error::Invalid {
            message: error.message,
            hint: error.hint,
        })?;
        let (secrets, accounts, pods, found) = tokio::try_join!(
            secrets(self, namespace, target),
            naming(self, namespace, ("serviceaccounts", "serviceaccount"), ""),
            naming(self, namespace, ("pods", "pod"), "/spec"),
            observe::find(self, &selection),
        )?;
        let mut sites: BTreeMap<String, Site> = BTreeMap::new();
        for (namespace, secret) in secrets {
            site(&mut sites, &namespace).secret = secret;
        }
        for (namespace, _) in accounts.iter().chain(&pods) {
            site(&mut sites, namespace).named = true;
        }
        for found in &found.workloads {
            let workload = &found.workload;
            let namespace = &workload.id.namespace;
            let own = workload.pull_secrets.as_deref().unwrap_or_default();
            let by_account =
                || accounts.contains(&(namespace.clone(), workload.service_account.clone()));
            let named = if own.is_empty() {
                by_account()
            } else {
                own.iter().any(|name| name == PULL_SECRET)
            };
            let site = site(&mut sites, namespace);
            site.named |= named;
            site.pulls |= named && has_copies(workload, target);
        }
        let missing = found.missing.first().map(ToString::to_string);
        let mut sites: Vec<Site> = sites.into_values().collect();
        for site in &mut sites {
            site.unseen.clone_from(&missing);
            site.opted_out = found.opted_out.get(&site.namespace) == Some(&true);
        }
        look_closer(self, &mut sites).await?;
        Ok((sites, found.missing))
    }
}

/// Looks through the cluster's own kinds where our secret seems to be named by nothing: an operator that makes
/// its pods now and then names it in objects that no other list has.
async fn look_closer(cluster: &Cluster, sites: &mut [Site]) -> Result<(), Error> {
    let is_ours = |site: &&mut Site| matches!(site.secret, SiteSecret::Ours { .. });
    let unnamed = sites.iter_mut().filter(is_ours);
    let unnamed: Vec<&mut Site> = unnamed
        .filter(|site| !site.named && site.unseen.is_none())
        .collect();
    if unnamed.is_empty() {
        return Ok(());
    }
    let (kinds, unknown) = discovery::own_kinds(cluster).await?;
    for site in unnamed {
        site.unseen.clone_from(&unknown);
        let lists = kinds.iter().map(|kind| async {
            let collection = cluster.collection(kind, Some(&site.namespace)).await?;
            let named = |object: Value| names_secret(&object).then_some(());
            cluster.list(&collection, Only::default(), named).await
        });
        let lists: Vec<_> = stream::iter(lists).buffered(PARALLEL).collect().await;
        for found in lists {
            match found {
                Ok(found) => site.named |= !found.is_empty(),
                // the kind is gone, and its objects with it
                Err(Error::NotFound(_)) => {}
                Err(error @ (Error::Forbidden(_) | Error::Failed(_))) => {
                    site.unseen.get_or_insert(error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Whether pull secrets with our name are in an object, wherever its kind has them.
fn names_secret(object: &Value) -> bool {
    match object {
        Value::Object(fields) => fields.iter().any(|(name, value)| {
            let listed = value.as_array().filter(|_| name == "imagePullSecrets");
            let named = |one: &Value| one == PULL_SECRET || one["name"] == PULL_SECRET;
            listed.is_some_and(|list| list.iter().any(named)) || names_secret(value)
        }),
        Value::Array(values) => values.iter().any(names_secret),
        _ => false,
    }
}

fn site<'a>(sites: &'a mut BTreeMap<String, Site>, namespace: &str) -> &'a mut Site {
    sites.entry(namespace.to_owned()).or_insert_with(|| Site {
        namespace: namespace.to_owned(),
        secret: SiteSecret::Absent,
        named: false,
        unseen: None,
        pulls: false,
        opted_out: false,
    })
}

/// What has our name, by namespace.
async fn secrets(
    cluster: &Cluster,
    namespace: Option<&str>,
    target: &TargetRegistry,
) -> Result<Vec<(String, SiteSecret)>, Error> {
    let only = format!("metadata.name={PULL_SECRET}");
    let only = Only {
        fields: Some(&only),
        ..Only::default()
    };
    let key = target.to_string();
    let read = |secret: Value| {
        let namespace = secret["metadata"]["namespace"].as_str()?.to_owned();
        let kind = if pull_secret::is_ours(&secret) {
            let for_target = pull_secret::has_entry(&secret, &key);
            SiteSecret::Ours { for_target }
        } else {
            SiteSecret::Namesake
        };
        Some((namespace, kind))
    };
    let secrets = Collection::core("secrets", "secret", namespace);
    cluster.list(&secrets, only, read).await
}

/// The objects that name our pull secret, by namespace and name.
async fn naming(
    cluster: &Cluster,
    namespace: Option<&str>,
    (plural, singular): (&str, &str),
    at: &str,
) -> Result<BTreeSet<(String, String)>, Error> {
    let read = |object: Value| {
        let references = object.pointer(at)?["imagePullSecrets"].as_array()?;
        let named = references.iter().any(|to| to["name"] == PULL_SECRET);
        let metadata = &object["metadata"];
        let key = (
            metadata["namespace"].as_str()?.to_owned(),
            metadata["name"].as_str()?.to_owned(),
        );
        named.then_some(key)
    };
    let collection = Collection::core(plural, singular, namespace);
    let found = cluster.list(&collection, Only::default(), read).await?;
    Ok(found.into_iter().collect())
}
