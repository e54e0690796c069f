//! From the names of files to a checked project.

use std::path::{Path, PathBuf};

use super::checks;
use super::files::{FileKind, Files};
use super::model::Project;
use crate::diag::{Diagnostics, Sources};

/// The longest file that is read, in bytes.
pub(crate) const FILE_MAX_BYTES: usize = 1 << 20;

/// What a key or form that this smolvm does not run yet (0011) means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `check`: a warning.
    Check,
    /// `up` and `plan`: an error.
    Run,
}

/// One file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileRequest {
    /// An absolute path.
    Path(PathBuf),
    /// A text that was read from standard input, and the absolute folder that its relative paths start at.
    Stdin {
        /// The bytes as read.
        bytes: Vec<u8>,
        /// The project's folder.
        folder: PathBuf,
    },
}

/// What to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadRequest {
    /// Files in the order given; a later one overrides.
    pub files: Vec<FileRequest>,
    /// The current folder, absolute: names of files below it are shown relative to it.
    pub current_folder: PathBuf,
    /// What 0011 means.
    pub mode: Mode,
    /// `-p NAME`: beats `name` of the file.
    pub name: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The project, where enough of it could be read to check it. It may be run where `diagnostics` has no error.
    pub project: Option<Project>,
    /// All remarks, sorted by place.
    pub diagnostics: Diagnostics,
    /// The texts that the remarks point into.
    pub sources: Sources,
}

/// Finds `smolvm.yaml`, then `smolvm.yml`, in a folder and upwards.
pub fn find(folder: &Path, files: &dyn Files) -> Option<PathBuf> {
    let names = ["smolvm.yaml", "smolvm.yml"];
    let mut candidates = folder.ancestors().flat_map(|folder| names.map(|name| folder.join(name)));
    candidates.find(|path| files.metadata(path).is_ok_and(|metadata| metadata.kind != FileKind::Folder))
}

/// Reads, lowers and checks.
pub fn load(_request: LoadRequest, files: &dyn Files) -> Loaded {
    let mut diagnostics = Diagnostics::default();
    let project: Option<Project> = None;
    if let Some(project) = &project {
        checks::check_all(project, files, &mut diagnostics);
    }
    diagnostics.sort();
    Loaded { project, diagnostics, sources: Sources::default() }
}
