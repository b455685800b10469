//! Kinds that are not built in, by the words that the server knows them by.
//!
//! Decides what a word means as kubectl does: plural, singular, kind or short name, alone or with its group
//! (`rollouts.argoproj.io`), with or without a version before that. Where several groups have it, the first
//! in the server's order is meant. That a kind has a pod template is not told here but by its objects.

use super::observe::PARALLEL;
use super::selection::{Selection, Type, hint, unknown};
use super::{Cluster, Error};
use crate::workload::{Kind, Names};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::Value;

/// The selection with every word replaced by the kind that the server means by it.
pub(super) async fn resolve(cluster: &Cluster, selection: &Selection) -> Result<Selection, Error> {
    let mut resolved = selection.clone();
    for one in resolved.types_mut() {
        if let Type::Word(word) = one {
            *one = Type::Known(kind(cluster, word).await?);
        }
    }
    Ok(resolved)
}

async fn kind(cluster: &Cluster, word: &str) -> Result<Kind, Error> {
    let (name, versions) = match word.split_once('.') {
        Some((name, rest)) => (name, versions_of(cluster, rest).await?),
        None => (word, all_versions(cluster).await?),
    };
    let paths: Vec<String> = versions.iter().map(Version::path).collect();
    let lists: Vec<Option<Value>> = stream::iter(paths)
        .map(|path| async move { cluster.discover(&path).await })
        .buffered(PARALLEL)
        .try_collect()
        .await?;
    let found = versions
        .iter()
        .zip(&lists)
        .find_map(|(version, list)| version.find(name, list.as_ref()?));
    match found {
        Some((kind, true)) => Ok(kind),
        Some((kind, false)) => Err(Error::Invalid {
            message: format!("{kind} is not in namespaces and has no pod template"),
            hint: Some(hint(word)),
        }),
        None => Err(Error::Invalid {
            message: unknown(word),
            hint: Some(hint(name)),
        }),
    }
}

/// The kinds in namespaces that are not Kubernetes' own and can be listed; and what was not told, if anything.
pub(super) async fn own_kinds(cluster: &Cluster) -> Result<(Vec<Kind>, Option<String>), Error> {
    let mut versions = all_versions(cluster).await?;
    // names without a dot and those below k8s.io are reserved
    versions.retain(|version| version.group.contains('.') && !version.group.ends_with(".k8s.io"));
    let lists: Vec<_> = stream::iter(&versions)
        .map(|version| async move { cluster.read("discovering kinds", &version.path()).await })
        .buffered(PARALLEL)
        .collect()
        .await;
    let mut kinds = Vec::new();
    let mut unknown = None;
    for (version, list) in versions.iter().zip(lists) {
        match list {
            Ok(list) => kinds.extend(version.listed(&list)),
            Err(Error::NotFound(_)) => {}
            // an aggregated API that is down is nothing to the others
            Err(error @ (Error::Failed(_) | Error::Forbidden(_))) => {
                unknown.get_or_insert(error.to_string());
            }
            Err(error) => return Err(error),
        }
    }
    Ok((kinds, unknown))
}

/// One version of an API group; the core group has no name.
struct Version {
    group: String,
    version: String,
}

impl Version {
    fn path(&self) -> String {
        match self.group.as_str() {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        }
    }

    /// The kinds whose objects are in namespaces and can be listed.
    fn listed(&self, list: &Value) -> Vec<Kind> {
        let resources = list["resources"].as_array().into_iter().flatten();
        let listed = resources.filter(|resource| {
            let verbs = resource["verbs"].as_array().into_iter().flatten();
            resource["namespaced"] == true && verbs.into_iter().any(|verb| verb == "list")
        });
        listed.filter_map(|resource| self.kind(resource)).collect()
    }

    fn kind(&self, resource: &Value) -> Option<Kind> {
        Some(Kind::from(Names {
            group: self.group.clone(),
            version: self.version.clone(),
            kind: resource["kind"].as_str()?.to_owned(),
            plural: resource["name"].as_str()?.to_owned(),
        }))
    }

    /// The kind that goes by this name, and whether its objects are in namespaces.
    fn find(&self, name: &str, list: &Value) -> Option<(Kind, bool)> {
        let resource = list["resources"].as_array()?.iter().find(|resource| {
            let plural = resource["name"].as_str().unwrap_or_default();
            let short = resource["shortNames"].as_array().into_iter().flatten();
            let kind = resource["kind"].as_str().unwrap_or_default();
            // with a slash it is a part of another: `deployments/scale`
            !plural.contains('/')
                && (plural == name
                    || resource["singularName"] == name
                    || kind.eq_ignore_ascii_case(name)
                    || short.clone().any(|short| short == name))
        })?;
        Some((self.kind(resource)?, resource["namespaced"] == true))
    }
}

/// What follows a name: its group, or its version and group.
async fn versions_of(cluster: &Cluster, rest: &str) -> Result<Vec<Version>, Error> {
    if let Some(group) = cluster.discover(&format!("/apis/{rest}")).await? {
        return Ok(preferred(&group).into_iter().collect());
    }
    let versioned = rest.split_once('.').map(|(version, group)| Version {
        group: group.to_owned(),
        version: version.to_owned(),
    });
    Ok(versioned.into_iter().collect())
}

/// The preferred version of every group, the core group first.
async fn all_versions(cluster: &Cluster) -> Result<Vec<Version>, Error> {
    let core = Version {
        group: String::new(),
        version: "v1".to_owned(),
    };
    let groups = cluster.discover("/apis").await?;
    let groups = groups
        .as_ref()
        .and_then(|groups| groups["groups"].as_array());
    let others = groups.into_iter().flatten().filter_map(preferred);
    Ok(std::iter::once(core).chain(others).collect())
}

fn preferred(group: &Value) -> Option<Version> {
    Some(Version {
        group: group["name"].as_str()?.to_owned(),
        version: group["preferredVersion"]["version"].as_str()?.to_owned(),
    })
}
