//! The folder of one process for what lives only as long as it does (sockets), and the clearing of those that a killed
//! process left. A folder is alive while someone holds `flock(2)` on it, so no process id is ever trusted.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// What the names of our folders begin with.
const PREFIX: &str = "smolvm-";

/// Longest path of the folder, so that a socket's name in it fits in an address (108 bytes).
const PATH_MAX_BYTES: usize = 80;

/// A private folder, removed when it is dropped.
#[derive(Debug)]
pub struct RuntimeFolder {
    path: PathBuf,
    _lock: File,
}

impl RuntimeFolder {
    /// Makes one below `runtime_dir` (`$XDG_RUNTIME_DIR`), or below the temporary folder where that is not set, not
    /// usable or too long.
    ///
    /// # Errors
    /// Where neither can hold one.
    pub fn create(runtime_dir: Option<&Path>, temporary: &Path) -> io::Result<Self> {
        let fits = |base: &&Path| base.as_os_str().len() + PREFIX.len() + 16 <= PATH_MAX_BYTES;
        if let Some(base) = runtime_dir.filter(fits)
            && let Ok(folder) = Self::create_in(base)
        {
            return Ok(folder);
        }
        Self::create_in(temporary)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn create_in(base: &Path) -> io::Result<Self> {
        for number in 0_u32..10_000 {
            let path = base.join(format!("{PREFIX}{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            }
            // Between the two calls someone who clears may have taken it for a dead one: then there is another number.
            if let Some(lock) = lock_if_free(&path) {
                return Ok(Self { path, _lock: lock });
            }
        }
        Err(io::Error::from(io::ErrorKind::AlreadyExists))
    }
}

impl Drop for RuntimeFolder {
    fn drop(&mut self) {
        // What cannot be removed now is cleared by the next command.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes the folders that killed processes of this user left below `runtime_dir` and the temporary folder, and
/// returns their paths.
pub fn clear_stale(runtime_dir: Option<&Path>, temporary: &Path) -> Vec<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    let mut cleared = Vec::new();
    for base in runtime_dir.into_iter().chain([temporary]) {
        let Ok(entries) = fs::read_dir(base) else { continue };
        for entry in entries.flatten() {
            let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX))
                && entry.metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == user);
            if !is_ours {
                continue;
            }
            let path = entry.path();
            if lock_if_free(&path).is_some_and(|_lock| fs::remove_dir_all(&path).is_ok()) {
                cleared.push(path);
            }
        }
    }
    cleared
}

/// Locks a folder that nobody holds and that still has this name.
fn lock_if_free(path: &Path) -> Option<File> {
    let file = File::open(path).ok()?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    let (held, named) = (file.metadata().ok()?, fs::symlink_metadata(path).ok()?);
    (held.ino() == named.ino() && held.dev() == named.dev()).then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_folder_is_not_cleared_and_goes_when_dropped() {
        let base = tempfile::tempdir().unwrap();
        let folder = RuntimeFolder::create(Some(base.path()), base.path()).unwrap();
        let path = folder.path().to_owned();
        assert_eq!(clear_stale(Some(base.path()), base.path()), Vec::<PathBuf>::new());
        assert!(path.is_dir());
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_that_nobody_holds_is_cleared_and_named() {
        let base = tempfile::tempdir().unwrap();
        let left = base.path().join("smolvm-1-0");
        fs::create_dir_all(left.join("inside")).unwrap();
        fs::create_dir(base.path().join("other-1-0")).unwrap();
        assert_eq!(clear_stale(None, base.path()), std::slice::from_ref(&left));
        assert!(!left.exists() && base.path().join("other-1-0").exists());
    }

    #[test]
    fn a_runtime_folder_that_is_too_long_for_sockets_is_passed_over() {
        let base = tempfile::tempdir().unwrap();
        let long = base.path().join("x".repeat(100));
        fs::create_dir(&long).unwrap();
        let folder = RuntimeFolder::create(Some(&long), base.path()).unwrap();
        assert_eq!(folder.path().parent(), Some(base.path()));
    }
}
