//! Where a machine's root and kernel come from. Deliberately not here: whether they are there (`checks`).

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::reference::Reference;

/// Where a machine's read-only root comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Image {
    /// The root file system of this computer, without what is private.
    Host,
    /// An unpacked root file system, absolute.
    Dir(PathBuf),
    /// An OCI layout, a folder or a tar, absolute.
    Oci(PathBuf),
    /// What `docker save` writes, absolute.
    DockerArchive(PathBuf),
    /// An image in a registry.
    Reference(Reference),
    /// What could not be read: its diagnostic was given.
    Unreadable,
}

impl Image {
    /// The path that the file gives for it, absolute.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Dir(path) | Self::Oci(path) | Self::DockerArchive(path) => Some(path),
            Self::Host | Self::Reference(_) | Self::Unreadable => None,
        }
    }

    /// The word that stands before a path, with its colon.
    pub fn prefix(&self) -> &'static str {
        match self {
            Self::Dir(_) => "dir:",
            Self::Oci(_) => "oci:",
            Self::DockerArchive(_) => "docker-archive:",
            Self::Host | Self::Reference(_) | Self::Unreadable => "",
        }
    }
}

/// The image as a file may say it, paths absolute.
impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Dir(path) | Self::Oci(path) | Self::DockerArchive(path) => {
                write!(f, "{}{}", self.prefix(), path.display())
            }
            Self::Reference(reference) => f.write_str(reference.written()),
            Self::Unreadable => Ok(()),
        }
    }
}

/// Where a machine's kernel comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum KernelSource {
    /// The order of `docs/architecture.md`.
    Auto,
    /// A bzImage or vmlinux, absolute.
    Path(PathBuf),
    /// An image in a registry that holds one.
    Reference(Reference),
}
