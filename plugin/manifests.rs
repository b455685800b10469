//! Manifests that were read and planned for: what is said, printed and written of them.

use crate::dry_run::DryRun;
use crate::edits::Edited;
use crate::files::{self, Input, Origin};
use crate::stop::Stopped;
use crate::terminal::Terminal;
use image_cloner::manifest::{Edit, Image, Manifest};
use image_cloner::plan::{self, Copy, FilesPlan, ImageDecision};
use image_cloner::target::TargetRegistry;
use std::collections::BTreeSet;

/// Manifests with where they came from and what becomes of their images.
pub(crate) struct Manifests {
    origins: Vec<Origin>,
    files: Vec<Manifest>,
    plan: FilesPlan,
}

/// An image with where it was found and what becomes of it.
struct Found<'a> {
    origin: &'a Origin,
    image: &'a Image,
    decision: &'a ImageDecision,
}

impl Manifests {
    /// Plans for what was read.
    pub(crate) fn plan(inputs: Vec<Input>, target: &TargetRegistry) -> Result<Self, Stopped> {
        let (origins, manifests): (Vec<Origin>, Vec<Manifest>) = inputs
            .into_iter()
            .map(|input| (input.origin, input.manifest))
            .unzip();
        let places: Vec<_> = origins.iter().map(Origin::place).collect();
        let plan = plan::files(&manifests, &places, target)?;
        Ok(Self {
            origins,
            files: manifests,
            plan,
        })
    }

    /// The images to copy.
    pub(crate) fn copies(&self) -> &[Copy] {
        &self.plan.copies
    }

    fn found(&self) -> impl Iterator<Item = Found<'_>> {
        let manifests = self.origins.iter().zip(&self.files);
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

    /// The changes of one manifest.
    fn changes(&self, at: usize) -> Vec<(&Image, &str)> {
        let objects = self.files[at].objects.iter();
        let images = objects.flat_map(|object| &object.images);
        let decided = images.zip(&self.plan.images[at]);
        let changed = decided.filter_map(|(image, decision)| match decision {
            ImageDecision::Change(to) => Some((image, to.as_str())),
            _ => None,
        });
        changed.collect()
    }

    /// Names what stays as it is; whether any of it should not.
    pub(crate) fn say_what_is_left(&self, terminal: &Terminal) -> bool {
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
            terminal.note(&format!("{origin}:{line}: left at {text}: {reason}"));
        }
        let kustomization = self.origins.iter().zip(&self.files).find(|(_, manifest)| {
            let mut kustomizations = manifest.kustomizations.iter();
            kustomizations.any(|one| !one.images.is_empty())
        });
        if let Some((origin, _)) = kustomization.filter(|_| left) {
            let folder = origin.kustomized().unwrap_or("DIR".to_owned());
            terminal.hint(&format!(
                "kubectl kustomize {folder} | kubectl image-cloner clone -f - -o kustomize"
            ));
        }
        left
    }

    /// `-o refs`: every image that is or will be in the target, and its name there.
    pub(crate) fn list(&self, terminal: &Terminal) {
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
            terminal.data(&line);
        }
    }

    /// Before anything is copied: a file that cannot be written makes the copies useless.
    pub(crate) fn check_writable(&self) -> Result<(), Stopped> {
        for (at, origin) in self.origins.iter().enumerate() {
            let is_changed = !self.changes(at).is_empty();
            if let Some(path) = origin.path().filter(|_| is_changed) {
                files::check_writable(path)?;
            }
        }
        Ok(())
    }

    fn rewritten(&self, at: usize) -> (String, usize) {
        let changes = self.changes(at);
        let count = changes.len();
        (self.files[at].rewrite(changes), count)
    }

    /// All manifests as one stream; a single one to the byte.
    pub(crate) fn print(&self, terminal: &Terminal) -> Result<(), Stopped> {
        let mut stream = String::new();
        for (at, manifest) in self.files.iter().enumerate() {
            // what is passed over is nothing that a cluster takes
            if !manifest.objects.is_empty() || manifest.others.is_empty() {
                append(&mut stream, &self.rewritten(at).0);
            }
        }
        terminal.stream(&stream)
    }

    /// Writes the changed files over; says of each what became of it.
    pub(crate) fn write(&self, dry_run: DryRun, terminal: &Terminal) -> u8 {
        let mut code = 0;
        let mode = dry_run != DryRun::None;
        let mode = if mode { " (client dry run)" } else { "" };
        for (at, origin) in self.origins.iter().enumerate() {
            let manifest = &self.files[at];
            let has_images = manifest
                .objects
                .iter()
                .any(|object| !object.images.is_empty());
            let (text, count) = self.rewritten(at);
            match origin.path() {
                Some(path) if count > 0 && mode.is_empty() => {
                    if let Err(failure) = files::replace(path, manifest.text(), &text) {
                        terminal.failure(&failure);
                        code = 1;
                        continue;
                    }
                }
                _ => {}
            }
            let plural = if count == 1 { "" } else { "s" };
            if count > 0 {
                terminal.data(&format!("{origin} repointed, {count} image{plural}{mode}"));
            } else if has_images {
                terminal.data(&format!("{origin} unchanged{mode}"));
            }
        }
        code
    }

    /// What each object needs.
    pub(crate) fn edited(&self) -> Vec<Edited> {
        let manifests = self.origins.iter().zip(&self.files);
        let mut all = Vec::new();
        for ((origin, manifest), decisions) in manifests.zip(&self.plan.images) {
            let mut decisions = decisions.iter();
            for object in &manifest.objects {
                let mut edits = Vec::new();
                let mut left = Vec::new();
                let mut first = None;
                for (image, decision) in object.images.iter().zip(decisions.by_ref()) {
                    match decision {
                        ImageDecision::Change(to) => {
                            first.get_or_insert(image.line);
                            edits.push(Edit::of(image, to));
                        }
                        ImageDecision::Skip(_) | ImageDecision::Leave(_) => {
                            let place = format!("{origin}:{}", image.line);
                            left.push((place, image.slot.image.clone()));
                        }
                        ImageDecision::Keep => {}
                    }
                }
                all.push(Edited {
                    place: format!("{origin}:{}", first.unwrap_or_default()),
                    workload: object.id.clone(),
                    edits,
                    left,
                });
            }
        }
        all
    }
}

/// Adds a manifest to a stream of such.
pub(crate) fn append(stream: &mut String, text: &str) {
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
