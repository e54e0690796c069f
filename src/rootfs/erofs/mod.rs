//! A tree as an erofs file system whose files' bytes stay where they are.
//!
//! ```text
//! disk:  [metadata: superblock, inodes, folders, chunk maps][pack 0, padded to a block][pack 1, padded]…
//!         └─ made here from the tree, in memory ───────────┘ └─ named by block numbers, never read or copied ─┘
//! ```
//!
//! The form is that of Linux's `fs/erofs/erofs_fs.h` as its version 5.15 reads it: blocks of 4096 bytes, extended inodes,
//! no compression. The same tree gives the same bytes. Not here: who serves the disk (`virtio`), where the bytes are
//! kept (`image`).

mod error;
mod folder;
mod inode;
mod layout;
#[cfg(test)]
mod reader;
mod superblock;
#[cfg(test)]
mod tests;
mod xattrs;

pub use error::ErofsError;

use super::RootTree;
use layout::Layout;

/// Size of a block, and what metadata and packs are padded to.
pub const BLOCK_BYTES: u64 = 4096;

/// [`BLOCK_BYTES`] where something in memory is counted.
const BLOCK: usize = 4096;

/// Writes the metadata of a tree whose packs have these lengths in bytes, in their order. The length of what is
/// returned is a multiple of [`BLOCK_BYTES`].
///
/// # Errors
/// Where the form cannot hold the tree, and where the tree contradicts itself or the packs.
pub fn write_metadata(tree: &RootTree, pack_lengths: &[u64]) -> Result<Vec<u8>, ErofsError> {
    let layout = Layout::of(tree, pack_lengths)?;
    let mut bytes = layout.render()?;
    superblock::write(&mut bytes, &layout);
    Ok(bytes)
}
