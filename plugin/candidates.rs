//! What can stand in a place of the command line, as the cluster and the kubeconfig have it.
//!
//! Never takes longer than a person waits for a key, and never says why it knows nothing.

use crate::args::{self, Connection};
use clap::{ArgMatches, FromArgMatches};
use clap_complete::engine::CompletionCandidate;
use image_cloner::cluster::{Cluster, Names, Selection, WriteMode};
use std::ffi::{OsStr, OsString};
use std::time::Duration;

/// How long a cluster may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Types as they are offered; any that kubectl takes is understood.
const TYPES: [&str; 8] = [
    "deployment",
    "statefulset",
    "daemonset",
    "cronjob",
    "job",
    "replicaset",
    "pod",
    "ns",
];

/// TYPE/NAME, or NAME after a TYPE.
pub(crate) fn workloads(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(current) = current.to_str() else {
        return vec![];
    };
    let typed = Typed::read();
    if let Some((kind, _)) = current.split_once('/') {
        let names = typed.names(kind).into_iter();
        return matching(current, names.map(|name| format!("{kind}/{name}")));
    }
    let mut before = typed.words.iter().filter(|word| *word != current);
    match before.next() {
        Some(kind) if !kind.contains('/') => {
            let names = typed.names(kind).into_iter();
            matching(current, names.filter(|name| !typed.words.contains(name)))
        }
        _ => {
            let short = Some(current).filter(|word| !word.is_empty());
            let short = short.filter(|word| Selection::is_type(word));
            let others = TYPES.into_iter().filter(|known| Some(*known) != short);
            let all = short
                .into_iter()
                .chain(others)
                .map(|word| format!("{word}/"));
            matching(current, all.chain(["all".to_owned()]))
        }
    }
}

/// Namespaces of the cluster.
pub(crate) fn namespaces(current: &OsStr) -> Vec<CompletionCandidate> {
    let mut typed = Typed::read();
    // the word under way is no namespace yet
    typed.connection.namespace = None;
    let names = typed.names("ns");
    matching(current.to_str().unwrap_or_default(), names)
}

/// Contexts of the kubeconfig.
pub(crate) fn contexts(current: &OsStr) -> Vec<CompletionCandidate> {
    matching(
        current.to_str().unwrap_or_default(),
        Typed::read().kubeconfig().contexts,
    )
}

/// Clusters of the kubeconfig.
pub(crate) fn clusters(current: &OsStr) -> Vec<CompletionCandidate> {
    matching(
        current.to_str().unwrap_or_default(),
        Typed::read().kubeconfig().clusters,
    )
}

/// Users of the kubeconfig.
pub(crate) fn users(current: &OsStr) -> Vec<CompletionCandidate> {
    matching(
        current.to_str().unwrap_or_default(),
        Typed::read().kubeconfig().users,
    )
}

fn matching(current: &str, names: impl IntoIterator<Item = String>) -> Vec<CompletionCandidate> {
    let names = names.into_iter().filter(|name| name.starts_with(current));
    names.map(CompletionCandidate::new).collect()
}

/// The command line so far.
struct Typed {
    connection: Connection,
    /// What was selected, with the word under way.
    words: Vec<String>,
}

impl Typed {
    /// Reads what the shell passes behind `--`.
    fn read() -> Self {
        let words: Vec<OsString> = std::env::args_os()
            .skip_while(|word| word != "--")
            .skip(1)
            .collect();
        let matches = args::command()
            .ignore_errors(true)
            .try_get_matches_from(words);
        let mut typed = Self {
            connection: Connection::default(),
            words: vec![],
        };
        let mut level = matches.as_ref().ok();
        while let Some(matches) = level {
            typed.add(matches);
            level = matches.subcommand().map(|(_, matches)| matches);
        }
        typed
    }

    fn add(&mut self, matches: &ArgMatches) {
        // asking for what a verb does not have is a panic
        if matches.try_contains_id("kubeconfig").is_ok()
            && let Ok(mut own) = Connection::from_arg_matches(matches)
        {
            own.fill(std::mem::take(&mut self.connection));
            self.connection = own;
        }
        if let Ok(Some(words)) = matches.try_get_many::<String>("words") {
            self.words = words.cloned().collect();
        }
    }

    fn kubeconfig(&self) -> Names {
        Names::read(&self.connection.flags()).unwrap_or_default()
    }

    /// The names of a type in the cluster.
    fn names(&self, kind: &str) -> Vec<String> {
        let Ok(runtime) = tokio::runtime::Runtime::new() else {
            return vec![];
        };
        let asked =
            runtime.block_on(async { tokio::time::timeout(PATIENCE, self.ask(kind)).await });
        // a name lookup that hangs must not hold up the answer
        runtime.shutdown_background();
        asked.ok().flatten().unwrap_or_default()
    }

    async fn ask(&self, kind: &str) -> Option<Vec<String>> {
        let cluster = Cluster::connect(&self.connection.flags(), WriteMode::ServerDryRun)
            .await
            .ok()?;
        if ["ns", "namespace", "namespaces"].contains(&kind) {
            return cluster.namespaces().await.ok();
        }
        let selection = Selection::parse(&[kind.to_owned()], false, None).ok()?;
        let (workloads, _) = cluster.workloads(&selection).await.ok()?;
        Some(
            workloads
                .into_iter()
                .map(|workload| workload.id.name)
                .collect(),
        )
    }
}
