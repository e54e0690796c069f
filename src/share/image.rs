//! An unpacked image as virtio-fs, read-only: names, owners and devices from its [`RootTree`], bytes from its packs.
//!
//! ```text
//! parent: opens tree and packs ─descriptors─► server: an empty root, nothing to open ─► tree, decoded once
//!                                                                                  └─► packs, by pread
//! ```
//!
//! The number of an inode in the tree, plus one, is its node and its inode number: a guest that makes numbers up reaches
//! an inode of the same image or none, and there is nothing to keep for it. What a guest has read it may believe for ever.
//! It is told so: it opens and closes without asking. Not here: what trees look like (`rootfs`), how they come to be
//! (`image`).

mod attributes;
mod content;
mod entries;
mod requests;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use crate::rootfs::{Inode, InodeKind, RootTree};

use super::rules::errno;
use super::spec::{ShareError, ShareTree};

/// A tree longer than this is none of ours.
const TREE_MAX_BYTES: u64 = 1 << 30;

/// Where zeros come from, for what files do not hold.
const ZEROS: &str = "/dev/zero";

/// A served image.
pub(crate) struct ImageFs {
    content: Arc<Content>,
    /// Without any, the guest's kernel stops asking after the first answer.
    has_xattrs: bool,
    /// Of all packs.
    bytes: u64,
}

/// What an image is.
pub(super) struct Content {
    tree: Arc<RootTree>,
    packs: Vec<File>,
    zeros: File,
}

/// The open files of an image, before they are read.
pub(super) struct ImageFiles {
    pub(super) tree: File,
    pub(super) packs: Vec<File>,
    pub(super) zeros: File,
}

/// Opens the tree and the packs of an image, in that order; nothing for other trees.
pub(super) fn open_files(tag: &str, tree: &ShareTree) -> Result<Vec<OwnedFd>, ShareError> {
    let ShareTree::Image { tree, packs } = tree else { return Ok(Vec::new()) };
    let open = |path: &Path| match File::open(path) {
        Ok(file) => Ok(file.into()),
        Err(source) => Err(ShareError::Image { tag: tag.to_owned(), path: path.to_owned(), source }),
    };
    std::iter::once(tree).chain(packs).map(|path| open(path)).collect()
}

/// Opens what an image is served from besides its own files.
pub(super) fn open_zeros() -> io::Result<File> {
    File::open(ZEROS)
}

impl ImageFs {
    /// Reads the tree and looks that it is one, for packs of these lengths.
    pub(super) fn new(files: ImageFiles) -> io::Result<Self> {
        let ImageFiles { tree, packs, zeros } = files;
        let lengths = packs.iter().map(|pack| Ok(pack.metadata()?.len())).collect::<io::Result<Vec<u64>>>()?;
        let mut bytes = Vec::new();
        tree.take(TREE_MAX_BYTES).read_to_end(&mut bytes)?;
        let tree = RootTree::decode(&bytes, &lengths)
            .map_err(|error| io::Error::other(format!("the tree of the image cannot be used: {}", chain(&error))))?;
        Ok(Self::of(tree, packs, zeros))
    }

    fn of(tree: RootTree, packs: Vec<File>, zeros: File) -> Self {
        let has_xattrs = tree.inodes.iter().any(|inode| !inode.attributes.xattrs.is_empty());
        let length = |pack: &File| pack.metadata().map_or(0, |found| found.len());
        let bytes = packs.iter().map(length).fold(0, u64::saturating_add);
        let content = Arc::new(Content { tree: Arc::new(tree), packs, zeros });
        Self { content, has_xattrs, bytes }
    }

    /// Who answers reads.
    pub(super) fn content(&self) -> Arc<Content> {
        Arc::clone(&self.content)
    }
}

impl Content {
    /// The number in the tree of a node that a guest names.
    fn number(&self, node: u64) -> io::Result<u32> {
        let number = node.checked_sub(1).and_then(|number| u32::try_from(number).ok());
        number.filter(|number| self.tree.inode(*number).is_some()).ok_or_else(|| errno(libc::EBADF))
    }

    fn inode(&self, node: u64) -> io::Result<&Inode> {
        let number = self.number(node)?;
        self.tree.inode(number).ok_or_else(|| errno(libc::EBADF))
    }

    /// The number of a folder.
    fn folder(&self, node: u64) -> io::Result<u32> {
        match self.inode(node)?.kind {
            InodeKind::Folder { .. } => self.number(node),
            _ => Err(errno(libc::ENOTDIR)),
        }
    }
}

/// The node of an inode of the tree.
fn node_of(number: u32) -> u64 {
    u64::from(number) + 1
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
