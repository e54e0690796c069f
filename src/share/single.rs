//! One file of the host as a folder that holds nothing else, for mounts of a file.
//!
//! ```text
//! guest: node 1, a folder ─► node 2, the file ─name, at each request─► ShareFs ─► whatever has the name now
//! ```
//!
//! A guest that has bound the entry to a mount point asks by its node for ever. So the node stays and means the name:
//! a file that an editor renames over it is what the next request finds. What is open stays what was opened, as on a
//! disk. A link under the name is followed to other names of the same folder, which is all that this process sees.
//! Nothing else of that folder is reached, and the entry itself can be neither removed nor replaced, like a mount point.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::io;
use std::sync::Mutex;
use std::time::Duration;

use virtiofsd::filesystem::{Context, DirEntry, DirectoryIterator, Entry, FileSystem, ROOT_ID};
use virtiofsd::fuse::Attr;

use super::filesystem::ShareFs;
use super::rules::{check_name, errno};
use super::tree::lock;

/// The node of the file.
const FILE_ID: u64 = ROOT_ID + 1;

/// The mode of the folder around the file.
const FOLDER_MODE: u32 = libc::S_IFDIR | 0o555;

/// As many links as Linux follows in one path.
pub(super) const LINKS_MAX: usize = 40;

/// How often a file that is replaced while it is asked for is looked up again.
const TRIES_MAX: usize = 8;

/// A served file.
pub(crate) struct SingleFs {
    /// The folder that holds it.
    inner: ShareFs,
    name: CString,
    is_read_only: bool,
    /// The inner node of each open handle, which counts as looked up until it is closed.
    opened: Mutex<HashMap<u64, u64>>,
}

/// What the name means at the moment. Forgotten when dropped.
struct Found<'a> {
    inner: &'a ShareFs,
    context: Context,
    entry: Entry,
}

impl Found<'_> {
    fn node(&self) -> u64 {
        self.entry.inode
    }

    /// Leaves the node looked up.
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Found<'_> {
    fn drop(&mut self) {
        self.inner.forget(self.context, self.entry.inode, 1);
    }
}

impl SingleFs {
    /// Serves the file `name` of a served folder.
    pub(crate) fn new(inner: ShareFs, name: CString, is_read_only: bool) -> Self {
        Self { inner, name, is_read_only, opened: Mutex::new(HashMap::new()) }
    }

    fn find(&self, context: Context) -> io::Result<Found<'_>> {
        let mut name = self.name.clone();
        for _ in 0..LINKS_MAX {
            let entry = self.inner.lookup(context, ROOT_ID, &name)?;
            if entry.inode == 0 {
                return Err(errno(libc::ENOENT));
            }
            let found = Found { inner: &self.inner, context, entry };
            match found.entry.attr.mode & libc::S_IFMT {
                libc::S_IFREG => return Ok(found),
                libc::S_IFDIR => return Err(errno(libc::EISDIR)),
                libc::S_IFLNK => name = plain_name(self.inner.readlink(context, found.entry.inode)?)?,
                _ => return Err(errno(libc::ENXIO)),
            }
        }
        Err(errno(libc::ELOOP))
    }

    /// Does something with the file that has the name, once more where that was replaced meanwhile.
    fn with_file<T>(&self, context: Context, act: impl Fn(Found<'_>) -> io::Result<T>) -> io::Result<T> {
        let mut last = errno(libc::ESTALE);
        for _ in 0..TRIES_MAX {
            match self.find(context).and_then(&act) {
                Err(error) if error.raw_os_error() == Some(libc::ESTALE) => last = error,
                result => return result,
            }
        }
        Err(last)
    }

    /// The inner node of a handle that the guest has of this node.
    fn opened(&self, node: u64, handle: u64) -> io::Result<u64> {
        let opened = lock(&self.opened).get(&handle).copied();
        opened.filter(|_| node == FILE_ID).ok_or_else(|| errno(libc::EBADF))
    }

    fn shown(attr: Attr) -> Attr {
        // Other names of the file are none of the guest's.
        Attr { nlink: 1, ..attr }
    }

    fn folder_attr(&self, context: Context) -> io::Result<(Attr, Duration)> {
        let (attr, timeout) = self.inner.getattr(context, ROOT_ID, None)?;
        let shown =
            Attr { ino: attr.ino, mode: FOLDER_MODE, nlink: 2, uid: attr.uid, gid: attr.gid, ..Attr::default() };
        Ok((Attr { blksize: attr.blksize, ..shown }, timeout))
    }

    /// Why a name of the folder is not changed.
    fn refusal(&self, name: &CStr) -> io::Error {
        match check_name(name) {
            Err(error) => error,
            Ok(()) if self.is_read_only => errno(libc::EROFS),
            Ok(()) if name == &*self.name => errno(libc::EBUSY),
            Ok(()) => errno(libc::EPERM),
        }
    }
}

/// The target of a link, where it is another name of the same folder. One that leads elsewhere leads nowhere here.
pub(super) fn plain_name(target: Vec<u8>) -> io::Result<CString> {
    let name = CString::new(target).map_err(|_| errno(libc::ELOOP))?;
    check_name(&name).map_err(|_| errno(libc::ELOOP))?;
    Ok(name)
}

/// The entries of the folder around the file, from an offset on.
pub(crate) struct OneEntry {
    name: CString,
    ino: u64,
    offset: u64,
}

impl DirectoryIterator for OneEntry {
    fn next(&mut self) -> Option<DirEntry<'_>> {
        const FILE: u32 = libc::DT_REG as u32;
        const FOLDER: u32 = libc::DT_DIR as u32;
        let (name, type_) = match self.offset {
            0 => (c".", FOLDER),
            1 => (c"..", FOLDER),
            2 => (&*self.name, FILE),
            _ => return None,
        };
        self.offset += 1;
        Some(DirEntry { ino: self.ino, offset: self.offset, type_, name })
    }
}

mod requests;
#[cfg(test)]
mod tests;
