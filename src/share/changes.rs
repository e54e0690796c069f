//! Changes of a tree's files that take more than one call, and what they do to the nodes.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{
    AtFlags, Mode, RenameFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, chmodat, fchmod, ftruncate, futimens,
    renameat_with, unlinkat, utimensat,
};
use virtiofsd::filesystem::SetattrValid;
use virtiofsd::fuse::SetattrIn;

use super::nodes::FileKey;
use super::rules::errno;
use super::tree::{Tree, fd_name, key_of, stat_name};

/// What a change of names does to the file that had the name.
struct Victim {
    node: u64,
    fd: Option<Arc<OwnedFd>>,
}

impl Tree {
    pub(super) fn check_writable(&self) -> io::Result<()> {
        if self.settings.is_read_only { Err(errno(libc::EROFS)) } else { Ok(()) }
    }

    fn key_at(&self, folder: u64, name: &CStr) -> io::Result<FileKey> {
        let folder = self.node_fd(folder)?;
        Ok(key_of(&stat_name(&folder, name)?))
    }

    /// The node that is about to lose this name, with a descriptor, by which it is reached afterwards.
    fn victim(&self, folder: u64, name: &CStr) -> Option<Victim> {
        let key = self.key_at(folder, name).ok()?;
        let node = self.nodes().find(key)?;
        Some(Victim { node, fd: self.node_fd(node).ok() })
    }

    pub(super) fn remove(&self, folder: u64, name: &CStr, flags: AtFlags) -> io::Result<()> {
        self.check_writable()?;
        let victim = self.victim(folder, name);
        unlinkat(self.node_fd(folder)?, name, flags)?;
        if let Some(Victim { node, fd }) = victim {
            self.nodes().unname(node, folder, name, fd);
        }
        Ok(())
    }

    /// Renames a file, which may put another one out of its place.
    pub(super) fn move_name(&self, from: (u64, &CStr), to: (u64, &CStr), flags: RenameFlags) -> io::Result<()> {
        let moved = self.key_at(from.0, from.1)?;
        let victim = self.victim(to.0, to.1);
        renameat_with(&*self.node_fd(from.0)?, from.1, &*self.node_fd(to.0)?, to.1, flags)?;
        let mut nodes = self.nodes();
        let moved = nodes.find(moved);
        if let Some(Victim { node, fd }) = victim
            && moved != Some(node)
        {
            if flags.contains(RenameFlags::EXCHANGE) {
                nodes.place(node, from.0, from.1);
            } else {
                nodes.unname(node, to.0, to.1, fd);
            }
        }
        if let Some(moved) = moved {
            nodes.place(moved, to.0, to.1);
        }
        Ok(())
    }

    /// Opens a file for extended attributes of users, which only files and folders have.
    pub(super) fn open_for_xattrs(&self, node: u64, absent: i32) -> io::Result<File> {
        match self.nodes().kind(node)? {
            libc::S_IFREG | libc::S_IFDIR => {}
            _ => return Err(errno(absent)),
        }
        self.open_node(node, 0)
    }

    pub(super) fn set_size(&self, node: u64, handle: Option<u64>, size: u64) -> io::Result<()> {
        match handle {
            Some(handle) => ftruncate(&self.handle(node, handle)?.file, size)?,
            None => ftruncate(self.open_node(node, libc::O_WRONLY.cast_unsigned())?, size)?,
        }
        Ok(())
    }

    pub(super) fn set_mode(&self, node: u64, handle: Option<u64>, mode: u32) -> io::Result<()> {
        let mode = mode_of(mode);
        match handle {
            Some(handle) => fchmod(&self.handle(node, handle)?.file, mode)?,
            None => {
                let fd = self.node_fd(node)?;
                chmodat(&self.settings.own_fds, fd_name(&fd), mode, AtFlags::empty())?;
            }
        }
        Ok(())
    }

    pub(super) fn set_times(
        &self,
        node: u64,
        handle: Option<u64>,
        attr: &SetattrIn,
        valid: SetattrValid,
    ) -> io::Result<()> {
        let time = |set, now, seconds: u64, nanoseconds: u32| Timespec {
            tv_sec: seconds.cast_signed(),
            tv_nsec: match (valid.contains(now), valid.contains(set)) {
                (true, _) => UTIME_NOW,
                (false, true) => i64::from(nanoseconds.min(999_999_999)),
                (false, false) => UTIME_OMIT,
            },
        };
        let times = Timestamps {
            last_access: time(SetattrValid::ATIME, SetattrValid::ATIME_NOW, attr.atime, attr.atimensec),
            last_modification: time(SetattrValid::MTIME, SetattrValid::MTIME_NOW, attr.mtime, attr.mtimensec),
        };
        match handle {
            Some(handle) => futimens(&self.handle(node, handle)?.file, &times)?,
            None => {
                let fd = self.node_fd(node)?;
                utimensat(&self.settings.own_fds, fd_name(&fd), &times, AtFlags::empty())?;
            }
        }
        Ok(())
    }
}

/// The permission bits of a guest's mode.
pub(super) fn mode_of(mode: u32) -> Mode {
    Mode::from_raw_mode(mode & 0o7777)
}
