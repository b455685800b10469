//! Watching a kind: its objects as they are listed, then as they change.
//!
//! Decides the size of a page, when a watch that broke is begun again, and when it is known to be under way
//! again: kube's own watcher does not tell, and where nothing changes nothing else would. Never keeps an object.

use super::collection::Collection;
use super::{Cluster, Error};
use crate::workload::Kind;
use futures::channel::mpsc;
use futures::stream::{self, BoxStream, Stream, StreamExt as _};
use http::Request;
use k8s_openapi::api::core::v1::Namespace;
use kube::client::Body;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, PartialObjectMeta};
use kube::runtime::watcher::{self, Event, ExponentialBackoff};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::fmt::Debug;
use std::task::Poll;
use std::time::Duration;
use tower::BoxError;

/// Objects per page: what the first list holds in memory at a time.
const PAGE_SIZE: u32 = 50;
/// The longest pause before a watch that broke is begun again.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What a watch tells.
#[derive(Debug)]
pub enum Watched {
    /// A list begins: what was known before counts only if it is in it.
    Listing,
    /// An object that is listed, or as it is now.
    Object(Value),
    /// The list is complete.
    Listed,
    /// The server answers the watch: from now on it tells what changes, as after a failure only then.
    Begun,
    /// An object is gone.
    Gone(Value),
}

impl Cluster {
    /// Watches the objects of a kind, in one namespace or in all. Failures are told and followed by another
    /// try; it never ends.
    ///
    /// # Errors
    /// When it cannot be found out in which version the server has the kind.
    pub async fn watch(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
    ) -> Result<BoxStream<'static, Result<Watched, Error>>, Error> {
        let (version, collection) = self.versioned(kind, namespace).await?;
        let resource = GroupVersionKind::gvk(&kind.group, version, &kind.kind);
        let resource = ApiResource::from_gvk_with_plural(&resource, &kind.plural);
        let (begun, begins) = mpsc::unbounded();
        let client = self.telling(begun);
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        };
        let told = self.told(api, &collection, plain);
        Ok(begun_first(begins, told).boxed())
    }

    /// A client whose requests pass the fence, and which tells whenever the server begins to answer a watch.
    fn telling(&self, begun: mpsc::UnboundedSender<()>) -> kube::Client {
        let (client, fence) = (self.shared.client.clone(), self.fence.clone());
        let service = tower::service_fn(move |request: Request<Body>| {
            let (client, fence, begun) = (client.clone(), fence.clone(), begun.clone());
            async move {
                let mut parameters = request.uri().query().unwrap_or_default().split('&');
                let is_watch = parameters.any(|parameter| parameter == "watch=true");
                let answer = fence.pass(client.send(request)).await??;
                if is_watch && answer.status().is_success() {
                    // nobody hears it where the watch is being dropped
                    let _ = begun.unbounded_send(());
                }
                Ok::<_, BoxError>(answer)
            }
        });
        kube::Client::new(service, self.namespace.clone())
    }

    /// Watches all namespaces, of which no more than `metadata` is asked for; as [`Self::watch`].
    pub fn watch_namespaces(&self) -> BoxStream<'static, Result<Watched, Error>> {
        let namespaces = Collection::core("namespaces", "namespace", None);
        // nobody asks whether it was begun
        let (begun, _) = mpsc::unbounded();
        let api: Api<PartialObjectMeta<Namespace>> = Api::all(self.telling(begun));
        let plain =
            |namespace: PartialObjectMeta<Namespace>| json!({"metadata": namespace.metadata});
        self.told(api, &namespaces, plain)
    }

    fn told<K>(
        &self,
        api: Api<K>,
        collection: &Collection,
        plain: impl Fn(K) -> Value + Send + 'static,
    ) -> BoxStream<'static, Result<Watched, Error>>
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let doing = self.doing(&collection.all("watching"));
        let settings = watcher::Config::default().page_size(PAGE_SIZE);
        let pauses = backon::ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(400))
            .with_max_delay(LONGEST_PAUSE)
            .without_max_times()
            .with_jitter();
        let mut begins = false;
        watch(api, settings)
            // a list that is begun proves nothing yet: it must not end the pauses
            .map(move |told| match told {
                Ok(Event::Init) => {
                    begins = true;
                    stream::iter(Vec::new())
                }
                Ok(told) => {
                    let first = std::mem::take(&mut begins).then_some(Ok(Event::Init));
                    stream::iter(first.into_iter().chain([Ok(told)]).collect::<Vec<_>>())
                }
                Err(error) => stream::iter(vec![Err(error)]),
            })
            .flatten()
            .backoff(ExponentialBackoff::from(pauses))
            .map(move |told| match told {
                Ok(Event::Init) => Ok(Watched::Listing),
                Ok(Event::InitApply(object) | Event::Apply(object)) => {
                    Ok(Watched::Object(plain(object)))
                }
                Ok(Event::InitDone) => Ok(Watched::Listed),
                Ok(Event::Delete(object)) => Ok(Watched::Gone(plain(object))),
                Err(error) => Err(match error {
                    watcher::Error::InitialListFailed(error)
                    | watcher::Error::WatchStartFailed(error)
                    | watcher::Error::WatchFailed(error) => doing.failed(error),
                    watcher::Error::WatchError(status) => doing.refused(&status),
                    error @ watcher::Error::NoResourceVersion => {
                        Error::Failed(format!("{}: {error}", doing.what))
                    }
                }),
            })
            .boxed()
    }
}

/// What is told, with every beginning of a watch told before what the watch tells: of one that was begun and
/// broke at once, the break is to be told last.
fn begun_first(
    mut begins: mpsc::UnboundedReceiver<()>,
    mut told: BoxStream<'static, Result<Watched, Error>>,
) -> impl Stream<Item = Result<Watched, Error>> {
    let mut next = None;
    stream::poll_fn(move |context| {
        if next.is_none()
            && let Poll::Ready(told) = told.poll_next_unpin(context)
        {
            next = told;
        }
        if let Poll::Ready(Some(())) = begins.poll_next_unpin(context) {
            return Poll::Ready(Some(Ok(Watched::Begun)));
        }
        next.take()
            .map_or(Poll::Pending, |told| Poll::Ready(Some(told)))
    })
}

/// The object as the rest of the crate reads objects.
fn plain(object: DynamicObject) -> Value {
    let mut fields = match object.data {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    // an ObjectMeta is made of what JSON has
    let metadata = serde_json::to_value(object.metadata).unwrap_or_default();
    fields.insert("metadata".to_owned(), metadata);
    Value::Object(fields)
}
