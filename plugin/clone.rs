//! `clone`: copy the images of workloads and repoint them.

mod arguments;
mod check;
mod pull_access;

use crate::dry_run::DryRun;
pub(crate) use arguments::{CloneArgs, Owned};

use crate::args::Output;
use crate::edits::{self, Edited, Form};
use crate::ending::{Ending, Report, now, run_id};
use crate::interactive::{self, Choice};
use crate::policy::{image_policy, owned_live, skip_namespaces};
use crate::progress::{Progress, Sizes};
use crate::settings::{Settings, Target};
use crate::stop::Stopped;
use crate::terminal::Terminal;
use crate::waits::Waits;
use image_cloner::cluster::{Cluster, PullSecret};
use image_cloner::credentials::Keyring;
use image_cloner::execute::{CloneTerms, Images, Options, Run};
use image_cloner::outcome::Survey;
use image_cloner::plan::{
    self, Copy, Decision, ImagePolicy, InManifest, Observed, Patterns, Plan, Planned, Policy,
    PullAccess,
};
use image_cloner::platform::Platforms;
use image_cloner::report::{self, Scene};
use image_cloner::workload::{PULL_SECRET, WorkloadId};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) async fn run(args: CloneArgs, terminal: &Terminal) -> Result<u8, Stopped> {
    match terminal
        .unless_interrupted(prepare(&args, terminal))
        .await?
    {
        Prepared::Ready(ready) => ready.carry_out(&args, terminal).await,
        Prepared::NothingFound { missed } => Ok(terminal.nothing_found(missed)),
    }
}

/// What a clone comes to before anything is changed.
enum Prepared {
    Ready(Box<Ready>),
    NothingFound { missed: usize },
}

/// Everything up to the confirmation.
async fn prepare(args: &CloneArgs, terminal: &Terminal) -> Result<Prepared, Stopped> {
    let choose = args.interactive || (args.selecting.is_empty() && terminal.can_ask);
    check::check(args, choose, terminal)?;
    let settings = Settings::load()?.leaving(args.from.as_deref())?;
    let owned_live = owned_live(args.owned, &settings)?;
    let cluster = Cluster::connect(
        &args.connection.flags(),
        args.running.dry_run.mode.write_mode(),
    )
    .await?;
    let Choice {
        selection,
        target,
        remember,
    } = if choose {
        interactive::choose(&cluster, args, &settings, terminal).await?
    } else {
        named(args, &settings, &cluster, terminal).await?
    };
    Waits::of_lookups(terminal, &target.registries);
    let platforms = settings.platforms(&args.copying, Some(&cluster)).await?;
    let observation = cluster.observe(&selection, &target.registry).await?;
    for note in &observation.notes {
        terminal.note(note);
    }
    let missed = terminal.missing(observation.missing);
    if observation.observed.is_empty() {
        return Ok(Prepared::NothingFound { missed });
    }
    let images = image_policy(args, &settings, &target)?;
    let skip_namespaces = skip_namespaces(&args.skip_namespace, &settings)?;
    let job = Job {
        args,
        images,
        skip_namespaces,
        owned_live,
        settings: &settings,
        cluster,
        target,
        platforms,
        terminal,
    };
    let review = choose || selection.is_broad();
    let ready = job
        .plan(observation.observed, observation.keyrings, review)
        .await?;
    if let Some(registry) = remember {
        settings.keep(&registry, terminal);
    }
    Ok(Prepared::Ready(Box::new(Ready { missed, ..ready })))
}

/// What the command line names.
async fn named(
    args: &CloneArgs,
    settings: &Settings,
    cluster: &Cluster,
    terminal: &Terminal,
) -> Result<Choice, Stopped> {
    let selection = settings.selection(&args.selecting)?;
    if selection.is_broad() {
        let asks_nobody = args.running.yes || args.running.dry_run.mode != DryRun::None;
        interactive::check_can_ask(terminal, asks_nobody)?;
    }
    let target = settings.target(&args.copying, Some(cluster)).await?;
    Ok(Choice {
        selection,
        target: target.ok_or_else(Settings::no_target)?,
        remember: None,
    })
}

/// One clone, once it is known what it works on and where to.
struct Job<'a> {
    args: &'a CloneArgs,
    images: ImagePolicy,
    skip_namespaces: Patterns,
    owned_live: bool,
    settings: &'a Settings,
    cluster: Cluster,
    target: Target,
    platforms: Platforms,
    terminal: &'a Terminal,
}

/// A clone that was planned, shown where it should be, and agreed to.
struct Ready {
    cluster: Cluster,
    id: String,
    options: Options,
    plan: Plan,
    observed: Vec<Observed>,
    terms: CloneTerms,
    images: Images,
    /// What the images weigh that will be carried, where that was looked at.
    sizes: Sizes,
    /// Whether it was shown and confirmed before, and so ends with a summary.
    reviewed: bool,
    /// How many named things could not be had.
    missed: usize,
    report: Option<Report>,
}

impl Ready {
    async fn carry_out(self, args: &CloneArgs, terminal: &Terminal) -> Result<u8, Stopped> {
        let progress = Progress::of_workloads(terminal, &args.running, &self.plan, self.sizes);
        let run = Run {
            cluster: self.cluster,
            id: self.id,
            options: self.options,
            observer: progress.clone(),
        };
        let outcome = run
            .clone(&self.plan, &self.observed, &self.terms, &self.images)
            .await;
        progress.finish();
        let left_out = self.plan.left_out.len();
        if left_out > 0 {
            terminal.note(&format!(
                "images left as they are, not asked for by --source or --from: {left_out}"
            ));
        }
        let ending = Ending {
            output: args.running.output,
            report: self.report,
            summary: self.reviewed && args.running.dry_run.mode == DryRun::None,
            missed: self.missed,
            one_object: !self.reviewed && self.plan.workloads.len() == 1,
        };
        let code = ending.show(&outcome, terminal)?;
        match Form::of(args.running.output) {
            Some(form) if matches!(code, 0 | 3) => {
                let policy = self.images.pinning(&self.terms.policy, &self.plan.copies);
                let printed = print(form, plan::edits(&self.observed, &policy), terminal)?;
                Ok(code.max(printed))
            }
            Some(_) => {
                terminal.say("nothing was printed");
                Ok(code)
            }
            None => Ok(code),
        }
    }
}

/// Prints what the manifests of workloads need.
fn print(form: Form, all: Vec<InManifest>, terminal: &Terminal) -> Result<u8, Stopped> {
    let untold: usize = all.iter().map(|one| one.untold).sum();
    if untold > 0 {
        terminal.note(&format!(
            "images in the target already, by their manifests or by earlier edits: {untold}"
        ));
    }
    let edited = all.into_iter().map(|one| {
        let InManifest {
            workload, edits, ..
        } = one;
        let place = format!("{workload} in {}", workload.namespace);
        Edited {
            place: workload.namespace.clone(),
            left: one
                .left
                .into_iter()
                .map(|image| (place.clone(), image))
                .collect(),
            workload,
            edits,
        }
    });
    edits::print(form, &edited.collect::<Vec<_>>(), terminal)
}

impl Job<'_> {
    async fn plan(
        self,
        observed: Vec<Observed>,
        keyrings: BTreeMap<WorkloadId, Keyring>,
        review: bool,
    ) -> Result<Ready, Stopped> {
        let id = run_id()?;
        let (rollouts, put_back) = self.args.rollouts.settle(&self.args.running, review)?;
        let mut policy = self.policy(&id);
        let mut plan = plan::clone(&observed, &policy)?;
        self.tell_of_old_credentials(&plan, &observed, &keyrings)
            .await;
        if Form::of(self.args.running.output).is_some() {
            self.tell_of_missing_credentials(&plan, &observed).await?;
        }
        let pull_secret = self.settle_pull_access(&plan, &mut policy, review).await?;
        if policy.pull != PullAccess::Open {
            plan = plan::clone(&observed, &policy)?;
        }
        let options = self.options();
        let images = Images::new(
            Arc::clone(&self.target.registries),
            self.settings.chain.clone(),
            keyrings,
            self.target.credentials.clone(),
            self.target.concurrency,
            options.clone(),
        );
        let real = self.args.running.dry_run.mode == DryRun::None;
        let mut sizes = Sizes::new();
        if review || !real {
            let survey = images.survey(&plan.copies).await;
            sizes = to_carry(&plan.copies, &survey);
            self.show(&plan, &survey, pull_secret.as_ref());
            if real && !self.confirmed(&plan, &survey)? {
                return Err(Stopped::cancelled());
            }
        } else {
            let survey = images.outlook(&plan.copies).await;
            self.terminal.notes(&report::shortages(&survey));
        }
        Ok(Ready {
            cluster: self.cluster,
            id,
            options,
            plan,
            observed,
            terms: CloneTerms {
                policy,
                pull_secret,
                rollouts,
                put_back,
                canary: self
                    .args
                    .rollouts
                    .canary
                    .then_some(self.args.running.timeout),
            },
            images,
            sizes,
            reviewed: review,
            missed: 0,
            report: self
                .args
                .running
                .report
                .as_deref()
                .map(Report::create)
                .transpose()?,
        })
    }

    fn policy(&self, run: &str) -> Policy {
        Policy {
            run: run.to_owned(),
            time: Some(now()),
            target: self.target.registry.clone(),
            images: self.images.clone(),
            skip_namespaces: self.skip_namespaces.clone(),
            protect: self.settings.protected(&self.target.registry),
            // edits are for manifests: nothing is done live
            copy_only: self.args.copy_only || Form::of(self.args.running.output).is_some(),
            owned_live: self.owned_live,
            pull: PullAccess::Open,
        }
    }

    fn options(&self) -> Options {
        Options {
            wait: self.args.running.awaited(),
            dry_run: self.args.running.dry_run.mode.into(),
            platforms: self.platforms.clone(),
            extras: self.args.copying.extras(),
            leaving: self.images.from.clone(),
            stop: self.terminal.stop.clone(),
        }
    }

    fn show(&self, plan: &Plan, survey: &Survey, pull_secret: Option<&PullSecret>) {
        let user = pull_secret.and_then(|secret| secret.credentials.user());
        self.terminal.say(&report::plan(
            plan,
            survey,
            &Scene {
                context: self.cluster.context(),
                target: &self.target.registry,
                to: self.args.copying.to.as_deref(),
                push_as: self.target.user(),
                pull_secret: user.map(|user| (PULL_SECRET, user)),
                platforms: &self.platforms,
                width: self.terminal.width,
                wide: self.args.running.output == Some(Output::Wide),
            },
        ));
    }

    fn confirmed(&self, plan: &Plan, survey: &Survey) -> Result<bool, Stopped> {
        match report::question(plan, survey) {
            Some(question) if !self.args.running.yes => interactive::confirm(&question),
            _ => Ok(true),
        }
    }
}

/// What the images weigh that the target does not have.
fn to_carry(copies: &[Copy], survey: &Survey) -> Sizes {
    let new = copies.iter().filter_map(|copy| {
        let found = survey.get(&copy.target)?.as_ref().ok()?;
        let size = found.size.filter(|_| !found.present)?;
        Some((copy.source.clone(), size))
    });
    new.collect()
}

fn is_repointed(planned: &Planned) -> bool {
    matches!(planned.decision, Decision::Repoint(_))
}
