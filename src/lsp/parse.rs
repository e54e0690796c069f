//! From a text to the nodes of its outline. Each line is looked at a few times at most, and nothing fails.

use std::ops::Range;

use super::outline::{Entry, Kind, Node, NodeId, Word};
use super::scan;

/// Collections within one another; what is deeper is taken as text.
const DEPTH_MAX: usize = 64;

/// The nodes of a text, and its root.
pub(super) fn parse(text: &str) -> (Vec<Node>, NodeId) {
    let mut parser = Parser { text, lines: scan::lines(text), line: 0, nodes: Vec::new(), depth: 0 };
    let mut root = parser.nested(-1, 0, false);
    while parser.line < parser.lines.len() {
        // What follows the root at a place that fits nothing.
        let from = parser.line;
        let more = parser.nested(-1, 0, false);
        parser.line = parser.line.max(from + 1);
        if matches!(parser.nodes[root].kind, Kind::Empty) {
            root = more;
        }
    }
    (parser.nodes, root)
}

struct Parser<'t> {
    text: &'t str,
    lines: Vec<scan::Line>,
    /// The line that is read next.
    line: usize,
    nodes: Vec<Node>,
    depth: usize,
}

impl Parser<'_> {
    fn add(&mut self, kind: Kind, span: Range<usize>) -> NodeId {
        let id = self.nodes.len();
        let children: Vec<NodeId> = match &kind {
            Kind::List(items) => items.clone(),
            Kind::Map(entries) => entries.iter().map(|entry| entry.value).collect(),
            _ => Vec::new(),
        };
        for (place, child) in children.into_iter().enumerate() {
            self.nodes[child].parent = Some((id, place));
        }
        self.nodes.push(Node { kind, span, parent: None, anchor: None });
        id
    }

    fn scalar(&mut self, span: Range<usize>, inner: Range<usize>, is_block: bool) -> NodeId {
        let text = self.text[inner.clone()].to_owned();
        self.add(Kind::Scalar { text, inner, is_block }, span)
    }

    /// The next line that says something.
    fn next_line(&mut self) -> Option<scan::Line> {
        while let Some(line) = self.lines.get(self.line) {
            if !line.is_blank(self.text) {
                return Some(line.clone());
            }
            self.line += 1;
        }
        None
    }

    /// What stands below a key or dash at column `parent`; a list may begin in the column of its key.
    fn nested(&mut self, parent: isize, empty_at: usize, is_entry: bool) -> NodeId {
        match self.next_line() {
            Some(line) if line.column() > parent => self.block(parent),
            Some(line) if is_entry && line.column() == parent && line.is_dash(self.text) => self.list(line.indent),
            _ => self.add(Kind::Empty, empty_at..empty_at),
        }
    }

    /// What begins at the current line, below column `parent`.
    fn block(&mut self, parent: isize) -> NodeId {
        let line = self.lines[self.line].clone();
        let content = &self.text[line.start..line.end];
        if self.depth >= DEPTH_MAX {
            self.line += 1;
            return self.scalar(line.start..line.end, line.start..line.end, false);
        }
        self.depth += 1;
        let is_map = scan::key(content).is_some()
            || (!content.starts_with(['&', '*', '!', '{', '[', '"', '\'']) && self.is_key_next(line.indent));
        let id = if line.is_dash(self.text) {
            self.list(line.indent)
        } else if is_map {
            self.map(line.indent, parent)
        } else {
            self.inline(line.start, parent, false)
        };
        self.depth -= 1;
        id
    }

    /// Whether the line after this one is a key in the same column.
    fn is_key_next(&self, indent: usize) -> bool {
        let next = self.lines[self.line + 1..].iter().find(|line| !line.is_blank(self.text));
        next.is_some_and(|line| line.indent == indent && scan::key(&self.text[line.start..line.end]).is_some())
    }

    fn list(&mut self, indent: usize) -> NodeId {
        let start = self.lines[self.line].start;
        let mut items = Vec::new();
        let mut end = start;
        while let Some(line) = self.next_line() {
            if line.indent < indent || (line.indent == indent && !line.is_dash(self.text)) {
                break;
            }
            if line.indent > indent {
                self.line += 1;
                continue;
            }
            let rest = &self.text[line.start + 1..line.end];
            let at = line.start + 1 + (rest.len() - rest.trim_start().len());
            let column = isize::try_from(indent).unwrap_or(isize::MAX);
            let item = if at >= line.end || self.text[at..].starts_with('#') {
                self.line += 1;
                self.nested(column, (line.start + 2).min(line.end), false)
            } else {
                // What follows the dash stands as if on a line of its own.
                let current = &mut self.lines[self.line];
                current.indent = indent + (at - line.start);
                current.start = at;
                self.block(column)
            };
            end = end.max(self.nodes[item].span.end).max(line.start + 1);
            items.push(item);
        }
        self.add(Kind::List(items), start..end)
    }

    fn map(&mut self, indent: usize, parent: isize) -> NodeId {
        let start = self.lines[self.line].start;
        let mut entries = Vec::new();
        let mut end = start;
        while let Some(line) = self.next_line() {
            if line.column() <= parent {
                break;
            }
            let content = &self.text[line.start..line.end];
            if line.indent > indent || line.is_dash(self.text) {
                // It goes on with a text, or fits nowhere.
                self.line += 1;
                continue;
            }
            let entry = match scan::key(content) {
                Some(found) => {
                    let span = line.start + found.span.start..line.start + found.span.end;
                    let key = Word { text: self.text[span.clone()].to_owned(), span };
                    let rest = &self.text[line.start + found.after..line.end];
                    let at = line.start + found.after + (rest.len() - rest.trim_start().len());
                    let value = self.inline(at.min(line.end), line.column(), true);
                    Entry { key, has_colon: true, value }
                }
                None => {
                    let span = line.start..line.start + scan::without_comment(content).len();
                    self.line += 1;
                    let value = self.add(Kind::Empty, span.end..span.end);
                    Entry { key: Word { text: self.text[span.clone()].to_owned(), span }, has_colon: false, value }
                }
            };
            end = end.max(entry.key.span.end).max(self.nodes[entry.value].span.end);
            entries.push(entry);
        }
        self.add(Kind::Map(entries), start..end)
    }

    /// The value that begins on the current line at an offset, of a key or dash at column `parent`.
    fn inline(&mut self, at: usize, parent: isize, is_entry: bool) -> NodeId {
        let end = self.lines[self.line].end;
        let (at, anchor) = scan::properties(self.text, at, end);
        let rest = &self.text[at..end];
        let id = match rest.bytes().next() {
            None | Some(b'#') => {
                self.line += 1;
                self.nested(parent, at, is_entry)
            }
            Some(b'|' | b'>') => self.block_scalar(at, parent),
            Some(b'{' | b'[') => {
                let (id, end) = self.flow(at, parent);
                self.line = self.lines.partition_point(|line| line.raw_start < end).max(self.line + 1);
                id
            }
            Some(b'"' | b'\'') => {
                let (inner, end) = scan::quoted(self.text, at, end, parent);
                self.line = self.lines.partition_point(|line| line.raw_start < end).max(self.line + 1);
                self.scalar(at..end, inner, false)
            }
            Some(b'*') => {
                self.line += 1;
                self.alias(at, at + scan::without_comment(rest).len())
            }
            Some(_) => {
                let span = at..at + scan::without_comment(rest).len();
                self.line += 1;
                self.scalar(span.clone(), span, false)
            }
        };
        if anchor.is_some() {
            self.nodes[id].anchor = anchor;
        }
        id
    }

    fn alias(&mut self, start: usize, end: usize) -> NodeId {
        let name = Word { text: self.text[start + 1..end].to_owned(), span: start + 1..end };
        self.add(Kind::Alias(name), start..end)
    }

    fn block_scalar(&mut self, at: usize, parent: isize) -> NodeId {
        let mut end = self.lines[self.line].end;
        self.line += 1;
        while let Some(line) = self.lines.get(self.line) {
            if line.start < line.end && line.column() <= parent {
                break;
            }
            if line.start < line.end {
                end = line.end;
            }
            self.line += 1;
        }
        self.scalar(at..end, at..end, true)
    }

    /// A collection in brackets, and where it ends. One that nothing closes ends before the first line that is not
    /// deeper than what holds it.
    fn flow(&mut self, start: usize, parent: isize) -> (NodeId, usize) {
        let is_map = self.text[start..].starts_with('{');
        let (mut entries, mut items) = (Vec::new(), Vec::new());
        let mut at = start + 1;
        self.depth += 1;
        while let Some(next) = scan::skip_space(self.text, at, parent) {
            at = next;
            match self.text.as_bytes()[at] {
                b'}' | b']' => {
                    at += 1;
                    break;
                }
                b',' => at += 1,
                _ if is_map => {
                    let (entry, end) = self.flow_entry(at, parent);
                    entries.push(entry);
                    at = end;
                }
                _ => {
                    let (item, end) = self.flow_value(at, parent);
                    items.push(item);
                    at = end;
                }
            }
        }
        self.depth -= 1;
        let kind = if is_map { Kind::Map(entries) } else { Kind::List(items) };
        (self.add(kind, start..at), at)
    }

    fn flow_entry(&mut self, at: usize, parent: isize) -> (Entry, usize) {
        let (inner, end) = scan::flow_word(self.text, at);
        let key = Word { text: self.text[inner.clone()].to_owned(), span: inner };
        let colon = scan::skip_space(self.text, end, parent).filter(|colon| self.text[*colon..].starts_with(':'));
        let Some(colon) = colon else {
            let value = self.add(Kind::Empty, end..end);
            return (Entry { key, has_colon: false, value }, end);
        };
        let (value, end) = match scan::skip_space(self.text, colon + 1, parent) {
            Some(at) if !self.text[at..].starts_with([',', '}', ']']) => self.flow_value(at, parent),
            _ => (self.add(Kind::Empty, colon + 1..colon + 1), colon + 1),
        };
        (Entry { key, has_colon: true, value }, end)
    }

    fn flow_value(&mut self, at: usize, parent: isize) -> (NodeId, usize) {
        let (at, anchor) = scan::properties(self.text, at, self.text.len());
        let (id, end) = match self.text.as_bytes().get(at) {
            Some(b'{' | b'[') if self.depth < DEPTH_MAX => self.flow(at, parent),
            Some(b'*') => {
                let (inner, end) = scan::flow_word(self.text, at);
                (self.alias(inner.start, inner.end.max(inner.start + 1)), end.max(at + 1))
            }
            Some(_) => {
                let (inner, end) = scan::flow_word(self.text, at);
                (self.scalar(at..end, inner, false), end)
            }
            None => (self.add(Kind::Empty, at..at), at),
        };
        if anchor.is_some() {
            self.nodes[id].anchor = anchor;
        }
        (id, end)
    }
}
