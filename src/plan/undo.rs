//! Planning to take a change of this very run back, as if it had not been.
//!
//! A restore gives back what the record says; this gives back what was there a moment before, which after
//! a move from one target registry to another is the earlier copy, with its record.

use super::{PullSecretChange, Repoint, SlotChange};
use crate::workload::{ORIGINALS, RECLAIMED, RESTORED, Workload};
use std::collections::BTreeMap;

/// What it takes to take something back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undo {
    /// This write.
    Due(Repoint),
    /// Nothing: everything is as it was before.
    Done,
    /// Something of it was changed by somebody else since: it is no longer ours to take back.
    NotOurs,
}

/// How `done` is taken back from a workload as it is `now`; `before` is what it was planned on.
pub fn undo(before: &Workload, done: &Repoint, now: &Workload) -> Undo {
    let Some(recorded) = done.annotations.get(ORIGINALS) else {
        return Undo::NotOurs;
    };
    let have = |image: fn(&SlotChange) -> &str| {
        done.slots.iter().all(|change| {
            let slot = now.slot(&change.slot);
            slot.is_some_and(|slot| slot.image == image(change))
        })
    };
    let pull_secrets_as_left = match &done.pull_secrets {
        PullSecretChange::Keep => true,
        PullSecretChange::Set(names) => now.pull_secrets.as_ref() == Some(names),
        PullSecretChange::Remove => now.pull_secrets.is_none(),
    };
    let pull_secrets_as_before =
        done.pull_secrets == PullSecretChange::Keep || now.pull_secrets == before.pull_secrets;
    if have(|change| &change.from)
        && now.record_text == before.record_text
        && pull_secrets_as_before
    {
        return Undo::Done;
    }
    if !have(|change| &change.to) || now.record_text != *recorded || !pull_secrets_as_left {
        return Undo::NotOurs;
    }
    let mut annotations = BTreeMap::from([(ORIGINALS, before.record_text.clone())]);
    for (name, was) in [(RESTORED, &before.restored), (RECLAIMED, &before.reclaimed)] {
        if done.annotations.contains_key(name) {
            annotations.insert(name, was.clone());
        }
    }
    let slots = done.slots.iter().map(|change| SlotChange {
        slot: change.slot.clone(),
        from: change.to.clone(),
        to: change.from.clone(),
    });
    Undo::Due(Repoint {
        slots: slots.collect(),
        pull_secrets: match (&done.pull_secrets, &before.pull_secrets) {
            (PullSecretChange::Keep, _) => PullSecretChange::Keep,
            (_, Some(names)) => PullSecretChange::Set(names.clone()),
            (_, None) => PullSecretChange::Remove,
        },
        needs_pull_secret: None,
        annotations,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Decision, Observed, Policy, PullAccess, PullCredentials, clone};
    use crate::target::{Layout, TargetRegistry};
    use crate::workload::Kind;
    use serde_json::{Value, json};

    fn workload(annotations: &Value, pod: &Value) -> Workload {
        let object = json!({"metadata": {"name": "web", "namespace": "prod", "annotations": annotations},
                            "spec": {"template": {"spec": pod}}});
        Workload::from_object(&Kind::from_word("deploy").unwrap(), &object).unwrap()
    }

    fn repoint(before: &Workload) -> Repoint {
        let observed = Observed {
            workload: before.clone(),
            running: BTreeMap::default(),
            account_pull_secrets: Some(Vec::new()),
            pull_credentials: PullCredentials::None,
            named: true,
            namespace_opted_out: false,
        };
        let policy = Policy {
            run: "a7f3".to_owned(),
            time: None,
            target: TargetRegistry::parse("new.corp", Layout::Mirror).unwrap(),
            images: crate::plan::ImagePolicy::default(),
            skip_namespaces: crate::plan::Patterns::default(),
            protect: std::collections::BTreeSet::default(),
            copy_only: false,
            owned_live: false,
            pull: PullAccess::Secret("image-cloner-pull".to_owned()),
        };
        let plan = clone(&[observed], &policy).unwrap();
        match plan.workloads.into_iter().next().unwrap().decision {
            Decision::Repoint(repoint) => repoint,
            other => panic!("{other:?}"),
        }
    }

    /// The workload that a repoint of another leaves.
    fn after(done: &Repoint) -> Workload {
        let record = done.annotations[ORIGINALS].clone().unwrap();
        workload(
            &json!({ORIGINALS: record}),
            &json!({"containers": [{"name": "a", "image": done.slots[0].to}],
                    "imagePullSecrets": [{"name": "image-cloner-pull"}]}),
        )
    }

    #[test]
    fn an_earlier_copy_and_its_record_come_back_not_the_original() {
        let record = r#"{"run":"0001","slots":{"containers/a":{"original":"nginx","target":"old.corp/nginx:latest"}}}"#;
        let before = workload(
            &json!({ORIGINALS: record, RESTORED: "0011"}),
            &json!({"containers": [{"name": "a", "image": "old.corp/nginx:latest"}]}),
        );
        let done = repoint(&before);
        assert_eq!(done.slots[0].to, "new.corp/nginx:latest");
        let Undo::Due(back) = undo(&before, &done, &after(&done)) else {
            panic!("nothing to take back");
        };
        assert_eq!(back.slots[0].to, "old.corp/nginx:latest");
        assert_eq!(back.pull_secrets, PullSecretChange::Remove);
        let expected = [
            (ORIGINALS, Some(record.to_owned())),
            (RESTORED, Some("0011".to_owned())),
        ];
        assert_eq!(back.annotations, BTreeMap::from(expected));
    }

    #[test]
    fn what_somebody_changed_since_is_not_taken_back() {
        let before = workload(
            &json!({}),
            &json!({"containers": [{"name": "a", "image": "nginx"}]}),
        );
        let done = repoint(&before);
        let now = after(&done);
        assert!(matches!(undo(&before, &done, &now), Undo::Due(_)));
        let mut image = now.clone();
        image.slots[0].image = "nginx:2".to_owned();
        let mut record = now.clone();
        record.record_text = None;
        let mut secrets = now;
        secrets.pull_secrets = Some(vec!["theirs".to_owned()]);
        for changed in [image, record, secrets] {
            assert_eq!(undo(&before, &done, &changed), Undo::NotOurs);
        }
    }
    #[test]
    fn what_was_taken_back_already_is_not_written_again() {
        let before = workload(
            &json!({}),
            &json!({"containers": [{"name": "a", "image": "nginx"}]}),
        );
        let done = repoint(&before);
        assert_eq!(undo(&before, &done, &before), Undo::Done);
    }

    #[test]
    fn a_count_of_reclaims_is_taken_back_with_the_clone_that_made_it() {
        let before = workload(
            &json!({RECLAIMED: "before"}),
            &json!({"containers": [{"name": "a", "image": "nginx"}]}),
        );
        let mut done = repoint(&before);
        done.annotations.insert(RECLAIMED, Some("after".to_owned()));
        let Undo::Due(back) = undo(&before, &done, &after(&done)) else {
            panic!("nothing to take back");
        };
        assert_eq!(back.annotations[RECLAIMED].as_deref(), Some("before"));
    }
}
