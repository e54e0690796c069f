//! The spanned YAML tree: what the text says, before anyone asks what it means.
//!
//! Aliases stay references, so that a tree takes no more memory than its text however far it would expand.
//! Merge keys are resolved when a map ends: its entries are its own and those that `<<` brings.

use std::collections::{HashMap, HashSet};

use crate::diag::{Diagnostic, Span};

/// Number of a node in its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct NodeId(pub(super) u32);

/// A value that was to be merged with those of other files, and has the wrong type for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stray {
    pub(super) node: NodeId,
    /// What holds it, where nothing is written.
    pub(super) holder: Span,
    /// The alias through which its file has it.
    pub(super) via: Option<Span>,
    /// A value of the right type, in another file.
    pub(super) other: Span,
}

/// What was parsed: the documents of all files of a project in one room, since spans say which file is meant.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
    /// Values of a wrong type that could not be merged with the others, by the node that came of those.
    pub(super) strays: HashMap<NodeId, Vec<Stray>>,
    /// Names of a list that became keys of a map: of each nothing is said, which stands as null.
    pub(super) bare_names: HashSet<NodeId>,
}

/// One node.
#[derive(Debug)]
pub(super) struct Node {
    /// Its label: the first line of a block map or list, the whole of anything else; empty where nothing is written.
    pub(super) span: Span,
    pub(super) content: Content,
    /// Nodes in it once aliases are expanded, itself included; keys do not count.
    pub(super) expanded: u64,
    /// Collections within one another below it, itself included, once aliases are expanded.
    pub(super) depth: u32,
}

/// What a node holds.
#[derive(Debug)]
pub(super) enum Content {
    Scalar(Scalar),
    List(Vec<NodeId>),
    Map(Map),
    /// The use of an anchor; the span is the use's.
    Alias(NodeId),
    /// A mistake was reported here: say nothing more.
    Poison,
}

/// Keys and values, those of merged maps included.
#[derive(Debug, Default)]
pub(super) struct Map {
    pub(super) entries: Vec<Entry>,
    /// Mistakes that matter only where the map is used (below `x-` nothing else is asked of it).
    pub(super) mistakes: Vec<Diagnostic>,
    /// Whether keys may be missing because a key or a merge could not be read.
    pub(super) is_incomplete: bool,
}

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Without quotes: it may be something else than text.
    Plain,
    Quoted,
    /// Below `|` or `>`, which its span does not hold.
    Block,
}

/// Text and how it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scalar {
    pub(super) text: String,
    pub(super) style: Style,
    /// Where the text stands in the span byte for byte, the bytes before it; none where escapes, line breaks or
    /// indentation lie between what is written and what is meant.
    pub(super) inset: Option<usize>,
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Span,
    pub(super) value: NodeId,
    /// The alias below `<<` through which it came.
    pub(super) via: Option<Span>,
    /// The same key in earlier files, the first one first.
    pub(super) earlier: Vec<Span>,
}

/// The YAML 1.2 core schema's view of a plain scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScalarForm {
    Null,
    Boolean(bool),
    Number,
    Text,
}

impl Tree {
    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// Adds a node.
    pub(super) fn add(&mut self, span: Span, content: Content, expanded: u64, depth: u32) -> NodeId {
        self.nodes.push(Node { span, content, expanded, depth });
        NodeId(u32::try_from(self.nodes.len() - 1).expect("a hundred texts of 1 MiB have fewer nodes than bytes"))
    }

    /// Values of a wrong type that were to be merged into this one.
    pub(super) fn strays(&self, id: NodeId) -> &[Stray] {
        self.strays.get(&id).map_or(&[], Vec::as_slice)
    }

    /// Whether any map has this key.
    pub(super) fn has_key(&self, key: &str) -> bool {
        let is_here =
            |content: &Content| matches!(content, Content::Map(map) if map.entries.iter().any(|e| e.key == key));
        self.nodes.iter().any(|node| is_here(&node.content))
    }

    pub(super) fn is_null(&self, id: NodeId) -> bool {
        matches!(&self.node(id).content, Content::Scalar(scalar) if scalar.form() == ScalarForm::Null)
    }

    /// Follows aliases: the node that holds something, and the place of the first alias on the way.
    pub(super) fn resolve(&self, mut id: NodeId) -> (NodeId, Option<Span>) {
        let mut via = None;
        while let Content::Alias(target) = self.node(id).content {
            via = via.or(Some(self.node(id).span));
            id = target;
        }
        (id, via)
    }
}

impl Scalar {
    pub(super) fn is_plain(&self) -> bool {
        self.style == Style::Plain
    }

    /// What the core schema takes it for.
    pub(super) fn form(&self) -> ScalarForm {
        if self.is_plain() { plain_form(&self.text) } else { ScalarForm::Text }
    }
}

/// YAML 1.2.2, 10.3.2.
pub(super) fn plain_form(text: &str) -> ScalarForm {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => ScalarForm::Null,
        "true" | "True" | "TRUE" => ScalarForm::Boolean(true),
        "false" | "False" | "FALSE" => ScalarForm::Boolean(false),
        _ if is_number(text) => ScalarForm::Number,
        _ => ScalarForm::Text,
    }
}

fn is_number(text: &str) -> bool {
    if let Some(digits) = text.strip_prefix("0x") {
        return !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return !digits.is_empty() && digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_mantissa = match mantissa.split_once('.') {
        None => is_digits(mantissa),
        Some((whole, part)) => {
            (is_digits(whole) || (whole.is_empty() && !part.is_empty())) && (part.is_empty() || is_digits(part))
        }
    };
    is_mantissa && exponent.is_none_or(is_digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_schema_takes_only_its_own_words_for_booleans_and_nulls() {
        for (text, form) in [
            ("true", ScalarForm::Boolean(true)),
            ("FALSE", ScalarForm::Boolean(false)),
            ("yes", ScalarForm::Text),
            ("on", ScalarForm::Text),
            ("~", ScalarForm::Null),
            ("nULL", ScalarForm::Text),
            ("22:22", ScalarForm::Text),
        ] {
            assert_eq!(plain_form(text), form, "{text}");
        }
    }

    #[test]
    fn core_schema_knows_integers_floats_and_nothing_else_as_numbers() {
        for text in
            ["0", "-1", "+7", "0x1F", "0o17", "1.5", "1.", ".5", "1e3", "-1.5E-3", ".inf", "-.INF", ".nan", "007"]
        {
            assert_eq!(plain_form(text), ScalarForm::Number, "{text}");
        }
        for text in ["1_000", "0x", "0xG", "1.2.3", ".", "e3", "1e", "-", "--1", "1 2", "0b1", "-.nan"] {
            assert_eq!(plain_form(text), ScalarForm::Text, "{text}");
        }
    }
}
