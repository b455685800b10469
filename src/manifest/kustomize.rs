//! Edits of images as the `images:` of a `kustomization.yaml`.
//!
//! kustomize takes an entry for every image that is written with exactly its name, whatever its tag or digest
//! (`IsImageMatched` in its `api/internal/image`), and leaves both as they are where the entry gives none. A
//! copy has the tag and digest of its source, and so a new name is all that an entry needs.

use super::Edit;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// New names for images, by the names that they are written with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Renames(BTreeMap<String, BTreeSet<String>>);

impl Renames {
    /// Those that make these edits.
    pub fn of<'a>(edits: impl IntoIterator<Item = &'a Edit>) -> Self {
        let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for edit in edits {
            let new = names.entry(name(&edit.from).to_owned()).or_default();
            new.insert(name(&edit.to).to_owned());
        }
        Self(names)
    }

    /// The document: `images:` with a `name` and `newName` each.
    pub fn document(&self) -> Value {
        let entries: Vec<Value> = self
            .0
            .iter()
            .filter_map(|(name, new)| {
                let only = new.first().filter(|_| new.len() == 1)?;
                Some(json!({"name": name, "newName": only}))
            })
            .collect();
        json!({"images": entries})
    }

    /// Names whose images would need several new ones: those have no entry.
    pub fn torn(&self) -> impl Iterator<Item = (&str, &BTreeSet<String>)> {
        let several = self.0.iter().filter(|(_, new)| new.len() > 1);
        several.map(|(name, new)| (name.as_str(), new))
    }

    /// Whether an image has an entry, by its name.
    pub fn find(&self, image: &str) -> bool {
        self.0.get(name(image)).is_some_and(|new| new.len() == 1)
    }
}

/// An image text without tag and digest, as it is written: what kustomize compares.
pub fn name(image: &str) -> &str {
    let name = image.split('@').next().unwrap_or(image);
    match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    }
}
