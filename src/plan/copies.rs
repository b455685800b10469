//! The copies of a plan: each image once, whoever asks for it and however it was written.

use super::{Copy, PlanError};
use crate::reference::{Digest, Reference};
use crate::workload::WorkloadId;
use std::collections::{BTreeMap, BTreeSet};

/// A copy that one slot asks for.
pub(super) struct Wanted {
    /// The reference that the target is named after.
    pub(super) origin: Reference,
    /// Where the bytes come from: the origin, or an earlier copy of it in another target registry.
    pub(super) source: Reference,
    /// Where they go.
    pub(super) target: Reference,
    /// Digests that the slot's pods run.
    pub(super) runs: BTreeSet<Digest>,
    /// Whether one of those is meant, where they agree.
    pub(super) means_running: bool,
}

/// Gathers copies by target.
#[derive(Default)]
pub(super) struct Copies(BTreeMap<Reference, Copy>);

impl Copies {
    /// Adds what a workload asks for.
    pub(super) fn add(&mut self, wanted: Wanted, user: &WorkloadId) -> Result<(), PlanError> {
        let copy = self.0.entry(wanted.target.clone()).or_insert_with(|| Copy {
            origin: wanted.origin.clone(),
            source: wanted.source.clone(),
            target: wanted.target,
            running: BTreeSet::new(),
            users: BTreeMap::new(),
        });
        if copy.origin != wanted.origin {
            return Err(PlanError::Collision {
                first: copy.origin.to_string(),
                second: wanted.origin.to_string(),
                target: copy.target.to_string(),
            });
        }
        copy.also_from(&wanted.source);
        if wanted.means_running {
            copy.running.extend(wanted.runs.iter().cloned());
        }
        let runs = copy.users.entry(user.clone()).or_default();
        runs.extend(wanted.runs);
        Ok(())
    }

    /// All copies, sorted by source.
    pub(super) fn finish(self) -> Vec<Copy> {
        let mut copies: Vec<Copy> = self.0.into_values().collect();
        copies
            .sort_by(|one, other| (&one.source, &one.target).cmp(&(&other.source, &other.target)));
        copies
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Kind;

    fn reference(text: &str) -> Reference {
        Reference::parse(text).unwrap()
    }

    fn user(name: &str) -> WorkloadId {
        WorkloadId {
            kind: Kind::from_word("deploy").unwrap(),
            namespace: "shop".to_owned(),
            name: name.to_owned(),
        }
    }

    fn wanted(origin: &str, source: &str, target: &str) -> Wanted {
        Wanted {
            origin: reference(origin),
            source: reference(source),
            target: reference(target),
            runs: BTreeSet::new(),
            means_running: true,
        }
    }

    #[test]
    fn two_sources_for_one_target_are_refused() {
        let mut copies = Copies::default();
        copies
            .add(wanted("a/b:1", "a/b:1", "reg.corp/a/b:1"), &user("one"))
            .unwrap();
        let error = copies
            .add(
                wanted("quay.io/a/b:1", "quay.io/a/b:1", "reg.corp/a/b:1"),
                &user("two"),
            )
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "docker.io/a/b:1 and quay.io/a/b:1 would both be copied to reg.corp/a/b:1"
        );
    }

    #[test]
    fn where_copies_of_one_origin_differ_none_of_them_stands_for_the_others() {
        let mut copies = Copies::default();
        for (source, name) in [("old.corp/nginx", "one"), ("older.corp/nginx", "two")] {
            let wanted = wanted("nginx", source, "reg.corp/nginx:latest");
            copies.add(wanted, &user(name)).unwrap();
        }
        assert_eq!(copies.finish()[0].source, reference("nginx"));
    }

    #[test]
    fn an_origin_still_in_use_serves_users_of_its_earlier_copy() {
        let old = || wanted("nginx", "old.corp/nginx:latest", "reg.corp/nginx:latest");
        let direct = || wanted("nginx", "nginx", "reg.corp/nginx:latest");
        for pair in [[old(), direct()], [direct(), old()]] {
            let mut copies = Copies::default();
            for (wanted, name) in pair.into_iter().zip(["one", "two"]) {
                copies.add(wanted, &user(name)).unwrap();
            }
            // two slots of one workload are one user
            copies.add(direct(), &user("two")).unwrap();
            assert_eq!(
                copies.finish(),
                [Copy {
                    origin: reference("nginx"),
                    source: reference("nginx"),
                    target: reference("reg.corp/nginx:latest"),
                    running: BTreeSet::new(),
                    users: ["one", "two"]
                        .map(|name| (user(name), BTreeSet::new()))
                        .into(),
                }]
            );
        }
    }
}
