//! What a folder holds: the names in it, and how many files lie below it, up to a limit.
//!
//! Folders are walked without following links, the shallow ones first, so that what is counted before the limit is what
//! one sees first. What ends a walk are numbers, so that a file is told the same each time; a disk that does not answer
//! ends it too, which is told in the same words.

use std::collections::VecDeque;
use std::fs::{DirEntry, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::config::FolderContents;

/// So many names of the folder itself are looked at.
const NAMES_MAX: usize = 1000;

/// So many folders below it are opened: on a disk that is cold each one is a wait.
const FOLDERS_MAX: usize = 200;

/// The last resort, for disks that are ten times slower than slow ones.
const PATIENCE: Duration = Duration::from_millis(500);

/// Looks at a folder and below it, at `limit` entries at most beside those of the folder itself.
pub(super) fn contents(folder: &Path, limit: usize, is_public_only: bool) -> io::Result<FolderContents> {
    let started = Instant::now();
    let mut found = FolderContents::default();
    let mut waiting: VecDeque<PathBuf> = VecDeque::new();
    for entry in std::fs::read_dir(folder)?.flatten() {
        if found.looked_at >= NAMES_MAX || started.elapsed() > PATIENCE {
            found.is_more = true;
            break;
        }
        found.looked_at += 1;
        if let Some(is_folder) = kind(&entry, is_public_only) {
            found.entries += 1;
            found.names.push(entry.file_name().to_string_lossy().into_owned());
            if is_folder { waiting.push_back(entry.path()) } else { found.files += 1 }
        }
    }
    found.names.sort();
    let mut opened = 0;
    while let Some(folder) = waiting.pop_front() {
        if opened >= FOLDERS_MAX || found.looked_at >= limit {
            found.is_more = true;
            break;
        }
        opened += 1;
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            if found.looked_at >= limit || started.elapsed() > PATIENCE {
                found.is_more = true;
                return Ok(found);
            }
            found.looked_at += 1;
            // Each file asked for its mode would be a read of the disk: a folder that all may enter stands for them.
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            match kind(&entry, is_public_only && is_folder) {
                Some(true) => waiting.push_back(entry.path()),
                Some(false) => found.files += 1,
                None => {}
            }
        }
    }
    Ok(found)
}

/// Whether an entry is a folder; none where it is not counted.
fn kind(entry: &DirEntry, is_public_only: bool) -> Option<bool> {
    if is_public_only {
        let metadata = entry.metadata().ok()?;
        return is_public(&metadata).then(|| metadata.is_dir());
    }
    entry.file_type().ok().map(|kind| kind.is_dir())
}

/// Whether every user of this computer may read it; a link is what it is.
pub(super) fn is_public(metadata: &Metadata) -> bool {
    let mode = metadata.mode();
    metadata.is_symlink()
        || if metadata.is_dir() { mode & 0o005 == 0o005 } else { metadata.is_file() && mode & 0o004 != 0 }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn tree() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(path("b/c/d")).unwrap();
        for name in ["a", "b/one", "b/c/two", "b/c/d/three"] {
            std::fs::write(path(name), "").unwrap();
        }
        symlink("..", path("b/up")).unwrap();
        folder
    }

    #[test]
    fn files_are_counted_and_links_not_followed() {
        let folder = tree();
        let found = contents(folder.path(), 100, false).unwrap();
        assert_eq!(
            (found.names, found.entries, found.files, found.is_more),
            (vec!["a".into(), "b".into()], 2, 5, false)
        );
        assert!(contents(&folder.path().join("none"), 100, false).is_err());
        assert!(contents(&folder.path().join("a"), 100, false).is_err(), "a file is no folder");
    }

    #[test]
    fn the_count_ends_at_its_limit() {
        let found = contents(tree().path(), 4, false).unwrap();
        assert!(found.is_more && found.looked_at == 4, "{found:?}");
        let found = contents(tree().path(), 0, false).unwrap();
        assert_eq!((found.entries, found.is_more), (2, true), "the folder itself is always read");
    }

    #[test]
    fn what_others_may_not_see_is_not_counted_where_only_public_things_are() {
        let folder = tree();
        let path = |name: &str| folder.path().join(name);
        std::fs::set_permissions(path("a"), std::fs::Permissions::from_mode(0o640)).unwrap();
        std::fs::set_permissions(path("b/c"), std::fs::Permissions::from_mode(0o750)).unwrap();
        std::fs::set_permissions(path("b"), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::set_permissions(path("b/one"), std::fs::Permissions::from_mode(0o644)).unwrap();
        let found = contents(folder.path(), 100, true).unwrap();
        assert_eq!((found.names, found.files), (vec!["b".to_owned()], 2), "one file and the link");
    }
}
