//! The entries of a folder that the guest may see.

use std::ffi::CString;
use std::sync::Arc;

use virtiofsd::filesystem::{DirEntry, DirectoryIterator};
use virtiofsd::read_dir::ReadDir;

use super::rules::is_public;
use super::tree::Tree;

/// One batch of entries, filtered as it is read.
pub(crate) struct Entries {
    tree: Arc<Tree>,
    batch: ReadDir<Vec<u8>>,
    folder: u64,
    /// The device of what is in the folder, but for what is mounted there.
    device: u64,
    is_public_only: bool,
    next: Option<Named>,
    shown: Option<Named>,
    /// Where the next batch begins.
    end: u64,
}

struct Named {
    ino: u64,
    offset: u64,
    kind: u32,
    name: CString,
}

impl Entries {
    /// Filters a batch of the folder with this node id, and goes to its first entry.
    pub(crate) fn new(tree: Arc<Tree>, batch: ReadDir<Vec<u8>>, folder: u64, is_public_only: bool) -> Self {
        let device = tree.device(folder);
        let mut entries = Self { tree, batch, folder, device, is_public_only, next: None, shown: None, end: 0 };
        entries.advance();
        entries
    }

    /// Whether nothing of the batch is shown; the offset is that of the next batch.
    pub(crate) fn end_if_empty(&self) -> Option<u64> {
        self.next.is_none().then_some(self.end)
    }

    fn advance(&mut self) {
        self.next = None;
        while let Some(entry) = self.batch.next() {
            self.end = entry.offset;
            let ino = self.tree.shown_inode(self.device, entry.ino);
            let named = Named { ino, offset: entry.offset, kind: entry.type_, name: entry.name.to_owned() };
            if !self.is_public_only || self.is_shown(&named) {
                self.next = Some(named);
                return;
            }
        }
    }

    fn is_shown(&self, entry: &Named) -> bool {
        const FILE: u32 = libc::DT_REG as u32;
        const FOLDER: u32 = libc::DT_DIR as u32;
        const LINK: u32 = libc::DT_LNK as u32;
        const UNKNOWN: u32 = libc::DT_UNKNOWN as u32;
        if matches!(entry.name.to_bytes(), b"." | b"..") {
            return true;
        }
        match entry.kind {
            LINK => true,
            FILE | FOLDER | UNKNOWN => self.tree.peek(self.folder, &entry.name).is_ok_and(|attr| is_public(attr.mode)),
            _ => false,
        }
    }
}

impl DirectoryIterator for Entries {
    fn next(&mut self) -> Option<DirEntry<'_>> {
        self.shown = self.next.take();
        if self.shown.is_some() {
            self.advance();
        }
        self.shown.as_ref().map(|entry| DirEntry {
            ino: entry.ino,
            offset: entry.offset,
            type_: entry.kind,
            name: &entry.name,
        })
    }
}
