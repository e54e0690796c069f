//! Where everything is: which form each inode has, its number, where its data begins.
//!
//! Inodes come in the order of a walk, those of one folder together, so that listing a folder reads few blocks. Behind
//! them are the blocks of folders and links that do not fit beside their inode.

use super::error::{ErofsError, damaged};
use super::folder::Folder;
use super::inode::{self, Data, INODE_BYTES};
use super::superblock;
use super::{BLOCK, BLOCK_BYTES, xattrs};
use crate::rootfs::{Inode, InodeKind, RootTree};

/// Inodes begin at multiples of this; their number is where, in units of it.
const SLOT: usize = 32;

/// Most metadata that is made: some gigabytes would be an image of nothing but names, or a trap.
const METADATA_MAX: usize = 1 << 30;

/// An inode with its place.
struct Placed<'a> {
    inode: &'a Inode,
    offset: usize,
    xattrs: Vec<u8>,
    data: Data<'a>,
    /// Among the blocks behind the inodes.
    first_block: usize,
}

/// The places of all that is on the disk.
pub(super) struct Layout<'a> {
    /// In the order of the disk.
    placed: Vec<Placed<'a>>,
    /// Where in `placed` each inode of the tree is.
    places: Vec<Option<usize>>,
    /// Blocks of the metadata, and those of them that hold inodes.
    blocks: usize,
    inode_blocks: usize,
    /// Block of the disk at which each pack begins, and in the end the length of the disk.
    packs: Vec<u64>,
}

impl<'a> Layout<'a> {
    /// Finds a place for all that the root leads to.
    pub(super) fn of(tree: &'a RootTree, pack_lengths: &[u64]) -> Result<Self, ErofsError> {
        let mut layout = Self {
            placed: Vec::with_capacity(tree.inodes.len()),
            places: vec![None; tree.inodes.len()],
            blocks: 0,
            inode_blocks: 0,
            packs: Vec::new(),
        };
        let mut end = superblock::OFFSET + superblock::BYTES;
        let mut blocks = 0;
        let mut folders = Vec::new();
        layout.place(tree, 0, &mut end, &mut blocks)?;
        folders.push(0_u32);
        while let Some(number) = folders.pop() {
            let InodeKind::Folder { entries, .. } = &inode_of(tree, number)?.kind else { continue };
            let below = folders.len();
            for (_, child) in entries {
                let is_folder = matches!(inode_of(tree, *child)?.kind, InodeKind::Folder { .. });
                if layout.place_of(*child).is_none() {
                    layout.place(tree, *child, &mut end, &mut blocks)?;
                } else if is_folder {
                    return Err(damaged("a folder has two names"));
                }
                if is_folder {
                    folders.push(*child);
                }
            }
            folders[below..].reverse();
        }
        layout.inode_blocks = end.div_ceil(BLOCK);
        layout.blocks = layout.inode_blocks + blocks;
        layout.packs = pack_blocks(layout.blocks, pack_lengths)?;
        if tree.packs as usize != pack_lengths.len() {
            return Err(damaged("it has another number of packs"));
        }
        Ok(layout)
    }

    /// Puts an inode behind the others.
    fn place(
        &mut self,
        tree: &'a RootTree,
        number: u32,
        end: &mut usize,
        blocks: &mut usize,
    ) -> Result<(), ErofsError> {
        let inode = inode_of(tree, number)?;
        let xattrs = xattrs::render(&inode.attributes.xattrs)?;
        let data = match &inode.kind {
            InodeKind::Folder { parent, entries } => Data::Folder(Folder::new(number, *parent, entries)?),
            InodeKind::Link { target } => Data::Link(target),
            InodeKind::File { size, extents } => inode::file_data(*size, extents)?,
            InodeKind::CharDevice { .. } | InodeKind::BlockDevice { .. } | InodeKind::Fifo => Data::None,
        };
        let beside = data.beside(INODE_BYTES + xattrs.len());
        let size = INODE_BYTES + xattrs.len() + beside.bytes;
        let mut offset = end.next_multiple_of(SLOT);
        if beside.is_in_one_block && offset / BLOCK != (offset + size - 1) / BLOCK {
            offset = offset.next_multiple_of(BLOCK);
        }
        *end = offset + size;
        let placed = Placed { inode, offset, xattrs, data, first_block: *blocks };
        *blocks += beside.blocks;
        if *end + *blocks * BLOCK > METADATA_MAX {
            return Err(ErofsError::TooLarge { what: "that many names and inodes" });
        }
        self.places[number as usize] = Some(self.placed.len());
        self.placed.push(placed);
        Ok(())
    }

    fn place_of(&self, number: u32) -> Option<&Placed<'a>> {
        let place = self.places.get(number as usize).copied().flatten()?;
        self.placed.get(place)
    }

    /// The metadata without its superblock.
    pub(super) fn render(&self) -> Result<Vec<u8>, ErofsError> {
        let mut bytes = vec![0; self.blocks * BLOCK];
        let look_up = |number: u32| {
            let placed = self.place_of(number)?;
            Some((slot(placed.offset), inode::file_type(&placed.inode.kind)))
        };
        for (place, placed) in self.placed.iter().enumerate() {
            let block = self.inode_blocks + placed.first_block;
            let parts = inode::Parts {
                inode: placed.inode,
                number: u32::try_from(place + 1).unwrap_or(u32::MAX),
                xattrs: &placed.xattrs,
                data: &placed.data,
                first_block: u32::try_from(block).map_err(|_| ErofsError::TooLarge { what: "that many blocks" })?,
                packs: &self.packs,
            };
            let rendered = parts.render(&look_up)?;
            bytes[placed.offset..][..rendered.head.len()].copy_from_slice(&rendered.head);
            bytes[block * BLOCK..][..rendered.blocks.len()].copy_from_slice(&rendered.blocks);
        }
        Ok(bytes)
    }

    /// Number of the root's inode. It is the first: its number is small.
    pub(super) fn root_number(&self) -> u16 {
        self.placed.first().and_then(|root| u16::try_from(slot(root.offset)).ok()).unwrap_or(u16::MAX)
    }

    pub(super) fn inode_count(&self) -> u64 {
        self.placed.len() as u64
    }

    /// Blocks of the whole disk.
    pub(super) fn disk_blocks(&self) -> u32 {
        self.packs.last().and_then(|end| u32::try_from(*end).ok()).unwrap_or(u32::MAX)
    }

    pub(super) fn has_chunks(&self) -> bool {
        self.placed.iter().any(|placed| matches!(placed.data, Data::Chunks(_)))
    }
}

fn inode_of(tree: &RootTree, number: u32) -> Result<&Inode, ErofsError> {
    tree.inodes.get(number as usize).ok_or(damaged("a folder names an inode that is not there"))
}

fn slot(offset: usize) -> u64 {
    (offset / SLOT) as u64
}

/// Where each pack begins behind so many blocks, and where the last one ends.
fn pack_blocks(metadata: usize, lengths: &[u64]) -> Result<Vec<u64>, ErofsError> {
    let mut next = metadata as u64;
    let mut starts = vec![next];
    for length in lengths {
        next = next.saturating_add(length.div_ceil(BLOCK_BYTES));
        starts.push(next);
    }
    // The last number of 32 bits says that there is no block.
    if next >= u64::from(u32::MAX) {
        return Err(ErofsError::TooLarge { what: "16 TiB and more" });
    }
    Ok(starts)
}
