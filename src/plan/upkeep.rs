//! Upkeep of our pull secrets: in which namespaces one is written, and where it has become useless.
//!
//! A secret gets credentials for a target only where a workload has copies of that target, or it had some
//! before: a namespace is not given what nobody there asked for. Nor is one that is left alone, unless somebody
//! names it: whoever may write there may also write the record that asks for it.

use super::Patterns;
use super::clone::{namespace_opted_out, namespace_skipped};
use crate::reference::Reference;
use crate::target::TargetRegistry;
use crate::workload::Workload;

/// A namespace, as far as our pull secret is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The namespace.
    pub namespace: String,
    /// What has the secret's name there.
    pub secret: SiteSecret,
    /// Whether a pod, a workload or a ServiceAccount names it.
    pub named: bool,
    /// What may name it there and could not be looked at, if anything.
    pub unseen: Option<String>,
    /// Whether a workload that names it has copies of the target, by its record.
    pub pulls: bool,
    /// Whether the namespace opted out.
    pub opted_out: bool,
}

impl Site {
    /// Why nothing is written there by whoever does not name the namespace, where these are skipped.
    pub fn left(&self, skip: &Patterns) -> Option<String> {
        if self.opted_out {
            return Some(namespace_opted_out(&self.namespace));
        }
        namespace_skipped(&self.namespace, skip)
    }
}

/// Whether a record that still stands says that an image of the workload is a copy in the target.
pub fn has_copies(workload: &Workload, target: &TargetRegistry) -> bool {
    let copies = workload.standing();
    copies
        .filter_map(|copy| Reference::parse(copy).ok())
        .any(|copy| target.holds(&copy))
}

/// What has the name of our pull secret in a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SiteSecret {
    /// Nothing.
    Absent,
    /// Ours, with credentials for the target or for others alone.
    Ours {
        /// Whether it has some for the target.
        for_target: bool,
    },
    /// Something that is not ours.
    Namesake,
}

/// What is done about the pull secret of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upkeep {
    /// It gets the credentials; a namesake is an error.
    Write,
    /// It is for other targets alone, or nobody can tell whom it is for.
    Leave,
    /// Nothing needs it any more.
    Remove,
}

/// What is to be done there; none where nothing is ours.
pub fn upkeep(site: &Site) -> Option<Upkeep> {
    match site.secret {
        SiteSecret::Ours { .. } if !site.named && site.unseen.is_none() => Some(Upkeep::Remove),
        SiteSecret::Ours { for_target } if for_target || site.pulls => Some(Upkeep::Write),
        SiteSecret::Ours { .. } => Some(Upkeep::Leave),
        SiteSecret::Absent | SiteSecret::Namesake => site.pulls.then_some(Upkeep::Write),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Layout;
    use crate::workload::{Kind, ORIGINALS};
    use serde_json::{Value, json};

    #[test]
    fn a_secret_is_written_where_copies_are_pulled_with_it() {
        let check_seen = |secret, named, unseen: Option<&str>, pulls, expected| {
            let site = Site {
                namespace: "shop".to_owned(),
                secret,
                named,
                unseen: unseen.map(str::to_owned),
                pulls,
                opted_out: false,
            };
            assert_eq!(upkeep(&site), expected, "{site:?}");
        };
        let check = |secret, named, pulls, expected| {
            check_seen(secret, named, None, pulls, expected);
        };
        let ours = |for_target| SiteSecret::Ours { for_target };
        check(SiteSecret::Absent, false, false, None);
        check(SiteSecret::Absent, true, true, Some(Upkeep::Write));
        check(SiteSecret::Namesake, true, true, Some(Upkeep::Write));
        check(SiteSecret::Namesake, true, false, None);
        check(ours(true), true, false, Some(Upkeep::Write));
        check(ours(false), true, true, Some(Upkeep::Write));
        check(ours(false), true, false, Some(Upkeep::Leave));
        check(ours(true), false, false, Some(Upkeep::Remove));
        let unseen = Some("deployments are forbidden");
        check_seen(ours(true), false, unseen, false, Some(Upkeep::Write));
        check_seen(ours(false), false, unseen, false, Some(Upkeep::Leave));
    }

    #[test]
    fn only_who_names_a_namespace_that_is_left_alone_has_anything_written_there() {
        let left = |namespace: &str, opted_out| {
            let site = Site {
                namespace: namespace.to_owned(),
                secret: SiteSecret::Absent,
                named: true,
                unseen: None,
                pulls: true,
                opted_out,
            };
            site.left(&Patterns::parse(["untrusted-*"]).unwrap())
        };
        assert_eq!(left("shop", false), None);
        assert!(left("shop", true).is_some());
        assert!(left("untrusted-1", false).is_some());
        assert!(left("kube-system", false).is_some());
    }

    #[test]
    fn a_record_tells_of_copies_only_where_it_stands_and_they_are_in_the_target() {
        let target = TargetRegistry::parse("reg.corp/a", Layout::Mirror).unwrap();
        let has = |record: &Value, image: &str| {
            let annotations = json!({ORIGINALS: record.to_string()});
            let object = json!({
                "metadata": {"name": "web", "namespace": "shop", "annotations": annotations},
                "spec": {"template": {"spec": {"containers": [{"name": "a", "image": image}]}}},
            });
            let kind = Kind::from_word("deploy").unwrap();
            has_copies(&Workload::from_object(&kind, &object).unwrap(), &target)
        };
        let record = |slot: &str, copy: &str| json!({"run": "1", "slots": {slot: {"original": "nginx:1", "target": copy}}});
        let copy = "reg.corp/a/nginx:1";
        assert!(has(&record("containers/a", copy), copy));
        assert!(!has(&record("containers/a", copy), "nginx:1"));
        assert!(!has(&record("containers/b", copy), copy));
        assert!(!has(&json!({"run": "1", "slots": {}}), copy));
        for elsewhere in ["reg.corp/b/nginx:1", "other.corp/a/nginx:1", "nginx:1"] {
            assert!(!has(&record("containers/a", elsewhere), elsewhere));
        }
    }
}
