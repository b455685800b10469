//! `copy`: registry work alone.

use crate::args::Copying;
use crate::ending::{Ending, Report};
use crate::image_run::ImageRun;
use crate::progress::Progress;
use crate::settings::{Settings, Target};
use crate::stop::Stopped;
use crate::terminal::Terminal;
use crate::waits::Waits;
use clap::Args;
use image_cloner::execute::Options;
use image_cloner::outcome::Failure;
use image_cloner::plan::Copy;
use image_cloner::reference::Reference;
use image_cloner::report;
use image_cloner::target::NameError;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use tokio::io::AsyncReadExt;

const COPY_EXAMPLES: &str = "\
Examples:
  kubectl image-cloner copy nginx:1.25 quay.io/org/tool:3 --to registry.corp/mirror
  kubectl image-cloner copy -f images.txt --to registry.corp/mirror
  kubectl image-cloner copy nginx:1.25 --as registry.corp/base/web:stable";

#[derive(Debug, Args)]
#[command(after_help = COPY_EXAMPLES)]
pub(crate) struct CopyArgs {
    /// Images to copy
    #[arg(value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
    /// Read images from this file, one a line; - is standard input
    #[arg(short, long, value_name = "FILE")]
    pub(crate) filename: Option<String>,
    #[command(flatten)]
    pub(crate) copying: Copying,
    /// The copy's name, for a single image
    #[arg(long = "as", value_name = "IMAGE", conflicts_with_all = ["to", "filename"])]
    pub(crate) copy_as: Option<String>,
    /// Write what was done to this file, as JSON or YAML by its ending
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
}

pub(crate) async fn run(args: CopyArgs, terminal: &Terminal) -> Result<u8, Stopped> {
    let settings = Settings::load()?;
    let platforms = settings.platforms(&args.copying, None).await?;
    let (copies, target) = terminal
        .unless_interrupted(prepare(&args, &settings))
        .await?;
    let report = args.report.as_deref().map(Report::create).transpose()?;
    let options = Options {
        stop: terminal.stop.clone(),
        platforms,
        extras: args.copying.extras(),
        ..Options::default()
    };
    let run = ImageRun::begin(&settings, &target, options);
    Waits::of_lookups(terminal, &target.registries);
    // both ends are looked at together: far registries are the normal case
    let survey = async { Ok(run.images.outlook(&copies).await) };
    let known = futures::future::try_join(target.log_in(), survey);
    let ((), survey) = terminal.unless_interrupted(known).await?;
    terminal.notes(&report::shortages(&survey));
    let progress = Progress::of_images(terminal, copies.len());
    let outcome = run.copy(&copies, progress).await?;
    let ending = Ending {
        output: None,
        report,
        summary: outcome.images.len() > 1,
        missed: 0,
        one_object: false,
    };
    ending.show(&outcome, terminal)
}

/// What will be copied and where to; nothing is written yet.
async fn prepare(args: &CopyArgs, settings: &Settings) -> Result<(Vec<Copy>, Target), Stopped> {
    let sources = sources(args).await?;
    if let Some(name) = &args.copy_as {
        return copy_as(settings, args, sources, name).await;
    }
    let target = settings
        .find_target(&args.copying, None)
        .await?
        .ok_or_else(Settings::no_target)?;
    Ok((
        copies(sources, |source| target.registry.name(source))?,
        target,
    ))
}

/// One image under a name of the user's own.
async fn copy_as(
    settings: &Settings,
    args: &CopyArgs,
    sources: Vec<Reference>,
    name: &str,
) -> Result<(Vec<Copy>, Target), Stopped> {
    if sources.len() != 1 {
        return Err(Stopped::wrong(Failure::new(format!(
            "--as names one copy, but {} images are given",
            sources.len()
        ))));
    }
    let reference = Reference::parse(name)?;
    // a login may be one of a part of the registry only, and Docker Hub is nobody's as a whole
    let whole = format!("{}/{}", reference.registry(), reference.repository());
    let parent = whole.rsplit_once('/').map(|(parent, _)| parent.to_owned());
    let copying = Copying {
        to: parent,
        ..args.copying.clone()
    };
    let target = settings
        .find_target(&copying, None)
        .await?
        .ok_or_else(Settings::no_target)?;
    Ok((copies(sources, |_| Ok(reference.clone()))?, target))
}

fn copies(
    sources: Vec<Reference>,
    name: impl Fn(&Reference) -> Result<Reference, NameError>,
) -> Result<Vec<Copy>, Stopped> {
    let unique: BTreeSet<Reference> = sources.into_iter().collect();
    unique
        .into_iter()
        .map(|source| {
            let target = name(&source)?;
            Ok(Copy {
                origin: source.clone(),
                source,
                target,
                running: BTreeSet::new(),
                users: BTreeMap::new(),
            })
        })
        .collect()
}

/// The images named on the command line and in the list.
async fn sources(args: &CopyArgs) -> Result<Vec<Reference>, Stopped> {
    let listed = match args.filename.as_deref() {
        Some("-") => {
            let mut text = String::new();
            let read = tokio::io::stdin().read_to_string(&mut text).await;
            read.map_err(|error| unreadable("standard input", &error))?;
            text
        }
        Some(path) => std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?,
        None => String::new(),
    };
    let listed = listed
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let sources = args
        .images
        .iter()
        .map(String::as_str)
        .chain(listed)
        .map(Reference::parse)
        .collect::<Result<Vec<_>, _>>()?;
    if sources.is_empty() {
        return Err(Stopped::wrong(Failure::new("no image is given").hint(
            "kubectl image-cloner copy nginx:1.25 --to HOST[:PORT][/PREFIX]",
        )));
    }
    Ok(sources)
}

fn unreadable(what: &str, error: &std::io::Error) -> Stopped {
    Stopped::wrong(Failure::new(format!("reading images from {what}: {error}")))
}
