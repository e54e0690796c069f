//! Why a disk cannot be had.

use std::io;
use std::path::PathBuf;

use super::lock::Holder;
use super::place::DiskName;

/// Why a disk cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Something else has it.
    #[error("{disk} is in use: {holder} has it; it is free when that machine has stopped")]
    Held {
        /// Which disk.
        disk: DiskName,
        /// Who has it.
        holder: Holder,
    },
    /// The file system has no room for what a disk begins with.
    #[error("there is no room for {disk} at `{path}`: make room there, or name another place by XDG_STATE_HOME")]
    Full {
        /// Which disk.
        disk: DiskName,
        /// Its file.
        path: PathBuf,
    },
    /// The file is no disk of ours.
    #[error("`{path}` is no disk with a file system: move it away, and the next start makes {disk} anew")]
    Foreign {
        /// Which disk.
        disk: DiskName,
        /// Its file.
        path: PathBuf,
    },
    /// A file cannot be used.
    #[error("cannot {what} `{path}` ({disk})")]
    Unusable {
        /// Which disk.
        disk: DiskName,
        /// What was tried.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder of disks cannot be used.
    #[error("cannot {what} `{path}`")]
    Folder {
        /// What was tried.
        what: &'static str,
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
