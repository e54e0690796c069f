//! Texts as a terminal may show them: no byte order mark, no control characters, no broken UTF-8.
//!
//! The text of a user's file, and words of it that come back in messages, must not be able to move the
//! cursor or change colours.

/// A file's text made showable, with the way back from offsets of the file.
#[derive(Debug)]
pub(super) struct DisplayText {
    pub(super) text: String,
    /// For every byte of the file, and its end, the offset in `text`.
    offsets: Vec<usize>,
    /// Offsets in `text` at which lines begin.
    line_starts: Vec<usize>,
}

impl DisplayText {
    pub(super) fn new(bytes: &[u8]) -> Self {
        let mut shown = Self { text: String::with_capacity(bytes.len()), offsets: Vec::new(), line_starts: vec![0] };
        shown.offsets.reserve(bytes.len() + 1);
        let mut rest = bytes;
        if bytes.starts_with(b"\xEF\xBB\xBF") {
            shown.offsets.extend([0; 3]);
            rest = &bytes[3..];
        }
        for chunk in rest.utf8_chunks() {
            for (at, character) in chunk.valid().char_indices() {
                let is_line_end = character == '\r' && chunk.valid()[at + 1..].starts_with('\n');
                shown.push(character, is_line_end);
            }
            if !chunk.invalid().is_empty() {
                shown.offsets.extend(std::iter::repeat_n(shown.text.len(), chunk.invalid().len()));
                shown.text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        shown.offsets.push(shown.text.len());
        shown
    }

    fn push(&mut self, character: char, is_line_end: bool) {
        self.offsets.extend(std::iter::repeat_n(self.text.len(), character.len_utf8()));
        match character {
            '\n' => {
                self.text.push('\n');
                self.line_starts.push(self.text.len());
            }
            '\t' => self.text.push('\t'),
            _ if is_line_end => {}
            _ if is_unshowable(character) => self.text.push(char::REPLACEMENT_CHARACTER),
            _ => self.text.push(character),
        }
    }

    /// The offset in `text` of an offset of the file.
    pub(super) fn offset(&self, offset: usize) -> usize {
        self.offsets.get(offset).copied().unwrap_or(self.text.len())
    }

    /// Number of the line, from 0, that holds an offset of `text`.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset) - 1
    }

    /// The range of lines in `text`, without the line end of the last; lines past the end are left out.
    pub(super) fn lines(&self, first: usize, last: usize) -> std::ops::Range<usize> {
        let start = self.line_starts.get(first).copied().unwrap_or(self.text.len());
        let end = self.line_starts.get(last + 1).copied().unwrap_or(self.text.len());
        start..end
    }

    /// How many lines there are; what follows the last line end is one, unless it is empty.
    pub(super) fn line_count(&self) -> usize {
        let is_last_empty = self.line_starts.last() == Some(&self.text.len());
        self.line_starts.len() - usize::from(is_last_empty && self.line_starts.len() > 1)
    }

    /// Column from 0, in Unicode scalar values.
    pub(super) fn column(&self, offset: usize) -> usize {
        self.text[self.line_starts[self.line(offset)]..offset].chars().count()
    }
}

/// Control characters, and those that change the direction or the invisible structure of a line.
fn is_unshowable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

/// Words of a message on one line, control characters escaped.
pub(super) fn one_line(text: &str) -> String {
    if !text.contains(is_unshowable) {
        return text.to_owned();
    }
    let mut shown = String::new();
    for character in text.chars() {
        match character {
            '\n' | '\t' | '\r' => shown.push(' '),
            _ if is_unshowable(character) => shown.extend(character.escape_unicode()),
            _ => shown.push(character),
        }
    }
    shown
}

/// As [`one_line`], for texts of several lines.
pub(super) fn lines(text: &str) -> String {
    text.lines().map(one_line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_survive_marks_line_ends_and_broken_bytes() {
        let shown = DisplayText::new(b"\xEF\xBB\xBFa\r\n\xC3\xA9\xFFb\x1B");
        assert_eq!(shown.text, "a\né\u{FFFD}b\u{FFFD}");
        assert_eq!(shown.offset(3), 0);
        assert_eq!(shown.offset(6), 2, "the second line begins after its line end");
        assert_eq!(&shown.text[shown.offset(9)..], "b\u{FFFD}");
        assert_eq!((shown.line(shown.offset(9)), shown.column(shown.offset(9))), (1, 2));
        assert_eq!(shown.line_count(), 2);
    }

    #[test]
    fn words_cannot_carry_escape_sequences() {
        assert_eq!(one_line("a\u{1b}[31m\nb"), "a\\u{1b}[31m b");
        assert_eq!(lines("a\nb"), "a\nb");
    }
}
