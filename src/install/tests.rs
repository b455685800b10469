//! What is made of settings, and read back from what was made.

mod deployment;
mod live;
mod objects;
mod rbac;
mod webhook;

use super::*;
use std::collections::{BTreeMap, BTreeSet};

fn settings() -> Settings {
    let config = [("IMAGE_CLONER_REGISTRY", "localhost:5000")];
    Settings {
        image: "localhost:5000/image-cloner.internal/agent@sha256:0a".to_owned(),
        architectures: BTreeSet::new(),
        replicas: 1,
        config: owned(&config),
        login: BTreeMap::new(),
        pull_secret: None,
        secrets: Secrets::None,
        extras: BTreeSet::new(),
    }
}

fn owned(config: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = config.iter();
    pairs
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// `Kind namespace/name` of each.
fn names(settings: &Settings) -> Vec<String> {
    let objects = objects(settings);
    let name = |object: &Value| {
        let metadata = &object["metadata"];
        let namespace = metadata["namespace"].as_str().unwrap_or_default();
        let slash = if namespace.is_empty() { "" } else { "/" };
        format!(
            "{} {namespace}{slash}{}",
            object["kind"].as_str().unwrap(),
            metadata["name"].as_str().unwrap()
        )
    };
    objects.iter().map(name).collect()
}

fn yaml(objects: &[Value]) -> String {
    let texts = objects
        .iter()
        .map(|object| serde_saphyr::to_string(object).unwrap());
    texts.collect::<Vec<_>>().join("---\n")
}
