//! A tree of the image copied to a disk as it is: owners, modes, times, attributes, links, holes.
//!
//! Nothing of the machine runs yet, so that nobody changes what is read. Not here: what is copied, and when (`beginning`).

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, fchown, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;

/// Bytes of a piece of a file; one that is all zeros becomes a hole.
const PIECE: usize = 64 << 10;

/// The longest list of names of attributes, and the longest attribute (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const ATTRIBUTES_MAX: usize = 64 << 10;

/// Copies trees.
#[derive(Debug, Default)]
pub(crate) struct Copier {
    /// The first name of each file that has several, by device and inode.
    linked: HashMap<(u64, u64), PathBuf>,
}

impl Copier {
    /// Copies what a folder holds into another one.
    pub(crate) fn entries(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        for entry in fs::read_dir(from)? {
            let name = entry?.file_name();
            let (from, to) = (from.join(&name), to.join(&name));
            self.entry(&from, &to).map_err(|error| {
                let name = name.display();
                if error.get_ref().is_some() {
                    error
                } else {
                    io::Error::new(error.kind(), format!("`{name}`: {error}"))
                }
            })?;
        }
        Ok(())
    }

    fn entry(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let found = fs::symlink_metadata(from)?;
        let kind = found.file_type();
        if !kind.is_dir() && found.nlink() > 1 {
            if let Some(first) = self.linked.get(&(found.dev(), found.ino())) {
                return fs::hard_link(first, to);
            }
            self.linked.insert((found.dev(), found.ino()), to.to_owned());
        }
        if kind.is_symlink() {
            symlink(fs::read_link(from)?, to)?;
            lchown(to, Some(found.uid()), Some(found.gid()))?;
            rustix::fs::utimensat(CWD, to, &times(&found), AtFlags::SYMLINK_NOFOLLOW)?;
            return Ok(());
        }
        if kind.is_dir() {
            fs::create_dir(to)?;
            self.entries(from, to)?;
        } else if kind.is_file() {
            copy_file(&mut File::open(from)?, &mut File::create_new(to)?, found.len())?;
        } else if let Some(node) = node(kind) {
            return make_node(node, &found, to);
        } else {
            // A socket is nothing without who listens on it.
            return Ok(());
        }
        take_attributes(&File::open(from)?, &File::open(to)?)
    }
}

fn node(kind: fs::FileType) -> Option<FileType> {
    match kind {
        _ if kind.is_fifo() => Some(FileType::Fifo),
        _ if kind.is_char_device() => Some(FileType::CharacterDevice),
        _ if kind.is_block_device() => Some(FileType::BlockDevice),
        _ => None,
    }
}

/// A pipe or a device, which must not be opened.
fn make_node(kind: FileType, found: &Metadata, to: &Path) -> io::Result<()> {
    rustix::fs::mknodat(CWD, to, kind, Mode::empty(), found.rdev())?;
    lchown(to, Some(found.uid()), Some(found.gid()))?;
    fs::set_permissions(to, PermissionsExt::from_mode(found.mode() & 0o7777))?;
    Ok(rustix::fs::utimensat(CWD, to, &times(found), AtFlags::SYMLINK_NOFOLLOW)?)
}

fn copy_file(from: &mut File, to: &mut File, length: u64) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return to.set_len(length),
            Ok(count) if piece[..count].iter().all(|byte| *byte == 0) => {
                to.seek(SeekFrom::Current(i64::try_from(count).map_err(io::Error::other)?))?;
            }
            Ok(count) => to.write_all(&piece[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Gives a file or folder owner, mode, attributes and times of another, in the order in which none undoes another.
pub(crate) fn take_attributes(from: &File, to: &File) -> io::Result<()> {
    let found = from.metadata()?;
    fchown(to, Some(found.uid()), Some(found.gid()))?;
    to.set_permissions(PermissionsExt::from_mode(found.mode() & 0o7777))?;
    copy_extended(from, to)?;
    Ok(rustix::fs::futimens(to, &times(&found))?)
}

pub(crate) fn times(found: &Metadata) -> Timestamps {
    let last_access = Timespec { tv_sec: found.atime(), tv_nsec: found.atime_nsec() };
    Timestamps { last_access, last_modification: Timespec { tv_sec: found.mtime(), tv_nsec: found.mtime_nsec() } }
}

/// Extended attributes: capabilities of programs, access lists, those of users.
fn copy_extended(from: &File, to: &File) -> io::Result<()> {
    let mut names = vec![0; ATTRIBUTES_MAX];
    let length = match rustix::fs::flistxattr(from, &mut names[..]) {
        // A file system without any.
        Err(Errno::OPNOTSUPP) => return Ok(()),
        length => length?,
    };
    let mut value = vec![0; if length == 0 { 0 } else { ATTRIBUTES_MAX }];
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let length = match rustix::fs::fgetxattr(from, name, &mut value[..]) {
            // What is listed and cannot be read is nobody's to copy.
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::PERM) => continue,
            length => length?,
        };
        match rustix::fs::fsetxattr(to, name, &value[..length], XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_copied_as_it_is() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("deep")).expect("it is ours");
        fs::create_dir(&to).expect("it is ours");
        let mut text = vec![0; 3 * PIECE];
        text[PIECE + 1] = 7;
        fs::write(from.join("deep/file"), &text).expect("it is ours");
        fs::hard_link(from.join("deep/file"), from.join("again")).expect("it is ours");
        symlink("/nowhere", from.join("link")).expect("it is ours");
        rustix::fs::mknodat(CWD, from.join("pipe"), FileType::Fifo, Mode::RUSR, 0).expect("it is ours");
        let open = |path: &Path| File::open(path).expect("it is there");
        rustix::fs::fsetxattr(open(&from.join("deep")), "user.a", b"b", XattrFlags::empty()).expect("it is ours");
        fs::set_permissions(from.join("deep"), PermissionsExt::from_mode(0o2751)).expect("it is ours");
        Copier::default().entries(&from, &to).expect("it can be copied");
        take_attributes(&open(&from), &open(&to)).expect("it can be copied");
        assert_eq!(fs::read(to.join("deep/file")).expect("it is there"), text);
        let facts = |path: &Path| {
            let found = fs::symlink_metadata(path).expect("it is there");
            (found.mode(), found.uid(), found.gid(), found.mtime(), found.mtime_nsec())
        };
        for name in ["", "deep", "deep/file", "link", "pipe", "again"] {
            assert_eq!(facts(&from.join(name)), facts(&to.join(name)), "{name}");
        }
        let inode = |name: &str| fs::metadata(to.join(name)).expect("it is there").ino();
        assert_eq!(inode("again"), inode("deep/file"));
        let mut value = [0; 8];
        assert_eq!(rustix::fs::fgetxattr(open(&to.join("deep")), "user.a", &mut value[..]), Ok(1));
        assert_eq!(fs::read_link(to.join("link")).expect("it is there"), Path::new("/nowhere"));
    }
}
