//! The entries of a map: keys that must be text, duplicates (0002), and what merge keys (`<<`) bring.

use std::collections::HashMap;

use super::layout::entry_removal;
use super::text::Text;
use super::tree::{Content, Entry, Map, NodeId, Style, Tree};
use crate::diag::{Code, Diagnostic, Diagnostics, Edit, Severity, Span};

/// A key and a value as the parser gave them.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawEntry {
    pub(super) key: NodeId,
    pub(super) value: NodeId,
}

/// Resolves a map: its own entries in order, then those that `<<` brings and it does not have.
pub(super) fn build_map(tree: &Tree, text: &Text, raw: &[RawEntry], is_flow: bool, out: &mut Diagnostics) -> Map {
    let mut own: Vec<Entry> = Vec::with_capacity(raw.len());
    let mut mistakes = Vec::new();
    let mut known: HashMap<String, Known> = HashMap::new();
    let mut merge: Option<NodeId> = None;
    let mut is_incomplete = false;
    for entry in raw {
        let key_span = tree.node(entry.key).span;
        let Some((key, is_plain)) = key_text(tree, entry.key, &mut mistakes) else {
            is_incomplete = true;
            continue;
        };
        if let Some(&first) = known.get(&key) {
            let diagnostic = Diagnostic::new(Code(2), Severity::Error, format!("the key `{key}` is given twice"))
                .label(key_span, "this one comes second")
                .label(first.key_span, "the first one is here")
                .help(duplicate_help(&key));
            out.push(match repeat((tree, text), &first, key_span, entry.value, is_flow) {
                Some(edit) => diagnostic.fix(true, vec![edit]),
                None => diagnostic,
            });
            // A line that stands twice leaves the first one empty: that it is, only follows.
            if let Some(first) = first.index.map(|index| &mut own[index]).filter(|first| is_empty(tree, first.value)) {
                first.value = entry.value;
            }
            continue;
        }
        let is_merge = key == "<<" && is_plain;
        let value = Some(entry.value);
        known.insert(key.clone(), Known { key_span, value, index: (!is_merge).then_some(own.len()) });
        if is_merge {
            merge = Some(entry.value);
        } else {
            own.push(Entry { key, key_span, value: entry.value, via: None, earlier: Vec::new() });
        }
    }
    if let Some(value) = merge {
        let merged = merged_map(tree, value);
        is_incomplete |= merged.is_incomplete;
        mistakes.extend(merged.mistakes);
        for entry in merged.entries {
            if let std::collections::hash_map::Entry::Vacant(vacant) = known.entry(entry.key.clone()) {
                vacant.insert(Known { key_span: entry.key_span, value: None, index: None });
                own.push(entry);
            }
        }
    }
    Map { entries: own, mistakes, is_incomplete }
}

/// A key that was met.
#[derive(Debug, Clone, Copy)]
struct Known {
    key_span: Span,
    /// What it holds, if it is the map's own.
    value: Option<NodeId>,
    /// Its number among the map's own entries, if it is one.
    index: Option<usize>,
}

/// The edit that takes a second entry out which says the same as the first, byte for byte.
fn repeat((tree, text): (&Tree, &Text), first: &Known, key_span: Span, value: NodeId, is_flow: bool) -> Option<Edit> {
    let (one, other) = (written(tree, text, first.value?)?, written(tree, text, value)?);
    let end = tree.node(value).span.end;
    let part = key_span.start.checked_sub(text.offset)?..end.checked_sub(text.offset)?;
    let removed = entry_removal(text.text.as_bytes(), part, is_flow).filter(|_| one == other && !text.is_patched)?;
    let span = Span { start: removed.start + text.offset, end: removed.end + text.offset, ..key_span };
    Some(Edit { span, text: String::new() })
}

/// What is written for a node, where its span holds all of it.
fn written<'t>(tree: &Tree, text: &'t Text, id: NodeId) -> Option<&'t str> {
    let node = tree.node(id);
    let written = text.text.get(node.span.start.checked_sub(text.offset)?..node.span.end.checked_sub(text.offset)?)?;
    let is_whole = match &node.content {
        Content::Scalar(scalar) => scalar.style != Style::Block,
        Content::List(_) | Content::Map(_) => written.starts_with(['[', '{']),
        Content::Alias(_) => true,
        Content::Poison => false,
    };
    (is_whole && !written.is_empty()).then_some(written)
}

fn is_empty(tree: &Tree, value: NodeId) -> bool {
    matches!(&tree.node(tree.resolve(value).0).content, Content::Scalar(scalar) if scalar.text.is_empty())
}

fn duplicate_help(key: &str) -> String {
    if key == "<<" {
        return "give both maps in one list: `<<: [*first, *second]`; the first one wins".to_owned();
    }
    "keep one of them".to_owned()
}

fn key_text(tree: &Tree, id: NodeId, out: &mut Vec<Diagnostic>) -> Option<(String, bool)> {
    let (resolved, _) = tree.resolve(id);
    let what = match &tree.node(resolved).content {
        Content::Scalar(scalar) if !(scalar.is_plain() && scalar.text.is_empty()) => {
            return Some((scalar.text.clone(), scalar.is_plain()));
        }
        Content::Scalar(_) => "empty",
        Content::List(_) => "a list",
        Content::Map(_) => "a map",
        Content::Alias(_) | Content::Poison => return None,
    };
    out.push(
        Diagnostic::new(Code(4), Severity::Error, "a key must be text")
            .label(tree.node(id).span, format!("this key is {what}"))
            .help("write a name before the `:`; put text that begins with `{` or `[` in quotes"),
    );
    None
}

/// What `<<` brings, in the order in which the first one wins.
fn merged_map(tree: &Tree, value: NodeId) -> Map {
    let (id, via) = tree.resolve(value);
    let sources: Vec<(NodeId, Option<Span>)> = match &tree.node(id).content {
        Content::List(items) => items
            .iter()
            .map(|item| {
                let (id, item_via) = tree.resolve(*item);
                (id, via.or(item_via))
            })
            .collect(),
        _ => vec![(id, via)],
    };
    let mut merged = Map::default();
    for (id, via) in sources {
        match &tree.node(id).content {
            Content::Map(map) => {
                merged.is_incomplete |= map.is_incomplete;
                merged.mistakes.extend(map.mistakes.iter().cloned());
                let entries = map.entries.iter().cloned();
                merged.entries.extend(entries.map(|entry| Entry { via: via.or(entry.via), ..entry }));
            }
            Content::Poison | Content::Alias(_) => merged.is_incomplete = true,
            Content::Scalar(_) | Content::List(_) => {
                merged.is_incomplete = true;
                merged.mistakes.push(
                    Diagnostic::new(Code(4), Severity::Error, "`<<` takes a map, or a list of maps")
                        .label(via.unwrap_or(tree.node(id).span), "this is neither")
                        .help("define the map with an anchor, `x-common: &common { … }`, and write `<<: *common`"),
                );
            }
        }
    }
    merged
}
