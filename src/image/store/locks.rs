//! Who uses the store, and what of it: locks of files (`flock`), which the kernel frees however their holder ends.
//!
//! Every lock is taken on a file opened anew, so that threads of one process exclude each other as processes do.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::{Store, StoreError};

/// How often who waits for a lock looks again.
const LOOK: Duration = Duration::from_millis(50);
/// How long who removes waits for those who add.
const ALONE_WAIT: Duration = Duration::from_secs(10);

/// The store is not pruned as long as this is held. For as long as something is looked up or added, not for a run.
#[derive(Debug)]
pub struct Shared {
    _file: File,
}

/// Nobody adds or looks anything up as long as this is held.
#[derive(Debug)]
pub(in crate::image) struct Alone {
    _file: File,
}

/// The tree of an image, with all that it is made of, is not pruned as long as this is held.
#[derive(Debug)]
pub struct Lease {
    _file: File,
}

impl Lease {
    pub(super) fn new(file: File) -> Self {
        Self { _file: file }
    }
}

/// The right to make what has this name, for one at a time.
#[derive(Debug)]
pub(super) struct Work {
    _file: File,
    path: std::path::PathBuf,
}

impl Drop for Work {
    fn drop(&mut self) {
        // Still locked: who waits for it finds that it has no name any more, and takes a new one.
        let _ = fs::remove_file(&self.path);
    }
}

impl Store {
    /// Keeps the store from being pruned; waits where it is being pruned.
    ///
    /// # Errors
    /// Where the lock cannot be had, or `has_left` says that nobody waits any more.
    pub fn share(&self, has_left: &dyn Fn() -> bool) -> Result<Shared, StoreError> {
        let path = self.path("lock");
        let file = shared_file(&path)?;
        wait(&file, &path, FlockOperation::NonBlockingLockShared, &|| has_left().then_some(StoreError::Left))?;
        Ok(Shared { _file: file })
    }

    /// The same for who would rather go without than wait; none where the store is being pruned.
    ///
    /// # Errors
    /// Where the lock cannot be had at all.
    pub(in crate::image) fn try_share(&self) -> Result<Option<Shared>, StoreError> {
        let path = self.path("lock");
        let file = shared_file(&path)?;
        match rustix::io::retry_on_intr(|| flock(&file, FlockOperation::NonBlockingLockShared)) {
            Ok(()) => Ok(Some(Shared { _file: file })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(StoreError::system(&path, "locked", io::Error::from(error))),
        }
    }

    /// Has the store alone; gives up when others are at it for long.
    pub(super) fn alone(&self) -> Result<Alone, StoreError> {
        let path = self.path("lock");
        let file = lock_file(&path)?;
        let end = Instant::now() + ALONE_WAIT;
        let busy = || (Instant::now() > end).then_some(StoreError::Busy { what: "is adding an image to the store" });
        wait(&file, &path, FlockOperation::NonBlockingLockExclusive, &busy)?;
        Ok(Alone { _file: file })
    }

    /// The right to make what has this name; waits while another has it. Who gets it looks first whether it is made now.
    pub(super) fn work(&self, name: &str, has_left: &dyn Fn() -> bool) -> Result<Work, StoreError> {
        let path = self.path("partial").join(format!("{name}.lock"));
        loop {
            let file = lock_file(&path)?;
            let left = || has_left().then_some(StoreError::Left);
            wait(&file, &path, FlockOperation::NonBlockingLockExclusive, &left)?;
            if is_at(&file, &path) {
                return Ok(Work { _file: file, path });
            }
        }
    }
}

/// Whether a file still has its name.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    let same = |own: &fs::Metadata, named: &fs::Metadata| (own.dev(), own.ino()) == (named.dev(), named.ino());
    matches!((file.metadata(), fs::metadata(path)), (Ok(own), Ok(named)) if same(&own, &named))
}

fn lock_file(path: &Path) -> Result<File, StoreError> {
    let opened = File::options().create(true).truncate(false).write(true).mode(0o600).open(path);
    opened.map_err(|error| StoreError::system(path, "locked", error))
}

/// The file of a lock that excludes nobody who reads: a store that takes no changes can be used still.
fn shared_file(path: &Path) -> Result<File, StoreError> {
    match lock_file(path) {
        Err(StoreError::ReadOnly { .. }) if path.exists() => {
            File::open(path).map_err(|error| StoreError::system(path, "locked", error))
        }
        opened => opened,
    }
}

/// Takes a lock, or gives up with what `ends` says.
fn wait(
    file: &File,
    path: &Path,
    operation: FlockOperation,
    ends: &dyn Fn() -> Option<StoreError>,
) -> Result<(), StoreError> {
    loop {
        match flock(file, operation) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK | Errno::INTR) => {}
            Err(error) => return Err(StoreError::system(path, "locked", io::Error::from(error))),
        }
        if let Some(error) = ends() {
            return Err(error);
        }
        thread::sleep(LOOK);
    }
}
