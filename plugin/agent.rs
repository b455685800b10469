//! `agent`: see and steer the agent in the cluster.

use crate::args::Connection;
use crate::install_agent::{self, InstallArgs, deployment};
use crate::stop::Stopped;
use crate::terminal::Terminal;
use crate::uninstall_agent::{self, UninstallArgs};
use crate::version::version_of;
use clap::{Args, Subcommand};
use futures::future::try_join_all;
use image_cloner::cluster::{Cluster, Error, Log, WriteMode};
use image_cloner::install;
use image_cloner::lease::PAUSED;
use image_cloner::outcome::Failure;
use image_cloner::report::{self, AgentView};
use serde_json::{Value, json};

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AgentArgs {
    #[command(subcommand)]
    verb: AgentVerb,
}

const EXAMPLES: &str = "\
Examples:
  # what it does, and since when it does not
  kubectl image-cloner agent status
  kubectl image-cloner agent logs -f
  # hold it, webhook included; what is under way ends
  kubectl image-cloner agent pause
  kubectl image-cloner agent resume";

#[derive(Debug, Subcommand)]
enum AgentVerb {
    /// Install the agent, or bring it up to date: as install-agent
    Install(Box<InstallArgs>),
    /// Remove the agent: as uninstall-agent
    Uninstall(UninstallArgs),
    /// Show what the agent is doing
    #[command(after_help = "Examples:\n  kubectl image-cloner agent status")]
    Status(Plain),
    /// Print the agent's log
    #[command(after_help = "Examples:\n  kubectl image-cloner agent logs -f")]
    Logs(LogArgs),
    /// Let the agent begin nothing new; what is under way ends
    #[command(after_help = "Examples:\n  kubectl image-cloner agent pause")]
    Pause(Plain),
    /// Let the agent go on
    #[command(after_help = "Examples:\n  kubectl image-cloner agent resume")]
    Resume(Plain),
}

#[derive(Debug, Args)]
#[command(mut_arg("namespace", |namespace| namespace.hide(true)))]
struct Plain {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(mut_arg("namespace", |namespace| namespace.hide(true)))]
struct LogArgs {
    /// Go on as the agent writes
    #[arg(short, long)]
    follow: bool,
    /// How many lines of the past to begin with
    #[arg(long, value_name = "N", default_value_t = 100)]
    tail: u32,
    #[command(flatten)]
    connection: Connection,
}

impl AgentArgs {
    pub(crate) fn connection(&mut self) -> &mut Connection {
        match &mut self.verb {
            AgentVerb::Install(args) => &mut args.connection,
            AgentVerb::Uninstall(args) => &mut args.connection,
            AgentVerb::Status(args) | AgentVerb::Pause(args) | AgentVerb::Resume(args) => {
                &mut args.connection
            }
            AgentVerb::Logs(args) => &mut args.connection,
        }
    }
}

pub(crate) async fn run(args: AgentArgs, terminal: &Terminal) -> Result<u8, Stopped> {
    match args.verb {
        AgentVerb::Install(args) => install_agent::run(*args, terminal).await,
        AgentVerb::Uninstall(args) => uninstall_agent::run(args, terminal).await,
        AgentVerb::Status(args) => {
            terminal
                .unless_interrupted(status(&args.connection, terminal))
                .await
        }
        AgentVerb::Logs(args) => terminal.unless_interrupted(logs(&args, terminal)).await,
        AgentVerb::Pause(args) => hold(&args.connection, true, terminal).await,
        AgentVerb::Resume(args) => hold(&args.connection, false, terminal).await,
    }
}

async fn connect(connection: &Connection) -> Result<Cluster, Stopped> {
    connection
        .check_agents_namespace(|_| "it is one for all namespaces: leave -n out".to_owned())?;
    Ok(Cluster::connect(&connection.flags(), WriteMode::Apply).await?)
}

fn not_installed() -> Stopped {
    Stopped::failed(
        Failure::new(format!("there is no agent in {}", install::NAMESPACE))
            .hint("kubectl image-cloner install-agent -A installs it"),
    )
}

async fn status(connection: &Connection, terminal: &Terminal) -> Result<u8, Stopped> {
    let cluster = connect(connection).await?;
    let agent = match cluster.get(&deployment()).await {
        Ok(agent) => agent,
        Err(Error::NotFound(_)) => return Err(not_installed()),
        Err(error) => return Err(error.into()),
    };
    let config = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"namespace": install::NAMESPACE, "name": install::CONFIG},
    });
    let config = cluster.live(&config).await?.unwrap_or_default();
    let lease = cluster.lease(install::NAMESPACE, install::NAME).await?;
    let pods = pods(&cluster).await?;
    let leader = lease.as_ref().and_then(report::leading_pod);
    let leader = leader.filter(|leader| pods.iter().any(|pod| pod == leader));
    let figures = match leader {
        Some(leader) => figures(&cluster, leader).await,
        None => Err("none: no pod leads".to_owned()),
    };
    let trouble = trouble(&cluster, &pods).await;
    let events = cluster.events_of(install::NAME).await.unwrap_or_default();
    let paused = lease
        .as_ref()
        .is_some_and(|lease| lease["metadata"]["annotations"][PAUSED] == "true");
    let text = report::agent(&AgentView {
        version: &version_of(&agent),
        deployment: &agent,
        config: &config,
        lease: lease.as_ref(),
        paused,
        figures: figures.as_deref().map_err(String::as_str),
        trouble: trouble.as_deref(),
        events: &events,
        now: jiff::Timestamp::now(),
        width: terminal.width,
    });
    terminal.data(text.trim_end());
    let count = |path: &str| agent.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    Ok(u8::from(count("/status/readyReplicas") == 0))
}

async fn figures(cluster: &Cluster, pod: &str) -> Result<String, String> {
    let asked = cluster
        .ask_pod(install::NAMESPACE, pod, 8080, "/metrics")
        .await;
    asked.map_err(|error| format!("not to be had: {error}"))
}

/// Why the first pod that is not ready is not.
async fn trouble(cluster: &Cluster, pods: &[String]) -> Option<String> {
    for pod in pods {
        let asked = cluster
            .ask_pod(install::NAMESPACE, pod, 8081, "/readyz")
            .await;
        if let Err(Error::Failed(why)) = asked {
            // its own words, without what was asked
            let own = why
                .split_once("/readyz: ")
                .map_or(why.as_str(), |(_, own)| own);
            return Some(format!("{pod}: {own}"));
        }
    }
    None
}

/// The names of the agent's pods that are not ending.
async fn pods(cluster: &Cluster) -> Result<Vec<String>, Stopped> {
    let labels = format!("app={}", install::NAME);
    let pods = cluster.pods(install::NAMESPACE, &labels).await?;
    let lives = |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null();
    let name = |pod: &Value| pod["metadata"]["name"].as_str().map(str::to_owned);
    Ok(pods.iter().filter(lives).filter_map(name).collect())
}

async fn logs(args: &LogArgs, terminal: &Terminal) -> Result<u8, Stopped> {
    let cluster = connect(&args.connection).await?;
    let pods = pods(&cluster).await?;
    if pods.is_empty() {
        return Err(not_installed());
    }
    let several = pods.len() > 1;
    let cluster = &cluster;
    let logs = pods.iter().map(|pod| async move {
        let log = cluster
            .log(install::NAMESPACE, pod, args.follow, args.tail)
            .await?;
        let prefix = if several {
            format!("[{pod}] ")
        } else {
            String::new()
        };
        print(log, &prefix, terminal).await
    });
    try_join_all(logs).await?;
    Ok(0)
}

async fn print(mut log: Log, prefix: &str, terminal: &Terminal) -> Result<(), Stopped> {
    while let Some(line) = log.next().await? {
        terminal.data(&format!("{prefix}{line}"));
    }
    Ok(())
}

async fn hold(connection: &Connection, pause: bool, terminal: &Terminal) -> Result<u8, Stopped> {
    let cluster = connect(connection).await?;
    let value = pause.then_some("true");
    let held = cluster.annotate_lease(install::NAMESPACE, install::NAME, PAUSED, value);
    match held.await {
        Ok(()) => {}
        Err(Error::NotFound(_)) => {
            return Err(Stopped::failed(
                Failure::new(format!(
                    "there is no Lease {} in {}: no agent has ever led there",
                    install::NAME,
                    install::NAMESPACE
                ))
                .hint("kubectl image-cloner agent status shows whether there is one"),
            ));
        }
        Err(error) => return Err(error.into()),
    }
    let state = if pause { "paused" } else { "resumed" };
    terminal.data(&format!("deployment.apps/{} {state}", install::NAME));
    Ok(0)
}
