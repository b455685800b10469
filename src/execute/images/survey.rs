//! What is known of a run's images before anything is written.
//!
//! Decides what may be read to learn it where a source counts what is read. Never writes.

use super::{Images, Inner, lock};
use crate::execute::settle::Settled;
use crate::outcome::{Failure, Finding, Reads, Survey};
use crate::plan::Copy;
use crate::reference::Reference;
use crate::registry::Quota;
use futures::stream::{self, StreamExt};
use std::collections::HashMap;

/// Questions under way at once.
const AT_ONCE: usize = 32;

/// The size of what is there already is told where there are no more than so many such images: a manifest, and one
/// more for each platform, is read for nothing but that.
const PRESENT: usize = 50;

/// An image that was settled, and what was read of it.
struct Look {
    settled: Settled,
    quota: Option<Quota>,
    /// How many manifests an index lists, where it was read.
    children: Option<u64>,
    size: Option<u64>,
}

type Looks = Vec<(Reference, Result<Look, Failure>)>;

impl Images {
    /// Looks at every image of a plan without writing: digest, size, whether it is there already. Spends at
    /// most half of what a source still lets be read.
    pub async fn survey(&self, copies: &[Copy]) -> Survey {
        let mut looks = self.look(copies).await;
        let mut purse = Purse::of(&looks);
        looks = self
            .each(looks, |look| purse.pays_first(look), Inner::list)
            .await;
        let present = looks.iter().filter_map(|(_, look)| look.as_ref().ok());
        let are_few = present.filter(|look| look.settled.is_present()).count() <= PRESENT;
        let is_due = |look: &Look| {
            let is_present = look.settled.is_present();
            is_present && are_few || !is_present && purse.pays_rest(look)
        };
        looks = self.each(looks, is_due, Inner::measure).await;
        self.findings(looks)
    }

    /// The same without sizes: only what is settled before any copy, one HEAD on each side as a rule, which no
    /// source counts. What failed is not tried again when it is to be copied.
    pub async fn outlook(&self, copies: &[Copy]) -> Survey {
        let looks = self.look(copies).await;
        let mut settled = lock(&self.inner.settled);
        for (target, look) in &looks {
            if let Err(failure) = look {
                settled.insert(target.clone(), Err(failure.clone()));
            }
        }
        drop(settled);
        self.findings(looks)
    }

    async fn look(&self, copies: &[Copy]) -> Looks {
        let inner = &self.inner;
        stream::iter(copies)
            .map(|copy| async move { (copy.target.clone(), inner.look(copy).await) })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await
    }

    /// Takes a step for each image that it is to be taken for.
    async fn each(
        &self,
        looks: Looks,
        mut is_due: impl FnMut(&Look) -> bool,
        step: impl AsyncFn(&Inner, &mut Look),
    ) -> Looks {
        let due = looks.into_iter().map(|(target, look)| {
            let is_due = look.as_ref().is_ok_and(&mut is_due);
            (target, look, is_due)
        });
        let due: Vec<_> = due.collect();
        stream::iter(due)
            .map(|(target, mut look, is_due)| {
                let step = &step;
                async move {
                    if let Some(look) = look.as_mut().ok().filter(|_| is_due) {
                        step(&self.inner, look).await;
                    }
                    (target, look)
                }
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await
    }

    fn findings(&self, looks: Looks) -> Survey {
        let mut settled = lock(&self.inner.settled);
        let found = looks.into_iter().map(|(target, look)| {
            let finding = look.map(|look| {
                let finding = self.inner.finding(&look);
                settled.insert(target.clone(), Ok(look.settled));
                finding
            });
            (target, finding)
        });
        found.collect()
    }
}

impl Inner {
    async fn look(&self, copy: &Copy) -> Result<Look, Failure> {
        let settled = self.sources.settle(copy).await?;
        Ok(Look {
            quota: self.sources.registries.quota(&settled.source),
            children: settled.source.listed(),
            settled,
            size: None,
        })
    }

    async fn list(&self, look: &mut Look) {
        let children = self.sources.registries.children(&look.settled.source).await;
        look.children = children.ok().map(|children| children.len() as u64);
    }

    /// Of what is there already, the target's own is read: no source is to count that.
    async fn measure(&self, look: &mut Look) {
        let registries = &self.sources.registries;
        let there = look.settled.present();
        let image = there.as_ref().unwrap_or(&look.settled.source);
        if there.is_some() && registries.quota(image).is_some() {
            return;
        }
        let size = registries.size(image, self.options.extras);
        look.size = size.await.ok();
    }

    fn finding(&self, look: &Look) -> Finding {
        let settled = &look.settled;
        let source = &settled.source;
        // what was read meanwhile is gone from it
        let quota = self.sources.registries.quota(source);
        let reads = quota.filter(|_| !settled.is_present()).map(|quota| {
            let (made, needed) = match (look.size, look.children) {
                (Some(_), children) => (1 + children.unwrap_or_default(), 0),
                (None, Some(children)) => (1, children),
                (None, None) => (0, source.least_reads()),
            };
            Reads {
                registry: source.registry().to_owned(),
                user: source.user().map(str::to_owned),
                limit: quota.limit,
                left: quota.left,
                window: quota.window,
                made,
                needed,
                exact: look.children.is_some(),
            }
        });
        Finding {
            digest: source.digest().clone(),
            size: look.size,
            present: settled.is_present(),
            moved: settled.moved.clone(),
            notes: settled.notes.clone(),
            denied: settled.denied.clone(),
            reads,
        }
    }
}

/// What a survey may spend of what sources still let be read: half, since the run needs some too and may
/// not come about.
struct Purse {
    left: HashMap<(String, Option<String>), u64>,
}

impl Purse {
    fn of(looks: &Looks) -> Self {
        let told = looks.iter().filter_map(|(_, look)| {
            let look = look.as_ref().ok()?;
            Some((account(look), look.quota?.left / 2))
        });
        Self {
            left: told.collect(),
        }
    }

    /// Whether an image's first manifest is to be read before the rest: it says what the rest costs.
    fn pays_first(&mut self, look: &Look) -> bool {
        let is_due = look.quota.is_some() && look.children.is_none();
        is_due && !look.settled.is_present() && self.pay(look, 1)
    }

    /// Whether all manifests are to be read.
    fn pays_rest(&mut self, look: &Look) -> bool {
        look.quota.is_none()
            || look
                .children
                .is_some_and(|children| self.pay(look, children))
    }

    fn pay(&mut self, look: &Look, price: u64) -> bool {
        let Some(left) = self.left.get_mut(&account(look)) else {
            return true;
        };
        let rest = left.checked_sub(price);
        *left = rest.unwrap_or(*left);
        rest.is_some()
    }
}

/// Who is counted where.
fn account(look: &Look) -> (String, Option<String>) {
    let source = &look.settled.source;
    (
        source.registry().to_owned(),
        source.user().map(str::to_owned),
    )
}
