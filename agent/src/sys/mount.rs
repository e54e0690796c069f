//! Mounts, the root, and what a mounted file system says of itself.

#![expect(unsafe_code, reason = "mount(2), chroot(2), statfs(2), statx(2)")]

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
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

/// Moves the mount at `from` over the root of the mount namespace.
pub(crate) fn move_mount_to_root(from: &Path) -> io::Result<()> {
    let from = c_path(from)?;
    // SAFETY: the pointers are C strings that live over the call, or null where MS_MOVE reads none.
    check(unsafe { libc::mount(from.as_ptr(), c"/".as_ptr(), ptr::null(), libc::MS_MOVE, ptr::null()) }).map(drop)
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

/// What statfs(2) and statvfs(3) say of the file system at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileSystem {
    /// Whether it is served by FUSE, as virtiofs is.
    pub(crate) is_fuse: bool,
    /// Whether the kernel refuses writes to it.
    pub(crate) is_read_only: bool,
}

/// Asks which file system is at a path.
pub(crate) fn file_system(path: &Path) -> io::Result<FileSystem> {
    // <linux/magic.h>: FUSE_SUPER_MAGIC
    const FUSE: libc::c_long = 0x6573_5546;
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
    Ok(FileSystem { is_fuse: kind.f_type == FUSE, is_read_only: flags.f_flag & libc::ST_RDONLY != 0 })
}

/// What statx(2) says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) device: (u32, u32),
    pub(crate) inode: u64,
    pub(crate) is_folder: bool,
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
    })
}
