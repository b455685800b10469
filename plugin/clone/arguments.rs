//! The arguments of `clone`.

use crate::args::{Copying, Running, Selecting, Sharing};
use crate::clone_files::FileArgs;
use crate::connection::Connection;
use crate::rollouts::RolloutArgs;
use crate::values::item;
use clap::{Arg, Args, ValueEnum};
use image_cloner::plan;

#[derive(Debug, Args)]
#[command(
    after_help = CLONE_EXAMPLES,
    mut_arg("output", |output| output
        .value_name("wide|json|yaml|name|kustomize|patch")
        .help("Print the changed objects or their names; wide shows all of the plan; kustomize and \
               patch copy, change nothing live, and print what the manifests need. With -f: \
               these two, or refs")),
    mut_args(grouped)
)]
#[allow(clippy::struct_excessive_bools, reason = "flags are switches")]
pub(crate) struct CloneArgs {
    #[command(flatten)]
    pub(crate) selecting: Selecting,
    /// Leave these namespaces alone, such as 'team-*'; may be repeated
    #[arg(long, value_name = "GLOB", value_parser = item)]
    pub(crate) skip_namespace: Vec<String>,
    /// Clone only images like this, such as 'docker.io/**'; may be repeated
    #[arg(long, value_name = "GLOB", value_parser = item)]
    pub(crate) source: Vec<String>,
    /// Choose namespace and workloads from lists
    #[arg(short, long, conflicts_with = "yes")]
    pub(crate) interactive: bool,
    #[command(flatten)]
    pub(crate) copying: Copying,
    /// Move what is in this target registry on to the one of --to
    #[arg(long, value_name = "REGISTRY")]
    pub(crate) from: Option<String>,
    /// What a tag means: what the pods run, or what it is upstream now
    #[arg(
        long,
        value_name = "running|tag",
        value_enum,
        default_value_t,
        hide_possible_values = true
    )]
    pub(crate) resolve: Resolve,
    /// Copy the images and change no workload
    #[arg(long)]
    pub(crate) copy_only: bool,
    /// Repoint to TAG@DIGEST, so that nobody can move the tag under a workload
    #[arg(long)]
    pub(crate) pin: bool,
    /// Workloads that Argo CD, Flux or another applier owns: copy their images only, or repoint them live
    /// [default: copy]
    #[arg(
        long,
        value_name = "copy|live",
        value_enum,
        hide_possible_values = true
    )]
    pub(crate) owned: Option<Owned>,
    /// Use this pull secret instead of making one; none adds no pull secret
    #[arg(long, value_name = "NAME|none", conflicts_with = "share_credentials")]
    pub(crate) pull_secret: Option<String>,
    #[command(flatten)]
    pub(crate) sharing: Sharing,
    #[command(flatten)]
    pub(crate) rollouts: RolloutArgs,
    #[command(flatten)]
    pub(crate) running: Running,
    #[command(flatten)]
    pub(crate) files: FileArgs,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// What stands under a heading of its own in the help, by the ids of the arguments. Left among the options
/// are those that say what is cloned, where to, and what is asked and told.
const GROUPS: [(&str, &[&str]); 4] = [
    (
        "How images are copied",
        &[
            "layout",
            "concurrency",
            "platform",
            "foreign_layers",
            "referrers",
            "resolve",
        ],
    ),
    (
        "How workloads are changed",
        &[
            "copy_only",
            "pin",
            "owned",
            "pull_secret",
            "share_credentials",
        ],
    ),
    (
        "How rollouts go",
        &["batch", "restore_on_failure", "canary", "wait", "timeout"],
    ),
    (
        "Manifest files",
        &["filename", "recursive", "write", "no_copy"],
    ),
];

fn grouped(arg: Arg) -> Arg {
    let id = arg.get_id().as_str();
    match GROUPS.iter().find(|(_, ids)| ids.contains(&id)) {
        Some((heading, _)) => arg.help_heading(*heading),
        None => arg,
    }
}

const CLONE_EXAMPLES: &str = "\
Examples:
  # one Deployment
  kubectl image-cloner clone deploy/nginx --to registry.corp/mirror
  # a whole namespace: shows the plan and asks
  kubectl image-cloner clone ns/prod --to registry.corp/mirror
  # everything, five workloads at a time, each image pulled by a node first
  kubectl image-cloner clone -A --to registry.corp/mirror --batch 5 --canary
  # what would happen to everything
  kubectl image-cloner clone -A --to registry.corp/mirror --dry-run
  # Docker Hub's images alone, of Deployments and StatefulSets
  kubectl image-cloner clone -A --source docker.io --kinds deploy,sts
  # move on to another registry, without asking the first sources again
  kubectl image-cloner clone -A --from registry.corp --to harbor.corp/mirror
  # choose from lists
  kubectl image-cloner clone
  # manifests, as they are written but for their images
  kubectl kustomize prod | kubectl image-cloner clone -f - | kubectl apply -f -
  kubectl image-cloner clone -f manifests/ -R -w --to registry.corp/mirror
  # what a kustomization.yaml needs: copied, and nothing repointed live
  kubectl image-cloner clone ns/prod -o kustomize
  kubectl kustomize prod | kubectl image-cloner clone -f - -o kustomize";

/// What happens to workloads that somebody else's tool would revert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Owned {
    // Copy their images only
    Copy,
    // Repoint them all the same
    Live,
}

/// What a tag means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Resolve {
    // The digest that the pods run
    #[default]
    Running,
    // The digest that it has now
    Tag,
}

impl From<Resolve> for plan::Resolve {
    fn from(resolve: Resolve) -> Self {
        match resolve {
            Resolve::Running => Self::Running,
            Resolve::Tag => Self::Tag,
        }
    }
}
