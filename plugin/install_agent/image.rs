//! The agent's image: which one, and of what.
//!
//! Decides nothing about its contents (that is [`agent_image`]).

use super::InstallArgs;
use crate::settings::Target;
use crate::stop::Stopped;
use image_cloner::cluster::{self, Cluster};
use image_cloner::execute::agent_image::{self, Binary};
use image_cloner::install::{self, Live};
use image_cloner::outcome::Failure;
use image_cloner::reference::Reference;
use image_cloner::registry::Made;
use std::collections::BTreeSet;
use std::path::Path;

/// The image that the agent is to run.
#[allow(clippy::large_enum_variant, reason = "there is one in a process")]
pub(super) enum Image {
    /// One that is there already.
    There(String),
    /// One that is made here.
    Made {
        made: Made,
        /// Where it is pushed.
        to: Reference,
        /// The name by which the nodes pull it.
        pinned: Reference,
        architectures: BTreeSet<String>,
    },
}

impl Image {
    pub(super) fn is_made(&self) -> bool {
        matches!(self, Self::Made { .. })
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::There(name) => name,
            Self::Made { pinned, .. } => pinned.typed(),
        }
    }
}

/// The image, and the architectures of the nodes that it is not for, where there are such.
pub(super) async fn choose(
    args: &InstallArgs,
    cluster: &Cluster,
    target: &Target,
    live: Option<&Live>,
    notes: &mut Vec<String>,
) -> Result<Image, Stopped> {
    if let Some(image) = &args.agent_image {
        Reference::parse(image)?;
        return Ok(Image::There(image.clone()));
    }
    let wanted = architectures(cluster, notes).await?;
    let binaries = match binaries(args, &wanted) {
        Ok(binaries) => binaries,
        Err(failure) => {
            let live = live.filter(|_| args.agent_binary.is_empty());
            let Some(image) = live.and_then(|live| live.image.clone()) else {
                return Err(Stopped::wrong(failure));
            };
            notes.push(format!("the agent's image stays as it is: {failure}"));
            return Ok(Image::There(image));
        }
    };
    let architectures: BTreeSet<String> = binaries
        .iter()
        .map(|binary| binary.architecture().to_owned())
        .collect();
    for missing in wanted.difference(&architectures) {
        notes.push(format!(
            "there is no agent for linux/{missing}: it keeps away from those nodes"
        ));
    }
    let version = env!("CARGO_PKG_VERSION");
    let authorities = agent_image::authorities();
    let made = agent_image::make(&binaries, &authorities, version).map_err(Stopped::failed)?;
    let name = Reference::parse(&format!("{}:v{version}", install::REPOSITORY))?;
    let to = target.registry.name(&name)?;
    let pinned = to.with(to.tag(), Some(&made.digest()));
    Ok(Image::Made {
        made,
        to,
        pinned,
        architectures,
    })
}

/// The architectures of the cluster's Linux nodes; this machine's where it does not tell.
async fn architectures(
    cluster: &Cluster,
    notes: &mut Vec<String>,
) -> Result<BTreeSet<String>, Stopped> {
    match cluster.platforms().await {
        Ok(platforms) => Ok(platforms
            .iter()
            .filter(|platform| platform.os() == "linux")
            .map(|platform| platform.architecture().to_owned())
            .collect()),
        Err(error @ cluster::Error::Untold { .. }) => {
            let own = agent_image::own_architecture();
            notes.push(format!("{error}: taken for linux/{own}"));
            Ok([own.to_owned()].into())
        }
        Err(error) => Err(error.into()),
    }
}

fn binaries(args: &InstallArgs, nodes: &BTreeSet<String>) -> Result<Vec<Binary>, Failure> {
    if args.agent_binary.is_empty() {
        let program = std::env::current_exe().and_then(|path| path.canonicalize());
        let program = program.map_err(|error| {
            Failure::new(format!("finding the folder of this program: {error}"))
        })?;
        let folder = program.parent().unwrap_or(Path::new("/"));
        return Binary::beside(folder, nodes);
    }
    Binary::named(&args.agent_binary, nodes)
}
