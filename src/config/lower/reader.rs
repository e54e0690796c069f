//! Reading values out of the tree: the forms of `docs/language.md`, with a diagnostic for what has another form.
//!
//! Every function returns what could be read; `None` means that the mistake was told. Nothing here knows keys.

use std::collections::HashMap;

use super::super::files::Files;
use super::super::interpolate::{Mistake, Variables, interpolate};
use super::super::load::{EnvFiles, Mode};
use super::super::model::{Origins, Spanned};
use super::super::tree::{Content, NodeId, Scalar, ScalarForm, Stray, Style, Tree};
use crate::diag::{Code, Diagnostic, Diagnostics, Edit, Severity, Span};

/// What lowering works with.
pub(in crate::config) struct Reader<'a> {
    pub(in crate::config) tree: &'a Tree,
    pub(in crate::config) variables: &'a dyn Variables,
    pub(in crate::config) files: &'a dyn Files,
    /// Where files of `env_file` are read; none before the project is lowered.
    pub(in crate::config) env_files: Option<&'a EnvFiles<'a>>,
    pub(in crate::config) mode: Mode,
    /// The files: relative host paths start at the folder of the file that says them.
    pub(in crate::config) origins: &'a Origins,
    pub(in crate::config) out: &'a mut Diagnostics,
    /// Places of values of a wrong type, and what was told of them: numbers are read on as text, and scalars as lists,
    /// so that what refers to them is understood, but nothing more is said of them.
    pub(in crate::config) mistyped: HashMap<Span, String>,
}

/// A value of the tree, aliases followed.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Value {
    pub(super) id: NodeId,
    /// Where it is written; what holds it where nothing is written.
    pub(super) span: Span,
    /// The alias through which it came.
    pub(super) via: Option<Span>,
}

/// Which scalars may stand for a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextForm {
    /// Numbers and booleans are taken as they are written; variables are replaced.
    Loose,
    /// Only text (paths, names, references); variables are replaced.
    Strict,
    /// Only text, and no variables: a shell in the guest replaces them.
    Command,
}

/// A text and where it came from.
pub(super) type Text = Spanned<String>;

impl Value {
    /// Where it is written.
    pub(in crate::config) fn span(self) -> Span {
        self.span
    }
}

impl<'a> Reader<'a> {
    pub(super) fn value(&self, id: NodeId, holder: Span, via: Option<Span>) -> Value {
        let (resolved, alias) = self.tree.resolve(id);
        let own = self.tree.node(resolved).span;
        let span = if own.start == own.end { holder } else { own };
        Value { id: resolved, span, via: via.or(alias) }
    }

    pub(super) fn content(&self, value: Value) -> &'a Content {
        &self.tree.node(value.id).content
    }

    pub(super) fn is_null(&self, value: Value) -> bool {
        self.tree.is_null(value.id)
    }

    /// Starts a diagnostic about a value; [`Reader::report`] ends it.
    pub(in crate::config) fn error(
        &self,
        code: u16,
        value: Value,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> Diagnostic {
        let diagnostic = Diagnostic::new(Code(code), Severity::Error, message).label(value.span, label);
        match value.via {
            Some(via) => diagnostic.label(via, "used here"),
            None => diagnostic,
        }
    }

    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        let told = diagnostic.labels.first().and_then(|label| self.mistyped.get(&label.span));
        // The same remark may come once more, through another alias.
        if told.is_none_or(|told| *told == diagnostic.message) {
            self.out.push(diagnostic);
        }
    }

    /// Ends a diagnostic about a value that is read on as if it had the right type.
    fn report_type(&mut self, value: Value, diagnostic: Diagnostic) {
        let message = diagnostic.message.clone();
        self.report(diagnostic);
        self.mistyped.entry(value.span).or_insert(message);
    }

    /// Adds the fix that writes `text` in the place of a value, unless what is written there says more than the value:
    /// variables, or the `|` of a block.
    pub(super) fn replace(&self, diagnostic: Diagnostic, is_safe: bool, value: Value, text: String) -> Diagnostic {
        match self.content(value) {
            Content::Scalar(scalar) if scalar.style != Style::Block && !scalar.text.contains('$') => {
                diagnostic.fix(is_safe, vec![Edit { span: value.span, text }])
            }
            _ => diagnostic,
        }
    }

    /// As [`Reader::replace`], for a value or a part of one that says `text` and nothing else.
    pub(in crate::config) fn replace_part(
        &self,
        diagnostic: Diagnostic,
        is_safe: bool,
        value: Value,
        text: &str,
        instead: String,
    ) -> Diagnostic {
        let Content::Scalar(scalar) = self.content(value) else { return diagnostic };
        if value.span != self.tree.node(value.id).span {
            // A part has a place of its own only where the file says it byte for byte.
            let is_whole = value.span.end - value.span.start == text.len();
            return if is_whole { self.replace(diagnostic, is_safe, value, instead) } else { diagnostic };
        }
        let instead = if scalar.is_plain() { instead } else { quoted(&instead) };
        if scalar.text == text { self.replace(diagnostic, is_safe, value, instead) } else { diagnostic }
    }

    /// Tells of a key or form that is known and not run yet.
    pub(super) fn not_run_yet(&mut self, span: Span, via: Option<Span>, what: &str, help: Option<&str>) {
        let severity = if self.mode == Mode::Run { Severity::Error } else { Severity::Warning };
        let mut diagnostic = Diagnostic::new(Code(11), severity, format!("this smolvm does not run {what} yet"))
            .label(span, "known, and not run yet");
        if let Some(via) = via {
            diagnostic = diagnostic.label(via, "used here");
        }
        diagnostic = diagnostic.help(help.unwrap_or("take it out to run this file now"));
        self.report(diagnostic);
    }

    /// Tells that a value has the wrong type; `expected` fits after "must be".
    pub(super) fn wrong_type(&self, value: Value, what: &str, expected: &str) -> Diagnostic {
        let label = format!("this is {}", self.describe(value));
        self.error(4, value, format!("{what} must be {expected}"), label)
    }

    fn describe(&self, value: Value) -> &'static str {
        match self.content(value) {
            Content::List(_) => "a list",
            Content::Map(_) => "a map",
            Content::Alias(_) | Content::Poison => "not readable",
            Content::Scalar(scalar) => match scalar.form() {
                ScalarForm::Null if scalar.text.is_empty() => "empty, which YAML reads as null",
                ScalarForm::Null => "null",
                ScalarForm::Boolean(_) => "a boolean",
                ScalarForm::Number => "a number",
                ScalarForm::Text => "text",
            },
        }
    }

    /// The items of a list. A scalar in its place is told, with a safe fix, and read as its only item.
    pub(super) fn list(&mut self, value: Value, what: &str) -> Option<Vec<Value>> {
        for stray in self.tree.strays(value.id) {
            self.not_a_list(self.stray_value(*stray), what, Some(stray.other));
        }
        match self.content(value) {
            Content::List(items) => {
                let items = items.iter().map(|item| self.value(*item, self.item_holder(*item, value), value.via));
                Some(items.collect())
            }
            Content::Poison => None,
            Content::Scalar(_) if !self.is_null(value) => {
                self.not_a_list(value, what, None);
                Some(vec![value])
            }
            _ => {
                self.not_a_list(value, what, None);
                None
            }
        }
    }

    /// A value that could not be merged with those of other files.
    pub(super) fn stray_value(&self, stray: Stray) -> Value {
        self.value(stray.node, stray.holder, stray.via)
    }

    /// `other` is a list of another file that it was to be merged with.
    fn not_a_list(&mut self, value: Value, what: &str, other: Option<Span>) {
        let with_other = |diagnostic: Diagnostic| match other {
            Some(other) => diagnostic.label(other, "this is a list, and both are merged"),
            None => diagnostic,
        };
        match self.content(value) {
            Content::Poison => {}
            Content::Scalar(scalar) if !self.is_null(value) => {
                let mut diagnostic = with_other(self.wrong_type(value, what, "a list"));
                if let Some(text) = self.written(value).filter(|text| !text.contains('\n')) {
                    let text = if scalar.is_plain() && text.contains(['[', ']', '{', '}', ',']) {
                        quoted(&scalar.text)
                    } else {
                        text
                    };
                    let list = format!("[{text}]");
                    diagnostic = diagnostic.help(format!("write `{list}`"));
                    diagnostic = self.replace(diagnostic, true, value, list);
                }
                self.report_type(value, diagnostic);
            }
            content => {
                let help = if matches!(content, Content::Map(_)) {
                    "begin each entry with `-`"
                } else {
                    "write `[]` for none, or take it out"
                };
                let diagnostic = with_other(self.wrong_type(value, what, "a list").help(help));
                self.report(diagnostic);
            }
        }
    }

    /// An empty item has the place of its dash.
    fn item_holder(&self, item: NodeId, list: Value) -> Span {
        let span = self.tree.node(item).span;
        if span.start == span.end && span.start > 0 { Span { start: span.start - 1, ..span } } else { list.span }
    }

    /// The scalar as it is written in the file, quotes and all; `None` where nothing is.
    fn written(&self, value: Value) -> Option<String> {
        match self.content(value) {
            Content::Scalar(scalar) if scalar.is_plain() && !scalar.text.is_empty() => Some(scalar.text.clone()),
            Content::Scalar(scalar) if !scalar.is_plain() => Some(quoted(&scalar.text)),
            _ => None,
        }
    }

    /// The place of a part of a text, where the file says it byte for byte; else the whole value.
    pub(super) fn part(&self, value: Value, text: &str, part: std::ops::Range<usize>) -> Value {
        match self.content(value) {
            Content::Scalar(Scalar { text: own, inset: Some(inset), .. }) if own == text => {
                let start = value.span.start + inset;
                Value { span: Span { start: start + part.start, end: start + part.end, ..value.span }, ..value }
            }
            _ => value,
        }
    }

    /// A text in one of the forms that stand for it.
    pub(super) fn text(&mut self, value: Value, what: &str, form: TextForm) -> Option<Text> {
        self.text_as(value, what, "text", form)
    }

    /// The text of a list that holds only one.
    fn only_item(&self, value: Value) -> Option<String> {
        let Content::List(items) = self.content(value) else { return None };
        let [only] = items.as_slice() else { return None };
        match self.content(self.value(*only, self.item_holder(*only, value), value.via)) {
            Content::Scalar(scalar) if scalar.form() != ScalarForm::Null => Some(scalar.text.clone()),
            _ => None,
        }
    }

    /// As [`Reader::text`], where only a text of some kind will do: "a size".
    pub(super) fn text_as(&mut self, value: Value, what: &str, expected: &str, form: TextForm) -> Option<Text> {
        let Content::Scalar(scalar) = self.content(value) else {
            if !matches!(self.content(value), Content::Poison) {
                let diagnostic = self.wrong_type(value, what, expected);
                let help = match self.only_item(value) {
                    Some(text) => format!("write it without the list: `{text}`"),
                    None if expected.starts_with("text") => {
                        format!("write {expected} in this place; what begins with `{{` or `[` is text in quotes only")
                    }
                    None => format!("write {expected} in this place"),
                };
                self.report(diagnostic.help(help));
            }
            return None;
        };
        match scalar.form() {
            ScalarForm::Null => {
                let diagnostic = self.wrong_type(value, what, expected);
                let help = if scalar.text == "~" {
                    "give it a value; where the home is meant, quote it: `\"~\"`"
                } else {
                    "give it a value, or take it out"
                };
                self.report(diagnostic.help(help));
                return None;
            }
            ScalarForm::Boolean(_) | ScalarForm::Number if form != TextForm::Loose => {
                let quoted = quoted(&scalar.text);
                let diagnostic = self.wrong_type(value, what, "text").help(format!("quote it: `{quoted}`"));
                let diagnostic = self.replace(diagnostic, true, value, quoted);
                self.report_type(value, diagnostic);
                return Some(Spanned { value: scalar.text.clone(), span: value.span });
            }
            _ => {}
        }
        let text = if form == TextForm::Command { scalar.text.clone() } else { self.interpolated(value, scalar)? };
        let stray = if text.contains('\0') {
            Some(("a NUL character", "take it out: no program can be given one"))
        } else if form == TextForm::Strict && text.contains(['\n', '\r']) {
            Some(("a line break", "write it on one line, without `|` or `>`"))
        } else {
            None
        };
        if let Some((character, help)) = stray {
            let diagnostic = self.error(5, value, format!("{what} holds {character}"), "in this value");
            self.report(diagnostic.help(help));
            return None;
        }
        Some(Spanned { value: text, span: value.span })
    }

    pub(super) fn interpolated(&mut self, value: Value, scalar: &Scalar) -> Option<String> {
        if !scalar.text.contains('$') {
            return Some(scalar.text.clone());
        }
        match interpolate(&scalar.text, self.variables) {
            Ok(text) => text,
            Err(mistakes) => {
                self.tell_mistakes(value, mistakes);
                None
            }
        }
    }

    pub(super) fn tell_mistakes(&mut self, value: Value, mistakes: Vec<Mistake>) {
        for mistake in mistakes {
            let mut diagnostic = self.error(mistake.code, value, mistake.message, "in this value");
            if let Some(help) = mistake.help {
                diagnostic = diagnostic.help(help);
            }
            self.report(diagnostic);
        }
    }
}

/// A text of the user in a message.
pub(super) fn shown(text: &str) -> String {
    if text.is_empty() { "an empty text".to_owned() } else { format!("`{text}`") }
}

/// The text in double quotes.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            _ if character.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(character))),
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}
