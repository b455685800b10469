//! A YAML or JSON text that is changed in place.
//!
//! Decides where an entry is put, and what is taken out with one: comments, order and everything else stay
//! as they are, byte for byte. Never decides what may stand there. A change is refused where the new text
//! would not mean exactly what it should.

use super::layout::{self, Content, Entry, Node};
use serde_json::{Map, Value};
use std::ops::Range;

/// What a text is written in; all JSON is YAML, but not to those who read the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notation {
    /// Comments, plain words.
    Yaml,
    /// As docker writes its file: indented with tabs.
    Json,
}

/// What a text is to be in place of what it is.
type Splice = (Range<usize>, String);

/// Why a text cannot be changed in place; without anything that stands in it.
const REFUSED: &str = "this cannot be changed in place";

/// The text with this value at the end of a path of keys.
pub(crate) fn set(
    text: &str,
    notation: Notation,
    path: &[&str],
    value: &Value,
) -> Result<String, String> {
    let writer = Writer { text, notation };
    let splices = match layout::read(text)? {
        Some(root) => writer.set(&root, path, value, 1)?,
        None => vec![(text.len()..text.len(), writer.first(path, value))],
    };
    let new = spliced(text, splices);
    let mut wanted = meaning(text, notation)?;
    put(&mut wanted, path, value.clone());
    checked(new, notation, &wanted)
}

/// The text without the entry at the end of a path; none where there is no such entry. What is left empty
/// by it goes too in YAML.
pub(crate) fn remove(
    text: &str,
    notation: Notation,
    path: &[&str],
) -> Result<Option<String>, String> {
    let mut path = path;
    let mut wanted = meaning(text, notation)?;
    if !take(&mut wanted, path) {
        return Ok(None);
    }
    while notation == Notation::Yaml && path.len() > 1 {
        let parent = &path[..path.len() - 1];
        let left = parent.iter().try_fold(&wanted, |at, key| at.get(*key));
        if left
            .and_then(Value::as_object)
            .is_none_or(|left| !left.is_empty())
        {
            break;
        }
        take(&mut wanted, parent);
        path = parent;
    }
    let Some(root) = layout::read(text)? else {
        return Err(REFUSED.to_owned());
    };
    let splice = Writer { text, notation }.remove(&root, path)?;
    checked(spliced(text, vec![splice]), notation, &wanted).map(Some)
}

/// What a text means; an empty one is an empty mapping.
pub(crate) fn meaning(text: &str, notation: Notation) -> Result<Value, String> {
    let value = match notation {
        Notation::Yaml => {
            // without the excerpt: the offending line may be a password that somebody tried to put there
            let options = serde_saphyr::options! { with_snippet: false };
            let value: Option<Value> = serde_saphyr::from_str_with_options(text, options)
                .map_err(|error| error.to_string())?;
            value.unwrap_or_default()
        }
        Notation::Json if text.trim().is_empty() => Value::Null,
        Notation::Json => serde_json::from_str(text).map_err(|error| {
            format!("not JSON, line {} column {}", error.line(), error.column())
        })?,
    };
    Ok(match value {
        Value::Null => Value::Object(Map::new()),
        value => value,
    })
}

fn checked(new: String, notation: Notation, wanted: &Value) -> Result<String, String> {
    match meaning(&new, notation) {
        Ok(found) if found == *wanted => Ok(new),
        _ => Err(REFUSED.to_owned()),
    }
}

fn put(at: &mut Value, path: &[&str], value: Value) {
    let Some((key, rest)) = path.split_first() else {
        *at = value;
        return;
    };
    if at.is_null() {
        *at = Value::Object(Map::new());
    }
    if let Some(map) = at.as_object_mut() {
        put(map.entry(*key).or_insert(Value::Null), rest, value);
    }
}

fn take(at: &mut Value, path: &[&str]) -> bool {
    match path {
        [] => false,
        [key] => at
            .as_object_mut()
            .is_some_and(|map| map.remove(*key).is_some()),
        [key, rest @ ..] => at.get_mut(*key).is_some_and(|next| take(next, rest)),
    }
}

fn spliced(text: &str, mut splices: Vec<Splice>) -> String {
    // from the end, so that the places of the others stay right
    splices.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
    splices
        .into_iter()
        .fold(text.to_owned(), |mut text, (range, new)| {
            text.replace_range(range, &new);
            text
        })
}

struct Writer<'a> {
    text: &'a str,
    notation: Notation,
}

impl Writer<'_> {
    /// `depth` is how deep the entries of this node are.
    fn set(
        &self,
        node: &Node,
        path: &[&str],
        value: &Value,
        depth: usize,
    ) -> Result<Vec<Splice>, String> {
        let Content::Mapping { flow, entries } = &node.content else {
            return Err(REFUSED.to_owned());
        };
        let Some(entry) = entries.iter().find(|entry| entry.key == path[0]) else {
            return Ok(vec![self.insert(node, *flow, entries, path, value, depth)?]);
        };
        match (&path[1..], &entry.value.content) {
            ([], Content::Mapping { flow: false, .. } | Content::Leaf | Content::Null)
                if !*flow && self.line_of(entry.value.start) != self.line_of(entry.colon) =>
            {
                // the value is below its key: a comment beside the key stays
                let below =
                    self.line_end(entry.colon)..entry.value.end.max(self.line_end(entry.colon));
                let beside = entry.colon..entry.colon;
                Ok(vec![
                    (beside, format!(" {}", self.inline(value))),
                    (below, String::new()),
                ])
            }
            ([], _) => {
                let blank = if entry.value.start == entry.value.end {
                    " "
                } else {
                    ""
                };
                let new = format!("{blank}{}", self.value(value, node, entries, depth));
                Ok(vec![(entry.value.start..entry.value.end, new)])
            }
            (rest, Content::Null) if *flow => {
                let new = format!(" {}", self.inline(&nested(rest, value)));
                Ok(vec![(entry.colon..entry.value.end, new)])
            }
            (rest, Content::Null) => {
                let end = self.line_end(entry.value.end);
                let indent = format!("{}  ", self.indent(entry.start)?);
                let mut splices = vec![(end..end, self.below(&indent, rest, value))];
                if entry.value.end > entry.colon {
                    splices.push((entry.colon..entry.value.end, String::new()));
                }
                Ok(splices)
            }
            (rest, _) => self.set(&entry.value, rest, value, depth + 1),
        }
    }

    /// A new entry, after those that are there.
    fn insert(
        &self,
        node: &Node,
        flow: bool,
        entries: &[Entry],
        path: &[&str],
        value: &Value,
        depth: usize,
    ) -> Result<Splice, String> {
        let Some((first, last)) = entries.first().zip(entries.last()) else {
            let inner = nested(path, value);
            let new = match self.notation {
                Notation::Yaml => self.inline(&inner),
                Notation::Json => pretty(&inner, &"\t".repeat(depth - 1), "\t"),
            };
            return Ok((node.start..node.end, new));
        };
        if flow {
            let lead = &self.text[node.start + 1..first.start];
            let lead = if lead.contains('\n') { lead } else { " " };
            let new = self.value(&nested(&path[1..], value), node, entries, depth);
            let entry = format!(",{lead}{}: {new}", self.key(path[0]));
            return Ok((last.value.end..last.value.end, entry));
        }
        let end = self.line_end(last.value.end);
        Ok((end..end, self.below(self.indent(first.start)?, path, value)))
    }

    /// A value among the entries of a mapping, spread over lines where they are.
    fn value(&self, value: &Value, node: &Node, entries: &[Entry], depth: usize) -> String {
        let indent = entries
            .first()
            .and_then(|first| self.text.get(node.start + 1..first.start))
            .and_then(|lead| Some(lead.rsplit_once('\n')?.1));
        match (self.notation, indent) {
            (Notation::Json, Some(indent)) => {
                let unit = &indent[..indent.len() / depth.max(1)];
                pretty(value, indent, unit)
            }
            _ => self.inline(value),
        }
    }

    fn remove(&self, root: &Node, path: &[&str]) -> Result<Splice, String> {
        let mut node = root;
        let mut rest = path;
        loop {
            let Content::Mapping { flow, entries } = &node.content else {
                return Err(REFUSED.to_owned());
            };
            let found = entries
                .iter()
                .position(|entry| Some(&entry.key.as_str()) == rest.first());
            let at = found.ok_or(REFUSED)?;
            let entry = &entries[at];
            if let [_, deeper @ ..] = rest
                && !deeper.is_empty()
            {
                (node, rest) = (&entry.value, deeper);
                continue;
            }
            let range = match (flow, at.checked_sub(1), entries.get(at + 1)) {
                (false, ..) => {
                    self.indent(entry.start)?;
                    let end = self.line_end(entry.value.end);
                    self.line_of(entry.start)..self.text.len().min(end + self.newline().len())
                }
                (true, Some(before), _) => entries[before].value.end..entry.value.end,
                (true, None, Some(next)) => entry.start..next.start,
                (true, None, None) => node.start + 1..node.end - 1,
            };
            return Ok((range, String::new()));
        }
    }

    /// The text of a document that had nothing in it.
    fn first(&self, path: &[&str], value: &Value) -> String {
        match self.notation {
            Notation::Json => pretty(&nested(path, value), "", "\t") + "\n",
            Notation::Yaml => {
                let lines = self.below("", path, value);
                let lines = lines.trim_start_matches(['\r', '\n']);
                let start = if self.text.ends_with('\n') || self.text.is_empty() {
                    ""
                } else {
                    self.newline()
                };
                format!("{start}{lines}{}", self.newline())
            }
        }
    }

    /// Lines for a path of keys, each with the end of the line before.
    fn below(&self, indent: &str, path: &[&str], value: &Value) -> String {
        let mut lines = String::new();
        let mut indent = indent.to_owned();
        for (at, key) in path.iter().enumerate() {
            lines.extend([self.newline(), &indent, &self.key(key), ":"]);
            if at + 1 == path.len() {
                lines.extend([" ", &self.inline(value)]);
            }
            indent += "  ";
        }
        lines
    }

    fn key(&self, key: &str) -> String {
        match self.notation {
            Notation::Yaml if !key.contains(':') => scalar(key),
            _ => Value::from(key).to_string(),
        }
    }

    fn inline(&self, value: &Value) -> String {
        match (self.notation, value) {
            (Notation::Json, value) => value.to_string(),
            (Notation::Yaml, Value::String(text)) => scalar(text),
            (Notation::Yaml, Value::Array(items)) => {
                let items: Vec<_> = items.iter().map(|item| self.inline(item)).collect();
                format!("[{}]", items.join(", "))
            }
            (Notation::Yaml, Value::Object(map)) => {
                let entries = map.iter();
                let entries = entries
                    .map(|(key, value)| format!("{}: {}", self.key(key), self.inline(value)));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
            }
            (Notation::Yaml, other) => other.to_string(),
        }
    }

    fn newline(&self) -> &'static str {
        if self.text.contains("\r\n") {
            "\r\n"
        } else {
            "\n"
        }
    }

    fn line_of(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |end| end + 1)
    }

    /// Where the line ends that has this place in it, before the line break.
    fn line_end(&self, at: usize) -> usize {
        let rest = &self.text[at..];
        let end = rest.find('\n').unwrap_or(rest.len());
        at + rest[..end].trim_end_matches('\r').len()
    }

    /// The blanks before a block's key.
    fn indent(&self, at: usize) -> Result<&str, String> {
        let before = &self.text[self.line_of(at)..at];
        if before.trim().is_empty() {
            Ok(before)
        } else {
            Err(REFUSED.to_owned())
        }
    }
}

fn nested(path: &[&str], value: &Value) -> Value {
    path.iter().rev().fold(value.clone(), |inner, key| {
        Value::Object([((*key).to_owned(), inner)].into_iter().collect())
    })
}

/// JSON in lines as docker writes it, but for the first line's indentation.
fn pretty(value: &Value, indent: &str, unit: &str) -> String {
    match value.as_object() {
        Some(map) if !map.is_empty() => {
            let inner = format!("{indent}{unit}");
            let entries = map.iter().map(|(key, value)| {
                let key = Value::from(key.as_str());
                format!("\n{inner}{key}: {}", pretty(value, &inner, unit))
            });
            format!("{{{}\n{indent}}}", entries.collect::<Vec<_>>().join(","))
        }
        _ => value.to_string(),
    }
}

/// A word as it is, where every reader takes it for text; else in quotes.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphanumeric() || "/._".contains(c))
        && text.ends_with(|c: char| c != ':' && c != ' ')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-./:@+= ".contains(c))
        && !text.contains(": ");
    let read = || serde_saphyr::from_str::<Value>(text).ok();
    if plain && read() == Some(Value::from(text)) {
        text.to_owned()
    } else {
        Value::from(text).to_string()
    }
}

#[cfg(test)]
mod tests;
