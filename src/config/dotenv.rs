//! Env files: `K=V`, `export K=V`, `#` comments, single quotes literal, double quotes with escapes; rule 0304.

use std::collections::{BTreeMap, HashSet};

use super::text::{FILE_MAX_BYTES, read_text};
use crate::diag::{Code, Diagnostic, Diagnostics, FileId, Severity, Span};

/// What an env file says.
#[derive(Debug, Default)]
pub(super) struct Dotenv {
    /// Variables that could be read.
    pub(super) variables: BTreeMap<String, String>,
    /// Variables whose lines could not be read.
    pub(super) unread: HashSet<String>,
    /// Whether nothing of it could be read.
    pub(super) is_unreadable: bool,
}

impl Dotenv {
    /// Takes what a later env file says.
    pub(super) fn override_with(&mut self, later: Self) {
        self.unread.retain(|name| !later.variables.contains_key(name));
        self.variables.extend(later.variables);
        self.unread.extend(later.unread);
        self.is_unreadable |= later.is_unreadable;
    }

    /// Whether a variable may be meant by what could not be read: that it is unset would only follow.
    pub(super) fn may_say(&self, name: &str) -> bool {
        self.is_unreadable || self.unread.contains(name)
    }
}

/// Reads the lines of an env file; a later line overrides.
pub(super) fn parse_dotenv(file: FileId, bytes: &[u8], out: &mut Diagnostics) -> Dotenv {
    let unreadable = Dotenv { is_unreadable: true, ..Dotenv::default() };
    if bytes.len() > FILE_MAX_BYTES {
        let span = Span { file, start: 0, end: 0 };
        out.push(
            Diagnostic::new(Code(304), Severity::Error, "the env file is longer than 1 MiB")
                .label(span, "in this file"),
        );
        return unreadable;
    }
    let Some(text) = read_text(file, bytes, out) else { return unreadable };
    let mut dotenv = Dotenv::default();
    let mut start = text.offset;
    for line in text.text.split('\n') {
        let content = line.trim();
        let span_start = start + (line.len() - line.trim_start().len());
        let span = Span { file, start: span_start, end: span_start + content.len() };
        start += line.len() + 1;
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        match parse_line(content) {
            Ok((name, value)) => {
                dotenv.variables.insert(name, value);
            }
            Err(mistake) => {
                dotenv.unread.insert(meant_name(content).to_owned());
                out.push(
                    Diagnostic::new(Code(304), Severity::Error, "a line of the env file cannot be read")
                        .label(span, mistake)
                        .help("write `NAME=value`, or `NAME=\"a value with spaces # and signs\"`"),
                );
            }
        }
    }
    dotenv
}

/// What stands before and after the `=` of a line.
fn split_name(line: &str) -> Option<(&str, &str)> {
    without_export(line).split_once('=').map(|(name, value)| (name.trim_end(), value))
}

fn without_export(line: &str) -> &str {
    match line.strip_prefix("export") {
        Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start(),
        _ => line,
    }
}

/// The variable that a line which cannot be read was to set: what stands before its `=`, else its first word, as of
/// `NAME: value`.
fn meant_name(line: &str) -> &str {
    let line = without_export(line);
    match line.split_once('=') {
        Some((name, _)) => name.trim_end(),
        None => line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap_or_default(),
    }
}

fn parse_line(line: &str) -> Result<(String, String), &'static str> {
    let (name, value) = split_name(line).ok_or("there is no `=`")?;
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    if !is_name {
        return Err("what stands before `=` is no name");
    }
    Ok((name.to_owned(), parse_value(value.trim_start())?))
}

fn parse_value(text: &str) -> Result<String, &'static str> {
    if let Some(rest) = text.strip_prefix('\'') {
        let (value, after) = rest.split_once('\'').ok_or("the quote is not closed")?;
        return check_after(after).map(|()| value.to_owned());
    }
    let Some(rest) = text.strip_prefix('"') else {
        let end = text.char_indices().find(|(at, c)| *c == '#' && text[..*at].ends_with([' ', '\t'])).map(|(at, _)| at);
        let end = if text.starts_with('#') { 0 } else { end.unwrap_or(text.len()) };
        return Ok(text[..end].trim_end().to_owned());
    };
    let mut value = String::new();
    let mut chars = rest.chars();
    loop {
        match chars.next().ok_or("the quote is not closed")? {
            '"' => return check_after(chars.as_str()).map(|()| value),
            '\\' => match chars.next().ok_or("the quote is not closed")? {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                escaped @ ('"' | '\\' | '$') => value.push(escaped),
                _ => return Err("an escape that is not known; known ones: `\\n \\t \\\" \\\\ \\$`"),
            },
            character => value.push(character),
        }
    }
}

fn check_after(after: &str) -> Result<(), &'static str> {
    let after = after.trim_start();
    if after.is_empty() || after.starts_with('#') { Ok(()) } else { Err("text after the closing quote") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> (BTreeMap<String, String>, usize) {
        let mut out = Diagnostics::default();
        let dotenv = parse_dotenv(FileId(0), text.as_bytes(), &mut out);
        (dotenv.variables, out.iter().count())
    }

    #[test]
    fn what_could_not_be_read_may_say_anything() {
        let mut out = Diagnostics::default();
        let dotenv = parse_dotenv(FileId(0), b"A='x\nB=1\n", &mut out);
        assert_eq!([dotenv.may_say("A"), dotenv.may_say("B"), dotenv.may_say("C")], [true, false, false]);
        assert!(parse_dotenv(FileId(0), b"\xff", &mut out).may_say("C"));
    }

    #[test]
    fn every_form_of_line_is_read() {
        let text = "\u{feff}# a comment\r\nA=1\r\nexport B = two words # comment\nC='lit $x \\n'\nD=\"a\\n\\\"\\$\\\\\" # c\nE=\nF=a#b\n\nexported=x\n";
        let (variables, mistakes) = read(text);
        assert_eq!(mistakes, 0);
        let pairs: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            pairs,
            [
                ("A", "1"),
                ("B", "two words"),
                ("C", "lit $x \\n"),
                ("D", "a\n\"$\\"),
                ("E", ""),
                ("F", "a#b"),
                ("exported", "x")
            ]
        );
    }

    #[test]
    fn every_bad_line_is_told_and_the_others_are_read() {
        let (variables, mistakes) = read("A\n1B=2\nC='x\nD=\"x\\q\"\nE='a' b\nF=ok\n");
        assert_eq!(mistakes, 5);
        assert_eq!(variables.len(), 1);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_spans_stay_inside(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut out = Diagnostics::default();
            parse_dotenv(FileId(0), &bytes, &mut out);
            for diagnostic in out.iter() {
                for label in &diagnostic.labels {
                    prop_assert!(label.span.start <= label.span.end && label.span.end <= bytes.len());
                }
            }
        }
    }
}
