//! `doctor`: look for what keeps images from being cloned and pulled.

use crate::args::{Connection, Copying};
use crate::ending::{json_text, yaml_text};
use crate::settings::Settings;
use crate::stop::Stopped;
use crate::terminal::Terminal;
use clap::{Args, ValueEnum};
use console::style;
use image_cloner::cluster::{Cluster, WriteMode};
use image_cloner::doctor::{Doctor, Target};
use image_cloner::outcome::{Check, Failure, Verdict};
use image_cloner::report;
use std::time::Duration;
use tokio::time::timeout;

/// How long it may take to find out which registry is meant, where the cluster is asked for it.
const LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DoctorArgs {
    /// Look at all namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Target registry, HOST[:PORT][/PREFIX]
    #[arg(long, value_name = "REGISTRY")]
    to: Option<String>,
    /// Also have a node of each platform pull a copy, by a pod that lives for a moment
    #[arg(long)]
    nodes: bool,
    /// Print the checks as an object
    #[arg(
        short,
        long,
        value_name = "json|yaml",
        value_enum,
        hide_possible_values = true
    )]
    output: Option<Format>,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Yaml,
}

const EXAMPLES: &str = "\
Nothing is left behind: uploads are given up, pods are deleted. Exit code 1 when a
check failed.

Examples:
  # before the first clone
  kubectl image-cloner doctor -n prod --to registry.corp/mirror
  # also whether the nodes can pull
  kubectl image-cloner doctor -A --nodes";

pub(crate) async fn run(args: DoctorArgs, terminal: &Terminal) -> Result<u8, Stopped> {
    let settings = Settings::load()?;
    let work = async { Ok(doctor(&args, &settings).await.examine().await) };
    let checks = terminal.unless_interrupted(work).await?;
    match args.output {
        Some(Format::Json) => terminal.data(&json_text(&report::checks_file(&checks))),
        Some(Format::Yaml) => terminal.data(yaml_text(&report::checks_file(&checks))?.trim_end()),
        None => {
            let list = report::checks(&checks, terminal.width, paint);
            terminal.data(list.trim_end());
        }
    }
    let failed = |check: &Check| check.verdict == Verdict::Fail;
    Ok(u8::from(checks.iter().any(failed)))
}

async fn doctor(args: &DoctorArgs, settings: &Settings) -> Doctor {
    let cluster = Cluster::connect(&args.connection.flags(), WriteMode::Apply).await;
    let cluster = cluster.map_err(Failure::from);
    let copying = Copying {
        to: args.to.clone(),
        ..Copying::default()
    };
    let resolved = settings.resolve(&copying, cluster.as_ref().ok());
    let target = match timeout(LIMIT, resolved).await {
        Ok(Ok(Some(resolved))) => Ok(Target {
            registry: resolved.registry,
            named_by: resolved.named_by,
            registries: resolved.registries,
        }),
        Ok(Ok(None)) => Err(Settings::no_target().failure),
        Ok(Err(stopped)) => Err(stopped.failure),
        Err(_) => Err(Failure::new(
            "none is named, and the cluster does not say whether it has one",
        )),
    };
    let namespace = match &cluster {
        _ if args.all_namespaces => None,
        Ok(cluster) => Some(cluster.namespace().to_owned()),
        Err(_) => args.connection.namespace.clone(),
    };
    Doctor {
        cluster,
        namespace,
        target,
        chain: settings.chain.clone(),
        share_credentials: settings.environment.is_on("SHARE_CREDENTIALS"),
        nodes: args.nodes,
    }
}

fn paint(verdict: Verdict, word: &str) -> String {
    let styled = match verdict {
        Verdict::Ok => style(word).green(),
        Verdict::Warn => style(word).yellow(),
        Verdict::Fail => style(word).red().bold(),
        Verdict::Skip => style(word).dim(),
    };
    styled.to_string()
}
