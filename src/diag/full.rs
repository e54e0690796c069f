//! Diagnostics for people at a terminal: the text of the file with its labels, drawn by miette.
//!
//! All of miette is in this file. It is given texts that [`DisplayText`] made safe and lines and columns that
//! count as ours do; labels in other files than the primary one follow as related remarks.

use std::collections::BTreeMap;
use std::fmt;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, SourceCode, SourceSpan, SpanContents};

use super::diagnostic::{Diagnostic, Diagnostics, Label, Severity};
use super::display::{DisplayText, lines, one_line};
use super::select::{select, summary};
use super::source::{FileId, Sources};

/// The longest line that is drawn, in bytes; a place in a longer one is only named.
const LINE_MAX_BYTES: usize = 1000;

/// How to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenderOptions {
    /// Columns of the terminal.
    pub width: usize,
    /// Whether escape sequences for colours may be used.
    pub is_color: bool,
    /// Whether characters beyond ASCII may be used to draw.
    pub is_unicode: bool,
    /// At most so many are shown; 0 for all.
    pub max_diagnostics: usize,
}

impl Default for RenderOptions {
    fn default() -> Self {
        Self { width: 100, is_color: false, is_unicode: true, max_diagnostics: super::MAX_DIAGNOSTICS }
    }
}

/// Renders diagnostics with the text they are about, and a line that counts them; empty where there are none.
pub fn render_full(diagnostics: &Diagnostics, sources: &Sources, options: &RenderOptions) -> String {
    let theme = match (options.is_unicode, options.is_color) {
        (true, true) => GraphicalTheme::unicode(),
        (true, false) => GraphicalTheme::unicode_nocolor(),
        (false, true) => GraphicalTheme::ascii(),
        (false, false) => GraphicalTheme::none(),
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(options.width.max(20))
        .with_links(false)
        .with_context_lines(1)
        .without_syntax_highlighting();
    let mut texts: BTreeMap<FileId, File> = BTreeMap::new();
    let shown = select(diagnostics, options.max_diagnostics);
    for label in shown.iter().flat_map(|diagnostic| &diagnostic.labels) {
        texts.entry(label.span.file).or_insert_with(|| File::new(sources, label.span.file));
    }
    let mut text = String::new();
    for diagnostic in &shown {
        let report = Report::new(diagnostic, &texts);
        // Writing to a `String` does not fail; what miette cannot draw still has its header and message.
        let _ = handler.render_report(&mut text, &report);
        text.push('\n');
    }
    if let Some(summary) = summary(diagnostics, shown.len()) {
        text.push_str(&summary);
        text.push('\n');
    }
    text
}

/// A text with its name.
#[derive(Debug)]
struct File {
    name: String,
    text: DisplayText,
}

impl File {
    fn new(sources: &Sources, id: FileId) -> Self {
        let source = sources.get(id);
        Self { name: one_line(&source.name), text: DisplayText::new(&source.bytes) }
    }

    /// Whether the lines around a label are short enough to be drawn.
    fn is_drawable(&self, label: &Label) -> bool {
        let first = self.text.line(self.text.offset(label.span.start));
        let last = self.text.line(self.text.offset(label.span.end));
        (first.saturating_sub(1)..=last + 1).all(|line| self.text.lines(line, line).len() <= LINE_MAX_BYTES)
    }

    /// `NAME:LINE:COLUMN` of a label.
    fn place(&self, label: &Label) -> String {
        let start = self.text.offset(label.span.start);
        format!("{}:{}:{}", self.name, self.text.line(start) + 1, self.text.column(start) + 1)
    }

    fn labeled(&self, label: &Label, is_primary: bool) -> LabeledSpan {
        let mut start = self.text.offset(label.span.start);
        let mut end = self.text.offset(label.span.end).max(start);
        if start == end && start == self.text.text.len() {
            // The end of the file has no line of its own: point behind the last one.
            start = self.text.text.trim_end_matches('\n').len();
            end = start;
        }
        let span = SourceSpan::from((start, end - start));
        let text = Some(one_line(&label.text)).filter(|text| !text.is_empty());
        if is_primary { LabeledSpan::new_primary_with_span(text, span) } else { LabeledSpan::new_with_span(text, span) }
    }
}

impl SourceCode for File {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let end = span.offset() + span.len();
        if end > self.text.text.len() {
            return Err(MietteError::OutOfBounds);
        }
        let is_position = before == 0 && after == 0;
        let line = self.text.line(span.offset());
        // For the place of a label, miette asks without context; it takes the first line's number and the column.
        let first = line.saturating_sub(before);
        let last_char = if span.is_empty() { end } else { end - 1 };
        let last = (self.text.line(last_char) + after).min(self.text.line_count().saturating_sub(1)).max(line);
        let column = if is_position { self.text.column(span.offset()) } else { 0 };
        let range = self.text.lines(first, last);
        let span = SourceSpan::from((range.start, range.len()));
        Ok(Box::new(Lines { file: self, range, span, line: first, column, count: last - first + 1 }))
    }
}

struct Lines<'a> {
    file: &'a File,
    range: std::ops::Range<usize>,
    span: SourceSpan,
    line: usize,
    column: usize,
    count: usize,
}

impl<'a> SpanContents<'a> for Lines<'a> {
    fn data(&self) -> &'a [u8] {
        &self.file.text.text.as_bytes()[self.range.clone()]
    }

    fn span(&self) -> &SourceSpan {
        &self.span
    }

    fn name(&self) -> Option<&str> {
        Some(&self.file.name)
    }

    fn line(&self) -> usize {
        self.line
    }

    fn column(&self) -> usize {
        self.column
    }

    fn line_count(&self) -> usize {
        self.count
    }
}

/// One diagnostic in the shape that miette draws.
struct Report<'a> {
    code: Option<String>,
    severity: miette::Severity,
    message: String,
    help: Option<String>,
    file: Option<&'a File>,
    labels: Vec<LabeledSpan>,
    related: Vec<Report<'a>>,
}

impl<'a> Report<'a> {
    fn new(diagnostic: &Diagnostic, files: &'a BTreeMap<FileId, File>) -> Self {
        let primary = diagnostic.labels.first().map(|label| label.span.file);
        let severity = match diagnostic.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
            Severity::Note => miette::Severity::Advice,
        };
        let mut labels = Vec::new();
        let mut places = Vec::new();
        let mut others: BTreeMap<FileId, Vec<LabeledSpan>> = BTreeMap::new();
        for (index, label) in diagnostic.labels.iter().enumerate() {
            let Some(file) = files.get(&label.span.file) else { continue };
            if !file.is_drawable(label) {
                places.push(format!("{}: {}", file.place(label), one_line(&label.text)));
            } else if Some(label.span.file) == primary {
                labels.push(file.labeled(label, index == 0));
            } else {
                others.entry(label.span.file).or_default().push(file.labeled(label, false));
            }
        }
        let words = if others.len() == 1 { "the other place" } else { "another place" };
        let related = others.into_iter().map(|(id, labels)| Self {
            code: None,
            severity: miette::Severity::Advice,
            message: words.to_owned(),
            help: None,
            file: files.get(&id),
            labels,
            related: Vec::new(),
        });
        Self {
            code: Some(format!("{}[{}]", diagnostic.severity, diagnostic.code)),
            severity,
            message: std::iter::once(lines(&diagnostic.message)).chain(places).collect::<Vec<_>>().join("\n"),
            help: diagnostic.help.as_deref().map(lines),
            file: primary.and_then(|id| files.get(&id)),
            labels,
            related: related.collect(),
        }
    }
}

impl fmt::Debug for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Report<'_> {}

impl miette::Diagnostic for Report<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.code.as_ref().map(|code| Box::new(code) as Box<dyn fmt::Display>)
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.file.map(|file| file as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        (!self.labels.is_empty())
            .then(|| Box::new(self.labels.iter().cloned()) as Box<dyn Iterator<Item = LabeledSpan>>)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        let related = self.related.iter().map(|report| report as &dyn miette::Diagnostic);
        (!self.related.is_empty()).then(|| Box::new(related) as Box<dyn Iterator<Item = &dyn miette::Diagnostic>>)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Code, Source, Span};
    use super::*;

    fn two_files() -> (Sources, Diagnostics) {
        let mut sources = Sources::default();
        for (name, text) in [("a.yaml", "one: 1\ntwo: 2\n"), ("b.yaml", "three: 3\n")] {
            sources.add(Source { name: name.to_owned(), path: None, bytes: text.as_bytes().to_vec() });
        }
        let mut all = Diagnostics::default();
        let span = |file, start, end| Span { file: FileId(file), start, end };
        all.push(
            Diagnostic::new(Code(2), Severity::Error, "given twice")
                .label(span(0, 7, 10), "the second\u{1b}[31m")
                .label(span(1, 0, 5), "the first")
                .help("keep one"),
        );
        (sources, all)
    }

    #[test]
    fn labels_in_another_file_are_shown_with_that_file() {
        let (sources, all) = two_files();
        let options = RenderOptions { is_unicode: false, ..RenderOptions::default() };
        let text = render_full(&all, &sources, &options);
        for part in
            ["error[SMOL0002]", "[a.yaml:2:1]", "two: 2", "[b.yaml:1:1]", "three: 3", "the first", "help: keep one"]
        {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(text.is_ascii() && !text.contains('\u{1b}'), "{text}");
        assert!(text.ends_with("1 error\n"), "{text}");
    }

    #[test]
    fn colour_is_used_only_where_it_is_asked_for() {
        let (sources, all) = two_files();
        let options = RenderOptions { is_color: true, ..RenderOptions::default() };
        assert!(render_full(&all, &sources, &options).contains("\u{1b}["));
        assert!(!render_full(&all, &sources, &RenderOptions::default()).contains('\u{1b}'));
    }

    #[test]
    fn nothing_is_rendered_where_there_is_nothing() {
        let (sources, _) = two_files();
        assert_eq!(render_full(&Diagnostics::default(), &sources, &RenderOptions::default()), "");
    }

    #[test]
    fn places_at_the_end_of_a_file_are_drawn() {
        let (sources, _) = two_files();
        let mut all = Diagnostics::default();
        let end = Span { file: FileId(0), start: 14, end: 14 };
        all.push(Diagnostic::new(Code(1), Severity::Error, "ends here").label(end, "expected more"));
        let text = render_full(&all, &sources, &RenderOptions::default());
        assert!(text.contains("expected more"), "{text}");
    }
}
