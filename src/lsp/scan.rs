//! Small questions about a YAML text, by its characters: lines, keys, quotes, comments.

use std::ops::Range;

use super::outline::Word;

/// A line without its end.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// Where the line begins.
    pub(super) raw_start: usize,
    /// White space before what it says.
    pub(super) indent: usize,
    /// Where that begins.
    pub(super) start: usize,
    /// Where that ends; the same as `start` where it says nothing.
    pub(super) end: usize,
}

impl Line {
    /// The column as a number that may be compared with the one of the root, -1.
    pub(super) fn column(&self) -> isize {
        isize::try_from(self.indent).unwrap_or(isize::MAX)
    }

    /// Whether it holds nothing, a comment, or the mark of a document.
    pub(super) fn is_blank(&self, text: &str) -> bool {
        let content = &text[self.start..self.end];
        let is_mark = self.indent == 0 && (content == "---" || content == "..." || content.starts_with("%YAML"));
        content.is_empty() || content.starts_with('#') || is_mark
    }

    /// Whether it is an entry of a list.
    pub(super) fn is_dash(&self, text: &str) -> bool {
        let content = &text[self.start..self.end];
        content == "-" || content.starts_with("- ") || content.starts_with("-\t")
    }
}

/// The lines of a text; only LF ends one.
pub(super) fn lines(text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut raw_start = 0;
    for raw in text.split_inclusive('\n') {
        let mark = if raw_start == 0 && raw.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let content = raw[mark..].trim_end_matches(['\n', '\r', ' ', '\t']);
        let indent = content.len() - content.trim_start_matches([' ', '\t']).len();
        let start = raw_start + mark + indent;
        lines.push(Line { raw_start, indent, start, end: raw_start + mark + content.len() });
        raw_start += raw.len();
    }
    lines
}

/// A key: where it stands without quotes, and where its value may begin.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) span: Range<usize>,
    pub(super) after: usize,
}

/// The key with which the content of a line begins.
pub(super) fn key(content: &str) -> Option<Key> {
    let first = content.chars().next()?;
    if matches!(first, '"' | '\'') {
        let close = quote_end(content, 0)?;
        let rest = &content[close..];
        let colon = close + (rest.len() - rest.trim_start().len());
        return is_colon(content, colon).then_some(Key { span: 1..close - 1, after: colon + 1 });
    }
    if matches!(first, '{' | '[' | '|' | '>' | '@' | '%' | '#' | ':') || content.starts_with("? ") {
        return None;
    }
    let colon = content.match_indices(':').map(|(at, _)| at).find(|at| is_colon(content, *at))?;
    let written = &content[..colon];
    if written.contains(" #") {
        return None;
    }
    Some(Key { span: 0..written.trim_end().len(), after: colon + 1 })
}

fn is_colon(content: &str, at: usize) -> bool {
    let rest = &content[at..];
    rest.starts_with(':') && rest[1..].chars().next().is_none_or(char::is_whitespace)
}

/// The end of the quoted text that begins at an offset, its closing quote included.
fn quote_end(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let quote = bytes[start];
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if quote == b'"' => at += 2,
            byte if byte == quote && quote == b'\'' && bytes.get(at + 1) == Some(&b'\'') => at += 2,
            byte if byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

/// A quoted text on a line that ends at `end`, and on the deeper lines below it: where it stands without its quotes, and
/// its end. One that is not closed ends with its line.
pub(super) fn quoted(text: &str, start: usize, end: usize, parent: isize) -> (Range<usize>, usize) {
    if let Some(close) = quote_end(&text[..end], start) {
        return (start + 1..close - 1, close);
    }
    let below = &text[end..];
    let mut until = end;
    for line in below.split_inclusive('\n').skip(1) {
        let content = line.trim_start_matches([' ', '\t']);
        let indent = isize::try_from(line.len() - content.len()).unwrap_or(isize::MAX);
        let start_of_line = until + text[until..].find('\n').map_or(0, |at| at + 1);
        if !content.trim().is_empty() && indent <= parent {
            break;
        }
        until = start_of_line + line.trim_end().len();
    }
    match quote_end(&text[..until], start) {
        Some(close) => (start + 1..close - 1, close),
        None => (start + 1..end, end),
    }
}

/// A text up to its comment, without the white space before that.
pub(super) fn without_comment(content: &str) -> &str {
    let end = content.match_indices('#').map(|(at, _)| at).find(|at| content[..*at].ends_with([' ', '\t']));
    content[..end.unwrap_or(content.len())].trim_end()
}

/// Passes over an anchor and a tag; where the value begins, and the anchor.
pub(super) fn properties(text: &str, start: usize, end: usize) -> (usize, Option<Word>) {
    let mut at = start;
    let mut anchor = None;
    while let Some(first) = text[at..end].chars().next().filter(|first| matches!(first, '&' | '!')) {
        let is_end = |c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']' | '{' | '}');
        let length = text[at..end].find(is_end).unwrap_or(end - at);
        if first == '&' {
            anchor = Some(Word { text: text[at + 1..at + length].to_owned(), span: at + 1..at + length });
        }
        let rest = &text[at + length..end];
        at += length + (rest.len() - rest.trim_start_matches([' ', '\t']).len());
    }
    (at, anchor)
}

/// The next place in brackets that says something; none at the end of the text, and before a line that is not deeper
/// than `parent`, unless it closes them.
pub(super) fn skip_space(text: &str, start: usize, parent: isize) -> Option<usize> {
    let mut at = start;
    let mut line_start = None;
    loop {
        let rest = &text[at..];
        let first = rest.chars().next()?;
        match first {
            '\n' => line_start = Some(at + 1),
            '#' if text[..at].ends_with(char::is_whitespace) => {
                at += rest.find('\n').unwrap_or(rest.len());
                continue;
            }
            _ if first.is_whitespace() => {}
            _ => {
                let column = line_start.map(|start| isize::try_from(at - start).unwrap_or(isize::MAX));
                let is_outside = column.is_some_and(|column| column <= parent) && !matches!(first, '}' | ']');
                return (!is_outside).then_some(at);
            }
        }
        at += first.len_utf8();
    }
}

/// A scalar in brackets: where it stands without quotes, and its end. It takes at least one character.
pub(super) fn flow_word(text: &str, start: usize) -> (Range<usize>, usize) {
    let line = text[start..].split('\n').next().unwrap_or_default();
    let line_end = start + line.trim_end_matches('\r').len();
    if text[start..].starts_with(['"', '\'']) {
        return quoted(text, start, line_end.max(start + 1), isize::MAX);
    }
    let mut at = start;
    while let Some(character) = text[at..line_end].chars().next() {
        let next = at + character.len_utf8();
        match character {
            // A variable is no map, even if YAML would have it so.
            '{' if text[..at].ends_with('$') && at > start => {
                at = text[at..line_end].find('}').map_or(line_end, |close| at + close + 1);
                continue;
            }
            ',' | '}' | ']' | '[' | '{' if at > start => break,
            ':' if at > start => {
                let after = text[next..line_end].chars().next();
                if after.is_none_or(|after| after.is_whitespace() || matches!(after, ',' | '}' | ']')) {
                    break;
                }
            }
            '#' if at > start && text[..at].ends_with(' ') => break,
            _ => {}
        }
        at = next;
    }
    let at = at.max(start + text[start..].chars().next().map_or(0, char::len_utf8));
    let length = text[start..at].trim_end().len();
    (start..start + length, at)
}
