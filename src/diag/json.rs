//! Diagnostics for programs: the object of `check --format json`. New fields may come; old ones never change.

use serde::Serialize;

use super::diagnostic::{Diagnostic, Diagnostics, Severity};
use super::select::select;
use super::source::{Sources, Span};

#[derive(Serialize)]
struct Report<'a> {
    version: u32,
    errors: usize,
    warnings: usize,
    notes: usize,
    diagnostics: Vec<JsonDiagnostic<'a>>,
}

/// One diagnostic in the form for programs; serializes to the entry of `check --format json`.
#[derive(Debug, Serialize)]
pub struct JsonDiagnostic<'a> {
    code: String,
    severity: &'static str,
    message: &'a str,
    help: Option<&'a str>,
    labels: Vec<JsonLabel<'a>>,
    fix: Option<JsonFix<'a>>,
}

#[derive(Debug, Serialize)]
struct JsonLabel<'a> {
    file: &'a str,
    primary: bool,
    text: &'a str,
    start: JsonPosition,
    end: JsonPosition,
}

#[derive(Debug, Serialize)]
struct JsonPosition {
    offset: usize,
    line: usize,
    column: usize,
}

#[derive(Debug, Serialize)]
struct JsonFix<'a> {
    safe: bool,
    edits: Vec<JsonEdit<'a>>,
}

#[derive(Debug, Serialize)]
struct JsonEdit<'a> {
    file: &'a str,
    start: JsonPosition,
    end: JsonPosition,
    text: &'a str,
}

impl<'a> JsonDiagnostic<'a> {
    /// The form for programs of a diagnostic whose labels point into `sources`.
    pub fn new(diagnostic: &'a Diagnostic, sources: &'a Sources) -> Self {
        let labels = diagnostic.labels.iter().enumerate().map(|(index, label)| {
            let (file, start, end) = place(label.span, sources);
            JsonLabel { file, primary: index == 0, text: &label.text, start, end }
        });
        let fix = diagnostic.fix.as_ref().map(|fix| {
            let edits = fix.edits.iter().map(|edit| {
                let (file, start, end) = place(edit.span, sources);
                JsonEdit { file, start, end, text: &edit.text }
            });
            JsonFix { safe: fix.is_safe, edits: edits.collect() }
        });
        Self {
            code: diagnostic.code.to_string(),
            severity: diagnostic.severity.word(),
            message: &diagnostic.message,
            help: diagnostic.help.as_deref(),
            labels: labels.collect(),
            fix,
        }
    }
}

fn place(span: Span, sources: &Sources) -> (&str, JsonPosition, JsonPosition) {
    let position = |offset| {
        let position = sources.position(span.file, offset);
        JsonPosition { offset: position.offset, line: position.line, column: position.column }
    };
    (&sources.get(span.file).name, position(span.start), position(span.end))
}

/// Renders one JSON object on one line: all are counted, at most `max` are listed (0 for all).
pub fn render_json(diagnostics: &Diagnostics, sources: &Sources, max: usize) -> String {
    let report = Report {
        version: 1,
        errors: diagnostics.count(Severity::Error),
        warnings: diagnostics.count(Severity::Warning),
        notes: diagnostics.count(Severity::Note),
        diagnostics: select(diagnostics, max).into_iter().map(|one| JsonDiagnostic::new(one, sources)).collect(),
    };
    let mut text = serde_json::to_string(&report).expect("texts and numbers always serialize");
    text.push('\n');
    text
}
