//! Where an edit must begin and end so that the layout of the file around it stays as it is.
//!
//! Bytes and places only: what is edited, and whether that is right, is decided by those who ask. Where a line holds
//! something that the edit does not know (a comment, another entry), the answer is none.

use std::ops::Range;

/// The bytes to take out so that an entry of a map is gone with its line or, in `{ … }`, its comma.
pub(super) fn entry_removal(text: &[u8], entry: Range<usize>, is_flow: bool) -> Option<Range<usize>> {
    if is_flow { with_comma(text, entry) } else { whole_line(text, entry, b"") }
}

/// As [`entry_removal`], for an item of a list.
pub(super) fn item_removal(text: &[u8], item: Range<usize>) -> Option<Range<usize>> {
    whole_line(text, item.clone(), b"-").or_else(|| with_comma(text, item))
}

/// The line of a part that is alone on it behind `marker`. Looks no further than white space goes: a line may be long,
/// and hold many parts.
fn whole_line(text: &[u8], part: Range<usize>, marker: &[u8]) -> Option<Range<usize>> {
    let before = trim_blanks(text.get(..part.start)?);
    let before = trim_blanks(before.strip_suffix(marker)?);
    let is_first = before.is_empty() || before.ends_with(b"\n");
    let after = text.get(part.end..)?;
    let blanks = after.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count();
    let is_last = blanks == after.len() || after[blanks] == b'\n';
    (is_first && is_last).then(|| before.len()..(part.end + blanks + 1).min(text.len()))
}

fn trim_blanks(text: &[u8]) -> &[u8] {
    let blanks = text.iter().rev().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &text[..text.len() - blanks]
}

/// A part and the comma before it.
fn with_comma(text: &[u8], part: Range<usize>) -> Option<Range<usize>> {
    let before = text.get(..part.start)?.trim_ascii_end();
    before.ends_with(b",").then(|| before.len() - 1..part.end)
}

/// Where a further entry goes into a map that begins at `map`, and its text: behind the entry whose key is `key` and
/// whose value, on one line with it, is at `value`.
pub(super) fn addition(
    text: &[u8],
    map: Range<usize>,
    key: &str,
    value: Range<usize>,
    entry: &str,
) -> Option<(usize, String)> {
    if text.get(map.start) == Some(&b'{') {
        let is_inside = map.contains(&value.start) && value.end < map.end;
        return is_inside.then(|| (value.end, format!(", {entry}")));
    }
    let line = line_around(text, value.start);
    let column = key_column(&text[line.clone()]);
    let before = text.get(line.start + column..value.start)?;
    let is_key_alone = before.strip_prefix(key.as_bytes())?.trim_ascii() == b":";
    let is_in_map = column == column_of(text, map.start)
        && map.start <= line.start + column
        && !text.get(value.clone())?.contains(&b'\n')
        && is_indented(text.get(map.start..line.end)?, column);
    if !is_key_alone || !is_in_map {
        return None;
    }
    let (end, line_end) = if text[..line.end].ends_with(b"\r") { (line.end - 1, "\r\n") } else { (line.end, "\n") };
    Some((end, format!("{line_end}{}{entry}", " ".repeat(column))))
}

/// The line that holds a place, without its line feed.
fn line_around(text: &[u8], place: usize) -> Range<usize> {
    let place = place.min(text.len());
    let start = text[..place].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let end = text[place..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| place + at);
    start..end
}

fn column_of(text: &[u8], place: usize) -> usize {
    place - line_around(text, place).start
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.trim_ascii().is_empty()
}

/// Where the first key of a line stands, behind its indentation and the dashes of lists.
fn key_column(line: &[u8]) -> usize {
    let mut column = 0;
    while let Some(byte) = line.get(column) {
        match byte {
            b' ' => column += 1,
            b'-' if line.get(column + 1) == Some(&b' ') => column += 2,
            _ => break,
        }
    }
    column
}

/// Whether all lines but the first are at least so far to the right, or blank.
fn is_indented(lines: &[u8], column: usize) -> bool {
    let indent = |line: &[u8]| line.iter().take_while(|byte| **byte == b' ').count();
    lines.split(|byte| *byte == b'\n').skip(1).all(|line| is_blank(line) || indent(line) >= column)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str, part: &str) -> Range<usize> {
        let start = text.rfind(part).expect("in the text");
        start..start + part.len()
    }

    fn without(text: &str, removed: Option<Range<usize>>) -> String {
        let mut text = text.to_owned();
        text.replace_range(removed.expect("can be removed"), "");
        text
    }

    #[test]
    fn an_entry_goes_with_its_line_or_its_comma() {
        let removal = |text: &str, is_flow| entry_removal(text.as_bytes(), find(text, "k: 1"), is_flow);
        let text = "a:\n  k: 1\n  k: 1  \r\n  l: 2\n";
        assert_eq!(without(text, removal(text, false)), "a:\n  k: 1\n  l: 2\n");
        let text = "a: { k: 1, k: 1 }\n";
        assert_eq!(without(text, removal(text, true)), "a: { k: 1 }\n");
        let text = "a: {\n  k: 1,\n  k: 1\n}";
        assert_eq!(without(text, removal(text, true)), "a: {\n  k: 1\n}");
        assert_eq!(removal("a:\n  k: 1\n  k: 1 # why\n", false), None);
        let text = "l: x,\nk: 1";
        assert_eq!(without(text, removal(text, false)), "l: x,\n");
    }

    #[test]
    fn an_item_goes_with_its_dash_or_its_comma() {
        let text = "a:\n  - x\n  - x\nb: 1\n";
        assert_eq!(without(text, item_removal(text.as_bytes(), find(text, "x"))), "a:\n  - x\nb: 1\n");
        let text = "a: [x, x]";
        assert_eq!(without(text, item_removal(text.as_bytes(), find(text, "x"))), "a: [x]");
        let text = "- - x\n  - x\n";
        assert_eq!(item_removal(text.as_bytes(), 4..5), None, "a list in a list");
    }

    fn added(text: &str, map: &str, value: &str) -> Option<String> {
        let (map, value) = (find(text, map), find(text, value));
        let (place, entry) = addition(text.as_bytes(), map, "target", value, "create: true")?;
        Some(format!("{}{entry}{}", &text[..place], &text[place..]))
    }

    #[test]
    fn an_entry_is_added_in_the_form_of_its_map() {
        let flow = "- { source: ./a, target: /x }\n";
        let with = added(flow, "{ source: ./a, target: /x }", "/x");
        assert_eq!(with.as_deref(), Some("- { source: ./a, target: /x, create: true }\n"));
        let block = "m:\n  - source: ./a # why\n\n    target: /x # where\r\n    readonly: false\r\n";
        let with = added(block, "source: ./a", "/x");
        let expected =
            "m:\n  - source: ./a # why\n\n    target: /x # where\r\n    create: true\r\n    readonly: false\r\n";
        assert_eq!(with.as_deref(), Some(expected));
        let with = added("  - target: /x", "target: /x", "/x");
        assert_eq!(with.as_deref(), Some("  - target: /x\n    create: true"));
    }

    #[test]
    fn nothing_is_added_where_the_value_lies_in_another_map() {
        assert_eq!(added("x: &x\n  target: /x\nm:\n  - source: ./a\n", "source: ./a", "/x"), None);
        assert_eq!(added("- source: ./a\n  more: { target: /x }\n", "source: ./a", "/x"), None);
        assert_eq!(added("- source: ./a\n- target: /x\n", "source: ./a", "/x"), None);
    }
}
