//! `restore`: give workloads back the images they had before.

use crate::args::{Connection, Output, Running, Selecting};
use crate::dry_run::{DryRun, DryRunArg};
use crate::ending::{Ending, Report, run_id};
use crate::harmless::harmless;
use crate::interactive;
use crate::progress::{Progress, Sizes};
use crate::rollouts::BatchArgs;
use crate::settings::Settings;
use crate::stop::Stopped;
use crate::terminal::Terminal;
use clap::Args;
use dialoguer::Select;
use image_cloner::cluster::{Cluster, Selection};
use image_cloner::execute::{self, Options, RestoreTerms, Run};
use image_cloner::install::Scope;
use image_cloner::outcome::Failure;
use image_cloner::plan::{self, Decision, PastRun, Plan, Planned};
use image_cloner::registry::Registries;
use image_cloner::report;
use image_cloner::workload::Workload;
use std::collections::BTreeMap;
use std::time::Duration;

const RESTORE_EXAMPLES: &str = "\
Examples:
  kubectl image-cloner restore deploy/nginx
  # what the last run did in a namespace, or one run, as its summary says
  kubectl image-cloner restore --last -n prod
  kubectl image-cloner restore --run a7f3c1 -n prod
  # look first
  kubectl image-cloner restore ns/prod --dry-run";

#[derive(Debug, Args)]
#[command(after_help = RESTORE_EXAMPLES)]
pub(crate) struct RestoreArgs {
    #[command(flatten)]
    pub(crate) selecting: Selecting,
    /// Undo only what this run did
    #[arg(long, value_name = "ID", conflicts_with = "last")]
    pub(crate) run: Option<String>,
    /// Undo only what the last run did
    #[arg(long)]
    pub(crate) last: bool,
    /// Restore images also where their registry does not have them now
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) batch: BatchArgs,
    #[command(flatten)]
    pub(crate) running: Running,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

impl RestoreArgs {
    /// Everything where an agent worked, asking nothing and waiting for nothing.
    pub(crate) fn of_everything(scope: &Scope, connection: Connection) -> Self {
        let words = match scope {
            Scope::Everything => Vec::new(),
            Scope::Namespaces(names) => names.iter().map(|name| format!("ns/{name}")).collect(),
        };
        Self {
            selecting: Selecting {
                all_namespaces: *scope == Scope::Everything,
                words,
                selector: None,
                all: false,
                kinds: Vec::new(),
            },
            run: None,
            last: false,
            force: false,
            batch: BatchArgs::default(),
            running: Running {
                dry_run: DryRunArg { mode: DryRun::None },
                yes: true,
                wait: Some(false),
                timeout: Duration::from_secs(300),
                output: None,
                report: None,
            },
            connection,
        }
    }
}

pub(crate) async fn run(args: RestoreArgs, terminal: &Terminal) -> Result<u8, Stopped> {
    if let Some(Output::Refs | Output::Kustomize | Output::Patch) = args.running.output {
        return Err(Stopped::wrong(Failure::new(
            "-o refs, kustomize and patch are of clone: restore has wide, json, yaml and name",
        )));
    }
    let choose = args.selecting.words.is_empty()
        && args.selecting.selector.is_none()
        && args.run.is_none()
        && !args.last
        && (terminal.can_ask && !args.running.yes);
    check(&args, choose)?;
    let settings = Settings::load()?;
    let selection = settings.found_again(&args.selecting)?;
    let review =
        selection.is_broad() && !args.running.yes && args.running.dry_run.mode == DryRun::None;
    interactive::check_can_ask(terminal, !review)?;
    let prepared = Preparing {
        args: &args,
        settings: &settings,
        selection: &selection,
        choose,
        review,
        terminal,
    };
    let prepared = terminal.unless_interrupted(prepared.prepare()).await?;
    if prepared.plan.workloads.is_empty() {
        return match &prepared.terms.of_run {
            Some(run) if prepared.missed == 0 => Err(Stopped::failed(
                Failure::new(format!("no workload here was changed by run {run}"))
                    .hint("-n NAMESPACE or -A looks elsewhere"),
            )),
            _ => Ok(terminal.nothing_found(prepared.missed)),
        };
    }
    let report = args
        .running
        .report
        .as_deref()
        .map(Report::create)
        .transpose()?;
    let plan = &prepared.plan;
    let progress = Progress::of_workloads(terminal, &args.running, plan, Sizes::new());
    let run = Run {
        cluster: prepared.cluster,
        id: run_id()?,
        options: Options {
            dry_run: args.running.dry_run.mode.into(),
            stop: terminal.stop.clone(),
            ..Options::default()
        },
        observer: progress.clone(),
    };
    let outcome = run.restore(&prepared.plan, &prepared.terms).await;
    progress.finish();
    let ending = Ending {
        output: args.running.output,
        report,
        summary: review,
        missed: prepared.missed,
        one_object: !selection.is_broad() && prepared.plan.workloads.len() == 1,
    };
    ending.show(&outcome, terminal)
}

/// A restore that was planned, shown where it should be, and agreed to.
struct Prepared {
    cluster: Cluster,
    plan: Plan,
    terms: RestoreTerms,
    /// How many named things could not be had.
    missed: usize,
}

struct Preparing<'a> {
    args: &'a RestoreArgs,
    settings: &'a Settings,
    selection: &'a Selection,
    choose: bool,
    review: bool,
    terminal: &'a Terminal,
}

impl Preparing<'_> {
    /// Everything up to the confirmation.
    async fn prepare(&self) -> Result<Prepared, Stopped> {
        let args = self.args;
        let broad = self.selection.is_broad();
        let rollouts = args.batch.settle(&args.running, broad)?;
        let mode = args.running.dry_run.mode.write_mode();
        let cluster = Cluster::connect(&args.connection.flags(), mode).await?;
        let (workloads, missing) = cluster.workloads(self.selection).await?;
        let missed = self.terminal.missing(missing);
        let of_run = self.of_run(&workloads)?;
        let mut plan = plan::restore(&workloads, of_run.as_deref());
        if broad {
            // those that were never cloned are no news
            let is_news = |planned: &Planned| {
                planned.workload.record_text.is_some() || planned.decision != Decision::Unchanged
            };
            plan.workloads.retain(is_news);
        }
        let refused = if args.force {
            BTreeMap::new()
        } else {
            let registries = Registries::new(&self.settings.config.registries)?;
            execute::unavailable(&plan, &cluster, &registries, &self.settings.chain)
                .await
                .map_err(Stopped::failed)?
        };
        let is_shown = self.review || args.running.dry_run.mode != DryRun::None;
        if is_shown && !plan.workloads.is_empty() {
            self.terminal
                .say(&report::restore(&plan, &refused, cluster.context()));
        }
        if self.review {
            let is_change = |planned: &&Planned| {
                matches!(planned.decision, Decision::Repoint(_))
                    && !refused.contains_key(&planned.workload.id)
            };
            let changed = plan.workloads.iter().filter(is_change).count();
            if changed > 0 && !interactive::confirm(&report::restore_question(changed))? {
                return Err(Stopped::cancelled());
            }
        }
        Ok(Prepared {
            cluster,
            plan,
            terms: RestoreTerms {
                of_run,
                refused,
                rollouts,
            },
            missed,
        })
    }

    /// The run that is undone, where it is not all that is selected.
    fn of_run(&self, workloads: &[Workload]) -> Result<Option<String>, Stopped> {
        if !self.args.last && !self.choose {
            return Ok(self.args.run.clone());
        }
        let runs = plan::runs(workloads);
        let Some(last) = runs.first() else {
            return Ok(None);
        };
        if self.choose {
            return choose(&runs);
        }
        if last.time.is_none() && runs.len() > 1 {
            let names: Vec<&str> = runs.iter().map(|past| past.run.as_str()).collect();
            let which = names.join(", ");
            return Err(Stopped::wrong(
                Failure::new(format!("which run was the last is not recorded: {which}"))
                    .hint("name one: --run ID"),
            ));
        }
        Ok(Some(last.run.clone()))
    }
}

/// Lets a person choose a run, the last one first, or all of them.
fn choose(runs: &[PastRun]) -> Result<Option<String>, Stopped> {
    let shown = |past| harmless(&report::past_run(past)).replace('\n', " ");
    let mut items: Vec<String> = runs.iter().map(shown).collect();
    if runs.len() > 1 {
        items.push("all of them".to_owned());
    }
    let chosen = Select::with_theme(interactive::theme().as_ref())
        .with_prompt("Undo which run")
        .items(&items)
        .default(0)
        .interact_opt();
    let chosen = interactive::answer(chosen)?;
    Ok(runs.get(chosen).map(|past| past.run.clone()))
}

/// Refuses a restore of nothing in particular; a run alone means the whole namespace, or all with -A.
fn check(args: &RestoreArgs, choose: bool) -> Result<(), Stopped> {
    let says_enough = choose || args.run.is_some() || args.last;
    if args.selecting.is_empty() && !says_enough {
        return Err(Stopped::wrong(
            Failure::new("nothing is selected")
                .hint("name a workload: kubectl image-cloner restore deploy/nginx")
                .hint("or a run: kubectl image-cloner restore --last, or --run ID"),
        ));
    }
    Ok(())
}
