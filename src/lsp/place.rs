//! Where the cursor is in a text that is being written: a word is put there, and found again in the outline.

use super::outline::{Kind, NodeId, Outline, Step};
use super::shape;

/// The word. No text has it: it is for private use, and one that has it is not completed.
pub(super) const MARKER: char = '\u{F8F5}';

/// The place of the cursor.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) outline: Outline,
    /// The map whose key, or the value that is written.
    pub(super) node: NodeId,
    /// What is written.
    pub(super) what: What,
    /// What stands before the cursor in that word.
    pub(super) before: String,
    /// What stands behind it.
    pub(super) after: String,
    /// Whether it is in brackets.
    pub(super) is_flow: bool,
    /// Whether nothing but spaces and dashes stands before the word on its line.
    pub(super) is_alone: bool,
    /// Whether it is in quotes.
    pub(super) is_quoted: bool,
}

/// What is written at the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A key; whether a colon follows.
    Key { has_colon: bool },
    /// A value.
    Value,
}

impl Place {
    /// The place of an offset; none in comments and below `|`.
    pub(super) fn find(text: &str, offset: usize) -> Option<Self> {
        if text.contains(MARKER) || is_comment(text, offset) {
            return None;
        }
        let mut marked = String::with_capacity(text.len() + MARKER.len_utf8());
        marked.push_str(&text[..offset]);
        marked.push(MARKER);
        marked.push_str(&text[offset..]);
        let outline = Outline::new(&marked);
        let (node, what, word, start) = outline.nodes.iter().enumerate().find_map(|(id, node)| match &node.kind {
            Kind::Map(entries) => entries.iter().find(|entry| entry.key.text.contains(MARKER)).map(|entry| {
                (id, What::Key { has_colon: entry.has_colon }, entry.key.text.clone(), entry.key.span.start)
            }),
            Kind::Scalar { text, inner, is_block: false } if text.contains(MARKER) => {
                Some((id, What::Value, text.clone(), inner.start))
            }
            Kind::Alias(name) if name.text.contains(MARKER) => {
                Some((id, What::Value, name.text.clone(), name.span.start))
            }
            _ => None,
        })?;
        let (before, after) = word.split_once(MARKER)?;
        let line_start = text[..offset].rfind('\n').map_or(0, |at| at + 1);
        let way = shape::way(&outline, node);
        let is_bracket = |id: &NodeId| {
            let node = &outline.nodes[*id];
            matches!(node.kind, Kind::Map(_) | Kind::List(_)) && marked[node.span.start..].starts_with(['{', '['])
        };
        let lead = &marked[line_start.min(start)..start];
        Some(Self {
            before: before.to_owned(),
            after: after.to_owned(),
            is_flow: way.iter().any(is_bracket),
            is_alone: lead.chars().all(|c| matches!(c, ' ' | '-' | '\u{feff}')),
            is_quoted: lead.ends_with(['"', '\'']),
            node,
            what,
            outline,
        })
    }

    /// The way to the value at the cursor, or to the map of the key, as the language sees it.
    pub(super) fn path(&self) -> (Vec<Step>, Vec<NodeId>) {
        shape::seen(&self.outline, self.node)
    }
}

fn is_comment(text: &str, offset: usize) -> bool {
    let line_start = text[..offset].rfind('\n').map_or(0, |at| at + 1);
    let line = &text[line_start..offset];
    line.trim_start().starts_with('#') || (line.contains(" #") && !line.contains(['"', '\'']))
}
