//! Disks in a folder of a test.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::{Command, Stdio};

use super::template::TEMPLATES;
use super::*;
use crate::sys::identity::Actor;

const MIB: u64 = 1 << 20;

fn storage() -> (tempfile::TempDir, Storage) {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::new(folder.path(), Actor::Own);
    (folder, storage)
}

fn workspace() -> DiskName {
    DiskName::Workspace { machine: "box".to_owned(), file: "box".to_owned() }
}

fn volume() -> DiskName {
    DiskName::Volume("data".to_owned())
}

#[test]
fn a_disk_is_sparse_private_and_stays() {
    let (folder, storage) = storage();
    let disk = storage.open(&workspace(), None, false, "box").unwrap();
    assert_eq!((disk.length, &disk.remark), (DEFAULT_SIZE_MIB * MIB, &None));
    let facts = disk.file.metadata().unwrap();
    assert!(facts.blocks() * 512 < MIB, "{}", facts.blocks());
    assert_eq!(facts.mode() & 0o777, 0o600);
    disk.file.write_all_at(b"kept", 5 * MIB).unwrap();
    drop(disk);
    let again = storage.open(&workspace(), None, false, "box").unwrap();
    let mut bytes = [0; 4];
    again.file.read_exact_at(&mut bytes, 5 * MIB).unwrap();
    assert_eq!(&bytes, b"kept");
    assert!(folder.path().join("disks/box.img").is_file());
}

#[test]
fn each_disk_has_an_identity_of_its_own() {
    let (_folder, storage) = storage();
    let uuid = |name: &DiskName| {
        let mut bytes = [0; 16];
        storage.open(name, Some(16), false, "box").unwrap().file.read_exact_at(&mut bytes, 1024 + 0x68).unwrap();
        bytes
    };
    assert_ne!(uuid(&workspace()), uuid(&volume()));
    assert_eq!(uuid(&volume()), uuid(&volume()));
}

#[test]
fn a_disk_grows_and_never_shrinks() {
    let (_folder, storage) = storage();
    let open = |size| {
        let disk = storage.open(&workspace(), size, false, "box").unwrap();
        (disk.length / MIB, disk.remark)
    };
    assert_eq!(open(Some(64)), (64, None));
    assert_eq!(open(Some(300)), (300, None));
    assert_eq!(open(None), (300, None));
    let remark = "the workspace of machine `box` keeps its 300 MiB, although the file says 20 MiB: a disk is only made \
                  larger; to begin anew, remove it (`smolvm down -v`)";
    assert_eq!(open(Some(20)), (300, Some(remark.to_owned())));
}

#[test]
fn a_disk_that_was_not_finished_is_made_again() {
    let (folder, storage) = storage();
    fs::create_dir(folder.path().join("disks")).unwrap();
    fs::write(folder.path().join("disks/box.img"), vec![7; 12_345]).unwrap();
    let disk = storage.open(&workspace(), Some(16), false, "box").unwrap();
    let mut block = [0; 2];
    disk.file.read_exact_at(&mut block, 1024 + 0x38).unwrap();
    assert_eq!((block, disk.length), ([0x53, 0xef], 16 * MIB));
    drop(disk);
    fs::write(folder.path().join("disks/box.img"), vec![7; 1 << 20]).unwrap();
    let error = storage.open(&workspace(), Some(16), false, "box").unwrap_err();
    assert!(matches!(error, StorageError::Foreign { .. }), "{error}");
}

#[test]
fn one_writes_or_many_read_and_who_comes_too_late_learns_who_was_first() {
    let (_folder, storage) = storage();
    let writer = storage.open(&volume(), None, false, "writer").unwrap();
    for is_read_only in [false, true] {
        let error = storage.open(&volume(), None, is_read_only, "late").unwrap_err().to_string();
        assert!(error.starts_with("the volume `data` is in use: machine `writer` (process "), "{error}");
    }
    // Whoever serves it has the lock too.
    let server = writer.file.try_clone().unwrap();
    drop(writer);
    assert!(storage.open(&volume(), None, false, "late").is_err());
    drop(server);
    let first = storage.open(&volume(), None, true, "reader").unwrap();
    let second = storage.open(&volume(), None, true, "another").unwrap();
    assert!(first.file.write_at(b"x", 0).is_err());
    assert!(storage.open(&volume(), None, false, "late").is_err());
    drop((first, second));
    storage.open(&volume(), None, false, "late").unwrap();
}

#[test]
fn who_lists_disks_keeps_nobody_from_starting() {
    let (_folder, storage) = storage();
    drop(storage.open(&volume(), Some(16), false, "box").unwrap());
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
                storage.volumes().unwrap();
            }
        });
        let opened = (0..200).try_for_each(|_| storage.open(&volume(), Some(16), false, "box").map(drop));
        is_done.store(true, std::sync::atomic::Ordering::Relaxed);
        opened.unwrap();
    });
}

#[test]
fn a_volume_that_was_not_closed_is_told_to_who_reads_it() {
    let (_folder, storage) = storage();
    let disk = storage.open(&volume(), Some(16), false, "writer").unwrap();
    let mut features = [0];
    disk.file.read_exact_at(&mut features, 1024 + 0x60).unwrap();
    disk.file.write_all_at(&[features[0] | 4], 1024 + 0x60).unwrap();
    drop(disk);
    assert!(storage.open(&volume(), None, true, "reader").unwrap().is_unclean);
}

#[test]
fn a_disk_that_had_an_error_is_known() {
    let (folder, storage) = storage();
    let disk = storage.open(&volume(), Some(16), false, "writer").unwrap();
    let mut state = [0];
    disk.file.read_exact_at(&mut state, 1024 + 0x3a).unwrap();
    assert_eq!(state, [1]);
    disk.file.write_all_at(&[state[0] | 2], 1024 + 0x3a).unwrap();
    drop(disk);
    let damaged = storage.open(&volume(), Some(16), false, "writer").unwrap().damaged;
    assert_eq!(damaged, Some(folder.path().join("volumes/data.img")));
}

#[test]
fn volumes_are_listed_and_removed_but_not_while_they_are_in_use() {
    let (folder, storage) = storage();
    assert_eq!(storage.volumes().unwrap(), []);
    assert_eq!(storage.remove_all().unwrap(), Usage::default());
    let held = storage.open(&volume(), Some(64), false, "writer").unwrap();
    drop(storage.open(&workspace(), None, false, "box").unwrap());
    let listed = storage.volumes().unwrap();
    assert_eq!((listed[0].name.as_str(), listed[0].length), ("data", 64 * MIB));
    assert_eq!(listed[0].holder.as_ref().map(|holder| holder.machine.as_str()), Some("writer"));
    assert!(matches!(storage.remove_volume("data"), Err(StorageError::Held { .. })));
    drop(held);
    assert_eq!(storage.volumes().unwrap()[0].holder, None);
    assert!(!storage.remove_volume("other").unwrap());
    let usage = storage.remove_all().unwrap();
    assert_eq!(usage.count, 2);
    for place in ["disks", "volumes"] {
        assert_eq!(fs::read_dir(folder.path().join(place)).unwrap().count(), 0);
    }
}

#[test]
fn a_scratch_disk_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::new(&folder.path().join("smolvm/project"), Actor::Own);
    let disk = storage.open(&DiskName::Scratch, None, false, "box").unwrap();
    assert_eq!(disk.length, DEFAULT_SIZE_MIB * MIB);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn who_reads_a_volume_that_nobody_has_written_has_an_empty_one() {
    let (folder, storage) = storage();
    let opened = std::thread::scope(|scope| {
        let open = || storage.open(&volume(), Some(16), true, "reader").unwrap();
        let readers: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
        readers.into_iter().map(|reader| reader.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(opened.iter().all(|disk| disk.length == 16 * MIB && !disk.is_unclean));
    assert!(opened[0].file.write_at(b"x", 0).is_err(), "it is only read");
    assert!(matches!(storage.check_free("data"), Err(StorageError::Held { .. })));
    drop(opened);
    storage.check_free("data").unwrap();
    storage.check_free("other").unwrap();
    assert_eq!(storage.open(&volume(), Some(16), false, "writer").unwrap().length, 16 * MIB);
    fs::write(folder.path().join("volumes/data.img"), vec![7; 1 << 20]).unwrap();
    let error = storage.open(&volume(), Some(16), true, "reader").unwrap_err();
    assert!(matches!(error, StorageError::Foreign { .. }), "{error}");
}

/// Whether a program of e2fsprogs is here.
fn has(program: &str) -> bool {
    Command::new(program).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// What `dumpe2fs -h` says, without times, identity and what hangs on them.
fn facts(path: &std::path::Path) -> Vec<String> {
    let told = Command::new("dumpe2fs").arg("-h").arg(path).output().unwrap();
    assert!(told.status.success(), "{told:?}");
    let varies = ["UUID", "created", "Last", "Hash Seed", "Checksum", "Lifetime", "name", "write time"];
    let text = String::from_utf8(told.stdout).unwrap();
    text.lines().filter(|line| !varies.iter().any(|word| line.contains(word))).map(str::to_owned).collect()
}

/// How the templates were made, and are made again to compare.
fn make_anew(path: &std::path::Path, size_mib: u64) {
    let file = fs::File::create(path).unwrap();
    file.set_len(size_mib * MIB).unwrap();
    let journal_mib = match size_mib {
        16 => 4,
        256 => 16,
        _ => 64,
    };
    // A node for 32 KiB, and at least as many as a group of the larger ones has.
    let nodes = (size_mib * 32).max(4096);
    let features = "none,has_journal,ext_attr,dir_index,filetype,meta_bg,extent,64bit,flex_bg,sparse_super,large_file,\
                    huge_file,dir_nlink,extra_isize,metadata_csum,metadata_csum_seed";
    // The file is all holes, so that nothing needs to be cleared by the guest.
    let more = "lazy_itable_init=0,lazy_journal_init=0,nodiscard,assume_storage_prezeroed=1";
    let made = Command::new("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-g", "32768", "-m", "0", "-e", "remount-ro"])
        .args(["-N", &nodes.to_string(), "-J", &format!("size={journal_mib}"), "-O", features, "-E", more])
        .arg(path)
        .env("MKE2FS_CONFIG", "/dev/null")
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    for request in ["rmdir lost+found", "set_inode_field / mode 041777"] {
        assert!(Command::new("debugfs").args(["-w", "-R", request]).arg(path).output().unwrap().status.success());
    }
}

#[test]
fn templates_are_what_mke2fs_makes() {
    if !has("mke2fs") || !has("debugfs") {
        return;
    }
    let (folder, storage) = storage();
    for template in &TEMPLATES {
        let name = DiskName::Volume(format!("v{}", template.size_mib));
        drop(storage.open(&name, Some(template.size_mib), false, "box").unwrap());
        let ours = storage.file_of(&name).unwrap();
        let checked = Command::new("e2fsck").args(["-f", "-n"]).arg(&ours).output().unwrap();
        assert!(checked.status.success(), "{checked:?}");
        let theirs = folder.path().join("anew.img");
        make_anew(&theirs, template.size_mib);
        assert_eq!(facts(&ours), facts(&theirs));
        let root = |path: &std::path::Path| {
            let told = Command::new("debugfs").args(["-R", "stat /"]).arg(path).output().unwrap();
            let text = String::from_utf8(told.stdout).unwrap();
            text.lines().filter(|line| line.contains("Mode:") || line.contains("Links:")).collect::<Vec<_>>().join("\n")
        };
        assert!(root(&ours).contains("Mode:  01777"), "{}", root(&ours));
        assert_eq!(root(&ours), root(&theirs));
    }
}
