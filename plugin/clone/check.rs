//! What is wrong with a request for a clone by itself.
//!
//! Decides what is said in one breath and cannot be had together. Only flags contradict each other: a
//! variable or the file holds for every clone, whether this one has a use for it or not.

use super::{CloneArgs, Owned};
use crate::args::Output;
use crate::edits::Form;
use crate::stop::Stopped;
use crate::terminal::Terminal;
use image_cloner::outcome::Failure;

/// What can be told to be wrong before anything is asked of a cluster.
pub(super) fn check(args: &CloneArgs, choose: bool, terminal: &Terminal) -> Result<(), Stopped> {
    check_output(args)?;
    check_copying_only(args)?;
    if args.interactive && !terminal.can_ask {
        return Err(Stopped::wrong(Failure::new(
            "-i needs a terminal to ask on",
        )));
    }
    if args.selecting.is_empty() && !choose {
        return Err(Stopped::wrong(
            Failure::new("nothing is selected")
                .hint("name a workload: kubectl image-cloner clone deploy/nginx")
                .hint("or a namespace: kubectl image-cloner clone ns/prod --yes"),
        ));
    }
    Ok(())
}

/// What this output cannot show.
fn check_output(args: &CloneArgs) -> Result<(), Stopped> {
    if args.running.output == Some(Output::Refs) {
        return Err(Stopped::wrong(
            Failure::new("-o refs is of manifests, and -f names none")
                .hint("kubectl image-cloner status -o refs lists what workloads use"),
        ));
    }
    if args.pin && Form::of(args.running.output) == Some(Form::Kustomize) {
        let message = "an entry of kustomize is for all tags of an image: it has no --pin";
        return Err(Stopped::wrong(
            Failure::new(message).hint("-o patch names each image by tag and digest"),
        ));
    }
    Ok(())
}

/// What says how workloads are repointed, where none is.
fn check_copying_only(args: &CloneArgs) -> Result<(), Stopped> {
    let form = Form::of(args.running.output);
    let only = match form {
        Some(form) => format!("{form} repoints nothing live"),
        None if args.copy_only => "--copy-only repoints nothing".to_owned(),
        None => return Ok(()),
    };
    let shares = args.sharing.share_credentials == Some(true);
    let repoints = [
        (args.owned == Some(Owned::Live), "--owned live"),
        (args.pull_secret.is_some(), "--pull-secret"),
        (shares, "--share-credentials"),
        // a patch names what is pinned, too
        (args.pin && form.is_none(), "--pin"),
    ];
    let rollouts = args.rollouts.said(&args.running);
    let mut said = repoints.into_iter().chain(rollouts);
    match said.find(|(is_said, _)| *is_said) {
        Some((_, flag)) => {
            let message = format!("{only}: it has no {flag}");
            Err(Stopped::wrong(Failure::new(message)))
        }
        None => Ok(()),
    }
}
