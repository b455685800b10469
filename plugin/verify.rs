//! `verify`: whether the copies in use are complete.

use crate::args::Connection;
use crate::document::DocumentArg;
use crate::status::{Looking, Purpose, Scene};
use crate::stop::Stopped;
use crate::terminal::Terminal;
use crate::waits::Waits;
use clap::Args;
use image_cloner::execute::{Event, Observer, Proven};
use image_cloner::outcome::ImageState;
use image_cloner::plan::Copy;
use image_cloner::reference::Reference;
use image_cloner::registry::Prover;
use image_cloner::report;
use image_cloner::status::{Standing, Usage};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const EXAMPLES: &str = "\
Examples:
  # the copies that this namespace uses: is everything of them there?
  kubectl image-cloner verify
  # read every layer in all namespaces and compare it with its digest
  kubectl image-cloner verify -A --deep
  # bring what is missing, without touching any workload
  kubectl image-cloner verify ns/prod --repair

Exit codes: 0 all complete, 1 something is incomplete or cannot be told,
2 wrong request";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    looking: Looking,
    /// Read every layer and compare it with its digest; nothing is kept
    #[arg(long)]
    deep: bool,
    /// Bring what is missing from where the image came from, as the same digest
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    document: DocumentArg,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

pub(crate) async fn run(args: VerifyArgs, terminal: &Terminal) -> Result<u8, Stopped> {
    let look = async {
        let purpose = if args.repair {
            Purpose::Repair
        } else {
            Purpose::Look
        };
        let scene = Scene::look(&args.looking, &args.connection, purpose, terminal).await?;
        let verified = prove(&args, &scene, in_use(&scene.usages), terminal).await;
        Ok((scene, verified))
    };
    let (scene, mut verified) = terminal.unless_interrupted(look).await?;
    if args.repair {
        let repaired = repair(&scene, &verified, terminal).await;
        let again = async { Ok(prove(&args, &scene, repaired, terminal).await) };
        let again = terminal.unless_interrupted(again).await;
        verified.extend(again.map_err(Stopped::after_changes)?);
    }
    let target = &scene.target.registry;
    match args.document.output {
        Some(form) => {
            let document = report::verify_document(&verified, target, args.deep);
            terminal.data(&form.text(&document)?);
        }
        None if verified.is_empty() => terminal.say("no copies in use"),
        None => {
            for (copy, proven) in &verified {
                terminal.data(&report::verify_line(copy, proven, target));
            }
            terminal.say(&report::verify_sum(&verified));
        }
    }
    let broken = verified.iter().filter(|(_, proven)| is_broken(proven));
    let broken: BTreeSet<&Reference> = broken.map(|(copy, _)| copy).collect();
    if !args.repair {
        for hint in hints(&scene.usages, &broken) {
            terminal.hint(&hint);
        }
    }
    let failures = verified.values().filter_map(|proven| proven.as_ref().err());
    let untold: BTreeSet<&String> = failures.flat_map(|failure| &failure.hints).collect();
    for hint in untold {
        terminal.hint(hint);
    }
    let untold = verified.values().any(Result::is_err);
    Ok(u8::from(scene.missed > 0 || untold || !broken.is_empty()))
}

/// The copies that workloads or their pods pull.
fn in_use(usages: &[Usage]) -> BTreeSet<Reference> {
    let copies = usages
        .iter()
        .filter(|usage| usage.standing == Standing::Copy);
    copies.filter_map(|usage| usage.copy.clone()).collect()
}

fn is_broken(proven: &Proven) -> bool {
    proven.as_ref().is_ok_and(|found| !found.is_complete())
}

async fn prove(
    args: &VerifyArgs,
    scene: &Scene,
    copies: BTreeSet<Reference>,
    terminal: &Terminal,
) -> BTreeMap<Reference, Proven> {
    let prover = Prover::new(args.deep, scene.target.concurrency);
    let progress = Progress::draw(terminal, copies.len(), args.deep);
    let finished = |_: &Reference| progress.finished();
    let verified = scene
        .images
        .prove(&copies, &prover, progress.as_ref(), finished);
    let verified = verified.await;
    progress.clear();
    verified
}

/// Brings what is missing of these copies, of the very digest that they have; gives those that were tried.
async fn repair(
    scene: &Scene,
    verified: &BTreeMap<Reference, Proven>,
    terminal: &Terminal,
) -> BTreeSet<Reference> {
    let mut copies: BTreeMap<&Reference, Copy> = BTreeMap::new();
    for usage in &scene.usages {
        let (Some(source), Some(target)) = (&usage.source, &usage.copy) else {
            continue;
        };
        let Some(Ok(found)) = verified.get(target).filter(|proven| is_broken(proven)) else {
            continue;
        };
        let copy = copies.entry(target).or_insert_with(|| Copy {
            origin: source.clone(),
            source: source.clone(),
            // the tag may have moved since: a repair is not an upgrade
            target: match &found.digest {
                Some(digest) => target.with(target.tag(), Some(digest)),
                None => target.clone(),
            },
            running: found.digest.iter().cloned().collect(),
            users: BTreeMap::new(),
        });
        let users = usage.workloads.iter().cloned();
        copy.users
            .extend(users.map(|user| (user, usage.running.clone())));
    }
    let tried: BTreeSet<Reference> = copies.keys().map(|target| (*target).clone()).collect();
    let copies: Vec<Copy> = copies.into_values().collect();
    let progress = Progress::draw(terminal, copies.len(), true);
    let observer: Arc<dyn Observer> = progress.clone();
    let outcomes = scene.images.copy(&copies, &observer).await;
    progress.clear();
    for outcome in &outcomes {
        if let ImageState::Failed(failure) = &outcome.state {
            terminal.failure(failure);
            terminal.hints(failure);
        }
    }
    tried
}

/// How to mend these: those whose source is known, and the others.
fn hints(usages: &[Usage], broken: &BTreeSet<&Reference>) -> Vec<String> {
    let of = |usage: &&Usage| {
        let copy = usage.copy.as_ref();
        usage.standing == Standing::Copy && copy.is_some_and(|copy| broken.contains(copy))
    };
    let (known, unknown): (Vec<&Usage>, Vec<&Usage>) = usages
        .iter()
        .filter(of)
        .partition(|usage| usage.source.is_some());
    let mut hints = Vec::new();
    if let [first, rest @ ..] = known.as_slice() {
        let namespace = &first.namespace;
        let scope = if rest.iter().all(|usage| usage.namespace == *namespace) {
            format!("ns/{namespace}")
        } else {
            "-A".to_owned()
        };
        hints.push(format!(
            "kubectl image-cloner verify {scope} --repair brings what is missing"
        ));
    }
    let unknown: BTreeSet<String> = unknown
        .iter()
        .filter_map(|usage| usage.copy.as_ref())
        .map(ToString::to_string)
        .collect();
    if !unknown.is_empty() {
        let names: Vec<String> = unknown.into_iter().collect();
        hints.push(format!(
            "no workload says where these came from; push them again: {}",
            names.join(", ")
        ));
    }
    hints
}

/// One bar over all copies on a terminal; elsewhere only waits are told of.
struct Progress {
    bar: Option<ProgressBar>,
    copies: u64,
    done: AtomicU64,
    carries: bool,
    terminal: Terminal,
    waits: Waits,
}

impl Progress {
    /// `carries` where bytes are read, and not only asked for.
    fn draw(terminal: &Terminal, copies: usize, carries: bool) -> Arc<Self> {
        let copies = copies as u64;
        let bar = (terminal.can_draw && copies > 0).then(|| {
            let bytes = "  {decimal_bytes}/{decimal_total_bytes}  {decimal_bytes_per_sec}";
            let style = format!(
                "verify   [{{bar:18}}]  {{msg}}{}",
                if carries { bytes } else { "" }
            );
            let style = ProgressStyle::with_template(&style).expect("the template is valid");
            let bar = ProgressBar::new(if carries { 0 } else { copies });
            bar.set_style(style.progress_chars("=> "));
            bar.set_message(format!("0/{copies} copies"));
            bar
        });
        Arc::new(Self {
            bar,
            copies,
            done: AtomicU64::new(0),
            carries,
            terminal: terminal.clone(),
            waits: Waits::new(terminal),
        })
    }

    fn finished(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{done}/{} copies", self.copies));
            if !self.carries {
                bar.inc(1);
            }
        }
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.terminal.say(line)),
            None => self.terminal.say(line),
        }
    }
}

impl Observer for Progress {
    fn notice(&self, event: &Event<'_>) {
        match (event, &self.bar) {
            (Event::Expected(_, bytes), Some(bar)) if self.carries => bar.inc_length(*bytes),
            (Event::Carried(_, bytes), Some(bar)) if self.carries => bar.inc(*bytes),
            (Event::Waiting(source, why, pause), _) => {
                self.waits.say(&source.familiar(), why, *pause);
            }
            (Event::ImageFinished(outcome), _) => {
                self.finished();
                for line in report::image_line(outcome).iter().chain(&outcome.notes) {
                    self.say(line);
                }
            }
            _ => {}
        }
    }
}
