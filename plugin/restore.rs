//! `restore`: give workloads back the images they had before.

use crate::args::{DryRun, RestoreArgs};
use crate::ending::{Ending, run_id};
use crate::interactive;
use crate::progress::Progress;
use crate::stop::Stopped;
use crate::terminal::Terminal;
use image_cloner::cluster::{Cluster, Selection};
use image_cloner::execute::{Options, Run};
use image_cloner::outcome::Failure;
use image_cloner::plan::{self, Decision};
use image_cloner::report;

pub(crate) async fn run(args: RestoreArgs, terminal: &Terminal) -> Result<u8, Stopped> {
    let selection = selection(&args)?;
    let must_ask = selection.is_broad() && !args.yes && args.dry_run == DryRun::None;
    if must_ask && !terminal.can_ask {
        return Err(Stopped::wrong(
            Failure::new("this selection is broad, and there is no terminal to confirm it on")
                .hint("give --yes, or look with --dry-run"),
        ));
    }
    let cluster = Cluster::connect(&args.connection.flags(), args.dry_run.write_mode()).await?;
    let (workloads, missing) = cluster.workloads(&selection).await?;
    let missed = missing.len();
    for error in missing {
        let failure: Failure = error.into();
        terminal.failure(&failure);
        terminal.hints(&failure);
    }
    let plan = plan::restore(&workloads, args.run.as_deref());
    if must_ask {
        let changed = plan
            .workloads
            .iter()
            .filter(|p| matches!(p.decision, Decision::Repoint(_)))
            .count();
        terminal.say(&report::restore(&plan));
        if changed > 0 && !interactive::confirm(&format!("Restore {changed} workloads?"))? {
            return Err(Stopped::cancelled());
        }
    }
    let options = Options {
        wait: args.wait.then_some(args.timeout),
        dry_run: args.dry_run.into(),
        ..Options::default()
    };
    let progress = Progress::of_workloads(
        terminal,
        args.output,
        args.dry_run,
        (0, plan.workloads.len()),
    );
    let run = Run {
        cluster,
        id: run_id()?,
        options,
        observer: progress.clone(),
    };
    interactive::cancel_on_interrupt(&run.options.stop);
    let outcome = run.restore(&plan, args.run.as_deref()).await;
    progress.finish();
    let ending = Ending {
        output: args.output,
        report: args.report.as_deref(),
        summary: must_ask,
        missed,
    };
    ending.show(&outcome, terminal)
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
