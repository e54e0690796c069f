//! Text of guests and files made harmless for a terminal, and the columns that a text takes there.
//!
//! What a step prints must not move the cursor, change the title, ask the terminal questions or turn letters around:
//! escape sequences (ECMA-48), control characters and the controls of writing direction are left out, colours among
//! them, because a line that is cut could not end them. Deliberately not here: where a line ends.

use std::iter::Peekable;
use std::str::Chars;

use unicode_width::UnicodeWidthChar;

/// Columns from one tab stop to the next.
const TAB: usize = 8;

/// The sign that says that something was cut off.
const ELLIPSIS: char = '…';

/// A line as it can be shown: only what prints, and tabs.
pub fn readable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(character) = chars.next() {
        match character {
            '\x1b' => skip_escape(&mut chars),
            '\u{9b}' => skip_control_sequence(&mut chars),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => skip_string(&mut chars),
            '\t' => out.push('\t'),
            '\u{2028}' | '\u{2029}' => out.push(' '),
            character if character.is_control() || is_direction(character) => {}
            character => out.push(character),
        }
    }
    out
}

/// Skips what follows an escape character.
fn skip_escape(chars: &mut Peekable<Chars<'_>>) {
    match chars.peek() {
        Some('[') => {
            chars.next();
            skip_control_sequence(chars);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            chars.next();
            skip_string(chars);
        }
        Some(_) => {
            // Intermediate bytes and the final one: the choice of a character set, for one.
            while chars.next_if(|next| (' '..='/').contains(next)).is_some() {}
            chars.next_if(|next| ('0'..='~').contains(next));
        }
        None => {}
    }
}

/// Skips parameters and the final byte of a control sequence (ECMA-48, 5.4). What is no part of one stays.
fn skip_control_sequence(chars: &mut Peekable<Chars<'_>>) {
    while chars.next_if(|next| (' '..='?').contains(next)).is_some() {}
    chars.next_if(|next| ('@'..='~').contains(next));
}

/// Skips a control string (title, hyperlink, clipboard) and its end. One without end takes the rest of the line.
fn skip_string(chars: &mut Peekable<Chars<'_>>) {
    while let Some(next) = chars.next() {
        match next {
            '\x07' | '\u{9c}' => return,
            '\x1b' => {
                chars.next_if_eq(&'\\');
                return;
            }
            _ => {}
        }
    }
}

/// Whether this changes the direction in which text is written (Unicode, UAX 9).
fn is_direction(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Tabs as the spaces up to the next stop, counted from the start of the text.
pub(super) fn expand_tabs(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut columns = Columns::default();
    for character in text.chars() {
        if character == '\t' {
            let spaces = TAB - columns.taken % TAB;
            out.extend(std::iter::repeat_n(' ', spaces));
            columns.taken += spaces;
        } else {
            out.push(character);
            columns.take(character);
        }
    }
    out
}

/// Columns that a text may take. Terminals do not agree on joined emoji; this counts their parts, so that it is never
/// too few.
pub(super) fn width(text: &str) -> usize {
    let mut columns = Columns::default();
    text.chars().for_each(|character| columns.take(character));
    columns.taken
}

/// The text in at most so many columns, with a sign where something is cut off. A wide character is not cut in half.
pub(super) fn cut(text: &str, limit: usize) -> String {
    if width(text) <= limit {
        return text.to_owned();
    }
    let Some(room) = limit.checked_sub(1) else { return String::new() };
    let mut columns = Columns::default();
    let mut out = String::new();
    for character in text.chars() {
        columns.take(character);
        if columns.taken > room {
            break;
        }
        out.push(character);
    }
    out.push(ELLIPSIS);
    out
}

/// Counts columns, character by character.
#[derive(Debug, Default)]
struct Columns {
    taken: usize,
    last: usize,
}

impl Columns {
    fn take(&mut self, character: char) {
        // The selector of emoji presentation makes a narrow sign wide.
        let own = match character {
            '\u{fe0f}' if self.last == 1 => 1,
            character => character.width().unwrap_or(0),
        };
        self.taken += own;
        if own > 0 {
            self.last = own;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_text_cannot_drive_the_terminal() {
        let cases: [(&[u8], &str); 12] = [
            (b"\x1b[31mred\x1b[0m\x07 a\tb\xff\r", "red a\tb\u{fffd}"),
            (b"\x1b[31", ""),
            (b"\x1b]0;title\x07text", "text"),
            (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
            (b"\x1bP1;2|data\x1b\\after", "after"),
            (b"\x1b(Bplain\x1b7\x1b8", "plain"),
            (b"a\x08b\x0cc\x00d\x7f", "abcd"),
            ("\u{9b}31mred\u{9d}0;t\u{9c}!".as_bytes(), "red!"),
            ("safe\u{202e}evil\u{2066}".as_bytes(), "safeevil"),
            ("one\u{2028}two".as_bytes(), "one two"),
            (b"\x1b]0;never ends", ""),
            ("\u{1b}[é".as_bytes(), "é"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(readable(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_text_is_cut_by_the_columns_it_takes() {
        assert_eq!(cut("plain", 5), "plain");
        assert_eq!(cut("plainer", 5), "plai…");
        assert_eq!(cut("漢字漢字", 8), "漢字漢字");
        assert_eq!(cut("漢字漢字", 7), "漢字漢…");
        assert_eq!(cut("漢字漢字", 6), "漢字…");
        assert_eq!(cut("漢字", 1), "…");
        assert_eq!(cut("漢字", 0), "");
        // A mark stays with its letter.
        assert_eq!(cut("e\u{301}e\u{301}e\u{301}", 2), "e\u{301}…");
    }

    #[test]
    fn wide_signs_count_as_what_they_may_take() {
        assert_eq!(width("abc"), 3);
        assert_eq!(width("漢字"), 4);
        assert_eq!(width("e\u{301}"), 1);
        assert_eq!(width("🚀"), 2);
        assert_eq!(width("❤\u{fe0f}"), 2);
        assert!(width("👩\u{200d}🚀") >= 2);
    }

    #[test]
    fn tabs_go_to_the_next_stop() {
        assert_eq!(expand_tabs("\ta\tb"), "        a       b");
        assert_eq!(expand_tabs("漢\tx"), "漢      x");
    }
}
