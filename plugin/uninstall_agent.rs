//! `uninstall-agent`: take the agent out of the cluster again.

use crate::args::Connection;
use crate::install_agent::observe;
use crate::interactive;
use crate::restore;
use crate::restore::RestoreArgs;
use crate::stop::Stopped;
use crate::terminal::Terminal;
use clap::Args;
use image_cloner::cluster::{Cluster, PULL_SECRET, WriteMode};
use image_cloner::install::{self, Live, Scope};
use image_cloner::outcome::Failure;
use image_cloner::plan::{Site, SiteSecret};
use image_cloner::target::{Layout, TargetRegistry};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

/// How long the agent's pods may take to end: what they copy may be finished.
const ENDING: Duration = Duration::from_secs(90);

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
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
What it copied stays in the registry. Workloads stay as they are without --restore; pull
secrets that workloads name stay then, too.

Examples:
  kubectl image-cloner uninstall-agent
  # and leave no trace in the workloads
  kubectl image-cloner uninstall-agent --restore";

pub(crate) async fn run(args: UninstallArgs, terminal: &Terminal) -> Result<u8, Stopped> {
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
    if !args.yes {
        for object in &live {
            terminal.say(&install::name_of(object));
        }
        let question = if args.restore {
            "Remove the agent, and restore the workloads where it works?"
        } else {
            "Remove the agent? Workloads keep their copies."
        };
        if !interactive::confirm(question)? {
            return Err(Stopped::cancelled());
        }
    }
    let (first, rest): (Vec<&Value>, Vec<&Value>) = live.iter().partition(|object| acts(object));
    remove(&cluster, &first, terminal).await?;
    let ended = terminal.unless_interrupted(async { wait_for_end(&cluster).await });
    ended.await.map_err(Stopped::after_changes)?;
    if args.restore {
        let code = restore_all(&live, &args.connection, terminal).await;
        let code = code.map_err(Stopped::after_changes)?;
        if code == 1 || code == 130 {
            terminal.say("the agent works no more; the rest of it is still there");
            terminal.hint("kubectl image-cloner uninstall-agent --restore goes on");
            return Ok(code);
        }
    }
    pull_secrets(&cluster, &live, terminal)
        .await
        .map_err(Stopped::after_changes)?;
    remove(&cluster, &rest, terminal).await?;
    let namespace = rest.iter().find(|object| object["kind"] == "Namespace");
    if let Some(namespace) = namespace {
        let gone =
            terminal.unless_interrupted(async { wait_until_gone(&cluster, namespace).await });
        gone.await.map_err(Stopped::after_changes)?;
    }
    Ok(0)
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

/// Waits until no pod of the agent is left, so that nothing is repointed after the restore.
async fn wait_for_end(cluster: &Cluster) -> Result<(), Stopped> {
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

/// Restores the workloads where the agent worked.
async fn restore_all(
    live: &[Value],
    connection: &Connection,
    terminal: &Terminal,
) -> Result<u8, Stopped> {
    let config = Live::read(live).map(|live| live.config);
    let namespaces = match config.map(|config| Scope::of(&config)) {
        Some(Scope::Namespaces(namespaces)) => namespaces,
        Some(Scope::Everything) | None => BTreeSet::new(),
    };
    let args = RestoreArgs::of_everything(&namespaces, connection.clone());
    restore::run(args, terminal).await
}

/// Removes the pull secrets that nothing names, and says which are left.
async fn pull_secrets(
    cluster: &Cluster,
    live: &[Value],
    terminal: &Terminal,
) -> Result<(), Stopped> {
    let config = Live::read(live);
    let registry = config.and_then(|live| live.config.get("IMAGE_CLONER_REGISTRY").cloned());
    let Some(registry) = registry else {
        return Ok(());
    };
    let target = TargetRegistry::parse(&registry, Layout::default())?;
    let (sites, missing) = cluster.pull_secret_sites(None, &target).await?;
    terminal.missing(missing);
    let ours = |site: &&Site| matches!(site.secret, SiteSecret::Ours { .. });
    for site in sites.iter().filter(ours) {
        let namespace = &site.namespace;
        if namespace == install::NAMESPACE {
            continue;
        }
        if site.named {
            terminal.note(&format!(
                "secret/{PULL_SECRET} in {namespace} stays: workloads there pull with it"
            ));
        } else {
            cluster.delete_pull_secret(namespace, PULL_SECRET).await?;
            terminal.data(&format!("secret/{PULL_SECRET} in {namespace} removed"));
        }
    }
    Ok(())
}
