//! A selection → the workloads it means, and the namespaces they are in.
//!
//! Decides which requests that takes, and that one thing that is missing or forbidden keeps nothing else
//! from being observed.

#[cfg(test)]
mod tests;

use super::collection::Collection;
use super::request::Only;
use super::running::Pod;
use super::selection::{Item, Type};
use super::{Cluster, Error, Selection, discovery, workload_of};
use crate::workload::{Kind, Workload, WorkloadId, opted_out};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Requests under way at a time: enough for a far server, too few for its fairness limits to mind.
pub(super) const PARALLEL: usize = 8;

/// What a selection came to.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) workloads: Vec<FoundWorkload>,
    /// Namespaces that could be read, and whether they opted out.
    pub(super) opted_out: BTreeMap<String, bool>,
    pub(super) everywhere: bool,
    /// What runs, where a list of every pod was asked for anyway, and in which namespaces; none is all.
    pub(super) pods: Vec<Pod>,
    pub(super) pods_of: BTreeSet<Option<String>>,
    pub(super) missing: Vec<Error>,
    pub(super) notes: Vec<String>,
}

#[derive(Debug)]
pub(super) struct FoundWorkload {
    pub(super) workload: Workload,
    pub(super) named: bool,
}

/// One request, or one list of several pages.
enum Task {
    Namespace(String),
    Namespaces,
    One(WorkloadId),
    List {
        item: usize,
        kind: Kind,
        namespace: Option<String>,
        drop_controlled: bool,
    },
}

enum Answer {
    Namespace(String, Result<bool, Error>),
    Namespaces(Result<Vec<(String, bool)>, Error>),
    /// Of the namespace.
    One(String, Result<Box<Workload>, Error>),
    List(usize, Result<Listed, Error>),
}

/// What a list came to.
#[derive(Default)]
struct Listed {
    workloads: Vec<Workload>,
    /// What runs, and in which namespace, where it is a list of every pod.
    pods: Option<(Option<String>, Vec<Pod>)>,
    /// What cannot be worked on: how many, and why the first.
    unread: Option<(usize, String)>,
}

/// Finds the selected workloads.
pub(super) async fn find(cluster: &Cluster, selection: &Selection) -> Result<Found, Error> {
    let selection = &discovery::resolve(cluster, selection).await?;
    let tasks = tasks(selection, cluster.namespace());
    let answers: Vec<Answer> = stream::iter(tasks)
        .map(|task| run(cluster, selection.labels(), task))
        .buffered(PARALLEL)
        .try_collect()
        .await?;
    Ok(assemble(answers, selection.all_namespaces()))
}

/// Workloads that are at hand, as if an unnamed selection had found them, with what their namespaces say.
pub(super) async fn found(cluster: &Cluster, workloads: Vec<Workload>) -> Result<Found, Error> {
    let namespaces: BTreeSet<String> = workloads
        .iter()
        .map(|workload| workload.id.namespace.clone())
        .collect();
    let answers: Vec<Answer> = stream::iter(namespaces)
        .map(|name| run(cluster, None, Task::Namespace(name)))
        .buffered(PARALLEL)
        .try_collect()
        .await?;
    let mut found = assemble(answers, false);
    let unnamed = |workload| FoundWorkload {
        workload,
        named: false,
    };
    found.workloads = workloads.into_iter().map(unnamed).collect();
    Ok(found)
}

/// Whether a namespace opted out, as far as it can be read.
pub(super) async fn namespace_opted_out(cluster: &Cluster, name: &str) -> Result<bool, Error> {
    let namespaces = Collection::core("namespaces", "namespace", None);
    let answer = local(cluster.get_one(&namespaces, name).await)?;
    Ok(answer.is_ok_and(|found| opted_out(&found["metadata"])))
}

/// The requests of a selection; namespaces first, then the items in order.
fn tasks(selection: &Selection, default_namespace: &str) -> Vec<Task> {
    let everywhere = selection.all_namespaces();
    let mut namespaces = BTreeSet::new();
    let mut tasks = Vec::new();
    let mut listed = BTreeSet::new();
    for (item, selected) in selection.items().iter().enumerate() {
        let scope = (!everywhere).then_some(default_namespace);
        let (types, namespace) = match selected {
            Item::Named { kind, name } => {
                namespaces.insert(default_namespace);
                tasks.extend(known(kind).map(|kind| {
                    Task::One(WorkloadId {
                        kind,
                        namespace: default_namespace.to_owned(),
                        name: name.clone(),
                    })
                }));
                continue;
            }
            Item::Seen(id) => {
                namespaces.insert(id.namespace.as_str());
                tasks.push(Task::One(id.clone()));
                continue;
            }
            Item::Namespace(name) => (selection.everything(), Some(name.as_str())),
            Item::Everything => (selection.everything(), scope),
            Item::Kinds(kinds) => (kinds.as_slice(), scope),
        };
        namespaces.extend(namespace);
        let drop_controlled = types.len() > 1;
        for kind in types.iter().filter_map(known) {
            if listed.insert((kind.clone(), namespace)) {
                tasks.push(Task::List {
                    item,
                    kind,
                    namespace: namespace.map(str::to_owned),
                    drop_controlled,
                });
            }
        }
    }
    let mut all: Vec<Task> = if everywhere {
        vec![Task::Namespaces]
    } else {
        let owned = namespaces.into_iter().map(str::to_owned);
        owned.map(Task::Namespace).collect()
    };
    all.append(&mut tasks);
    all
}

/// The kind of a type; there is one once the server was asked.
fn known(found: &Type) -> Option<Kind> {
    match found {
        Type::Known(kind) => Some(kind.clone()),
        Type::Word(_) => None,
    }
}

/// Carries out one task. Only what concerns the whole API server ends the observation.
async fn run(cluster: &Cluster, labels: Option<&str>, task: Task) -> Result<Answer, Error> {
    Ok(match task {
        Task::Namespace(name) => {
            let namespaces = Collection::core("namespaces", "namespace", None);
            let answer = local(cluster.get_one(&namespaces, &name).await)?;
            Answer::Namespace(name, answer.map(|found| opted_out(&found["metadata"])))
        }
        Task::Namespaces => {
            let namespaces = Collection::core("namespaces", "namespace", None);
            let state = |found: Value| {
                let name = found["metadata"]["name"].as_str()?.to_owned();
                Some((name, opted_out(&found["metadata"])))
            };
            Answer::Namespaces(local(
                cluster.list(&namespaces, Only::default(), state).await,
            )?)
        }
        Task::One(id) => {
            let object = local(cluster.get(&id).await)?;
            let workload = object.and_then(|object| workload_of(&id, &object));
            Answer::One(id.namespace, workload.map(Box::new))
        }
        Task::List {
            item,
            kind,
            namespace,
            drop_controlled,
        } => {
            let collection = cluster.collection(&kind, namespace.as_deref()).await?;
            let only = Only {
                labels,
                ..Only::default()
            };
            let mut unread = None;
            let mut pods = (kind.is_pod() && labels.is_none()).then(|| (namespace, Vec::new()));
            let keep = |object: Value| {
                if let Some((_, pods)) = &mut pods {
                    pods.extend(Pod::read(&object));
                }
                match Workload::from_object(&kind, &object) {
                    Ok(workload) => {
                        (!drop_controlled || !is_controlled(&workload)).then_some(workload)
                    }
                    Err(reason) => {
                        unread.get_or_insert((0, reason)).0 += 1;
                        None
                    }
                }
            };
            let workloads = local(cluster.list(&collection, only, keep).await)?;
            Answer::List(
                item,
                workloads.map(|workloads| Listed {
                    workloads,
                    pods,
                    unread,
                }),
            )
        }
    })
}

/// Parts errors that concern one thing from those that end everything.
fn local<T>(answer: Result<T, Error>) -> Result<Result<T, Error>, Error> {
    match answer {
        Err(error) if !error.is_local() => Err(error),
        answer => Ok(answer),
    }
}

/// Whether a built-in controller makes this object. A selection of several kinds has the controller in
/// it, and the object would be noise; what an operator controls stays, so that the plan can say so.
fn is_controlled(workload: &Workload) -> bool {
    workload.controller.as_ref().is_some_and(|controller| {
        Kind::builtin()
            .iter()
            .any(|kind| kind.kind == controller.kind)
    })
}

impl Found {
    /// Takes in what a list says besides its workloads, which are given.
    fn take(&mut self, listed: Listed) -> Vec<Workload> {
        if let Some((namespace, pods)) = listed.pods {
            self.pods_of.insert(namespace);
            self.pods.extend(pods);
        }
        let unread = listed.unread.map(|(count, reason)| match count {
            1 => reason,
            _ => format!("{reason}, nor have {} more of its kind", count - 1),
        });
        match unread {
            Some(reason) if listed.workloads.is_empty() => self.missing.push(Error::Failed(reason)),
            reason => self.notes.extend(reason),
        }
        listed.workloads
    }
}

/// Puts the answers together: items in order, broad ones sorted, each workload once.
fn assemble(answers: Vec<Answer>, everywhere: bool) -> Found {
    let mut found = Found {
        everywhere,
        ..Found::default()
    };
    let mut groups: Vec<(Option<usize>, Vec<Workload>)> = Vec::new();
    let mut absent = BTreeSet::new();
    for answer in answers {
        match answer {
            Answer::Namespace(name, Ok(out)) => {
                found.opted_out.insert(name, out);
            }
            Answer::Namespace(name, Err(error @ Error::NotFound(_))) => {
                found.missing.push(error);
                absent.insert(name);
            }
            Answer::Namespace(_, Err(error)) | Answer::Namespaces(Err(error)) => {
                let note = format!("{error}; whether it opted out is not known");
                found.notes.push(note);
            }
            Answer::Namespaces(Ok(all)) => found.opted_out.extend(all),
            Answer::One(_, Ok(workload)) => groups.push((None, vec![*workload])),
            Answer::List(item, Ok(listed)) => {
                let mut workloads = found.take(listed);
                match groups.last_mut() {
                    Some((last, group)) if *last == Some(item) => group.append(&mut workloads),
                    _ => groups.push((Some(item), workloads)),
                }
            }
            // that the namespace is missing has been said
            Answer::One(namespace, Err(Error::NotFound(_))) if absent.contains(&namespace) => {}
            Answer::One(_, Err(error)) | Answer::List(_, Err(error)) => found.missing.push(error),
        }
    }
    let mut seen: HashMap<WorkloadId, usize> = HashMap::new();
    for (item, mut group) in groups {
        if item.is_some() {
            group.sort_by_cached_key(place);
        }
        for workload in group {
            let named = item.is_none();
            if let Some(&at) = seen.get(&workload.id) {
                found.workloads[at].named |= named;
                continue;
            }
            seen.insert(workload.id.clone(), found.workloads.len());
            found.workloads.push(FoundWorkload { workload, named });
        }
    }
    found
}

/// kubectl's order: by namespace, kind, name.
fn place(workload: &Workload) -> (String, usize, Kind, String) {
    let id = &workload.id;
    let kind = Kind::builtin().iter().position(|kind| *kind == id.kind);
    // the cluster's own kinds come last
    let kind = (kind.unwrap_or(usize::MAX), id.kind.clone());
    (id.namespace.clone(), kind.0, kind.1, id.name.clone())
}
