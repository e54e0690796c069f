//! Blobs by digest: what has its name was verified while it was written, and small ones are verified again when read.
//!
//! A blob that is being written is a file in `partial/` under its digest, locked by its one writer. Killed, it stays and the
//! next writer goes on with it. Not here: where the bytes come from.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::files::{remove, sync_folder};
use super::locks::is_at;
use super::{Store, StoreError};
use crate::image::Digest;

/// Bytes read at once.
const CHUNK: usize = 1 << 16;

/// What the store has for who wants to write a blob.
#[derive(Debug)]
pub enum Begun {
    /// The blob itself, whole.
    Here,
    /// Another writer at work: to be asked again soon.
    Busy,
    /// A place to write it.
    Open(Box<PartialBlob>),
}

/// A blob being written. Dropped before [`PartialBlob::commit`] it keeps what it has.
#[derive(Debug)]
pub struct PartialBlob {
    store: Store,
    digest: Digest,
    size: u64,
    path: PathBuf,
    file: File,
    hash: Sha256,
    offset: u64,
}

impl Store {
    /// Where a blob of this size is, if it is there. A file of another size is damaged, and removed.
    ///
    /// # Errors
    /// Where a damaged one cannot be removed.
    pub fn blob(&self, digest: &Digest, size: u64) -> Result<Option<PathBuf>, StoreError> {
        let path = self.blob_path(digest);
        match fs::metadata(&path) {
            Ok(facts) if facts.is_file() && facts.len() == size => Ok(Some(path)),
            Ok(_) => remove(&path).map(|()| None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::system(&path, "read", error)),
        }
    }

    /// The bytes of a manifest, index or config of at most `limit` bytes, verified. A damaged one is removed.
    ///
    /// # Errors
    /// Where it cannot be read, or a damaged one not be removed.
    pub fn document(&self, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.blob_path(digest);
        match self.read(&path, limit)? {
            Some(bytes) if Digest::of(&bytes) == *digest => Ok(Some(bytes)),
            _ => remove(&path).map(|()| None),
        }
    }

    /// Keeps a manifest, index or config.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn put_document(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        if self.document(&digest, bytes.len() as u64)?.is_none() {
            self.write(&format!("blobs/sha256/{}", digest.hex()), bytes)?;
        }
        Ok(digest)
    }

    /// Reads a blob whole, and removes it where it is not what it was when it came; whether that was so.
    ///
    /// # Errors
    /// Where it cannot be read or removed.
    pub fn drop_if_damaged(&self, digest: &Digest) -> Result<bool, StoreError> {
        let path = self.blob_path(digest);
        if path.exists() && digest_file(&path)? == *digest {
            return Ok(false);
        }
        remove(&path).map(|()| true)
    }

    /// Begins to write a blob, or goes on where another was killed.
    ///
    /// # Errors
    /// Where there is no place for it.
    pub fn begin_blob(&self, digest: &Digest, size: u64) -> Result<Begun, StoreError> {
        let path = self.path("partial").join(digest.hex());
        loop {
            if self.blob(digest, size)?.is_some() {
                return Ok(Begun::Here);
            }
            let opened = File::options().create(true).truncate(false).read(true).write(true).mode(0o600).open(&path);
            let file = opened.map_err(|error| StoreError::system(&path, "written", error))?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Ok(Begun::Busy),
                Err(error) => return Err(StoreError::system(&path, "locked", error.into())),
            }
            // Its last writer may have given it its final name, or thrown it away, before we had the lock.
            if is_at(&file, &path) {
                let blob = PartialBlob::resume(self, digest, size, path, file)?;
                return Ok(Begun::Open(Box::new(blob)));
            }
        }
    }
}

impl PartialBlob {
    fn resume(store: &Store, digest: &Digest, size: u64, path: PathBuf, file: File) -> Result<Self, StoreError> {
        let (store, digest) = (store.clone(), digest.clone());
        let mut blob = Self { store, digest, size, path, file, hash: Sha256::new(), offset: 0 };
        let (hash, length) =
            hash_file(&mut blob.file).map_err(|error| StoreError::system(&blob.path, "read", error))?;
        if length > size {
            blob.restart()?;
        } else {
            (blob.hash, blob.offset) = (hash, length);
        }
        Ok(blob)
    }

    /// Bytes that are here, from the first on; never more than the blob has.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// Where they cannot be written, or are more than the blob has. Where the disk is full, what is here is thrown away.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if bytes.len() as u64 > self.size - self.offset {
            let cause = io::Error::new(io::ErrorKind::InvalidData, format!("more than its {} bytes came", self.size));
            return Err(StoreError::system(&self.path, "written", cause));
        }
        if let Err(error) = self.file.write_all(bytes) {
            return Err(self.failed(error));
        }
        self.hash.update(bytes);
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn failed(&self, error: io::Error) -> StoreError {
        let error = StoreError::system(&self.path, "written", error);
        if matches!(error, StoreError::Full { .. }) {
            // Half a blob on a full disk is in the way of all others.
            let _ = fs::remove_file(&self.path);
        }
        error
    }

    /// Throws away what is here.
    ///
    /// # Errors
    /// Where that cannot be done.
    pub fn restart(&mut self) -> Result<(), StoreError> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.map_err(|error| StoreError::system(&self.path, "written", error))?;
        self.hash = Sha256::new();
        self.offset = 0;
        Ok(())
    }

    /// Ends it: all bytes are here. Gives the digest that they have where it is another one; then they are thrown away.
    ///
    /// # Errors
    /// Where the blob cannot be kept.
    pub fn commit(&mut self) -> Result<Option<Digest>, StoreError> {
        let found = digest_of(self.hash.clone());
        if found != self.digest {
            self.restart()?;
            return Ok(Some(found));
        }
        if let Err(error) = self.file.sync_all() {
            return Err(self.failed(error));
        }
        let to = self.store.blob_path(&self.digest);
        fs::rename(&self.path, &to).map_err(|error| StoreError::system(&to, "written", error))?;
        sync_folder(to.parent().unwrap_or(&to))?;
        Ok(None)
    }
}

impl Drop for PartialBlob {
    fn drop(&mut self) {
        // Still locked: who waits for it finds that it has no name any more. Once committed it is at this path no longer.
        if self.offset == 0 && is_at(&self.file, &self.path) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The hash of a file from its start, and its length; its position is the end.
fn hash_file(file: &mut File) -> io::Result<(Sha256, u64)> {
    file.seek(SeekFrom::Start(0))?;
    let (mut hash, mut length) = (Sha256::new(), 0);
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok((hash, length)),
            Ok(count) => {
                hash.update(&chunk[..count]);
                length += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The digest of a whole file.
pub(super) fn digest_file(path: &Path) -> Result<Digest, StoreError> {
    let read = File::open(path).and_then(|mut file| hash_file(&mut file));
    read.map(|(hash, _)| digest_of(hash)).map_err(|error| StoreError::system(path, "read", error))
}

fn digest_of(hash: Sha256) -> Digest {
    Digest::from_sha256(&hash.finalize().into())
}
