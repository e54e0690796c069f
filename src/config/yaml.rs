//! From text to [`Tree`], by the events of the YAML parser; rules 0001, 0002 and 0007.
//!
//! The parser stops at its first syntax error; what was wrong before that place is still told. Wording of
//! syntax errors is in `syntax`, merge keys and duplicates are in `entries`.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, StructureStyle, options};

use super::entries::{RawEntry, build_map};
use super::suggest::nearest;
use super::syntax::{SyntaxError, Words, is_about_tabs, syntax_error};
use super::text::Text;
use super::tree::{Content, Node, NodeId, Scalar, Style, Tree};
use crate::diag::{Code, Diagnostic, Diagnostics, FileId, Severity, Span};

/// Collections within one another, aliases expanded.
const DEPTH_MAX: u32 = 64;
/// Nodes of a document, aliases expanded; a key counts with its value.
const EXPANDED_MAX: u64 = 100_000;
/// For so many unknown aliases the nearest anchor is looked for.
const UNRESOLVED_MAX_GUESSES: u32 = 100;

/// What was read.
#[derive(Debug)]
pub(super) struct Parsed {
    /// None where the text holds no document, or nothing of it could be read.
    pub(super) root: Option<NodeId>,
    /// Whether the text was read to its end.
    pub(super) is_complete: bool,
}

/// Reads one document into a tree.
pub(super) fn parse(file: FileId, text: &Text, tree: &mut Tree, out: &mut Diagnostics) -> Parsed {
    let mut builder = Builder {
        file,
        text,
        out,
        tree,
        root: None,
        stack: Vec::new(),
        anchors: HashMap::new(),
        anchor_spans: HashMap::new(),
        anchor_names: Vec::new(),
        unresolved: 0,
        expanded: 0,
        documents: 0,
        is_too_deep: false,
    };
    let options = options! { emit_unresolved_aliases: true, emit_anchor_events: true };
    let mut is_complete = true;
    for next in Parser::new_from_str_with_options(&text.text, options) {
        let flow = match next {
            Ok((event, span)) => builder.on_event(event, &span),
            Err(error) => {
                builder.on_error(&error);
                Flow::Stop
            }
        };
        if flow == Flow::Stop {
            is_complete = false;
            break;
        }
    }
    Parsed { root: builder.root, is_complete }
}

#[derive(Debug, PartialEq, Eq)]
enum Flow {
    Go,
    Stop,
}

/// A collection that has begun.
#[derive(Debug)]
struct Open {
    node: NodeId,
    start: usize,
    is_flow: bool,
    kind: OpenKind,
}

#[derive(Debug)]
enum OpenKind {
    List(Vec<NodeId>),
    Map { entries: Vec<RawEntry>, key: Option<NodeId> },
}

struct Builder<'a> {
    file: FileId,
    text: &'a Text,
    out: &'a mut Diagnostics,
    tree: &'a mut Tree,
    root: Option<NodeId>,
    stack: Vec<Open>,
    anchors: HashMap<usize, NodeId>,
    anchor_spans: HashMap<usize, Span>,
    anchor_names: Vec<String>,
    unresolved: u32,
    expanded: u64,
    documents: u32,
    is_too_deep: bool,
}

impl Builder<'_> {
    fn on_event(&mut self, event: Event<'_>, at: &granit_parser::Span) -> Flow {
        let span = self.span(at);
        self.check_tag(&event, at);
        match event {
            Event::DocumentStart(..) => return self.on_document(span),
            Event::Alias(id) => return self.on_alias(id, span),
            Event::Anchor(id, name) => {
                self.anchor_spans.insert(id, span);
                self.anchor_names.push(name.into_owned());
            }
            Event::UnresolvedAlias(name) => return self.on_unresolved(&name, span),
            Event::Scalar(_, _, anchor, Some(_)) => {
                // Its tag was told; without it the text may mean something else.
                let node = self.add(span, Content::Poison, 1, 0);
                self.anchor(anchor, node);
                self.attach(node);
                return self.count(1, span);
            }
            Event::Scalar(text, style, anchor, None) => {
                return self.on_scalar(text.into_owned(), style, anchor, span);
            }
            Event::SequenceStart(style, anchor, _) => {
                return self.open(OpenKind::List(Vec::new()), style, anchor, span);
            }
            Event::MappingStart(style, anchor, _) => {
                return self.open(OpenKind::Map { entries: Vec::new(), key: None }, style, anchor, span);
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            _ => {}
        }
        Flow::Go
    }

    fn on_scalar(&mut self, text: String, style: ScalarStyle, anchor: usize, span: Span) -> Flow {
        let style = match style {
            ScalarStyle::Plain => Style::Plain,
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
            ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
        };
        // The parser gives `~` for a value that is not written.
        let text = if style == Style::Plain && span.start == span.end { String::new() } else { text };
        let span = if style == Style::Block { self.trimmed(span) } else { span };
        let inset = self.inset(span, &text);
        // A key and its value are one of the nodes that are counted.
        let is_key = matches!(self.stack.last(), Some(Open { kind: OpenKind::Map { key: None, .. }, .. }));
        let nodes = u64::from(!is_key);
        let node = self.add(span, Content::Scalar(Scalar { text, style, inset }), nodes, 0);
        self.anchor(anchor, node);
        self.attach(node);
        self.count(nodes, span)
    }

    fn on_document(&mut self, span: Span) -> Flow {
        self.documents += 1;
        if self.documents == 1 {
            return Flow::Go;
        }
        let help = "keep one document; a second file can be given with another `-f`";
        self.error(7, "the file holds several documents".to_owned(), span, "the second one begins here", help);
        Flow::Stop
    }

    fn on_alias(&mut self, anchor: usize, span: Span) -> Flow {
        let Some(&target) = self.anchors.get(&anchor) else {
            return Flow::Go;
        };
        if self.stack.iter().any(|open| open.node == target) {
            let mut diagnostic = Diagnostic::new(Code(7), Severity::Error, "an alias holds itself")
                .label(span, "this stands inside what it names")
                .help("take the alias out, or give the part that is meant an anchor of its own");
            if let Some(&definition) = self.anchor_spans.get(&anchor) {
                diagnostic = diagnostic.label(definition, "the anchor is defined here");
            }
            self.out.push(diagnostic);
            let node = self.add(span, Content::Poison, 1, 0);
            self.attach(node);
            return Flow::Go;
        }
        let (expanded, depth) = (self.tree.node(target).expanded, self.tree.node(target).depth);
        if self.count(expanded, span) == Flow::Stop || self.check_depth(depth, span) == Flow::Stop {
            return Flow::Stop;
        }
        let node = self.add(span, Content::Alias(target), expanded, depth);
        self.attach(node);
        Flow::Go
    }

    fn on_unresolved(&mut self, name: &str, span: Span) -> Flow {
        self.unresolved += 1;
        let names = self.anchor_names.iter().map(String::as_str);
        let near = if self.unresolved <= UNRESOLVED_MAX_GUESSES { nearest(name, names) } else { None };
        let help = match near {
            Some(near) => format!("did you mean `*{near}`?"),
            None => format!("define it above with `&{name}`, or put text that begins with `*` in quotes"),
        };
        self.error(1, format!("no anchor `{name}` is defined above"), span, "expected the name of an anchor", &help);
        let node = self.add(span, Content::Poison, 1, 0);
        self.attach(node);
        self.count(1, span)
    }

    fn on_error(&mut self, error: &granit_parser::ScanError) {
        let start = error.marker().byte_offset().unwrap_or(self.text.text.len()).min(self.text.text.len());
        let start = if is_about_tabs(error.kind()) { tab_near(&self.text.text, start) } else { start };
        let rest = &self.text.text[start..];
        let width = rest.chars().next().map_or(0, |character| if character == '\n' { 0 } else { character.len_utf8() });
        let span = self.offset(start, start + width);
        match syntax_error(error.kind(), rest) {
            SyntaxError::TooDeep => self.too_deep(span),
            // The forbidden character that was replaced is the mistake, and it was told.
            SyntaxError::At(_) if self.text.is_patched => {}
            SyntaxError::At(Words { message, label, help }) => {
                let mut diagnostic = Diagnostic::new(Code(1), Severity::Error, message).label(span, label);
                if let Some(help) = help {
                    diagnostic = diagnostic.help(help);
                }
                self.out.push(diagnostic);
            }
        }
    }

    fn check_tag(&mut self, event: &Event<'_>, at: &granit_parser::Span) {
        let Some(tag) = event.tag() else { return };
        let span = match at.tag_span() {
            Some(tag_span) => self.span(&tag_span),
            None => self.span(at),
        };
        let name = tag.original();
        let help = "take the tag out, or put text that begins with `!` in quotes";
        self.error(7, format!("the tag `{name}` is not allowed"), span, "tags are not used here", help);
    }

    fn open(&mut self, kind: OpenKind, style: StructureStyle, anchor: usize, span: Span) -> Flow {
        let node = self.add(span, Content::Poison, 1, 1);
        self.anchor(anchor, node);
        self.stack.push(Open { node, start: span.start, is_flow: style == StructureStyle::Flow, kind });
        if self.count(1, span) == Flow::Stop {
            return Flow::Stop;
        }
        self.check_depth(0, span)
    }

    fn close(&mut self, end: Span) {
        let Some(open) = self.stack.pop() else { return };
        let span = if open.is_flow {
            Span { file: self.file, start: open.start, end: end.end }
        } else {
            self.first_line(open.start)
        };
        let children: Vec<NodeId> = match &open.kind {
            OpenKind::List(items) => items.clone(),
            OpenKind::Map { entries, .. } => entries.iter().flat_map(|entry| [entry.key, entry.value]).collect(),
        };
        let expanded = children.iter().fold(1u64, |sum, id| sum.saturating_add(self.tree.node(*id).expanded));
        let depth = 1 + children.iter().map(|id| self.tree.node(*id).depth).max().unwrap_or(0);
        let content = match open.kind {
            OpenKind::List(items) => Content::List(items),
            OpenKind::Map { entries, .. } => {
                Content::Map(build_map(self.tree, self.text, &entries, open.is_flow, self.out))
            }
        };
        self.tree.nodes[open.node.0 as usize] = Node { span, content, expanded, depth };
        self.attach(open.node);
    }

    /// Puts a finished node where the innermost open collection expects one.
    fn attach(&mut self, node: NodeId) {
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Open { kind: OpenKind::List(items), .. }) => items.push(node),
            Some(Open { kind: OpenKind::Map { entries, key }, .. }) => match key.take() {
                None => *key = Some(node),
                Some(key) => entries.push(RawEntry { key, value: node }),
            },
        }
    }

    fn add(&mut self, span: Span, content: Content, expanded: u64, depth: u32) -> NodeId {
        self.tree.add(span, content, expanded, depth)
    }

    fn anchor(&mut self, anchor: usize, node: NodeId) {
        if anchor != 0 {
            self.anchors.insert(anchor, node);
        }
    }

    fn count(&mut self, nodes: u64, span: Span) -> Flow {
        self.expanded = self.expanded.saturating_add(nodes);
        if self.expanded <= EXPANDED_MAX {
            return Flow::Go;
        }
        let (message, help) = if self.anchors.is_empty() {
            ("the file has more than 100,000 values", "make several projects of it")
        } else {
            let message = "the file has more than 100,000 values once its aliases are expanded";
            (message, "aliases count as often as they are used")
        };
        self.error(7, message.to_owned(), span, "the limit is passed here", help);
        self.root = None;
        Flow::Stop
    }

    fn check_depth(&mut self, below: u32, span: Span) -> Flow {
        let open = u32::try_from(self.stack.len()).unwrap_or(u32::MAX);
        if open.saturating_add(below) <= DEPTH_MAX {
            return Flow::Go;
        }
        self.too_deep(span);
        Flow::Stop
    }

    fn too_deep(&mut self, span: Span) {
        if !std::mem::replace(&mut self.is_too_deep, true) {
            let message = "lists and maps are nested more than 64 deep".to_owned();
            self.error(7, message, span, "the limit is passed here", "no smolvm file needs more than ten levels");
        }
        self.root = None;
    }

    fn error(&mut self, code: u16, message: String, span: Span, label: &str, help: &str) {
        self.out.push(Diagnostic::new(Code(code), Severity::Error, message).label(span, label).help(help));
    }

    fn span(&self, at: &granit_parser::Span) -> Span {
        let end_of_text = self.text.text.len();
        let start = at.start.byte_offset().unwrap_or(end_of_text).min(end_of_text);
        let end = at.end.byte_offset().unwrap_or(start).clamp(start, end_of_text);
        self.offset(start, end)
    }

    /// Bytes of the span before the text, where the text stands in it as it is.
    fn inset(&self, span: Span, text: &str) -> Option<usize> {
        let written = &self.text.text[span.start - self.text.offset..span.end - self.text.offset];
        let inset = usize::from(written.len() != text.len());
        (written.len() == text.len() + 2 * inset && written.get(inset..inset + text.len()) == Some(text))
            .then_some(inset)
    }

    fn offset(&self, start: usize, end: usize) -> Span {
        Span { file: self.file, start: start + self.text.offset, end: end + self.text.offset }
    }

    /// From a place to the end of its line, without the white space there.
    fn first_line(&self, start: usize) -> Span {
        let from = start.saturating_sub(self.text.offset);
        let line = self.text.text[from..].split('\n').next().unwrap_or_default();
        self.offset(from, from + line.trim_end().len())
    }

    /// Without the white space at its end.
    fn trimmed(&self, span: Span) -> Span {
        let (start, end) = (span.start - self.text.offset, span.end - self.text.offset);
        let length = self.text.text[start..end].trim_end().len();
        self.offset(start, start + length)
    }
}

/// The tab that is meant: at a place, before it on its line, or the next one that indents a line. The parser stops
/// behind a tab, or where the text began that a tab indents.
fn tab_near(text: &str, place: usize) -> usize {
    if text[place..].starts_with('\t') {
        return place;
    }
    let line = text[..place].rfind('\n').map_or(0, |end| end + 1);
    if let Some(at) = text[line..place].rfind('\t') {
        return line + at;
    }
    let mut start = place;
    for line in text[place..].split_inclusive('\n') {
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        if let Some(at) = line[..indent].find('\t').filter(|_| start > place) {
            return start + at;
        }
        start += line.len();
    }
    place
}
