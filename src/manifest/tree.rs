//! A text as trees of nodes that know their place in it.
//!
//! Decides what is YAML and what is not, where each node stands, and which nodes an alias means. Never
//! decides what a node is for.

use super::ReadError;
use granit_parser::{Event, Parser, ScalarStyle, Span};
use serde::de::IgnoredAny;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

/// A node's number in its tree.
pub(super) type Id = usize;

/// The documents of a text, in one arena: an alias is another way to a node that is there already.
#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    /// The document that each text is, in order.
    pub(super) roots: Vec<Id>,
}

#[derive(Debug)]
struct Node {
    content: Content,
    /// What it covers of the text, quotes included.
    span: Range<usize>,
    /// Its first line, counted from one.
    line: usize,
    /// How many collections there are one in another, aliases followed.
    depth: usize,
}

#[derive(Debug)]
enum Content {
    Scalar(String, ScalarStyle),
    Sequence(Vec<Id>),
    Mapping(Vec<(Id, Id)>),
    Alias(Id),
}

/// How deep collections are in one another, at the most; no manifest has more than a few dozen.
const DEPTH: usize = 500;

/// How many merge keys (`<<`) are followed one into another; no manifest has more than a few.
const MERGES: usize = 16;

impl Tree {
    /// Reads YAML documents, or JSON ones, which may follow each other without a separator.
    pub(super) fn read(text: &str) -> Result<Self, ReadError> {
        let mut tree = Self::default();
        let mut line = 0;
        let whole = || std::iter::once(0..text.len()).collect();
        for part in json_documents(text).unwrap_or_else(whole) {
            let part_text = &text[part.clone()];
            Builder::new(&mut tree, part.start, line).build(part_text)?;
            line += part_text.matches('\n').count();
        }
        Ok(tree)
    }

    /// The node itself, where this is an alias of it.
    pub(super) fn resolve(&self, id: Id) -> Id {
        match self.nodes[id].content {
            // the target of an alias is a node with an anchor, which no alias can have
            Content::Alias(target) => target,
            _ => id,
        }
    }

    /// The line on which a node starts.
    pub(super) fn line(&self, id: Id) -> usize {
        self.nodes[id].line
    }

    /// The text of a scalar; none of what is null or no scalar.
    pub(super) fn text(&self, id: Id) -> Option<&str> {
        match &self.nodes[self.resolve(id)].content {
            Content::Scalar(value, ScalarStyle::Plain)
                if matches!(value.as_str(), "" | "~" | "null" | "Null" | "NULL") =>
            {
                None
            }
            Content::Scalar(value, _) => Some(value),
            _ => None,
        }
    }

    /// Whether a node is nothing: an empty document, or null.
    pub(super) fn is_null(&self, id: Id) -> bool {
        let is_scalar = matches!(self.nodes[self.resolve(id)].content, Content::Scalar(..));
        is_scalar && self.text(id).is_none()
    }

    /// The items of a sequence; none of anything else.
    pub(super) fn items(&self, id: Id) -> Option<&[Id]> {
        match &self.nodes[self.resolve(id)].content {
            Content::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The keys and values of a mapping, without what is merged into it; none of anything else.
    pub(super) fn entries(&self, id: Id) -> Option<&[(Id, Id)]> {
        match &self.nodes[self.resolve(id)].content {
            Content::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value of a key, its own or one that is merged in.
    pub(super) fn get(&self, mapping: Id, key: &str) -> Option<Id> {
        self.get_within(mapping, key, MERGES, &mut HashSet::new())
    }

    /// What was `seen` has not got it: aliases may lead to the same mapping in any number of ways.
    fn get_within(
        &self,
        mapping: Id,
        key: &str,
        merges: usize,
        seen: &mut HashSet<Id>,
    ) -> Option<Id> {
        let entries = self.entries(mapping)?;
        let value = |name: &str| {
            let mut entries = entries.iter();
            entries.find_map(|(key, value)| (self.text(*key) == Some(name)).then_some(*value))
        };
        if let Some(value) = value(key) {
            return Some(value);
        }
        let base = value("<<").filter(|_| merges > 0)?;
        let one = [base];
        let several = self.items(base).unwrap_or(&one);
        several.iter().find_map(|from| {
            let is_new = seen.insert(self.resolve(*from));
            is_new.then(|| self.get_within(*from, key, merges - 1, seen))?
        })
    }

    /// The part of `text` that is a scalar's value, without quotes; none where it is written in another
    /// way, such as over several lines.
    pub(super) fn value_span(&self, id: Id, text: &str) -> Option<Range<usize>> {
        let node = &self.nodes[id];
        let Content::Scalar(value, style) = &node.content else {
            return None;
        };
        let written = text.get(node.span.clone())?;
        let quoted = |quote| {
            let inner = written.strip_prefix(quote)?.strip_suffix(quote)?;
            (!inner.contains(['\n', '\r'])).then(|| node.span.start + 1..node.span.end - 1)
        };
        match style {
            ScalarStyle::Plain => (written == value).then(|| node.span.clone()),
            ScalarStyle::SingleQuoted => quoted('\''),
            ScalarStyle::DoubleQuoted => quoted('"'),
            ScalarStyle::Literal | ScalarStyle::Folded => {
                let start = node.span.start + written.find(value.as_str())?;
                Some(start..start + value.len())
            }
        }
    }

    /// A collection as it is written; none of a scalar.
    pub(super) fn collection_text<'t>(&self, id: Id, text: &'t str) -> Option<&'t str> {
        let node = &self.nodes[self.resolve(id)];
        match node.content {
            Content::Scalar(..) | Content::Alias(_) => None,
            Content::Sequence(_) | Content::Mapping(_) => text.get(node.span.clone()),
        }
    }

    /// All places where a scalar stands: its own and those of its aliases.
    pub(super) fn places(&self) -> BTreeMap<Id, Vec<Id>> {
        let mut places: BTreeMap<Id, Vec<Id>> = BTreeMap::new();
        for (id, node) in self.nodes.iter().enumerate() {
            if let Content::Alias(target) = node.content {
                places
                    .entry(target)
                    .or_insert_with(|| vec![target])
                    .push(id);
            }
        }
        places
    }
}

/// The parts of a text that is JSON documents one after the other, as `kubectl create -o json` prints them.
fn json_documents(text: &str) -> Option<Vec<Range<usize>>> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let mut documents = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    let mut parts = Vec::new();
    let mut start = 0;
    while let Some(document) = documents.next() {
        document.ok()?;
        let end = documents.byte_offset();
        parts.push(start..end);
        start = end;
    }
    Some(parts)
}

/// Adds the documents of one text to a tree.
struct Builder<'a> {
    tree: &'a mut Tree,
    /// Where the text starts, in bytes and lines.
    offset: usize,
    line: usize,
    /// Collections that are not closed yet, and the keys that wait for a value.
    open: Vec<(Id, Option<Id>)>,
    anchors: BTreeMap<usize, Id>,
}

impl<'a> Builder<'a> {
    fn new(tree: &'a mut Tree, offset: usize, line: usize) -> Self {
        Self {
            tree,
            offset,
            line,
            open: Vec::new(),
            anchors: BTreeMap::new(),
        }
    }

    fn build(mut self, text: &str) -> Result<(), ReadError> {
        let options = granit_parser::options! {
            emit_comments: false,
            // JSON has no such limit
            simple_key_max_lookahead: 1 << 20,
        };
        for event in Parser::new_from_str_with_options(text, options) {
            let (event, span) = event.map_err(|error| ReadError {
                line: self.line + error.marker().line().max(1),
                reason: error.info(),
            })?;
            match event {
                Event::Scalar(value, style, anchor, _) => {
                    let content = Content::Scalar(value.into_owned(), style);
                    self.add(content, &span, anchor);
                }
                Event::Alias(anchor) => {
                    let target = self.anchors[&anchor];
                    let alias = self.add(Content::Alias(target), &span, 0);
                    if self.open.iter().any(|(open, _)| *open == target) {
                        return Err(self
                            .tree
                            .refusal(alias, "an anchor's value contains itself"));
                    }
                    self.tree.nodes[alias].depth = self.tree.nodes[target].depth;
                }
                Event::SequenceStart(_, anchor, _) => {
                    let id = self.add(Content::Sequence(Vec::new()), &span, anchor);
                    self.open.push((id, None));
                }
                Event::MappingStart(_, anchor, _) => {
                    let id = self.add(Content::Mapping(Vec::new()), &span, anchor);
                    self.open.push((id, None));
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    if let Some((collection, _)) = self.open.pop() {
                        let end = span.byte_range().unwrap_or_default().end + self.offset;
                        self.tree.nodes[collection].span.end = end;
                        self.tree.no_key_twice(collection)?;
                        self.tree.measure(collection)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Adds a node where the next one belongs.
    fn add(&mut self, content: Content, span: &Span, anchor: usize) -> Id {
        let id = self.tree.nodes.len();
        let range = span.byte_range().unwrap_or_default();
        self.tree.nodes.push(Node {
            content,
            span: range.start + self.offset..range.end + self.offset,
            line: span.start.line() + self.line,
            depth: 0,
        });
        if anchor > 0 {
            self.anchors.insert(anchor, id);
        }
        let Some((parent, key)) = self.open.last_mut() else {
            self.tree.roots.push(id);
            return id;
        };
        match &mut self.tree.nodes[*parent].content {
            Content::Sequence(items) => items.push(id),
            Content::Mapping(entries) => match key.take() {
                Some(key) => entries.push((key, id)),
                None => *key = Some(id),
            },
            Content::Scalar(..) | Content::Alias(_) => {}
        }
        id
    }
}

impl Tree {
    /// kubectl refuses a mapping with a key twice; which of the two would be meant nobody can tell.
    fn no_key_twice(&self, mapping: Id) -> Result<(), ReadError> {
        let mut keys = HashSet::new();
        for (key, _) in self.entries(mapping).unwrap_or_default() {
            if let Some(name) = self.text(*key)
                && !keys.insert(name)
            {
                return Err(self.refusal(*key, &format!("the key {name:?} is there twice")));
            }
        }
        Ok(())
    }

    /// Finds out how deep a collection is, once all that is in it is there.
    fn measure(&mut self, collection: Id) -> Result<(), ReadError> {
        let depth = |id: &Id| self.nodes[*id].depth;
        let inner = match &self.nodes[collection].content {
            Content::Sequence(items) => items.iter().map(depth).max(),
            Content::Mapping(entries) => entries
                .iter()
                .map(|(key, value)| depth(key).max(depth(value)))
                .max(),
            Content::Scalar(..) | Content::Alias(_) => None,
        };
        let depth = 1 + inner.unwrap_or_default();
        if depth > DEPTH {
            return Err(self.refusal(collection, "it is nested too deep"));
        }
        self.nodes[collection].depth = depth;
        Ok(())
    }

    fn refusal(&self, node: Id, reason: &str) -> ReadError {
        ReadError {
            line: self.line(node),
            reason: reason.to_owned(),
        }
    }
}
