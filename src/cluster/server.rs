//! The API server itself: its version and clock, who it takes us for, and what it lets us do.
//!
//! Decides nothing: what is needed is said by the caller.

use super::observe::PARALLEL;
use super::{Cluster, Error};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use http::Request;
use jiff::Timestamp;
use kube::client::Body;
use serde_json::{Value, json};

/// An API server that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// `https://10.0.0.1:6443`.
    pub address: String,
    /// `v1.33.1`.
    pub version: String,
    /// Its own clock, where it says.
    pub date: Option<Timestamp>,
}

/// Something that may be allowed or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// `patch`.
    pub verb: &'static str,
    /// Of the resource; empty for the core group.
    pub group: String,
    /// `deployments`.
    pub resource: String,
}

impl Cluster {
    /// The API server's address, version and clock.
    ///
    /// # Errors
    /// When it cannot be reached or does not answer as one.
    pub async fn server(&self) -> Result<Server, Error> {
        let doing = self.doing("asking for the version");
        let request = Request::get("/version").body(Body::empty());
        let request = request.map_err(|error| Error::Failed(error.to_string()))?;
        let answer = self.shared.client.send(request).await;
        let answer = answer.map_err(|error| doing.failed(error))?;
        let date = answer.headers().get(http::header::DATE);
        let date = date.and_then(|date| jiff::fmt::rfc2822::parse(date.to_str().ok()?).ok());
        // read again as the others are, so that a refusal reads as theirs do
        let version = self.read("asking for the version", "/version").await?;
        Ok(Server {
            address: self.shared.server.clone(),
            version: version["gitVersion"]
                .as_str()
                .unwrap_or("of no version")
                .to_owned(),
            date: date.map(|date| date.timestamp()),
        })
    }

    /// Those of these rights that are lacking, in a namespace or in all: one question each.
    ///
    /// # Errors
    /// When one of the questions is not answered.
    pub async fn lacking(
        &self,
        rights: Vec<Right>,
        namespace: Option<&str>,
    ) -> Result<Vec<Right>, Error> {
        let asked: Vec<Option<Right>> = stream::iter(rights)
            .map(|right| async move {
                let review = json!({
                    "apiVersion": "authorization.k8s.io/v1",
                    "kind": "SelfSubjectAccessReview",
                    "spec": {"resourceAttributes": {
                        "namespace": namespace.unwrap_or_default(),
                        "verb": right.verb,
                        "group": right.group,
                        "resource": right.resource,
                    }},
                });
                let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
                let answer = self.ask("asking what is allowed", path, &review).await?;
                let allowed = answer["status"]["allowed"] == true;
                Ok::<_, Error>((!allowed).then_some(right))
            })
            .buffered(PARALLEL)
            .try_collect()
            .await?;
        Ok(asked.into_iter().flatten().collect())
    }

    /// The name that the API server gives us, where it can be had.
    pub async fn user(&self) -> Option<String> {
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
        match self.ask("asking who we are", path, &review).await {
            Ok(answer) => Some(user_of(&answer)?.to_owned()),
            Err(Error::Forbidden(message)) => Some(quoted_user(&message)?.to_owned()),
            Err(_) => None,
        }
    }
}

fn user_of(review: &Value) -> Option<&str> {
    review["status"]["userInfo"]["username"].as_str()
}

/// The user in `user "jane" cannot create resource …`.
fn quoted_user(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("user \"")?;
    let (user, _) = rest.split_once("\" cannot ")?;
    Some(user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_tells_who_was_refused() {
        let message = "asking who we are: user \"system:serviceaccount:shop:ci\" cannot create \
                       resource \"selfsubjectreviews\" in API group \"authentication.k8s.io\"";
        assert_eq!(quoted_user(message), Some("system:serviceaccount:shop:ci"));
        assert_eq!(quoted_user("asking who we are: not found"), None);
    }
}
