//! Detached mount trees, and one of them as the root of this process. For use in a mount namespace of one's own.

#![expect(unsafe_code, reason = "mount_setattr(2) has no safe wrapper")]

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount_change, move_mount, open_tree, unmount,
};
use rustix::process::{chdir, fchdir, pivot_root};

/// Cuts the mounts of this namespace off from the ones they were copied from.
pub fn make_mounts_private() -> io::Result<()> {
    Ok(mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?)
}

/// Copies the mounts at and below `path`, attached nowhere; links in `path` are followed.
pub fn clone_tree(path: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    Ok(open_tree(CWD, path, flags)?)
}

/// Takes set-id programs and devices, and writing where `is_read_only`, from all mounts of a tree.
pub fn restrict_tree(tree: impl AsFd, is_read_only: bool) -> io::Result<()> {
    let mut attributes = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC;
    if is_read_only {
        attributes |= libc::MOUNT_ATTR_RDONLY;
    }
    let change = libc::mount_attr { attr_set: attributes, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    // SAFETY: the path is a zero-terminated constant, `change` is valid for the size that is passed with it, and the
    // kernel only reads both.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const change,
            size_of::<libc::mount_attr>(),
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Attaches a tree at an existing folder of this namespace.
pub fn attach_tree(tree: impl AsFd, target: &Path) -> io::Result<()> {
    Ok(move_mount(tree, c"", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// Opens the folder that `path` names inside `tree`, following links as if `tree` were the root. `None` where there
/// is none.
pub fn folder_in(tree: impl AsFd, path: &Path) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let path = CString::new(path.as_os_str().as_bytes())?;
    match openat2(tree, path, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS) {
        Ok(folder) => Ok(Some(folder)),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Covers a folder with an empty read-only one of the given mode.
pub fn cover(folder: impl AsFd, mode: u32) -> io::Result<()> {
    let empty = empty_tree(mode)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(empty.as_fd(), c"", folder, c"", flags)?)
}

/// An empty read-only folder of the given mode, attached nowhere.
pub fn empty_tree(mode: u32) -> io::Result<OwnedFd> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(context.as_fd(), "mode", format!("{mode:o}"))?;
    fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    Ok(fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// A mount of this namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountPoint {
    /// Its id, which is given out again when it is gone.
    pub id: u64,
    /// Device, as the kernel writes it.
    pub device: String,
    /// Where it is attached.
    pub path: PathBuf,
}

/// The mounts below a folder, itself not among them. The path must be free of links.
pub fn mounts_below(folder: &Path) -> io::Result<Vec<MountPoint>> {
    let table = std::fs::read("/proc/self/mountinfo")?;
    let all = table.split(|byte| *byte == b'\n').filter_map(parse_mount);
    Ok(all.filter(|mount| mount.path != folder && mount.path.starts_with(folder)).collect())
}

/// Reads a line of `/proc/self/mountinfo`.
fn parse_mount(line: &[u8]) -> Option<MountPoint> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let device = String::from_utf8(fields.nth(1)?.to_vec()).ok()?;
    let path = PathBuf::from(OsString::from_vec(unescape(fields.nth(1)?)));
    Some(MountPoint { id, device, path })
}

/// Blanks, tabs, line ends and backslashes stand as a backslash and three octal digits.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| str::from_utf8(digits).ok());
        if let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            out.push(byte);
            rest = &after[3..];
        } else {
            out.push(*first);
            rest = after;
        }
    }
    out
}

/// Makes an attached tree the root of this process and lets go of everything else.
pub fn enter_root(tree: impl AsFd) -> io::Result<()> {
    fchdir(tree)?;
    // The old root comes to lie over the new one, from where it is taken away.
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    Ok(chdir("/")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_as_the_kernel_writes_them() {
        let line = br"29 1 254:1 / /a\040b\134c rw,relatime shared:1 - ext4 /dev/vda1 rw";
        let mount = MountPoint { id: 29, device: "254:1".to_owned(), path: PathBuf::from("/a b\\c") };
        assert_eq!(parse_mount(line), Some(mount));
        assert_eq!(parse_mount(b""), None);
        assert!(mounts_below(Path::new("/")).unwrap().iter().any(|mount| mount.path == Path::new("/proc")));
    }
}
