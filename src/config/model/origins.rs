//! The files of a project: where relative paths of each start, and which of two places is the later one.
//!
//! Deliberately not here: their texts (`diag::Sources`), and how they are joined (`merge`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::diag::{FileId, Span};

/// One file of a project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Origin {
    folder: PathBuf,
    rank: usize,
}

/// The files that a project was read from. Numbers of files say in which order they were read; that is not the order in
/// which they count, since what an `include` brings comes before the file that includes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    files: BTreeMap<FileId, Origin>,
    order: Vec<FileId>,
}

impl Origins {
    /// Notes a file and the absolute folder that its relative paths start at.
    pub(in crate::config) fn add(&mut self, file: FileId, folder: PathBuf) {
        self.files.insert(file, Origin { folder, rank: 0 });
    }

    /// Notes that a file counts after all that were ranked before it.
    pub(in crate::config) fn rank_next(&mut self, file: FileId) {
        self.order.push(file);
        if let Some(origin) = self.files.get_mut(&file) {
            origin.rank = self.order.len();
        }
    }

    /// The absolute folder that relative paths of a file start at; the root for what is no file of the project.
    pub fn folder(&self, file: FileId) -> &Path {
        self.files.get(&file).map_or(Path::new("/"), |origin| &origin.folder)
    }

    /// The files in the order in which they count: a later one overrides.
    pub fn files(&self) -> &[FileId] {
        &self.order
    }

    /// Where something stands, all files taken together in the order in which they count.
    pub fn place(&self, span: Span) -> (usize, usize) {
        (self.files.get(&span.file).map_or(0, |origin| origin.rank), span.start)
    }

    /// Whether file `a` counts after file `b`.
    pub fn is_later_file(&self, a: FileId, b: FileId) -> bool {
        let rank = |file| self.files.get(&file).map_or(0, |origin| origin.rank);
        rank(a) > rank(b)
    }

    /// Whether `a` stands later than `b`: further down in one file, or in a file that counts later.
    pub fn is_later(&self, a: Span, b: Span) -> bool {
        self.place(a) > self.place(b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_later_may_count_earlier() {
        let mut origins = Origins::default();
        let (main, included) = (FileId(0), FileId(1));
        origins.add(main, "/project".into());
        origins.add(included, "/project/ci".into());
        origins.rank_next(included);
        origins.rank_next(main);
        let at = |file, start| Span { file, start, end: start + 1 };
        assert!(origins.is_later(at(main, 0), at(included, 100)) && !origins.is_later(at(included, 100), at(main, 0)));
        assert!(origins.is_later(at(included, 2), at(included, 1)) && !origins.is_later(at(main, 1), at(main, 1)));
        assert_eq!(origins.folder(included), Path::new("/project/ci"));
        assert_eq!(origins.files(), [included, main]);
    }
}
