//! What a guest gets from a share, asked as its kernel, or a hostile one, would ask.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

use virtiofsd::filesystem::{DirectoryIterator, ROOT_ID};

use super::super::asked::{Bytes, guest, number, tree_over};
use super::*;

struct Share {
    dir: tempfile::TempDir,
    fs: ShareFs,
    view: Arc<View>,
}

impl Share {
    fn with(is_read_only: bool, is_public_only: bool, open_max: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let timeout = Duration::from_secs(1);
        let tree = Arc::new(tree_over(dir.path(), is_read_only, timeout, open_max));
        let view = Arc::new(View::new(1000, 100));
        let rules =
            Rules { is_public_only, owners: Owners::View, is_literal: false, has_xattrs: true, absence: timeout };
        let fs = ShareFs::new(tree, rules, Arc::clone(&view));
        Self { dir, fs, view }
    }

    fn writable() -> Self {
        Self::with(false, false, 64)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put(&self, name: &str, mode: u32) {
        fs::write(self.path(name), name).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// The node that a path names, looked up name by name; 0 where it is absent.
    fn node(&self, path: &str) -> u64 {
        path.split('/')
            .fold(ROOT_ID, |folder, name| self.fs.lookup(guest(), folder, &CString::new(name).unwrap()).unwrap().inode)
    }

    fn names(&self, folder: u64, size: u32) -> Vec<String> {
        let (handle, _) = self.fs.opendir(guest(), folder, 0).unwrap();
        let (mut names, mut offset) = (Vec::new(), 0);
        loop {
            let mut entries = self.fs.readdir(guest(), folder, handle.unwrap(), size, offset).unwrap();
            let before = names.len();
            while let Some(entry) = entries.next() {
                offset = entry.offset;
                names.push(entry.name.to_str().unwrap().to_owned());
            }
            if names.len() == before {
                names.retain(|name| name != "." && name != "..");
                names.sort();
                return names;
            }
        }
    }
}

fn create(share: &Share, name: &CStr, mode: u32) -> (Entry, u64) {
    let flags = (libc::O_RDWR | libc::O_CREAT).cast_unsigned();
    let made = share.fs.create(guest(), ROOT_ID, name, mode, false, flags, 0, Extensions::default()).unwrap();
    (made.0, made.1.unwrap())
}

#[test]
fn what_the_guest_creates_is_the_owners_and_shown_as_the_views() {
    let share = Share::writable();
    let (entry, handle) = create(&share, c"new", libc::S_IFREG | 0o6750);
    share.fs.write(guest(), entry.inode, handle, Bytes(b"hi".to_vec()), 2, 0, None, false, false, 0).unwrap();
    let on_host = fs::metadata(share.path("new")).unwrap();
    assert_eq!((on_host.uid(), on_host.size()), (rustix::process::geteuid().as_raw(), 2));
    assert_eq!(on_host.mode() & 0o7000, 0);
    assert_eq!((entry.attr.uid, entry.attr.gid), (1000.into(), 100.into()));
    share.view.set(33, 34);
    let (attr, _) = share.fs.getattr(guest(), entry.inode, None).unwrap();
    assert_eq!((attr.uid, attr.gid), (33.into(), 34.into()));
}

#[test]
fn change_of_owner_is_accepted_and_changes_nothing() {
    let share = Share::writable();
    share.put("file", 0o644);
    let node = share.node("file");
    let attr = SetattrIn { uid: 5.into(), gid: 6.into(), mode: 0o4700, ..SetattrIn::default() };
    let valid = SetattrValid::UID | SetattrValid::GID | SetattrValid::MODE;
    share.fs.setattr(guest(), node, attr, None, valid).unwrap();
    let on_host = fs::metadata(share.path("file")).unwrap();
    assert_eq!((on_host.uid(), on_host.mode() & 0o7777), (rustix::process::geteuid().as_raw(), 0o700));
}

#[test]
fn devices_and_whiteouts_are_refused() {
    let share = Share::writable();
    share.put("file", 0o644);
    for kind in [libc::S_IFCHR, libc::S_IFBLK] {
        let made = share.fs.mknod(guest(), ROOT_ID, c"device", kind | 0o666, 0x103, 0, Extensions::default());
        assert_eq!(number(made), Some(libc::EPERM));
    }
    let moved = share.fs.rename(guest(), ROOT_ID, c"file", ROOT_ID, c"other", libc::RENAME_WHITEOUT);
    assert_eq!(number(moved), Some(libc::EINVAL));
}

#[test]
fn nothing_changes_in_a_read_only_share() {
    let share = Share::with(true, false, 64);
    share.put("file", 0o666);
    let (fs, node) = (&share.fs, share.node("file"));
    let (read_only, write) = (Some(libc::EROFS), libc::O_WRONLY.cast_unsigned());
    let (handle, _) = fs.open(guest(), node, false, 0).unwrap();
    let handle = handle.unwrap();
    let more = Extensions::default;
    assert_eq!(number(fs.open(guest(), node, false, write)), read_only);
    assert_eq!(number(fs.open(guest(), node, false, libc::O_TRUNC.cast_unsigned())), read_only);
    assert_eq!(number(fs.create(guest(), ROOT_ID, c"n", 0o644, false, write, 0, more())), read_only);
    assert_eq!(number(fs.write(guest(), node, handle, Bytes(vec![1]), 1, 0, None, false, false, 0)), read_only);
    assert_eq!(number(fs.setattr(guest(), node, SetattrIn::default(), None, SetattrValid::MODE)), read_only);
    assert_eq!(number(fs.unlink(guest(), ROOT_ID, c"file")), read_only);
    assert_eq!(number(fs.rmdir(guest(), ROOT_ID, c"file")), read_only);
    assert_eq!(number(fs.mkdir(guest(), ROOT_ID, c"n", 0o755, 0, more())), read_only);
    assert_eq!(number(fs.mknod(guest(), ROOT_ID, c"n", libc::S_IFREG, 0, 0, more())), read_only);
    assert_eq!(number(fs.symlink(guest(), c"x", ROOT_ID, c"n", more())), read_only);
    assert_eq!(number(fs.link(guest(), node, ROOT_ID, c"n")), read_only);
    assert_eq!(number(fs.rename(guest(), ROOT_ID, c"file", ROOT_ID, c"n", 0)), read_only);
    assert_eq!(number(fs.fallocate(guest(), node, handle, 0, 0, 1)), read_only);
    assert_eq!(number(fs.setxattr(guest(), node, c"user.a", b"", 0, SetxattrFlags::empty())), read_only);
    assert_eq!(number(fs.removexattr(guest(), node, c"user.a")), read_only);
    assert_eq!(number(fs.copyfilerange(guest(), node, handle, 0, node, handle, 1, 1, 0)), read_only);
}

#[test]
fn private_files_of_a_public_share_are_absent_for_whoever_asks_how() {
    let share = Share::with(true, true, 64);
    share.put("public", 0o644);
    share.put("secret", 0o640);
    fs::create_dir(share.path("closed")).unwrap();
    share.put("closed/file", 0o644);
    fs::set_permissions(share.path("closed"), fs::Permissions::from_mode(0o711)).unwrap();
    symlink("secret", share.path("link")).unwrap();
    assert_eq!(share.names(ROOT_ID, 4096), ["link", "public"]);
    assert_eq!((share.node("secret"), share.node("closed")), (0, 0));
    // A guest that speaks for itself names a path, guesses node ids, or has one from before.
    assert_eq!(number(share.fs.lookup(guest(), ROOT_ID, c"closed/file")), Some(libc::EINVAL));
    let known = share.node("public");
    fs::set_permissions(share.path("public"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(number(share.fs.open(guest(), known, false, 0)), Some(libc::ENOENT));
    assert_eq!(number(share.fs.getattr(guest(), known, None)), Some(libc::ENOENT));
    let flags = (libc::O_RDONLY | libc::O_CREAT).cast_unsigned();
    let made = share.fs.create(guest(), ROOT_ID, c"secret", 0o644, false, flags, 0, Extensions::default());
    assert_eq!(number(made), Some(libc::EROFS));
    for guess in 0..known + 4 {
        if guess != ROOT_ID {
            assert!(share.fs.open(guest(), guess, false, 0).is_err(), "{guess}");
        }
    }
}

#[test]
fn batch_of_hidden_entries_does_not_end_a_listing() {
    let share = Share::with(true, true, 64);
    for index in 0..200 {
        share.put(&format!("hidden{index}"), 0o600);
    }
    share.put("shown1", 0o644);
    share.put("shown2", 0o644);
    assert_eq!(share.names(ROOT_ID, 128), ["shown1", "shown2"]);
}

#[test]
fn names_that_are_paths_are_refused_everywhere() {
    let share = Share::writable();
    share.put("file", 0o644);
    let node = share.node("file");
    for name in [c"../x", c"..", c"a/b", c""] {
        let refused = Some(libc::EINVAL);
        let more = Extensions::default;
        assert_eq!(number(share.fs.lookup(guest(), ROOT_ID, name)), refused);
        assert_eq!(number(share.fs.mkdir(guest(), ROOT_ID, name, 0o755, 0, more())), refused);
        assert_eq!(number(share.fs.symlink(guest(), c"x", ROOT_ID, name, more())), refused);
        assert_eq!(number(share.fs.unlink(guest(), ROOT_ID, name)), refused);
        assert_eq!(number(share.fs.link(guest(), node, ROOT_ID, name)), refused);
        assert_eq!(number(share.fs.rename(guest(), ROOT_ID, c"file", ROOT_ID, name, 0)), refused);
    }
}

#[test]
fn every_node_is_reached_with_a_single_cached_descriptor() {
    let share = Share::with(false, false, 1);
    let nodes: Vec<u64> = (0..20)
        .map(|index| {
            fs::create_dir_all(share.path(&format!("d{index}/e/f"))).unwrap();
            share.put(&format!("d{index}/e/f/file"), 0o644);
            share.node(&format!("d{index}/e/f/file"))
        })
        .collect();
    for node in nodes.iter().chain(nodes.iter().rev()) {
        let (handle, _) = share.fs.open(guest(), *node, false, 0).unwrap();
        let full = share.fs.open(guest(), *node, false, 0);
        assert_eq!(number(full), Some(libc::ENFILE));
        share.fs.release(guest(), *node, 0, handle.unwrap(), false, false, None).unwrap();
    }
    fs::rename(share.path("d5"), share.path("moved")).unwrap();
    assert_eq!(number(share.fs.open(guest(), nodes[5], false, 0)), Some(libc::ESTALE));
}

#[test]
fn file_that_was_replaced_on_the_host_is_looked_up_again() {
    let share = Share::writable();
    share.put("file", 0o644);
    let before = share.node("file");
    share.put("saved", 0o644);
    fs::rename(share.path("saved"), share.path("file")).unwrap();
    assert_eq!(number(share.fs.getattr(guest(), before, None)), Some(libc::ESTALE));
    let after = share.node("file");
    assert_ne!(after, before);
    assert_eq!(share.fs.getattr(guest(), after, None).unwrap().0.size, 5);
}

#[test]
fn sync_is_waited_for_only_after_a_change() {
    let share = Share::writable();
    share.put("file", 0o644);
    let changed = || share.fs.inner.is_changed.load(std::sync::atomic::Ordering::Relaxed);
    share.fs.syncfs(guest(), ROOT_ID).unwrap();
    assert!(!changed());
    share.fs.unlink(guest(), ROOT_ID, c"file").unwrap();
    assert!(changed());
    share.fs.syncfs(guest(), ROOT_ID).unwrap();
    assert!(!changed());
}

#[test]
fn unlinked_file_lives_until_the_guest_forgets_it() {
    let share = Share::writable();
    let (entry, handle) = create(&share, c"file", 0o644);
    share.fs.unlink(guest(), ROOT_ID, c"file").unwrap();
    assert_eq!(share.fs.getattr(guest(), entry.inode, None).unwrap().0.nlink, 0);
    share.fs.release(guest(), entry.inode, 0, handle, false, false, None).unwrap();
    assert!(share.fs.open(guest(), entry.inode, false, 0).is_ok());
    share.fs.forget(guest(), entry.inode, 1);
    assert_eq!(number(share.fs.getattr(guest(), entry.inode, None)), Some(libc::EBADF));
}

#[test]
fn moved_folder_keeps_what_is_in_it() {
    let share = Share::with(false, false, 1);
    fs::create_dir_all(share.path("a/b")).unwrap();
    share.put("a/b/file", 0o644);
    let file = share.node("a/b/file");
    let a = share.node("a");
    share.fs.rename(guest(), a, c"b", ROOT_ID, c"c", 0).unwrap();
    assert_eq!(share.fs.getattr(guest(), file, None).unwrap().0.size, 8);
    let (handle, _) = share.fs.open(guest(), file, false, 0).unwrap();
    let mut read = Bytes(Vec::new());
    share.fs.read(guest(), file, handle.unwrap(), &mut read, 8, 0, None, 0).unwrap();
    assert_eq!(read.0, b"a/b/file");
}

#[test]
fn link_on_the_host_is_never_followed() {
    let share = Share::writable();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("file"), "outside").unwrap();
    symlink(outside.path(), share.path("link")).unwrap();
    let link = share.node("link");
    assert!(share.fs.lookup(guest(), link, c"file").is_err());
    assert!(share.fs.open(guest(), link, false, 0).is_err());
    assert_eq!(share.fs.readlink(guest(), link).unwrap(), outside.path().as_os_str().as_encoded_bytes());
    // Swapped behind the server's back, after the look-up.
    fs::create_dir(share.path("dir")).unwrap();
    let dir = share.node("dir");
    fs::remove_dir(share.path("dir")).unwrap();
    symlink(outside.path(), share.path("dir")).unwrap();
    assert!(share.fs.lookup(guest(), dir, c"file").is_err());
}

#[test]
fn only_user_xattrs_pass_and_what_is_listed_can_be_read() {
    let share = Share::writable();
    share.put("file", 0o644);
    let (fs, node) = (&share.fs, share.node("file"));
    match fs.setxattr(guest(), node, c"user.a", b"value", 0, SetxattrFlags::empty()) {
        // The temporary folder's file system has none.
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => return,
        result => result.unwrap(),
    }
    let ListxattrReply::Count(7) = fs.listxattr(guest(), node, 0).unwrap() else { panic!("another length") };
    let ListxattrReply::Names(names) = fs.listxattr(guest(), node, 7).unwrap() else { panic!("no names") };
    assert_eq!(names, b"user.a\0");
    let GetxattrReply::Count(5) = fs.getxattr(guest(), node, c"user.a", 0).unwrap() else { panic!("another length") };
    let GetxattrReply::Value(value) = fs.getxattr(guest(), node, c"user.a", 99).unwrap() else { panic!("no value") };
    assert_eq!(value, b"value");
    assert_eq!(number(fs.listxattr(guest(), node, 3)), Some(libc::ERANGE));
    assert_eq!(number(fs.getxattr(guest(), node, c"security.capability", 99)), Some(libc::EOPNOTSUPP));
}
