//! The bytes of a file: from the packs into the guest's buffers, zeros where it has none.

use std::io;

use crate::rootfs::{Extent, InodeKind};

use super::super::reads::{ReadFile, Room};
use super::super::rules::errno;
use super::Content;

impl Content {
    fn file(&self, node: u64) -> io::Result<(u64, &[Extent])> {
        match &self.inode(node)?.kind {
            InodeKind::File { size, extents } => Ok((*size, extents)),
            InodeKind::Folder { .. } => Err(errno(libc::EISDIR)),
            _ => Err(errno(libc::EINVAL)),
        }
    }

    /// The next byte from an offset on that lies in a pack.
    pub(super) fn next_data(&self, node: u64, offset: u64) -> io::Result<u64> {
        let (size, extents) = self.file(node)?;
        let next = extents.get(first_after(extents, offset)).filter(|_| offset < size);
        next.map(|extent| extent.file_offset.max(offset)).ok_or_else(|| errno(libc::ENXIO))
    }

    /// The next byte from an offset on that lies in none; the end of the file is one.
    pub(super) fn next_hole(&self, node: u64, offset: u64) -> io::Result<u64> {
        let (size, extents) = self.file(node)?;
        if offset >= size {
            return Err(errno(libc::ENXIO));
        }
        let touching = extents[first_after(extents, offset)..].iter();
        Ok(touching.fold(offset, |at, extent| if extent.file_offset <= at { end_of(extent) } else { at }))
    }
}

impl ReadFile for Content {
    /// Less than asked for comes only at the end of the file: what is missing of a pack is an error, never taken for it.
    fn read_file(&self, node: u64, count: u32, offset: u64, room: &mut dyn Room) -> io::Result<u32> {
        let (size, extents) = self.file(node)?;
        let end = offset.saturating_add(u64::from(count)).min(size);
        let mut at = offset;
        let mut ahead = extents[first_after(extents, offset)..].iter().peekable();
        while at < end {
            let (file, from, until) = match ahead.peek() {
                Some(extent) if extent.file_offset <= at => {
                    let pack = usize::try_from(extent.pack).ok().and_then(|pack| self.packs.get(pack));
                    let pack = pack.ok_or_else(|| errno(libc::EIO))?;
                    (pack, extent.pack_offset + (at - extent.file_offset), end_of(extent))
                }
                next => (&self.zeros, 0, next.map_or(end, |extent| extent.file_offset)),
            };
            let until = until.min(end);
            room.fill(file, from, usize::try_from(until - at).map_err(io::Error::other)?)?;
            at = until;
            ahead.next_if(|extent| end_of(extent) <= at);
        }
        u32::try_from(at - offset).map_err(io::Error::other)
    }
}

fn end_of(extent: &Extent) -> u64 {
    extent.file_offset + extent.length
}

/// The place of the first extent that does not end before the offset.
fn first_after(extents: &[Extent], offset: u64) -> usize {
    extents.partition_point(|extent| end_of(extent) <= offset)
}
