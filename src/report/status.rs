//! What is in use: as a table, as lines, and as a document.

use super::text::{bytes, count, rows, shorten, wrap};
use crate::reference::{self, Reference};
use crate::status::{Note, Row, State, Status, Trouble};
use crate::target::TargetRegistry;
use crate::workload::WorkloadId;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};

/// The least that is left of a name, however narrow the screen.
const NAME: usize = 20;

/// The least that is left of a note.
const NOTE: usize = 12;

/// How a table of what is in use is laid out.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Columns of the screen.
    pub width: usize,
    /// Every column, and nothing shortened.
    pub wide: bool,
    /// With the namespaces' names.
    pub namespaces: bool,
    /// Without the line of titles.
    pub no_headers: bool,
}

/// What is in use as a table, a row an image and namespace.
pub fn status<'a>(images: impl IntoIterator<Item = &'a Row>, layout: &Layout) -> String {
    let images: Vec<&Row> = images.into_iter().collect();
    let mut heads = vec!["IMAGE", "STATE", "DIGEST", "USED", "NOTE"];
    let mut figures = vec![3];
    if layout.wide {
        heads = vec![
            "IMAGE", "COPY", "STATE", "DIGEST", "USED", "PODS", "SIZE", "NOTE",
        ];
        figures = vec![4, 5, 6];
    }
    if layout.namespaces {
        heads.insert(0, "NAMESPACE");
        for column in &mut figures {
            *column += 1;
        }
    }
    let room = Room::of(&images, layout);
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    if !layout.no_headers {
        table.set_header(heads);
    }
    for row in images {
        let mut cells = Vec::new();
        if layout.namespaces {
            cells.push(shorten(&row.namespace, room.namespace));
        }
        cells.push(shorten(&reference::in_line(&row.image), room.image));
        if layout.wide {
            cells.push(row.copy.as_ref().map_or_else(dash, Reference::to_string));
        }
        cells.push(word(row.state).to_owned());
        let digest = row.digest.as_ref();
        cells.push(digest.map_or_else(dash, |digest| {
            if layout.wide {
                digest.as_str()
            } else {
                digest.short()
            }
            .to_owned()
        }));
        cells.push(row.workloads.len().to_string());
        if layout.wide {
            cells.push(row.pods.to_string());
            cells.push(row.size.map_or_else(dash, bytes));
        }
        cells.push(note(row, room.note));
        table.add_row(cells);
    }
    rows(&mut table, &figures)
}

/// A state as the table has it: its longest word would cost the note its place.
fn word(state: State) -> &'static str {
    match state {
        State::MissingInTarget => "missing",
        state => state.word(),
    }
}

/// How many columns what can be shortened may take.
struct Room {
    namespace: usize,
    image: usize,
    note: usize,
}

impl Room {
    fn of(images: &[&Row], layout: &Layout) -> Self {
        if layout.wide {
            let (namespace, image, note) = (usize::MAX, usize::MAX, usize::MAX);
            return Self {
                namespace,
                image,
                note,
            };
        }
        let widest = |text: fn(&Row) -> &str| {
            let lengths = images.iter().map(|row| text(row).chars().count());
            lengths.max().unwrap_or(0)
        };
        let namespace = if layout.namespaces {
            widest(|row| &row.namespace).clamp("NAMESPACE".len(), 14) + 2
        } else {
            0
        };
        // state, digest, used, and the gaps after them and the name
        let state = widest(|row| word(row.state)).max("STATE".len());
        let rest = layout
            .width
            .saturating_sub(namespace + state + 8 + 4 + 4 * 2);
        let note = widest(|row| row.note.as_ref().map_or("", Note::text));
        let longest = widest(|row| &row.image).max("IMAGE".len());
        let image = longest.min(rest.saturating_sub(note.min(NOTE)).max(NAME));
        Self {
            namespace: namespace.saturating_sub(2),
            image,
            note: rest.saturating_sub(image).max(NOTE),
        }
    }
}

/// The figures under the table: `214 images: 171 cloned, 30 external (12 skipped)`.
pub fn status_sum(status: &Status, width: usize) -> String {
    let figures: Vec<String> = State::ALL
        .into_iter()
        .map(|state| (state, status.count(state)))
        .filter(|(_, count)| *count > 0)
        .map(|(state, count)| match (state, status.skipped()) {
            (State::External, skipped @ 1..) => format!("{count} external ({skipped} skipped)"),
            _ => format!("{count} {}", state.word()),
        })
        .collect();
    let all = count(status.rows.len(), "image");
    wrap(&format!("{all}: {}", figures.join(", ")), width, 0)
}

/// What a registry did not tell: `localhost:5000 refused, 3 images: HEAD …: 401 …`.
pub fn status_trouble(trouble: &Trouble) -> String {
    let Trouble {
        registry,
        silence,
        images,
        failure,
    } = trouble;
    let images = count(*images, "image");
    format!("{registry}: {silence} for {images}: {failure}")
}

/// One line an image, each once: `source target digest`, `-` for what is not known.
pub fn status_refs<'a>(images: impl IntoIterator<Item = &'a Row>) -> Vec<String> {
    let mut lines: Vec<String> = images
        .into_iter()
        .map(|row| {
            let name = |reference: &Option<Reference>| {
                reference.as_ref().map_or_else(dash, Reference::to_string)
            };
            let digest = row.digest.as_ref().map_or_else(dash, ToString::to_string);
            format!("{} {} {digest}", name(&row.source), name(&row.copy))
        })
        .collect();
    lines.sort();
    lines.dedup();
    lines
}

/// What is in use as a document. Every field is always there; null is what is not known.
pub fn status_document<'a>(
    status: &Status,
    images: impl IntoIterator<Item = &'a Row>,
    target: &TargetRegistry,
) -> Value {
    let counts = |state| status.count(state);
    json!({
        "apiVersion": "image-cloner.io/v1alpha1",
        "kind": "Status",
        "target": target.to_string(),
        "summary": {
            "images": status.rows.len(),
            "cloned": counts(State::Cloned),
            "external": counts(State::External),
            "skipped": status.skipped(),
            "moved": counts(State::Moved),
            "sourceGone": counts(State::SourceGone),
            "changed": counts(State::Changed),
            "missingInTarget": counts(State::MissingInTarget),
            "unknown": counts(State::Unknown),
        },
        "images": images.into_iter().map(image).collect::<Vec<_>>(),
    })
}

fn image(row: &Row) -> Value {
    json!({
        "namespace": row.namespace,
        "image": row.image,
        "source": row.source.as_ref().map(Reference::to_string),
        "target": row.copy.as_ref().map(Reference::to_string),
        "state": row.state.word(),
        "skipped": row.skipped,
        "digest": row.digest.as_ref().map(ToString::to_string),
        "bytes": row.size,
        "note": row.note.as_ref().map(Note::text),
        "pods": row.pods,
        "workloads": row.workloads.iter().map(workload).collect::<Vec<_>>(),
    })
}

fn workload(id: &WorkloadId) -> Value {
    json!({"kind": id.kind.to_string(), "name": id.name})
}

fn dash() -> String {
    "-".to_owned()
}

/// What there is to say of an image, in a column of this width.
fn note(row: &Row, width: usize) -> String {
    let note = row.note.as_ref();
    clip(note.map_or("", |note| note.within(width)), width)
}

/// Text that fits a column: its beginning, which says what it is about, is kept.
fn clip(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let start: String = text.chars().take(width.saturating_sub(2)).collect();
    format!("{}..", start.trim_end())
}

#[cfg(test)]
mod tests;
