//! The target's copy in place of a source that cannot be read.
//!
//! Decides for whom: one that is gone, limited or unreachable stops nobody, and no copy is a way around its
//! source's permissions.

use super::readers::{How, Refused};
use super::{Settled, Sources};
use crate::outcome::Failure;
use crate::plan::Copy;
use crate::reference::Digest;
use crate::registry::{Source, Target};
use crate::workload::WorkloadId;
use std::collections::BTreeMap;

/// Those who may not have an image, and why.
type Denied = Vec<(Vec<WorkloadId>, Failure)>;

impl Sources {
    /// What is copied where nobody read the source: what the target has, for those who may have it.
    pub(super) async fn stand_in(
        &self,
        copy: &Copy,
        refused: Vec<Refused>,
        target: Target,
    ) -> Result<Settled, Failure> {
        let own = target.as_source();
        let content = match &own {
            Some(own) => self.content(own).await,
            None => Vec::new(),
        };
        let mut denied = Denied::new();
        let mut unreadable = None;
        for Refused {
            users,
            how,
            mut why,
        } in refused
        {
            if how == How::Hidden && own.is_some() {
                let registry = copy.source.registry();
                why = why.hint(format!(
                    "{registry} may hide it from strangers: its copy is for those who can read it there"
                ));
            }
            // whoever runs it was let in once
            let runs_it = |user: &WorkloadId| {
                let runs = copy.users.get(user).into_iter().flatten();
                runs.into_iter().any(|one| content.contains(one))
            };
            let (strangers, others): (Vec<_>, Vec<_>) =
                users.iter().cloned().partition(|user| match how {
                    How::Denied => true,
                    How::Hidden => !runs_it(user),
                    How::Unreadable => false,
                });
            if how == How::Denied || !strangers.is_empty() {
                denied.push((strangers, why.clone()));
            }
            if how != How::Denied && (users.is_empty() || !others.is_empty()) {
                unreadable.get_or_insert(why);
            }
        }
        let Some(error) = unreadable else {
            return Err(first(denied));
        };
        match own {
            Some(source) if stands_for(copy, source.digest(), &content) => Ok(Settled {
                source,
                target,
                moved: None,
                notes: vec![format!(
                    "{} cannot be read now, its copy in the target is used: {error}",
                    copy.source.familiar()
                )],
                denied: by_user(denied),
                was_read: false,
            }),
            _ => Err(error),
        }
    }

    /// A digest and what is below it: some runtimes report the platform's manifest.
    async fn content(&self, image: &Source) -> Vec<Digest> {
        let children = self.registries.children(image).await;
        let mut content = children.unwrap_or_default();
        content.push(image.digest().clone());
        content
    }
}

/// Whether the target's copy may be used in place of a source that cannot be read: not when something else
/// is known to run. `content` is the copy's digest and what is below it.
fn stands_for(copy: &Copy, digest: &Digest, content: &[Digest]) -> bool {
    if copy.source.digest().is_some_and(|pinned| pinned != digest) {
        return false;
    }
    copy.running.contains(digest) || copy.running.iter().all(|one| content.contains(one))
}

/// Why each of these may not have the image.
pub(super) fn by_user(
    denied: impl IntoIterator<Item = (Vec<WorkloadId>, Failure)>,
) -> BTreeMap<WorkloadId, Failure> {
    let each = denied
        .into_iter()
        .flat_map(|(users, why)| users.into_iter().map(move |user| (user, why.clone())));
    each.collect()
}

/// The first refusal; there is one where nobody could read.
fn first(denied: Denied) -> Failure {
    let first = denied.into_iter().next();
    first.map_or_else(|| Failure::new("nobody asked for it"), |(_, why)| why)
}
