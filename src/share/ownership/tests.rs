//! What the pass changes, and what it leaves alone, on real files. Only root can give files away.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::CWD;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use virtiofsd::filesystem::{Context, FileSystem, ROOT_ID};

use super::super::asked::{own_fds, root_name};
use super::super::settings::settings_for;
use super::super::spec::{Makers, Rights, ShareCache, ShareSpec, ShareTree};
use super::*;

/// Of the guest.
const THEIRS: u32 = 4242;

/// To whom all is given.
const NEW: NewOwner = NewOwner { uid: 12_345, gid: 23_456 };

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A share below a folder that holds what the pass must not reach.
struct Share {
    outer: tempfile::TempDir,
}

impl Share {
    fn new() -> Self {
        let outer = tempfile::tempdir().unwrap();
        fs::create_dir(outer.path().join("share")).unwrap();
        let share = Self { outer };
        fs::write(share.outer.path().join("outside"), "outside").unwrap();
        share
    }

    fn path(&self, name: &str) -> PathBuf {
        self.outer.path().join("share").join(name)
    }

    fn file(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        let below = path.strip_prefix(self.path("")).unwrap();
        for folder in below.ancestors().skip(1).collect::<Vec<_>>().iter().rev() {
            if fs::create_dir(self.path(&folder.display().to_string())).is_ok() {
                theirs(&self.path(&folder.display().to_string()));
            }
        }
        fs::write(&path, name).unwrap();
        theirs(&path);
        path
    }

    fn tree(&self) -> Tree {
        let tree = ShareTree::Folder { path: self.path(""), is_read_only: false, cache: ShareCache::Auto };
        let rights = Rights { uid: 0, gid: 0, groups: Vec::new() };
        let spec = ShareSpec { tag: "share0".into(), tree, rights, makers: Makers::Guest };
        Tree::open(
            &root_name(&self.path("")),
            settings_for(&spec, 4096, own_fds(), File::open("/dev/null").unwrap()).tree,
        )
        .unwrap()
    }

    fn give(&self, outputs: &[&str]) -> Given {
        scope_of(&self.tree()).give_outputs(&at_root(outputs), &mut || Ok(())).unwrap()
    }

    fn is_given(&self, name: &str) -> bool {
        is_given(&self.path(name))
    }
}

fn at_root(patterns: &[&str]) -> Outputs {
    Outputs { target: "/".to_owned(), patterns: patterns.iter().map(|pattern| (*pattern).to_owned()).collect() }
}

fn scope_of(tree: &Tree) -> Scope<'_> {
    Scope { tree, only: None, owner: NEW }
}

fn is_given(path: &Path) -> bool {
    let found = path.symlink_metadata().unwrap();
    (found.uid(), found.gid()) == (NEW.uid, NEW.gid)
}

fn theirs(path: &Path) {
    std::os::unix::fs::lchown(path, Some(THEIRS), Some(THEIRS)).unwrap();
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().mode() & 0o7777
}

fn given(changed: u64, linked: u64) -> Given {
    Given { changed, linked, failure: None }
}

#[test]
fn only_what_is_declared_changes_and_a_second_time_nothing() {
    if !is_root() {
        return;
    }
    let share = Share::new();
    for name in ["dist/a.tar", "dist/sub/b", "dist/sub/deep/c", "app", "other"] {
        share.file(name);
    }
    assert_eq!(share.give(&["app", "dist/sub", "missing", "no/such", "app/below"]), given(5, 0));
    for (name, expected) in
        [("app", true), ("dist/sub/deep/c", true), ("dist", false), ("dist/a.tar", false), ("other", false)]
    {
        assert_eq!(share.is_given(name), expected, "{name}");
    }
    assert_eq!(share.give(&["app", "dist/sub"]), given(0, 0));
    assert_eq!(share.give(&["*/*.tar"]), given(1, 0));
    assert_eq!(share.give(&[""]), given(3, 0), "the root, `dist` and `other`");
}

#[test]
fn outputs_are_paths_of_the_guest_and_those_of_other_mounts_are_passed_over() {
    if !is_root() {
        return;
    }
    let share = Share::new();
    for name in ["a/file", "b/file"] {
        share.file(name);
    }
    let give = |target: &str, patterns: &[&str]| {
        let outputs = Outputs { target: target.to_owned(), ..at_root(patterns) };
        scope_of(&share.tree()).give_outputs(&outputs, &mut || Ok(())).unwrap()
    };
    assert_eq!(give("/out", &["/other/a", "/outer", "/out2/a", "/out/none"]), given(0, 0));
    assert_eq!(give("/out", &["/o*/a/file"]), given(1, 0));
    assert_eq!(give("/out", &["/out/a"]), given(1, 0));
    assert_eq!(give("/work/out", &["/work"]), given(3, 0), "the root of the share, and `b` with its file");
}

#[test]
fn links_are_given_and_never_followed() {
    if !is_root() {
        return;
    }
    let share = Share::new();
    let outside = share.outer.path().join("outside");
    share.file("real/file");
    for (target, link) in [
        (outside.as_path(), "out/absolute"),
        (Path::new("../../outside"), "out/relative"),
        (Path::new("/etc/passwd"), "out/far"),
        (Path::new("nowhere"), "out/dangling"),
        (Path::new("../real"), "out/inside"),
    ] {
        fs::create_dir_all(share.path("out")).unwrap();
        symlink(target, share.path(link)).unwrap();
    }
    symlink("out", share.path("through")).unwrap();
    symlink("..", share.path("up")).unwrap();
    // Declared through a link, as a link, and out of the share by one.
    assert_eq!(share.give(&["through/absolute", "up/outside", "*/../outside"]), given(0, 0));
    assert_eq!(share.give(&["out", "up"]), given(7, 0));
    assert!(share.is_given("out/far") && share.is_given("out/inside") && !share.is_given("real/file"));
    assert!(!is_given(&outside) && !is_given(Path::new("/etc/passwd")));
}

#[test]
fn files_with_several_names_are_left_alone_and_counted() {
    if !is_root() {
        return;
    }
    let share = Share::new();
    let outside = share.outer.path().join("outside");
    share.file("out/own");
    fs::hard_link(share.path("out/own"), share.path("out/twin")).unwrap();
    fs::hard_link(&outside, share.path("out/foreign")).unwrap();
    assert_eq!(share.give(&["out"]), given(1, 3));
    assert!(!is_given(&outside) && !share.is_given("out/own"));
    fs::remove_file(share.path("out/twin")).unwrap();
    assert_eq!(share.give(&["out"]), given(1, 1));
}

#[test]
fn set_id_bits_go_whoever_owned_the_file() {
    if !is_root() {
        return;
    }
    let share = Share::new();
    let bits = |name: &str, mode: u32| {
        let path = share.file(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let suid = bits("out/suid", 0o4755);
    let sgid = bits("out/sgid", 0o2644);
    let both = bits("out/both", 0o6711);
    let already = bits("out/already", 0o4755);
    chown(&already, Some(NEW.uid), Some(NEW.gid)).unwrap();
    fs::set_permissions(&already, fs::Permissions::from_mode(0o4755)).unwrap();
    fs::set_permissions(share.path("out"), fs::Permissions::from_mode(0o3775)).unwrap();
    assert_eq!(share.give(&["out"]), given(5, 0));
    assert_eq!([mode(&suid), mode(&sgid), mode(&both), mode(&already)], [0o755, 0o644, 0o711, 0o755]);
    assert_eq!(mode(&share.path("out")), 0o1775);
}

#[test]
fn file_system_below_the_share_is_not_entered() {
    if !is_root() {
        return;
    }
    let share = Share::new();
    for place in ["out/other", "out/same", "from"] {
        fs::create_dir_all(share.path(place)).unwrap();
        theirs(&share.path(place));
    }
    share.file("from/file");
    let flags = MountFlags::empty();
    if mount("none", share.path("out/other"), "tmpfs", flags, None).is_err() {
        return;
    }
    // The same file system, seen through another mount.
    rustix::mount::mount_bind(share.path("from"), share.path("out/same")).unwrap();
    theirs(&share.path("out/other"));
    fs::write(share.path("out/other/file"), "x").unwrap();
    let result = share.give(&["out", "out/other/file", "out/same/file"]);
    let seen = [share.is_given("out/other"), share.is_given("out/other/file"), share.is_given("out/same/file")];
    for place in ["out/other", "out/same"] {
        unmount(share.path(place), UnmountFlags::DETACH).unwrap();
    }
    assert_eq!((result, seen), (given(1, 0), [false; 3]));
    assert!(!share.is_given("out/other") && !share.is_given("from/file"), "covered folders are no part of it");
}

#[test]
fn special_files_are_given_without_being_opened() {
    if !is_root() {
        return;
    }
    let share = Share::new();
    share.file("out/file");
    for (name, kind) in [("out/fifo", FileType::Fifo), ("out/socket", FileType::Socket)] {
        rustix::fs::mknodat(CWD, share.path(name), kind, Mode::from_raw_mode(0o4666), 0).unwrap();
    }
    assert_eq!(share.give(&["out/*"]), given(3, 0));
    assert!(share.is_given("out/fifo") && share.is_given("out/socket"));
}

#[test]
fn recorded_files_are_found_wherever_they_are_now() {
    if !is_root() {
        return;
    }
    let share = Share::new();
    for name in ["a/one", "a/two", "three"] {
        share.file(name);
    }
    let tree = share.tree();
    let key = |name: &str| key_of(&stat_fd(File::open(share.path(name)).unwrap()).unwrap());
    tree.recorder.begin();
    for name in ["a/one", "a", "three"] {
        tree.recorder.note(&key(name));
    }
    fs::create_dir(share.path("b")).unwrap();
    fs::rename(share.path("a/one"), share.path("b/moved")).unwrap();
    fs::hard_link(share.path("three"), share.path("b/twin")).unwrap();
    let result = scope_of(&tree).give_recorded(&tree.recorder.end(), &mut || Ok(())).unwrap();
    assert_eq!(result, given(2, 2));
    for (name, expected) in [("a", true), ("b/moved", true), ("b", false), ("a/two", false), ("three", false)] {
        assert_eq!(share.is_given(name), expected, "{name}");
    }
    assert_eq!(scope_of(&tree).give_recorded(&tree.recorder.end(), &mut || Ok(())).unwrap(), given(0, 0));
}

#[test]
fn of_the_folder_around_a_served_file_only_the_file_is_given() {
    if !is_root() {
        return;
    }
    let share = Share::new();
    for name in ["*.conf", "a.conf", "folder/file"] {
        share.file(name);
    }
    symlink("*.conf", share.path("link")).unwrap();
    symlink("../outside", share.path("away")).unwrap();
    let tree = share.tree();
    let only = |name| Scope { only: Some(name), ..scope_of(&tree) };
    let give = |name, outputs: &[&str]| only(name).give_outputs(&at_root(outputs), &mut || Ok(())).unwrap();
    assert_eq!(give(c"*.conf", &["a.conf", "folder", "**"]), given(0, 0));
    assert_eq!(give(c"link", &[""]), given(2, 0));
    assert!(share.is_given("*.conf") && !share.is_given("a.conf") && !share.is_given("folder"));
    assert_eq!(give(c"away", &[""]), given(1, 0));
    tree.recorder.begin();
    for name in ["a.conf", "folder/file"] {
        tree.recorder.note(&key_of(&stat_fd(File::open(share.path(name)).unwrap()).unwrap()));
    }
    assert_eq!(only(c"a.conf").give_recorded(&tree.recorder.end(), &mut || Ok(())).unwrap(), given(1, 0));
    assert!(!share.is_given("folder/file") && !is_given(&share.outer.path().join("outside")));
}

#[test]
fn too_much_to_remember_is_said_and_nothing_is_given() {
    if !is_root() {
        return;
    }
    let share = Share::new();
    share.file("file");
    let mut marks = Marks::default();
    marks.is_over = true;
    let result = scope_of(&share.tree()).give_recorded(&marks, &mut || Ok(())).unwrap();
    let failure = result.failure.unwrap();
    assert!(failure.contains("more than 1000000 files") && failure.contains("declare `outputs`"), "{failure}");
    assert_eq!((result.changed, share.is_given("file")), (0, false));
}

#[test]
fn depth_without_end_is_a_failure_and_not_a_crash() {
    if !is_root() {
        return;
    }
    let share = Share::new();
    let mut folder: OwnedFd = File::open(share.path("")).unwrap().into();
    for _ in 0..DEPTH_MAX + 10 {
        rustix::fs::mkdirat(&folder, "d", Mode::from_raw_mode(0o755)).unwrap();
        folder = openat(&folder, "d", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
    }
    share.file("file");
    let result = share.give(&[""]);
    assert!(result.failure.is_some_and(|failure| failure.contains("nested more than")));
    assert!(share.is_given("file"), "the rest is given all the same");
}

#[test]
fn caller_who_leaves_ends_the_pass() {
    let share = Share::new();
    for number in 0..TICK_ENTRIES * 3 {
        fs::write(share.path(&number.to_string()), "").unwrap();
    }
    let mut left = 1;
    let stopped = scope_of(&share.tree()).give_outputs(&at_root(&["none*"]), &mut || {
        left -= 1;
        if left < 0 { Err(io::Error::other("gone")) } else { Ok(()) }
    });
    assert!(stopped.is_err());
}

/// Somebody swaps folders for links and links for folders as fast as they can.
#[test]
fn renames_at_the_same_time_lead_nowhere_else() {
    if !is_root() {
        return;
    }
    let share = Share::new();
    let outside = share.outer.path().join("victims");
    fs::create_dir_all(outside.join("deep")).unwrap();
    for name in ["deep/file", "file"] {
        fs::write(outside.join(name), "victim").unwrap();
        theirs(&outside.join(name));
    }
    for index in 0..20 {
        share.file(&format!("out/d{index}/deep/file"));
        share.file(&format!("out/d{index}/file"));
        symlink(&outside, share.path(&format!("out/s{index}"))).unwrap();
    }
    share.file("out/d0/twin");
    let is_over = AtomicBool::new(false);
    let swaps = thread::scope(|scope| {
        let hostile = scope.spawn(|| {
            let mut swaps = 0_u64;
            while !is_over.load(Ordering::Relaxed) {
                for index in 0..20 {
                    let (folder, link) = (share.path(&format!("out/d{index}")), share.path(&format!("out/s{index}")));
                    let flags = rustix::fs::RenameFlags::EXCHANGE;
                    let _ = rustix::fs::renameat_with(CWD, &folder, CWD, &link, flags);
                    swaps += 1;
                }
            }
            swaps
        });
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(1) {
            let result = share.give(&["out", "out/d1/deep/*", "out/d*/deep/file"]);
            assert_eq!(result.failure, None);
        }
        is_over.store(true, Ordering::Relaxed);
        hostile.join().unwrap()
    });
    assert!(swaps > 100, "{swaps}");
    for path in [outside.clone(), outside.join("deep"), outside.join("deep/file"), outside.join("file")] {
        assert!(!is_given(&path), "{}", path.display());
    }
}

/// A guest takes away, and gives back, the one name inside the share of a file that has another one outside.
#[test]
fn guest_cannot_pass_a_file_off_as_its_own_by_names_that_come_and_go() {
    if !is_root() {
        return;
    }
    let share = Share::new();
    let outside = share.outer.path().join("outside");
    fs::hard_link(&outside, share.path("twin")).unwrap();
    let tree = share.tree();
    let guest = Context { uid: 0.into(), gid: 0.into(), pid: 1 };
    let node = tree.lookup(guest, ROOT_ID, c"twin").unwrap().inode;
    let is_over = AtomicBool::new(false);
    let turns = thread::scope(|scope| {
        let hostile = scope.spawn(|| {
            let mut turns = 0_u64;
            while !is_over.load(Ordering::Relaxed) {
                tree.unlink(guest, ROOT_ID, c"twin").unwrap();
                tree.link(guest, node, ROOT_ID, c"twin").unwrap();
                tree.forget(guest, node, 1);
                turns += 1;
            }
            turns
        });
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(1) {
            let result = scope_of(&tree).give_outputs(&at_root(&["twin"]), &mut || Ok(())).unwrap();
            assert_eq!((result.changed, result.failure), (0, None));
        }
        is_over.store(true, Ordering::Relaxed);
        hostile.join().unwrap()
    });
    assert!(turns > 100 && !is_given(&outside), "{turns}");
}

/// A million entries: `cargo test --lib --release -- --ignored million`.
#[test]
#[ignore = "slow: make test-all"]
fn million_recorded_files_are_given_in_reasonable_time() {
    if !is_root() {
        return;
    }
    let share = Share::new();
    let tree = share.tree();
    tree.recorder.begin();
    for folder in 0..1000 {
        let name = format!("d{folder}");
        fs::create_dir(share.path(&name)).unwrap();
        let at: OwnedFd = File::open(share.path(&name)).unwrap().into();
        for file in 0..1000 {
            let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
            let fd = openat(&at, format!("{file}"), flags, Mode::from_raw_mode(0o644)).unwrap();
            tree.recorder.note(&key_of(&stat_fd(&fd).unwrap()));
        }
    }
    let marks = tree.recorder.end();
    let start = Instant::now();
    let result = scope_of(&tree).give_recorded(&marks, &mut || Ok(())).unwrap();
    let recorded = start.elapsed();
    assert_eq!(result, given(1_000_000, 0));
    let start = Instant::now();
    let owner = NewOwner { uid: THEIRS, gid: THEIRS };
    let result = Scope { owner, ..scope_of(&tree) }.give_outputs(&at_root(&["*"]), &mut || Ok(())).unwrap();
    assert_eq!(result, given(1_001_000, 0));
    assert!(recorded < Duration::from_secs(60), "{recorded:?}");
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}
