//! The arguments of `install-agent`.

use crate::args::{Connection, Sharing};
use crate::document::DocumentArg;
use crate::dry_run::DryRunArg;
use crate::values::{item, switch, time};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    mut_arg("namespace", |namespace| namespace.hide(true)),
    mut_arg("output", |output| output.help("Print the objects, with their credentials")),
)]
pub(crate) struct InstallArgs {
    /// Let it work in all namespaces but those of the system
    #[arg(short = 'A', long, conflicts_with = "namespaces")]
    pub(super) all_namespaces: bool,
    /// Let it work in these namespaces alone
    #[arg(long, value_name = "NS,...", value_delimiter = ',', value_parser = item)]
    pub(super) namespaces: Vec<String>,
    /// Target registry, HOST[:PORT][/PREFIX]
    #[arg(long, value_name = "REGISTRY")]
    pub(super) to: Option<String>,
    /// Where pods reach the target registry, where its name means something else to them
    #[arg(long, value_name = "URL")]
    pub(super) registry_endpoint: Option<String>,
    /// Only tell what would be done, only copy images, or repoint workloads too [default: clone]
    #[arg(
        long,
        value_name = "observe|copy|clone",
        value_enum,
        hide_possible_values = true
    )]
    pub(super) mode: Option<Mode>,
    /// What it works on, of deploy,sts,ds,cj; it repoints a StatefulSet only with --set STATEFUL=true
    /// [default: deploy]
    #[arg(long, value_name = "TYPE,...", value_delimiter = ',', value_parser = item)]
    pub(super) kinds: Vec<String>,
    /// Where it may read and write secrets: private sources, pull secrets for the target [default: none]
    #[arg(long, value_name = "none|all|NS,...", value_delimiter = ',', value_parser = item)]
    pub(super) secrets: Vec<String>,
    #[command(flatten)]
    pub(super) sharing: Sharing,
    /// Any other setting, of those below; may be repeated; NAME= takes one away
    #[arg(long, value_name = "NAME=VALUE")]
    pub(super) set: Vec<String>,
    /// A config.yaml for it: endpoints, certificate authorities of registries
    #[arg(long, value_name = "FILE")]
    pub(super) agent_config: Option<PathBuf>,
    /// How many of it there are [default: 1]
    #[arg(long, value_name = "N", help_heading = "How it runs", value_parser = clap::value_parser!(u32).range(1..=9))]
    pub(super) replicas: Option<u32>,
    /// Repoint workloads as they are created, where their copies are there already
    #[arg(long, help_heading = "How it runs", value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch)]
    pub(super) webhook: Option<bool>,
    /// Make a NetworkPolicy for it
    #[arg(long, help_heading = "How it runs", value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch)]
    pub(super) network_policy: Option<bool>,
    /// Make a ServiceMonitor for it (Prometheus operator)
    #[arg(long, help_heading = "How it runs", value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch)]
    pub(super) service_monitor: Option<bool>,
    /// Use this image, which is there already, and make none
    #[arg(
        long,
        value_name = "IMAGE",
        help_heading = "How it runs",
        conflicts_with = "agent_binary"
    )]
    pub(super) agent_image: Option<String>,
    /// Make its image of this file, not of the one beside the plugin; one for each architecture
    #[arg(long, value_name = "FILE", help_heading = "How it runs")]
    pub(super) agent_binary: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) dry_run: DryRunArg,
    #[command(flatten)]
    pub(super) document: DocumentArg,
    /// Ask nothing
    #[arg(short, long)]
    pub(super) yes: bool,
    /// Wait until it is ready [default: true]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false", value_parser = switch)]
    pub(super) wait: Option<bool>,
    /// How long to wait for it
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = time)]
    pub(super) timeout: Duration,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Mode {
    // Look, and tell
    Observe,
    // Copy images
    Copy,
    // Repoint workloads too
    Clone,
}

pub(super) const EXAMPLES: &str = "\
Its image is made here, of the program image-cloner-agent beside the plugin, and
pushed to the target registry. Credentials: IMAGE_CLONER_USER and _PASS, or
`login`; for the nodes, IMAGE_CLONER_PULL_USER and _PASS. Run again, it keeps
what nothing else is said of; another registry gets nothing of the one before.

Settings for --set, with what holds where nothing is said:
  STATEFUL=false    true repoints StatefulSets and Recreate Deployments, too
  MAX_ROLLOUTS=10   unfinished rollouts at a time; 0 is no limit
  RESYNC=10h        how often everything is looked at again: 30m, 10h, off
  REFRESH=off       how often tags are looked up again, and copied if they moved
  SKIP_NAMESPACES=  what it leaves alone, such as team-*,lab
  OWNED=copy        live repoints what Argo CD, Flux and others own, too
  PLATFORM=all      or cluster, or a list: linux/amd64,linux/arm64
  LAYOUT=mirror     or flat
  CONCURRENCY=5     transfers of big blobs at once per registry, 1 to 256

Examples:
  # for the whole cluster; pull secrets are made where they are needed
  kubectl image-cloner install-agent -A --to registry.corp/mirror --secrets all
  # look only, in two namespaces
  kubectl image-cloner install-agent --namespaces shop,db --mode observe
  # what it is made of, for a repository of manifests
  kubectl image-cloner install-agent -A --dry-run=client -o yaml
  # change one setting
  kubectl image-cloner install-agent --set MAX_ROLLOUTS=5";
