//! Diagnostics as annotations of GitHub Actions: a line each, which the runner shows beside the file.

use std::path::Path;

use super::diagnostic::{Diagnostic, Diagnostics, Severity};
use super::select::select;
use super::source::{Sources, Span};

/// Renders a line for each of at most `max` diagnostics (0 for all). Files are named from `root`, the repository's
/// folder, where they lie below it.
pub fn render_github(diagnostics: &Diagnostics, sources: &Sources, max: usize, root: Option<&Path>) -> String {
    select(diagnostics, max).into_iter().map(|one| line(one, sources, root)).collect()
}

fn line(diagnostic: &Diagnostic, sources: &Sources, root: Option<&Path>) -> String {
    let command = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "notice",
    };
    let mut properties = vec![format!("title={}", diagnostic.code)];
    let mut message = diagnostic.message.clone();
    if let Some(span) = diagnostic.labels.first().map(|label| label.span) {
        match file_name(span, sources, root) {
            Some(name) => properties.extend(place(span, sources, &name)),
            // The runner cannot show what has no file; people can still read where it is.
            None => {
                let start = sources.position(span.file, span.start);
                message = format!("{}:{}:{}: {message}", sources.get(span.file).name, start.line, start.column);
            }
        }
    }
    for label in diagnostic.labels.iter().skip(1) {
        let start = sources.position(label.span.file, label.span.start);
        let name = &sources.get(label.span.file).name;
        message.push_str(&format!("\n{name}:{}:{}: {}", start.line, start.column, label.text));
    }
    if let Some(help) = &diagnostic.help {
        message.push_str(&format!("\nhelp: {help}"));
    }
    format!("::{command} {}::{}\n", properties.join(","), escape(&message))
}

/// The name of the file in the repository, where it is a file.
fn file_name(span: Span, sources: &Sources, root: Option<&Path>) -> Option<String> {
    let source = sources.get(span.file);
    let path = source.path.as_deref()?;
    let below = root.and_then(|root| path.strip_prefix(root).ok());
    Some(below.map_or_else(|| source.name.clone(), |below| below.display().to_string()))
}

/// Columns are only understood within one line.
fn place(span: Span, sources: &Sources, name: &str) -> Vec<String> {
    let (start, end) = (sources.position(span.file, span.start), sources.position(span.file, span.end));
    let mut properties = vec![format!("file={}", escape_property(name)), format!("line={}", start.line)];
    if start.line == end.line {
        properties.push(format!("col={},endColumn={}", start.column, end.column));
    } else {
        properties.push(format!("endLine={}", end.line));
    }
    properties
}

fn escape(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn escape_property(text: &str) -> String {
    escape(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::super::{Code, FileId, Source};
    use super::*;

    fn sources() -> Sources {
        let mut sources = Sources::default();
        let path = Some("/repo/ci/a,b.yaml".into());
        sources.add(Source { name: "a,b.yaml".to_owned(), path, bytes: b"one: 1\ntwo: 2\n".to_vec() });
        sources.add(Source { name: "<stdin>".to_owned(), path: None, bytes: b"one: 1\n".to_vec() });
        sources
    }

    fn span(file: u32, start: usize, end: usize) -> Span {
        Span { file: FileId(file), start, end }
    }

    #[test]
    fn places_are_properties_and_what_would_end_them_is_escaped() {
        let mut all = Diagnostics::default();
        all.push(
            Diagnostic::new(Code(2), Severity::Error, "100 % twice: `a`, `b`")
                .label(span(0, 7, 10), "the second")
                .label(span(0, 0, 3), "the first")
                .help("keep one"),
        );
        let rest = "title=SMOL0002,file={},line=2,col=1,endColumn=4::100 %25 twice: `a`, `b`%0Aa,b.yaml:1:1: the first\
            %0Ahelp: keep one\n";
        let line = |name: &str| format!("::error {}", rest.replacen("{}", name, 1));
        assert_eq!(render_github(&all, &sources(), 0, None), line("a%2Cb.yaml"));
        assert_eq!(render_github(&all, &sources(), 0, Some(Path::new("/repo"))), line("ci/a%2Cb.yaml"));
        assert_eq!(render_github(&all, &sources(), 0, Some(Path::new("/other"))), line("a%2Cb.yaml"));
    }

    #[test]
    fn what_spans_lines_or_has_no_file_is_told_without_columns() {
        let mut all = Diagnostics::default();
        all.push(Diagnostic::new(Code(1), Severity::Warning, "over two lines").label(span(0, 0, 9), ""));
        all.push(Diagnostic::new(Code(1), Severity::Note, "a text\r\nof nobody").label(span(1, 5, 6), ""));
        all.push(Diagnostic::new(Code(10), Severity::Error, "no place"));
        assert_eq!(
            render_github(&all, &sources(), 0, None),
            "::warning title=SMOL0001,file=a%2Cb.yaml,line=1,endLine=2::over two lines\n\
             ::notice title=SMOL0001::<stdin>:1:6: a text%0D%0Aof nobody\n::error title=SMOL0010::no place\n"
        );
    }
}
