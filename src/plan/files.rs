//! Planning the images of manifest files.
//!
//! The rule for each image is the one for workloads; what differs is that nothing runs, nothing is written
//! to a cluster, and who owns an object does not matter: a file is where its owner changes it.

use super::copies::{Copies, Wanted};
use super::slots::{self, Named};
use super::{Copy, PlanError};
use crate::manifest::{self, Image, Manifest, Object, kustomize};
use crate::target::TargetRegistry;
use crate::workload::SKIP;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What will be done about the images of some manifests.
#[derive(Debug, Clone, PartialEq)]
pub struct FilesPlan {
    /// Images to copy, sorted by source, then target.
    pub copies: Vec<Copy>,
    /// What becomes of each image, by manifest, in the order of its objects and their images.
    pub images: Vec<Vec<ImageDecision>>,
}

/// What becomes of an image in a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageDecision {
    /// It gets this text.
    Change(String),
    /// It is in the target already.
    Keep,
    /// It is left as it is on purpose, for this reason.
    Skip(String),
    /// It cannot be changed, for this reason.
    Leave(String),
}

/// Marks of text that something else fills in before a cluster sees it.
const TEMPLATED: [&str; 3] = ["{{", "${", "$("];

/// Why an image stays that an `images:` entry finds by its name.
const KUSTOMIZED: &str = "the images: of a kustomization find it by this name";

/// Plans a clone of the images of these manifests, which are at these places.
///
/// # Errors
/// When two sources would share one target.
pub fn files(
    manifests: &[Manifest],
    places: &[Option<PathBuf>],
    target: &TargetRegistry,
) -> Result<FilesPlan, PlanError> {
    let kustomized = manifest::kustomized(manifests, places);
    let mut copies = Copies::default();
    let mut images = Vec::with_capacity(manifests.len());
    for (manifest, kustomized) in manifests.iter().zip(&kustomized) {
        let mut decided: Vec<Decided<'_>> = manifest
            .objects
            .iter()
            .flat_map(|object| object.images.iter().map(move |image| (object, image)))
            .map(|(object, image)| Decided {
                object,
                image,
                wish: wish(object, image, kustomized, target),
            })
            .collect();
        agree(&mut decided);
        let mut decisions = Vec::with_capacity(decided.len());
        for Decided { object, wish, .. } in decided {
            decisions.push(match wish {
                Ok(Some(wanted)) => {
                    let to = wanted.target.to_string();
                    copies.add(wanted, &object.id)?;
                    ImageDecision::Change(to)
                }
                Ok(None) => ImageDecision::Keep,
                Err(decision) => decision,
            });
        }
        images.push(decisions);
    }
    Ok(FilesPlan {
        copies: copies.finish(),
        images,
    })
}

/// What is wanted for an image: a copy, or nothing where it is one.
type Wish = Result<Option<Wanted>, ImageDecision>;

struct Decided<'a> {
    object: &'a Object,
    image: &'a Image,
    wish: Wish,
}

fn wish(
    object: &Object,
    image: &Image,
    kustomized: &BTreeSet<&str>,
    target: &TargetRegistry,
) -> Wish {
    let text = &image.slot.image;
    if TEMPLATED.iter().any(|mark| text.contains(mark)) {
        let reason = "templated: render it first";
        return Err(ImageDecision::Leave(reason.to_owned()));
    }
    if let Err(reason) = &image.span {
        return Err(ImageDecision::Leave((*reason).to_owned()));
    }
    let skipped = if object.opted_out {
        Some(format!("opted out by {SKIP}"))
    } else if slots::is_placeholder(&image.slot) {
        Some("injected when the pod is made".to_owned())
    } else {
        None
    };
    if let Some(reason) = skipped {
        return Err(ImageDecision::Skip(reason));
    }
    let source = slots::outside(&image.slot, target).map_err(ImageDecision::Leave)?;
    let Some(source) = source else {
        return Ok(None);
    };
    if let Some(reason) = slots::unchangeable(&image.slot) {
        return Err(ImageDecision::Skip(reason.to_owned()));
    }
    if kustomized.contains(kustomize::name(text)) {
        return Err(ImageDecision::Leave(KUSTOMIZED.to_owned()));
    }
    let named = slots::name(source, &image.slot, object.record.as_ref(), None, target);
    let Named {
        origin,
        source,
        copy,
        ..
    } = named.map_err(ImageDecision::Leave)?;
    Ok(Some(Wanted {
        origin,
        source,
        target: copy,
        runs: BTreeSet::new(),
        means_running: false,
    }))
}

/// Leaves a text that several slots share by an alias where one of them must not change.
fn agree(decided: &mut [Decided<'_>]) {
    let mut refused: BTreeMap<usize, ImageDecision> = BTreeMap::new();
    for one in decided.iter() {
        if let (Ok(span), Err(decision)) = (&one.image.span, &one.wish) {
            refused.insert(span.start, decision.clone());
        }
    }
    for one in decided {
        if let Ok(span) = &one.image.span
            && let Some(decision) = refused.get(&span.start)
        {
            one.wish = Err(decision.clone());
        }
    }
}
