//! The images in manifest files: found with their places in the text, and rewritten there.
//!
//! Decides which texts of a file are images of pods and where exactly each stands. Never decides what becomes
//! of an image (that is [`crate::plan`]), never changes another byte than an image's, and never opens a file.
//!
//! Nothing is ever written out from a parsed form, so that comments, order, quotes and line ends stay as
//! they are by construction.

mod find;
mod kustomization;
pub mod kustomize;
pub mod patch;
#[cfg(test)]
mod tests;
mod tree;

pub use kustomization::{Kustomization, kustomized};

use crate::workload::{Record, Slot, SlotKey, WorkloadId};
use std::collections::BTreeMap;
use std::ops::Range;
use tree::Tree;

/// A manifest's text and the objects in it.
#[derive(Debug, Clone)]
pub struct Manifest {
    text: String,
    /// The Kubernetes objects of all of its documents, those in lists too.
    pub objects: Vec<Object>,
    /// The lines on which documents start that are no Kubernetes objects; empty documents are not counted.
    pub others: Vec<usize>,
    /// The kustomizations in it.
    pub kustomizations: Vec<Kustomization>,
}

/// An object of a manifest, as far as its images go.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Its kind, namespace and name; empty where the manifest leaves them out.
    pub id: WorkloadId,
    /// `image-cloner.io/skip: "true"`, as annotation or label.
    pub opted_out: bool,
    /// The record of a repoint, in a manifest that was read from a cluster.
    pub record: Option<Record>,
    /// Its images.
    pub images: Vec<Image>,
}

/// An image in a manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// Which slot of its pod template, and the text.
    pub slot: Slot,
    /// Where the template's pod spec is in the object: `["spec", "template", "spec"]`; none where that is
    /// inside a list.
    pub pod_spec: Option<Vec<String>>,
    /// The line on which it stands, counted from one.
    pub line: usize,
    /// Where its text stands, without quotes, or why it cannot be changed there.
    pub span: Result<Range<usize>, &'static str>,
}

/// What a workload's manifest needs: another text for one of its images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Which slot of its pod template.
    pub slot: SlotKey,
    /// Where the template's pod spec is in the object: `["spec", "template", "spec"]`; none where that is
    /// inside a list.
    pub pod_spec: Option<Vec<String>>,
    /// The text that the manifest has.
    pub from: String,
    /// The text that it needs.
    pub to: String,
}

impl Edit {
    /// The edit that gives an image of a manifest this text.
    pub fn of(image: &Image, to: &str) -> Self {
        Self {
            slot: image.slot.key.clone(),
            pod_spec: image.pod_spec.clone(),
            from: image.slot.image.clone(),
            to: to.to_owned(),
        }
    }
}

/// Why a text is not a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ReadError {
    /// The line, counted from one.
    pub line: usize,
    /// What is wrong there.
    pub reason: String,
}

impl Manifest {
    /// Reads YAML or JSON, one document or many.
    ///
    /// # Errors
    /// When it is neither, has a key twice, or contains itself.
    pub fn read(text: &str) -> Result<Self, ReadError> {
        let tree = Tree::read(text)?;
        let found = find::objects(&tree, text);
        Ok(Self {
            text: text.to_owned(),
            objects: found.objects,
            others: found.others,
            kustomizations: found.kustomizations,
        })
    }

    /// The text as it was read.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text with these of its images changed, and not one byte else. An image that several slots share
    /// by an alias is changed once.
    pub fn rewrite<'a>(&self, changes: impl IntoIterator<Item = (&'a Image, &'a str)>) -> String {
        let spans: BTreeMap<usize, (usize, &str)> = changes
            .into_iter()
            .filter_map(|(image, to)| {
                let span = image.span.as_ref().ok()?;
                Some((span.start, (span.end, to)))
            })
            .collect();
        let mut rewritten = String::with_capacity(self.text.len());
        let mut copied = 0;
        for (start, (end, to)) in spans {
            rewritten.push_str(&self.text[copied..start]);
            rewritten.push_str(to);
            copied = end;
        }
        rewritten.push_str(&self.text[copied..]);
        rewritten
    }
}
