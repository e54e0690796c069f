//! Several files become one: their trees are joined, each value with the place of the file that says it.
//!
//! ```text
//! map + map      key by key        `run`, `command`, `steps`, `matrix` …   the later one
//! list + list    one after the other   `mounts`                            by target, in `merge_mounts`
//! ```
//!
//! A value of a wrong type is kept aside as a [`Stray`]: `lower` tells of it in the words that it has for the type.
//! What a later file overrides is not read, as what stands below `x-` is not.

use std::collections::HashMap;

use super::interpolate::Variables;
use super::merge_mounts::merge_mounts;
use super::tree::{Content, Entry, Map, NodeId, Scalar, Stray, Style, Tree};
use crate::diag::Span;

/// How values of one place are joined.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// The later one counts.
    Last,
    /// One after the other.
    List,
    /// By target.
    Mounts,
    /// Key by key; keys that are not named here are [`Form::Last`].
    Keys(&'static [(&'static str, Form)]),
    /// Key by key, names of the user.
    Names(&'static Form),
    /// As `Keys`, and null says nothing.
    Optional(&'static [(&'static str, Form)]),
    /// A list of names, or a map by name.
    Dependencies,
    /// A word, or a map.
    Network,
}

const FILE: Form = Form::Keys(&[
    ("env", Form::Names(&Form::Last)),
    ("env_file", Form::List),
    ("machines", Form::Names(&MACHINE)),
    ("volumes", Form::Names(&Form::Optional(&[]))),
]);

const MACHINE: Form = Form::Optional(&[
    ("env", Form::Names(&Form::Last)),
    ("env_file", Form::List),
    ("mounts", Form::Mounts),
    ("ports", Form::List),
    ("links", Form::List),
    ("profiles", Form::List),
    ("depends_on", Form::Dependencies),
    ("healthcheck", Form::Keys(&[])),
    ("network", Form::Network),
]);

/// A value of one file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side {
    /// As the file has it, aliases not followed.
    node: NodeId,
    /// What holds it, where nothing is written.
    holder: Span,
    /// The alias through which its file has it, beside its own.
    via: Option<Span>,
}

/// Joins the roots of files in the order in which they count. With `is_partial` a file is missing among them: every map
/// and list of mounts may hold more.
pub(super) fn merge(tree: &mut Tree, roots: &[NodeId], variables: &dyn Variables, is_partial: bool) -> Option<NodeId> {
    let sides: Vec<Side> =
        roots.iter().map(|node| Side { node: *node, holder: tree.node(*node).span, via: None }).collect();
    let mut merger = Merger { tree, variables, is_partial };
    (!sides.is_empty()).then(|| merger.merge(&sides, FILE))
}

struct Merger<'a> {
    tree: &'a mut Tree,
    variables: &'a dyn Variables,
    is_partial: bool,
}

impl Merger<'_> {
    fn merge(&mut self, sides: &[Side], form: Form) -> NodeId {
        let last = sides[sides.len() - 1].node;
        if sides.len() == 1 && !self.is_partial {
            return last;
        }
        match form {
            Form::Last => last,
            Form::List | Form::Mounts => self.merge_lists(sides, matches!(form, Form::Mounts)),
            Form::Keys(keys) => self.merge_maps(sides, |key| form_of(keys, key)),
            Form::Names(form) => self.merge_maps(sides, |_| *form),
            Form::Optional(keys) => {
                let sides: Vec<Side> = sides.iter().copied().filter(|side| !self.is_null(side)).collect();
                match sides.as_slice() {
                    [] if self.is_partial => self.add_map(self.tree.node(last).span, Vec::new(), Vec::new(), true),
                    [] => last,
                    sides => self.merge_maps(sides, |key| form_of(keys, key)),
                }
            }
            Form::Dependencies => self.merge_dependencies(sides),
            Form::Network => {
                let maps = sides.iter().rev().take_while(|side| self.is_map(side)).count();
                if maps == 0 {
                    return last;
                }
                self.merge_maps(&sides[sides.len() - maps..], |key| form_of(&[("allow", Form::List)], key))
            }
        }
    }

    fn merge_maps(&mut self, sides: &[Side], form: impl Fn(&str) -> Form) -> NodeId {
        let Some(model) = sides.iter().rev().find(|side| self.is_map(side)).copied() else {
            return sides[sides.len() - 1].node;
        };
        let span = self.span(&model);
        let mut joined: Vec<(Entry, Vec<Side>)> = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        let (mut mistakes, mut strays) = (Vec::new(), Vec::new());
        let mut is_incomplete = self.is_partial;
        for side in sides {
            let (id, via) = self.resolve(side);
            let Content::Map(map) = &self.tree.node(id).content else {
                is_incomplete = true;
                strays.push(Stray { node: side.node, holder: side.holder, via: side.via, other: span });
                continue;
            };
            is_incomplete |= map.is_incomplete;
            mistakes.extend(map.mistakes.iter().cloned());
            for entry in &map.entries {
                let via = via.or(entry.via);
                let side = Side { node: entry.value, holder: entry.key_span, via };
                if let Some(index) = known.get(&entry.key) {
                    let (joined, sides) = &mut joined[*index];
                    joined.earlier.push(joined.key_span);
                    joined.earlier.extend(&entry.earlier);
                    (joined.key_span, joined.via) = (entry.key_span, via);
                    sides.push(side);
                } else {
                    known.insert(entry.key.clone(), joined.len());
                    joined.push((Entry { via, ..entry.clone() }, vec![side]));
                }
            }
        }
        let entries: Vec<Entry> = joined
            .into_iter()
            .map(|(entry, sides)| {
                // Keys that begin with `x-` are ignored, each file's own.
                let form = if entry.key.starts_with("x-") { Form::Last } else { form(&entry.key) };
                let made = self.tree.nodes.len();
                let value = self.merge(&sides, form);
                // In a joined value each part knows the alias through which it came.
                let via = entry.via.filter(|_| (value.0 as usize) < made);
                Entry { value, via, ..entry }
            })
            .collect();
        let node = self.add_map(span, entries, mistakes, is_incomplete);
        self.keep_strays(node, strays);
        node
    }

    fn merge_lists(&mut self, sides: &[Side], is_by_target: bool) -> NodeId {
        let is_list = |side: &&Side| matches!(self.tree.node(self.resolve(side).0).content, Content::List(_));
        let Some(model) = sides.iter().rev().find(is_list).copied() else { return sides[sides.len() - 1].node };
        let span = self.span(&model);
        let (mut lists, mut strays) = (Vec::new(), Vec::new());
        let mut is_partial = self.is_partial && is_by_target;
        for side in sides {
            let (id, via) = self.resolve(side);
            match &self.tree.node(id).content {
                Content::List(items) => {
                    let items = items.clone();
                    lists.push(items.into_iter().map(|item| self.through(item, via)).collect());
                    continue;
                }
                // As `lower` reads it: its only item.
                Content::Scalar(_) if !self.is_null(side) => lists.push(vec![side.node]),
                _ => is_partial = true,
            }
            strays.push(Stray { node: side.node, holder: side.holder, via: side.via, other: span });
        }
        let mut items = if is_by_target { merge_mounts(self.tree, self.variables, lists) } else { lists.concat() };
        if is_partial {
            items.push(self.tree.add(span, Content::Poison, 1, 0));
        }
        let node = self.tree.add(span, Content::List(items), 1, 1);
        self.keep_strays(node, strays);
        node
    }

    /// Where a file has a map, a list is one too, with nothing said of each name. What is listed twice counts once.
    fn merge_dependencies(&mut self, sides: &[Side]) -> NodeId {
        if sides.iter().any(|side| self.is_map(side)) {
            let maps: Vec<Side> = sides.iter().map(|side| self.as_map(side)).collect();
            return self.merge_maps(&maps, |_| Form::Optional(&[]));
        }
        let node = self.merge_lists(sides, false);
        let Content::List(items) = &self.tree.node(node).content else { return node };
        let mut names: HashMap<String, crate::diag::FileId> = HashMap::new();
        let kept: Vec<NodeId> = items
            .iter()
            .copied()
            .filter(|item| {
                let node = self.tree.node(self.tree.resolve(*item).0);
                let Content::Scalar(scalar) = &node.content else { return true };
                // In one file it is a mistake that `lower` may tell of.
                *names.entry(scalar.text.clone()).or_insert(node.span.file) == node.span.file
            })
            .collect();
        self.tree.nodes[node.0 as usize].content = Content::List(kept);
        node
    }

    /// A list of names as a map without values; anything else as it is.
    fn as_map(&mut self, side: &Side) -> Side {
        let (id, via) = self.resolve(side);
        let Content::List(items) = &self.tree.node(id).content else { return *side };
        let (span, items) = (self.tree.node(id).span, items.clone());
        let mut entries = Vec::new();
        let mut is_incomplete = false;
        for item in items {
            let (item, item_via) = self.tree.resolve(item);
            let node = self.tree.node(item);
            let (key_span, Content::Scalar(scalar)) = (node.span, &node.content) else {
                is_incomplete = true;
                continue;
            };
            let Ok(Some(key)) = super::interpolate::interpolate(&scalar.text, self.variables) else {
                is_incomplete = true;
                continue;
            };
            let nothing = Scalar { text: String::new(), style: Style::Plain, inset: None };
            let value = self.tree.add(key_span, Content::Scalar(nothing), 1, 0);
            self.tree.bare_names.insert(value);
            entries.push(Entry { key, key_span, value, via: via.or(item_via), earlier: Vec::new() });
        }
        let node = self.add_map(span, entries, Vec::new(), is_incomplete);
        Side { node, ..*side }
    }

    fn resolve(&self, side: &Side) -> (NodeId, Option<Span>) {
        let (id, alias) = self.tree.resolve(side.node);
        (id, side.via.or(alias))
    }

    fn span(&self, side: &Side) -> Span {
        let own = self.tree.node(self.resolve(side).0).span;
        if own.start == own.end { side.holder } else { own }
    }

    fn is_map(&self, side: &Side) -> bool {
        matches!(self.tree.node(self.resolve(side).0).content, Content::Map(_))
    }

    fn is_null(&self, side: &Side) -> bool {
        self.tree.is_null(self.resolve(side).0)
    }

    /// An item of a list that came through an alias.
    fn through(&mut self, item: NodeId, via: Option<Span>) -> NodeId {
        match via {
            Some(via) => self.tree.add(via, Content::Alias(item), 1, 1),
            None => item,
        }
    }

    fn add_map(
        &mut self,
        span: Span,
        entries: Vec<Entry>,
        mistakes: Vec<crate::diag::Diagnostic>,
        is_incomplete: bool,
    ) -> NodeId {
        self.tree.add(span, Content::Map(Map { entries, mistakes, is_incomplete }), 1, 1)
    }

    fn keep_strays(&mut self, node: NodeId, strays: Vec<Stray>) {
        if !strays.is_empty() {
            self.tree.strays.insert(node, strays);
        }
    }
}

fn form_of(keys: &[(&'static str, Form)], key: &str) -> Form {
    keys.iter().find(|(known, _)| *known == key).map_or(Form::Last, |(_, form)| *form)
}
