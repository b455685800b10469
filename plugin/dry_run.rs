//! `--dry-run`, as kubectl has it.

use clap::{Args, ValueEnum};
use image_cloner::cluster::WriteMode;
use image_cloner::outcome;

/// The flag of every verb that changes something.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct DryRunArg {
    /// Only show what would be done; with server, the API server checks it
    #[arg(
        id = "dry_run",
        long = "dry-run",
        value_name = "none|client|server",
        value_enum,
        hide_possible_values = true,
        hide_default_value = true,
        num_args = 0..=1,
        require_equals = true,
        default_value = "none",
        default_missing_value = "client"
    )]
    pub(crate) mode: DryRun,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DryRun {
    // Do it
    None,
    // Show the plan
    Client,
    // Send the changes, have them checked and not stored
    Server,
}

impl DryRun {
    pub(crate) fn write_mode(self) -> WriteMode {
        match self {
            Self::Server => WriteMode::ServerDryRun,
            Self::Client | Self::None => WriteMode::Apply,
        }
    }
}

impl From<DryRun> for outcome::DryRun {
    fn from(mode: DryRun) -> Self {
        match mode {
            DryRun::None => Self::None,
            DryRun::Client => Self::Client,
            DryRun::Server => Self::Server,
        }
    }
}
