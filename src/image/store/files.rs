//! The folder itself: it is the user's own, and files in it are whole or not there. Not here: what they hold.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::StoreError;
use crate::image::Digest;

/// What the first file of an OCI layout says (image-spec, `image-layout.md`).
const LAYOUT: &[u8] = b"{\"imageLayoutVersion\":\"1.0.0\"}";
/// What temporary files are called.
const TEMPORARY: &str = "new-";
/// Age from which on nobody is about to lock a temporary file that has no lock.
const TEMPORARY_AGE: Duration = Duration::from_secs(600);
/// The folders of the store.
const FOLDERS: [&str; 5] = ["blobs", "blobs/sha256", "partial", "layers", "roots"];

/// The user's images.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens the store below smolvm's cache folder, making what is missing.
    ///
    /// # Errors
    /// Where it is not this user's, or cannot be made.
    pub fn open(cache: &Path) -> Result<Self, StoreError> {
        let path = std::path::absolute(cache).map_err(|error| StoreError::system(cache, "found", error))?;
        let store = Self { root: path.join("images") };
        let make = |path: &Path| {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
            made.map_err(|error| StoreError::system(path, "made", error))
        };
        make(&store.root)?;
        store.check_owner()?;
        FOLDERS.iter().try_for_each(|name| make(&store.path(name)))?;
        if !store.path("oci-layout").exists() {
            store.write("oci-layout", LAYOUT)?;
        }
        store.sweep();
        Ok(store)
    }

    /// The store as it is, for looking; none where there is none.
    ///
    /// # Errors
    /// Where it is not this user's.
    pub fn existing(cache: &Path) -> Result<Option<Self>, StoreError> {
        let path = std::path::absolute(cache).map_err(|error| StoreError::system(cache, "found", error))?;
        let store = Self { root: path.join("images") };
        if !store.path("oci-layout").exists() {
            return Ok(None);
        }
        store.check_owner()?;
        Ok(Some(store))
    }

    /// What is in it is believed, so nobody else may have put it there.
    fn check_owner(&self) -> Result<(), StoreError> {
        let facts = self.root.metadata().map_err(|error| StoreError::system(&self.root, "read", error))?;
        let own = rustix::process::geteuid().as_raw();
        if facts.uid() != own {
            return Err(StoreError::Foreign { path: self.root.clone(), owner: facts.uid(), own });
        }
        if facts.mode() & 0o077 != 0 {
            let private = fs::Permissions::from_mode(0o700);
            fs::set_permissions(&self.root, private)
                .map_err(|error| StoreError::system(&self.root, "made private", error))?;
        }
        Ok(())
    }

    /// Path of something in the store.
    pub(super) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.join(name)
    }

    /// Where the store is: an OCI layout.
    pub fn folder(&self) -> &Path {
        &self.root
    }

    /// Where a blob is, if it is there.
    pub(super) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.path("blobs/sha256").join(digest.hex())
    }

    /// A new path in `partial/`.
    pub(super) fn temporary(&self) -> PathBuf {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.path(format!("partial/{TEMPORARY}{}-{number}", std::process::id()))
    }

    /// Writes a file, all or nothing, in the place of one of the same name.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.path(name);
        let temporary = self.temporary();
        let written = (|| {
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(&temporary)?;
            // Seen by who sweeps.
            flock(&file, FlockOperation::NonBlockingLockShared)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)
        })();
        let written = written.inspect_err(|_: &io::Error| drop(fs::remove_file(&temporary)));
        written.map_err(|error| StoreError::system(&path, "written", error))?;
        sync_folder(path.parent().unwrap_or(&self.root))
    }

    /// Reads a file of at most `limit` bytes; none where there is none, or a longer one.
    pub(super) fn read(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::system(path, "read", error)),
        };
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| StoreError::system(path, "read", error))?;
        Ok((bytes.len() as u64 <= limit).then_some(bytes))
    }

    /// Removes temporary files whose writers were killed.
    fn sweep(&self) {
        for entry in fs::read_dir(self.path("partial")).into_iter().flatten().flatten() {
            let is_temporary = entry.file_name().to_string_lossy().starts_with(TEMPORARY);
            let is_old = || {
                let age = entry.metadata().and_then(|facts| facts.modified()).map(|time| time.elapsed());
                age.is_ok_and(|age| age.is_ok_and(|age| age > TEMPORARY_AGE))
            };
            if is_temporary && is_old() && is_unlocked(&entry.path()) {
                // Whatever cannot be removed now is seen again the next time.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Whether nobody holds a lock on a file.
pub(super) fn is_unlocked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok())
}

/// Makes names in a folder last.
pub(super) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| StoreError::system(folder, "written", error))
}

/// Removes a file or a folder with all in it; what is not there is removed already.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(facts) if facts.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::system(path, "removed", error)),
        _ => Ok(()),
    }
}
