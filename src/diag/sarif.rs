//! Diagnostics as a SARIF 2.1.0 log, which code scanning services read.
//!
//! Related places are the labels after the first, and a fix of ours is a fix there. A text from standard input has no
//! address: only its place in the text is given.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};

use super::diagnostic::{Diagnostic, Diagnostics, Fix, Severity};
use super::rules::Rule;
use super::select::select;
use super::source::{FileId, Source, Sources, Span};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// The folder that relative addresses start at, by the name that code scanning knows.
const ROOT: &str = "%SRCROOT%";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResultOf {
    rule_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule_index: Option<usize>,
    level: &'static str,
    message: Value,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    locations: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related_locations: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fixes: Vec<Value>,
}

/// Renders a log with one run: at most `max` results (0 for all), with all rules that there are.
pub fn render_sarif(diagnostics: &Diagnostics, sources: &Sources, max: usize) -> String {
    let results = select(diagnostics, max).into_iter().map(|one| result(one, sources));
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "smolvm",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": Rule::all().iter().map(rule).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": results.collect::<Vec<_>>(),
        }],
    });
    format!("{log}\n")
}

fn rule(rule: &Rule) -> Value {
    let markdown = rule.markdown();
    json!({
        "id": rule.code().to_string(),
        "shortDescription": { "text": rule.title() },
        "fullDescription": { "text": rule.summary() },
        "help": { "text": markdown, "markdown": markdown },
        "defaultConfiguration": { "level": rule.severity().word() },
    })
}

fn result(diagnostic: &Diagnostic, sources: &Sources) -> ResultOf {
    let text = match &diagnostic.help {
        Some(help) => format!("{}\nhelp: {help}", diagnostic.message),
        None => diagnostic.message.clone(),
    };
    let mut locations = diagnostic.labels.iter().map(|label| {
        let mut location = json!({ "physicalLocation": place(label.span, sources) });
        if !label.text.is_empty() {
            location["message"] = json!({ "text": label.text });
        }
        location
    });
    ResultOf {
        rule_id: diagnostic.code.to_string(),
        rule_index: Rule::all().iter().position(|rule| rule.code() == diagnostic.code),
        level: match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        },
        message: json!({ "text": text }),
        locations: locations.by_ref().take(1).collect(),
        related_locations: locations.collect(),
        fixes: diagnostic.fix.iter().map(|one| fix(one, diagnostic, sources)).collect(),
    }
}

fn fix(fix: &Fix, diagnostic: &Diagnostic, sources: &Sources) -> Value {
    let mut files: Vec<FileId> = fix.edits.iter().map(|edit| edit.span.file).collect();
    files.dedup();
    let changes = files.into_iter().map(|file| {
        let edits = fix.edits.iter().filter(|edit| edit.span.file == file);
        let replacements = edits.map(
            |edit| json!({ "deletedRegion": region(edit.span, sources), "insertedContent": { "text": edit.text } }),
        );
        json!({
            "artifactLocation": artifact(sources.get(file)),
            "replacements": replacements.collect::<Vec<_>>(),
        })
    });
    let words = diagnostic.help.as_deref().unwrap_or("change the text");
    json!({ "description": { "text": words }, "artifactChanges": changes.collect::<Vec<_>>() })
}

fn place(span: Span, sources: &Sources) -> Value {
    json!({ "artifactLocation": artifact(sources.get(span.file)), "region": region(span, sources) })
}

fn region(span: Span, sources: &Sources) -> Value {
    let (start, end) = (sources.position(span.file, span.start), sources.position(span.file, span.end));
    json!({
        "startLine": start.line,
        "startColumn": start.column,
        "endLine": end.line,
        "endColumn": end.column,
        "byteOffset": start.offset,
        "byteLength": end.offset - start.offset,
    })
}

fn artifact(source: &Source) -> Value {
    if source.path.is_none() {
        return json!({ "description": { "text": "standard input" } });
    }
    match source.name.strip_prefix('/') {
        Some(absolute) => json!({ "uri": format!("file:///{}", encode(absolute)) }),
        None => json!({ "uri": encode(&source.name), "uriBaseId": ROOT }),
    }
}

/// A path as a relative reference: what is not plain is escaped.
fn encode(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => uri.push(char::from(byte)),
            // Writing to a `String` does not fail.
            _ => drop(write!(uri, "%{byte:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_addresses() {
        assert_eq!(encode("ci/größe 1.yaml"), "ci/gr%C3%B6%C3%9Fe%201.yaml");
        let source = |name: &str, path: Option<&str>| Source {
            name: name.to_owned(),
            path: path.map(Into::into),
            bytes: Vec::new(),
        };
        let uri = |source: Source| artifact(&source)["uri"].clone();
        assert_eq!(uri(source("a:b.yaml", Some("/p/a:b.yaml"))), "a%3Ab.yaml");
        assert_eq!(uri(source("/p/smolvm.yaml", Some("/p/smolvm.yaml"))), "file:///p/smolvm.yaml");
        assert_eq!(uri(source("<stdin>", None)), Value::Null);
    }
}
