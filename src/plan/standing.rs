//! What became of an earlier clone: copies that a workload names, and images that somebody put back.
//!
//! Decides how often images were put back. Never what follows from it.

use super::{Copy, Observed};
use crate::reference::{Digest, Reference};
use crate::target::TargetRegistry;
use crate::workload::{Slot, SlotRecord, Workload};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// What the annotation [`RECLAIMED`] holds.
///
/// [`RECLAIMED`]: crate::workload::RECLAIMED
#[derive(Debug, Deserialize)]
struct Reclaimed {
    count: u32,
    /// A hash of the images that were put back: others are counted anew.
    images: String,
}

/// The copies that a workload names already, with what its record says they are copies of: as far as they have
/// the name that a copy of that has. Whoever may write a workload may write its record, and is not to have one
/// image put in the place of another.
pub fn kept(observed: &Observed, target: &TargetRegistry) -> Vec<Copy> {
    let workload = &observed.workload;
    let of_slot = |(_, recorded, slot): (&str, &SlotRecord, &Slot)| {
        let copy = Reference::parse(&slot.image).ok()?;
        let source = Reference::parse(&recorded.original).ok()?;
        let named = target.name(&source).ok()?;
        // a tag alone is the copy of no digest
        let is_pinned_so = source.digest().is_none() || source.digest() == copy.digest();
        let is_named_so = target.holds(&copy)
            && (named.repository(), named.tag()) == (copy.repository(), copy.tag());
        (slot.image == recorded.target && is_named_so && is_pinned_so).then(|| Copy {
            origin: source.clone(),
            source,
            target: copy,
            running: runs(observed, slot),
            users: BTreeMap::from([(workload.id.clone(), runs(observed, slot))]),
        })
    };
    workload.recorded().filter_map(of_slot).collect()
}

/// The digests that the pods of a workload run in a slot.
fn runs(observed: &Observed, slot: &Slot) -> BTreeSet<Digest> {
    let runs = observed.running.get(&slot.key);
    runs.cloned().unwrap_or_default()
}

/// How often somebody has put back the images that this workload has now, after they were cloned; 0 where
/// they are none that were cloned.
pub fn reclaims(workload: &Workload) -> u32 {
    let is_back = |(_, recorded, slot): (&str, &SlotRecord, &Slot)| {
        slot.image == recorded.original && slot.image != recorded.target
    };
    if !workload.recorded().any(is_back) {
        return 0;
    }
    let before = workload.reclaimed.as_deref();
    let before: Option<Reclaimed> = before.and_then(|text| serde_json::from_str(text).ok());
    let before = before.filter(|before| before.images == workload.images_hash());
    before.map_or(1, |before| before.count.saturating_add(1))
}

/// What [`reclaims`] counts from the next time.
pub fn reclaimed(workload: &Workload, count: u32) -> String {
    let images = workload.images_hash();
    serde_json::json!({"count": count, "images": images}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Kind, ORIGINALS, RECLAIMED};
    use serde_json::json;

    const RECORD: &str = r#"{"run":"1","slots":{"containers/a":{"original":"nginx:1","target":"reg.corp/nginx:1"}}}"#;

    fn workload(image: &str, reclaimed: Option<&str>) -> Workload {
        let object = json!({
            "metadata": {"name": "web", "namespace": "shop",
                         "annotations": {ORIGINALS: RECORD, RECLAIMED: reclaimed}},
            "spec": {"template": {"spec": {"containers": [{"name": "a", "image": image}]}}},
        });
        Workload::from_object(&Kind::from_word("deploy").unwrap(), &object).unwrap()
    }

    #[test]
    fn the_same_images_put_back_count_up_and_others_start_anew() {
        assert_eq!(reclaims(&workload("reg.corp/nginx:1", None)), 0);
        assert_eq!(reclaims(&workload("nginx:2", None)), 0);
        let first = workload("nginx:1", None);
        assert_eq!(reclaims(&first), 1);
        let again = workload("nginx:1", Some(&reclaimed(&first, 1)));
        assert_eq!(reclaims(&again), 2);
        let other = workload("nginx:1", Some(r#"{"count":3,"images":"0011"}"#));
        assert_eq!(reclaims(&other), 1);
        assert_eq!(reclaims(&workload("nginx:1", Some("rubbish"))), 1);
    }

    #[test]
    fn a_copy_that_is_named_is_kept_with_its_source() {
        let target = TargetRegistry::parse("reg.corp", crate::target::Layout::Mirror).unwrap();
        let observed = |image| Observed {
            workload: workload(image, None),
            running: std::collections::BTreeMap::new(),
            account_pull_secrets: None,
            pull_credentials: crate::plan::PullCredentials::None,
            named: false,
            namespace_opted_out: false,
        };
        let kept = kept(&observed("reg.corp/nginx:1"), &target);
        let [copy] = &kept[..] else {
            panic!("{kept:?}");
        };
        assert_eq!(copy.source.familiar(), "nginx:1");
        assert_eq!(copy.target.to_string(), "reg.corp/nginx:1");
        assert!(super::kept(&observed("nginx:1"), &target).is_empty());
    }

    #[test]
    fn a_record_puts_no_image_in_the_place_of_another() {
        let target = TargetRegistry::parse("reg.corp", crate::target::Layout::Mirror).unwrap();
        let kept = |original: &str, image: &str| {
            let record = json!({"run": "1", "slots": {"containers/a": {"original": original, "target": image}}});
            let object = json!({
                "metadata": {"name": "web", "namespace": "shop",
                             "annotations": {ORIGINALS: record.to_string()}},
                "spec": {"template": {"spec": {"containers": [{"name": "a", "image": image}]}}},
            });
            let kind = Kind::from_word("deploy").unwrap();
            let observed = Observed {
                workload: Workload::from_object(&kind, &object).unwrap(),
                running: BTreeMap::new(),
                account_pull_secrets: None,
                pull_credentials: crate::plan::PullCredentials::None,
                named: false,
                namespace_opted_out: false,
            };
            super::kept(&observed, &target).len()
        };
        let digest = format!("sha256:{}", "1".repeat(64));
        assert_eq!(kept("nginx", "reg.corp/nginx:latest"), 1);
        assert_eq!(kept("nginx:1", &format!("reg.corp/nginx:1@{digest}")), 1);
        assert_eq!(
            kept(
                &format!("nginx@{digest}"),
                &format!("reg.corp/nginx@{digest}")
            ),
            1
        );
        let pinned = format!("nginx:1@{digest}");
        assert_eq!(kept(&pinned, &format!("reg.corp/{pinned}")), 1);
        assert_eq!(kept(&pinned, "reg.corp/nginx:1"), 0);
        let other = format!("sha256:{}", "2".repeat(64));
        assert_eq!(kept(&pinned, &format!("reg.corp/nginx:1@{other}")), 0);
        assert_eq!(kept("evil.io/nginx:1", "reg.corp/nginx:1"), 0);
        assert_eq!(kept("nginx:2", "reg.corp/nginx:1"), 0);
        assert_eq!(kept("reg.corp/own:1", "reg.corp/nginx:1"), 0);
    }
}
