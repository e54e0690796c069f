//! What a guest gets from a share of one file, asked as its kernel, or a hostile one, would ask.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::Arc;

use virtiofsd::filesystem::{Extensions, SetattrValid};
use virtiofsd::fuse::SetattrIn;

use super::super::asked::{Bytes, guest, number, tree_over};
use super::super::rules::{Owners, Rules};
use super::super::view::View;
use super::*;

struct Share {
    dir: tempfile::TempDir,
    fs: SingleFs,
}

impl Share {
    fn new(is_read_only: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let timeout = Duration::ZERO;
        let tree = Arc::new(tree_over(dir.path(), is_read_only, timeout, 64));
        let rules = Rules {
            is_public_only: false,
            owners: Owners::View,
            is_literal: false,
            has_xattrs: true,
            absence: timeout,
        };
        let inner = ShareFs::new(tree, rules, Arc::new(View::new(1000, 100)));
        let share = Self { dir, fs: SingleFs::new(inner, c"file".to_owned(), is_read_only) };
        share.put("file", "content");
        share.put("sibling", "secret");
        share
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o644)).unwrap();
    }

    /// As editors save: another file under the name.
    fn replace(&self, content: &str) {
        self.put("saved", content);
        fs::rename(self.path("saved"), self.path("file")).unwrap();
    }

    fn open(&self, flags: i32) -> io::Result<u64> {
        self.fs.open(guest(), FILE_ID, false, flags.cast_unsigned()).map(|(handle, _)| handle.unwrap())
    }

    fn close(&self, handle: u64) {
        self.fs.release(guest(), FILE_ID, 0, handle, false, false, None).unwrap();
    }

    fn read(&self, handle: u64) -> String {
        let mut bytes = Bytes(Vec::new());
        let count = self.fs.read(guest(), FILE_ID, handle, &mut bytes, 64, 0, None, 0).unwrap();
        String::from_utf8(bytes.0[..count].to_vec()).unwrap()
    }

    fn write(&self, handle: u64, text: &str) {
        let bytes = Bytes(text.as_bytes().to_vec());
        let size = u32::try_from(text.len()).unwrap();
        self.fs.write(guest(), FILE_ID, handle, bytes, size, 0, None, false, false, 0).unwrap();
    }

    fn size(&self) -> u64 {
        self.fs.getattr(guest(), FILE_ID, None).unwrap().0.size
    }
}

#[test]
fn the_folder_holds_the_file_and_nothing_else() {
    let share = Share::new(false);
    let (handle, _) = share.fs.opendir(guest(), ROOT_ID, 0).unwrap();
    let mut entries = share.fs.readdir(guest(), ROOT_ID, handle.unwrap(), 4096, 0).unwrap();
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        names.push(entry.name.to_owned());
    }
    assert_eq!(names, [c".".to_owned(), c"..".to_owned(), c"file".to_owned()]);
    let mut rest = share.fs.readdir(guest(), ROOT_ID, 0, 4096, 3).unwrap();
    assert!(rest.next().is_none());
    let folder = share.fs.getattr(guest(), ROOT_ID, None).unwrap().0;
    assert_eq!((folder.mode, folder.nlink, folder.mtime), (libc::S_IFDIR | 0o555, 2, 0));
    let entry = share.fs.lookup(guest(), ROOT_ID, c"file").unwrap();
    assert_eq!((entry.inode, entry.attr.size, entry.attr.uid), (FILE_ID, 7, 1000.into()));
}

#[test]
fn siblings_are_out_of_reach_whoever_asks_how() {
    let share = Share::new(false);
    for (name, refused) in [
        (c"sibling", libc::ENOENT),
        (c"..", libc::EINVAL),
        (c".", libc::EINVAL),
        (c"../file", libc::EINVAL),
        (c"./sibling", libc::EINVAL),
    ] {
        assert_eq!(number(share.fs.lookup(guest(), ROOT_ID, name)), Some(refused), "{name:?}");
    }
    assert_eq!(number(share.fs.lookup(guest(), FILE_ID, c"sibling")), Some(libc::ENOTDIR));
    let handle = share.open(libc::O_RDWR).unwrap();
    for node in (0..64).filter(|node| ![ROOT_ID, FILE_ID].contains(node)) {
        let found = (
            share.fs.lookup(guest(), node, c"sibling").is_ok(),
            share.fs.open(guest(), node, false, 0).is_ok(),
            share.fs.getattr(guest(), node, None).is_ok(),
            share.fs.opendir(guest(), node, 0).is_ok(),
            share.fs.fsync(guest(), node, false, handle).is_ok(),
        );
        assert_eq!(found, (false, false, false, false, false), "{node}");
    }
    assert_eq!(number(share.fs.open(guest(), ROOT_ID, false, 0)), Some(libc::EISDIR));
    assert_eq!(number(share.fs.flush(guest(), FILE_ID, handle + 1, 0)), Some(libc::EBADF));
    // A guest's kernel never forgets so often.
    share.fs.forget(guest(), FILE_ID, u64::MAX);
    share.fs.forget(guest(), ROOT_ID, u64::MAX);
    assert_eq!(share.read(handle), "content");
}

#[test]
fn no_name_of_the_folder_changes() {
    let (writable, read_only) = (Share::new(false), Share::new(true));
    let more = Extensions::default;
    for (share, own, other) in [(&writable, libc::EBUSY, libc::EPERM), (&read_only, libc::EROFS, libc::EROFS)] {
        for (name, refused) in [(c"file", own), (c"sibling", other), (c"new", other), (c"a/b", libc::EINVAL)] {
            let refused = Some(refused);
            assert_eq!(number(share.fs.create(guest(), ROOT_ID, name, 0o644, false, 1, 0, more())), refused);
            assert_eq!(number(share.fs.mknod(guest(), ROOT_ID, name, libc::S_IFREG, 0, 0, more())), refused);
            assert_eq!(number(share.fs.mkdir(guest(), ROOT_ID, name, 0o755, 0, more())), refused);
            assert_eq!(number(share.fs.symlink(guest(), c"x", ROOT_ID, name, more())), refused);
            assert_eq!(number(share.fs.unlink(guest(), ROOT_ID, name)), refused);
            assert_eq!(number(share.fs.rmdir(guest(), ROOT_ID, name)), refused);
            assert_eq!(number(share.fs.link(guest(), FILE_ID, ROOT_ID, name)), refused);
            assert_eq!(number(share.fs.rename(guest(), ROOT_ID, c"other", ROOT_ID, name, 0)), refused);
        }
        assert_eq!(number(share.fs.rename(guest(), ROOT_ID, c"file", ROOT_ID, c"new", 0)), Some(own));
        let valid = SetattrValid::MODE;
        let folder = share.fs.setattr(guest(), ROOT_ID, SetattrIn::default(), None, valid);
        assert_eq!(number(folder), Some(other));
        assert_eq!(fs::read_dir(share.dir.path()).unwrap().count(), 2);
    }
}

#[test]
fn the_file_is_found_by_its_name_and_what_is_open_stays() {
    let share = Share::new(false);
    assert_eq!(share.size(), 7);
    let before = share.open(libc::O_RDWR).unwrap();
    share.replace("replaced");
    assert_eq!(share.size(), 8);
    let after = share.open(libc::O_RDWR).unwrap();
    assert_eq!((share.read(before), share.read(after)), ("content".to_owned(), "replaced".to_owned()));
    assert_eq!(share.fs.getattr(guest(), FILE_ID, Some(before)).unwrap().0.size, 7);
    share.write(after, "changed!");
    share.write(before, "into the old one");
    assert_eq!(fs::read_to_string(share.path("file")).unwrap(), "changed!");
    let attr = SetattrIn { size: 2, mode: 0o600, ..SetattrIn::default() };
    share.fs.setattr(guest(), FILE_ID, attr, None, SetattrValid::SIZE | SetattrValid::MODE).unwrap();
    assert_eq!(fs::read_to_string(share.path("file")).unwrap(), "ch");
    share.close(before);
    share.close(after);
    assert_eq!(number(share.fs.flush(guest(), FILE_ID, before, 0)), Some(libc::EBADF));
}

#[test]
fn what_is_no_file_any_more_is_an_error_until_it_is_one_again() {
    let share = Share::new(false);
    let asked = |share: &Share| (number(share.fs.getattr(guest(), FILE_ID, None)), number(share.open(0)));
    let all = |number| (Some(number), Some(number));
    fs::remove_file(share.path("file")).unwrap();
    assert_eq!(asked(&share), all(libc::ENOENT));
    fs::create_dir(share.path("file")).unwrap();
    assert_eq!(asked(&share), all(libc::EISDIR));
    fs::remove_dir(share.path("file")).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(share.path("file")).unwrap();
    assert_eq!(asked(&share), all(libc::ENXIO));
    drop(socket);
    fs::remove_file(share.path("file")).unwrap();
    for target in ["../elsewhere", "/etc/passwd", ".", "..", "sub/file"] {
        symlink(target, share.path("file")).unwrap();
        assert_eq!(asked(&share), all(libc::ELOOP), "{target}");
        fs::remove_file(share.path("file")).unwrap();
    }
    symlink("file", share.path("file")).unwrap();
    assert_eq!(asked(&share), all(libc::ELOOP));
    share.replace("back");
    assert_eq!(share.size(), 4);
}

#[test]
fn link_to_another_name_of_the_folder_is_followed_each_time() {
    let share = Share::new(false);
    share.put("v2", "second");
    fs::rename(share.path("file"), share.path("v1")).unwrap();
    symlink("v1", share.path("file")).unwrap();
    let first = share.open(0).unwrap();
    symlink("v2", share.path("next")).unwrap();
    fs::rename(share.path("next"), share.path("file")).unwrap();
    let second = share.open(0).unwrap();
    assert_eq!((share.read(first), share.read(second)), ("content".to_owned(), "second".to_owned()));
    let kind = share.fs.lookup(guest(), ROOT_ID, c"file").unwrap().attr.mode & libc::S_IFMT;
    assert_eq!(kind, libc::S_IFREG);
}

#[test]
fn nothing_is_written_to_a_read_only_file() {
    let share = Share::new(true);
    let handle = share.open(0).unwrap();
    assert_eq!(number(share.open(libc::O_WRONLY)), Some(libc::EROFS));
    assert_eq!(number(share.open(libc::O_TRUNC)), Some(libc::EROFS));
    let written = share.fs.write(guest(), FILE_ID, handle, Bytes(vec![1]), 1, 0, None, false, false, 0);
    assert_eq!(number(written), Some(libc::EROFS));
    let changed = share.fs.setattr(guest(), FILE_ID, SetattrIn::default(), None, SetattrValid::MODE);
    assert_eq!(number(changed), Some(libc::EROFS));
    assert_eq!(share.read(handle), "content");
}

#[test]
fn files_that_are_open_and_closed_leave_nothing_behind() {
    let share = Share::new(false);
    for turn in 0..200 {
        let handle = share.open(libc::O_RDWR).unwrap();
        share.replace(&format!("turn {turn}"));
        share.close(handle);
    }
    assert!(lock(&share.fs.opened).is_empty());
    let handles: Vec<u64> = (0..64).map(|_| share.open(0).unwrap()).collect();
    assert_eq!(number(share.open(0)), Some(libc::ENFILE));
    handles.into_iter().for_each(|handle| share.close(handle));
    share.open(0).unwrap();
}
