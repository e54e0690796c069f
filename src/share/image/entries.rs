//! The entries of a folder of an image, from an offset on: 0 and 1 are `.` and `..`, the rest in the order of the tree.

use std::ffi::CStr;
use std::sync::Arc;

use virtiofsd::filesystem::{DirEntry, DirectoryIterator};

use crate::rootfs::{InodeKind, RootTree};

use super::attributes::type_bits;
use super::node_of;

/// Where a folder is read.
pub(crate) struct ImageEntries {
    tree: Arc<RootTree>,
    folder: u32,
    /// Of the next entry.
    offset: u64,
    /// The name of the last one, with its end.
    name: Vec<u8>,
}

impl ImageEntries {
    pub(super) fn new(tree: Arc<RootTree>, folder: u32, offset: u64) -> Self {
        Self { tree, folder, offset, name: Vec::with_capacity(256) }
    }

    /// The inode of the next entry; its name is put into the buffer.
    fn step(&mut self) -> Option<u32> {
        let (name, number): (&[u8], u32) = match self.offset {
            0 => (b".", self.folder),
            1 => match self.tree.inode(self.folder)?.kind {
                InodeKind::Folder { parent, .. } => (b"..", parent),
                _ => return None,
            },
            offset => {
                let place = usize::try_from(offset - 2).ok()?;
                let (name, number) = self.tree.entries(self.folder).get(place)?;
                (name, *number)
            }
        };
        self.name.clear();
        self.name.extend_from_slice(name);
        self.name.push(0);
        Some(number)
    }
}

impl DirectoryIterator for ImageEntries {
    fn next(&mut self) -> Option<DirEntry<'_>> {
        let number = self.step()?;
        self.offset += 1;
        let kind = type_bits(&self.tree.inode(number)?.kind);
        let name = CStr::from_bytes_with_nul(&self.name).ok()?;
        // The types of entries are those of modes without what comes after them.
        Some(DirEntry { ino: node_of(number), offset: self.offset, type_: kind >> 12, name })
    }
}
