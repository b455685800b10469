//! Canaries: each image of a namespace pulled by a short-lived pod before a workload there is changed.
//!
//! Decides which pulls prove a namespace: each image with the pull secrets of those that will use it, on
//! each platform of nodes that would take their pods. A pull that cannot be tried, since no node takes such
//! a pod now, proves nothing and stops nothing.

use super::clone::CloneTerms;
use super::images::Images;
use super::workloads::failure;
use super::{Event, Run};
use crate::cluster::{Error, Node, Pull, Pulled, SecretWrite};
use crate::outcome::{Failure, WorkloadOutcome, WorkloadState};
use crate::plan::{Decision, Plan, Planned, PullSecretChange, Repoint};
use crate::platform::Platform;
use crate::workload::SlotList;
use futures::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore};

/// Pods of ours at a time.
const UNDER_WAY: usize = 10;

/// The canaries of one clone.
pub(super) struct Canaries<'a> {
    run: &'a Run,
    plan: &'a Plan,
    terms: &'a CloneTerms,
    images: &'a Images,
    timeout: Duration,
    under_way: Semaphore,
    count: AtomicUsize,
    nodes: OnceCell<Option<Vec<Node>>>,
    verdicts: BTreeMap<String, OnceCell<Result<(), Failure>>>,
    /// Pull secrets that were not there before: namespace and name.
    made: Mutex<BTreeSet<(String, String)>>,
}

/// What tells two pulls apart: image, pull secrets, ServiceAccount, platform.
type Key = (String, Vec<String>, String, Option<Platform>);

impl<'a> Canaries<'a> {
    pub(super) fn new(
        run: &'a Run,
        plan: &'a Plan,
        terms: &'a CloneTerms,
        images: &'a Images,
        timeout: Duration,
    ) -> Self {
        let namespaces = plan.workloads.iter().map(|one| &one.workload.id.namespace);
        Self {
            run,
            plan,
            terms,
            images,
            timeout,
            under_way: Semaphore::new(UNDER_WAY),
            count: AtomicUsize::new(0),
            nodes: OnceCell::new(),
            verdicts: namespaces
                .map(|namespace| (namespace.clone(), OnceCell::new()))
                .collect(),
            made: Mutex::default(),
        }
    }

    /// Waits until the images of a namespace were pulled there, if they can be.
    pub(super) async fn passed(&self, namespace: &str) -> Result<(), Failure> {
        let Some(verdict) = self.verdicts.get(namespace) else {
            return Ok(());
        };
        let verdict = verdict.get_or_init(|| self.try_out(namespace));
        verdict.await.clone()
    }

    async fn try_out(&self, namespace: &str) -> Result<(), Failure> {
        let pulls = self.pulls(namespace).await?;
        if pulls.is_empty() {
            return Ok(());
        }
        let said = match pulls.len() {
            1 => format!("trying the pull of 1 image in {namespace}"),
            many => format!("trying {many} pulls in {namespace}"),
        };
        self.run.observer.notice(&Event::Said(&said));
        // none is dropped half way: each deletes its own pod
        let ended = join_all(pulls.iter().map(|pull| self.one(namespace, pull))).await;
        let mut failures: Vec<Failure> = ended.into_iter().filter_map(Result::err).collect();
        failures.dedup();
        let more = failures.len().saturating_sub(1);
        let Some(first) = failures.into_iter().next() else {
            return Ok(());
        };
        let what = match more {
            0 => format!("nothing was changed in {namespace}"),
            more => format!("nothing was changed in {namespace}, {more} more pulls failed"),
        };
        Err(first.context(what))
    }

    /// One pull.
    async fn one(&self, namespace: &str, pull: &Pull) -> Result<(), Failure> {
        let _slot = self.under_way.acquire().await;
        let stop = &self.run.options.stop;
        if stop.is_cancelled() {
            return Err(Failure::new("interrupted"));
        }
        let name = format!(
            "image-cloner-canary-{}-{}",
            self.run.id,
            self.count.fetch_add(1, Ordering::Relaxed)
        );
        let tried = self
            .run
            .cluster
            .try_pull(namespace, &name, pull, self.timeout, stop);
        let image = &pull.image;
        match tried.await {
            Ok(Pulled::Yes { .. }) => Ok(()),
            Ok(Pulled::Interrupted) => Err(Failure::new("interrupted")),
            Ok(Pulled::Untried(why)) => {
                let note =
                    format!("whether {image} can be pulled in {namespace} is not known: {why}");
                self.run.observer.notice(&Event::Said(&note));
                Ok(())
            }
            Ok(Pulled::No(why)) => Err(failure(why, &format!("{image} cannot be pulled: "))),
            Err(error @ Error::Forbidden(_)) => Err(Failure::from(error).hint(format!(
                "--canary needs the rights to create, get and delete pods in {namespace}"
            ))),
            Err(error) => Err(error.into()),
        }
    }

    /// The pulls that prove a namespace, of the workloads whose images have arrived.
    async fn pulls(&self, namespace: &str) -> Result<Vec<Pull>, Failure> {
        let mut pulls: BTreeMap<Key, Pull> = BTreeMap::new();
        for planned in &self.plan.workloads {
            let id = &planned.workload.id;
            let Decision::Repoint(repoint) = &planned.decision else {
                continue;
            };
            if id.namespace != namespace || !self.has_images(planned).await {
                continue;
            }
            self.ensure_pull_secret(namespace, repoint).await?;
            let object = self.run.cluster.get(id).await?;
            let pod = object.pointer(id.kind.pod_spec()).cloned();
            let pod = pod.unwrap_or_default();
            let secrets = match (&repoint.pull_secrets, &planned.workload.pull_secrets) {
                (PullSecretChange::Set(names), _) | (PullSecretChange::Keep, Some(names)) => {
                    names.clone()
                }
                _ => Vec::new(),
            };
            let account = &planned.workload.service_account;
            for platform in self.platforms(&pod).await {
                // an image volume need not be an image that a container can have
                let slots = repoint.slots.iter();
                let slots = slots.filter(|change| change.slot.list != SlotList::ImageVolumes);
                for change in slots {
                    let image = change.to.clone();
                    let key = (image, secrets.clone(), account.clone(), platform.clone());
                    pulls.entry(key).or_insert_with(|| Pull {
                        image: change.to.clone(),
                        pull_secrets: secrets.clone(),
                        service_account: account.clone(),
                        platform: platform.clone(),
                        like: pod.clone(),
                    });
                }
            }
        }
        Ok(pulls.into_values().collect())
    }

    /// Waits for the images of a workload; those that fail are told of elsewhere.
    async fn has_images(&self, planned: &Planned) -> bool {
        let id = &planned.workload.id;
        let copies = self.plan.copies.iter();
        let copies = copies.filter(|copy| planned.targets.contains(&copy.target));
        let there = copies.map(|copy| self.images.there_for(id, copy, &self.run.observer));
        join_all(there).await.iter().all(Result::is_ok)
    }

    /// The platforms of the nodes that would take such a pod; one pull anywhere where nodes cannot be seen.
    async fn platforms(&self, pod: &serde_json::Value) -> BTreeSet<Option<Platform>> {
        let nodes = self.nodes.get_or_init(|| async {
            match self.run.cluster.nodes().await {
                Ok(nodes) => Some(nodes),
                Err(error) => {
                    let note = format!("pulls are tried on one node each: {error}");
                    self.run.observer.notice(&Event::Said(&note));
                    None
                }
            }
        });
        let taking = nodes.await.iter().flatten().filter(|node| node.takes(pod));
        let platforms: BTreeSet<_> = taking.map(|node| Some(node.platform.clone())).collect();
        if platforms.is_empty() {
            return BTreeSet::from([None]);
        }
        platforms
    }

    async fn ensure_pull_secret(&self, namespace: &str, repoint: &Repoint) -> Result<(), Failure> {
        let (Some(name), Some(secret)) = (&repoint.needs_pull_secret, &self.terms.pull_secret)
        else {
            return Ok(());
        };
        let cluster = &self.run.cluster;
        let ensured = cluster.ensure_pull_secret(namespace, name, &secret.key, &secret.credentials);
        if ensured.await? == SecretWrite::Created {
            self.made().insert((namespace.to_owned(), name.clone()));
        }
        Ok(())
    }

    /// Takes away the pull secrets that were made for pulls alone.
    pub(super) async fn tidy(&self, workloads: &[WorkloadOutcome]) {
        let made = std::mem::take(&mut *self.made());
        for (namespace, name) in made {
            // also one whose rollout came to nothing, and one that may have been changed, needs it
            let is_used = workloads.iter().any(|one| {
                one.workload.namespace == namespace
                    && (one.object.is_some()
                        || matches!(one.state, WorkloadState::Repointed { .. }))
            });
            if is_used {
                continue;
            }
            if let Err(error) = self.run.cluster.delete_pull_secret(&namespace, &name).await {
                let note = format!("secret/{name} in {namespace} is left: {error}");
                self.run.observer.notice(&Event::Said(&note));
            }
        }
    }

    fn made(&self) -> std::sync::MutexGuard<'_, BTreeSet<(String, String)>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
