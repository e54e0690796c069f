//! Where a project's file is, when none is named.

use std::path::{Path, PathBuf};

use crate::config::files::{FileError, FileKind, Files};

/// Names under which a project's file is found, the first one first.
pub(super) const NAMES: [&str; 2] = ["smolvm.yaml", "smolvm.yml"];

/// Finds `smolvm.yaml`, then `smolvm.yml`, in a folder and upwards.
pub fn find(folder: &Path, files: &dyn Files) -> Option<PathBuf> {
    let mut candidates = folder.ancestors().flat_map(|folder| NAMES.map(|name| folder.join(name)));
    candidates.find(|path| match files.metadata(path) {
        Ok(found) => found.kind != FileKind::Folder,
        // A link that leads nowhere is told, rather than another file taken from above.
        Err(error) => error == FileError::Missing && files.link_metadata(path).is_ok(),
    })
}
