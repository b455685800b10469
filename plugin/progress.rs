//! Progress: bars on a terminal, a line a finished image elsewhere.

use crate::args::{Output, Running};
use crate::harmless::harmless;
use crate::terminal::Terminal;
use crate::waits::{Waits, waiting};
use image_cloner::execute::{Event, Observer};
use image_cloner::outcome::{DryRun, ImageOutcome, WorkloadOutcome};
use image_cloner::plan::Plan;
use image_cloner::reference::Reference;
use image_cloner::report;
use image_cloner::workload::WorkloadId;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Shows what a run does while it does it.
pub(crate) struct Progress {
    terminal: Terminal,
    output: Option<Output>,
    dry_run: DryRun,
    /// Lines name the namespace, since there are several.
    name_namespaces: bool,
    /// What stdout says of images: nothing for clone, a line each for `copy`.
    copy_lines: bool,
    bars: Option<Bars>,
    /// Images that were said to be on their way, where there are no bars.
    announced: Mutex<BTreeSet<Reference>>,
    /// Said where there are no bars.
    waits: Waits,
}

struct Bars {
    all: MultiProgress,
    copy: OnceLock<ProgressBar>,
    repoint: OnceLock<ProgressBar>,
    images: Mutex<BTreeMap<Reference, ProgressBar>>,
    done: AtomicUsize,
    total: usize,
    workloads: usize,
}

impl Progress {
    /// For a run that changes workloads.
    pub(crate) fn of_workloads(terminal: &Terminal, running: &Running, plan: &Plan) -> Arc<Self> {
        let mut namespaces = plan
            .workloads
            .iter()
            .map(|planned| &planned.workload.id.namespace);
        let first = namespaces.next();
        Arc::new(Self {
            terminal: terminal.clone(),
            output: running.output,
            dry_run: running.dry_run.mode.into(),
            name_namespaces: namespaces.any(|namespace| Some(namespace) != first),
            copy_lines: false,
            bars: Bars::draw(terminal, plan.copies.len(), plan.workloads.len()),
            announced: Mutex::default(),
            waits: Waits::new(terminal),
        })
    }

    /// For a run that only copies.
    pub(crate) fn of_images(terminal: &Terminal, images: usize) -> Arc<Self> {
        Arc::new(Self {
            copy_lines: true,
            ..Self::without_workloads(terminal, images)
        })
    }

    /// For a run that copies what manifests need: standard output is theirs.
    pub(crate) fn of_files(terminal: &Terminal, images: usize, dry_run: DryRun) -> Arc<Self> {
        Arc::new(Self {
            dry_run,
            ..Self::without_workloads(terminal, images)
        })
    }

    fn without_workloads(terminal: &Terminal, images: usize) -> Self {
        Self {
            terminal: terminal.clone(),
            output: None,
            dry_run: DryRun::None,
            name_namespaces: false,
            copy_lines: false,
            bars: Bars::draw(terminal, images, 0),
            announced: Mutex::default(),
            waits: Waits::new(terminal),
        }
    }

    /// Takes the bars away.
    pub(crate) fn finish(&self) {
        if let Some(bars) = &self.bars {
            bars.clear();
        }
    }

    /// Prints without tearing the bars.
    fn print(&self, print: impl FnOnce(&Terminal)) {
        match &self.bars {
            Some(bars) => bars.all.suspend(|| print(&self.terminal)),
            None => print(&self.terminal),
        }
    }

    /// Says once that an image is on its way: what takes long must not be silent.
    fn announce(&self, source: &Reference) {
        let mut announced = self
            .announced
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if announced.insert(source.clone()) {
            self.terminal
                .say(&format!("{} is being copied", source.familiar()));
        }
    }

    /// Says once what many may wait for together.
    fn image_finished(&self, outcome: &ImageOutcome) {
        if let Some(bars) = &self.bars {
            bars.image_finished(&outcome.source);
        }
        if self.dry_run != DryRun::None {
            return;
        }
        self.print(|terminal| {
            if let Some(line) = report::copy_line(outcome).filter(|_| self.copy_lines) {
                terminal.data(&line);
            } else if let Some(line) = report::image_line(outcome).filter(|_| self.bars.is_none()) {
                terminal.say(&line);
            }
            for note in outcome
                .notes
                .iter()
                .cloned()
                .chain(report::foreign_line(outcome))
            {
                terminal.note(&note);
            }
        });
    }

    fn workload_finished(&self, outcome: &WorkloadOutcome) {
        if let Some(bars) = &self.bars {
            bars.workload_finished();
        }
        self.print(|terminal| {
            match self.output {
                None | Some(Output::Wide) => {
                    if let Some(line) =
                        report::workload_line(outcome, self.name_namespaces, self.dry_run)
                    {
                        terminal.data(&line);
                    }
                }
                Some(Output::Name) if outcome.object.is_some() => {
                    terminal.data(&outcome.workload.to_string());
                }
                // standard output is for edits of manifests
                Some(Output::Kustomize | Output::Patch) if outcome.left => {
                    let line = report::workload_line(outcome, self.name_namespaces, self.dry_run);
                    if let Some(line) = line {
                        terminal.say(&line);
                    }
                }
                Some(_) => {}
            }
            for note in &outcome.notes {
                let id = &outcome.workload;
                terminal.note(&format!("{id} in {}: {note}", id.namespace));
            }
        });
    }
}

impl Observer for Progress {
    fn notice(&self, event: &Event<'_>) {
        match (event, &self.bars) {
            (Event::ImageFinished(outcome), _) => self.image_finished(outcome),
            (Event::WorkloadFinished(outcome), _) => self.workload_finished(outcome),
            (Event::Expected(source, bytes), Some(bars)) => bars.expected(source, *bytes),
            (Event::Carried(source, bytes), Some(bars)) => bars.carried(source, *bytes),
            (Event::Waiting(source, why, pause), Some(bars)) => bars.waiting(source, why, *pause),
            (Event::Waiting(source, why, pause), None) => {
                self.waits.say(&source.familiar(), why, *pause);
            }
            (Event::RollingOut(id), Some(bars)) => bars.rolling_out(id),
            (Event::Expected(source, _), None) => self.announce(source),
            (Event::RollingOut(id), None) => {
                self.terminal
                    .say(&format!("waiting for {id} in {}", id.namespace));
            }
            (Event::Said(text), _) => self.print(|terminal| terminal.note(text)),
            (Event::Carried(..), None) => {}
        }
    }
}

impl Bars {
    fn draw(terminal: &Terminal, images: usize, workloads: usize) -> Option<Self> {
        if !terminal.can_draw {
            return None;
        }
        Some(Self {
            all: MultiProgress::new(),
            copy: OnceLock::new(),
            repoint: OnceLock::new(),
            images: Mutex::default(),
            done: AtomicUsize::new(0),
            total: images,
            workloads,
        })
    }

    /// The bar over all images: drawn once there is something to carry.
    fn copy(&self) -> &ProgressBar {
        self.copy.get_or_init(|| {
            let bar = self.all.insert(0, ProgressBar::new(0));
            bar.set_style(style(
                "copy     [{bar:18}]  {msg}  {decimal_bytes}/{decimal_total_bytes}  \
                 {decimal_bytes_per_sec}",
            ));
            bar.set_message(format!(
                "{}/{} images",
                self.done.load(Ordering::Relaxed),
                self.total
            ));
            bar
        })
    }

    /// The bar over all workloads: drawn once there is something to wait for.
    fn repoint(&self) -> &ProgressBar {
        self.repoint.get_or_init(|| {
            let bar = self.all.add(ProgressBar::new(self.workloads as u64));
            bar.set_style(style("repoint  [{bar:18}]  {pos}/{len} workloads{msg}"));
            bar
        })
    }

    fn image_finished(&self, source: &Reference) {
        if let Some(bar) = self.images().remove(source) {
            bar.finish_and_clear();
            self.all.remove(&bar);
        }
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(copy) = self.copy.get() {
            copy.set_message(format!("{done}/{} images", self.total));
        }
    }

    fn workload_finished(&self) {
        if self.workloads > 1 || self.repoint.get().is_some() {
            let bar = self.repoint();
            bar.set_message("");
            bar.inc(1);
        }
    }

    fn rolling_out(&self, id: &WorkloadId) {
        let name = console::truncate_str(&id.name, 28, "..").into_owned();
        self.repoint().set_message(format!(", waiting for {name}"));
    }

    fn expected(&self, source: &Reference, bytes: u64) {
        self.copy().inc_length(bytes);
        self.image(source).inc_length(bytes);
    }

    /// The bar of one image: drawn once it is on its way, or waits.
    fn image(&self, source: &Reference) -> ProgressBar {
        let copy = self.copy();
        let mut images = self.images();
        let bar = images.entry(source.clone()).or_insert_with(|| {
            let bar = self.all.insert_after(copy, ProgressBar::new(0));
            bar.set_style(style(MOVING));
            let name = source.familiar();
            bar.set_prefix(console::truncate_str(&name, 30, "..").into_owned());
            bar
        });
        bar.clone()
    }

    fn carried(&self, source: &Reference, bytes: u64) {
        self.copy().inc(bytes);
        if let Some(bar) = self.images().get(source) {
            if !bar.message().is_empty() {
                bar.set_message("");
                bar.set_style(style(MOVING));
            }
            bar.inc(bytes);
        }
    }

    /// In the place of the bar, until something of the image moves again.
    fn waiting(&self, source: &Reference, why: &str, pause: Duration) {
        let bar = self.image(source);
        bar.set_style(style("  {prefix:30}  {wide_msg}"));
        bar.set_message(harmless(&waiting(why, pause)).into_owned());
    }

    fn clear(&self) {
        let images = std::mem::take(&mut *self.images());
        for bar in images
            .values()
            .chain(self.copy.get())
            .chain(self.repoint.get())
        {
            bar.finish_and_clear();
        }
        // with nothing left to draw this cannot matter
        let _ = self.all.clear();
    }

    fn images(&self) -> std::sync::MutexGuard<'_, BTreeMap<Reference, ProgressBar>> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An image whose bytes move.
const MOVING: &str = "  {prefix:30}  [{bar:12}]  {decimal_bytes}/{decimal_total_bytes}";

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the templates above are valid")
        .progress_chars("=> ")
}
