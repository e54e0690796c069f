//! Where the disks of a project are, and with whose rights they are used.

use std::fmt;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::disk::{self, OpenDisk, Wanted};
use super::error::StorageError;
use crate::sys::identity::Actor;

/// Which disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskName {
    /// The one behind `/workspace` of a machine.
    Workspace {
        /// Name of the machine.
        machine: String,
        /// The same as the name of a file.
        file: String,
    },
    /// A volume of the project, whose names are those of files.
    Volume(String),
    /// One without a name, for as long as a machine is up.
    Scratch,
}

impl DiskName {
    /// How it is removed.
    pub(super) fn removal(&self) -> String {
        match self {
            Self::Workspace { .. } | Self::Scratch => "`smolvm down -v`".to_owned(),
            Self::Volume(name) => format!("`smolvm volumes rm {name}`"),
        }
    }
}

impl fmt::Display for DiskName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workspace { machine, .. } => write!(formatter, "the workspace of machine `{machine}`"),
            Self::Volume(name) => write!(formatter, "the volume `{name}`"),
            Self::Scratch => write!(formatter, "the workspace"),
        }
    }
}

/// The disks of one project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    folder: PathBuf,
    actor: Actor,
}

impl Storage {
    /// Those below the folder of the project's state, used with these rights.
    pub fn new(folder: &Path, actor: Actor) -> Self {
        Self { folder: folder.to_owned(), actor }
    }

    /// The folder of the project's state.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Opens a disk for a machine and locks it. It is made where it is missing, empty, and grown where `size_mib` says so and
    /// it may be written.
    ///
    /// # Errors
    /// Where another machine has it, or its file cannot be used.
    pub fn open(
        &self,
        name: &DiskName,
        size_mib: Option<u64>,
        is_read_only: bool,
        machine: &str,
    ) -> Result<OpenDisk, StorageError> {
        let wanted = Wanted { name, size_mib, is_read_only, machine };
        self.act(|| {
            let folder = self.folder_of(name);
            let Some(path) = self.file_of(name) else { return disk::open_scratch(nearest(&folder), &wanted) };
            let failed = |source| StorageError::Folder { what: "make", path: folder.clone(), source };
            make_folder(&folder).map_err(failed)?;
            if is_read_only {
                disk::make_missing(&path, &wanted)?;
            }
            disk::open(&path, &wanted)
        })
    }

    /// A file without a name, for as long as it is open, beside the disks.
    ///
    /// # Errors
    /// Where none can be made.
    pub fn unnamed(&self) -> io::Result<File> {
        self.actor.act(|| disk::unnamed(nearest(&self.folder)))
    }

    /// Does work on files with the rights of the project's user.
    pub(super) fn act<T: Send>(
        &self,
        work: impl FnOnce() -> Result<T, StorageError> + Send,
    ) -> Result<T, StorageError> {
        let done = self.actor.act(|| Ok(work()));
        done.unwrap_or_else(|source| {
            Err(StorageError::Folder { what: "act for the user of", path: self.folder.clone(), source })
        })
    }

    pub(super) fn folder_of(&self, name: &DiskName) -> PathBuf {
        self.folder.join(if matches!(name, DiskName::Volume(_)) { "volumes" } else { "disks" })
    }

    /// The file of a disk, where it has a name.
    pub(super) fn file_of(&self, name: &DiskName) -> Option<PathBuf> {
        let file = match name {
            DiskName::Workspace { file, .. } => file,
            DiskName::Volume(volume) => volume,
            DiskName::Scratch => return None,
        };
        Some(self.folder_of(name).join(format!("{file}.img")))
    }
}

/// The folder, or the nearest above it that is there: what has no name leaves nothing, not even its folder.
fn nearest(folder: &Path) -> &Path {
    folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(folder)
}

fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}
