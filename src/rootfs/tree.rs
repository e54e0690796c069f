//! The root file system of an image, all its layers together. Not here: how they are put together.

use serde::{Deserialize, Serialize};

/// A name in a folder: no slash, no NUL, not empty, not `.` or `..`, at most 255 bytes.
pub type Name = Vec<u8>;

/// A root file system, read-only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootTree {
    /// All inodes; the first is the root, a folder.
    pub inodes: Vec<Inode>,
    /// How many packs the extents refer to.
    pub packs: u32,
}

/// A file of whatever kind, under all its names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inode {
    /// What it is.
    pub kind: InodeKind,
    /// Owner, mode, time and extended attributes.
    pub attributes: Attributes,
    /// How many names it has; of a folder two, and one for each folder in it.
    pub links: u32,
}

/// What all inodes have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// Permission and set-id bits and the sticky bit: 12 bits.
    pub mode: u16,
    /// User of the guest.
    pub uid: u32,
    /// Group of the guest.
    pub gid: u32,
    /// Last change of the content: seconds since 1970 and nanoseconds.
    pub modified: (i64, u32),
    /// Full names and values, sorted by name: `security.capability`, `user.…`.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What an inode is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum InodeKind {
    /// A folder.
    Folder {
        /// Number of the folder that it is in; the root's is its own.
        parent: u32,
        /// Names, sorted by bytes, and numbers of inodes.
        entries: Vec<(Name, u32)>,
    },
    /// A file.
    File {
        /// Length in bytes, holes included.
        size: u64,
        /// What is no hole, in order, without overlaps.
        extents: Vec<Extent>,
    },
    /// A symbolic link.
    Link {
        /// Where it leads, as it is written.
        target: Vec<u8>,
    },
    /// A character device.
    CharDevice {
        /// Major and minor number.
        number: (u32, u32),
    },
    /// A block device.
    BlockDevice {
        /// Major and minor number.
        number: (u32, u32),
    },
    /// A named pipe.
    Fifo,
}

/// Bytes of a file that lie together in a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// Offset in the file, a multiple of 4096.
    pub file_offset: u64,
    /// Length in bytes.
    pub length: u64,
    /// Which pack, in the order of the layers, the lowest first.
    pub pack: u32,
    /// Offset in the pack, a multiple of 4096. What follows the extent in its last block is zero.
    pub pack_offset: u64,
}
