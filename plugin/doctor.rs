//! `doctor`: look for what keeps images from being cloned and pulled.

use crate::args::{Connection, Copying};
use crate::document::DocumentArg;
use crate::ending::run_id;
use crate::harmless::harmless;
use crate::settings::Settings;
use crate::stop::Stopped;
use crate::terminal::Terminal;
use clap::Args;
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
    #[command(flatten)]
    document: DocumentArg,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

const EXAMPLES: &str = "\
Nothing is left behind: uploads are given up, pods are deleted, also on Ctrl-C.
Exit code 1 when a check failed.

Examples:
  # before the first clone
  kubectl image-cloner doctor -n prod --to registry.corp/mirror
  # also whether the nodes can pull
  kubectl image-cloner doctor -A --nodes";

pub(crate) async fn run(args: DoctorArgs, terminal: &Terminal) -> Result<u8, Stopped> {
    let setting_up = async { doctor(&args).await };
    let doctor = terminal.unless_interrupted(setting_up).await?;
    let checks = doctor.examine(&terminal.stop).await;
    match args.document.output {
        Some(form) => terminal.data(&form.text(&report::checks_file(&checks))?),
        None => {
            let shown: Vec<Check> = checks.iter().map(harmless_check).collect();
            let list = report::checks(&shown, terminal.width, paint);
            terminal.painted(list.trim_end());
        }
    }
    if terminal.stop.is_cancelled() {
        return Err(Stopped::cancelled());
    }
    let failed = |check: &Check| check.verdict == Verdict::Fail;
    Ok(u8::from(checks.iter().any(failed)))
}

async fn doctor(args: &DoctorArgs) -> Result<Doctor, Stopped> {
    let run = run_id()?;
    let cluster = Cluster::connect(&args.connection.flags(), WriteMode::Apply).await;
    let cluster = cluster.map_err(Failure::from);
    let mut share_credentials = false;
    let settings = Settings::load().and_then(|settings| {
        share_credentials = settings.environment.switch("SHARE_CREDENTIALS")? == Some(true);
        Ok(settings)
    });
    let (config, target) = match settings {
        Ok(settings) => {
            let target = target(args, &settings, cluster.as_ref().ok()).await;
            (Ok(settings.origin()), target)
        }
        Err(stopped) => (Err(stopped.failure.clone()), Err(stopped.failure)),
    };
    let namespace = match &cluster {
        _ if args.all_namespaces => None,
        Ok(cluster) => Some(cluster.namespace().to_owned()),
        Err(_) => args.connection.namespace.clone(),
    };
    Ok(Doctor {
        run,
        config,
        cluster,
        namespace,
        target,
        share_credentials,
        nodes: args.nodes,
    })
}

/// The target registry that a clone would have.
async fn target(
    args: &DoctorArgs,
    settings: &Settings,
    cluster: Option<&Cluster>,
) -> Result<Target, Failure> {
    let copying = Copying {
        to: args.to.clone(),
        ..Copying::default()
    };
    let resolved = match timeout(LIMIT, settings.resolve(&copying, cluster)).await {
        Ok(Ok(resolved)) => Ok(resolved),
        // a cluster that does not answer publishes none; what else is wrong is so without it
        _ => settings.resolve(&copying, None).await,
    };
    match resolved {
        Ok(Some(resolved)) => Ok(Target {
            registry: resolved.registry,
            named_by: resolved.named_by,
            registries: resolved.registries,
            chain: settings.chain.clone(),
        }),
        Ok(None) => Err(Settings::no_target().failure),
        Err(stopped) => Err(stopped.failure),
    }
}

/// The same, as it may be painted.
fn harmless_check(check: &Check) -> Check {
    let mend = check.mend.iter().map(|way| harmless(way).into_owned());
    Check {
        found: harmless(&check.found).into_owned(),
        mend: mend.collect(),
        ..check.clone()
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
