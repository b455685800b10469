//! Two real registries, a proxy before each, five images in the one, and what must hold after they were
//! copied to the other.

use super::distribution::Distribution;
use super::images::{Image, Repositories, big, five};
use super::lapse::Lapse;
use super::proxy::{Fault, Proxy, Rule};
use crate::wire::server::{Registry, Reply, Request as Asked};
use crate::wire::{Engine, Request, Told, copier, reference};
use futures::future::join_all;
use image_cloner::credentials::Credentials;
use std::collections::HashMap;

/// Where something breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Source,
    Target,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Source, Self::Target];
}

/// One field of the matrix.
pub(super) struct Trial {
    pub(super) source: Proxy,
    pub(super) target: Proxy,
    pub(super) source_registry: Distribution,
    pub(super) target_registry: Distribution,
    pub(super) images: Vec<Image>,
    pub(super) told: Told,
    credentials: Credentials,
    /// Where the target really is.
    target_host: String,
    engine: Engine,
}

impl Trial {
    /// None, with the reason printed, where there are no real registries.
    pub(super) async fn prepare() -> Option<Self> {
        // the engine's own, made first: it settles how TLS is done in this process
        let engine = copier();
        let source_registry = Distribution::start().await?;
        let target_registry = Distribution::start().await?;
        let from = Repositories::of(&source_registry.host);
        let to = Repositories::of(&target_registry.host);
        let images = five();
        for image in &images {
            from.publish(image).await;
        }
        Some(Self {
            target_host: target_registry.host.clone(),
            engine,
            source: Proxy::before(from).await,
            target: Proxy::before(to).await,
            source_registry,
            target_registry,
            images,
            told: Told::default(),
            credentials: Credentials::Anonymous,
        })
    }

    /// The same, with something that breaks at one side.
    pub(super) async fn with(
        side: Side,
        rule: impl FnMut(&Asked) -> Option<Fault> + Send + 'static,
    ) -> Option<Self> {
        let trial = Self::prepare().await?;
        trial.side(side).obey(rule);
        Some(trial)
    }

    /// The same into a registry of this process, which takes blobs by one POST where Distribution opens a
    /// session; the first image has gone there before anything breaks, and that was found out.
    pub(super) async fn by_posts(
        rule: impl FnMut(&Asked) -> Option<Fault> + Send + 'static,
    ) -> Option<Self> {
        let mut trial = Self::prepare().await?;
        let taking = Registry::start().await;
        taking.takes_posts();
        trial.target = Proxy::before(Repositories::of(&taking.host)).await;
        trial.target_host = taking.host;
        trial.copy(&trial.images[0], Side::Target).await;
        trial.target.obey(rule);
        Some(trial)
    }

    /// Both registries are asked with these credentials.
    pub(super) fn asked_as(self, credentials: Credentials) -> Self {
        Self {
            credentials,
            ..self
        }
    }

    pub(super) fn side(&self, side: Side) -> &Proxy {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    /// Copies all five at once with one engine; whatever broke, all must come out complete.
    pub(super) async fn comes_out_complete(&self, side: Side) {
        let lapse = Lapse::start();
        let copies = self.images.iter().map(|image| self.copy(image, side));
        join_all(copies).await;
        drop(lapse);
        self.is_complete("").await;
        // what breaks nothing shows nothing
        assert!(self.side(side).faults() > 0, "{side:?}");
    }

    async fn copy(&self, image: &Image, side: Side) {
        let name = format!("{}:{}", image.repository, image.tag);
        let request = Request {
            source: reference(&format!("{}/{name}", self.source.host)),
            source_credentials: vec![self.credentials.clone()],
            digest: None,
            target: reference(&format!("{}/{name}", self.target.host)),
            target_credentials: self.credentials.clone(),
            verify: false,
        };
        let copied = self.engine.copy(&request, &self.told).await;
        copied.unwrap_or_else(|error| panic!("{side:?}: {name}: {error}"));
    }

    /// Panics unless all images are in the target, below `prefix`, byte for byte, and nothing was ever
    /// tagged, or named by an index, that was not.
    pub(super) async fn is_complete(&self, prefix: &str) {
        assert_eq!(self.target.wrong(), Vec::<String>::new());
        let target = Repositories::of(&self.target_host);
        for image in &self.images {
            let repository = format!("{prefix}{}", image.repository);
            let differs = target.differs(image, &repository).await;
            assert_eq!(differs, Vec::<String>::new());
        }
    }

    /// How often a tag was pushed, and the target has said so.
    pub(super) fn tags_pushed(&self) -> usize {
        let passed = self.target.passed();
        let tags = passed
            .iter()
            .filter(|p| p.request.is("PUT", "/manifests/1"));
        tags.filter(|p| p.status == Some(201)).count()
    }

    /// Panics if a break made the big blob be read again from its start.
    pub(super) fn reads_the_big_blob_once(&self) {
        let passed = self.source.passed();
        let reads = passed.iter().filter(|p| p.request.path.ends_with(big()));
        let starts: Vec<_> = reads.map(|p| p.request.header("range")).collect();
        assert!(starts.len() > 1 && starts[0].is_none(), "{starts:?}");
        assert!(starts[1..].iter().all(Option::is_some), "{starts:?}");
    }
}

/// Breaks every `n`th of these requests, but none more than twice running: a third try must do.
pub(super) fn every(
    n: usize,
    of: impl Fn(&Asked) -> bool + Send + 'static,
    fault: impl Fn(usize) -> Fault + Send + 'static,
) -> Rule {
    let mut asked = 0;
    let mut running: HashMap<(String, String), usize> = HashMap::new();
    Box::new(move |request| {
        if !of(request) {
            return None;
        }
        asked += 1;
        let times = running.entry(same_again(request)).or_default();
        if asked % n != 0 || *times == 2 {
            *times = 0;
            return None;
        }
        *times += 1;
        Some(fault(asked / n))
    })
}

/// What a request and its repetition have in common: an upload's place changes, its digest does not.
fn same_again(request: &Asked) -> (String, String) {
    let thing = match request.path.split_once("/blobs/uploads/") {
        Some((repository, _)) => {
            format!(
                "{repository} {}",
                request.parameter("digest").unwrap_or_default()
            )
        }
        None => request.path.clone(),
    };
    (request.method.clone(), thing)
}

/// Whether a request is for a blob's bytes, or carries them.
pub(super) fn moves_a_blob(request: &Asked) -> bool {
    request.is("GET", "/blobs/sha256:")
        || (request.path.contains("/blobs/uploads/") && request.length() > 0)
}

/// Whether it does so for the big one, as a whole.
pub(super) fn moves_the_big_blob(request: &Asked) -> bool {
    (request.is("GET", big()) && request.header("range").is_none())
        || (moves_a_blob(request) && request.length() > 8 * 1024 * 1024)
}

/// A refusal that says when to come back, or does not.
pub(super) fn refusal(status: u16, retry_after: Option<u64>) -> Fault {
    let reply = Reply::error(status, "LATER", "not now");
    Fault::Answer(match retry_after {
        Some(seconds) => reply.header("Retry-After", seconds.to_string()),
        None => reply,
    })
}
