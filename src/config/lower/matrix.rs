//! `matrix` of a machine: its keys, their values, the combinations. What is read in each of them is in `combined`.

use std::collections::BTreeMap;

use super::super::combinations::{Names, combine, name};
use super::super::model::{Combination, Spanned};
use super::super::scalars::{is_name, to_similar_name};
use super::super::tree::{Content, Entry};
use super::fields::Fields;
use super::reader::{Reader, Text, TextForm, Value, quoted, shown};
use super::step::NAME_FORM;
use crate::diag::{Code, Diagnostic, Severity, Span};

/// Machines of one matrix.
const COMBINATIONS_MAX: usize = 256;
/// Machines of all matrices of a file.
const MACHINES_MAX: usize = 1000;
/// Steps in machines of all matrices of a file.
const STEPS_MAX: usize = 5000;
/// Values that are read in all combinations of a file, as many as a document may expand to.
const NODES_MAX: u64 = 100_000;
/// Bytes of a value.
const VALUE_MAX: usize = 255;
/// How matrices of GitHub Actions name what they add and take away.
const FOREIGN: [&str; 2] = ["include", "exclude"];

/// What matrices may still cost.
#[derive(Debug)]
pub(super) struct Budget {
    machines: usize,
    steps: usize,
    nodes: u64,
    /// Whether it was told that nodes or steps do not suffice: from there on nothing is said.
    is_told: bool,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { machines: MACHINES_MAX, steps: STEPS_MAX, nodes: NODES_MAX, is_told: false }
    }
}

/// A matrix that was read whole.
#[derive(Debug, Clone)]
pub(super) struct Matrix {
    /// Place of the key `matrix`.
    pub(super) span: Span,
    /// The values of each key.
    pub(super) keys: Vec<Vec<Text>>,
    /// Its combinations, in order.
    pub(super) combinations: Vec<Combined>,
}

/// One combination.
#[derive(Debug, Clone)]
pub(super) struct Combined {
    /// The number of its value of each key.
    pub(super) values: Vec<usize>,
    pub(super) names: Names,
    /// `MATRIX_…`.
    pub(super) variables: BTreeMap<String, String>,
}

impl Matrix {
    /// What the machine or step `declared` is in a combination.
    pub(super) fn combination(&self, declared: &str, number: usize) -> Combination {
        Combination {
            declared: declared.to_owned(),
            id: self.combinations[number].names.id.clone(),
            number,
            count: self.combinations.len(),
            span: self.span,
        }
    }

    /// The name of `declared` in a combination.
    pub(super) fn name(&self, declared: &str, number: usize) -> String {
        format!("{declared}[{}]", self.combinations[number].names.brackets)
    }
}

/// A key of a matrix.
struct Key {
    /// `MATRIX_<KEY>`.
    variable: String,
    place: Span,
    values: Vec<Text>,
}

impl Reader<'_> {
    /// Reads `matrix` of the machine `declared`; `None` where it could not be read whole.
    pub(super) fn matrix(&mut self, fields: &Fields, declared: &str, budget: &mut Budget) -> Option<Matrix> {
        let value = fields.get("matrix")?;
        let place = Value { span: fields.key_span("matrix")?, ..value };
        let entries = self.matrix_entries(value)?;
        let mut keys: Vec<Key> = Vec::new();
        let mut is_whole = !matches!(self.content(value), Content::Map(map) if map.is_incomplete);
        if entries.is_empty() && is_whole {
            let diagnostic =
                self.error(6, value, "`matrix` names nothing that differs", "at least one key is required");
            self.report(diagnostic.help("list what differs, as `matrix: { version: [1, 2] }`, or take it out"));
            return None;
        }
        for entry in entries {
            match self.matrix_key(value, entry, &keys) {
                Some(key) => keys.push(key),
                None => is_whole = false,
            }
        }
        if !is_whole {
            return None;
        }
        self.combine(place, declared, keys, budget)
    }

    fn matrix_entries(&mut self, value: Value) -> Option<Vec<Entry>> {
        let help = match self.content(value) {
            Content::Map(_) | Content::Poison | Content::Alias(_) => return self.entries(value, "`matrix`"),
            Content::List(_) => match self.flow_list(value) {
                Some(list) => format!("give the list a name: `matrix: {{ version: {list} }}`"),
                None => "give the list a name: write it below `version:`".to_owned(),
            },
            Content::Scalar(_) => "name what differs, as `matrix: { version: [1, 2] }`".to_owned(),
        };
        let diagnostic = self.wrong_type(value, "`matrix`", "a map of lists").help(help);
        self.report(diagnostic);
        None
    }

    /// A list of scalars as one could write it on a line.
    fn flow_list(&self, value: Value) -> Option<String> {
        let Content::List(items) = self.content(value) else { return None };
        let items = items.iter().map(|item| match &self.tree.node(self.tree.resolve(*item).0).content {
            Content::Scalar(scalar) if scalar.is_plain() && !scalar.text.contains([',', ']', '}']) => {
                Some(scalar.text.clone())
            }
            Content::Scalar(scalar) => Some(quoted(&scalar.text)),
            _ => None,
        });
        let items: Vec<String> = items.collect::<Option<_>>()?;
        (!items.is_empty() && items.len() <= 8).then(|| format!("[{}]", items.join(", ")))
    }

    fn matrix_key(&mut self, matrix: Value, entry: Entry, earlier: &[Key]) -> Option<Key> {
        let via = matrix.via.or(entry.via);
        let place = Value { id: entry.value, span: entry.key_span, via };
        let value = self.value(entry.value, entry.key_span, via);
        let what = format!("`{}` of a matrix", entry.key);
        if self.is_foreign(&entry.key, value) {
            let (key, label) = (&entry.key, "this takes lists of values only");
            let diagnostic = self.error(3, place, format!("a matrix has no `{key}` as GitHub Actions has it"), label);
            self.report(diagnostic.help(match key.as_str() {
                "exclude" => "take it out: list only what goes together, or declare machines without a matrix",
                _ => "take it out, and declare what differs more as machines of their own; an anchor shares the rest",
            }));
            return None;
        }
        let variable = format!("MATRIX_{}", entry.key.to_ascii_uppercase().replace('-', "_"));
        let is_named = self.matrix_name(place, &entry.key, &variable, earlier);
        let items = self.matrix_list(value, &what)?;
        if items.is_empty() {
            let diagnostic =
                self.error(5, value, format!("{what} lists no value"), "an empty list combines to nothing");
            self.report(diagnostic.help(format!("list at least one value, as `{}: [1]`, or take it out", entry.key)));
            return None;
        }
        let values = self.matrix_values(items, &what);
        is_named.then_some(Key { variable, place: entry.key_span, values: values? })
    }

    fn is_foreign(&self, key: &str, value: Value) -> bool {
        let is_map = |value: Value| matches!(self.content(value), Content::Map(_));
        let holds_maps = match self.content(value) {
            Content::List(items) => items.iter().any(|item| is_map(self.value(*item, value.span, None))),
            _ => is_map(value),
        };
        FOREIGN.contains(&key) && holds_maps
    }

    fn matrix_name(&mut self, place: Value, key: &str, variable: &str, earlier: &[Key]) -> bool {
        let diagnostic = if !is_name(key) {
            let diagnostic = self.error(5, place, format!("{} cannot be a key of a matrix", shown(key)), NAME_FORM);
            match to_similar_name(key) {
                Some(instead) => diagnostic.help(format!("write `{instead}`")),
                None => diagnostic,
            }
        } else if key == "id" {
            let message = "`id` cannot be a key of a matrix: `MATRIX_ID` is the name of the combination";
            self.error(5, place, message, "taken").help("give it another name, as `ids`")
        } else if let Some(earlier) = earlier.iter().find(|earlier| earlier.variable == variable) {
            self.error(
                5,
                place,
                format!("two keys of this matrix give the variable `{variable}`"),
                "this one comes second",
            )
            .label(earlier.place, "the first one is here")
            .help("in a variable `-` is `_`: give one of them another name")
        } else {
            return true;
        };
        self.report(diagnostic);
        false
    }

    fn matrix_list(&mut self, value: Value, what: &str) -> Option<Vec<Value>> {
        if matches!(self.content(value), Content::Map(_)) {
            let diagnostic = self.wrong_type(value, what, "a list of values");
            self.report(diagnostic.help("write the lists directly below `matrix:`, as `matrix: { version: [1, 2] }`"));
            return None;
        }
        if self.is_null(value) {
            let diagnostic = self.wrong_type(value, what, "a list of values");
            self.report(diagnostic.help("list at least one value, or take it out"));
            return None;
        }
        self.list(value, what)
    }

    fn matrix_values(&mut self, items: Vec<Value>, what: &str) -> Option<Vec<Text>> {
        let item_of = format!("a value of {what}");
        let mut values: Vec<Text> = Vec::new();
        let mut is_whole = true;
        for item in items {
            if matches!(self.content(item), Content::Map(_) | Content::List(_)) {
                let diagnostic = self.wrong_type(item, &item_of, "text or a number");
                self.report(diagnostic.help("values that belong together are one text; a step can take it apart"));
                is_whole = false;
                continue;
            }
            let Some(text) = self.text(item, &item_of, TextForm::Loose) else {
                is_whole = false;
                continue;
            };
            if let Some(diagnostic) = self.matrix_value_mistake(item, &text, &values, what) {
                self.report(diagnostic);
                continue;
            }
            values.push(text);
        }
        is_whole.then_some(values)
    }

    fn matrix_value_mistake(&self, item: Value, text: &Text, earlier: &[Text], what: &str) -> Option<Diagnostic> {
        if let Some(earlier) = earlier.iter().find(|earlier| earlier.value == text.value) {
            let message = format!("{} stands twice in {what}", shown(&text.value));
            let diagnostic =
                Diagnostic::new(Code(5), Severity::Error, message).label(text.span, "this one comes second");
            return Some(diagnostic.label(earlier.span, "the first one is here").help("take one of them out"));
        }
        let (mistake, help) = if text.value.contains(['\n', '\r']) {
            ("holds a line break", "write it on one line, without `|` or `>`")
        } else if text.value.len() > VALUE_MAX {
            ("is longer than 255 bytes", "name the cases shortly, and let the step choose by the name")
        } else {
            return None;
        };
        Some(self.error(5, item, format!("a value of {what} {mistake}"), "in this value").help(help))
    }

    fn combine(&mut self, place: Value, declared: &str, keys: Vec<Key>, budget: &mut Budget) -> Option<Matrix> {
        let counts: Vec<usize> = keys.iter().map(|key| key.values.len()).collect();
        let count = counts.iter().try_fold(1_usize, |product, count| product.checked_mul(*count));
        let too_many = match count {
            Some(count) if count <= COMBINATIONS_MAX && count <= budget.machines => None,
            Some(count) if count <= COMBINATIONS_MAX => {
                let left = MACHINES_MAX - budget.machines;
                Some(format!(
                    "the matrices of this file give {left} machines before this one, which gives {count} more"
                ))
            }
            _ => {
                let counts: Vec<String> = counts.iter().map(usize::to_string).collect();
                Some(format!("the matrix of `{declared}` gives {} machines", counts.join(" × ")))
            }
        };
        if let Some(message) = too_many {
            let label = format!("at most {COMBINATIONS_MAX} in a matrix and {MACHINES_MAX} in a file");
            let diagnostic = self.error(5, place, message, label);
            self.report(diagnostic.help("list fewer values"));
            return None;
        }
        let numbers = combine(&counts);
        budget.machines -= numbers.len();
        let values_of = |numbers: &Vec<usize>| -> Vec<&str> {
            keys.iter().zip(numbers).map(|(key, number)| key.values[*number].value.as_str()).collect()
        };
        let texts: Vec<Vec<&str>> = numbers.iter().map(values_of).collect();
        let all = name(&texts).into_iter().zip(&texts).zip(&numbers);
        let combinations = all.map(|((names, texts), numbers)| {
            let pairs = keys.iter().zip(texts).map(|(key, text)| (key.variable.clone(), (*text).to_owned()));
            let variables = pairs.chain([("MATRIX_ID".to_owned(), names.id.clone())]).collect();
            Combined { values: numbers.clone(), names, variables }
        });
        Some(Matrix {
            span: place.span,
            combinations: combinations.collect(),
            keys: keys.into_iter().map(|key| key.values).collect(),
        })
    }

    /// As [`Reader::afford`], for steps.
    pub(super) fn afford_steps(
        &mut self,
        value: Value,
        count: usize,
        what: &Spanned<String>,
        budget: &mut Budget,
    ) -> bool {
        if let Some(left) = budget.steps.checked_sub(count) {
            budget.steps = left;
            return self.afford(value, count, what, budget);
        }
        if std::mem::replace(&mut budget.is_told, true) {
            return false;
        }
        let message = format!("the matrices of this file give too many steps, from {} on", what.value);
        let label = format!("{count} times this: more than {STEPS_MAX} steps in all");
        let diagnostic = self.error(5, Value { span: what.span, ..value }, message, label);
        self.report(diagnostic.help("list fewer values, or put what runs one after the other into one step"));
        false
    }

    /// Takes what it costs to read a value in `count` combinations; tells where it is too much.
    pub(super) fn afford(&mut self, value: Value, count: usize, what: &Spanned<String>, budget: &mut Budget) -> bool {
        // The matrix itself is read once.
        let matrix = match self.content(value) {
            Content::Map(map) => map.entries.iter().find(|entry| entry.key == "matrix"),
            _ => None,
        };
        let once = matrix.map_or(0, |entry| self.tree.node(entry.value).expanded);
        let nodes = self.tree.node(value.id).expanded.saturating_sub(once).saturating_mul(count as u64);
        if let Some(left) = budget.nodes.checked_sub(nodes) {
            budget.nodes = left;
            return true;
        }
        if std::mem::replace(&mut budget.is_told, true) {
            return false;
        }
        let message = format!("the matrices of this file are too large from {} on", what.value);
        let label = format!("{count} times this: more than {NODES_MAX} values in all");
        let diagnostic = self.error(5, Value { span: what.span, ..value }, message, label);
        self.report(diagnostic.help("list fewer values, or declare less in machines and steps of a matrix"));
        false
    }
}
