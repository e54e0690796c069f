//! What may stand at a place: the JSON Schema of the language, which is the one source of keys, words and their meaning.

use std::sync::OnceLock;

use serde_json::{Map, Value};

use super::outline::{Kind, NodeId, Outline, Step};
use crate::config::schema;

/// Alternatives within alternatives that are followed.
const DEPTH_MAX: usize = 16;

/// One form that a value may have. What a key says of itself beats what its type says.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    schema: &'static Map<String, Value>,
    description: Option<&'static str>,
    default: Option<&'static Value>,
    examples: &'static [Value],
    /// The name of its type.
    name: Option<&'static str>,
    /// What the map must say, or must not say, to have this form.
    conditions: Vec<Condition>,
}

/// A test of `if`: a key has a word.
#[derive(Debug, Clone, Copy)]
struct Condition {
    holds: bool,
    key: &'static str,
    /// None for a value that holds a variable.
    word: Option<&'static str>,
}

/// A key that may stand in a map.
#[derive(Debug, Clone)]
pub(super) struct KeyShape {
    pub(super) name: &'static str,
    pub(super) is_required: bool,
    pub(super) shapes: Vec<Shape>,
}

/// The forms of the whole file.
pub(super) fn root() -> Vec<Shape> {
    let mut out = Vec::new();
    if let Value::Object(_) = document() {
        expand(document(), None, 0, &mut out);
    }
    out
}

fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| serde_json::from_str(&schema::render()).unwrap_or_default())
}

/// The forms of the value at a node; `path` is the way to it, for nodes below an anchor that of a use of it.
pub(super) fn at(outline: &Outline, path: &[Step], nodes: &[NodeId]) -> Vec<Shape> {
    let mut shapes = root();
    for (depth, step) in path.iter().enumerate() {
        shapes = match step {
            Step::Key(key) => {
                let siblings = nodes.get(depth).map_or_else(Vec::new, |map| siblings(outline, *map));
                value_of(&fitting(shapes, &siblings, Some(key)), key)
            }
            Step::Index(_) => shapes.iter().flat_map(|shape| shape.items()).collect(),
        };
    }
    shapes
}

/// Keys of a map and the texts of those that are texts.
pub(super) fn siblings(outline: &Outline, map: NodeId) -> Vec<(&str, Option<&str>)> {
    let entries = outline.entries(map).iter();
    entries.map(|entry| (entry.key.text.as_str(), outline.text(entry.value))).collect()
}

/// The forms that a map with these keys can have; the key that is written right now does not decide.
pub(super) fn fitting(shapes: Vec<Shape>, siblings: &[(&str, Option<&str>)], current: Option<&str>) -> Vec<Shape> {
    let text_of = |key: &str| siblings.iter().find(|(sibling, _)| *sibling == key).map(|(_, text)| *text);
    let strangers = |shape: &Shape| {
        let others = siblings.iter().filter(|(key, _)| Some(*key) != current);
        let is_wrong = |key: &str, text: Option<&str>| match shape.property(key) {
            Some(schema) => {
                text.zip(schema.get("const").and_then(Value::as_str)).is_some_and(|(text, word)| text != word)
            }
            None => !key.starts_with("x-") && key != "<<" && !shape.is_open(),
        };
        let contradicted = shape.conditions.iter().filter(|condition| {
            let is_met = match (text_of(condition.key), condition.word) {
                _ if current == Some(condition.key) => condition.holds,
                (Some(Some(text)), Some(word)) => text == word,
                (Some(Some(text)), None) => text.contains('$'),
                _ => false,
            };
            is_met != condition.holds
        });
        others.filter(|(key, text)| is_wrong(key, *text)).count() + contradicted.count()
    };
    // A form that is told by a word (`type: tmpfs`) is meant only where the word is there.
    let is_told = |shape: &Shape| {
        let mut words = shape.required().filter(|key| shape.property(key).is_some_and(|of| of.contains_key("const")));
        words.all(|key| current == Some(key) || text_of(key).is_some())
    };
    let least = shapes.iter().filter(|shape| shape.is_map()).map(strangers).min().unwrap_or(0);
    let best: Vec<Shape> = shapes.into_iter().filter(|shape| !shape.is_map() || strangers(shape) == least).collect();
    let told: Vec<Shape> = best.iter().filter(|shape| is_told(shape)).cloned().collect();
    if told.iter().any(Shape::is_map) { told } else { best }
}

/// The forms of the value of a key.
pub(super) fn value_of(shapes: &[Shape], key: &str) -> Vec<Shape> {
    shapes.iter().flat_map(|shape| shape.value(key)).collect()
}

/// The keys that maps of these forms may have, required ones first.
pub(super) fn keys(shapes: &[Shape]) -> Vec<KeyShape> {
    let mut keys: Vec<KeyShape> = Vec::new();
    for shape in shapes {
        for name in shape.properties().keys() {
            let is_required = shape.required().any(|required| required == name);
            match keys.iter_mut().find(|key| key.name == name) {
                Some(known) => known.shapes.extend(shape.value(name)),
                None => keys.push(KeyShape { name, is_required, shapes: shape.value(name) }),
            }
        }
    }
    keys.sort_by_key(|key| (!key.is_required, key.name));
    keys
}

/// The words that are known for a value of these forms, each with what it means.
pub(super) fn words(shapes: &[Shape]) -> Vec<(String, Option<&'static str>)> {
    let mut words: Vec<(String, Option<&'static str>)> = Vec::new();
    let mut add = |value: &Value, meaning| {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            _ => return,
        };
        if !words.iter().any(|(known, _)| *known == text) {
            words.push((text, meaning));
        }
    };
    for shape in shapes {
        let is_one = shape.schema.get("const").is_some();
        shape.schema.get("const").into_iter().for_each(|word| add(word, shape.own_description().filter(|_| is_one)));
        list(shape.schema.get("enum")).iter().for_each(|word| add(word, None));
        if shape.has_type("boolean") && !shape.has_type("string") {
            [true, false].iter().for_each(|word| add(&Value::Bool(*word), None));
        }
        shape.default.into_iter().for_each(|word| add(word, None));
        shape.examples.iter().chain(list(shape.schema.get("examples"))).for_each(|word| add(word, None));
    }
    words
}

/// What these forms are, for a person: meaning, words, default, examples.
pub(super) fn describe(shapes: &[Shape]) -> Option<String> {
    let mut parts: Vec<String> = Vec::new();
    for text in shapes.iter().filter_map(|shape| shape.description) {
        if !parts.iter().any(|part| part == text) {
            parts.push(text.to_owned());
        }
    }
    let own = shapes.iter().filter_map(Shape::own_description).find(|own| !parts.iter().any(|part| part == own));
    parts.extend(own.filter(|_| shapes.len() == 1).map(str::to_owned));
    let choices: Vec<String> = shapes
        .iter()
        .flat_map(|shape| shape.schema.get("const").into_iter().chain(list(shape.schema.get("enum"))))
        .map(inline)
        .collect();
    if !choices.is_empty() {
        parts.push(format!("One of {}.", choices.join(", ")));
    }
    if let Some(default) = shapes.iter().find_map(|shape| shape.default) {
        parts.push(format!("Default: {}.", inline(default)));
    }
    let examples: Vec<String> = shapes
        .iter()
        .map(|shape| shape.examples)
        .find(|all| !all.is_empty())
        .unwrap_or_default()
        .iter()
        .map(inline)
        .collect();
    if !examples.is_empty() {
        parts.push(format!("For example {}.", examples.join(", ")));
    }
    (!parts.is_empty()).then(|| parts.join("\n\n"))
}

/// A value as it would be written on one line, in backticks.
fn inline(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string().replace("\":", "\": ").replace(",\"", ", \""),
    };
    format!("`{text}`")
}

fn list(value: Option<&'static Value>) -> &'static [Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

impl Shape {
    fn properties(&self) -> &'static Map<String, Value> {
        static NONE: OnceLock<Map<String, Value>> = OnceLock::new();
        let properties = self.schema.get("properties").and_then(Value::as_object);
        properties.unwrap_or_else(|| NONE.get_or_init(Map::new))
    }

    fn property(&self, key: &str) -> Option<&'static Map<String, Value>> {
        self.properties().get(key).and_then(Value::as_object)
    }

    fn required(&self) -> impl Iterator<Item = &'static str> {
        list(self.schema.get("required")).iter().filter_map(Value::as_str)
    }

    fn own_description(&self) -> Option<&'static str> {
        self.schema.get("description").and_then(Value::as_str)
    }

    fn has_type(&self, name: &str) -> bool {
        match self.schema.get("type") {
            Some(Value::String(one)) => one == name,
            Some(Value::Array(many)) => many.iter().any(|one| one == name),
            _ => false,
        }
    }

    /// Whether it is of one of these types of the schema.
    pub(super) fn is_one_of(&self, names: &[&str]) -> bool {
        self.name.is_some_and(|name| names.contains(&name))
    }

    /// Whether it is a map.
    pub(super) fn is_map(&self) -> bool {
        let words = ["properties", "patternProperties", "additionalProperties"];
        self.has_type("object") || words.iter().any(|word| self.schema.contains_key(*word))
    }

    /// Whether it is a list.
    pub(super) fn is_list(&self) -> bool {
        self.has_type("array")
    }

    /// Whether any key may stand in it.
    fn is_open(&self) -> bool {
        !matches!(self.schema.get("additionalProperties"), Some(Value::Bool(false))) || self.pattern().is_some()
    }

    /// The schema of keys that are names.
    fn pattern(&self) -> Option<&'static Value> {
        let patterns = self.schema.get("patternProperties").and_then(Value::as_object)?;
        patterns.iter().find(|(pattern, _)| !pattern.starts_with("^x-")).map(|(_, schema)| schema)
    }

    fn value(&self, key: &str) -> Vec<Self> {
        let mut out = Vec::new();
        let named = self.properties().get(key);
        let schema = named.or_else(|| {
            let other = self.pattern().or_else(|| self.schema.get("additionalProperties"));
            other.filter(|_| !key.starts_with("x-"))
        });
        if let Some(schema) = schema {
            expand(schema, None, 0, &mut out);
        }
        out
    }

    fn items(&self) -> Vec<Self> {
        let mut out = Vec::new();
        if let Some(items) = self.schema.get("items") {
            expand(items, None, 0, &mut out);
        }
        out
    }
}

/// Follows references and alternatives down to forms that have none.
fn expand(schema: &'static Value, outer: Option<&Shape>, depth: usize, out: &mut Vec<Shape>) {
    let Value::Object(map) = schema else { return };
    if depth > DEPTH_MAX {
        return;
    }
    let examples = outer.map(|outer| outer.examples).filter(|examples| !examples.is_empty());
    let own = Shape {
        schema: map,
        description: outer.and_then(|outer| outer.description).or_else(|| map.get("description")?.as_str()),
        default: outer.and_then(|outer| outer.default).or_else(|| map.get("default")),
        examples: examples.unwrap_or_else(|| list(map.get("examples"))),
        name: outer.and_then(|outer| outer.name),
        conditions: outer.map_or_else(Vec::new, |outer| outer.conditions.clone()),
    };
    let reference = map.get("$ref").and_then(Value::as_str);
    let target = reference.and_then(|target| document().pointer(target.strip_prefix('#')?));
    let alternatives = ["anyOf", "oneOf", "allOf"].into_iter().flat_map(|word| list(map.get(word)));
    let mut inner: Vec<(&'static Value, Option<bool>)> =
        target.into_iter().chain(alternatives).map(|one| (one, None)).collect();
    inner.extend(
        [("then", true), ("else", false)].iter().filter_map(|(word, holds)| Some((map.get(*word)?, Some(*holds)))),
    );
    if inner.is_empty() || map.contains_key("properties") {
        out.push(own.clone());
    }
    for (schema, branch) in inner {
        let mut of_branch = own.clone();
        of_branch.name = reference.and_then(|target| target.rsplit('/').next()).or(own.name);
        of_branch.conditions.extend(branch.and_then(|holds| condition(map.get("if")?, holds)));
        expand(schema, Some(&of_branch), depth + 1, out);
    }
}

/// The test of a key that an `if` makes.
fn condition(test: &'static Value, holds: bool) -> Option<Condition> {
    let (key, schema) = test.get("properties")?.as_object()?.iter().next()?;
    Some(Condition { holds, key, word: schema.get("const").and_then(Value::as_str) })
}

/// The nodes on the way from the root to a node, that one included.
pub(super) fn way(outline: &Outline, id: NodeId) -> Vec<NodeId> {
    let mut way = vec![id];
    let mut at = id;
    while let Some((parent, _)) = outline.nodes[at].parent {
        way.push(parent);
        at = parent;
    }
    way.reverse();
    way
}

/// The way to a node as the language sees it, and the nodes on it: below an anchor that of the first use of it,
/// and without `<<`.
pub(super) fn seen(outline: &Outline, id: NodeId) -> (Vec<Step>, Vec<NodeId>) {
    let mut path = outline.path(id);
    let mut nodes = way(outline, id);
    for _ in 0..8 {
        while let Some(merge) = path.iter().position(|step| *step == Step::Key("<<".to_owned())) {
            let count = if matches!(path.get(merge + 1), Some(Step::Index(_))) { 2 } else { 1 };
            path.drain(merge..merge + count);
            // The map that merges is not the one whose keys count further down.
            nodes.drain(merge..merge + count);
        }
        if !matches!(path.first(), Some(Step::Key(key)) if key.starts_with("x-")) {
            break;
        }
        let used = nodes.iter().enumerate().rev().find_map(|(depth, node)| {
            let anchor = outline.nodes[*node].anchor.as_ref()?;
            Some((depth, outline.first_use(&anchor.text)?))
        });
        let Some((depth, alias)) = used else { break };
        let (rest, below) = (path.split_off(depth), nodes.split_off(depth));
        path = outline.path(alias);
        nodes = way(outline, alias);
        nodes.pop();
        path.extend(rest);
        nodes.extend(below);
    }
    (path, nodes)
}

/// Whether a node is a text below `|`, in which nothing is completed.
pub(super) fn is_block(outline: &Outline, id: NodeId) -> bool {
    matches!(outline.kind(id), Kind::Scalar { is_block: true, .. })
}
