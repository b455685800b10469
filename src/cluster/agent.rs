//! The agent as the cluster shows it: its pods, their log and figures, its Lease and what it told.
//!
//! Decides nothing: reads, and writes one annotation.

use super::collection::Collection;
use super::request::Only;
use super::{Cluster, Error};
use futures::io::{AsyncBufReadExt as _, Lines};
use futures::{AsyncBufRead, TryStreamExt as _};
use http::Request;
use kube::core::Request as Builder;
use kube::core::params::{Patch, PatchParams};
use serde_json::{Value, json};
use std::pin::Pin;

/// A log, line by line, as it comes.
pub struct Log {
    doing: super::error::Doing,
    lines: Lines<Pin<Box<dyn AsyncBufRead + Send>>>,
}

impl Log {
    /// The next line; none at its end.
    pub async fn next(&mut self) -> Result<Option<String>, Error> {
        let next = self.lines.try_next().await;
        next.map_err(|error| Error::Failed(format!("{}: {error}", self.doing.what)))
    }
}

impl Cluster {
    /// The pods of a namespace with these labels, by name.
    pub async fn pods(&self, namespace: &str, labels: &str) -> Result<Vec<Value>, Error> {
        let pods = Collection::core("pods", "pod", Some(namespace));
        let only = Only {
            labels: Some(labels),
            ..Only::default()
        };
        let mut pods = self.list(&pods, only, Some).await?;
        pods.sort_by_key(|pod| pod["metadata"]["name"].as_str().map(str::to_owned));
        Ok(pods)
    }

    /// A pod's log from its last `tail` lines on; with `follow`, as long as the pod writes.
    pub async fn log(
        &self,
        namespace: &str,
        pod: &str,
        follow: bool,
        tail: u32,
    ) -> Result<Log, Error> {
        let doing = self.doing(&format!("reading the log of pod/{pod} in {namespace}"));
        let path = format!(
            "/api/v1/namespaces/{namespace}/pods/{pod}/log?follow={follow}&tailLines={tail}"
        );
        let request = Request::get(path).body(Vec::new());
        let request = request.map_err(|error| Error::Failed(error.to_string()))?;
        let stream = self.shared.client.request_stream(request).await;
        let stream = stream.map_err(|error| doing.failed(error))?;
        let stream: Pin<Box<dyn AsyncBufRead + Send>> = Box::pin(stream);
        Ok(Log {
            doing,
            lines: stream.lines(),
        })
    }

    /// What a pod answers at a port and path, asked through the API server.
    pub async fn ask_pod(
        &self,
        namespace: &str,
        pod: &str,
        port: u16,
        path: &str,
    ) -> Result<String, Error> {
        let doing = self.doing(&format!("asking pod/{pod} in {namespace} for {path}"));
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy{path}");
        let request = Request::get(path).body(Vec::new());
        let request = request.map_err(|error| Error::Failed(error.to_string()))?;
        let answer = self.shared.client.request_text(request).await;
        answer.map_err(|error| doing.failed(error))
    }

    /// The events that a component told, the oldest first.
    pub async fn events_of(&self, component: &str) -> Result<Vec<Value>, Error> {
        let events = Collection::core("events", "event", None);
        let source = format!("source={component}");
        let only = Only {
            fields: Some(&source),
            ..Only::default()
        };
        let mut events = self.list(&events, only, Some).await?;
        events.sort_by_key(|event| {
            let time = &event["lastTimestamp"];
            let time = if time.is_null() {
                &event["eventTime"]
            } else {
                time
            };
            time.as_str().map(str::to_owned)
        });
        Ok(events)
    }

    /// Gives a Lease an annotation, or takes it from it.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no such Lease.
    pub async fn annotate_lease(
        &self,
        namespace: &str,
        name: &str,
        annotation: &str,
        value: Option<&str>,
    ) -> Result<(), Error> {
        let doing = format!("patching lease/{name} in {namespace}");
        let url = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases");
        let body = json!({"metadata": {"annotations": {annotation: value}}});
        let patch = Patch::Merge(&body);
        let request = Builder::new(url).patch(name, &PatchParams::default(), &patch);
        let request = request.map_err(|error| Error::Failed(format!("{doing}: {error}")))?;
        self.send(&doing, request).await.map(drop)
    }
}
