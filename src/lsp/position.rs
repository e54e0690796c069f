//! Offsets and positions: bytes of a text on one side, lines and columns as the client counts them on the other.

use std::ops::Range;

use lsp_types::{Position, PositionEncodingKind, Range as LspRange};

/// What a column counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf8,
    Utf16,
    Utf32,
}

impl Encoding {
    /// The best one that a client offers; UTF-16 where it offers none.
    pub(super) fn choose(offered: Option<&[PositionEncodingKind]>) -> Self {
        let has = |kind: PositionEncodingKind| offered.is_some_and(|offered| offered.contains(&kind));
        if has(PositionEncodingKind::UTF8) {
            Self::Utf8
        } else if has(PositionEncodingKind::UTF16) || !has(PositionEncodingKind::UTF32) {
            Self::Utf16
        } else {
            Self::Utf32
        }
    }

    /// Its name in the protocol.
    pub(super) fn kind(self) -> PositionEncodingKind {
        match self {
            Self::Utf8 => PositionEncodingKind::UTF8,
            Self::Utf16 => PositionEncodingKind::UTF16,
            Self::Utf32 => PositionEncodingKind::UTF32,
        }
    }

    fn width(self, character: char) -> usize {
        match self {
            Self::Utf8 => character.len_utf8(),
            Self::Utf16 => character.len_utf16(),
            Self::Utf32 => 1,
        }
    }
}

/// Where the lines of a text begin. The protocol ends a line at LF, CR LF and a lone CR.
#[derive(Debug, Clone)]
pub(super) struct Positions {
    starts: Vec<usize>,
    encoding: Encoding,
}

impl Positions {
    pub(super) fn new(text: &str, encoding: Encoding) -> Self {
        let bytes = text.as_bytes();
        let is_end = |at: usize| bytes[at] == b'\n' || (bytes[at] == b'\r' && bytes.get(at + 1) != Some(&b'\n'));
        let starts = (0..bytes.len()).filter(|at| is_end(*at)).map(|at| at + 1);
        Self { starts: std::iter::once(0).chain(starts).collect(), encoding }
    }

    pub(super) fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The position of an offset; one inside a character counts as its start, one past the end as the end.
    pub(super) fn position(&self, text: &str, offset: usize) -> Position {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.starts.partition_point(|start| *start <= offset) - 1;
        let before = &text[self.starts[line]..offset];
        let column: usize = before.chars().map(|character| self.encoding.width(character)).sum();
        Position { line: number(line), character: number(column) }
    }

    /// The offset of a position. A column past the end of its line counts as that end, one inside a character as its
    /// start, a line past the last as the end of the text.
    pub(super) fn offset(&self, text: &str, position: Position) -> usize {
        let line = position.line as usize;
        let Some(start) = self.starts.get(line).copied() else { return text.len() };
        let end = self.starts.get(line + 1).copied().unwrap_or(text.len());
        let content = text[start..end].trim_end_matches(['\n', '\r']);
        let mut left = position.character as usize;
        for (at, character) in content.char_indices() {
            let width = self.encoding.width(character);
            if left < width {
                return start + at;
            }
            left -= width;
        }
        start + content.len()
    }

    /// The range of a span.
    pub(super) fn range(&self, text: &str, span: Range<usize>) -> LspRange {
        LspRange { start: self.position(text, span.start), end: self.position(text, span.end) }
    }

    /// The span of a range; one that ends before it begins is empty.
    pub(super) fn span(&self, text: &str, range: LspRange) -> Range<usize> {
        let start = self.offset(text, range.start);
        start..self.offset(text, range.end).max(start)
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Encoding; 3] = [Encoding::Utf8, Encoding::Utf16, Encoding::Utf32];

    #[test]
    fn columns_count_what_was_agreed_on() {
        let text = "\u{feff}é: \u{1F600}x\r\nb";
        let at = text.find('x').unwrap();
        for (encoding, column) in [(Encoding::Utf8, 11), (Encoding::Utf16, 6), (Encoding::Utf32, 5)] {
            let positions = Positions::new(text, encoding);
            assert_eq!(positions.position(text, at), Position { line: 0, character: column });
            assert_eq!(positions.offset(text, Position { line: 0, character: column }), at);
            assert_eq!(positions.position(text, text.len()), Position { line: 1, character: 1 });
        }
    }

    #[test]
    fn positions_outside_the_text_and_inside_characters_are_moved_to_the_next_place() {
        let text = "a\u{1F600}\nb\r\n";
        let positions = Positions::new(text, Encoding::Utf16);
        let offset = |line, character| positions.offset(text, Position { line, character });
        assert_eq!(offset(0, 2), 1, "inside a pair");
        assert_eq!(offset(0, 99), 5, "past the line");
        assert_eq!(offset(1, 99), 7, "before the CR");
        assert_eq!(offset(99, 0), text.len());
        assert_eq!(offset(u32::MAX, u32::MAX), text.len());
        assert_eq!(positions.position(text, 2), Position { line: 0, character: 1 });
    }

    #[test]
    fn the_client_chooses_what_a_column_counts() {
        let offer = |kinds: &[PositionEncodingKind]| Encoding::choose(Some(kinds));
        assert_eq!(Encoding::choose(None), Encoding::Utf16);
        assert_eq!(offer(&[]), Encoding::Utf16);
        assert_eq!(offer(&[PositionEncodingKind::UTF16, PositionEncodingKind::UTF8]), Encoding::Utf8);
        assert_eq!(offer(&[PositionEncodingKind::UTF32]), Encoding::Utf32);
        assert_eq!(offer(&[PositionEncodingKind::new("other")]), Encoding::Utf16);
    }

    proptest! {
        #[test]
        fn every_offset_has_a_position_that_leads_back(text in "[a:\u{feff}é\u{1F600}\u{10FFFF}\r\n \t]{0,40}") {
            for encoding in ALL {
                let positions = Positions::new(&text, encoding);
                for (offset, _) in text.char_indices().chain([(text.len(), ' ')]) {
                    // Between CR and LF there is no place.
                    if text[..offset].ends_with('\r') && text[offset..].starts_with('\n') {
                        continue;
                    }
                    let position = positions.position(&text, offset);
                    prop_assert_eq!(positions.offset(&text, position), offset, "{:?} {:?}", position, text);
                }
            }
        }

        #[test]
        fn any_position_lies_in_the_text(text in "[a\u{1F600}é\r\n]{0,12}", line in 0u32..9, character in 0u32..20) {
            for encoding in ALL {
                let offset = Positions::new(&text, encoding).offset(&text, Position { line, character });
                prop_assert!(text.is_char_boundary(offset));
            }
        }
    }
}
