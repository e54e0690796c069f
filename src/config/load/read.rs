//! Reading files into the sources, and what is told of those that cannot be read (0010, 0007).

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::env_files::Set;
use super::find::NAMES;
use crate::config::files::{FileError, FileKind, Files};
use crate::config::suggest::nearest;
use crate::config::text::FILE_MAX_BYTES;
use crate::diag::{Code, Diagnostic, FileId, Severity, Source, Sources, Span};

/// Where texts come from, and where they are kept.
pub(super) struct Shelf<'a> {
    pub(super) files: &'a dyn Files,
    /// Texts in the place of those on disk.
    pub(super) texts: BTreeMap<PathBuf, Vec<u8>>,
    pub(super) current_folder: PathBuf,
    pub(super) sources: Sources,
    /// What `.env` or the files of `--env-file` set: their bad lines are told.
    pub(super) env_files: HashMap<PathBuf, Set>,
}

impl Shelf<'_> {
    /// What is at a path; never waits for a pipe or device.
    pub(super) fn bytes(&self, path: &Path) -> Result<Vec<u8>, FileError> {
        match self.texts.get(path) {
            Some(text) => Ok(text.clone()),
            None => self.files.read(path, FILE_MAX_BYTES),
        }
    }

    /// Keeps a text of a path.
    pub(super) fn add(&mut self, path: &Path, bytes: Vec<u8>) -> FileId {
        self.sources.add(Source { name: self.display(path), path: Some(path.to_path_buf()), bytes })
    }

    /// A path for people: relative to the current folder where it lies below it.
    pub(super) fn display(&self, path: &Path) -> String {
        match path.strip_prefix(&self.current_folder) {
            Ok(rest) if rest.as_os_str().is_empty() => ".".to_owned(),
            Ok(rest) => rest.display().to_string(),
            Err(_) => path.display().to_string(),
        }
    }

    /// What stands in the folder of a missing file and has nearly its name.
    pub(super) fn nearest(&self, path: &Path) -> Option<PathBuf> {
        let (folder, own) = path.parent().zip(path.file_name())?;
        let listed = self.files.list(folder).unwrap_or_default();
        let names: Vec<&str> = listed.iter().filter_map(|name| name.to_str()).collect();
        let is_file =
            |name: &&&str| self.files.metadata(&folder.join(name)).is_ok_and(|found| found.kind == FileKind::File);
        let near = nearest(&own.to_string_lossy(), names.iter().filter(is_file).copied())?;
        Some(folder.join(near))
    }

    /// Whether a path is a link that leads nowhere, or not on.
    pub(super) fn is_link(&self, path: &Path) -> bool {
        self.files.link_metadata(path).is_ok_and(|found| found.kind == FileKind::Link)
    }

    /// What is wrong with a file that cannot be read; `name` as the user names it.
    pub(super) fn unreadable(&self, name: &str, path: &Path, error: &FileError) -> Diagnostic {
        let message = match error {
            FileError::Missing if self.is_link(path) => format!("`{name}` is a link that leads nowhere"),
            FileError::Missing => format!("the file `{name}` does not exist"),
            FileError::NotRegular => format!("`{name}` is not a regular file"),
            error => format!("the file `{name}` cannot be read: {error}"),
        };
        Diagnostic::new(Code(10), Severity::Error, message)
    }

    /// A file in the place of one that cannot be read: of nearly its name, or the project's file in a folder.
    pub(super) fn instead(&self, path: &Path, error: &FileError) -> Option<PathBuf> {
        let is_file = |inside: &PathBuf| self.files.metadata(inside).is_ok_and(|found| found.kind == FileKind::File);
        match error {
            FileError::NotRegular => NAMES.map(|name| path.join(name)).into_iter().find(is_file),
            FileError::Missing if !self.is_link(path) => self.nearest(path),
            _ => None,
        }
    }

    /// What to do about a file of `-f` that cannot be read.
    pub(super) fn help(&self, path: &Path, error: &FileError) -> String {
        if let Some(instead) = self.instead(path, error) {
            return format!("did you mean `{}`?", self.display(&instead));
        }
        match error {
            FileError::NotRegular => "name a file, as `-f smolvm.yaml`; `-` is standard input",
            FileError::Missing if self.is_link(path) => "make what it leads to, or name another with `-f FILE`",
            FileError::Missing => "name the file with `-f FILE`, or call smolvm in the folder that holds `smolvm.yaml`",
            _ => "give the right to read it, or name another with `-f FILE`",
        }
        .to_owned()
    }
}

/// A file that is longer than one may be.
pub(super) fn too_long(file: FileId) -> Diagnostic {
    Diagnostic::new(Code(7), Severity::Error, "the file is longer than 1 MiB")
        .label(Span { file, start: 0, end: 0 }, "nothing of it was read")
        .help("move long scripts to files of their own, and mount them")
}
