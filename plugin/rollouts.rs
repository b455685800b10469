//! How a verb goes about rollouts, as typed and as meant.

use crate::args::Running;
use crate::stop::Stopped;
use crate::values::switch;
use clap::Args;
use image_cloner::execute::Rollouts;
use image_cloner::outcome::Failure;

/// Workloads of a broad selection that are rolled out at a time where nothing is said.
const BATCH: u16 = 10;

/// For every verb that changes workloads.
#[derive(Debug, Default, Args)]
pub(crate) struct BatchArgs {
    /// Change so many workloads, wait for them, then the next so many [default: 10 of a broad selection]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    batch: Option<u16>,
}

impl BatchArgs {
    /// What was said, and kubectl's habits where nothing was: what is named is patched and that is all.
    pub(crate) fn settle(
        &self,
        running: &Running,
        broad: bool,
    ) -> Result<Option<Rollouts>, Stopped> {
        if self.batch.is_some() {
            must_follow("--batch", running)?;
        }
        let followed = running.wait.unwrap_or(broad || self.batch.is_some());
        let batch = self.batch.or(broad.then_some(BATCH));
        Ok(followed.then(|| Rollouts {
            timeout: running.timeout,
            batch: batch.map(usize::from),
        }))
    }
}

/// For a clone.
#[derive(Debug, Args)]
pub(crate) struct RolloutArgs {
    #[command(flatten)]
    batch: BatchArgs,
    /// Give workloads that do not become ready their images back, and wait for them as long again
    /// [default: true for a broad selection]
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "true|false",
        value_parser = switch
    )]
    restore_on_failure: Option<bool>,
    /// Before workloads are changed, have nodes pull their images in short-lived pods that never run them
    #[arg(long)]
    pub(crate) canary: bool,
}

impl RolloutArgs {
    /// The flags that ask for something of rollouts, and which of them were given.
    pub(crate) fn said(&self, running: &Running) -> [(bool, &'static str); 4] {
        [
            (running.wait == Some(true), "--wait"),
            (self.batch.batch.is_some(), "--batch"),
            (
                self.restore_on_failure == Some(true),
                "--restore-on-failure",
            ),
            (self.canary, "--canary"),
        ]
    }

    /// How rollouts are followed, and whether what comes to nothing is put back.
    pub(crate) fn settle(
        &self,
        running: &Running,
        broad: bool,
    ) -> Result<(Option<Rollouts>, bool), Stopped> {
        let rollouts = self.batch.settle(running, broad)?;
        let put_back = self.restore_on_failure.unwrap_or(broad);
        if self.restore_on_failure != Some(true) {
            return Ok((rollouts, put_back));
        }
        must_follow("--restore-on-failure", running)?;
        let alone = Rollouts {
            timeout: running.timeout,
            batch: None,
        };
        Ok((rollouts.or(Some(alone)), put_back))
    }
}

/// Refuses a flag that follows rollouts beside one that does not.
fn must_follow(flag: &str, running: &Running) -> Result<(), Stopped> {
    if running.wait == Some(false) {
        return Err(Stopped::wrong(
            Failure::new(format!(
                "{flag} follows rollouts, and --wait=false does not"
            ))
            .hint("leave one of them out"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Typed {
        #[command(flatten)]
        rollouts: RolloutArgs,
        #[command(flatten)]
        running: Running,
    }

    #[test]
    fn broad_selections_go_in_batches_and_named_ones_only_as_far_as_is_said() {
        let settle = |words: &str, broad| {
            let typed = Typed::parse_from(std::iter::once("x").chain(words.split_whitespace()));
            let settled = typed.rollouts.settle(&typed.running, broad);
            settled
                .map(|(rollouts, put_back)| rollouts.map(|it| (it.batch, put_back)))
                .map_err(|stopped| stopped.failure.message)
        };
        let check = |words, named, broad| {
            assert_eq!(settle(words, false), Ok(named), "{words}");
            assert_eq!(settle(words, true), Ok(broad), "{words}");
        };
        check("", None, Some((Some(10), true)));
        check("--wait", Some((None, false)), Some((Some(10), true)));
        check("--wait=false", None, None);
        check("--batch 3", Some((Some(3), false)), Some((Some(3), true)));
        check(
            "--restore-on-failure",
            Some((None, true)),
            Some((Some(10), true)),
        );
        check("--restore-on-failure=false", None, Some((Some(10), false)));
        let contradiction = settle("--batch 3 --wait=false", true).unwrap_err();
        assert!(
            contradiction.starts_with("--batch follows"),
            "{contradiction}"
        );
    }
}
