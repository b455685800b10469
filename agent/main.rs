//! `image-cloner-agent`: arguments, probes, the metrics server; all that is decided is in the library.

mod leading;
mod log;
mod metrics;
mod probes;
mod serve;
mod settings;
mod stop;
mod webhook;

use axum::Router;
use clap::Parser;
use image_cloner::cluster::{Cluster, ConnectFlags, WriteMode};
use image_cloner::outcome::Failure;
use image_cloner::watch::{Agent, Health, Known, Metrics, RunId};
use leading::Candidacy;
use serve::Address;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use stop::Stop;
use tokio::sync::watch;
use webhook::Admission;

/// Copies the images of a cluster's workloads into your registry and repoints the workloads, as they come.
///
/// Settings are the IMAGE_CLONER_* variables, from the environment or from folders. Outside a cluster it takes
/// the kubeconfig as kubectl does.
#[derive(Debug, Parser)]
#[command(name = "image-cloner-agent", version)]
struct Arguments {
    /// A folder whose files are named like variables, such as a mounted ConfigMap or Secret; may be given
    /// again, a later one goes before an earlier one and all before the environment
    #[arg(long, value_name = "DIR")]
    settings: Vec<PathBuf>,
    /// Where figures are given, at /metrics; 0 for nowhere
    #[arg(long, value_name = "ADDRESS", default_value = ":8080")]
    metrics_bind_address: Address,
    /// Where probes are answered, at /healthz and /readyz; 0 for nowhere
    #[arg(long, value_name = "ADDRESS", default_value = ":8081")]
    health_probe_bind_address: Address,
    /// Where workloads are repointed as they are created, over TLS at /mutate; nowhere by default
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "0",
        hide_default_value = true
    )]
    webhook_bind_address: Address,
    /// Whether several agents agree by a Lease on which of them works; by default where POD_NAMESPACE is set
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    leader_elect: Option<bool>,
    /// How log lines look
    #[arg(long, value_enum, default_value = "text")]
    log_format: log::Format,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = log::init(arguments.log_format).and_then(|()| {
        // it waits more than it works: each thread has memory of its own
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| failed("starting", error))?;
        runtime.block_on(run(arguments))
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Failure> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| Failure::new("another TLS provider is installed"))?;
    let sources = settings::Sources::new(arguments.settings);
    let first = sources.load()?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"), target_registry = %first.target, mode = ?first.mode,
        "starting"
    );
    let (settings, in_force) = watch::channel(Arc::new(first));
    let (health, figures) = (Health::starting(), Metrics::default());
    let cluster = Cluster::connect(&ConnectFlags::default(), WriteMode::Apply).await?;
    tokio::spawn(sources.follow(settings, health.clone()));
    let probes = probes::router(health.clone());
    serve_at(&arguments.health_probe_bind_address, "probes", probes).await?;
    let metrics = metrics::router(&figures, &health);
    serve_at(&arguments.metrics_bind_address, "metrics", metrics).await?;
    let stop = Stop::listen()?;
    let candidacy = Candidacy::begin(arguments.leader_elect, &cluster, &health, &figures);
    let admission = (arguments.webhook_bind_address != Address::Nowhere).then(|| {
        let namespace = candidacy.namespace.clone();
        Admission::new(
            arguments.webhook_bind_address,
            namespace,
            leading::pod_name(),
        )
    });
    let agent = Agent {
        cluster,
        settings: in_force,
        paused: candidacy.leadership.paused(),
        health,
        metrics: figures,
        known: match &admission {
            Some(_) => Known::asked(),
            None => Known::default(),
        },
        run: run_id()?,
    };
    let ended = candidacy.work(agent, admission.as_ref(), &stop).await;
    candidacy.end().await;
    ended
}

async fn serve_at(address: &Address, what: &str, router: Router) -> Result<(), Failure> {
    if let Some(listener) = address.listen().await? {
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "serving {what}");
        }
        tokio::spawn(serve::serve(listener, router));
    }
    Ok(())
}

/// The run that this process's records name.
fn run_id() -> Result<RunId, Failure> {
    let seed = getrandom::u32().map_err(|error| failed("making a run id", error))?;
    let now = jiff::Timestamp::now();
    Ok(RunId {
        id: format!("{:06x}", seed >> 8),
        time: now.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
    })
}

fn failed(what: &str, error: impl std::fmt::Display) -> Failure {
    Failure::new(error.to_string()).context(what)
}
