//! The command line: what may be typed, and what it means before anything is asked of a cluster.

use crate::agent::AgentArgs;
use crate::candidates;
use crate::clone::CloneArgs;
use crate::completion::CompletionArgs;
use crate::config::ConfigArgs;
pub(crate) use crate::connection::Connection;
use crate::copy::CopyArgs;
use crate::doctor::DoctorArgs;
use crate::dry_run::DryRunArg;
use crate::install_agent::InstallArgs;
use crate::login::{LoginArgs, LogoutArgs};
use crate::man::ManArgs;
use crate::restore::RestoreArgs;
use crate::status::StatusArgs;
use crate::sync_credentials::SyncArgs;
use crate::uninstall_agent::UninstallArgs;
use crate::values::{item, switch, time};
use crate::verify::VerifyArgs;
use crate::version::VersionArgs;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use image_cloner::cluster::{Selection, SelectionError};
use image_cloner::platform::PlatformChoice;
use image_cloner::registry;
use image_cloner::target::Layout;
use std::path::PathBuf;
use std::time::Duration;

/// Keep the images your cluster runs in your own registry.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = AFTER_HELP,
    name = "kubectl image-cloner",
    bin_name = "kubectl image-cloner",
    max_term_width = 100
)]
pub(crate) struct Cli {
    /// kubectl takes its flags before the verb too
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    pub(crate) verb: Verb,
    /// Log to standard error, as in kubectl: 1 says little, 4 each request, 8 all there is
    #[arg(
        short = 'v',
        long = "v",
        value_name = "LEVEL",
        global = true,
        default_value_t = 0,
        hide_default_value = true
    )]
    pub(crate) verbosity: u8,
}

/// The command line as a value, for those who describe it.
pub(crate) fn command() -> clap::Command {
    // each verb that takes them shows them
    Cli::command().mut_args(|arg| arg.hide(true))
}

impl Cli {
    /// What was typed; where that is wrong, or asks for help, the process ends with an answer.
    pub(crate) fn read() -> Self {
        let mut command = command();
        let read = command
            .try_get_matches_from_mut(std::env::args_os())
            .and_then(|mut matches| Self::from_arg_matches_mut(&mut matches));
        let mut cli = read.unwrap_or_else(|error| error.exit());
        let before = std::mem::take(&mut cli.connection);
        match cli.verb.connection() {
            Some(connection) => connection.fill(before),
            None if before == Connection::default() => {}
            None => {
                let message = "this asks no cluster: the flags before it mean nothing to it";
                command.error(ErrorKind::ArgumentConflict, message).exit();
            }
        }
        cli
    }
}

const AFTER_HELP: &str = "\
Target registry: --to, IMAGE_CLONER_REGISTRY, or `config set registry`
Pushing there:   IMAGE_CLONER_USER and _PASS, or `login`
Pulling there:   IMAGE_CLONER_PULL_USER and _PASS, for the pods' pull secrets
Configuration:   `config view` shows what is in force, and who says so

Exit codes: 0 done, 1 something failed, 2 wrong request, 3 workloads were left,
130 interrupted or declined";

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Copy images to your registry and repoint workloads to them
    Clone(CloneArgs),
    /// Copy images to your registry, no cluster involved
    Copy(CopyArgs),
    /// Give workloads back the images they had before
    Restore(RestoreArgs),
    /// Show every image in use, and what has become of its copy
    Status(StatusArgs),
    /// Check that the copies in use are complete
    Verify(VerifyArgs),
    /// Bring the pull secrets in the cluster up to date
    SyncCredentials(SyncArgs),
    /// Look for what keeps images from being cloned and pulled
    Doctor(DoctorArgs),
    /// Log in to a registry
    Login(LoginArgs),
    /// Forget a registry's login
    Logout(LogoutArgs),
    /// Show and change the configuration
    Config(ConfigArgs),
    /// Complete command lines with the tab key
    Completion(CompletionArgs),
    /// Write manual pages
    #[command(hide = true)]
    Man(ManArgs),
    /// Install the agent, which does all this by itself, or bring it up to date
    InstallAgent(Box<InstallArgs>),
    /// Remove the agent
    UninstallAgent(UninstallArgs),
    /// See and steer the agent in the cluster
    Agent(AgentArgs),
    /// Show the versions of this program and of the agent
    Version(VersionArgs),
}

impl Verb {
    /// The flags that say which cluster it asks; none where it asks none.
    fn connection(&mut self) -> Option<&mut Connection> {
        match self {
            Self::Clone(args) => Some(&mut args.connection),
            Self::Restore(args) => Some(&mut args.connection),
            Self::Status(args) => Some(&mut args.connection),
            Self::Verify(args) => Some(&mut args.connection),
            Self::SyncCredentials(args) => Some(&mut args.connection),
            Self::Doctor(args) => Some(&mut args.connection),
            Self::Config(args) => args.connection(),
            Self::InstallAgent(args) => Some(&mut args.connection),
            Self::UninstallAgent(args) => Some(&mut args.connection),
            Self::Agent(args) => Some(args.connection()),
            Self::Version(args) => Some(&mut args.connection),
            Self::Copy(_)
            | Self::Login(_)
            | Self::Logout(_)
            | Self::Completion(_)
            | Self::Man(_) => None,
        }
    }
}

/// What a verb works on, in kubectl's words.
#[derive(Debug, Args)]
pub(crate) struct Selecting {
    /// TYPE/NAME, TYPE NAME..., TYPE[,TYPE] or ns/NAME
    #[arg(value_name = "WHAT", add = ArgValueCompleter::new(candidates::workloads))]
    pub(crate) words: Vec<String>,
    /// In all namespaces
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
    /// Only objects with these labels, as in kubectl
    #[arg(short = 'l', long, value_name = "LABELS", value_parser = item)]
    pub(crate) selector: Option<String>,
    /// All objects of the types that are named, or of every type
    #[arg(long)]
    pub(crate) all: bool,
    /// What -A, -l, ns/NAME and all take in, such as deploy,sts
    #[arg(long, value_name = "TYPE,...", value_delimiter = ',', value_parser = item)]
    pub(crate) kinds: Vec<String>,
}

impl Selecting {
    /// Whether nothing at all was said.
    pub(crate) fn is_empty(&self) -> bool {
        self.words.is_empty() && !self.all_namespaces && self.selector.is_none() && !self.all
    }

    /// What was said, parsed.
    pub(crate) fn parse(&self) -> Result<Selection, SelectionError> {
        let labels = self.selector.as_deref();
        let selection = if self.all && self.words.is_empty() && !self.all_namespaces {
            Selection::parse(&["all".to_owned()], false, labels)
        } else {
            Selection::parse(&self.words, self.all_namespaces, labels)
        };
        let selection = selection?.among(&self.kinds)?;
        if self.all {
            return selection.all();
        }
        Ok(selection)
    }
}

/// Where copies go and how.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Copying {
    /// Target registry, HOST[:PORT][/PREFIX]
    #[arg(long, value_name = "REGISTRY")]
    pub(crate) to: Option<String>,
    /// How copies are named: mirror keeps paths, flat is for registries without nested ones
    #[arg(
        long,
        value_name = "mirror|flat",
        value_parser = PossibleValuesParser::new(["mirror", "flat"]).try_map(|text| text.parse::<Layout>()),
        hide_possible_values = true
    )]
    pub(crate) layout: Option<Layout>,
    /// Transfers of big blobs at once per registry [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) concurrency: Option<u16>,
    /// What to copy of images for several platforms: all, those of the cluster's nodes, or a list
    #[arg(long, value_name = "all|cluster|OS/ARCH,...")]
    pub(crate) platform: Option<PlatformChoice>,
    /// Layers whose owner lets nobody else give them out: leave them to him, or copy them too
    #[arg(
        long,
        value_name = "copy|skip",
        value_enum,
        default_value_t,
        hide_possible_values = true
    )]
    pub(crate) foreign_layers: ForeignLayers,
    /// Copy signatures, attestations and SBOMs that refer to the images too
    #[arg(long)]
    pub(crate) referrers: bool,
}

impl Copying {
    /// This target, where nothing is copied.
    pub(crate) fn to(to: Option<String>, layout: Option<Layout>) -> Self {
        Self {
            to,
            layout,
            ..Self::default()
        }
    }

    pub(crate) fn extras(&self) -> registry::Extras {
        registry::Extras {
            foreign_layers: self.foreign_layers.into(),
            referrers: self.referrers,
        }
    }
}

/// What becomes of foreign layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum ForeignLayers {
    // Copy them too
    Copy,
    // Leave them where they are
    #[default]
    Skip,
}

impl From<ForeignLayers> for registry::ForeignLayers {
    fn from(layers: ForeignLayers) -> Self {
        match layers {
            ForeignLayers::Copy => Self::Copy,
            ForeignLayers::Skip => Self::Skip,
        }
    }
}

/// Whether pods may get the credentials for pushing.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Sharing {
    /// Let the credentials for pushing be put into pull secrets
    #[arg(
        long,
        value_name = "true|false",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = switch
    )]
    pub(crate) share_credentials: Option<bool>,
}

/// How a run goes about what it changes, and what it tells.
#[derive(Debug, Args)]
pub(crate) struct Running {
    #[command(flatten)]
    pub(crate) dry_run: DryRunArg,
    /// Ask nothing
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Wait until the changed workloads are ready
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "true|false",
        value_parser = switch
    )]
    pub(crate) wait: Option<bool>,
    /// How long to wait for each workload
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = time)]
    pub(crate) timeout: Duration,
    /// Print the changed objects or their names; wide shows all of the plan
    #[arg(
        short,
        long,
        value_name = "wide|json|yaml|name",
        value_enum,
        hide_possible_values = true
    )]
    pub(crate) output: Option<Output>,
    /// Write what was done to this file, as JSON or YAML by its ending
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
}

impl Running {
    /// How long rollouts are waited for, where that was asked for.
    pub(crate) fn awaited(&self) -> Option<Duration> {
        self.wait.unwrap_or(false).then_some(self.timeout)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    // All images and full names in the plan
    Wide,
    // The changed objects as JSON
    Json,
    // The changed objects as YAML
    Yaml,
    // Only TYPE/NAME
    Name,
    // The images of manifests and their copies' names
    Refs,
    // What a kustomization.yaml needs
    Kustomize,
    // Strategic merge patches
    Patch,
}
