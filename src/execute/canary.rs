//! Canaries: each image of a namespace pulled by a short-lived pod before a workload there is changed.
//!
//! Decides which pulls prove a namespace: each image with the pull secrets of those that will use it, on
//! each platform of nodes that would take their pods. A pull that cannot be tried, since no node takes such
//! a pod now, proves nothing and stops nothing.

use super::images::Images;
use super::pull_secrets::PullSecrets;
use super::workloads::failure;
use super::{Event, Run};
use crate::cluster::{Error, Node, Pull, Pulled};
use crate::outcome::Failure;
use crate::plan::{Decision, Plan, Planned, PullSecretChange};
use crate::platform::Platform;
use crate::workload::SlotList;
use futures::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore, SetOnce};
use tokio_util::sync::CancellationToken;

/// Pods of ours at a time.
const UNDER_WAY: usize = 10;

/// The canaries of one clone.
pub(super) struct Canaries<'a> {
    run: &'a Run,
    plan: &'a Plan,
    pull_secrets: &'a PullSecrets<'a>,
    images: &'a Images,
    timeout: Duration,
    under_way: Semaphore,
    count: AtomicUsize,
    nodes: OnceCell<Option<Vec<Node>>>,
    /// By namespace.
    verdicts: BTreeMap<String, SetOnce<Result<(), Failure>>>,
    stop: CancellationToken,
}

/// What tells two pulls apart: image, pull secrets, ServiceAccount, platform.
type Key = (String, Vec<String>, String, Option<Platform>);

impl<'a> Canaries<'a> {
    pub(super) fn new(
        run: &'a Run,
        plan: &'a Plan,
        pull_secrets: &'a PullSecrets<'a>,
        images: &'a Images,
        timeout: Duration,
    ) -> Self {
        let namespaces = plan.workloads.iter().map(|one| &one.workload.id.namespace);
        Self {
            run,
            plan,
            pull_secrets,
            images,
            timeout,
            under_way: Semaphore::new(UNDER_WAY),
            count: AtomicUsize::new(0),
            nodes: OnceCell::new(),
            verdicts: namespaces
                .map(|namespace| (namespace.clone(), SetOnce::new()))
                .collect(),
            stop: run.options.stop.child_token(),
        }
    }

    /// Tries all namespaces, each as soon as its images are there. To be carried out beside what waits for
    /// it and to its end: a pull that is dropped half way leaves its pod behind.
    pub(super) async fn carry_out(&self) {
        let namespaces = self.verdicts.iter();
        let all = namespaces.map(|(namespace, verdict)| async move {
            // it is set here alone
            let _ = verdict.set(self.try_out(namespace).await);
        });
        join_all(all).await;
    }

    /// Nobody waits for a verdict any more.
    pub(super) fn enough(&self) {
        self.stop.cancel();
    }

    /// Waits until the images of a namespace were pulled there, if they can be.
    pub(super) async fn passed(&self, namespace: &str) -> Result<(), Failure> {
        match self.verdicts.get(namespace) {
            Some(verdict) => verdict.wait().await.clone(),
            None => Ok(()),
        }
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
        let stop = &self.stop;
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
            if self.stop.is_cancelled() {
                return Err(Failure::new("interrupted"));
            }
            let object = match self.run.cluster.get(id).await {
                Ok(object) => object,
                Err(Error::NotFound(_)) => {
                    let note = format!("{id} in {namespace} is gone: its pulls are not tried");
                    self.run.observer.notice(&Event::Said(&note));
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            self.pull_secrets.ensure(namespace, repoint).await?;
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
}
