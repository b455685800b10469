//! Progress: bars on a terminal, a line a finished image elsewhere.

use crate::args::{Output, Running};
use crate::terminal::Terminal;
use image_cloner::execute::{Event, Observer};
use image_cloner::outcome::{DryRun, ImageOutcome, WorkloadOutcome};
use image_cloner::plan::Plan;
use image_cloner::reference::Reference;
use image_cloner::report;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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
}

struct Bars {
    all: MultiProgress,
    copy: ProgressBar,
    repoint: ProgressBar,
    images: Mutex<BTreeMap<Reference, ProgressBar>>,
    done: AtomicUsize,
    total: usize,
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
            dry_run: running.dry_run.into(),
            name_namespaces: namespaces.any(|namespace| Some(namespace) != first),
            copy_lines: false,
            bars: Bars::draw(terminal, plan.copies.len(), plan.workloads.len()),
        })
    }

    /// For a run that only copies.
    pub(crate) fn of_images(terminal: &Terminal, images: usize) -> Arc<Self> {
        Arc::new(Self {
            terminal: terminal.clone(),
            output: None,
            dry_run: DryRun::None,
            name_namespaces: false,
            copy_lines: true,
            bars: Bars::draw(terminal, images, 0),
        })
    }

    /// Takes the bars away.
    pub(crate) fn finish(&self) {
        if let Some(bars) = &self.bars {
            bars.copy.finish_and_clear();
            bars.repoint.finish_and_clear();
            let _ = bars.all.clear();
        }
    }

    /// Prints without tearing the bars.
    fn print(&self, print: impl FnOnce(&Terminal)) {
        match &self.bars {
            Some(bars) => bars.all.suspend(|| print(&self.terminal)),
            None => print(&self.terminal),
        }
    }

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
            for note in &outcome.notes {
                terminal.note(note);
            }
        });
    }

    fn workload_finished(&self, outcome: &WorkloadOutcome) {
        if let Some(bars) = &self.bars {
            bars.repoint.inc(1);
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
                Some(Output::Name | Output::Json | Output::Yaml) => {}
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
            (Event::ImageStarted(source), Some(bars)) => bars.image_started(source),
            (Event::Expected(source, bytes), Some(bars)) => bars.expected(source, *bytes),
            (Event::Carried(source, bytes), Some(bars)) => bars.carried(source, *bytes),
            (Event::Waiting(source, host, pause), Some(bars)) => {
                bars.say(
                    source,
                    &format!("waiting {} s: {host} asks for it", pause.as_secs()),
                );
            }
            (Event::RollingOut(id), Some(bars)) => {
                bars.repoint.set_message(format!("waiting for {id}"));
            }
            (Event::Waiting(source, host, pause), None) if *pause > Duration::from_secs(5) => {
                self.terminal.say(&format!(
                    "{} waits {} s: {host} asks for it",
                    source.familiar(),
                    pause.as_secs()
                ));
            }
            (_, None) => {}
        }
    }
}

impl Bars {
    fn draw(terminal: &Terminal, images: usize, workloads: usize) -> Option<Self> {
        if !terminal.can_draw {
            return None;
        }
        let all = MultiProgress::new();
        let copy = all.add(ProgressBar::new(0));
        copy.set_style(style(
            "copy     [{bar:22}]  {msg}  {decimal_bytes}/{decimal_total_bytes}  \
             {decimal_bytes_per_sec}",
        ));
        copy.set_message(format!("0/{images} images"));
        let repoint = if workloads > 0 {
            let bar = all.add(ProgressBar::new(workloads as u64));
            bar.set_style(style("repoint  [{bar:22}]  {pos}/{len} workloads  {msg}"));
            bar
        } else {
            ProgressBar::hidden()
        };
        Some(Self {
            all,
            copy,
            repoint,
            images: Mutex::default(),
            done: AtomicUsize::new(0),
            total: images,
        })
    }

    fn image_started(&self, source: &Reference) {
        let bar = self.all.insert_before(&self.repoint, ProgressBar::new(0));
        bar.set_style(style(
            "  {prefix:40}  [{bar:12}]  {decimal_bytes}/{decimal_total_bytes} {msg}",
        ));
        bar.set_prefix(source.familiar());
        self.images().insert(source.clone(), bar);
    }

    fn image_finished(&self, source: &Reference) {
        if let Some(bar) = self.images().remove(source) {
            bar.finish_and_clear();
            self.all.remove(&bar);
        }
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        self.copy
            .set_message(format!("{done}/{} images", self.total));
    }

    fn expected(&self, source: &Reference, bytes: u64) {
        self.copy.inc_length(bytes);
        if let Some(bar) = self.images().get(source) {
            bar.inc_length(bytes);
        }
    }

    fn carried(&self, source: &Reference, bytes: u64) {
        self.copy.inc(bytes);
        if let Some(bar) = self.images().get(source) {
            bar.set_message("");
            bar.inc(bytes);
        }
    }

    fn say(&self, source: &Reference, text: &str) {
        if let Some(bar) = self.images().get(source) {
            bar.set_message(text.to_owned());
        }
    }

    fn images(&self) -> std::sync::MutexGuard<'_, BTreeMap<Reference, ProgressBar>> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the templates above are valid")
        .progress_chars("=> ")
}
