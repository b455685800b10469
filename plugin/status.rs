//! `status`: every image in use, and what has become of its copy.

use crate::args::{Connection, Copying, Selecting};
use crate::document::Form;
use crate::policy::skip_namespaces;
use crate::settings::{Settings, Target};
use crate::stop::Stopped;
use crate::terminal::Terminal;
use crate::waits::Waits;
use clap::{Args, ValueEnum};
use image_cloner::cluster::{Cluster, Observation, WriteMode};
use image_cloner::execute::{Images, Options};
use image_cloner::plan::{ImagePolicy, Policy, PullAccess};
use image_cloner::platform::Platforms;
use image_cloner::report;
use image_cloner::status::{self, Row, Status, Usage};
use image_cloner::target::Layout;
use std::sync::Arc;

const EXAMPLES: &str = "\
Examples:
  # this namespace
  kubectl image-cloner status
  # what still comes from elsewhere, in all namespaces
  kubectl image-cloner status -A --external
  # in a pipeline: exit code 3 when something is not in the target
  kubectl image-cloner status ns/prod --exit-code
  # for programs
  kubectl image-cloner status -A -o json | jq '.images[] | select(.state == \"moved\")'

States, trouble first:
  missing-in-target  the workload points to a copy that is not there
  changed            it was cloned, and names something else now
  unknown            the target could not be asked
  moved              the source's tag has moved on; the copy is as it was
  source-gone        the source is gone; the copy is there
  external           pulled from elsewhere; NOTE says why, where a rule does
  cloned             in the target registry

Exit codes: 0 shown, 1 something could not be read, 2 wrong request;
with --exit-code 3 when an image is external, changed or missing (what a rule
skips does not count), 1 when that cannot be told";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    looking: Looking,
    /// Only images that are not in the target registry
    #[arg(long)]
    external: bool,
    /// Exit with 3 when something is not in the target registry that could be
    #[arg(long)]
    exit_code: bool,
    /// Leave out the line of titles
    #[arg(long)]
    no_headers: bool,
    /// Every column; a document; or lines of source, target and digest
    #[arg(
        short,
        long,
        value_name = "table|wide|json|yaml|refs",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        hide_default_value = true
    )]
    output: Output,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// What is looked at, where nothing is changed.
#[derive(Debug, Args)]
pub(crate) struct Looking {
    #[command(flatten)]
    pub(crate) selecting: Selecting,
    /// Target registry, HOST[:PORT][/PREFIX]
    #[arg(long, value_name = "REGISTRY")]
    to: Option<String>,
    /// How copies are named: mirror or flat
    #[arg(long, value_name = "LAYOUT")]
    layout: Option<Layout>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Output {
    // A row an image
    #[default]
    Table,
    // With copies, pods and sizes, nothing shortened
    Wide,
    // A document
    Json,
    // The same as YAML
    Yaml,
    // source target digest
    Refs,
}

pub(crate) async fn run(args: StatusArgs, terminal: &Terminal) -> Result<u8, Stopped> {
    let look = async {
        let scene = Scene::look(&args.looking, &args.connection, Purpose::Look, terminal).await?;
        let sizes = matches!(args.output, Output::Wide | Output::Json | Output::Yaml);
        let sightings = scene.images.sight(&scene.usages, sizes).await;
        Ok((scene, sightings))
    };
    let (scene, sightings) = terminal.unless_interrupted(look).await?;
    let status = Status::of(scene.usages, &sightings);
    let shown: Vec<&Row> = status
        .rows
        .iter()
        .filter(|row| !args.external || row.state.is_outside())
        .collect();
    match args.output {
        Output::Table | Output::Wide if status.rows.is_empty() => {
            terminal.say("no workloads found");
        }
        Output::Table | Output::Wide => {
            let first = status.rows.first().map(|row| &row.namespace);
            let layout = report::Layout {
                width: terminal.width,
                wide: args.output == Output::Wide,
                namespaces: args.looking.selecting.all_namespaces
                    || status.rows.iter().any(|row| Some(&row.namespace) != first),
                no_headers: args.no_headers,
            };
            if !shown.is_empty() {
                terminal.data(report::status(shown, &layout).trim_end());
                terminal.say("");
            }
            terminal.say(&report::status_sum(&status, terminal.width));
            for trouble in &status.troubles {
                terminal.note(&report::status_trouble(trouble));
                terminal.hints(&trouble.failure);
            }
        }
        Output::Json | Output::Yaml => {
            let document = report::status_document(&status, shown, &scene.target.registry);
            let form = match args.output {
                Output::Json => Form::Json,
                _ => Form::Yaml,
            };
            terminal.data(&form.text(&document)?);
        }
        Output::Refs => {
            for line in report::status_refs(shown) {
                terminal.data(&line);
            }
        }
    }
    let code = if args.exit_code {
        status.exit_code()
    } else {
        0
    };
    Ok(match code {
        0 if scene.missed > 0 => 1,
        code => code,
    })
}

/// Whether anything may be copied after the look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Look,
    Repair,
}

/// What is in use, and whom to ask about it.
pub(crate) struct Scene {
    pub(crate) target: Target,
    pub(crate) usages: Vec<Usage>,
    pub(crate) images: Images,
    /// How many named things could not be had.
    pub(crate) missed: usize,
}

impl Scene {
    /// Observes the selection; nothing selected is the namespace, as for `kubectl get`.
    pub(crate) async fn look(
        looking: &Looking,
        connection: &Connection,
        purpose: Purpose,
        terminal: &Terminal,
    ) -> Result<Self, Stopped> {
        let settings = Settings::load()?;
        let selection = settings.found_again(&looking.selecting)?;
        let cluster = Cluster::connect(&connection.flags(), WriteMode::Apply).await?;
        let copying = Copying::to(looking.to.clone(), looking.layout);
        let target = settings.find_target(&copying, Some(&cluster)).await?;
        let target = target.ok_or_else(Settings::no_target)?;
        Waits::of_lookups(terminal, &target.registries);
        let platforms = match purpose {
            Purpose::Look => Platforms::All,
            Purpose::Repair => settings.platforms(&copying, Some(&cluster)).await?,
        };
        let Observation {
            observed,
            keyrings,
            in_pods,
            notes,
            missing,
        } = cluster.observe(&selection, &target.registry).await?;
        let (former, more) = cluster.former_records(&selection, &observed).await?;
        for note in notes.iter().chain(&more) {
            terminal.note(note);
        }
        let missed = terminal.missing(missing);
        let policy = policy(&settings, &target)?;
        Ok(Self {
            usages: status::usage(&observed, &in_pods, &former, &policy),
            images: Images::new(
                Arc::clone(&target.registries),
                settings.chain.clone(),
                keyrings,
                target.credentials.clone(),
                target.concurrency,
                Options {
                    platforms,
                    stop: terminal.stop.clone(),
                    ..Options::default()
                },
            ),
            target,
            missed,
        })
    }
}

/// What a clone with no flags would respect.
fn policy(settings: &Settings, target: &Target) -> Result<Policy, Stopped> {
    Ok(Policy {
        time: None,
        run: String::new(),
        target: target.registry.clone(),
        images: ImagePolicy::default(),
        skip_namespaces: skip_namespaces(&[], settings)?,
        protect: settings.protected(&target.registry),
        copy_only: false,
        owned_live: false,
        pull: PullAccess::Open,
    })
}
