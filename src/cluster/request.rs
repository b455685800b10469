//! One request to the API server: its path, its limits, its retries.
//!
//! Decides how often a busy server is asked again. Objects are JSON values on both sides: what is not
//! understood here is not lost.

use super::collection::Collection;
use super::error::Doing;
use super::{Cluster, Error, WriteMode};
use crate::workload::{FIELD_MANAGER, Kind};
use http::Request;
use kube::core::params::{
    DeleteParams, GetParams, ListParams, Patch, PatchParams, PostParams, Preconditions,
};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Objects per page: bounds both the server's work and our memory.
const PAGE_SIZE: u32 = 500;

/// A busy server is asked this often in all; kube's own policy would go on for minutes.
const TRIES: u32 = 4;

/// Which objects of a collection a list is limited to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Only<'a> {
    pub(super) labels: Option<&'a str>,
    pub(super) fields: Option<&'a str>,
}

impl Cluster {
    /// The collection of a kind, in the version that this server has.
    pub(super) async fn collection(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
    ) -> Result<Collection, Error> {
        Ok(self.versioned(kind, namespace).await?.1)
    }

    /// The same, with that version.
    pub(super) async fn versioned<'a>(
        &self,
        kind: &'a Kind,
        namespace: Option<&str>,
    ) -> Result<(&'a str, Collection), Error> {
        let version = if kind.group == "batch" && kind.plural == "cronjobs" {
            self.cron_job_version().await?
        } else {
            &kind.version
        };
        Ok((version, Collection::of(kind, version, namespace)))
    }

    /// CronJob is in `batch/v1` since Kubernetes 1.21 and in `batch/v1beta1` until 1.24.
    async fn cron_job_version(&self) -> Result<&'static str, Error> {
        let version = self.shared.cron_job_version.get_or_try_init(|| async {
            match self.read("discovering batch/v1", "/apis/batch/v1").await {
                Ok(found) => Ok(cron_job_version_of(&found)),
                // whoever may not discover may still list
                Err(error) if error.is_local() => Ok("v1"),
                Err(error) => Err(error),
            }
        });
        version.await.copied()
    }

    /// What the server says of its API at a path; none where it has no such path or an aggregated API
    /// behind it is down, which is nothing to the others.
    pub(super) async fn discover(&self, path: &str) -> Result<Option<Value>, Error> {
        let doing = format!("discovering {path}");
        let request = Request::get(path).body(Vec::new());
        let request = request.map_err(|error| Error::Failed(format!("{doing}: {error}")))?;
        match self.send(&doing, request).await {
            Ok(found) => Ok(Some(found)),
            Err(Error::NotFound(_) | Error::Failed(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn get_one(&self, from: &Collection, name: &str) -> Result<Value, Error> {
        let doing = from.one("getting", name);
        let request = from.builder().get(name, &GetParams::default());
        self.send(&doing, built(&doing, request)?).await
    }

    /// Every object of a collection, reduced to what `keep` makes of it while its page is in memory.
    pub(super) async fn list<T>(
        &self,
        from: &Collection,
        only: Only<'_>,
        mut keep: impl FnMut(Value) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        let doing = from.all("listing");
        let mut params = ListParams {
            label_selector: only.labels.map(str::to_owned),
            field_selector: only.fields.map(str::to_owned),
            limit: Some(PAGE_SIZE),
            ..ListParams::default()
        };
        let mut kept = Vec::new();
        loop {
            let request = built(&doing, from.builder().list(&params))?;
            let mut page = match self.send_once(&doing, request).await {
                // the continue token outlived the server's history: once more, in one piece
                Err(Failure::Gone) if params.continue_token.is_some() => {
                    kept.clear();
                    params.continue_token = None;
                    params.limit = None;
                    continue;
                }
                answer => answer.map_err(|failure| failure.into_error(&doing))?,
            };
            if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
                kept.extend(items.into_iter().filter_map(&mut keep));
            }
            match page.pointer("/metadata/continue").and_then(Value::as_str) {
                Some(token) if !token.is_empty() => params.continue_token = Some(token.to_owned()),
                _ => return Ok(kept),
            }
        }
    }

    pub(super) async fn patch_one(
        &self,
        to: &Collection,
        name: &str,
        body: &Value,
    ) -> Result<Value, Error> {
        let doing = to.one("patching", name);
        let patch = serde_json::from_value::<json_patch::Patch>(body.clone())
            .map_err(|error| Error::Failed(format!("{doing}: not a JSON patch: {error}")))?;
        let params = PatchParams {
            dry_run: self.is_dry_run(),
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let request = to.builder().patch(name, &params, &Patch::<()>::Json(patch));
        self.send(&doing, built(&doing, request)?).await
    }

    /// Applies an object as ours, whoever else owns one of its fields.
    pub(super) async fn apply_one(
        &self,
        to: &Collection,
        name: &str,
        object: &Value,
    ) -> Result<Value, Error> {
        let doing = to.one("applying", name);
        let params = PatchParams {
            dry_run: self.is_dry_run(),
            force: true,
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let request = to.builder().patch(name, &params, &Patch::Apply(object));
        self.send(&doing, built(&doing, request)?).await
    }

    pub(super) async fn create(
        &self,
        to: &Collection,
        name: &str,
        object: &Value,
    ) -> Result<Value, Error> {
        let doing = to.one("creating", name);
        let body = object.to_string().into_bytes();
        let request = to.builder().create(&self.post_params(), body);
        self.send(&doing, built(&doing, request)?).await
    }

    /// Replaces an object, in the version it was read at.
    pub(super) async fn replace(
        &self,
        to: &Collection,
        name: &str,
        object: &Value,
    ) -> Result<Value, Error> {
        let doing = to.one("updating", name);
        let body = object.to_string().into_bytes();
        let request = to.builder().replace(name, &self.post_params(), body);
        self.send(&doing, built(&doing, request)?).await
    }

    /// Deletes an object; only the very one with this UID, where one is given.
    pub(super) async fn delete(
        &self,
        from: &Collection,
        name: &str,
        uid: Option<&str>,
    ) -> Result<(), Error> {
        let doing = from.one("deleting", name);
        let params = DeleteParams {
            dry_run: self.is_dry_run(),
            preconditions: uid.map(|uid| Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let request = from.builder().delete(name, &params);
        self.send(&doing, built(&doing, request)?).await.map(|_| ())
    }

    /// What the API server has at a path of its own.
    pub(super) async fn read(&self, doing: &str, path: &str) -> Result<Value, Error> {
        let request = Request::get(path).body(Vec::new());
        let request = request.map_err(|error| Error::Failed(error.to_string()))?;
        self.send(doing, request).await
    }

    /// Asks a question that is put as an object, and stored nowhere.
    pub(super) async fn ask(
        &self,
        doing: &str,
        path: &str,
        question: &Value,
    ) -> Result<Value, Error> {
        let request = Request::post(path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(question.to_string().into_bytes());
        let request = request.map_err(|error| Error::Failed(error.to_string()))?;
        self.send(doing, request).await
    }

    fn post_params(&self) -> PostParams {
        PostParams {
            dry_run: self.is_dry_run(),
            field_manager: Some(FIELD_MANAGER.to_owned()),
        }
    }

    fn is_dry_run(&self) -> bool {
        self.shared.mode == WriteMode::ServerDryRun
    }

    pub(super) async fn send(
        &self,
        doing: &str,
        request: Request<Vec<u8>>,
    ) -> Result<Value, Error> {
        let answer = self.send_once(doing, request).await;
        answer.map_err(|failure| failure.into_error(doing))
    }

    /// Sends one request, again where the server says that it is busy. A read may be repeated after any
    /// such answer, a write only after 429, which promises that nothing was done.
    async fn send_once(&self, doing: &str, request: Request<Vec<u8>>) -> Result<Value, Failure> {
        let doing = self.doing(doing);
        let is_read = request.method() == http::Method::GET;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let started = Instant::now();
            let answer = self.shared.client.request::<Value>(request.clone());
            let answer = self.fence.pass(async {
                match self.shared.request_timeout {
                    None => Ok(answer.await),
                    Some(limit) => tokio::time::timeout(limit, answer)
                        .await
                        .map_err(|_| doing.timed_out(limit)),
                }
            });
            let answer = answer.await.map_err(|shut| doing.fenced(shut));
            let answer = answer.flatten().map_err(Failure::Other)?;
            let status = match &answer {
                Ok(_) => "ok".to_owned(),
                Err(kube::Error::Api(status)) => status.code.to_string(),
                Err(_) => "no answer".to_owned(),
            };
            tracing::debug!(
                method = %request.method(), path = %request.uri(), status, took = ?started.elapsed(),
                "asked the API server"
            );
            match answer {
                Ok(value) => return Ok(value),
                Err(kube::Error::Api(status)) if status.code == 410 => return Err(Failure::Gone),
                Err(kube::Error::Api(status))
                    if attempt < TRIES
                        && (status.code == 429 || is_read && matches!(status.code, 503 | 504)) =>
                {
                    tokio::time::sleep(pause(attempt, &status)).await;
                }
                Err(error) => return Err(Failure::Other(doing.failed(error))),
            }
        }
    }

    pub(super) fn doing(&self, what: &str) -> Doing {
        Doing {
            what: what.to_owned(),
            server: self.shared.server.clone(),
            context: self.shared.context.clone(),
        }
    }
}

/// How a request ended, for `list`, which alone can do something about a lost page.
enum Failure {
    Gone,
    Other(Error),
}

impl Failure {
    fn into_error(self, doing: &str) -> Error {
        match self {
            Self::Gone => Error::Failed(format!("{doing}: the list changed under way; try again")),
            Self::Other(error) => error,
        }
    }
}

fn built(
    doing: &str,
    request: Result<Request<Vec<u8>>, kube::core::request::Error>,
) -> Result<Request<Vec<u8>>, Error> {
    request.map_err(|error| Error::Failed(format!("{doing}: {error}")))
}

/// The server's own wish where it has one, at most ten seconds; else 0.2, 0.4, 0.8 s.
fn pause(attempt: u32, status: &kube::core::Status) -> Duration {
    let wish = status
        .details
        .as_ref()
        .map_or(0, |details| details.retry_after_seconds.min(10));
    if wish > 0 {
        return Duration::from_secs(u64::from(wish));
    }
    Duration::from_millis(100 << attempt)
}

/// The version to use, by the resources that a server lists under `batch/v1`.
fn cron_job_version_of(resources: &Value) -> &'static str {
    let listed = resources["resources"]
        .as_array()
        .is_some_and(|all| all.iter().any(|resource| resource["name"] == "cronjobs"));
    if listed { "v1" } else { "v1beta1" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_cron_job_is_asked_for_in_the_version_that_the_server_has() {
        let old = json!({"resources": [{"name": "jobs"}, {"name": "jobs/status"}]});
        assert_eq!(cron_job_version_of(&old), "v1beta1");
        let new = json!({"resources": [{"name": "cronjobs"}, {"name": "jobs"}]});
        assert_eq!(cron_job_version_of(&new), "v1");
    }
}
