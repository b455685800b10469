//! `clone -f`: manifests repointed in their text, no cluster asked.

use crate::args::{CloneArgs, DryRun, Output};
use crate::ending::{Ending, Report, run_id, yaml_text};
use crate::files::{self, Input, Origin};
use crate::progress::Progress;
use crate::settings::Settings;
use crate::stop::Stopped;
use crate::terminal::Terminal;
use clap::Args;
use image_cloner::execute::{Images, Observer, Options};
use image_cloner::manifest::{Image, Manifest, Object, ReadError, kustomize, patch};
use image_cloner::outcome::{Failure, ImageState, Outcome};
use image_cloner::plan::{self, FilesPlan, ImageDecision};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

/// Manifests in place of a cluster's workloads.
#[derive(Debug, Args)]
#[command(next_help_heading = "Manifest files")]
pub(crate) struct FileArgs {
    /// Repoint these manifests and print them, asking no cluster: a file, a folder, or - for standard
    /// input; may be repeated
    #[arg(
        short,
        long,
        value_name = "FILE|DIR|-",
        value_delimiter = ',',
        conflicts_with_all = [
            "words", "all_namespaces", "selector", "skip_namespace", "copy_only", "owned",
            "pull_secret", "share_credentials", "interactive", "wait", "timeout",
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
    let inputs = read(&args.files, terminal)?;
    let (origins, manifests): (Vec<Origin>, Vec<Manifest>) = inputs
        .into_iter()
        .map(|input| (input.origin, input.manifest))
        .unzip();
    let plan = plan::files(&manifests, &target)?;
    let job = Job {
        args: &args,
        settings: &settings,
        terminal,
        origins,
        manifests,
        plan,
    };
    let left = job.say_what_is_left();
    if args.running.output == Some(Output::Refs) {
        job.list();
        return Ok(if left { 3 } else { 0 });
    }
    job.check_writable()?;
    let copied = if args.files.no_copy || job.plan.copies.is_empty() {
        0
    } else {
        job.copy().await?
    };
    if copied != 0 {
        return Ok(copied);
    }
    let ended = job.deliver()?;
    Ok(if ended == 0 && left { 3 } else { ended })
}

/// Refuses an output that only manifests have.
pub(crate) fn only_with_files(output: Option<Output>) -> Result<(), Stopped> {
    match output {
        Some(Output::Refs | Output::Kustomize | Output::Patch) => Err(Stopped::wrong(
            Failure::new("-o refs, kustomize and patch are of manifests")
                .hint("kubectl get deploy -o yaml | kubectl image-cloner clone -f - -o patch"),
        )),
        _ => Ok(()),
    }
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
    if args.running.dry_run == DryRun::Server {
        return wrong("--dry-run=server asks a cluster, and -f asks none: --dry-run=client");
    }
    Ok(())
}

/// The manifests that are meant. What cannot be read is named, all of it.
fn read(args: &FileArgs, terminal: &Terminal) -> Result<Vec<Input>, Stopped> {
    let mut inputs = Vec::new();
    let mut refused = Vec::new();
    for origin in files::find(&args.filename, args.recursive)? {
        let text = origin.read()?;
        let manifest = match Manifest::read(&text) {
            Ok(manifest) => manifest,
            Err(error) => {
                refused.push(not_yaml(&origin, &text, &error));
                continue;
            }
        };
        match (&origin, manifest.others.first()) {
            (Origin::InFolder(_), Some(line)) if manifest.objects.is_empty() => {
                if origin.kustomized().is_none() {
                    terminal.note(&format!("{origin}:{line}: passed over: {NO_OBJECT}"));
                }
                inputs.push(Input { origin, manifest });
            }
            (_, Some(line)) if manifest.objects.is_empty() => {
                refused.push(no_object(&origin, *line));
            }
            _ => inputs.push(Input { origin, manifest }),
        }
    }
    let Some(last) = refused.pop() else {
        return Ok(inputs);
    };
    for failure in refused {
        terminal.failure(&failure);
        terminal.hints(&failure);
    }
    Err(Stopped::wrong(last))
}

const RENDER: &str = "helm template ... | kubectl image-cloner clone -f -";
const NO_OBJECT: &str = "no Kubernetes object: it has no apiVersion or no kind";

/// What to do about a text that is not YAML, or not yet.
fn not_yaml(origin: &Origin, text: &str, error: &ReadError) -> Failure {
    let ReadError { line, reason } = error;
    let written = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    if !written.contains("{{") {
        return Failure::new(format!("{origin}:{line}: not YAML: {reason}"));
    }
    let written = written.trim();
    Failure::new(format!("{origin}:{line}: a template, not YAML: {written}")).hint(RENDER)
}

/// What to do instead with a file that people take for a manifest.
fn no_object(origin: &Origin, line: usize) -> Failure {
    if let Some(folder) = origin.kustomized() {
        return Failure::new(format!(
            "{origin}: a kustomization, which has no images of its own"
        ))
        .hint(format!(
            "kubectl kustomize {folder} | kubectl image-cloner clone -f -"
        ))
        .hint("with -o kustomize behind it: the images: that it needs");
    }
    let failure = Failure::new(format!("{origin}:{line}: {NO_OBJECT}"));
    if origin.is_of_chart() {
        failure.hint(RENDER)
    } else {
        failure
    }
}

/// Manifests that were read and planned for.
struct Job<'a> {
    args: &'a CloneArgs,
    settings: &'a Settings,
    terminal: &'a Terminal,
    origins: Vec<Origin>,
    manifests: Vec<Manifest>,
    plan: FilesPlan,
}

/// An image with where it was found and what becomes of it.
struct Found<'a> {
    origin: &'a Origin,
    image: &'a Image,
    decision: &'a ImageDecision,
}

impl Job<'_> {
    fn found(&self) -> impl Iterator<Item = Found<'_>> {
        let manifests = self.origins.iter().zip(&self.manifests);
        manifests
            .zip(&self.plan.images)
            .flat_map(|((origin, manifest), decisions)| {
                let images = manifest.objects.iter().flat_map(|object| &object.images);
                images.zip(decisions).map(move |(image, decision)| Found {
                    origin,
                    image,
                    decision,
                })
            })
    }

    /// The changes of one manifest, by object.
    fn changes(&self, manifest: usize) -> Vec<(&Object, Vec<(&Image, &str)>)> {
        let mut decisions = self.plan.images[manifest].iter();
        let objects = self.manifests[manifest].objects.iter();
        objects
            .map(|object| {
                let images = object.images.iter().zip(decisions.by_ref());
                let changed = images.filter_map(|(image, decision)| match decision {
                    ImageDecision::Change(to) => Some((image, to.as_str())),
                    _ => None,
                });
                (object, changed.collect())
            })
            .collect()
    }

    /// Names what stays as it is; whether any of it should not.
    fn say_what_is_left(&self) -> bool {
        let mut left = false;
        for Found {
            origin,
            image,
            decision,
        } in self.found()
        {
            let (ImageDecision::Leave(reason) | ImageDecision::Skip(reason)) = decision else {
                continue;
            };
            left |= matches!(decision, ImageDecision::Leave(_));
            let (line, text) = (image.line, &image.slot.image);
            self.terminal
                .note(&format!("{origin}:{line}: left at {text}: {reason}"));
        }
        let kustomization = self
            .origins
            .iter()
            .zip(&self.manifests)
            .find(|(_, manifest)| !manifest.kustomized.is_empty());
        if let Some((origin, _)) = kustomization.filter(|_| left) {
            let folder = origin.kustomized().unwrap_or("DIR".to_owned());
            self.terminal.hint(&format!(
                "kubectl kustomize {folder} | kubectl image-cloner clone -f - -o kustomize"
            ));
        }
        left
    }

    /// `-o refs`: every image that is or will be in the target, and its name there.
    fn list(&self) {
        let lines: BTreeSet<String> = self
            .found()
            .filter_map(|found| {
                let source = &found.image.slot.image;
                match found.decision {
                    ImageDecision::Change(to) => Some(format!("{source} {to}")),
                    ImageDecision::Keep => Some(format!("{source} {source}")),
                    ImageDecision::Skip(_) | ImageDecision::Leave(_) => None,
                }
            })
            .collect();
        for line in lines {
            self.terminal.data(&line);
        }
    }

    /// Before anything is copied: a file that cannot be written makes the copies useless.
    fn check_writable(&self) -> Result<(), Stopped> {
        if !self.args.files.write || self.args.running.dry_run != DryRun::None {
            return Ok(());
        }
        for (at, origin) in self.origins.iter().enumerate() {
            let changes = self.changes(at);
            let is_changed = changes.iter().any(|(_, changes)| !changes.is_empty());
            if let Some(path) = origin.path().filter(|_| is_changed) {
                files::check_writable(path)?;
            }
        }
        Ok(())
    }

    /// Copies the images; gives the exit code.
    async fn copy(&self) -> Result<u8, Stopped> {
        let Self { args, terminal, .. } = self;
        let platforms = self.settings.platforms(&args.copying, None).await?;
        let reach = self.settings.target(&args.copying, None);
        let target = terminal
            .unless_interrupted(reach)
            .await?
            .ok_or_else(Settings::no_target)?;
        let report = args.running.report.as_deref();
        let report = report.map(Report::create).transpose()?;
        let options = Options {
            dry_run: args.running.dry_run.into(),
            stop: terminal.stop.clone(),
            platforms,
            extras: args.copying.extras(),
            ..Options::default()
        };
        let images = Images::new(
            Arc::clone(&target.registries),
            self.settings.chain.clone(),
            BTreeMap::new(),
            target.credentials.clone(),
            target.concurrency,
            options.clone(),
        );
        let started = Instant::now();
        let progress = Progress::of_files(terminal, self.plan.copies.len(), options.dry_run);
        let observer: Arc<dyn Observer> = progress.clone();
        let outcome = Outcome {
            run: run_id()?,
            images: images.copy(&self.plan.copies, &observer).await,
            workloads: Vec::new(),
            took: started.elapsed(),
            interrupted: options.stop.is_cancelled(),
            dry_run: options.dry_run,
        };
        progress.finish();
        if args.running.dry_run != DryRun::None {
            self.say_what_would_be_copied(&outcome);
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

    fn say_what_would_be_copied(&self, outcome: &Outcome) {
        for image in &outcome.images {
            if let ImageState::Copied { .. } = image.state {
                let (source, target) = (image.source.familiar(), &image.target);
                self.terminal
                    .say(&format!("{source} would be copied to {target}"));
            }
        }
    }

    /// Gives what was asked for; the exit code.
    fn deliver(&self) -> Result<u8, Stopped> {
        match self.args.running.output {
            Some(Output::Kustomize) => self.kustomize()?,
            Some(Output::Patch) => return self.patches(),
            _ if self.args.files.write => return Ok(self.write()),
            _ => self.print()?,
        }
        Ok(0)
    }

    fn rewritten(&self, at: usize) -> (String, usize) {
        let changes: Vec<_> = self
            .changes(at)
            .into_iter()
            .flat_map(|(_, changes)| changes)
            .collect();
        let count = changes.len();
        (self.manifests[at].rewrite(changes), count)
    }

    /// All manifests as one stream; a single one to the byte.
    fn print(&self) -> Result<(), Stopped> {
        let mut stream = String::new();
        for (at, manifest) in self.manifests.iter().enumerate() {
            // what is passed over is nothing that a cluster takes
            if !manifest.objects.is_empty() || manifest.others.is_empty() {
                append(&mut stream, &self.rewritten(at).0);
            }
        }
        self.terminal.stream(&stream)
    }

    /// Writes the changed files over; says of each what became of it.
    fn write(&self) -> u8 {
        let mut code = 0;
        let mode = self.args.running.dry_run != DryRun::None;
        let mode = if mode { " (client dry run)" } else { "" };
        for (at, origin) in self.origins.iter().enumerate() {
            let manifest = &self.manifests[at];
            let has_images = manifest
                .objects
                .iter()
                .any(|object| !object.images.is_empty());
            let (text, count) = self.rewritten(at);
            match origin.path() {
                Some(path) if count > 0 && mode.is_empty() => {
                    if let Err(failure) = files::replace(path, manifest.text(), &text) {
                        self.terminal.failure(&failure);
                        code = 1;
                        continue;
                    }
                }
                _ => {}
            }
            let plural = if count == 1 { "" } else { "s" };
            if count > 0 {
                self.terminal
                    .data(&format!("{origin} repointed, {count} image{plural}{mode}"));
            } else if has_images {
                self.terminal.data(&format!("{origin} unchanged{mode}"));
            }
        }
        code
    }

    /// `-o kustomize`. An entry is for all images of its name: also for those that are left.
    fn kustomize(&self) -> Result<(), Stopped> {
        let changed: Vec<(&str, &str)> = self
            .found()
            .filter_map(|found| match found.decision {
                ImageDecision::Change(to) => Some((found.image.slot.image.as_str(), to.as_str())),
                _ => None,
            })
            .collect();
        let names: BTreeSet<&str> = changed
            .iter()
            .map(|(from, _)| kustomize::name(from))
            .collect();
        for found in self.found() {
            let text = &found.image.slot.image;
            let is_left = matches!(
                found.decision,
                ImageDecision::Skip(_) | ImageDecision::Leave(_)
            );
            if is_left && names.contains(kustomize::name(text)) {
                self.terminal.note(&format!(
                    "{}:{}: kustomize will change {text} too, as every image of that name",
                    found.origin, found.image.line
                ));
            }
        }
        self.terminal
            .stream(&yaml_text(&kustomize::images(changed))?)
    }

    /// `-o patch`: a document a workload; 3 where one can have none.
    fn patches(&self) -> Result<u8, Stopped> {
        let mut code = 0;
        let mut stream = String::new();
        for (at, origin) in self.origins.iter().enumerate() {
            for (object, changes) in self.changes(at) {
                let Some((first, _)) = changes.first() else {
                    continue;
                };
                match patch::strategic(object, &changes) {
                    Ok(patch) => append(&mut stream, &yaml_text(&patch)?),
                    Err(reason) => {
                        code = 3;
                        self.terminal.note(&format!(
                            "{origin}:{}: no patch for {}: {reason}",
                            first.line, object.id
                        ));
                    }
                }
            }
        }
        self.terminal.stream(&stream)?;
        Ok(code)
    }
}

/// Adds a manifest to a stream of such.
fn append(stream: &mut String, text: &str) {
    if stream.is_empty() {
        stream.push_str(text);
        return;
    }
    // only the beginning of a stream may have one
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        return;
    }
    if !stream.ends_with('\n') {
        stream.push('\n');
    }
    if text.starts_with('%') {
        stream.push_str("...\n");
    } else if !text.starts_with("---") {
        stream.push_str("---\n");
    }
    stream.push_str(text);
}
