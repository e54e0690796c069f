//! Archives as real programs write them, and as nobody should.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use sha2::{Digest as _, Sha256};

use super::*;
use crate::rootfs::{InodeKind, LayerEntry, RootTree, merge};

fn read(bytes: &[u8], limits: &Limits) -> (Result<Unpacked, UnpackError>, File) {
    let mut pack = tempfile::tempfile().unwrap();
    let result = unpack(bytes, &mut pack, limits, &mut |_| ControlFlow::Continue(()));
    if let Ok(unpacked) = &result {
        assert_eq!(pack.metadata().unwrap().len(), unpacked.pack.length);
        let mut whole = vec![0; usize::try_from(unpacked.pack.length).unwrap()];
        pack.read_exact_at(&mut whole, 0).unwrap();
        assert_eq!(unpacked.pack.digest, <[u8; 32]>::from(Sha256::digest(&whole)));
        // What it is stored as can be read again.
        let (index, facts) = LayerIndex::decode(&unpacked.index.encode(&unpacked.pack)).unwrap();
        assert_eq!((&index, facts), (&unpacked.index, unpacked.pack));
    }
    (result, pack)
}

fn error(bytes: &[u8]) -> String {
    let error = read(bytes, &Limits::default()).0.unwrap_err();
    format!("{error}")
}

fn entries(bytes: &[u8]) -> Vec<LayerEntry> {
    read(bytes, &Limits::default()).0.unwrap().index.entries
}

/// The bytes of a file of a tree, holes as zeros.
fn content(tree: &RootTree, number: u32, pack: &File) -> Vec<u8> {
    let InodeKind::File { size, extents } = &tree.inode(number).unwrap().kind else { panic!("no file") };
    let mut bytes = vec![0; usize::try_from(*size).unwrap()];
    for extent in extents {
        let start = usize::try_from(extent.file_offset).unwrap();
        let end = start + usize::try_from(extent.length).unwrap();
        pack.read_exact_at(&mut bytes[start..end], extent.pack_offset).unwrap();
    }
    bytes
}

/// A folder with all that an ordinary user can make.
fn oddities(root: &Path) {
    fs::create_dir_all(root.join("folder/empty")).unwrap();
    fs::write(root.join("small"), "small").unwrap();
    fs::write(root.join("nothing"), "").unwrap();
    fs::write(root.join("block"), vec![7; 4096]).unwrap();
    fs::write(root.join("large"), (0..3_000_000_u32).map(|i| (i % 251) as u8).collect::<Vec<_>>()).unwrap();
    fs::write(root.join(format!("folder/{}", "n".repeat(255))), "long name").unwrap();
    let deep = root.join(vec!["d".repeat(60); 12].join("/"));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), "deep").unwrap();
    fs::write(root.join(std::ffi::OsStr::from_bytes(b"not utf-8 \xff\xfe\n")), "bytes").unwrap();
    symlink("small", root.join("link")).unwrap();
    symlink("t/".repeat(150), root.join("long link")).unwrap();
    fs::hard_link(root.join("small"), root.join("other name")).unwrap();
    fs::hard_link(root.join("link"), root.join("link too")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, root.join("pipe"), rustix::fs::FileType::Fifo, 0o640.into(), 0).unwrap();
    fs::write(root.join("set ids"), "x").unwrap();
    fs::set_permissions(root.join("set ids"), fs::Permissions::from_mode(0o6755)).unwrap();
    fs::set_permissions(root.join("folder/empty"), fs::Permissions::from_mode(0o1777)).unwrap();
    let sparse = File::create(root.join("sparse")).unwrap();
    sparse.set_len(5_000_001).unwrap();
    for place in [0, 8000, 1_000_000, 1_003_000, 4_999_000] {
        sparse.write_all_at(&[9; 1500][..1001], place).unwrap();
    }
    for at in 0..60 {
        sparse.write_all_at(b"x", 1_500_000 + at * 50_000).unwrap();
    }
    File::create(root.join("only a hole")).unwrap().set_len(1 << 20).unwrap();
}

/// What a walk over a folder of this computer shows.
fn on_disk(root: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut found = BTreeMap::new();
    let mut ahead = vec![root.to_owned()];
    let mut groups: BTreeMap<u64, usize> = BTreeMap::new();
    while let Some(path) = ahead.pop() {
        let data = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
        let kind = data.file_type();
        let what = if kind.is_dir() {
            ahead.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            "folder".to_owned()
        } else if kind.is_symlink() {
            format!("link to {:?}", fs::read_link(&path).unwrap().as_os_str().as_bytes())
        } else if kind.is_file() {
            format!("file {} {}", data.len(), Digest::of(&fs::read(&path).unwrap()))
        } else {
            "pipe".to_owned()
        };
        let next = groups.len();
        let group = *groups.entry(data.ino()).or_insert(next);
        let line = format!("{what} {:o} {}:{} {}", data.mode() & 0o7777, data.uid(), data.gid(), data.mtime());
        found.insert(name, (line, data.nlink(), group));
    }
    numbered(found)
}

fn in_tree(tree: &RootTree, pack: &File) -> BTreeMap<Vec<u8>, String> {
    let mut found = BTreeMap::new();
    for (path, number) in tree.walk() {
        let inode = tree.inode(number).unwrap();
        let what = match &inode.kind {
            InodeKind::Folder { .. } => "folder".to_owned(),
            InodeKind::Link { target } => format!("link to {target:?}"),
            InodeKind::File { size, .. } => format!("file {size} {}", Digest::of(&content(tree, number, pack))),
            InodeKind::Fifo => "pipe".to_owned(),
            other => format!("{other:?}"),
        };
        let attributes = &inode.attributes;
        let line =
            format!("{what} {:o} {}:{} {}", attributes.mode, attributes.uid, attributes.gid, attributes.modified.0);
        found.insert(path, (line, u64::from(inode.links), usize::try_from(number).unwrap()));
    }
    numbered(found)
}

/// Each group of names gets the number of its first one, so that who shares an inode can be compared.
fn numbered(found: BTreeMap<Vec<u8>, (String, u64, usize)>) -> BTreeMap<Vec<u8>, String> {
    let mut groups = BTreeMap::new();
    let with_group = |(path, (line, links, group)): (Vec<u8>, (String, u64, usize))| {
        let next = groups.len();
        let group = *groups.entry(group).or_insert(next);
        (path, format!("{line} links {links} group {group}"))
    };
    found.into_iter().map(with_group).collect()
}

fn assert_same(expected: &BTreeMap<Vec<u8>, String>, found: &BTreeMap<Vec<u8>, String>, how: &str) {
    for (path, line) in expected {
        assert_eq!(Some(line), found.get(path), "{how}: `{}`", path.escape_ascii());
    }
    assert_eq!(expected.len(), found.len(), "{how}");
}

fn tar(root: &Path, options: &[&str]) -> Vec<u8> {
    let output = Command::new("tar").args(options).arg("-C").arg(root).args(["-cf", "-", "."]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn archives_of_gnu_tar_become_the_folder_that_was_packed() {
    let folder = tempfile::tempdir().unwrap();
    oddities(folder.path());
    let expected = on_disk(folder.path());
    let forms: &[&[&str]] = &[
        &["--format=gnu"],
        &["--format=pax"],
        &["--format=gnu", "--sparse"],
        &["--format=pax", "--sparse", "--sparse-version=0.0"],
        &["--format=pax", "--sparse", "--sparse-version=0.1"],
        &["--format=pax", "--sparse", "--sparse-version=1.0"],
    ];
    for form in forms {
        let archive = tar(folder.path(), form);
        let (unpacked, pack) = read(&archive, &Limits::default());
        let unpacked = unpacked.unwrap_or_else(|error| panic!("{form:?}: {error}"));
        assert_eq!(unpacked.diff_id, Digest::of(&archive));
        let tree = merge(&[unpacked.index]).unwrap();
        assert_eq!(tree, RootTree::decode(&tree.encode(), &[unpacked.pack.length]).unwrap());
        assert_same(&expected, &in_tree(&tree, &pack), &format!("{form:?}"));
        if form.contains(&"--sparse") {
            assert!(unpacked.pack.length < 4_000_000, "holes take no place in the pack: {form:?}");
        }
    }
}
