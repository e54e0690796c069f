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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unchecked: Vec<&'a str>,
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
        unchecked: diagnostics.unchecked().collect(),
    };
    let mut text = serde_json::to_string(&report).expect("texts and numbers always serialize");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::super::{Code, Edit, FileId, Source};
    use super::*;

    fn sources() -> Sources {
        let mut sources = Sources::default();
        let bytes = "\u{feff}ä: 1\r\nb: 2\r\n".as_bytes().to_vec();
        sources.add(Source { name: "smolvm.yaml".to_owned(), path: None, bytes });
        sources
    }

    #[test]
    fn every_field_is_there_in_the_documented_form_and_order() {
        let span = Span { file: FileId(0), start: 10, end: 11 };
        let first = Span { file: FileId(0), start: 3, end: 5 };
        let mut all = Diagnostics::default();
        all.push(
            Diagnostic::new(Code(101), Severity::Error, "two")
                .label(span, "second")
                .label(first, "first")
                .fix(false, vec![Edit { span, text: "c".to_owned() }]),
        );
        all.push(Diagnostic::new(Code(10), Severity::Warning, "no place").help("do"));
        let expected = concat!(
            r#"{"version":1,"errors":1,"warnings":1,"notes":0,"diagnostics":["#,
            r#"{"code":"SMOL0101","severity":"error","message":"two","help":null,"labels":["#,
            r#"{"file":"smolvm.yaml","primary":true,"text":"second","#,
            r#""start":{"offset":10,"line":2,"column":1},"end":{"offset":11,"line":2,"column":2}},"#,
            r#"{"file":"smolvm.yaml","primary":false,"text":"first","#,
            r#""start":{"offset":3,"line":1,"column":1},"end":{"offset":5,"line":1,"column":2}}],"#,
            r#""fix":{"safe":false,"edits":[{"file":"smolvm.yaml","start":{"offset":10,"line":2,"column":1},"#,
            r#""end":{"offset":11,"line":2,"column":2},"text":"c"}]}},"#,
            r#"{"code":"SMOL0010","severity":"warning","message":"no place","help":"do","labels":[],"fix":null}]}"#,
            "\n"
        );
        assert_eq!(render_json(&all, &sources(), 0), expected);
    }

    #[test]
    fn all_are_counted_where_some_are_left_out_and_errors_stay() {
        let mut all = Diagnostics::default();
        for severity in [Severity::Note, Severity::Warning, Severity::Error] {
            all.push(Diagnostic::new(Code(1), severity, severity.word()));
        }
        let text = render_json(&all, &sources(), 1);
        assert!(text.starts_with(r#"{"version":1,"errors":1,"warnings":1,"notes":1,"#), "{text}");
        assert!(text.contains(r#""message":"error""#) && !text.contains(r#""message":"note""#), "{text}");
        let empty = render_json(&Diagnostics::default(), &sources(), 0);
        assert_eq!(empty, "{\"version\":1,\"errors\":0,\"warnings\":0,\"notes\":0,\"diagnostics\":[]}\n");
    }
}
