//! `image-cloner-agent`: arguments, probes, the metrics server; all that is decided is in the library.

mod log;
mod settings;

use clap::Parser;
use image_cloner::cluster::{Cluster, ConnectFlags, WriteMode};
use image_cloner::outcome::Failure;
use image_cloner::watch::{Agent, Health, Known, Metrics, RunId};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

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
    let (health, metrics) = (Health::starting(), Metrics::default());
    let cluster = Cluster::connect(&ConnectFlags::default(), WriteMode::Apply).await?;
    tokio::spawn(sources.follow(settings, health.clone()));
    let (_pause, paused) = watch::channel(false);
    let agent = Agent {
        cluster,
        settings: in_force,
        paused,
        health,
        metrics,
        known: Known::default(),
        run: run_id()?,
    };
    let (closing, stop) = (CancellationToken::new(), CancellationToken::new());
    let mut terminated =
        signal(SignalKind::terminate()).map_err(|error| failed("listening for signals", error))?;
    let working = agent.work(&closing, &stop);
    tokio::select! {
        ended = working => ended?,
        _ = terminated.recv() => tracing::info!("stopping"),
        _ = tokio::signal::ctrl_c() => tracing::info!("stopping"),
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
