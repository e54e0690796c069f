//! Diagnostics as the protocol has them.

use std::collections::BTreeMap;

use lsp_types::{
    Diagnostic as LspDiagnostic, DiagnosticRelatedInformation, DiagnosticSeverity, DiagnosticTag, Location,
    NumberOrString, Range, Uri,
};

use super::buffers::Document;
use super::position::{Encoding, Positions};
use super::uri;
use crate::diag::{Code, Diagnostic, FileId, Severity, Sources, Span};

/// Rules about what is there and does nothing.
const UNNECESSARY: [u16; 3] = [207, 208, 604];

/// The texts of a check, as the client names them and counts in them.
#[derive(Debug)]
pub(super) struct Files {
    files: Vec<File>,
}

#[derive(Debug)]
struct File {
    uri: Option<Uri>,
    text: String,
    positions: Positions,
}

impl Files {
    /// The files of a check; an open document keeps the name that its client gave it.
    pub(super) fn new(sources: &Sources, documents: &[&Document], untitled: Option<&Uri>, encoding: Encoding) -> Self {
        let file = |path: Option<&std::path::Path>, bytes: &[u8], is_first: bool| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            let open = documents.iter().find(|document| document.path.as_deref() == path && path.is_some());
            let uri = match (untitled.filter(|_| is_first), open) {
                (Some(uri), _) => Some(uri.clone()),
                (None, Some(document)) => Some(document.uri.clone()),
                (None, None) => path.and_then(uri::of_path),
            };
            File { uri, positions: Positions::new(&text, encoding), text }
        };
        let all = sources.iter().map(|(id, source)| file(source.path.as_deref(), &source.bytes, id == FileId(0)));
        Self { files: all.collect() }
    }

    fn file(&self, id: FileId) -> Option<&File> {
        self.files.get(id.0 as usize)
    }

    /// The text of a file.
    pub(super) fn text(&self, id: FileId) -> Option<&str> {
        self.file(id).map(|file| file.text.as_str())
    }

    /// The document of a file.
    pub(super) fn uri(&self, id: FileId) -> Option<&Uri> {
        self.file(id)?.uri.as_ref()
    }

    /// The range of a span in its document.
    pub(super) fn range(&self, span: Span) -> Range {
        self.file(span.file).map_or_else(Range::default, |file| file.positions.range(&file.text, span.start..span.end))
    }

    /// What is written there.
    pub(super) fn written(&self, span: Span) -> &str {
        self.file(span.file).and_then(|file| file.text.get(span.start..span.end)).unwrap_or_default()
    }

    /// The place of a span.
    fn location(&self, span: Span) -> Option<Location> {
        Some(Location { uri: self.uri(span.file)?.clone(), range: self.range(span) })
    }
}

/// Remarks by the URI of their document.
pub(super) type ByDocument = BTreeMap<String, Vec<LspDiagnostic>>;

/// So many remarks on one document are sent.
const REMARKS_MAX: usize = 1000;

/// Diagnostics by document; those that have no place stand at the start of the first file. `has_related` tells whether
/// the client shows other places beside a remark.
pub(super) fn by_document(diagnostics: &[Diagnostic], files: &Files, has_related: bool) -> ByDocument {
    let mut out = ByDocument::new();
    for diagnostic in diagnostics {
        let file = diagnostic.labels.first().map_or(FileId(0), |label| label.span.file);
        let Some(uri) = files.uri(file) else { continue };
        let remarks = out.entry(uri.as_str().to_owned()).or_default();
        if remarks.len() < REMARKS_MAX {
            remarks.push(convert(diagnostic, files, has_related));
        }
    }
    out
}

/// One diagnostic.
pub(super) fn convert(diagnostic: &Diagnostic, files: &Files, has_related: bool) -> LspDiagnostic {
    let primary = diagnostic.labels.first();
    let mut message = diagnostic.message.clone();
    if let Some(label) = primary.filter(|label| !label.text.is_empty()) {
        message.push_str(&format!("\n{}", label.text));
    }
    if let Some(help) = &diagnostic.help {
        message.push_str(&format!("\nhelp: {help}"));
    }
    let related = diagnostic.labels.iter().skip(1).filter_map(|label| {
        let text = if label.text.is_empty() { "here" } else { &label.text };
        Some(DiagnosticRelatedInformation { location: files.location(label.span)?, message: text.to_owned() })
    });
    let mut related: Vec<DiagnosticRelatedInformation> = related.collect();
    if !has_related {
        for other in related.drain(..) {
            message.push_str(&format!("\nline {}: {}", other.location.range.start.line + 1, other.message));
        }
    }
    LspDiagnostic {
        range: primary.map_or_else(Range::default, |label| files.range(label.span)),
        severity: Some(match diagnostic.severity {
            Severity::Error => DiagnosticSeverity::ERROR,
            Severity::Warning => DiagnosticSeverity::WARNING,
            Severity::Note => DiagnosticSeverity::INFORMATION,
        }),
        code: Some(NumberOrString::String(diagnostic.code.to_string())),
        code_description: None,
        source: Some("smolvm".to_owned()),
        message,
        related_information: (!related.is_empty()).then_some(related),
        tags: is_unnecessary(diagnostic.code).then(|| vec![DiagnosticTag::UNNECESSARY]),
        data: None,
    }
}

fn is_unnecessary(code: Code) -> bool {
    UNNECESSARY.contains(&code.0)
}
