//! What a new disk begins with: owner, mode and content of the folder that the image has in its place, as docker fills a
//! new volume; else the machine's user as its owner.
//!
//! ```text
//! new ─► mark `begun` ─► copy ─► on the disk ─► mark `done`
//! ```
//!
//! A machine that dies while it copies leaves a disk with the first mark, on which nothing else was written yet: the next
//! one begins anew. Not here: how a tree is copied (`fill`).

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, XattrFlags};
use smolvm_agent::DiskBeginning;

use crate::fill::{Copier, take_attributes};
use crate::sys;

/// Whether the disk has begun; only root of the guest sees it.
const MARK: &str = "trusted.smolvm.beginning";
const BEGUN: &[u8] = b"begun";
const DONE: &[u8] = b"done";

/// Owner and mode of the root of an empty file system, as the host makes it.
const NEW: (u32, u32, u32) = (0, 0, 0o1777);

/// The image with the machine's own layer, without what is mounted in it.
#[derive(Debug)]
pub(crate) struct Image(OwnedFd);

impl Image {
    /// Opens it, wherever in it something is mounted.
    pub(crate) fn open() -> io::Result<Self> {
        sys::clone_mount(Path::new("/")).map(Self)
    }

    /// The folder that it has at an absolute path; links are followed as the machine follows them.
    pub(crate) fn folder(&self, path: &Path) -> Option<File> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&self.0, path, flags, Mode::empty(), resolve).ok().map(File::from)
    }
}

/// Gives a disk that is mounted at `target` what it begins with, where it is new. `image` is the folder that it hides.
pub(crate) fn begin(target: &Path, beginning: &DiskBeginning, image: Option<&File>) -> Result<(), String> {
    let disk = File::open(target).map_err(|error| format!("its disk cannot be read: {error}"))?;
    let failed = |error: io::Error| format!("its disk cannot be given an owner: {error}");
    match mark(&disk).map_err(failed)?.as_slice() {
        DONE => return Ok(()),
        BEGUN => clear(&disk).map_err(failed)?,
        _ if !is_new(&disk).map_err(failed)? => return Ok(()),
        _ => {}
    }
    let Some(image) = image else {
        let (uid, gid) = (beginning.uid, beginning.gid);
        return if (uid, gid) == (0, 0) { Ok(()) } else { give(&disk, uid, gid).map_err(failed) };
    };
    set_mark(&disk, BEGUN).map_err(failed)?;
    let filled = fill(image, &disk, beginning).and_then(|()| finish(&disk));
    filled.map_err(|error| format!("what the image has there cannot be copied to its disk: {error}"))
}

fn give(disk: &File, uid: u32, gid: u32) -> io::Result<()> {
    fchown(disk, Some(uid), Some(gid))?;
    set_mark(disk, DONE)
}

fn fill(image: &File, disk: &File, beginning: &DiskBeginning) -> io::Result<()> {
    Copier::default().entries(&path_of(image), &path_of(disk))?;
    if beginning.is_users && image.metadata()?.uid() == 0 {
        return fchown(disk, Some(beginning.uid), Some(beginning.gid));
    }
    take_attributes(image, disk)
}

/// What is marked as done must be there, whatever comes next.
fn finish(disk: &File) -> io::Result<()> {
    sys::sync_file_system(disk)?;
    set_mark(disk, DONE)
}

/// What is open, as a path.
fn path_of(open: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/", open.as_raw_fd()))
}

fn is_new(disk: &File) -> io::Result<bool> {
    let found = disk.metadata()?;
    let is_untouched = (found.uid(), found.gid(), found.mode() & 0o7777) == NEW;
    Ok(is_untouched && entries(disk)?.is_empty())
}

fn entries(disk: &File) -> io::Result<Vec<OsString>> {
    fs::read_dir(path_of(disk))?.map(|entry| entry.map(|entry| entry.file_name())).collect()
}

/// Removes what was copied before.
fn clear(disk: &File) -> io::Result<()> {
    for name in entries(disk)? {
        let path = path_of(disk).join::<&OsStr>(&name);
        if fs::symlink_metadata(&path)?.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
    }
    Ok(())
}

fn mark(disk: &File) -> io::Result<Vec<u8>> {
    let mut value = [0; 16];
    match rustix::fs::fgetxattr(disk, MARK, &mut value[..]) {
        Ok(length) => Ok(value[..length].to_vec()),
        Err(rustix::io::Errno::NODATA | rustix::io::Errno::RANGE | rustix::io::Errno::OPNOTSUPP) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

fn set_mark(disk: &File, value: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::fsetxattr(disk, MARK, value, XattrFlags::empty())?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const USER: DiskBeginning = DiskBeginning { uid: 7, gid: 8, is_filled: true, is_users: false };

    /// A folder as a new disk, and one of an image with a file in it; none where marks cannot be set.
    fn folders() -> Option<(tempfile::TempDir, PathBuf, PathBuf)> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (image, disk) = (folder.path().join("image"), folder.path().join("disk"));
        for (path, mode) in [(&image, 0o750), (&disk, 0o1777)] {
            fs::create_dir(path).expect("it is ours");
            fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("it is ours");
        }
        fs::write(image.join("seed"), "seed").expect("it is ours");
        let is_possible = set_mark(&File::open(&image).expect("it is ours"), DONE).is_ok();
        is_possible.then_some((folder, image, disk))
    }

    fn facts(path: &Path) -> (u32, u32) {
        let found = fs::metadata(path).expect("it is there");
        (found.uid(), found.mode() & 0o7777)
    }

    #[test]
    fn a_disk_begins_once() {
        let Some((_folder, image, disk)) = folders() else { return };
        let image = File::open(image).expect("it is there");
        begin(&disk, &USER, Some(&image)).expect("it is filled");
        assert_eq!(facts(&disk), (0, 0o750));
        fs::remove_file(disk.join("seed")).expect("it was copied");
        begin(&disk, &USER, Some(&image)).expect("it is left alone");
        assert!(entries(&disk_of(&disk)).expect("it can be read").is_empty());
    }

    fn disk_of(path: &Path) -> File {
        File::open(path).expect("it is there")
    }

    #[test]
    fn a_disk_whose_machine_died_while_it_was_filled_begins_anew() {
        let Some((_folder, image, disk)) = folders() else { return };
        fs::create_dir_all(disk.join("half/done")).expect("it is ours");
        set_mark(&disk_of(&disk), BEGUN).expect("it can be marked");
        begin(&disk, &USER, Some(&disk_of(&image))).expect("it is filled");
        assert_eq!(entries(&disk_of(&disk)).expect("it can be read"), ["seed"]);
    }

    #[test]
    fn a_disk_that_is_not_new_is_left_alone() {
        let Some((_folder, image, disk)) = folders() else { return };
        fs::write(disk.join("own"), "").expect("it is ours");
        begin(&disk, &USER, Some(&disk_of(&image))).expect("nothing is done");
        assert_eq!((facts(&disk), disk.join("seed").exists()), ((0, 0o1777), false));
    }

    #[test]
    fn a_disk_without_a_folder_of_the_image_is_the_users() {
        let Some((_folder, image, disk)) = folders() else { return };
        begin(&disk, &USER, None).expect("it is given away");
        assert_eq!(facts(&disk), (7, 0o1777));
        // A workspace stays the user's where the image's folder is root's.
        let (_folder, _, disk) = folders().expect("it was possible before");
        begin(&disk, &DiskBeginning { is_users: true, ..USER }, Some(&disk_of(&image))).expect("it is filled");
        assert_eq!((facts(&disk), disk.join("seed").exists()), ((7, 0o1777), true));
    }
}
