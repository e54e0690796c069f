//! What a YAML text says as far as it goes: maps, lists and scalars by indentation and brackets, with their places.
//!
//! A text that is being written is hardly ever YAML at the cursor, so nothing here fails: what fits nowhere is passed
//! over, a word without `:` is a key or value that is not finished. Reading a file to check it is `config`'s work.

use std::collections::HashMap;
use std::ops::Range;

use super::parse::parse;

/// Number of a node in its outline.
pub(super) type NodeId = usize;

/// A word and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) span: Range<usize>,
}

/// One node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// From its first byte to its last; empty where nothing is written.
    pub(super) span: Range<usize>,
    /// The collection that holds it, and its place there.
    pub(super) parent: Option<(NodeId, usize)>,
    /// The name after `&`, without it.
    pub(super) anchor: Option<Word>,
}

/// What a node is.
#[derive(Debug)]
pub(super) enum Kind {
    Empty,
    /// A text; `inner` is where it stands without its quotes.
    Scalar {
        text: String,
        inner: Range<usize>,
        is_block: bool,
    },
    /// The name after `*`, without it.
    Alias(Word),
    List(Vec<NodeId>),
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug)]
pub(super) struct Entry {
    /// The key without quotes.
    pub(super) key: Word,
    pub(super) has_colon: bool,
    pub(super) value: NodeId,
}

/// A step of the way from the root to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// What stands at an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// The key of an entry of a map.
    Key(NodeId, usize),
    /// A scalar or an alias.
    Value(NodeId),
    /// The name of an anchor.
    Anchor(NodeId),
}

/// A text, outlined.
#[derive(Debug)]
pub(super) struct Outline {
    pub(super) nodes: Vec<Node>,
    pub(super) root: NodeId,
    /// The first use of each anchor.
    uses: HashMap<String, NodeId>,
}

impl Outline {
    /// Outlines a text; a byte order mark is passed over.
    pub(super) fn new(text: &str) -> Self {
        let (nodes, root) = parse(text);
        let mut uses = HashMap::new();
        for (id, node) in nodes.iter().enumerate() {
            if let Kind::Alias(name) = &node.kind {
                uses.entry(name.text.clone()).or_insert(id);
            }
        }
        Self { nodes, root, uses }
    }

    pub(super) fn kind(&self, id: NodeId) -> &Kind {
        &self.nodes[id].kind
    }

    /// The entries of a map; none of anything else.
    pub(super) fn entries(&self, id: NodeId) -> &[Entry] {
        if let Kind::Map(entries) = self.kind(id) { entries } else { &[] }
    }

    /// The value of a key of a map.
    pub(super) fn get(&self, id: NodeId, key: &str) -> Option<NodeId> {
        self.entries(id).iter().find(|entry| entry.key.text == key).map(|entry| entry.value)
    }

    /// The items of a list; none of anything else.
    pub(super) fn items(&self, id: NodeId) -> &[NodeId] {
        if let Kind::List(items) = self.kind(id) { items } else { &[] }
    }

    /// The text of a scalar.
    pub(super) fn text(&self, id: NodeId) -> Option<&str> {
        if let Kind::Scalar { text, .. } = self.kind(id) { Some(text) } else { None }
    }

    /// The way from the root to a node.
    pub(super) fn path(&self, id: NodeId) -> Vec<Step> {
        let mut path = Vec::new();
        let mut at = id;
        while let Some((parent, place)) = self.nodes[at].parent {
            path.push(match self.kind(parent) {
                Kind::Map(entries) => Step::Key(entries[place].key.text.clone()),
                _ => Step::Index(place),
            });
            at = parent;
        }
        path.reverse();
        path
    }

    /// What stands at an offset; a place right behind it counts.
    pub(super) fn at(&self, offset: usize) -> Option<At> {
        let touches = |span: &Range<usize>| !span.is_empty() && span.start <= offset && offset <= span.end;
        let mut found = None;
        for (id, node) in self.nodes.iter().enumerate() {
            match &node.kind {
                Kind::Map(entries) => {
                    if let Some(place) = entries.iter().position(|entry| touches(&entry.key.span)) {
                        return Some(At::Key(id, place));
                    }
                }
                Kind::Scalar { .. } | Kind::Alias(_) if touches(&node.span) => found = Some(At::Value(id)),
                _ => {}
            }
            if node.anchor.as_ref().is_some_and(|anchor| touches(&anchor.span)) {
                return Some(At::Anchor(id));
            }
        }
        found
    }

    /// The first alias of an anchor.
    pub(super) fn first_use(&self, name: &str) -> Option<NodeId> {
        self.uses.get(name).copied()
    }

    /// The node that an alias means: the last one above it with that anchor.
    pub(super) fn anchored(&self, name: &str, before: usize) -> Option<NodeId> {
        let named = self.nodes.iter().enumerate().filter_map(|(id, node)| Some((id, node.anchor.as_ref()?)));
        let above = named.filter(|(_, anchor)| anchor.text == name && anchor.span.start < before);
        above.max_by_key(|(_, anchor)| anchor.span.start).map(|(id, _)| id)
    }

    /// A node, or what it stands for where it is an alias.
    pub(super) fn resolve(&self, id: NodeId) -> NodeId {
        match self.kind(id) {
            Kind::Alias(word) => self.anchored(&word.text, self.nodes[id].span.start).unwrap_or(id),
            _ => id,
        }
    }
}
