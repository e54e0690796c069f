//! What makes a booted kernel a machine: its setup and its mounts. Not here: its network, how setup fails.

use serde::{Deserialize, Serialize};

use crate::bytes::Bytes;
use crate::wire_network::SetupNetwork;

/// Everything but its mounts that makes a booted kernel a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// Host name.
    pub hostname: String,
    /// Nanoseconds since 1970.
    pub clock_unix_ns: u64,
    /// Seed of the kernel's random numbers; each byte counts as eight bits.
    pub entropy: Bytes,
    /// The root's lower layer.
    pub root: SetupRoot,
    /// Services of other machines that are reached by name.
    pub links: Vec<SetupLink>,
    /// Its network; `None` is no interface but `lo`.
    pub network: Option<SetupNetwork>,
}

/// A port of another machine, reached by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupLink {
    /// The name.
    pub name: String,
    /// Address of the guest's own that it stands for: one of `127.0.0.0/8`, the same for all ports of a name.
    pub address: [u8; 4],
    /// The port.
    pub port: u16,
}

/// Where the image is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SetupRoot {
    /// A share.
    Share {
        /// Its tag.
        tag: String,
    },
    /// A disk with an erofs file system.
    Erofs {
        /// Its serial number.
        serial: String,
    },
}

/// A mount and its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupMount {
    /// Absolute path in the guest.
    pub target: String,
    /// Whether a missing mount point may be made inside a writable share, which makes it on the host.
    pub is_created_in_share: bool,
    /// What is mounted.
    pub kind: SetupMountKind,
}

impl SetupMount {
    /// Tag of its share, where it has one.
    pub fn tag(&self) -> Option<&str> {
        match &self.kind {
            SetupMountKind::Folder { tag, .. }
            | SetupMountKind::File { tag, .. }
            | SetupMountKind::Overlay { tag, .. } => Some(tag),
            SetupMountKind::Tmpfs { .. } | SetupMountKind::Disk { .. } => None,
        }
    }
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SetupMountKind {
    /// A folder of the host.
    Folder {
        /// Tag of the share.
        tag: String,
        /// Whether the guest's kernel refuses writes too.
        is_read_only: bool,
        /// Inode number of the folder on the host, to check that the right share is there.
        inode: Option<u64>,
    },
    /// A file of the host: the only entry in the root of its share, whatever its name there is.
    File {
        /// Tag of the share.
        tag: String,
        /// Whether the guest's kernel refuses writes too.
        is_read_only: bool,
    },
    /// A folder of the host below a layer of the machine that takes all writes.
    Overlay {
        /// Tag of the share, which is read-only.
        tag: String,
        /// Inode number of the folder on the host, to check that the right share is there.
        inode: Option<u64>,
    },
    /// A folder in memory.
    Tmpfs {
        /// Most that it may hold, in MiB; `None` is half of the memory.
        size_mib: Option<u64>,
    },
    /// A disk with an ext4 file system, which is made as large as the disk.
    Disk {
        /// Its serial number.
        serial: String,
        /// Whether it is mounted read-only; whether it can be written to is the disk's own matter.
        is_read_only: bool,
        /// What it gets where it is new; `None` leaves it as it is.
        beginning: Option<DiskBeginning>,
    },
}

/// What a new disk begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskBeginning {
    /// Owner of its root, where the image has no folder in its place.
    pub uid: u32,
    /// Group of its root, likewise.
    pub gid: u32,
    /// Whether a folder that the image has in its place is copied to it, with its owner and mode.
    pub is_filled: bool,
    /// Whether this owner stays, and everyone may write to it, also where that folder is root's.
    pub is_users: bool,
}
