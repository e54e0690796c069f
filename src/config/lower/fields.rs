//! The keys of one map: known, known and not run yet (0011), unknown (0003), missing (0006).

use super::super::tree::{Content, Entry};
use super::guess::{Guess, Shape, guess, shape};
use super::keys::KeyTable;
use super::reader::{Reader, Value};
use crate::diag::{Code, Diagnostic, Edit, FileId, Severity, Span};

/// A map whose keys were looked at.
#[derive(Debug)]
pub(super) struct Fields {
    fields: Vec<Field>,
    /// Keys that an unknown one was probably meant to be: their absence follows from it.
    meant: Vec<&'static str>,
    /// Keys of which a value was left out: one more stands below an unknown key.
    shadowed: Vec<&'static str>,
    /// Whether keys may be missing because a merge or a file could not be read.
    pub(super) is_incomplete: bool,
    /// Whether a key is unknown and nothing tells what it was meant to be.
    pub(super) has_riddle: bool,
    /// The map itself.
    pub(super) value: Value,
}

#[derive(Debug, Clone)]
struct Field {
    key: &'static str,
    key_span: Span,
    /// The key in earlier files.
    earlier: Vec<Span>,
    value: Value,
}

impl Field {
    /// Whether a file has this key.
    fn is_in(&self, file: FileId) -> bool {
        self.earlier.iter().chain([&self.key_span]).any(|span| span.file == file)
    }
}

impl Fields {
    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<Value> {
        self.fields.iter().find(|field| field.key == key).map(|field| field.value)
    }

    /// The place of a key.
    pub(super) fn key_span(&self, key: &str) -> Option<Span> {
        self.fields.iter().find(|field| field.key == key).map(|field| field.key_span)
    }

    /// Whether an unknown key was probably meant to be this one.
    pub(super) fn is_meant(&self, key: &str) -> bool {
        self.meant.contains(&key)
    }

    /// Whether an unknown key was probably meant to be this one, and what it holds was not read.
    pub(super) fn is_shadowed(&self, key: &str) -> bool {
        self.shadowed.contains(&key)
    }

    /// Whether a key is there, was probably meant by an unknown one, or may have been in what could not be merged.
    pub(super) fn has(&self, key: &str) -> bool {
        self.is_incomplete || self.get(key).is_some() || self.meant.contains(&key)
    }
}

impl Reader<'_> {
    /// Looks at the keys of a map; `None` where the value is no map.
    pub(super) fn fields(&mut self, value: Value, table: &KeyTable) -> Option<Fields> {
        let entries = self.entries(value, table.place)?;
        let is_incomplete = matches!(self.content(value), Content::Map(map) if map.is_incomplete);
        let mut fields = Fields {
            fields: Vec::new(),
            meant: Vec::new(),
            shadowed: Vec::new(),
            is_incomplete,
            has_riddle: false,
            value,
        };
        let mut unknown = Vec::new();
        for entry in &entries {
            let via = value.via.or(entry.via);
            if let Some(key) = table.keys.iter().find(|key| **key == entry.key) {
                fields.fields.push(self.field(key, entry, via));
            } else if let Some(key) = table.later.iter().find(|key| **key == entry.key) {
                fields.fields.push(self.field(key, entry, via));
                self.not_run_yet(entry.key_span, via, &format!("`{key}` of {}", table.place), None);
            } else {
                unknown.push((entry, via));
            }
        }
        for (entry, via) in unknown {
            self.unknown_key(entry, via, table, &mut fields);
        }
        Some(fields)
    }

    /// The entries of a map of names, `x-` keys left out.
    pub(super) fn entries(&mut self, value: Value, what: &str) -> Option<Vec<Entry>> {
        for stray in self.tree.strays(value.id) {
            self.not_a_map(self.stray_value(*stray), what, Some(stray.other));
        }
        match self.content(value) {
            Content::Map(map) => {
                for mistake in &map.mistakes {
                    self.report(mistake.clone());
                }
                Some(map.entries.iter().filter(|entry| !entry.key.starts_with("x-")).cloned().collect())
            }
            _ => {
                self.not_a_map(value, what, None);
                None
            }
        }
    }

    /// `other` is a map of another file that it was to be merged with.
    fn not_a_map(&mut self, value: Value, what: &str, other: Option<Span>) {
        if matches!(self.content(value), Content::Poison) {
            return;
        }
        let mut diagnostic = self.wrong_type(value, what, "a map").help(self.map_help(value, what));
        if let Some(other) = other.filter(|_| what != "the file") {
            diagnostic = diagnostic.label(other, "this is a map, and both are merged");
        }
        self.report(diagnostic);
    }

    /// What to write where a map belongs.
    fn map_help(&self, value: Value, what: &str) -> &'static str {
        let is_null = self.is_null(value);
        match what {
            "the file" => match self.content(value) {
                Content::Scalar(scalar) if scalar.text.contains(':') => "a space belongs after the `:` of a key",
                _ => "declare a machine: `machines: { build: { image: host } }`",
            },
            "`machines`" => "write `NAME: { image: host }`, a line each, without dashes",
            "a machine" => "write its keys below its name, as `image: host`",
            "a step" | "an entry of `finally`" => "write its keys, as `run: make`",
            "a volume" => "write `{ size: 4GiB }`, or nothing for the default size",
            "`volumes`" if !is_null => "write `NAME: { size: 4GiB }`, a line each, without dashes",
            _ if is_null => "write `{}` for none, or take it out",
            _ => "write `NAME: value`, a line each, without dashes",
        }
    }

    fn field(&self, key: &'static str, entry: &Entry, via: Option<Span>) -> Field {
        Field {
            key,
            key_span: entry.key_span,
            earlier: entry.earlier.clone(),
            value: self.value(entry.value, entry.key_span, via),
        }
    }

    fn unknown_key(&mut self, entry: &Entry, via: Option<Span>, table: &KeyTable, fields: &mut Fields) {
        let key = entry.key.as_str();
        let told = self.foreign_value(entry, table);
        let Guess { ours, is_same_form, is_certain, help } = match told {
            Some(help) => Guess { is_same_form: false, help, ..guess(key, table) },
            None => guess(key, table),
        };
        let known = ours.and_then(|ours| fields.fields.iter().find(|field| field.key == ours)).cloned();
        let mut fix = None;
        if let Some(ours) = ours {
            let field = self.field(ours, entry, via);
            let has_shape = self.has_shape_of(ours, field.value);
            if !entry.earlier.is_empty() || known.is_some() {
                fields.shadowed.push(ours);
            }
            fix = is_same_form.then_some((is_certain && has_shape, ours));
            // Read what was meant: mistakes inside it are told in the same run.
            if is_same_form && known.is_none() && has_shape {
                fields.fields.push(field);
            }
            fields.meant.push(ours);
        } else {
            fields.has_riddle = true;
        }
        for span in entry.earlier.iter().chain([&entry.key_span]).copied() {
            let mut diagnostic =
                Diagnostic::new(Code(3), Severity::Error, format!("unknown key `{key}` in {}", table.place))
                    .label(span, "not a key here");
            if let Some(via) = via.filter(|via| via.file == span.file) {
                diagnostic = diagnostic.label(via, "used here");
            }
            diagnostic = diagnostic.help(help.as_str());
            let is_free = known.as_ref().is_none_or(|known| !known.is_in(span.file));
            if let Some((is_safe, ours)) = fix.filter(|_| is_free) {
                diagnostic = diagnostic.fix(is_safe, vec![Edit { span, text: ours.to_owned() }]);
            }
            self.report(diagnostic);
        }
    }

    /// Whether a value can be meant for a key; if not, nothing is told but that its key is unknown.
    fn has_shape_of(&self, key: &str, value: Value) -> bool {
        let content = self.content(value);
        match shape(key) {
            Shape::Map => matches!(content, Content::Map(_)),
            Shape::Variables => matches!(content, Content::Map(_) | Content::List(_)),
            Shape::List => matches!(content, Content::List(_)),
            Shape::Scalar => matches!(content, Content::Scalar(_)) && !self.is_null(value),
            Shape::Any => !self.is_null(value),
            Shape::Command => matches!(content, Content::Scalar(_) | Content::List(_)) && !self.is_null(value),
        }
    }

    /// Tells that a key is missing, unless an unknown one was probably meant to be it.
    pub(super) fn missing(&mut self, fields: &Fields, key: &str, what: &str, holder: Span, help: &str) {
        if fields.has(key) {
            return;
        }
        let mut diagnostic = Diagnostic::new(Code(6), Severity::Error, format!("{what} has no `{key}`"))
            .label(holder, format!("`{key}` is required here"));
        if let Some(via) = fields.value.via {
            diagnostic = diagnostic.label(via, "used here");
        }
        self.report(diagnostic.help(help));
    }
}
