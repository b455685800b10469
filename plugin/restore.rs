//! `restore`: give workloads back the images they had before.

use crate::args::{DryRun, RestoreArgs};
use crate::clone_files::only_with_files;
use crate::ending::{Ending, Report, run_id};
use crate::interactive;
use crate::progress::Progress;
use crate::stop::Stopped;
use crate::terminal::Terminal;
use image_cloner::cluster::{Cluster, Selection};
use image_cloner::execute::{Options, Run};
use image_cloner::outcome::Failure;
use image_cloner::plan::{self, Decision, Plan, Planned};
use image_cloner::report;

pub(crate) async fn run(args: RestoreArgs, terminal: &Terminal) -> Result<u8, Stopped> {
    only_with_files(args.running.output)?;
    let selection = selection(&args)?;
    let review = selection.is_broad() && !args.running.yes && args.running.dry_run == DryRun::None;
    interactive::check_can_ask(terminal, !review)?;
    let prepared = prepare(&args, &selection, review, terminal);
    let (cluster, plan, missed) = terminal.unless_interrupted(prepared).await?;
    if plan.workloads.is_empty() {
        return match &args.run {
            Some(run) if missed == 0 => Err(Stopped::failed(
                Failure::new(format!("no workload here was changed by run {run}"))
                    .hint("-n NAMESPACE or -A looks elsewhere"),
            )),
            _ => Ok(terminal.nothing_found(missed)),
        };
    }
    let report = args
        .running
        .report
        .as_deref()
        .map(Report::create)
        .transpose()?;
    let progress = Progress::of_workloads(terminal, &args.running, &plan);
    let run = Run {
        cluster,
        id: run_id()?,
        options: Options {
            wait: args.running.wait.then_some(args.running.timeout),
            dry_run: args.running.dry_run.into(),
            stop: terminal.stop.clone(),
            ..Options::default()
        },
        observer: progress.clone(),
    };
    let outcome = run.restore(&plan, args.run.as_deref()).await;
    progress.finish();
    let ending = Ending {
        output: args.running.output,
        report,
        summary: review,
        missed,
        one_object: !selection.is_broad() && plan.workloads.len() == 1,
    };
    ending.show(&outcome, terminal)
}

/// Everything up to the confirmation: the plan, and how many named things could not be had.
async fn prepare(
    args: &RestoreArgs,
    selection: &Selection,
    review: bool,
    terminal: &Terminal,
) -> Result<(Cluster, Plan, usize), Stopped> {
    let cluster =
        Cluster::connect(&args.connection.flags(), args.running.dry_run.write_mode()).await?;
    let (workloads, missing) = cluster.workloads(selection).await?;
    let missed = terminal.missing(missing);
    let mut plan = plan::restore(&workloads, args.run.as_deref());
    if selection.is_broad() {
        // those that were never cloned are no news
        let is_news = |planned: &Planned| {
            planned.workload.record_text.is_some() || planned.decision != Decision::Unchanged
        };
        plan.workloads.retain(is_news);
    }
    if review || args.running.dry_run != DryRun::None {
        terminal.say(&report::restore(&plan, cluster.context()));
    }
    if review {
        let is_change = |planned: &&Planned| matches!(planned.decision, Decision::Repoint(_));
        let changed = plan.workloads.iter().filter(is_change).count();
        if changed > 0 && !interactive::confirm(&report::restore_question(changed))? {
            return Err(Stopped::cancelled());
        }
    }
    Ok((cluster, plan, missed))
}

/// What is named; a run alone means the whole namespace.
fn selection(args: &RestoreArgs) -> Result<Selection, Stopped> {
    let selecting = &args.selecting;
    if selecting.is_empty() && args.run.is_none() {
        return Err(Stopped::wrong(
            Failure::new("nothing is selected")
                .hint("name a workload: kubectl image-cloner restore deploy/nginx")
                .hint("or a run: kubectl image-cloner restore --run ID"),
        ));
    }
    if selecting.is_empty() {
        return Ok(Selection::parse(&["all".to_owned()], false, None)?);
    }
    Ok(selecting.parse()?)
}
