//! What kubectl's words select: `TYPE/NAME`, `TYPE[,TYPE] [NAME…]`, `ns/NAME`, `all`, `-A`, `-l`.
//!
//! Decides which forms may stand together, as kubectl does. Never asks the API server: what a type that is
//! not built in means, that a name is there, and that a selector is well formed, is learnt when the
//! selection is observed.

#[cfg(test)]
mod tests;

use crate::spelling;
use crate::workload::{Kind, WorkloadId};

/// A parsed selection: what to look for, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    items: Vec<Item>,
    /// What "every workload" means.
    everything: Vec<Type>,
    all_namespaces: bool,
    labels: Option<String>,
}

/// One thing to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// One object, in the namespace of the connection.
    Named { kind: Type, name: String },
    /// One object that was seen before.
    Seen(WorkloadId),
    /// Every object of these kinds.
    Kinds(Vec<Type>),
    /// Every workload.
    Everything,
    /// Every workload in this namespace.
    Namespace(String),
}

/// A type that may have a pod template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Type {
    /// A kind that is known.
    Known(Kind),
    /// A word that no built-in kind goes by: the server is asked what it means.
    Word(String),
}

/// Why words select nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SelectionError {
    /// What is wrong, with the offending word.
    pub message: String,
    /// What helps.
    pub hint: Option<String>,
}

/// What a TYPE word means.
enum Word {
    Workload(Type),
    /// `ns`: its names are scopes, not workloads.
    Namespace,
    /// `all`: every kind of workload.
    Every,
}

impl Selection {
    /// Parses the words after the verb. `all_namespaces` is `-A`, `labels` is `-l`.
    ///
    /// # Errors
    /// When a word is no type or no name, and when forms or flags contradict each other.
    pub fn parse(
        words: &[String],
        all_namespaces: bool,
        labels: Option<&str>,
    ) -> Result<Self, SelectionError> {
        let labels = labels.filter(|labels| !labels.is_empty());
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let items = if words.iter().any(|word| word.contains('/')) {
            slashed(&words)?
        } else {
            spaced(&words, all_namespaces || labels.is_some())?
        };
        check_flags(&items, all_namespaces, labels.is_some())?;
        Ok(Self {
            items,
            everything: builtin(),
            all_namespaces,
            labels: labels.map(str::to_owned),
        })
    }

    /// These very workloads.
    pub fn of(workloads: impl IntoIterator<Item = WorkloadId>) -> Self {
        Self {
            items: workloads.into_iter().map(Item::Seen).collect(),
            everything: builtin(),
            all_namespaces: false,
            labels: None,
        }
    }

    /// The same, where "every workload" (`all`, `ns/NAME`, `-A`, `-l`) means those of these types, as
    /// `--kinds` has them; a type that the selection names itself is not concerned. No types change nothing.
    ///
    /// # Errors
    /// When a word is no type of workloads.
    pub fn among(mut self, kinds: &[String]) -> Result<Self, SelectionError> {
        if kinds.is_empty() {
            return Ok(self);
        }
        self.everything = Vec::new();
        self.including(kinds)
    }

    /// The same, where "every workload" means those of these types too.
    ///
    /// # Errors
    /// When a word is no type of workloads.
    pub fn including(mut self, kinds: &[String]) -> Result<Self, SelectionError> {
        for word in kinds {
            let found = match resolve(word)? {
                Word::Workload(kind) => vec![kind],
                Word::Every => builtin(),
                Word::Namespace => {
                    return Err(hinted(format!("{word:?} is no kind of workload"), KNOWN));
                }
            };
            add(&mut self.everything, found);
        }
        Ok(self)
    }

    /// The same with kubectl's `--all`, which says what a bare TYPE says already.
    ///
    /// # Errors
    /// When names or labels select less than all.
    pub fn all(self) -> Result<Self, SelectionError> {
        let named = self.items.iter().find_map(|item| match item {
            Item::Named { name, .. } => Some(name),
            _ => None,
        });
        if let Some(name) = named {
            return Err(hinted(
                format!("name {name:?} cannot be provided when --all is specified"),
                "leave one of them out",
            ));
        }
        if let Some(labels) = &self.labels {
            return Err(hinted(
                format!("the selector {labels:?} cannot be provided when --all is specified"),
                "leave one of them out",
            ));
        }
        Ok(self)
    }

    /// Whether a word is a type of workloads on every cluster; others are known to their server alone.
    pub fn is_type(word: &str) -> bool {
        !matches!(resolve(word), Err(_) | Ok(Word::Workload(Type::Word(_))))
    }

    /// Whether it is broad: shows the plan and asks before anything is done.
    pub fn is_broad(&self) -> bool {
        !self
            .items
            .iter()
            .all(|item| matches!(item, Item::Named { .. } | Item::Seen(_)))
    }

    pub(super) fn items(&self) -> &[Item] {
        &self.items
    }

    pub(super) fn everything(&self) -> &[Type] {
        &self.everything
    }

    /// Every type in it.
    pub(super) fn types_mut(&mut self) -> impl Iterator<Item = &mut Type> {
        let types = self.items.iter_mut().map(|item| match item {
            Item::Named { kind, .. } => std::slice::from_mut(kind),
            Item::Kinds(kinds) => kinds.as_mut_slice(),
            Item::Seen(_) | Item::Everything | Item::Namespace(_) => &mut [],
        });
        types.flatten().chain(&mut self.everything)
    }

    pub(super) fn all_namespaces(&self) -> bool {
        self.all_namespaces
    }

    pub(super) fn labels(&self) -> Option<&str> {
        self.labels.as_deref()
    }
}

/// Words in the form TYPE/NAME.
fn slashed(words: &[&str]) -> Result<Vec<Item>, SelectionError> {
    words.iter().map(|word| type_and_name(word)).collect()
}

fn type_and_name(word: &str) -> Result<Item, SelectionError> {
    let Some((kind, name)) = word.split_once('/') else {
        return Err(hinted(
            format!(
                "{word:?}: there is no need to specify a resource type as a separate argument when \
                 passing arguments in resource/name form"
            ),
            "write TYPE/NAME TYPE/NAME, or TYPE NAME NAME",
        ));
    };
    if name.contains('/') {
        return Err(plain(format!(
            "{word:?}: arguments in resource/name form may not have more than one slash"
        )));
    }
    if kind.is_empty() || name.is_empty() || kind.contains(',') {
        return Err(plain(format!(
            "{word:?}: arguments in resource/name form must have a single resource and name"
        )));
    }
    item(&resolve(kind)?, kind, name)
}

/// Words in the form `TYPE[,TYPE] [NAME…]`; none at all where the flags say enough.
fn spaced(words: &[&str], flags_select: bool) -> Result<Vec<Item>, SelectionError> {
    let Some((types, names)) = words.split_first() else {
        if flags_select {
            return Ok(vec![Item::Everything]);
        }
        return Err(hinted(
            "nothing is selected".to_owned(),
            "name workloads as TYPE/NAME, a namespace as ns/NAME, or -A for every namespace",
        ));
    };
    let mut resolved = Vec::new();
    for word in types.split(',').filter(|word| !word.is_empty()) {
        resolved.push((resolve(word)?, word));
    }
    if resolved.is_empty() {
        return Err(plain(format!("{types:?} names no resource type")));
    }
    if names.is_empty() {
        return every(resolved);
    }
    let mut items = Vec::new();
    for (found, word) in &resolved {
        for name in names {
            items.push(item(found, word, name)?);
        }
    }
    Ok(items)
}

/// What bare types select: each kind once.
fn every(types: Vec<(Word, &str)>) -> Result<Vec<Item>, SelectionError> {
    let mut items = Vec::new();
    let mut kinds = Vec::new();
    for (found, word) in types {
        match found {
            Word::Workload(kind) => add(&mut kinds, vec![kind]),
            Word::Every => items = vec![Item::Everything],
            Word::Namespace => {
                return Err(hinted(
                    format!("{word:?} alone selects no workloads"),
                    "name the namespace as ns/NAME, or give -A for every namespace",
                ));
            }
        }
    }
    if !kinds.is_empty() {
        items.push(Item::Kinds(kinds));
    }
    Ok(items)
}

/// Adds types that are not there yet.
fn add(types: &mut Vec<Type>, more: Vec<Type>) {
    for one in more {
        if !types.contains(&one) {
            types.push(one);
        }
    }
}

fn builtin() -> Vec<Type> {
    Kind::builtin().into_iter().map(Type::Known).collect()
}

fn item(found: &Word, word: &str, name: &str) -> Result<Item, SelectionError> {
    if !is_name(name) {
        return Err(plain(format!("invalid resource name {name:?}")));
    }
    match found {
        Word::Workload(kind) => Ok(Item::Named {
            kind: kind.clone(),
            name: name.to_owned(),
        }),
        Word::Namespace => Ok(Item::Namespace(name.to_owned())),
        Word::Every => Err(hinted(
            format!("{word:?} cannot be combined with the name {name:?}"),
            "ns/NAME selects everything in a namespace",
        )),
    }
}

/// What helps who wrote no type of workloads.
const KNOWN: &str = "known: deploy, sts, ds, cj, job, rs, po, ns, all, and the cluster's own kinds that have a pod template";

/// The one place where a word becomes a type.
fn resolve(word: &str) -> Result<Word, SelectionError> {
    let lower = word.to_ascii_lowercase();
    match lower.as_str() {
        "all" => return Ok(Word::Every),
        "ns" | "namespace" | "namespaces" => return Ok(Word::Namespace),
        _ => {}
    }
    match Kind::from_word(word) {
        Some(kind) => Ok(Word::Workload(Type::Known(kind))),
        // it goes into URLs
        None if is_name(&lower) => Ok(Word::Workload(Type::Word(lower))),
        None => Err(hinted(unknown(word), &hint(word))),
    }
}

/// That a word is no type, in kubectl's words.
pub(super) fn unknown(word: &str) -> String {
    format!("the server doesn't have a resource type {word:?}")
}

/// What helps who wrote a word that is no type.
pub(super) fn hint(word: &str) -> String {
    match meant(word) {
        Some(meant) => format!("did you mean {meant}?"),
        None => KNOWN.to_owned(),
    }
}

/// The type that was probably meant.
fn meant(word: &str) -> Option<String> {
    let words: Vec<String> = Kind::words().collect();
    let known = words.iter().map(String::as_str);
    let known = known.chain(["all", "ns", "namespace", "namespaces"]);
    spelling::nearest(word, known).map(str::to_owned)
}

fn check_flags(items: &[Item], all_namespaces: bool, labels: bool) -> Result<(), SelectionError> {
    for item in items {
        match item {
            Item::Named { name, .. } if labels => {
                return Err(plain(format!(
                    "name {name:?} cannot be provided when a selector is specified"
                )));
            }
            Item::Named { name, .. } | Item::Namespace(name) if all_namespaces => {
                return Err(plain(format!(
                    "{name:?}: a resource cannot be retrieved by name across all namespaces"
                )));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether a text can be an object's name (RFC 1123 subdomain), and so a part of a URL.
fn is_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let outer = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 253
        && name.chars().all(inner)
        && name.starts_with(outer)
        && name.ends_with(outer)
        && !name.contains("..")
}

fn plain(message: String) -> SelectionError {
    SelectionError {
        message,
        hint: None,
    }
}

fn hinted(message: String, hint: &str) -> SelectionError {
    SelectionError {
        message,
        hint: Some(hint.to_owned()),
    }
}
