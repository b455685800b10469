//! What kubectl's words select: TYPE/NAME, TYPE[,TYPE] [NAME…], `ns/NAME`, `all`, `-A`, `-l`.
//!
//! Decides which forms may stand together, as kubectl does. Never asks the API server: that a name is
//! there, and that a selector is well formed, is learnt when the selection is observed.

use crate::spelling;
use crate::workload::{Kind, WorkloadId};

/// A parsed selection: what to look for, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    items: Vec<Item>,
    all_namespaces: bool,
    labels: Option<String>,
}

/// One thing to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// One object, in the namespace of the connection.
    Named { kind: Kind, name: String },
    /// One object that was seen before.
    Seen(WorkloadId),
    /// Every object of these kinds.
    Kinds(Vec<Kind>),
    /// Every workload in this namespace.
    Namespace(String),
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
enum Type {
    Workload(Kind),
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
            all_namespaces,
            labels: labels.map(str::to_owned),
        })
    }

    /// These very workloads.
    pub fn of(workloads: impl IntoIterator<Item = WorkloadId>) -> Self {
        Self {
            items: workloads.into_iter().map(Item::Seen).collect(),
            all_namespaces: false,
            labels: None,
        }
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

/// Words in the form TYPE[,TYPE] [NAME…]; none at all where the flags say enough.
fn spaced(words: &[&str], flags_select: bool) -> Result<Vec<Item>, SelectionError> {
    let Some((types, names)) = words.split_first() else {
        if flags_select {
            return Ok(vec![Item::Kinds(Kind::builtin())]);
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
        return Ok(vec![Item::Kinds(kinds(resolved)?)]);
    }
    let mut items = Vec::new();
    for (found, word) in &resolved {
        for name in names {
            items.push(item(found, word, name)?);
        }
    }
    Ok(items)
}

/// The kinds of bare types, each once.
fn kinds(types: Vec<(Type, &str)>) -> Result<Vec<Kind>, SelectionError> {
    let mut kinds = Vec::new();
    for (found, word) in types {
        let found = match found {
            Type::Workload(kind) => vec![kind],
            Type::Every => Kind::builtin(),
            Type::Namespace => {
                return Err(hinted(
                    format!("{word:?} alone selects no workloads"),
                    "name the namespace as ns/NAME, or give -A for every namespace",
                ));
            }
        };
        for kind in found {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
    }
    Ok(kinds)
}

fn item(found: &Type, word: &str, name: &str) -> Result<Item, SelectionError> {
    if !is_name(name) {
        return Err(plain(format!("invalid resource name {name:?}")));
    }
    match found {
        Type::Workload(kind) => Ok(Item::Named {
            kind: kind.clone(),
            name: name.to_owned(),
        }),
        Type::Namespace => Ok(Item::Namespace(name.to_owned())),
        Type::Every => Err(hinted(
            format!("{word:?} cannot be combined with the name {name:?}"),
            "ns/NAME selects everything in a namespace",
        )),
    }
}

/// The one place where a word becomes a type.
fn resolve(word: &str) -> Result<Type, SelectionError> {
    match word.to_ascii_lowercase().as_str() {
        "all" => return Ok(Type::Every),
        "ns" | "namespace" | "namespaces" => return Ok(Type::Namespace),
        _ => {}
    }
    Kind::from_word(word)
        .map(Type::Workload)
        .ok_or_else(|| SelectionError {
            message: format!(
                "the server doesn't have a resource type {word:?} with a pod template"
            ),
            hint: Some(match meant(word) {
                Some(meant) => format!("did you mean {meant}?"),
                None => "known: deploy, sts, ds, cj, job, rs, po, ns, all".to_owned(),
            }),
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A selection in short: `deployments/web`, `ns/prod`, `deployments,pods`.
    fn parse(words: &str, all: bool, labels: Option<&str>) -> Result<(Vec<String>, bool), String> {
        let words: Vec<String> = words
            .split(' ')
            .filter(|w| !w.is_empty())
            .map(str::to_owned)
            .collect();
        let selection = Selection::parse(&words, all, labels).map_err(|error| error.message)?;
        let items = selection.items().iter().map(|item| match item {
            Item::Named { kind, name } => format!("{}/{name}", kind.plural),
            Item::Seen(id) => format!("{}/{id}", id.namespace),
            Item::Namespace(name) => format!("ns/{name}"),
            Item::Kinds(kinds) if *kinds == Kind::builtin() => "everything".to_owned(),
            Item::Kinds(kinds) => {
                let plurals: Vec<&str> = kinds.iter().map(|kind| kind.plural.as_str()).collect();
                plurals.join(",")
            }
        });
        Ok((items.collect(), selection.is_broad()))
    }

    #[test]
    fn kubectls_forms_are_understood() {
        let check = |words: &str, all: bool, labels: Option<&str>, expected: &str, broad: bool| {
            let expected = expected.split(' ').map(str::to_owned).collect();
            assert_eq!(parse(words, all, labels), Ok((expected, broad)), "{words}");
        };
        check("deploy/web", false, None, "deployments/web", false);
        check(
            "deploy/web sts/db",
            false,
            None,
            "deployments/web statefulsets/db",
            false,
        );
        check(
            "deployment web api",
            false,
            None,
            "deployments/web deployments/api",
            false,
        );
        check(
            "deploy,sts web",
            false,
            None,
            "deployments/web statefulsets/web",
            false,
        );
        check(
            "Deployments.apps/web",
            false,
            None,
            "deployments/web",
            false,
        );
        check("po", false, None, "pods", true);
        check("deploy,po,deploy", false, None, "deployments,pods", true);
        check("deploy", true, Some("app=web"), "deployments", true);
        check("ns/prod", false, None, "ns/prod", true);
        check("ns/prod", false, Some("app=web"), "ns/prod", true);
        check(
            "namespaces prod stage",
            false,
            None,
            "ns/prod ns/stage",
            true,
        );
        check(
            "namespace/prod deploy/web",
            false,
            None,
            "ns/prod deployments/web",
            true,
        );
        check("all", false, None, "everything", true);
        check("", true, None, "everything", true);
        check("", false, Some("app=web"), "everything", true);
    }

    #[test]
    fn a_slip_in_a_type_is_answered_with_the_right_one() {
        let hint = |word: &str| {
            let error = Selection::parse(&[word.to_owned()], false, None).unwrap_err();
            error.hint.unwrap()
        };
        assert_eq!(hint("deployent/web"), "did you mean deployment?");
        assert_eq!(hint("deploymnets"), "did you mean deployments?");
        assert_eq!(hint("StatfulSet/db"), "did you mean statefulset?");
        assert_eq!(hint("namspace/prod"), "did you mean namespace?");
        assert_eq!(hint("deploi/web"), "did you mean deploy?");
        assert!(hint("service/web").starts_with("known: deploy, "));
    }

    #[test]
    fn contradictions_are_refused_in_kubectls_words() {
        let check = |words: &str, all: bool, labels: Option<&str>, expected: &str| {
            let error = parse(words, all, labels).unwrap_err();
            assert!(error.contains(expected), "{words}: {error}");
        };
        check("", false, None, "nothing is selected");
        check("", false, Some(""), "nothing is selected");
        check(
            "foo/web",
            false,
            None,
            "the server doesn't have a resource type \"foo\"",
        );
        check(
            "deploy web sts/db",
            false,
            None,
            "no need to specify a resource type",
        );
        check("deploy/web/x", false, None, "more than one slash");
        check("deploy,sts/web", false, None, "a single resource and name");
        check("deploy/", false, None, "a single resource and name");
        check("deploy/web", true, None, "by name across all namespaces");
        check("deploy web", true, None, "by name across all namespaces");
        check("ns/prod", true, None, "by name across all namespaces");
        check(
            "deploy/web",
            false,
            Some("a=b"),
            "when a selector is specified",
        );
        check("deploy a?b", false, None, "invalid resource name \"a?b\"");
        check("deploy/..", false, None, "invalid resource name");
        check("ns", false, None, "\"ns\" alone selects no workloads");
        check("all web", false, None, "cannot be combined with the name");
    }
}
