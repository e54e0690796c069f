//! What `config` may ask of the world: files, links, environment, who runs us. `host` answers.
//!
//! Everything that reads the disk while a file is checked goes through [`Files`], so that the rules are
//! tested with [`MemoryFiles`](super::MemoryFiles) and nothing here does input or output.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::accounts::HostIds;
use super::host_facts::{HostPorts, HostResources};
use super::image_root::ImageRoot;
use super::model::Image;

/// What a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link; only [`Files::link_metadata`] gives it.
    Link,
    /// A device, socket or named pipe.
    Other,
}

/// What is known of a path without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub kind: FileKind,
    /// Length in bytes, for regular files.
    pub length: u64,
    /// Device and inode: the identity of the file, whatever its name.
    pub identity: (u64, u64),
    /// Whether every user of this computer may read it (a folder: list and enter it); a link counts as such.
    pub is_public: bool,
}

/// What a folder holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FolderContents {
    /// Names in it, sorted.
    pub names: Vec<String>,
    /// How many there are, at most a few thousand.
    pub entries: usize,
    /// How many lie below it that are no folders.
    pub files: usize,
    /// Whether there are more, past the limit.
    pub is_more: bool,
    /// How many entries were looked at.
    pub looked_at: usize,
}

/// Why a path could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Nothing has this name (or a link on the way dangles).
    #[error("no such file or folder")]
    Missing,
    /// The rights of the invoking user do not suffice.
    #[error("permission denied")]
    Denied,
    /// It is there, but it is a folder, device, socket or pipe.
    #[error("not a regular file")]
    NotRegular,
    /// It is longer than the limit that was asked for.
    #[error("longer than the limit")]
    TooLong,
    /// Links that lead to themselves.
    #[error("too many levels of symbolic links")]
    Loop,
    /// Anything else, in the words of the system.
    #[error("{0}")]
    Other(String),
}

/// The invoking user: who ran smolvm, under `sudo` the user who called it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvokerFacts {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Login name, where this computer knows one.
    pub name: Option<String>,
    /// Home folder.
    pub home: Option<PathBuf>,
    /// Whether this process may act as other users (it runs as root).
    pub is_privileged: bool,
}

/// Answers about the world. All paths are absolute; nothing is written.
pub trait Files {
    /// Reads a regular file of at most `limit` bytes; never blocks on pipes or devices.
    ///
    /// # Errors
    /// [`FileError::NotRegular`], [`FileError::TooLong`], or what the system said.
    fn read(&self, path: &Path, limit: usize) -> Result<Vec<u8>, FileError>;

    /// Reads at most the first `length` bytes of a regular file.
    ///
    /// # Errors
    /// As [`Files::read`], but never [`FileError::TooLong`].
    fn read_start(&self, path: &Path, length: usize) -> Result<Vec<u8>, FileError>;

    /// Reads at most `length` bytes of a regular file from `offset` on; fewer, or none, where it ends.
    ///
    /// # Errors
    /// As [`Files::read_start`].
    fn read_range(&self, path: &Path, offset: u64, length: usize) -> Result<Vec<u8>, FileError>;

    /// What a path names, links followed.
    ///
    /// # Errors
    /// What the system said.
    fn metadata(&self, path: &Path) -> Result<Metadata, FileError>;

    /// What a path names, a link in last place not followed.
    ///
    /// # Errors
    /// What the system said.
    fn link_metadata(&self, path: &Path) -> Result<Metadata, FileError>;

    /// The path without links, `.` and `..`.
    ///
    /// # Errors
    /// What the system said.
    fn canonicalize(&self, path: &Path) -> Result<PathBuf, FileError>;

    /// Where a link leads, as it is written.
    ///
    /// # Errors
    /// What the system said.
    fn read_link(&self, path: &Path) -> Result<PathBuf, FileError>;

    /// Names in a folder, sorted, at most a few thousand (for "did you mean" and for what a folder holds).
    ///
    /// # Errors
    /// What the system said.
    fn list(&self, folder: &Path) -> Result<Vec<OsString>, FileError>;

    /// What a folder holds; below it `limit` entries at most are looked at, and no links are followed. With
    /// `is_public_only` what not every user of this computer may read is passed over.
    ///
    /// # Errors
    /// What the system said.
    fn contents(&self, folder: &Path, limit: usize, is_public_only: bool) -> Result<FolderContents, FileError>;

    /// The first of these names that is there in a folder, by number; links are not followed.
    fn first_of(&self, folder: &Path, names: &'static [&'static str]) -> Option<usize> {
        names.iter().position(|name| self.link_metadata(&folder.join(name)).is_ok())
    }

    /// Whether the invoking user may read it (a folder: list and enter it).
    fn is_readable(&self, path: &Path) -> bool;

    /// Whether the invoking user may write it (a folder: make files in it); false on a read-only file system.
    fn is_writable(&self, path: &Path) -> bool;

    /// As [`Files::is_readable`], and with `is_written` also as [`Files::is_writable`], for another user of this host.
    /// Where this process may not act as others, the answer is the invoking user's.
    fn is_usable_by(&self, owner: &HostIds, path: &Path, is_written: bool) -> bool;

    /// The root of an image that is here: what `pull` brought, and nothing that would have to be asked of a registry.
    /// `lock` is the digest that the lock file gives. What `host` and `dir:` name is known without it.
    fn image_root(&self, _image: &Image, _lock: Option<&str>) -> Option<Arc<dyn ImageRoot>> {
        None
    }

    /// Value of a variable of smolvm's own environment; bytes that are not UTF-8 count as unset.
    fn variable(&self, name: &str) -> Option<String>;

    /// Names of all variables of smolvm's own environment, sorted.
    fn variable_names(&self) -> Vec<String>;

    /// The invoking user.
    fn invoker(&self) -> InvokerFacts;

    /// What machines may take of this host.
    fn resources(&self) -> HostResources;

    /// What is known of this host's ports; asked only where a machine publishes one.
    fn ports(&self) -> HostPorts;

    /// Where the machines of a project that are up are reached now: what listens there is its own.
    fn held_ports(&self, _project: &str, _folder: &Path) -> Vec<SocketAddr> {
        Vec::new()
    }

    /// Folders that hold smolvm's own state and cache, absolute; they need not exist.
    fn own_folders(&self) -> Vec<PathBuf>;
}
