//! What a place of a file means: keys, names, variables, sizes and durations, and the rules that remarks there name.

use std::ops::Range;

use super::names::{self, Meaning, NameKind};
use super::outline::{At, NodeId, Outline};
use super::shape;
use super::variables::{self, Known};
use crate::config;

/// Text in Markdown, and what it is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hover {
    pub(super) markdown: String,
    pub(super) span: Range<usize>,
}

/// What stands at an offset. `declared` tells what a name is, `known` what a variable is.
pub(super) fn hover(
    text: &str,
    outline: &Outline,
    offset: usize,
    declared: &dyn Fn(NameKind, &str) -> Option<String>,
    known: &dyn Fn(&str) -> Option<Known>,
) -> Option<Hover> {
    match outline.at(offset)? {
        At::Key(map, place) => key(outline, map, place, declared),
        At::Anchor(node) => {
            let anchor = outline.nodes[node].anchor.as_ref()?;
            Some(Hover { markdown: format!("anchor `{}`", anchor.text), span: anchor.span.clone() })
        }
        At::Value(node) => variable(text, outline, node, offset, known)
            .or_else(|| name(outline, node, offset, declared))
            .or_else(|| scalar(outline, node)),
    }
}

fn key(
    outline: &Outline,
    map: NodeId,
    place: usize,
    declared: &dyn Fn(NameKind, &str) -> Option<String>,
) -> Option<Hover> {
    let entry = outline.entries(map).get(place)?;
    let span = entry.key.span.clone();
    let occurrence = names::occurrences(outline).into_iter().find(|one| one.span == span);
    if let Some(occurrence) = occurrence {
        return Some(Hover { markdown: declared(occurrence.kind, &occurrence.name)?, span });
    }
    let (path, nodes) = shape::seen(outline, map);
    let name = entry.key.text.as_str();
    let shapes = shape::fitting(shape::at(outline, &path, &nodes), &shape::siblings(outline, map), Some(name));
    let values = shape::value_of(&shapes, name);
    let markdown = format!("**{name}**\n\n{}", shape::describe(&values)?);
    Some(Hover { markdown, span })
}

fn variable(
    text: &str,
    outline: &Outline,
    node: NodeId,
    offset: usize,
    known: &dyn Fn(&str) -> Option<Known>,
) -> Option<Hover> {
    if names::meaning_of(outline, node) == Meaning::Command || shape::is_block(outline, node) {
        return None;
    }
    let span = variables::at(text, &outline.nodes[node].span, offset)?;
    let name = &text[span.clone()];
    let markdown = match known(name) {
        Some(found) => format!("variable `{name}`: {}\n\n{}", found.shown(name), found.origin),
        None => format!("variable `{name}`: not set\n\nneither in the environment nor in `.env`"),
    };
    Some(Hover { markdown, span })
}

fn name(
    outline: &Outline,
    node: NodeId,
    offset: usize,
    declared: &dyn Fn(NameKind, &str) -> Option<String>,
) -> Option<Hover> {
    let node_span = &outline.nodes[node].span;
    let is_here = |span: &Range<usize>| {
        span.start <= offset && offset <= span.end && node_span.start <= span.start && span.end <= node_span.end
    };
    let found = names::occurrences(outline).into_iter().find(|one| is_here(&one.span))?;
    if found.kind == NameKind::Anchor {
        let target = outline.anchored(&found.name, found.span.start)?;
        let summary = names::summary(outline, NameKind::Machine, target);
        return Some(Hover { markdown: format!("anchor `{}`\n\n{summary}", found.name), span: found.span });
    }
    Some(Hover { markdown: declared(found.kind, &found.name)?, span: found.span })
}

/// What a size or a duration comes to, and what the value is for.
fn scalar(outline: &Outline, node: NodeId) -> Option<Hover> {
    let text = outline.text(node)?;
    let (path, nodes) = shape::seen(outline, node);
    let shapes = shape::at(outline, &path, &nodes);
    let is_of = |names: &[&str]| shapes.iter().any(|shape| shape.is_one_of(names));
    let exact = if is_of(&["Size", "Workspace"]) {
        config::exact_size(text)
    } else if is_of(&["Duration"]) {
        config::exact_duration(text)
    } else {
        None
    };
    let meaning = shape::describe(&shapes)?;
    let markdown = match exact {
        Some(exact) => format!("`{text}` is {exact}\n\n{meaning}"),
        None => meaning,
    };
    Some(Hover { markdown, span: outline.nodes[node].span.clone() })
}
