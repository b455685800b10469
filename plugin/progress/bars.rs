//! Bars: one over all images, one for each that is on its way, one over all workloads.
//!
//! Decides what is drawn and when. Where the sizes of images are known beforehand, the bar over all starts
//! with their sum, and loses what an image turns out not to need: layers that are there, or that another one
//! brings.

use super::Sizes;
use crate::harmless::harmless;
use crate::terminal::Terminal;
use crate::waits::waiting;
use image_cloner::reference::Reference;
use image_cloner::workload::WorkloadId;
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

#[derive(Default)]
pub(super) struct Bars {
    all: MultiProgress,
    copy: OnceLock<ProgressBar>,
    repoint: OnceLock<ProgressBar>,
    images: Mutex<BTreeMap<Reference, ProgressBar>>,
    /// Of images that are still to come.
    sizes: Mutex<Sizes>,
    done: AtomicUsize,
    total: usize,
    workloads: usize,
    rolling_out: Mutex<BTreeSet<WorkloadId>>,
}

impl Bars {
    pub(super) fn draw(
        terminal: &Terminal,
        images: usize,
        workloads: usize,
        sizes: Sizes,
    ) -> Option<Self> {
        terminal.can_draw.then(|| Self {
            total: images,
            workloads,
            sizes: Mutex::new(sizes),
            ..Self::default()
        })
    }

    /// Prints without tearing the bars.
    pub(super) fn suspend(&self, print: impl FnOnce()) {
        self.all.suspend(print);
    }

    /// The bar over all images: drawn once there is something to carry.
    fn copy(&self) -> &ProgressBar {
        self.copy.get_or_init(|| {
            let known: u64 = lock(&self.sizes).values().sum();
            let bar = self.all.insert(0, ProgressBar::new(known));
            bar.set_style(style(if known > 0 { TIMED } else { COUNTED }));
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

    pub(super) fn image_finished(&self, source: &Reference) {
        let bar = lock(&self.images).remove(source);
        let carried = bar.as_ref().map_or(0, ProgressBar::position);
        if let Some(bar) = bar {
            bar.finish_and_clear();
            self.all.remove(&bar);
        }
        let size = lock(&self.sizes).remove(source);
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(copy) = self.copy.get() {
            if let Some(size) = size {
                copy.dec_length(size.saturating_sub(carried));
                copy.inc_length(carried.saturating_sub(size));
            }
            copy.set_message(format!("{done}/{} images", self.total));
        }
    }

    pub(super) fn workload_finished(&self, id: &WorkloadId) {
        if self.workloads > 1 || self.repoint.get().is_some() {
            let bar = self.repoint();
            lock(&self.rolling_out).remove(id);
            bar.inc(1);
            self.count_rollouts();
        }
    }

    pub(super) fn rolling_out(&self, id: &WorkloadId) {
        lock(&self.rolling_out).insert(id.clone());
        self.count_rollouts();
    }

    fn count_rollouts(&self) {
        let message = match lock(&self.rolling_out).len() {
            0 => String::new(),
            count => format!(", {count} rolling out"),
        };
        self.repoint().set_message(message);
    }

    pub(super) fn expected(&self, source: &Reference, bytes: u64) {
        let is_counted = lock(&self.sizes).contains_key(source);
        let copy = self.copy();
        if !is_counted {
            copy.inc_length(bytes);
        }
        self.image(source).inc_length(bytes);
    }

    /// The bar of one image: drawn once it is on its way, or waits.
    fn image(&self, source: &Reference) -> ProgressBar {
        let copy = self.copy();
        let mut images = lock(&self.images);
        let bar = images.entry(source.clone()).or_insert_with(|| {
            let bar = self.all.insert_after(copy, ProgressBar::new(0));
            bar.set_style(style(MOVING));
            let name = source.familiar();
            bar.set_prefix(console::truncate_str(&name, 30, "..").into_owned());
            bar
        });
        bar.clone()
    }

    pub(super) fn carried(&self, source: &Reference, bytes: u64) {
        self.copy().inc(bytes);
        if let Some(bar) = lock(&self.images).get(source) {
            if !bar.message().is_empty() {
                bar.set_message("");
                bar.set_style(style(MOVING));
            }
            bar.inc(bytes);
        }
    }

    /// In the place of the bar, until something of the image moves again.
    pub(super) fn waiting(&self, source: &Reference, why: &str, pause: Duration) {
        let bar = self.image(source);
        bar.set_style(style("  {prefix:30}  {wide_msg}"));
        bar.set_message(harmless(&waiting(why, pause)).into_owned());
    }

    pub(super) fn clear(&self) {
        let images = std::mem::take(&mut *lock(&self.images));
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
}

/// All images, where their sizes are learnt one by one.
const COUNTED: &str =
    "copy     [{bar:18}]  {msg}  {decimal_bytes}/{decimal_total_bytes}  {decimal_bytes_per_sec}";

/// All images, where there is an end to be seen.
const TIMED: &str = "copy     [{bar:12}]  {msg}  {decimal_bytes}/{decimal_total_bytes}  {decimal_bytes_per_sec}  {left}";

/// An image whose bytes move.
const MOVING: &str = "  {prefix:30}  [{bar:12}]  {decimal_bytes}/{decimal_total_bytes}";

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the templates above are valid")
        .with_key("left", left)
        .progress_chars("=> ")
}

/// `0:16 left`; nothing until something has moved.
fn left(state: &ProgressState, text: &mut dyn Write) {
    let seconds = state.eta().as_secs();
    if state.pos() > 0 {
        // writing to memory does not fail
        let _ = write!(text, "{}:{:02} left", seconds / 60, seconds % 60);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_image_does_not_need_is_taken_off_the_whole() {
        let image = |name: &str| Reference::parse(name).unwrap();
        let (present, shared, unknown) = (image("present"), image("shared"), image("unknown"));
        let bars = Bars {
            sizes: Mutex::new([(present.clone(), 10), (shared.clone(), 100)].into()),
            total: 3,
            ..Bars::default()
        };
        let length = || bars.copy().length();
        bars.image_finished(&present);
        bars.expected(&shared, 60);
        assert_eq!(length(), Some(100));
        bars.carried(&shared, 60);
        bars.image_finished(&shared);
        assert_eq!((bars.copy().position(), length()), (60, Some(60)));
        bars.expected(&unknown, 5);
        assert_eq!(length(), Some(65));
    }
}
