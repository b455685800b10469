//! `clone`: copy the images of workloads and repoint them.

use crate::args::{CloneArgs, DryRun, Output, Owned};
use crate::clone_files::only_with_files;
use crate::ending::{Ending, Report, now, run_id};
use crate::interactive::{self, Choice};
use crate::policy::{image_policy, skip_namespaces};
use crate::progress::Progress;
use crate::settings::{Settings, Target, log_in};
use crate::stop::Stopped;
use crate::terminal::Terminal;
use crate::waits::Waits;
use image_cloner::cluster::{Cluster, PULL_SECRET};
use image_cloner::credentials::{Credentials, Keyring};
use image_cloner::execute::{CloneTerms, Images, Options, PullSecret, Run};
use image_cloner::outcome::{Failure, Survey};
use image_cloner::plan::{
    self, Decision, ImagePolicy, Observed, Patterns, Plan, Planned, Policy, PullAccess,
    PullCredentials,
};
use image_cloner::platform::Platforms;
use image_cloner::report::{self, Scene};
use image_cloner::workload::WorkloadId;
use std::collections::{BTreeMap, BTreeSet};
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
    check(args, choose, terminal)?;
    let settings = Settings::load()?;
    let cluster =
        Cluster::connect(&args.connection.flags(), args.running.dry_run.write_mode()).await?;
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
        let asks_nobody = args.running.yes || args.running.dry_run != DryRun::None;
        interactive::check_can_ask(terminal, asks_nobody)?;
    }
    let target = settings.target(&args.copying, Some(cluster)).await?;
    Ok(Choice {
        selection,
        target: target.ok_or_else(Settings::no_target)?,
        remember: None,
    })
}

/// What can be told to be wrong before anything is asked of a cluster.
fn check(args: &CloneArgs, choose: bool, terminal: &Terminal) -> Result<(), Stopped> {
    only_with_files(args.running.output)?;
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

/// One clone, once it is known what it works on and where to.
struct Job<'a> {
    args: &'a CloneArgs,
    images: ImagePolicy,
    skip_namespaces: Patterns,
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
    /// Whether it was shown and confirmed before, and so ends with a summary.
    reviewed: bool,
    /// How many named things could not be had.
    missed: usize,
    report: Option<Report>,
}

impl Ready {
    async fn carry_out(self, args: &CloneArgs, terminal: &Terminal) -> Result<u8, Stopped> {
        let progress = Progress::of_workloads(terminal, &args.running, &self.plan);
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
            summary: self.reviewed && args.running.dry_run == DryRun::None,
            missed: self.missed,
            one_object: !self.reviewed && self.plan.workloads.len() == 1,
        };
        ending.show(&outcome, terminal)
    }
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
        let real = self.args.running.dry_run == DryRun::None;
        if review || !real {
            let survey = images.survey(&plan.copies).await;
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
            protect: self.settings.config.protect.iter().cloned().collect(),
            copy_only: self.args.copy_only,
            owned_live: self.args.owned == Owned::Live,
            pull: PullAccess::Open,
        }
    }

    fn options(&self) -> Options {
        Options {
            wait: self.args.running.awaited(),
            dry_run: self.args.running.dry_run.into(),
            platforms: self.platforms.clone(),
            extras: self.args.copying.extras(),
            stop: self.terminal.stop.clone(),
        }
    }

    /// Settles how the nodes will get at the copies, and what is put into pull secrets for it.
    async fn settle_pull_access(
        &self,
        plan: &Plan,
        policy: &mut Policy,
        ask: bool,
    ) -> Result<Option<PullSecret>, Stopped> {
        let mut repointed = plan
            .workloads
            .iter()
            .filter(|planned| is_repointed(planned));
        let Some(copy) = repointed.find_map(|planned| planned.targets.first()) else {
            return Ok(None);
        };
        match self.args.pull_secret.as_deref() {
            Some("none") => return Ok(None),
            Some(name) => {
                self.check_pull_secret(plan, name).await?;
                policy.pull = PullAccess::Secret(name.to_owned());
                return Ok(None);
            }
            None => {}
        }
        let registry = &self.target.registry;
        if !self.target.registries.needs_credentials(copy).await? {
            return Ok(None);
        }
        match self.pull_credentials(ask).await? {
            Some(credentials) => {
                // a wrong one would break every pod that gets it
                log_in(&self.target.registries, registry, &credentials, "pull").await?;
                policy.pull = PullAccess::Secret(PULL_SECRET.to_owned());
                Ok(Some(PullSecret {
                    key: registry.to_string(),
                    credentials,
                }))
            }
            None => {
                let host = registry.host();
                policy.pull = PullAccess::Missing(format!("no credentials to pull from {host}"));
                self.terminal
                    .hint("pods need them: IMAGE_CLONER_PULL_USER and _PASS,");
                self.terminal
                    .hint("or --share-credentials, or --pull-secret NAME for one of yours");
                Ok(None)
            }
        }
    }

    /// Says so where workloads that stay as they are pull with other credentials than are given now. What
    /// they pull with was read anyway.
    async fn tell_of_old_credentials(
        &self,
        plan: &Plan,
        observed: &[Observed],
        keyrings: &BTreeMap<WorkloadId, Keyring>,
    ) {
        let registry = &self.target.registry;
        let path = registry.prefix().unwrap_or_default();
        let held: Vec<Vec<Credentials>> = plan
            .workloads
            .iter()
            .zip(observed)
            .filter(|(planned, _)| planned.decision == Decision::Unchanged)
            .filter(|(_, observed)| observed.pull_credentials == PullCredentials::Ours)
            .filter_map(|(planned, _)| keyrings.get(&planned.workload.id))
            .map(|keyring| keyring.find(registry.host(), path))
            .collect();
        if held.is_empty() {
            return;
        }
        // a helper that fails is told of where its credentials are needed
        let Ok(Some(given)) = self.settings.chain.for_pull(registry.host()).await else {
            return;
        };
        if held.iter().any(|held| !held.contains(&given)) {
            self.terminal.hint(
                "pods pull with other credentials than are given now: kubectl image-cloner sync-credentials",
            );
        }
    }

    /// A secret of the user's own must be good in every namespace where a workload would get it.
    async fn check_pull_secret(&self, plan: &Plan, name: &str) -> Result<(), Stopped> {
        let repointed = plan
            .workloads
            .iter()
            .filter(|planned| is_repointed(planned));
        let namespaces: BTreeSet<&str> = repointed
            .map(|planned| planned.workload.id.namespace.as_str())
            .collect();
        for namespace in namespaces {
            let target = &self.target.registry;
            self.cluster
                .check_pull_secret(namespace, name, target)
                .await?;
        }
        Ok(())
    }

    /// Credentials that may be put into pull secrets: those for pulling, else those for pushing where that
    /// was asked for.
    async fn pull_credentials(&self, ask: bool) -> Result<Option<Credentials>, Stopped> {
        let registry = &self.target.registry;
        if let Some(credentials) = self.settings.chain.for_pull(registry.host()).await? {
            return Ok(Some(credentials));
        }
        let push = &self.target.credentials;
        if matches!(push, Credentials::Anonymous) {
            return Ok(None);
        }
        let shared = self.args.share_credentials
            || self.settings.environment.is_on("SHARE_CREDENTIALS")
            || (ask
                && self.terminal.can_ask
                && !self.args.running.yes
                && self.args.running.dry_run == DryRun::None
                && interactive::share(self.terminal, registry, push)?);
        Ok(shared.then(|| push.clone()))
    }

    fn show(&self, plan: &Plan, survey: &Survey, pull_secret: Option<&PullSecret>) {
        let user = pull_secret.and_then(|secret| secret.credentials.user());
        self.terminal.say(&report::plan(
            plan,
            survey,
            &Scene {
                context: self.cluster.context(),
                target: &self.target.registry,
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

fn is_repointed(planned: &Planned) -> bool {
    matches!(planned.decision, Decision::Repoint(_))
}
