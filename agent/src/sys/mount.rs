//! Mounts, the root, and what a mounted file system says of itself.

#![expect(unsafe_code, reason = "mount(2), open_tree(2), move_mount(2), chroot(2), statfs(2), statx(2)")]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::ptr;

use super::check;

/// Flags of mount(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MountFlags(libc::c_ulong);

impl MountFlags {
    /// Everything is allowed.
    pub(crate) const NONE: Self = Self(0);
    /// No set-user-id.
    pub(crate) const NO_SUID: Self = Self(libc::MS_NOSUID);
    /// No devices.
    pub(crate) const NO_DEV: Self = Self(libc::MS_NODEV);
    /// No programs.
    pub(crate) const NO_EXEC: Self = Self(libc::MS_NOEXEC);
    /// No writes.
    pub(crate) const READ_ONLY: Self = Self(libc::MS_RDONLY);

    /// Both.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

fn c_path(path: &Path) -> io::Result<CString> {
    c_string(path.as_os_str().as_encoded_bytes())
}

fn c_string(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// Mounts a file system.
pub(crate) fn mount(source: &str, target: &Path, kind: &str, flags: MountFlags, data: &str) -> io::Result<()> {
    let source = c_string(source.as_bytes())?;
    let target = c_path(target)?;
    let kind = c_string(kind.as_bytes())?;
    let data = c_string(data.as_bytes())?;
    // SAFETY: all pointers are C strings that live over the call.
    check(unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags.0, data.as_ptr().cast()) })
        .map(drop)
}

/// Shows a file or folder at a second place.
pub(crate) fn bind(from: &Path, target: &Path) -> io::Result<()> {
    let from = c_path(from)?;
    let target = c_path(target)?;
    // SAFETY: the pointers are C strings that live over the call, or null where MS_BIND reads none.
    check(unsafe { libc::mount(from.as_ptr(), target.as_ptr(), ptr::null(), libc::MS_BIND, ptr::null()) }).map(drop)
}

/// Takes writing from a place that [`bind`] made, and devices.
pub(crate) fn make_bind_read_only(target: &Path) -> io::Result<()> {
    let target = c_path(target)?;
    let flags = libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY | libc::MS_NODEV;
    // SAFETY: the target is a C string that lives over the call; the kernel reads nothing else of a bind's remount.
    check(unsafe { libc::mount(ptr::null(), target.as_ptr(), ptr::null(), flags, ptr::null()) }).map(drop)
}

/// Moves the mount at `from` over the root of the mount namespace.
pub(crate) fn move_mount_to_root(from: &Path) -> io::Result<()> {
    let from = c_path(from)?;
    // SAFETY: the pointers are C strings that live over the call, or null where MS_MOVE reads none.
    check(unsafe { libc::mount(from.as_ptr(), c"/".as_ptr(), ptr::null(), libc::MS_MOVE, ptr::null()) }).map(drop)
}

/// A copy of the mount at a path, from that path down, that is attached nowhere.
pub(crate) fn clone_mount(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
    // SAFETY: the path is a C string that lives over the call.
    let result = unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) };
    let fd = check(libc::c_int::try_from(result).map_err(io::Error::other)?)?;
    // SAFETY: the call succeeded, so the descriptor is open and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches a copy of a mount.
pub(crate) fn attach_mount(mount: &OwnedFd, target: &Path) -> io::Result<()> {
    let target = c_path(target)?;
    let (from, to) = (mount.as_raw_fd(), libc::AT_FDCWD);
    let flags = libc::MOVE_MOUNT_F_EMPTY_PATH;
    // SAFETY: the paths are C strings that live over the call, and `from` is open.
    let result = unsafe { libc::syscall(libc::SYS_move_mount, from, c"".as_ptr(), to, target.as_ptr(), flags) };
    check(libc::c_int::try_from(result).map_err(io::Error::other)?).map(drop)
}

/// Makes `new_root` the root of this process and of its later children.
pub(crate) fn change_root(new_root: &Path) -> io::Result<()> {
    let path = c_path(new_root)?;
    // SAFETY: the path is a C string that lives over the call.
    check(unsafe { libc::chroot(path.as_ptr()) })?;
    std::env::set_current_dir("/")
}

/// Takes a mount out of the tree; it ends when nothing uses it.
pub(crate) fn unmount_lazily(target: &Path) -> io::Result<()> {
    let target = c_path(target)?;
    // SAFETY: the path is a C string that lives over the call.
    check(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) }).map(drop)
}

/// Makes a mounted ext4 larger: this many of its blocks.
pub(crate) fn resize_ext4(root: &File, blocks: u64) -> io::Result<()> {
    // <fs/ext4/ext4.h>: EXT4_IOC_RESIZE_FS, _IOW('f', 16, __u64)
    const RESIZE: libc::c_ulong = 0x4008_6610;
    // SAFETY: the descriptor is open, and `blocks` lives over the call, which reads it only.
    check(unsafe { libc::ioctl(root.as_raw_fd(), RESIZE, &raw const blocks) }).map(drop)
}

/// What statfs(2) and statvfs(3) say of the file system at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileSystem {
    /// Which file system.
    pub(crate) kind: FileSystemKind,
    /// Whether the kernel refuses writes to it.
    pub(crate) is_read_only: bool,
}

/// File systems that mounts are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileSystemKind {
    /// Served by FUSE, as virtiofs is.
    Fuse,
    /// A layer over something else.
    Overlay,
    /// In memory.
    Tmpfs,
    /// On a disk.
    Ext4,
    /// Something else.
    Other,
}

impl FileSystemKind {
    /// <linux/magic.h>: FUSE_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC, EXT4_SUPER_MAGIC
    fn of(magic: libc::c_long) -> Self {
        match magic {
            0x6573_5546 => Self::Fuse,
            0x794c_7630 => Self::Overlay,
            0x0102_1994 => Self::Tmpfs,
            0xef53 => Self::Ext4,
            _ => Self::Other,
        }
    }
}

/// Asks which file system is at a path.
pub(crate) fn file_system(path: &Path) -> io::Result<FileSystem> {
    let path = c_path(path)?;
    let mut kind = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the path is a C string, and `kind` has room for what the call writes.
    check(unsafe { libc::statfs(path.as_ptr(), kind.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so it has filled `kind` in.
    let kind = unsafe { kind.assume_init() };
    let mut flags = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path is a C string, and `flags` has room for what the call writes.
    check(unsafe { libc::statvfs(path.as_ptr(), flags.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so it has filled `flags` in.
    let flags = unsafe { flags.assume_init() };
    Ok(FileSystem { kind: FileSystemKind::of(kind.f_type), is_read_only: flags.f_flag & libc::ST_RDONLY != 0 })
}

/// What statx(2) says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) device: (u32, u32),
    pub(crate) inode: u64,
    pub(crate) is_folder: bool,
    pub(crate) is_file: bool,
}

/// Asks about a file, past the kernel's cache: the server of a share answers.
pub(crate) fn stat_from_server(path: &Path) -> io::Result<Stat> {
    let path = c_path(path)?;
    let mut answer = MaybeUninit::<libc::statx>::uninit();
    // SAFETY: the path is a C string, and `answer` has room for what the call writes.
    check(unsafe {
        libc::statx(
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::AT_STATX_FORCE_SYNC,
            libc::STATX_BASIC_STATS,
            answer.as_mut_ptr(),
        )
    })?;
    // SAFETY: the call succeeded, so it has filled `answer` in.
    let answer = unsafe { answer.assume_init() };
    Ok(Stat {
        device: (answer.stx_dev_major, answer.stx_dev_minor),
        inode: answer.stx_ino,
        is_folder: u32::from(answer.stx_mode) & libc::S_IFMT == libc::S_IFDIR,
        is_file: u32::from(answer.stx_mode) & libc::S_IFMT == libc::S_IFREG,
    })
}
