//! The host's folder below this process's root, by node ids: look-ups, attributes and descriptors.
//!
//! Names come from the guest one at a time and are never followed as links, and the folder is this process's root:
//! there is nothing outside to reach. A node whose name means another file by now is `ESTALE`, on which the guest's
//! kernel looks the name up again. Not here: what may be done to the files ([`super::passthrough`]).

use std::collections::HashMap;
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, Statx, StatxFlags, fstatfs, fstatvfs, ftruncate, makedev, openat, statx};
use rustix::io::Errno;
use virtiofsd::filesystem::Entry;
use virtiofsd::fuse::Attr;

use super::nodes::{FileKey, Nodes, Reach};
use super::recorder::{RECORDED_MAX, Recorder};
use super::rules::errno;
use super::spec::ShareCache;

/// Deeper than any path that Linux lets one name; a tree that the host folds into itself meanwhile ends here.
const DEPTH_MAX: usize = 4096;

/// What of a guest's flags reaches the host. Appending is done by each write, everything else is the guest's own.
const OPEN_FLAGS: i32 = libc::O_ACCMODE | libc::O_SYNC | libc::O_DSYNC | libc::O_DIRECTORY;

/// File systems that hold nothing back at a write: bcachefs, btrfs, ext2 to ext4, F2FS, tmpfs, XFS, ZFS.
const LOCAL: [i64; 7] = [0xCA45_1A4E, 0x9123_683E, 0xEF53, 0xF2F5_2010, 0x0102_1994, 0x5846_5342, 0x2FC1_2FC1];

/// How a tree is served.
#[derive(Debug)]
pub(super) struct TreeSettings {
    /// Whether nothing may change.
    pub(super) is_read_only: bool,
    /// Whether the guest may keep the content of files, or may not even have it.
    pub(super) cache: ShareCache,
    /// How long the guest may believe attributes.
    pub(super) timeout: Duration,
    /// How long it may believe names.
    pub(super) name_timeout: Duration,
    /// Descriptors for files that the guest has open, and again as many for the rest.
    pub(super) open_max: usize,
    /// `/proc/self/fd`, which lies outside the tree.
    pub(super) own_fds: File,
    /// Where what is not wanted goes.
    pub(super) sink: File,
}

/// An open file or folder.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) file: File,
    pub(super) node: u64,
    /// Held over a seek and the read that follows it.
    pub(super) position: Mutex<()>,
}

/// A served folder.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(super) settings: TreeSettings,
    pub(super) root: Arc<OwnedFd>,
    pub(super) root_key: FileKey,
    pub(super) recorder: Recorder,
    /// Whether the root lies on a file system that tells of a full disk at the write, not at the close.
    pub(super) is_local: bool,
    /// Held, to write, by who must know that no name goes meanwhile, and, to read, by who takes or gives names.
    pub(super) naming: RwLock<()>,
    nodes: Mutex<Nodes>,
    handles: Mutex<HashMap<u64, Arc<Handle>>>,
    next_handle: AtomicU64,
    /// Whether the guest may have changed anything since it last asked for all to be on the disk.
    pub(super) is_changed: AtomicBool,
    /// Devices beside the root's; the place of one in the list makes its inode numbers differ from the root's.
    devices: Mutex<Vec<u64>>,
}

impl Tree {
    /// The tree at `root`.
    pub(super) fn open(root: &CStr, settings: TreeSettings) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = Arc::new(openat(CWD, root, flags, Mode::empty())?);
        let root_key = key_of(&stat_fd(&root)?);
        let is_local = fstatfs(&*root).is_ok_and(|system| LOCAL.contains(&system.f_type));
        let nodes = Mutex::new(Nodes::new(Arc::clone(&root), root_key, settings.open_max));
        Ok(Self {
            settings,
            root,
            root_key,
            is_local,
            recorder: Recorder::new(RECORDED_MAX),
            naming: RwLock::new(()),
            nodes,
            handles: Mutex::new(HashMap::new()),
            next_handle: AtomicU64::new(1),
            is_changed: AtomicBool::new(false),
            devices: Mutex::new(Vec::new()),
        })
    }

    /// Forgets all nodes and closes all files.
    pub(super) fn reset(&self) {
        lock(&self.handles).clear();
        *self.nodes() = Nodes::new(Arc::clone(&self.root), self.root_key, self.settings.open_max);
    }

    /// To be held while a file gets or loses a name.
    pub(super) fn name(&self) -> RwLockReadGuard<'_, ()> {
        self.naming.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn nodes(&self) -> MutexGuard<'_, Nodes> {
        lock(&self.nodes)
    }

    /// Records that the guest made or changed the file of a node.
    pub(super) fn note(&self, node: u64) {
        if self.recorder.is_on()
            && let Some(key) = self.nodes().key(node)
        {
            self.recorder.note(&key);
        }
    }

    /// Looks a name up without counting it.
    pub(crate) fn peek(&self, folder: u64, name: &CStr) -> io::Result<Attr> {
        let folder = self.node_fd(folder)?;
        Ok(self.attr(&stat_name(&folder, name)?))
    }

    /// Looks a name up for the guest.
    pub(super) fn look_up(&self, folder: u64, name: &CStr) -> io::Result<Entry> {
        let fd = self.node_fd(folder)?;
        self.entry(folder, name, &stat_name(&fd, name)?)
    }

    /// Counts a look-up of a file whose attributes were read at this name.
    pub(super) fn entry(&self, folder: u64, name: &CStr, stat: &Statx) -> io::Result<Entry> {
        let kind = u32::from(stat.stx_mode) & libc::S_IFMT;
        let inode = self.nodes().remember(folder, name, key_of(stat), kind)?;
        let (attr_timeout, entry_timeout) = (self.settings.timeout, self.settings.name_timeout);
        Ok(Entry { inode, generation: 0, attr: self.attr(stat), attr_timeout, entry_timeout })
    }

    /// The attributes of a node.
    pub(super) fn stat(&self, node: u64) -> io::Result<Statx> {
        let reach = self.nodes().reach(node)?;
        match reach {
            Reach::Open(fd) => stat_fd(&fd),
            Reach::Named { folder, name, key } => {
                let folder = self.node_fd(folder)?;
                let stat = stat_name(&folder, &name).map_err(|error| self.gone(error))?;
                self.check_found(node, &stat, key)?;
                Ok(stat)
            }
        }
    }

    /// A descriptor for a node, opened with `O_PATH`.
    pub(super) fn node_fd(&self, node: u64) -> io::Result<Arc<OwnedFd>> {
        let mut below = Vec::new();
        let mut at = node;
        let mut fd = loop {
            let reach = self.nodes().reach(at)?;
            match reach {
                Reach::Open(fd) => break fd,
                Reach::Named { .. } if below.len() >= DEPTH_MAX => return Err(errno(libc::ESTALE)),
                Reach::Named { folder, name, key } => {
                    below.push((at, name, key));
                    at = folder;
                }
            }
        };
        while let Some((node, name, key)) = below.pop() {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened = openat(&fd, &*name, flags, Mode::empty()).map_err(|error| self.gone(error.into()))?;
            self.check_found(node, &stat_fd(&opened)?, key)?;
            fd = Arc::new(opened);
            if !self.follows_names() {
                self.nodes().keep_open(node, &fd);
            }
        }
        Ok(fd)
    }

    /// Whether a node is whatever has its name, rather than the file that had it.
    fn follows_names(&self) -> bool {
        self.settings.cache == ShareCache::Names
    }

    /// Checks that what was found at a node's name is the node.
    fn check_found(&self, node: u64, stat: &Statx, key: FileKey) -> io::Result<()> {
        if key_of(stat) == key {
            return Ok(());
        }
        let is_same_type = || Ok::<_, io::Error>(u32::from(stat.stx_mode) & libc::S_IFMT == self.nodes().kind(node)?);
        if self.follows_names() && is_same_type()? { Ok(()) } else { Err(errno(libc::ESTALE)) }
    }

    /// The error for a node whose name is gone: one on which the guest looks again, where that helps.
    fn gone(&self, error: io::Error) -> io::Error {
        if self.follows_names() { error } else { stale_if_gone(error) }
    }

    /// Opens the file or folder of a node with a guest's flags.
    pub(super) fn open_node(&self, node: u64, flags: u32) -> io::Result<File> {
        // Devices, pipes and sockets are opened by the guest's kernel, not here.
        if !matches!(self.nodes().kind(node)?, libc::S_IFREG | libc::S_IFDIR) {
            return Err(errno(libc::ENXIO));
        }
        let asked = host_flags(flags);
        if asked & libc::O_TRUNC != 0 && asked & libc::O_ACCMODE == libc::O_RDONLY {
            // A guest may truncate what it only reads.
            ftruncate(self.open_node(node, libc::O_WRONLY.cast_unsigned())?, 0)?;
            return self.open_node(node, flags & !libc::O_TRUNC.cast_unsigned());
        }
        let flags = OFlags::from_bits_retain((asked & OPEN_FLAGS).cast_unsigned())
            | OFlags::CLOEXEC
            | OFlags::NOCTTY
            | OFlags::NONBLOCK;
        let reach = self.nodes().reach(node)?;
        let file = match reach {
            Reach::Open(fd) => File::from(openat(&self.settings.own_fds, fd_name(&fd), flags, Mode::empty())?),
            Reach::Named { folder, name, key } => {
                let folder = self.node_fd(folder)?;
                let opened = openat(&folder, &*name, flags | OFlags::NOFOLLOW, Mode::empty());
                let opened = opened.map_err(|error| self.gone(error.into()))?;
                self.check_found(node, &stat_fd(&opened)?, key)?;
                File::from(opened)
            }
        };
        if asked & libc::O_TRUNC != 0 {
            // Only now that it is known to be the right one.
            ftruncate(&file, 0)?;
        }
        Ok(file)
    }

    /// Gives the guest a handle for an open file.
    pub(super) fn add_handle(&self, node: u64, file: File) -> io::Result<u64> {
        let mut handles = lock(&self.handles);
        if handles.len() >= self.settings.open_max {
            return Err(errno(libc::ENFILE));
        }
        let id = self.next_handle.fetch_add(1, Ordering::Relaxed);
        handles.insert(id, Arc::new(Handle { file, node, position: Mutex::new(()) }));
        Ok(id)
    }

    pub(super) fn handle(&self, node: u64, id: u64) -> io::Result<Arc<Handle>> {
        let handles = lock(&self.handles);
        handles.get(&id).filter(|handle| handle.node == node).cloned().ok_or_else(|| errno(libc::EBADF))
    }

    pub(super) fn close_handle(&self, node: u64, id: u64) -> io::Result<()> {
        self.handle(node, id)?;
        // Closed here, not under the lock, where it could wait for the host's disk.
        let closed = lock(&self.handles).remove(&id);
        drop(closed);
        Ok(())
    }

    /// What the guest is told about a file.
    pub(super) fn attr(&self, stat: &Statx) -> Attr {
        let seconds = |time: i64| time.cast_unsigned();
        Attr {
            ino: self.shown_inode(device_of(stat), stat.stx_ino),
            size: stat.stx_size,
            blocks: stat.stx_blocks,
            atime: seconds(stat.stx_atime.tv_sec),
            mtime: seconds(stat.stx_mtime.tv_sec),
            ctime: seconds(stat.stx_ctime.tv_sec),
            atimensec: stat.stx_atime.tv_nsec,
            mtimensec: stat.stx_mtime.tv_nsec,
            ctimensec: stat.stx_ctime.tv_nsec,
            mode: u32::from(stat.stx_mode),
            nlink: stat.stx_nlink,
            uid: stat.stx_uid.into(),
            gid: stat.stx_gid.into(),
            // Nodes of devices mean nothing here: they are neither made nor opened.
            rdev: 0,
            blksize: stat.stx_blksize,
            flags: 0,
        }
    }

    /// The device of a node, or of the root where there is no such node.
    pub(crate) fn device(&self, node: u64) -> u64 {
        self.nodes().key(node).map_or(self.root_key.device, |key| key.device)
    }

    /// One device has one numbering of its inodes; the guest sees all of them as one.
    pub(crate) fn shown_inode(&self, device: u64, inode: u64) -> u64 {
        if device == self.root_key.device {
            return inode;
        }
        let mut devices = lock(&self.devices);
        let index = devices.iter().position(|known| *known == device).unwrap_or_else(|| {
            devices.push(device);
            devices.len() - 1
        });
        let number = u64::try_from(index).unwrap_or(0).wrapping_add(1);
        inode ^ number.rotate_right(16)
    }

    /// Free space, as `statfs` of the guest has it.
    pub(super) fn space(&self, node: u64) -> io::Result<libc::statvfs64> {
        let stat = fstatvfs(&*self.node_fd(node)?)?;
        let mut space = crate::sys::statvfs::empty();
        space.f_bsize = stat.f_bsize;
        space.f_frsize = stat.f_frsize;
        space.f_blocks = stat.f_blocks;
        space.f_bfree = stat.f_bfree;
        space.f_bavail = stat.f_bavail;
        space.f_files = stat.f_files;
        space.f_ffree = stat.f_ffree;
        space.f_favail = stat.f_favail;
        space.f_namemax = stat.f_namemax;
        Ok(space)
    }
}

/// The name of a descriptor in `/proc/self/fd`.
pub(super) fn fd_name(fd: &impl AsRawFd) -> String {
    fd.as_raw_fd().to_string()
}

/// A guest's flags are those of the host's kernel on the same architecture.
pub(super) fn host_flags(flags: u32) -> i32 {
    flags.cast_signed()
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const STAT_MASK: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::MNT_ID).union(StatxFlags::BTIME);

pub(super) fn stat_fd(fd: impl AsFd) -> io::Result<Statx> {
    Ok(statx(fd, c"", AtFlags::EMPTY_PATH, STAT_MASK)?)
}

pub(super) fn stat_name(folder: impl AsFd, name: &CStr) -> io::Result<Statx> {
    Ok(statx(folder, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT, STAT_MASK)?)
}

fn device_of(stat: &Statx) -> u64 {
    makedev(stat.stx_dev_major, stat.stx_dev_minor)
}

pub(super) fn key_of(stat: &Statx) -> FileKey {
    let born = stat.stx_btime;
    // Without a disk of its own a file system gives no number out twice, as btrfs and tmpfs, or tells another birth once
    // a file of a lower layer is changed, as overlayfs.
    let has_birth = stat.stx_dev_major != 0 && StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::BTIME);
    let birth = if has_birth { i128::from(born.tv_sec) * 1_000_000_000 + i128::from(born.tv_nsec) } else { 0 };
    FileKey { device: device_of(stat), inode: stat.stx_ino, mount: stat.stx_mnt_id, birth }
}

fn stale_if_gone(error: io::Error) -> io::Error {
    const GONE: [i32; 3] = [Errno::NOENT.raw_os_error(), Errno::NOTDIR.raw_os_error(), Errno::LOOP.raw_os_error()];
    if error.raw_os_error().is_some_and(|number| GONE.contains(&number)) { errno(libc::ESTALE) } else { error }
}
