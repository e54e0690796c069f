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

    /// All texts in order.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &Source)> {
        (0u32..).map(FileId).zip(&self.files)
    }
}
