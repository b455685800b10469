//! Objects of ours of any kind: applied, found by their label, removed.
//!
//! Decides what counts as a change. Never decides what is applied (that is [`crate::install`]).

use super::collection::Collection;
use super::request::Only;
use super::{Cluster, Error};
use crate::workload::MANAGED_BY;
use serde_json::Value;

/// What it took to have an object say what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It was not there.
    Created,
    /// It said something else.
    Changed,
    /// It said so already.
    Unchanged,
}

impl Cluster {
    /// The object of this kind, namespace and name as it is now, if it is there.
    pub async fn live(&self, object: &Value) -> Result<Option<Value>, Error> {
        let (collection, name) = place(object);
        match self.get_one(&collection, name).await {
            Ok(live) => Ok(Some(live)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Applies an object of ours: what it says holds, whoever said otherwise; what others say besides stays.
    pub async fn apply(&self, object: &Value) -> Result<Applied, Error> {
        let (collection, name) = place(object);
        let before = self.live(object).await?;
        let after = self.apply_one(&collection, name, object).await?;
        let is_same = before.map(|before| content(before) == content(after));
        Ok(match is_same {
            None => Applied::Created,
            Some(true) => Applied::Unchanged,
            Some(false) => Applied::Changed,
        })
    }

    /// Takes these keys out of the data of an object that was read, whoever wrote them: an apply leaves what
    /// it never said.
    pub async fn take_out(&self, live: &Value, keys: &[&str]) -> Result<(), Error> {
        let (collection, name) = place(live);
        let mut object = live.clone();
        if let Some(data) = object["data"].as_object_mut() {
            data.retain(|key, _| !keys.contains(&key.as_str()));
        }
        self.replace(&collection, name, &object).await.map(drop)
    }

    /// Deletes an object, the very one that was read; whether it was there.
    pub async fn remove(&self, object: &Value) -> Result<bool, Error> {
        let (collection, name) = place(object);
        let uid = object["metadata"]["uid"].as_str();
        match self.delete(&collection, name, uid).await {
            Ok(()) => Ok(true),
            Err(Error::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The objects of a kind that have our label, in a namespace or wherever they are. None of a kind that
    /// the server does not know.
    pub async fn ours(
        &self,
        version: &str,
        kind: &str,
        namespace: Option<&str>,
    ) -> Result<Vec<Value>, Error> {
        let (label, ours) = MANAGED_BY;
        let label = format!("{label}={ours}");
        let only = Only {
            labels: Some(&label),
            ..Only::default()
        };
        let collection = Collection::of_kind(version, kind, namespace);
        let keep = |mut object: Value| {
            // a list's items do not say what they are
            object["apiVersion"] = version.into();
            object["kind"] = kind.into();
            Some(object)
        };
        match self.list(&collection, only, keep).await {
            Err(Error::NotFound(_)) => Ok(Vec::new()),
            listed => listed,
        }
    }

    /// Whether the server has this group and version, such as `policy/v1`.
    pub async fn serves(&self, version: &str) -> Result<bool, Error> {
        let found = self.discover(&format!("/apis/{version}")).await?;
        Ok(found.is_some())
    }
}

/// Where an object is, and its name.
fn place(object: &Value) -> (Collection, &str) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &object["metadata"];
    let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
    let collection = Collection::of_kind(&version, &kind, metadata["namespace"].as_str());
    (collection, metadata["name"].as_str().unwrap_or_default())
}

/// What an object says, without what the server notes about it.
fn content(mut object: Value) -> Value {
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for noted in ["managedFields", "resourceVersion", "generation"] {
            metadata.remove(noted);
        }
    }
    object
}
