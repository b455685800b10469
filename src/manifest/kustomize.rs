//! Changes of images as the `images:` of a `kustomization.yaml`.
//!
//! kustomize takes an entry for every image that is written with exactly its name, whatever its tag or digest
//! (`IsImageMatched` in its `api/internal/image`), and leaves both as they are where the entry gives none. A
//! copy has the tag and digest of its source, and so a new name is all that an entry needs.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The document for these changes of image texts: `images:` with a `name` and `newName` each.
pub fn images<'a>(changes: impl IntoIterator<Item = (&'a str, &'a str)>) -> Value {
    let names: BTreeMap<&str, &str> = changes
        .into_iter()
        .map(|(from, to)| (name(from), name(to)))
        .collect();
    let entries: Vec<Value> = names
        .into_iter()
        .map(|(name, new)| json!({"name": name, "newName": new}))
        .collect();
    json!({"images": entries})
}

/// An image text without tag and digest, as it is written: what kustomize compares.
pub fn name(image: &str) -> &str {
    let name = image.split('@').next().unwrap_or(image);
    match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    }
}
