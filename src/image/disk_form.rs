//! The erofs form of a stored tree: its metadata, made once and kept beside the tree (`roots/KEY.erofs`).
//!
//! ```text
//! 0     magic (8)  version (4, little endian)  digest of the tree (32)  SHA-256 of all from 1024 on (32)
//! 1024  what `rootfs::erofs` writes from there on: its first 1024 bytes are nobody's
//! ```
//!
//! What is damaged, of another version or of another tree is made anew. Where nothing can be written, it is made in memory.
//! Not here: who serves it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{FlockOperation, MemfdFlags, flock, memfd_create};
use sha2::{Digest, Sha256};

use crate::rootfs::erofs::{ErofsError, write_metadata};
use crate::rootfs::{FormError, RootTree};

const MAGIC: &[u8; 8] = b"smolerof";
/// Version of what is written: another one for every change of [`write_metadata`].
const VERSION: u32 = 1;
/// Where the superblock of the form begins.
const CONTENT: usize = 1024;
/// Length of the header.
const HEADER: usize = 8 + 4 + 32 + 32;

/// A longer tree is none of ours.
const TREE_MAX: u64 = 1 << 30;
/// Longer metadata is not read.
const METADATA_MAX: u64 = 2 << 30;

/// Magic and version of a stored tree, before its digest.
const TREE_DIGEST: usize = 8 + 4;

/// The metadata of a disk.
#[derive(Debug)]
pub struct DiskMetadata {
    /// Open for reading.
    pub file: File,
    /// Length in bytes, a multiple of 4096.
    pub length: u64,
}

/// Why a tree cannot be a disk.
#[derive(Debug, thiserror::Error)]
pub enum DiskFormError {
    /// The tree cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not a tree.
    #[error("`{path}` is no tree of an image")]
    Tree {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: FormError,
    },
    /// The form has no place for something of the tree, whose virtio-fs form has.
    #[error("`{path}` has no erofs form")]
    Form {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: ErofsError,
    },
    /// No memory for the metadata.
    #[error("cannot keep the erofs form of `{path}` in memory")]
    Memory {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Finds or makes the metadata of a stored tree whose packs have these lengths.
///
/// # Errors
/// Where the tree is none, or has no such form.
pub fn disk_metadata(tree: &Path, pack_lengths: &[u64]) -> Result<DiskMetadata, DiskFormError> {
    let read = |source| DiskFormError::Read { path: tree.to_owned(), source };
    let mut file = File::open(tree).map_err(read)?;
    let mut start = [0; TREE_DIGEST + 32];
    file.read_exact(&mut start).map_err(read)?;
    let digest = &start[TREE_DIGEST..];
    let kept = tree.with_extension("erofs");
    if let Some(found) = find(&kept, digest) {
        return Ok(found);
    }
    let mut bytes = start.to_vec();
    file.take(TREE_MAX).read_to_end(&mut bytes).map_err(read)?;
    let decoded = RootTree::decode(&bytes, pack_lengths)
        .map_err(|source| DiskFormError::Tree { path: tree.to_owned(), source })?;
    let mut metadata = write_metadata(&decoded, pack_lengths)
        .map_err(|source| DiskFormError::Form { path: tree.to_owned(), source })?;
    let content = Sha256::digest(&metadata[CONTENT..]);
    let header = [MAGIC.as_slice(), &VERSION.to_le_bytes(), digest, &content].concat();
    metadata[..HEADER].copy_from_slice(&header);
    let file = match keep(&kept, &metadata) {
        Ok(file) => file,
        Err(_) => in_memory(&metadata).map_err(|source| DiskFormError::Memory { path: tree.to_owned(), source })?,
    };
    Ok(DiskMetadata { file, length: metadata.len() as u64 })
}

/// What is kept, if it is whole and of the tree with this digest.
fn find(kept: &Path, digest: &[u8]) -> Option<DiskMetadata> {
    let file = File::open(kept).ok()?;
    let length = file.metadata().ok()?.len();
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, 0).ok()?;
    let begins = [MAGIC.as_slice(), &VERSION.to_le_bytes(), digest].concat();
    if !header.starts_with(&begins) || length < CONTENT as u64 || length > METADATA_MAX {
        return None;
    }
    let mut sum = Sha256::new();
    let mut at = CONTENT as u64;
    let mut chunk = vec![0; 1 << 18];
    while at < length {
        let count = file.read_at(&mut chunk, at).ok().filter(|count| *count > 0)?;
        sum.update(&chunk[..count]);
        at += count as u64;
    }
    (sum.finalize().as_slice() == &header[begins.len()..]).then_some(DiskMetadata { file, length })
}

/// Writes it, all or nothing, by way of the store's folder for what is being made, and opens it.
fn keep(kept: &Path, bytes: &[u8]) -> io::Result<File> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let roots = kept.parent().ok_or(io::ErrorKind::NotFound)?;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("new-{}-erofs-{number}", std::process::id());
    let temporary = roots.parent().ok_or(io::ErrorKind::NotFound)?.join("partial").join(name);
    let written = (|| {
        let mut file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&temporary)?;
        // Seen by who sweeps.
        flock(&file, FlockOperation::NonBlockingLockShared)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, kept)?;
        File::open(kept)
    })();
    written.inspect_err(|_: &io::Error| drop(fs::remove_file(&temporary)))
}

fn in_memory(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("erofs", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::rootfs::{Attributes, Inode, InodeKind};

    fn tree(mode: u16) -> RootTree {
        let kind = InodeKind::Folder { parent: 0, entries: Vec::new() };
        let attributes = Attributes { mode, ..Attributes::default() };
        RootTree { inodes: vec![Inode { kind, attributes, links: 2 }], packs: 0 }
    }

    /// A store with one tree.
    fn store() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        for name in ["roots", "partial"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let path = folder.path().join("roots/0123");
        fs::write(&path, tree(0o755).encode()).unwrap();
        (folder, path)
    }

    fn content(metadata: &DiskMetadata) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(metadata.length).unwrap()];
        metadata.file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    #[test]
    fn it_is_made_once_and_kept_beside_the_tree() {
        let (folder, path) = store();
        let made = disk_metadata(&path, &[]).unwrap();
        let inode = folder.path().join("roots/0123.erofs").metadata().unwrap().ino();
        assert_eq!(content(&made)[1024..], write_metadata(&tree(0o755), &[]).unwrap()[1024..]);
        let again = disk_metadata(&path, &[]).unwrap();
        assert_eq!((again.file.metadata().unwrap().ino(), content(&again)), (inode, content(&made)));
        assert_eq!(fs::read_dir(folder.path().join("partial")).unwrap().count(), 0);
    }

    #[test]
    fn what_is_damaged_or_of_another_tree_is_made_anew() {
        let (_folder, path) = store();
        let kept = path.with_extension("erofs");
        let whole = content(&disk_metadata(&path, &[]).unwrap());
        for place in [0, 9, 20, 50, 1200, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            fs::write(&kept, &damaged).unwrap();
            assert_eq!(content(&disk_metadata(&path, &[]).unwrap()), whole, "{place}");
            assert_eq!(fs::read(&kept).unwrap(), whole);
        }
        for length in [0, 100, 1024, whole.len() - 1] {
            fs::write(&kept, &whole[..length]).unwrap();
            assert_eq!(content(&disk_metadata(&path, &[]).unwrap()), whole, "{length}");
        }
        fs::write(&path, tree(0o700).encode()).unwrap();
        assert_ne!(content(&disk_metadata(&path, &[]).unwrap()), whole);
    }

    #[test]
    fn where_nothing_can_be_written_it_is_in_memory() {
        let (folder, path) = store();
        fs::remove_dir(folder.path().join("partial")).unwrap();
        let made = disk_metadata(&path, &[]).unwrap();
        assert_eq!((content(&made).len() as u64, made.length), (4096, 4096));
        assert!(!path.with_extension("erofs").exists());
    }

    #[test]
    fn a_file_that_is_no_tree_is_named() {
        let (_folder, path) = store();
        fs::write(&path, [7; 100]).unwrap();
        assert!(matches!(disk_metadata(&path, &[]), Err(DiskFormError::Tree { .. })));
        fs::remove_file(&path).unwrap();
        assert!(matches!(disk_metadata(&path, &[]), Err(DiskFormError::Read { .. })));
    }
}
