//! What is to be loaded, and what comes of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::config::lock::{LOCK_NAME, LockFile};
use crate::config::model::Project;
use crate::diag::{Diagnostics, Sources};

/// What a key or form that this smolvm does not run yet (0011) means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// `check`: a warning.
    #[default]
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
        /// The bytes as read; one more than 1 MiB of them is enough to refuse it.
        bytes: Vec<u8>,
        /// The project's folder.
        folder: PathBuf,
    },
    /// A text of ours, as what a command line says, and the absolute folder that its relative paths start at.
    Given {
        /// Name for people.
        name: String,
        /// The text.
        text: String,
        /// The folder.
        folder: PathBuf,
    },
}

/// What to load.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadRequest {
    /// Files in the order given; a later one overrides. The first one says where the project's folder is.
    pub files: Vec<FileRequest>,
    /// Texts in the place of those that are on disk, by absolute path: what an editor has not saved, or a fix not
    /// written yet. They count for files of `include` as well.
    pub texts: BTreeMap<PathBuf, Vec<u8>>,
    /// Env files in the place of `.env` beside the first file (`--env-file`), absolute; a later one overrides.
    pub env_files: Vec<PathBuf>,
    /// The current folder, absolute: names of files below it are shown relative to it.
    pub current_folder: PathBuf,
    /// What 0011 means.
    pub mode: Mode,
    /// `-p NAME`: beats `name` of the file.
    pub name: Option<String>,
    /// `--profile`: what belongs to one of these is in; `*` is all of them.
    pub profiles: Vec<String>,
    /// `--locked`: images must be those of the lock file (0404).
    pub is_locked: bool,
}

impl LoadRequest {
    /// A text that stands alone in the current folder: what lies there for a project, `.env` and the lock file, plays no
    /// part.
    #[must_use]
    pub fn alone(self, text: FileRequest) -> Self {
        let silenced = [(".env", Vec::new()), (LOCK_NAME, LockFile::default().to_string().into_bytes())];
        let texts = silenced.map(|(name, text)| (self.current_folder.join(name), text)).into();
        Self { files: vec![text], texts, env_files: Vec::new(), ..self }
    }
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
    /// How many files could be read and parsed.
    pub read: usize,
}
