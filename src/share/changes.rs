//! Changes of a tree's files that take more than one call, and what they do to the nodes.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, Uid, chmodat,
    chownat, fchmod, ftruncate, futimens, openat, renameat_with, syncfs, unlinkat, utimensat,
};
use virtiofsd::filesystem::{Context, SetattrValid, ZeroCopyReader};
use virtiofsd::fuse::SetattrIn;
use virtiofsd::soft_idmap::Id;

use crate::sys::credentials::act_as;

use super::nodes::FileKey;
use super::rules::errno;
use super::tree::{Tree, fd_name, host_flags, key_of, stat_name};

/// What a change of names does to the file that had the name.
struct Victim {
    key: FileKey,
    /// Whether the file is no more without this name.
    is_last_name: bool,
    /// The guest's node of it, where it knows it, and a descriptor, by which it is reached afterwards.
    node: Option<(u64, Option<Arc<OwnedFd>>)>,
}

impl Tree {
    pub(super) fn check_writable(&self) -> io::Result<()> {
        if self.settings.is_read_only {
            return Err(errno(libc::EROFS));
        }
        self.is_changed.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Waits until all that the guest changed is on the host's disks, where it changed anything since the last time.
    /// The host's kernel writes back a whole file system at a time.
    pub(super) fn sync(&self) -> io::Result<()> {
        if !self.is_changed.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let nodes = self.nodes().one_of_each_device();
        let synced = nodes.into_iter().try_for_each(|node| match self.open_node(node, 0) {
            Ok(file) => Ok(syncfs(file)?),
            // Gone meanwhile; what it had on its disk is written back in the host's own time.
            Err(error) if error.raw_os_error() == Some(libc::ESTALE) => Ok(()),
            Err(error) => Err(error),
        });
        synced.inspect_err(|_: &io::Error| self.is_changed.store(true, Ordering::Relaxed))
    }

    /// Makes a file, and opens it with the guest's flags. `None` where there is one already and the guest takes it.
    pub(super) fn make_file(
        &self,
        maker: Context,
        folder: u64,
        name: &CStr,
        mode: u32,
        flags: u32,
    ) -> io::Result<Option<File>> {
        self.check_writable()?;
        let asked = host_flags(flags);
        let create = OFlags::from_bits_retain((asked & libc::O_ACCMODE).cast_unsigned())
            | OFlags::CREATE
            | OFlags::EXCL
            | OFlags::NOFOLLOW
            | OFlags::CLOEXEC;
        let folder = self.node_fd(folder)?;
        match as_maker(maker, || Ok(openat(folder, name, create, mode_of(mode))?)) {
            Ok(fd) => Ok(Some(File::from(fd))),
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) && asked & libc::O_EXCL == 0 => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn key_at(&self, folder: u64, name: &CStr) -> io::Result<FileKey> {
        let folder = self.node_fd(folder)?;
        Ok(key_of(&stat_name(&folder, name)?))
    }

    /// The file that is about to lose this name.
    fn victim(&self, folder: u64, name: &CStr) -> Option<Victim> {
        let stat = stat_name(self.node_fd(folder).ok()?, name).ok()?;
        let key = key_of(&stat);
        let is_folder = FileType::from_raw_mode(u32::from(stat.stx_mode)) == FileType::Directory;
        let node = self.nodes().find(key);
        let node = node.map(|node| (node, self.node_fd(node).ok()));
        Some(Victim { key, is_last_name: is_folder || stat.stx_nlink < 2, node })
    }

    fn forget_if_gone(&self, victim: &Victim) {
        if victim.is_last_name {
            self.recorder.forget(&victim.key);
        }
    }

    pub(super) fn remove(&self, folder: u64, name: &CStr, flags: AtFlags) -> io::Result<()> {
        self.check_writable()?;
        let _naming = self.name();
        let victim = self.victim(folder, name);
        unlinkat(self.node_fd(folder)?, name, flags)?;
        if let Some(victim) = victim {
            self.forget_if_gone(&victim);
            if let Some((node, fd)) = victim.node {
                self.nodes().unname(node, folder, name, fd);
            }
        }
        Ok(())
    }

    /// Renames a file, which may put another one out of its place.
    pub(super) fn move_name(&self, from: (u64, &CStr), to: (u64, &CStr), flags: RenameFlags) -> io::Result<()> {
        let _naming = self.name();
        let moved = self.key_at(from.0, from.1)?;
        let victim = self.victim(to.0, to.1);
        renameat_with(&*self.node_fd(from.0)?, from.1, &*self.node_fd(to.0)?, to.1, flags)?;
        self.recorder.note(&moved);
        let is_exchange = flags.contains(RenameFlags::EXCHANGE);
        match &victim {
            Some(victim) if is_exchange => self.recorder.note(&victim.key),
            // Two names of one file: nothing happened.
            Some(victim) if victim.key != moved => self.forget_if_gone(victim),
            _ => {}
        }
        let mut nodes = self.nodes();
        let moved = nodes.find(moved);
        if let Some((node, fd)) = victim.and_then(|victim| victim.node)
            && moved != Some(node)
        {
            if is_exchange {
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

    /// What came of a write that ended with an error: how much of it was written before that, if anything.
    pub(super) fn written_before<R: ZeroCopyReader>(
        &self,
        error: io::Error,
        mut reader: R,
        size: usize,
    ) -> io::Result<usize> {
        // The reader does not tell how much it has lost to the file. What it still holds is counted by throwing it away.
        match reader.write_to_file_at(&self.settings.sink, size, 0, None) {
            Ok(left) if left < size => Ok(size - left),
            _ => Err(error),
        }
    }

    pub(super) fn set_size(&self, node: u64, handle: Option<u64>, size: u64) -> io::Result<()> {
        match handle {
            Some(handle) => ftruncate(&self.handle(node, handle)?.file, size)?,
            None => ftruncate(self.open_node(node, libc::O_WRONLY.cast_unsigned())?, size)?,
        }
        Ok(())
    }

    pub(super) fn set_owner(
        &self,
        node: u64,
        handle: Option<u64>,
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> io::Result<()> {
        if uid == Some(u32::MAX) || gid == Some(u32::MAX) {
            // To the call they mean "unchanged".
            return Err(errno(libc::EOVERFLOW));
        }
        let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
        match handle {
            Some(handle) => chownat(&self.handle(node, handle)?.file, c"", uid, gid, AtFlags::EMPTY_PATH)?,
            None => chownat(&*self.node_fd(node)?, c"", uid, gid, AtFlags::EMPTY_PATH)?,
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

/// Makes a file as this user of the host; 0:0 is who this process is.
pub(super) fn as_maker<T>(maker: Context, make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let (uid, gid) = (maker.uid.into_inner(), maker.gid.into_inner());
    if (uid, gid) == (0, 0) {
        return make();
    }
    let _acting = act_as(uid, gid)?;
    make()
}

/// The permission bits of a guest's mode.
pub(super) fn mode_of(mode: u32) -> Mode {
    Mode::from_raw_mode(mode & 0o7777)
}
