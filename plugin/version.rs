//! `version`: what runs here, and what in the cluster.

use crate::args::Connection;
use crate::install_agent::deployment;
use crate::stop::Stopped;
use crate::terminal::Terminal;
use clap::Args;
use image_cloner::cluster::{Cluster, Error, WriteMode};
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;

/// How long the cluster may take to say what runs in it.
const LIMIT: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "\
Examples:
  kubectl image-cloner version
  # of this program alone
  kubectl image-cloner version --client";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct VersionArgs {
    /// Ask no cluster
    #[arg(long)]
    client: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

pub(crate) async fn run(args: VersionArgs, terminal: &Terminal) -> Result<u8, Stopped> {
    terminal.data(&format!("client  v{}", env!("CARGO_PKG_VERSION")));
    if args.client {
        return Ok(0);
    }
    let asked = timeout(LIMIT, agent(&args.connection));
    let asked = terminal.unless_interrupted(async { Ok(asked.await) });
    let agent = match asked.await? {
        Ok(Ok(Some(deployment))) => version_of(&deployment),
        Ok(Ok(None)) => "not installed".to_owned(),
        Ok(Err(error)) => format!("unknown: {error}"),
        Err(_) => format!("unknown: no answer within {} s", LIMIT.as_secs()),
    };
    terminal.data(&format!("agent   {agent}"));
    Ok(0)
}

async fn agent(connection: &Connection) -> Result<Option<Value>, Error> {
    let cluster = Cluster::connect(&connection.flags(), WriteMode::Apply).await?;
    match cluster.get(&deployment()).await {
        Ok(deployment) => Ok(Some(deployment)),
        Err(Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The version of the agent of a Deployment, by the tag of its image.
pub(crate) fn version_of(deployment: &Value) -> String {
    let image = deployment.pointer("/spec/template/spec/containers/0/image");
    let image = image.and_then(Value::as_str).unwrap_or_default();
    let name = image.split('@').next().unwrap_or_default();
    match name.rsplit_once(':') {
        Some((_, tag)) if !tag.contains('/') => tag.to_owned(),
        _ => image.to_owned(),
    }
}
