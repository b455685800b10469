//! `uninstall-agent`: take the agent out of the cluster again.

use crate::args::Connection;
use crate::install_agent::observe;
use crate::interactive;
use crate::restore;
use crate::restore::RestoreArgs;
use crate::stop::Stopped;
use crate::sync_credentials::tell_of_unseen;
use crate::terminal::Terminal;
use clap::Args;
use image_cloner::cluster::{self, Cluster, WriteMode};
use image_cloner::install::{self, Live, Scope};
use image_cloner::outcome::Failure;
use image_cloner::plan::{Site, SiteSecret, Upkeep, upkeep};
use image_cloner::target::TargetRegistry;
use image_cloner::workload::PULL_SECRET;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// How long the agent's pods may take to end: what they copy may be finished.
const ENDING: Duration = Duration::from_secs(90);

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, mut_arg("namespace", |namespace| namespace.hide(true)))]
pub(crate) struct UninstallArgs {
    /// Give the workloads where it works back the images they had before, first
    #[arg(long)]
    restore: bool,
    /// Ask nothing
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

const EXAMPLES: &str = "\
What it copied stays in the registry. Without --restore, workloads stay as they
are, and so do the pull secrets that they name.

Examples:
  kubectl image-cloner uninstall-agent
  # and leave no trace in the workloads
  kubectl image-cloner uninstall-agent --restore";

pub(crate) async fn run(args: UninstallArgs, terminal: &Terminal) -> Result<u8, Stopped> {
    args.connection.check_agents_namespace(|name| {
        format!("kubectl image-cloner restore ns/{name} is for the workloads there")
    })?;
    if !terminal.can_ask && !args.yes {
        return Err(Stopped::wrong(
            Failure::new("there is no terminal to confirm it on").hint("give --yes"),
        ));
    }
    let found = terminal.unless_interrupted(async {
        let cluster = Cluster::connect(&args.connection.flags(), WriteMode::Apply).await?;
        let live = observe(&cluster).await?;
        Ok((cluster, live))
    });
    let (cluster, live) = found.await?;
    if live.is_empty() {
        terminal.say("there is no agent in the cluster");
        return Ok(0);
    }
    // what is left of it after a first try says it, too
    let install = Live::read(&live);
    let scope = install.as_ref().map(|install| Scope::of(&install.config));
    if args.restore && scope.is_none() {
        return Err(unknown_scope());
    }
    if !args.yes {
        for object in &live {
            terminal.say(&install::name_of(object));
        }
        if !interactive::confirm(&question(args.restore, scope.as_ref()))? {
            return Err(Stopped::cancelled());
        }
    }
    let scope = match scope {
        Some(scope) => Some(still_there(&cluster, scope, terminal).await?),
        None => None,
    };
    let (first, rest): (Vec<&Value>, Vec<&Value>) = live.iter().partition(|object| acts(object));
    remove(&cluster, &first, terminal).await?;
    let ended = terminal.unless_interrupted(async { wait_for_end(&cluster).await });
    ended.await.map_err(Stopped::after_changes)?;
    let mut code = 0;
    if let Some(scope) = scope.as_ref().filter(|_| args.restore) {
        let restored = restore_all(scope, &args.connection, terminal).await;
        code = restored.map_err(Stopped::after_changes)?;
        if code == 1 || code == 130 {
            terminal.say("the agent works no more; the rest of it is still there");
            terminal.hint("kubectl image-cloner uninstall-agent --restore goes on");
            return Ok(code);
        }
    }
    let target = install.as_ref().and_then(Live::registry);
    let missed = match scope.zip(target) {
        Some((scope, target)) => pull_secrets(&cluster, scope, &target, terminal).await,
        None => {
            terminal.note("which registry it worked for is not known any more: pull secrets stay");
            terminal.hint("kubectl image-cloner sync-credentials -A --prune");
            Ok(0)
        }
    };
    let missed = missed.map_err(Stopped::after_changes)?;
    remove(&cluster, &rest, terminal).await?;
    let namespace = rest.iter().find(|object| object["kind"] == "Namespace");
    if let Some(namespace) = namespace {
        let gone =
            terminal.unless_interrupted(async { wait_until_gone(&cluster, namespace).await });
        gone.await.map_err(Stopped::after_changes)?;
    }
    Ok(if missed > 0 { 1 } else { code })
}

/// A restore of everything is not what was asked for where the agent worked in a part of it.
fn unknown_scope() -> Stopped {
    let gone = format!(
        "where the agent worked is not known any more: configmap/{} is gone",
        install::CONFIG
    );
    Stopped::failed(
        Failure::new(gone)
            .hint("kubectl image-cloner restore ns/NAME gives the images back, or -A everywhere")
            .hint("kubectl image-cloner uninstall-agent removes what is left of it"),
    )
}

fn question(restore: bool, scope: Option<&Scope>) -> String {
    match scope.filter(|_| restore) {
        None => "Remove the agent? Workloads keep their copies.".to_owned(),
        Some(Scope::Everything) => {
            "Remove the agent, and restore the workloads of all namespaces?".to_owned()
        }
        Some(Scope::Namespaces(names)) => {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let names = names.join(", ");
            format!("Remove the agent, and restore the workloads in {names}?")
        }
    }
}

/// Whether something happens because of this object.
fn acts(object: &Value) -> bool {
    ["MutatingWebhookConfiguration", "Deployment"]
        .iter()
        .any(|kind| object["kind"] == *kind)
}

async fn remove(cluster: &Cluster, objects: &[&Value], terminal: &Terminal) -> Result<(), Stopped> {
    for object in objects {
        let removed = cluster.remove(object).await;
        if removed.map_err(|error| Stopped::from(error).after_changes())? {
            terminal.data(&format!("{} removed", install::name_of(object)));
        }
    }
    Ok(())
}

/// Waits until no pod of the agent is left: nothing is repointed any more, and nothing copied.
pub(crate) async fn wait_for_end(cluster: &Cluster) -> Result<(), Stopped> {
    let labels = format!("app={}", install::NAME);
    let ended = async {
        while !cluster.pods(install::NAMESPACE, &labels).await?.is_empty() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Ok(())
    };
    match tokio::time::timeout(ENDING, ended).await {
        Ok(ended) => ended,
        Err(_) => Err(Stopped::failed(Failure::new(format!(
            "the agent's pods have not ended within {} s",
            ENDING.as_secs()
        )))),
    }
}

/// Waits until the namespace is gone, so that the agent can be installed again.
async fn wait_until_gone(cluster: &Cluster, namespace: &Value) -> Result<(), Stopped> {
    let gone = async {
        while cluster.live(namespace).await?.is_some() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Ok(())
    };
    match tokio::time::timeout(ENDING, gone).await {
        Ok(gone) => gone,
        Err(_) => Err(Stopped::failed(
            Failure::new(format!("{} is not gone yet", install::name_of(namespace)))
                .hint("kubectl describe namespace shows what holds it"),
        )),
    }
}

/// Where the agent worked, without the namespaces that are gone.
async fn still_there(
    cluster: &Cluster,
    scope: Scope,
    terminal: &Terminal,
) -> Result<Scope, Stopped> {
    let Scope::Namespaces(names) = scope else {
        return Ok(scope);
    };
    let mut there = BTreeSet::new();
    for name in names {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        if cluster.live(&namespace).await?.is_some() {
            there.insert(name);
        } else {
            terminal.note(&format!("namespace/{name} is gone"));
        }
    }
    Ok(Scope::Namespaces(there))
}

/// Restores the workloads where the agent worked.
async fn restore_all(
    scope: &Scope,
    connection: &Connection,
    terminal: &Terminal,
) -> Result<u8, Stopped> {
    if *scope == Scope::Namespaces(BTreeSet::new()) {
        return Ok(0);
    }
    let args = RestoreArgs::of_everything(scope, connection.clone());
    restore::run(args, terminal).await
}

/// Removes the pull secrets that nothing names where the agent worked, and says which are left; gives how
/// much of that could not be done.
async fn pull_secrets(
    cluster: &Cluster,
    scope: Scope,
    target: &TargetRegistry,
    terminal: &Terminal,
) -> Result<usize, Stopped> {
    let places = match scope {
        Scope::Everything => vec![None],
        Scope::Namespaces(names) => names.into_iter().map(Some).collect(),
    };
    let mut missed = 0;
    for place in places {
        let sites = match cluster.pull_secret_sites(place.as_deref(), target).await {
            Ok((sites, missing)) => {
                missed += terminal.missing(missing);
                sites
            }
            // the rest of it can go all the same
            Err(error @ cluster::Error::Forbidden(_)) => {
                missed += terminal.missing(vec![error]);
                terminal.note(&format!("secrets named {PULL_SECRET} stay"));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        for site in sites
            .iter()
            .filter(|site| site.namespace != install::NAMESPACE)
        {
            missed += pull_secret(cluster, site, terminal).await?;
        }
    }
    Ok(missed)
}

/// Removes the pull secret of a namespace, or says why it stays; gives 1 where that could not be done.
async fn pull_secret(
    cluster: &Cluster,
    site: &Site,
    terminal: &Terminal,
) -> Result<usize, Stopped> {
    if !matches!(site.secret, SiteSecret::Ours { .. }) {
        return Ok(0);
    }
    let namespace = &site.namespace;
    if upkeep(site) != Some(Upkeep::Remove) {
        tell_of_unseen(site, terminal);
        if site.named {
            terminal.note(&format!(
                "secret/{PULL_SECRET} in {namespace} stays: workloads there pull with it"
            ));
        }
        return Ok(0);
    }
    match cluster.delete_pull_secret(namespace, PULL_SECRET).await {
        Ok(()) => {
            terminal.data(&format!("secret/{PULL_SECRET} in {namespace} removed"));
            Ok(0)
        }
        Err(error @ cluster::Error::Forbidden(_)) => Ok(terminal.missing(vec![error])),
        Err(error) => Err(error.into()),
    }
}
