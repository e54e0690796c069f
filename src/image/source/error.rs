//! Why a file or folder gives no image.

use std::io;
use std::path::{Path, PathBuf};

/// Why a file or folder gives no image.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It cannot be read.
    #[error("`{path}` cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("`{path}` {fault}")]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, as `has no blob …`.
        fault: String,
    },
    /// A part of it is not what its digest says.
    #[error("`{path}` has a damaged blob: {fault}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with which blob.
        fault: String,
    },
    /// It has several images.
    #[error("`{path}` holds {} images, and which one is meant is not said", names.len())]
    Several {
        /// The file.
        path: PathBuf,
        /// Their names, where they have one.
        names: Vec<String>,
    },
    /// It has none for the platform.
    #[error("`{path}` has no image for {wanted}, it has {}", found.join(", "))]
    Platform {
        /// The file.
        path: PathBuf,
        /// What was wanted.
        wanted: String,
        /// What there is.
        found: Vec<String>,
    },
}

impl SourceError {
    pub(super) fn form(path: &Path, fault: impl Into<String>) -> Self {
        Self::Form { path: path.to_owned(), fault: fault.into() }
    }

    pub(super) fn damaged(path: &Path, fault: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), fault: fault.into() }
    }

    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Several { names, .. } => Some(format!(
                "copy one of them to a layout of its own, as with `skopeo copy oci:FROM:NAME oci:TO:NAME`; they are {}",
                names.join(", ")
            )),
            Self::Damaged { .. } => Some(
                "nothing of that blob was kept; copy or save the image once more, and look whether the disk is sound"
                    .to_owned(),
            ),
            Self::Read { .. } | Self::Form { .. } | Self::Platform { .. } => None,
        }
    }
}
