//! `clone -f`: manifests repointed in their text, no cluster asked.

use crate::args::Output;
use crate::clone::CloneArgs;
use crate::dry_run::DryRun;
use crate::edits::{self, Form};
use crate::ending::{Ending, Report};
use crate::files;
use crate::image_run::ImageRun;
use crate::manifests::Manifests;
use crate::progress::Progress;
use crate::settings::Settings;
use crate::stop::Stopped;
use crate::terminal::Terminal;
use crate::values::item;
use clap::Args;
use image_cloner::execute::Options;
use image_cloner::outcome::{Failure, ImageState, Outcome};
use image_cloner::plan::Copy;

/// Manifests in place of a cluster's workloads.
#[derive(Debug, Args)]
pub(crate) struct FileArgs {
    /// Repoint these manifests and print them, asking no cluster: a file, a folder, or - for standard
    /// input; may be repeated
    #[arg(
        short,
        long,
        value_name = "FILE|DIR|-",
        value_delimiter = ',',
        value_parser = item,
        conflicts_with_all = [
            "words", "all_namespaces", "selector", "all", "kinds", "skip_namespace", "source",
            "from", "resolve", "pin", "copy_only", "owned", "pull_secret", "share_credentials",
            "interactive", "batch", "restore_on_failure", "canary", "wait", "timeout",
            "kubeconfig", "context", "cluster", "user", "namespace", "impersonate",
            "impersonate_groups", "server", "token", "request_timeout",
        ]
    )]
    pub(crate) filename: Vec<String>,
    /// Take what is in the folders below a folder, too
    #[arg(short = 'R', long, requires = "filename")]
    recursive: bool,
    /// Write the files over instead of printing them
    #[arg(short, long, requires = "filename")]
    write: bool,
    /// Copy no image: the target has them, or will have
    #[arg(long, requires = "filename")]
    no_copy: bool,
}

pub(crate) async fn run(args: CloneArgs, terminal: &Terminal) -> Result<u8, Stopped> {
    check(&args)?;
    let settings = Settings::load()?;
    let resolved = settings.resolve(&args.copying, None).await?;
    let target = resolved.ok_or_else(Settings::no_target)?.registry;
    let inputs = files::read(&args.files.filename, args.files.recursive, terminal)?;
    let manifests = Manifests::plan(inputs, &target)?;
    let left = manifests.say_what_is_left(terminal);
    let ended = |code| Ok(if code == 0 && left { 3 } else { code });
    if args.running.output == Some(Output::Refs) {
        manifests.list(terminal);
        return ended(0);
    }
    if args.files.write && args.running.dry_run.mode == DryRun::None {
        manifests.check_writable()?;
    }
    if !args.files.no_copy && !manifests.copies().is_empty() {
        let copied = copy(&args, &settings, manifests.copies(), terminal).await?;
        if copied != 0 {
            return Ok(copied);
        }
    }
    if let Some(form) = Form::of(args.running.output) {
        return ended(edits::print(form, &manifests.edited(), terminal)?);
    }
    if args.files.write {
        return ended(manifests.write(args.running.dry_run.mode, terminal));
    }
    manifests.print(terminal)?;
    ended(0)
}

/// What can be told to be wrong before anything is read.
fn check(args: &CloneArgs) -> Result<(), Stopped> {
    let wrong = |message: &str| Err(Stopped::wrong(Failure::new(message)));
    match args.running.output {
        None | Some(Output::Refs | Output::Kustomize | Output::Patch) => {}
        Some(Output::Wide | Output::Json | Output::Yaml | Output::Name) => {
            return wrong(
                "with -f, -o is refs, kustomize or patch; manifests stay as they are written",
            );
        }
    }
    if args.files.write && args.running.output.is_some() {
        return wrong("-w writes the files themselves: it has no -o");
    }
    if args.files.write && args.files.filename.iter().any(|name| name == "-") {
        return wrong("-w writes files over, and standard input is none");
    }
    if args.running.dry_run.mode == DryRun::Server {
        return wrong("--dry-run=server asks a cluster, and -f asks none: --dry-run=client");
    }
    Ok(())
}

/// Copies the images; gives the exit code.
async fn copy(
    args: &CloneArgs,
    settings: &Settings,
    copies: &[Copy],
    terminal: &Terminal,
) -> Result<u8, Stopped> {
    let platforms = settings.platforms(&args.copying, None).await?;
    let reach = settings.target(&args.copying, None);
    let target = terminal
        .unless_interrupted(reach)
        .await?
        .ok_or_else(Settings::no_target)?;
    let report = args.running.report.as_deref();
    let report = report.map(Report::create).transpose()?;
    let options = Options {
        dry_run: args.running.dry_run.mode.into(),
        stop: terminal.stop.clone(),
        platforms,
        extras: args.copying.extras(),
        ..Options::default()
    };
    let dry_run = options.dry_run;
    let run = ImageRun::begin(settings, &target, options);
    let progress = Progress::of_files(terminal, copies.len(), dry_run);
    let outcome = run.copy(copies, progress).await?;
    if args.running.dry_run.mode != DryRun::None {
        say_what_would_be_copied(&outcome, terminal);
    }
    let ending = Ending {
        output: None,
        report,
        summary: false,
        missed: 0,
        one_object: false,
    };
    let code = ending.show(&outcome, terminal)?;
    if code != 0 {
        terminal.say(if args.files.write {
            "no file was changed"
        } else {
            "no manifest was printed"
        });
    }
    Ok(code)
}

fn say_what_would_be_copied(outcome: &Outcome, terminal: &Terminal) {
    for image in &outcome.images {
        if let ImageState::Copied { .. } = image.state {
            let (source, target) = (image.source.familiar(), &image.target);
            terminal.say(&format!("{source} would be copied to {target}"));
        }
    }
}
