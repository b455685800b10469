//! What flags, environment and file say of which images and namespaces a clone is about.

use crate::clone::{CloneArgs, Owned};
use crate::settings::{Settings, Target};
use crate::stop::Stopped;
use clap::ValueEnum as _;
use image_cloner::outcome::Failure;
use image_cloner::plan::{ImagePolicy, Patterns};
use std::collections::{BTreeMap, BTreeSet};

/// Which images are cloned, and how workloads name them.
pub(crate) fn image_policy(
    args: &CloneArgs,
    settings: &Settings,
    target: &Target,
) -> Result<ImagePolicy, Stopped> {
    let sources = Patterns::of_images(&args.source)
        .map_err(|error| Stopped::wrong(Failure::new(format!("--source {error}"))))?;
    let from = settings.left.clone();
    if let Some(from) = from.as_ref().filter(|from| **from == target.registry) {
        let message = format!("--from {from} is where --to leads");
        return Err(Stopped::wrong(Failure::new(message).hint(
            "--from names the registry to leave, --to the one to move to",
        )));
    }
    Ok(ImagePolicy {
        sources,
        from,
        resolve: args.resolve.into(),
        pins: args.pin.then(BTreeMap::new),
        // the plugin's machine is the user's: what its loopback means is up to them
        out_of_reach: BTreeSet::new(),
    })
}

/// Whether what another tool would revert is repointed all the same, by the flag or the environment.
pub(crate) fn owned_live(flag: Option<Owned>, settings: &Settings) -> Result<bool, Stopped> {
    let named = settings.environment.get("OWNED");
    let owned = match (flag, named) {
        (Some(owned), _) => Some(owned),
        (None, Some(word)) => Some(Owned::from_str(word, true).map_err(|_| {
            Stopped::wrong(Failure::new(format!(
                "IMAGE_CLONER_OWNED is {word:?}: not one of copy, live"
            )))
        })?),
        (None, None) => None,
    };
    Ok(owned == Some(Owned::Live))
}

/// Namespaces that flags, file and environment leave alone.
pub(crate) fn skip_namespaces(flags: &[String], settings: &Settings) -> Result<Patterns, Stopped> {
    let named = settings.environment.list("SKIP_NAMESPACES");
    let all = flags
        .iter()
        .chain(&settings.config.skip_namespaces)
        .chain(&named);
    Patterns::parse(all)
        .map_err(|error| Stopped::wrong(Failure::new(format!("namespaces to skip: {error}"))))
}
