//! The texts that diagnostics point into: files by number, spans by bytes, positions by lines.

use std::path::PathBuf;

/// Number of a file in [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// A range of bytes in one file; `end` is exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// First byte, counted from 0 in the file as it is on disk (a BOM counts).
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// One text.
#[derive(Debug, Clone)]
pub struct Source {
    /// Name for people: relative to the current folder where it lies below it, else absolute.
    pub name: String,
    /// Absolute path, or none for standard input.
    pub path: Option<PathBuf>,
    /// The bytes as read.
    pub bytes: Vec<u8>,
}

/// All texts of one check, the first file first.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<Source>,
    /// For each file, the offsets at which its lines begin.
    line_starts: Vec<Vec<usize>>,
}

/// A place as people count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Byte offset from 0.
    pub offset: usize,
    /// Line from 1; only LF ends a line.
    pub line: usize,
    /// Column from 1 in Unicode scalar values; a BOM takes no column.
    pub column: usize,
}

impl Sources {
    /// Adds a text and returns its number.
    pub fn add(&mut self, source: Source) -> FileId {
        let after_line_ends = source.bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        self.line_starts.push(std::iter::once(0).chain(after_line_ends).collect());
        self.files.push(source);
        FileId(u32::try_from(self.files.len() - 1).unwrap_or(u32::MAX))
    }

    /// The text with this number.
    ///
    /// # Panics
    /// Where the number was not made by [`Sources::add`] of the same value.
    pub fn get(&self, id: FileId) -> &Source {
        &self.files[id.0 as usize]
    }

    /// Empties a text that is not to be shown.
    ///
    /// # Panics
    /// As [`Sources::get`].
    pub(crate) fn clear(&mut self, id: FileId) {
        self.files[id.0 as usize].bytes.clear();
        self.line_starts[id.0 as usize] = vec![0];
    }

    /// Where an offset lies as people count it; offsets past the end count as the end.
    pub fn position(&self, file: FileId, offset: usize) -> Position {
        let bytes = &self.get(file).bytes;
        let offset = offset.min(bytes.len());
        let starts = &self.line_starts[file.0 as usize];
        let line = starts.partition_point(|start| *start <= offset);
        let mut text = &bytes[starts[line - 1]..offset];
        if line == 1 {
            text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
        }
        // The CR of a line end takes no column of its own.
        if bytes.get(offset) == Some(&b'\n') {
            text = text.strip_suffix(b"\r").unwrap_or(text);
        }
        let column = 1 + String::from_utf8_lossy(text).chars().count();
        Position { offset, line, column }
    }

    /// All texts in order.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &Source)> {
        (0u32..).map(FileId).zip(&self.files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_scalar_values_lines_by_lf_and_no_byte_order_mark() {
        let mut sources = Sources::default();
        let text = "\u{feff}é: 1\r\nb: \u{1F600}x\rc\n";
        let file = sources.add(Source { name: "a".to_owned(), path: None, bytes: text.as_bytes().to_vec() });
        let at = |needle: &str| {
            let position = sources.position(file, text.find(needle).expect("in the text"));
            (position.line, position.column)
        };
        assert_eq!(at("é"), (1, 1));
        assert_eq!(at("1"), (1, 4));
        assert_eq!(at("\r\n"), (1, 5));
        assert_eq!(at("b"), (2, 1));
        assert_eq!(at("x"), (2, 5));
        assert_eq!(at("c"), (2, 7), "a lone CR ends no line");
        let end = sources.position(file, 1000);
        assert_eq!((end.offset, end.line, end.column), (text.len(), 3, 1));
        assert_eq!(sources.position(file, 0).column, 1);
    }
}
