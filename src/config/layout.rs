//! Where the entries of a YAML text are.
//!
//! Decides nothing: it says which bytes are a key, and which are its value.

use granit_parser::{Event, Parser, ScalarStyle, Span, StructureStyle};

/// A value and the bytes it takes.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) start: usize,
    /// Without the white space and comments behind it.
    pub(super) end: usize,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    Mapping { flow: bool, entries: Vec<Entry> },
    Null,
    Leaf,
}

/// A key and its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    /// Where the key starts.
    pub(super) start: usize,
    /// Just behind the colon.
    pub(super) colon: usize,
    pub(super) value: Node,
}

/// The root of a text's only document; none where nothing is in it.
pub(super) fn read(text: &str) -> Result<Option<Node>, String> {
    let mut reader = Reader {
        text,
        parser: Parser::new_from_str(text),
    };
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => return Ok(None),
            (Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd, _) => {}
            (event, span) => {
                let node = reader.node(&event, span, 0)?;
                let empty = matches!(node.content, Content::Null) && node.start == node.end;
                return Ok(Some(node).filter(|_| !empty));
            }
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    parser: Parser<'a, granit_parser::StrInput<'a>>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), String> {
        loop {
            match self.parser.next_event() {
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok(found)) => return Ok(found),
                Some(Err(error)) => {
                    let at = error.marker();
                    return Err(format!(
                        "not YAML, line {} column {}",
                        at.line(),
                        at.col() + 1
                    ));
                }
                None => return Err("it ends too early".to_owned()),
            }
        }
    }

    /// The node that starts with this event; `from` is where it can start at the earliest.
    fn node(&mut self, event: &Event<'a>, span: Span, from: usize) -> Result<Node, String> {
        let bytes = span.byte_range().unwrap_or(from..from);
        let mut node = Node {
            start: bytes.start.max(from),
            end: bytes.end.max(from),
            content: Content::Leaf,
        };
        match event {
            Event::Scalar(value, ScalarStyle::Plain, ..)
                if matches!(value.as_ref(), "" | "~" | "null") =>
            {
                node.content = Content::Null;
                if value.is_empty() {
                    (node.start, node.end) = (from, from);
                }
            }
            Event::MappingStart(style, ..) => self.mapping(&mut node, *style)?,
            Event::SequenceStart(style, ..) => self.sequence(&mut node, *style)?,
            _ => {
                // the span of a block scalar leaves out its `|`
                if let Event::Scalar(_, ScalarStyle::Literal | ScalarStyle::Folded, ..) = event {
                    let blanks = self.text[from..].find(|c| c != ' ');
                    node.start = from + blanks.unwrap_or(0);
                }
                let text = &self.text[node.start..node.end];
                node.end = node.start + text.trim_end().len();
            }
        }
        Ok(node)
    }

    fn mapping(&mut self, node: &mut Node, style: StructureStyle) -> Result<(), String> {
        let flow = style == StructureStyle::Flow;
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                node.end = match entries.last() {
                    Some(last) if !flow => last.value.end,
                    _ => span.byte_range().map_or(node.end, |bytes| bytes.end),
                };
                node.content = Content::Mapping { flow, entries };
                return Ok(());
            }
            let key = match &event {
                Event::Scalar(key, ..) => key.to_string(),
                _ => return Err("a key is no text".to_owned()),
            };
            let at = self.node(&event, span, 0)?;
            let behind = self.text[at.end..].find(':').map_or(0, |colon| colon + 1);
            let colon = at.end + behind;
            let (event, span) = self.next()?;
            entries.push(Entry {
                key,
                start: at.start,
                colon,
                value: self.node(&event, span, colon)?,
            });
        }
    }

    fn sequence(&mut self, node: &mut Node, style: StructureStyle) -> Result<(), String> {
        let mut end = node.start;
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                let closed = span.byte_range().map_or(end, |bytes| bytes.end);
                node.end = if style == StructureStyle::Flow {
                    closed
                } else {
                    end
                };
                return Ok(());
            }
            end = self.node(&event, span, end)?.end;
        }
    }
}
