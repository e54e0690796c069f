//! Whether the source of a share is still what is served: the same folder under the same path, with the same mounts.
//!
//! A server keeps what it was given even when the host renames, removes or unmounts it: nothing of the guest fails
//! then, and what it writes lies where nobody looks for it. So the parent asks now and then. The paths are looked at
//! with the owner's rights; the folder of a file is compared, not the file, which may be replaced.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use serde::{Deserialize, Serialize};

use crate::sys::identity::as_user;
use crate::sys::mount::{MountPoint, mounts_below};

use super::confine::place_of_file;
use super::spec::{Rights, ShareTree};

/// What a server has as its root, in its own words. The birth tells folders apart that got the same inode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ServedRoot {
    pub(super) device: (u32, u32),
    pub(super) inode: u64,
    pub(super) birth: Option<(i64, u32)>,
    /// The one name in it that is served, where it is not all of them.
    pub(super) only: Option<Vec<u8>>,
}

impl ServedRoot {
    /// A root that nobody compares.
    pub(super) fn nowhere() -> Self {
        Self { device: (0, 0), inode: 0, birth: None, only: None }
    }

    pub(super) fn at(path: &Path, only: Option<Vec<u8>>) -> io::Result<Self> {
        let stat = statx(CWD, path, AtFlags::empty(), StatxFlags::INO | StatxFlags::BTIME)?;
        let has_birth = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::BTIME);
        Ok(Self {
            device: (stat.stx_dev_major, stat.stx_dev_minor),
            inode: stat.stx_ino,
            birth: has_birth.then_some((stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec)),
            only,
        })
    }
}

/// What became of a source while it was served.
#[derive(Debug, thiserror::Error)]
pub enum SourceLoss {
    /// The path names nothing.
    #[error("`{}` was removed or renamed on the host", .path.display())]
    Gone {
        /// The source.
        path: PathBuf,
    },
    /// The path names another folder or file.
    #[error("`{}` was replaced on the host by another {what}", .path.display())]
    Replaced {
        /// The source.
        path: PathBuf,
        /// `folder`, or for a file what changed about its place.
        what: &'static str,
    },
    /// The path leads to another file system.
    #[error("`{}` was unmounted on the host, or something was mounted over it", .path.display())]
    OtherDevice {
        /// The source.
        path: PathBuf,
    },
    /// A mount below the source is gone.
    #[error("`{}`, below the source `{}`, was unmounted on the host", .mount.display(), .path.display())]
    Unmounted {
        /// The source.
        path: PathBuf,
        /// Where it was mounted.
        mount: PathBuf,
    },
    /// It cannot be told any more.
    #[error("`{}` cannot be reached any more on the host", .path.display())]
    Unreachable {
        /// The source.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A source as it was when its server started.
#[derive(Debug)]
pub struct ShareSource {
    tree: ShareTree,
    rights: Rights,
    served: ServedRoot,
    below: Vec<MountPoint>,
}

impl ShareSource {
    /// Remembers the source of a share whose server says what it serves.
    pub(super) fn new(tree: ShareTree, rights: Rights, served: ServedRoot) -> Self {
        let source = Self { tree, rights, served, below: Vec::new() };
        // Where they cannot be told, a lost mount is not noticed; the source itself is.
        let below = source.with_rights(|| source.mounts()).unwrap_or_default();
        Self { below, ..source }
    }

    /// What became of it, if anything. The path is looked at, which takes as long as its file system takes.
    pub fn loss(&self) -> Option<SourceLoss> {
        let path = self.path()?;
        let unreachable = |source| SourceLoss::Unreachable { path: path.to_owned(), source };
        self.with_rights(|| Ok(self.find_loss(path))).unwrap_or_else(|error| Some(unreachable(error)))
    }

    fn path(&self) -> Option<&Path> {
        match &self.tree {
            ShareTree::Folder { path, .. } | ShareTree::File { path, .. } | ShareTree::RootFolder { path } => {
                Some(path)
            }
            // What an image is made of is open, and stays as it is.
            ShareTree::HostRoot | ShareTree::Image { .. } => None,
        }
    }

    /// Looks at paths as the owner does; a root that may not become the owner looks as itself.
    fn with_rights<T: Send>(&self, look: impl Fn() -> io::Result<T> + Sync) -> io::Result<T> {
        let Rights { uid, gid, groups } = &self.rights;
        if *uid == 0 || !rustix::process::geteuid().is_root() {
            return look();
        }
        as_user(*uid, *gid, groups, &look).unwrap_or_else(|_| look())
    }

    fn find_loss(&self, path: &Path) -> Option<SourceLoss> {
        let path = path.to_owned();
        let now = match self.root_now(&path) {
            Ok(now) => now,
            Err(error) => {
                return Some(match error.raw_os_error() {
                    Some(libc::ENOENT | libc::ENOTDIR) => SourceLoss::Gone { path },
                    _ => SourceLoss::Unreachable { path, source: error },
                });
            }
        };
        if now.device != self.served.device {
            return Some(SourceLoss::OtherDevice { path });
        }
        if now != self.served {
            let what = if self.served.only.is_some() { "file in another place" } else { "folder" };
            return Some(SourceLoss::Replaced { path, what });
        }
        let mounts = self.mounts().unwrap_or_default();
        let lost = self.below.iter().find(|mount| !mounts.contains(mount))?;
        Some(SourceLoss::Unmounted { path, mount: lost.path.clone() })
    }

    fn root_now(&self, path: &Path) -> io::Result<ServedRoot> {
        if !matches!(self.tree, ShareTree::File { .. }) {
            return ServedRoot::at(path, None);
        }
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is no plain file any more"));
        }
        let (folder, name) = place_of_file(path)?;
        ServedRoot::at(&folder, Some(name.into_bytes()))
    }

    fn mounts(&self) -> io::Result<Vec<MountPoint>> {
        match self.path() {
            Some(path) if !matches!(self.tree, ShareTree::File { .. }) => mounts_below(&path.canonicalize()?),
            _ => Ok(Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::share::spec::ShareCache;

    fn rights() -> Rights {
        Rights { uid: 0, gid: 0, groups: Vec::new() }
    }

    fn folder(path: &Path) -> ShareSource {
        let tree = ShareTree::Folder { path: path.to_owned(), is_read_only: false, cache: ShareCache::Auto };
        ShareSource::new(tree, rights(), ServedRoot::at(path, None).unwrap())
    }

    fn file(path: &Path) -> ShareSource {
        let (folder, name) = place_of_file(path).unwrap();
        let served = ServedRoot::at(&folder, Some(name.into_bytes())).unwrap();
        let tree = ShareTree::File { path: path.to_owned(), is_read_only: false, cache: ShareCache::Auto };
        ShareSource::new(tree, rights(), served)
    }

    fn said(source: &ShareSource) -> String {
        source.loss().map(|loss| loss.to_string()).unwrap_or_default()
    }

    #[test]
    fn folder_that_is_renamed_removed_or_replaced_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        fs::create_dir(&path).unwrap();
        let source = folder(&path);
        fs::write(path.join("file"), "").unwrap();
        assert_eq!(said(&source), "");
        fs::rename(&path, dir.path().join("old")).unwrap();
        assert_eq!(said(&source), format!("`{}` was removed or renamed on the host", path.display()));
        fs::create_dir(&path).unwrap();
        assert_eq!(said(&source), format!("`{}` was replaced on the host by another folder", path.display()));
        fs::remove_dir(&path).unwrap();
        fs::rename(dir.path().join("old"), &path).unwrap();
        assert_eq!(said(&source), "");
    }

    #[test]
    fn file_may_be_replaced_but_not_go_or_move() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("other")).unwrap();
        fs::write(at("real"), "").unwrap();
        symlink("real", at("link")).unwrap();
        let (plain, linked) = (file(&at("real")), file(&at("link")));
        fs::write(at("saved"), "").unwrap();
        fs::rename(at("saved"), at("real")).unwrap();
        assert_eq!((said(&plain), said(&linked)), (String::new(), String::new()));
        fs::rename(at("real"), at("other/real")).unwrap();
        assert!(said(&plain).ends_with("was removed or renamed on the host"), "{}", said(&plain));
        assert!(said(&linked).ends_with("was removed or renamed on the host"), "{}", said(&linked));
        fs::remove_file(at("link")).unwrap();
        symlink("other/real", at("link")).unwrap();
        assert!(said(&linked).ends_with("was replaced on the host by another file in another place"));
        fs::create_dir(at("real")).unwrap();
        assert!(said(&plain).ends_with("cannot be reached any more on the host"), "{}", said(&plain));
    }
}
