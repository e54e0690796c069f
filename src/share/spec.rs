//! What a file server is told. It travels to the child as JSON on a descriptor.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Which tree a share offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShareTree {
    /// A folder of a mount.
    Folder {
        /// Absolute path on the host.
        path: PathBuf,
        /// Whether every write is refused on the host's side.
        is_read_only: bool,
        /// How long the guest may believe what it read.
        cache: ShareCache,
    },
    /// One file of a mount, found by its name each time that the guest asks for it: a folder that holds nothing else.
    File {
        /// Absolute path on the host. Where it is a link, what it leads to is served.
        path: PathBuf,
        /// Whether every write is refused on the host's side.
        is_read_only: bool,
        /// How long the guest may believe what it read.
        cache: ShareCache,
    },
    /// The root file system of this computer without what is private (`image: host`), read-only, all seen as 0:0.
    HostRoot,
    /// An unpacked root file system (`image: dir:`), read-only.
    RootFolder {
        /// Absolute path on the host.
        path: PathBuf,
    },
    /// An image of the store, read-only, with its own owners and modes. Whoever starts the server opens the files.
    Image {
        /// Its [`crate::rootfs::RootTree`], as stored.
        tree: PathBuf,
        /// Its packs, the lowest layer's first.
        packs: Vec<PathBuf>,
    },
}

impl ShareTree {
    /// Whether the guest may change anything.
    pub fn is_writable(&self) -> bool {
        matches!(self, Self::Folder { is_read_only: false, .. } | Self::File { is_read_only: false, .. })
    }

    /// Whether it belongs to a mount, rather than to an image.
    pub fn is_mount(&self) -> bool {
        matches!(self, Self::Folder { .. } | Self::File { .. })
    }
}

/// How long a guest may believe what it read of a folder or file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShareCache {
    /// A second at most, so that edits on the host are seen.
    #[default]
    Auto,
    /// For ever: nothing changes. Read-only trees only.
    Always,
    /// Not at all.
    Never,
    /// Names for ever, what they mean a second at most: the lower layer of an overlay, which cannot bear that a name
    /// gets another node. A node is whatever has its name. Read-only trees only.
    Names,
}

/// With whose rights a server acts on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rights {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// Whose what the guest makes is on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Makers {
    /// The owner's, whose rights the server has; the guest sees all as the view's.
    Owner,
    /// That of the guest's own user and group, literally, set-id bits too; the guest sees the ids of the disk. The
    /// rights must be root's.
    Guest,
}

/// One share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareSpec {
    /// Tag, for process titles and messages.
    pub tag: String,
    /// The tree.
    pub tree: ShareTree,
    /// Whose rights.
    pub rights: Rights,
    /// Whose the new files are.
    pub makers: Makers,
}

/// Why a share cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// The child process could not be started.
    #[error("cannot start the file server of share `{tag}`")]
    Spawn {
        /// Tag.
        tag: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file of an image cannot be opened.
    #[error("the file server of share `{tag}` could not start: cannot open `{}` of the image", .path.display())]
    Image {
        /// Tag.
        tag: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The child could not confine itself or open its folder; the text is its own.
    #[error("the file server of share `{tag}` could not start: {message}")]
    Start {
        /// Tag.
        tag: String,
        /// What it said.
        message: String,
        /// Whether this host denies the namespaces that confinement needs (exit code 69).
        is_host_unfit: bool,
    },
}
