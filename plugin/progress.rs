//! Progress: bars on a terminal, a line a finished image elsewhere.

mod bars;

use crate::args::{Output, Running};
use crate::terminal::Terminal;
use crate::waits::Waits;
use bars::Bars;
use image_cloner::execute::{Event, Observer};
use image_cloner::outcome::{DryRun, ImageOutcome, WorkloadOutcome};
use image_cloner::plan::Plan;
use image_cloner::reference::Reference;
use image_cloner::report;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of images, by source.
pub(crate) type Sizes = BTreeMap<Reference, u64>;

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

impl Progress {
    /// For a run that changes workloads; `sizes` are those of images that will be carried, where they were
    /// found out before.
    pub(crate) fn of_workloads(
        terminal: &Terminal,
        running: &Running,
        plan: &Plan,
        sizes: Sizes,
    ) -> Arc<Self> {
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
            bars: Bars::draw(terminal, plan.copies.len(), plan.workloads.len(), sizes),
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
            bars: Bars::draw(terminal, images, 0, Sizes::new()),
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
            Some(bars) => bars.suspend(|| print(&self.terminal)),
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
            bars.workload_finished(&outcome.workload);
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
