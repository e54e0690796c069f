//! What one layer says, in the order in which it says it. Not here: what several say together.

use serde::{Deserialize, Serialize};

use super::tree::{Attributes, Name};

/// The entries of a layer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerIndex {
    /// In the order of the archive.
    pub entries: Vec<LayerEntry>,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerEntry {
    /// Names from the root on, without `.`, `..` and empty ones; none is the root itself.
    pub path: Vec<Name>,
    /// What is there.
    pub node: LayerNode,
    /// Owner, mode, time and extended attributes; of no meaning for hard links and whiteouts.
    pub attributes: Attributes,
}

/// What an entry of a layer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LayerNode {
    /// A folder.
    Folder,
    /// A file; its bytes lie in the layer's pack.
    File {
        /// Length in bytes, holes included.
        size: u64,
        /// What is no hole: offset in the file, length, offset in the pack. In order, without overlaps. The first byte
        /// of each lies at a multiple of 4096 in the pack, and so in the file.
        extents: Vec<(u64, u64, u64)>,
    },
    /// A symbolic link.
    Link {
        /// Where it leads, as it is written.
        target: Vec<u8>,
    },
    /// Another name of a file, link or device, of this layer or one below.
    HardLink {
        /// Path of the first name, as [`LayerEntry::path`].
        target: Vec<Name>,
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
    /// What lower layers have under this path is not there.
    Whiteout,
    /// What lower layers have in this folder is not there.
    Opaque,
}
