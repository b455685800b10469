//! What is logged, and how: text for people, JSON for what reads it. On standard error.

use image_cloner::outcome::Failure;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::{fmt, prelude::*};

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
    let asked = std::env::var("RUST_LOG").ok().map(|words| {
        let filter = words.parse::<Targets>();
        filter.map_err(|error| Failure::new(format!("RUST_LOG is {words:?}: {error}")))
    });
    let asked = asked.transpose();
    // what is wrong with it is logged, too
    let filter = asked.as_ref().ok().cloned().flatten().unwrap_or_else(|| {
        Targets::new()
            .with_default(LevelFilter::WARN)
            .with_target("kube_runtime", LevelFilter::ERROR)
            .with_target("image_cloner", LevelFilter::INFO)
            .with_target("image_cloner_agent", LevelFilter::INFO)
    });
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(false);
    let lines = match format {
        Format::Text => lines.boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    let lines = lines.with_filter(filter);
    tracing_subscriber::registry().with(lines).init();
    asked.map(drop)
}
