//! What is logged, and how: text for people, JSON for what reads it. On standard error.

use image_cloner::outcome::Failure;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// `2026-01-01T00:00:00Z INFO inspecting deployment namespace="shop" name="web"`.
    Text,
    /// One object a line.
    Json,
}

/// Begins to log. `RUST_LOG` says how much; by default what the agent does, of its libraries nothing but
/// warnings, and not those of broken watches, which it tells itself.
pub(crate) fn init(format: Format) -> Result<(), Failure> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(words) => EnvFilter::try_new(&words)
            .map_err(|error| Failure::new(format!("RUST_LOG is {words:?}: {error}")))?,
        Err(_) => {
            EnvFilter::new("warn,kube_runtime=error,image_cloner=info,image_cloner_agent=info")
        }
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(false);
    match format {
        Format::Text => lines.init(),
        Format::Json => lines.json().flatten_event(true).init(),
    }
    Ok(())
}
