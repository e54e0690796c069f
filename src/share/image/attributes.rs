//! Attributes of an inode as FUSE has them, and its extended ones. From the tree alone.

use std::ffi::CStr;
use std::io;

use virtiofsd::filesystem::{GetxattrReply, ListxattrReply};
use virtiofsd::fuse::Attr;

use crate::rootfs::{BLOCK, Inode, InodeKind};

use super::super::rules::errno;
use super::{ImageFs, node_of};

/// Sectors, in which `stat` counts what a file takes.
const SECTOR: u64 = 512;

/// What the guest's own overlay writes into its layers. From an image it would steer the overlay.
const OVERLAY: &[u8] = b"trusted.overlay.";

/// The file type of a mode.
pub(super) fn type_bits(kind: &InodeKind) -> u32 {
    match kind {
        InodeKind::Folder { .. } => libc::S_IFDIR,
        InodeKind::File { .. } => libc::S_IFREG,
        InodeKind::Link { .. } => libc::S_IFLNK,
        InodeKind::CharDevice { .. } => libc::S_IFCHR,
        InodeKind::BlockDevice { .. } => libc::S_IFBLK,
        InodeKind::Fifo => libc::S_IFIFO,
    }
}

/// What the guest is told of an inode.
pub(super) fn attr_of(number: u32, inode: &Inode) -> Attr {
    let attributes = &inode.attributes;
    let (size, taken) = match &inode.kind {
        InodeKind::Folder { .. } => (BLOCK, BLOCK),
        InodeKind::File { size, extents } => {
            let whole = extents.iter().map(|extent| extent.length.next_multiple_of(BLOCK));
            (*size, whole.fold(0, u64::saturating_add))
        }
        InodeKind::Link { target } => (u64::try_from(target.len()).unwrap_or(u64::MAX), 0),
        InodeKind::CharDevice { .. } | InodeKind::BlockDevice { .. } | InodeKind::Fifo => (0, 0),
    };
    let rdev = match inode.kind {
        InodeKind::CharDevice { number } | InodeKind::BlockDevice { number } => device_word(number),
        _ => 0,
    };
    let (seconds, nanoseconds) = attributes.modified;
    // Times before 1970 travel as their two's complement.
    let seconds = seconds.cast_unsigned();
    Attr {
        ino: node_of(number),
        size,
        blocks: taken / SECTOR,
        atime: seconds,
        mtime: seconds,
        ctime: seconds,
        atimensec: nanoseconds,
        mtimensec: nanoseconds,
        ctimensec: nanoseconds,
        mode: type_bits(&inode.kind) | u32::from(attributes.mode),
        nlink: inode.links,
        uid: attributes.uid.into(),
        gid: attributes.gid.into(),
        rdev,
        blksize: 4096,
        flags: 0,
    }
}

/// A device number in the one word that FUSE has for it (the kernel's `new_encode_dev`).
fn device_word((major, minor): (u32, u32)) -> u32 {
    (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xfff00) << 12)
}

impl ImageFs {
    /// The names and values of an inode's attributes that the guest may see.
    fn xattrs(&self, node: u64) -> io::Result<impl Iterator<Item = &(Vec<u8>, Vec<u8>)>> {
        if !self.has_xattrs {
            return Err(errno(libc::ENOSYS));
        }
        let all = &self.content.inode(node)?.attributes.xattrs;
        Ok(all.iter().filter(|(name, _)| !name.starts_with(OVERLAY)))
    }

    pub(super) fn xattr(&self, node: u64, name: &CStr, size: u32) -> io::Result<GetxattrReply> {
        let found = self.xattrs(node)?.find(|(own, _)| own == name.to_bytes());
        let (_, value) = found.ok_or_else(|| errno(libc::ENODATA))?;
        Ok(match reply_length(value.len(), size)? {
            Some(length) => GetxattrReply::Count(length),
            None => GetxattrReply::Value(value.clone()),
        })
    }

    pub(super) fn xattr_names(&self, node: u64, size: u32) -> io::Result<ListxattrReply> {
        let names: Vec<u8> = self.xattrs(node)?.flat_map(|(name, _)| name.iter().copied().chain([0])).collect();
        Ok(match reply_length(names.len(), size)? {
            Some(length) => ListxattrReply::Count(length),
            None => ListxattrReply::Names(names),
        })
    }
}

/// The length where only that is asked for; an error where there is no room for the rest.
fn reply_length(length: usize, room: u32) -> io::Result<Option<u32>> {
    let length = u32::try_from(length).map_err(|_| errno(libc::E2BIG))?;
    match room {
        0 => Ok(Some(length)),
        room if room < length => Err(errno(libc::ERANGE)),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_travel_as_the_kernel_has_them() {
        for number in [(1, 3), (8, 1), (4095, 0xf_ffff), (0, 256)] {
            let word = device_word(number);
            let (major, minor) = ((word & 0xfff00) >> 8, (word & 0xff) | ((word >> 12) & 0xfff00));
            assert_eq!((major, minor), number);
        }
        assert_eq!(device_word((1, 3)), 0x103);
    }
}
