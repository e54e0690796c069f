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
use crate::rootfs::{InodeKind, LayerEntry, LayerNode, RootTree, merge};

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

/// A header of ustar, with a right sum.
fn header(name: &str, kind: u8, size: u64) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..107].copy_from_slice(b"0000644");
    block[108..115].copy_from_slice(b"0000000");
    block[116..123].copy_from_slice(b"0000000");
    block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    block[136..147].copy_from_slice(b"00000000000");
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    summed(block)
}

fn summed(mut block: Vec<u8>) -> Vec<u8> {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().copied().map(u32::from).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// An extended header with records.
fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut text = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let length = (1..9).map(|digits| rest + digits).find(|length| rest + length.to_string().len() == *length);
        text.extend(format!("{} {key}=", length.unwrap()).into_bytes());
        text.extend_from_slice(value);
        text.push(b'\n');
    }
    [header("x", b'x', text.len() as u64), padded(&text)].concat()
}

fn archive(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat(), vec![0; 1024]].concat()
}

fn small() -> Vec<u8> {
    archive(&[
        header("a/", b'5', 0),
        header("a/file", b'0', 5),
        padded(b"hello"),
        pax(&[("path", "a/é".as_bytes())]),
        header("a/e", b'0', 600),
        padded(&[b'x'; 600]),
        header("a/.wh.gone", b'0', 0),
    ])
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

#[test]
fn compression_is_told_by_the_first_bytes_and_may_come_in_parts() {
    let plain = small();
    let (one, two) = plain.split_at(700);
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
    let skipped = b"\x51\x2a\x4d\x18\x03\x00\x00\x00abc".to_vec();
    let forms = [
        plain.clone(),
        gzip(&plain),
        [gzip(one), gzip(two), gzip(b"")].concat(),
        zstd(&plain),
        [zstd(one), skipped.clone(), zstd(two)].concat(),
        [skipped.clone(), zstd(&plain), skipped].concat(),
    ];
    for form in &forms {
        let unpacked = read(form, &Limits::default()).0.unwrap();
        assert_eq!(unpacked.diff_id, Digest::of(&plain));
        let nodes: Vec<_> = unpacked.index.entries.iter().map(|entry| entry.path.join(&b'/')).collect();
        assert_eq!(nodes, [&b"a"[..], b"a/file", "a/é".as_bytes(), b"a/gone"]);
        assert_eq!(unpacked.pack.length, 8192);
    }
    assert!(error(b"\xfd7zXZ\0\0\0").contains("compressed with xz"));
    for form in &forms[1..5] {
        assert_eq!(error(&form[..form.len() - 9]), "it cannot be decompressed");
        assert_eq!(error(&[form, &b"garbage"[..]].concat()), "it cannot be decompressed");
    }
    assert!(entries(b"").is_empty(), "an archive without entries");
}

#[test]
fn archive_that_ends_early_is_told_with_the_entry() {
    let whole = small();
    for length in 1..whole.len() - 1023 {
        let result = read(&whole[..length], &Limits::default()).0;
        match result {
            // At the end of a block, or of the data of a file.
            Ok(unpacked) => {
                assert!([0, 5, 600 % 512].contains(&(length % 512)) && unpacked.diff_id != Digest::of(&whole));
            }
            Err(error) => assert!(matches!(error, UnpackError::Truncated { .. }), "{length}: {error}"),
        }
    }
    assert_eq!(error(&whole[..1026]), "it ends in the midst of entry 2, `a/file`");
    assert_eq!(error(&whole[..3000]), "it ends in the midst of entry 3, `a/é`");
}

#[test]
fn archive_that_ends_with_the_last_byte_of_its_data_is_whole() {
    let bytes = [header("a", b'0', 600), vec![b'x'; 600]].concat();
    let unpacked = read(&bytes, &Limits::default()).0.unwrap();
    assert_eq!((unpacked.diff_id, unpacked.index.entries.len()), (Digest::of(&bytes), 1));
    assert_eq!(error(&bytes[..bytes.len() - 1]), "it ends in the midst of entry 1, `a`");
    assert_eq!(error(&[&bytes[..], &[0]].concat()), "it ends in the midst of entry 1, `a`");
}

#[test]
fn garbage_is_told_with_the_entry() {
    assert_eq!(error(&[b'x'; 5000]), "entry 1: its header is damaged");
    let mut damaged = small();
    damaged[513] ^= 1;
    assert_eq!(error(&damaged), "entry 2: its header is damaged");
    assert_eq!(error(&[small(), b"more".to_vec()].concat()), "other bytes follow the end of its archive");
    assert!(read(&[small(), vec![0; 9000]].concat(), &Limits::default()).0.is_ok(), "records of 10 KiB and more");
}

#[test]
fn names_that_lead_out_are_errors_that_name_them() {
    let one = |name: &str, kind, link: &str| {
        let mut block = header(name, kind, 0);
        block[157..157 + link.len()].copy_from_slice(link.as_bytes());
        archive(&[summed(block)])
    };
    assert_eq!(error(&one("a/../../b", b'0', "")), "entry 1, `a/../../b`: its path leads out of the image");
    assert_eq!(error(&one("b", b'1', "../b")), "entry 1, `b`: its target leads out of the image");
    assert_eq!(
        error(&one("b\x1b[2J", b'9', "")),
        "entry 1, `b\\u{1b}[2J`: it is of type `9`, which layers do not have"
    );
    assert_eq!(error(&one(".wh..", b'0', "")), "entry 1, `.wh..`: its path: a whiteout of nothing");
    assert_eq!(entries(&one("/a/b", b'2', "../../../etc"))[0].path, [b"a", b"b"]);
}

#[test]
fn limits_end_what_would_not() {
    let bytes = archive(&(0..50).map(|at| header(&format!("file {at}"), b'0', 0)).collect::<Vec<_>>());
    let all = Limits::default();
    for limits in [
        Limits { entries: 49, ..all.clone() },
        Limits { memory: 4000, ..all.clone() },
        Limits { archive_length: 20_000, ..all.clone() },
    ] {
        assert!(matches!(read(&bytes, &limits).0, Err(UnpackError::Limit { .. })), "{limits:?}");
    }
    let limits = Limits { pack_length: 4095, ..all.clone() };
    assert!(matches!(read(&small(), &limits).0, Err(UnpackError::Limit { limit: 4095, .. })));
    // A bomb is read to the limit, not to its end.
    let bomb = gzip(&vec![0; 50 << 20]);
    let limits = Limits { archive_length: 1 << 20, ..all };
    assert!(matches!(read(&bomb, &limits).0, Err(UnpackError::Limit { .. })));
    let long = [header("x", b'x', 1 << 30), vec![b'9'; 4096]].concat();
    assert!(error(&long).contains("longer than 1 MiB"));
    let long = [header("x", b'L', 1 << 20), vec![b'9'; 1 << 20], header("a", b'0', 0)].concat();
    assert!(error(&long).contains("longer than 4095 bytes"));
}

#[test]
fn who_leaves_ends_it() {
    let mut pack = tempfile::tempfile().unwrap();
    let result = unpack(&small()[..], &mut pack, &Limits::default(), &mut |_| ControlFlow::Break(()));
    assert!(matches!(result, Err(UnpackError::Left)));
}

#[test]
fn extended_headers_say_what_fixed_ones_cannot() {
    let bytes = archive(&[
        pax(&[
            ("path", b"long/../name"),
            ("uid", b"3000000000"),
            ("gid", b"2097153"),
            ("mtime", b"-1.25"),
            ("SCHILY.xattr.security.capability", b"\x01\x00\x00\x02\0\n=\0"),
            ("SCHILY.xattr.user.empty", b""),
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            ("SCHILY.xattr.system.nfs4_acl", b"?"),
            ("LIBARCHIVE.xattr.system.posix_acl_access", b"AgAAAA"),
            ("comment", b"nothing"),
        ]),
        header("short", b'5', 77),
        pax(&[("path", b"x"), ("path", b"")]),
        header("device", b'3', 0),
        pax(&[("size", b"3")]),
        header("sized", b'0', 0),
        padded(b"abc"),
    ]);
    let entries = entries(&bytes);
    let attributes = &entries[0].attributes;
    assert_eq!(entries[0].path, [b"name"]);
    assert_eq!((attributes.uid, attributes.gid, attributes.modified), (3_000_000_000, 2_097_153, (-2, 750_000_000)));
    let names: Vec<_> = attributes.xattrs.iter().map(|(name, _)| name.escape_ascii().to_string()).collect();
    assert_eq!(names, ["security.capability", "system.posix_acl_access", "user.empty"]);
    assert_eq!(attributes.xattrs[0].1, b"\x01\x00\x00\x02\0\n=\0");
    assert_eq!(attributes.xattrs[1].1, b"\x02\0\0\0");
    assert_eq!(
        (&entries[1].path[0], &entries[1].node),
        (&b"device".to_vec(), &LayerNode::CharDevice { number: (0, 0) })
    );
    assert!(matches!(entries[2].node, LayerNode::File { size: 3, .. }));

    for (key, value) in [("uid", "4294967295"), ("uid", "-1"), ("size", "-5"), ("mtime", "soon"), ("path", "a\0b")] {
        let bytes = archive(&[pax(&[(key, value.as_bytes())]), header("f", b'0', 0)]);
        assert!(read(&bytes, &Limits::default()).0.is_err(), "{key}={value}");
    }
    let large = vec![b'x'; 40_000];
    let bytes =
        archive(&[pax(&[("SCHILY.xattr.user.a", &large), ("SCHILY.xattr.user.b", &large)]), header("f", b'0', 0)]);
    assert!(error(&bytes).contains("longer than 64 KiB"));
}

#[test]
fn data_of_a_hard_link_is_passed_over_where_it_stands() {
    let mut link = header("b", b'1', 600);
    link[157] = b'a';
    let link = summed(link);
    let file = [header("a", b'0', 600), padded(&[b'x'; 600])].concat();
    let last = header("c", b'5', 0);
    for body in [vec![], padded(&[b'x'; 600])] {
        let entries = entries(&archive(&[file.clone(), link.clone(), body, last.clone()]));
        assert_eq!(entries.len(), 3);
        assert_eq!(entries[1].node, LayerNode::HardLink { target: vec![b"a".to_vec()] });
    }
}

#[test]
fn sparse_maps_that_contradict_themselves_are_errors() {
    for map in ["0,4,2,4", "0,4", "8,4,0,4", "0,4,9,8", "-1,8", "0,8,0", "0,4,4,9223372036854775807", "a,b", "0,99"] {
        let records: [(&str, &[u8]); 3] =
            [("GNU.sparse.size", b"16"), ("GNU.sparse.numblocks", b"2"), ("GNU.sparse.map", map.as_bytes())];
        let bytes = archive(&[pax(&records), header("f", b'0', 8), padded(b"12345678")]);
        assert!(error(&bytes).contains("sparse map"), "{map}");
    }
    let records: [(&str, &[u8]); 2] = [("GNU.sparse.size", b"99"), ("GNU.sparse.map", b"0,4,12,4,99,0")];
    let good = archive(&[pax(&records), header("f", b'0', 8), padded(b"12345678")]);
    let LayerNode::File { size: 99, extents } = &entries(&good)[0].node else { panic!("no file") };
    assert_eq!(extents[..], [(0, 16, 0)]);
    for map in ["", "1\n", "x\n", "9999999999999\n", "1\n0\n600\n1", "-1\n"] {
        let records: [(&str, &[u8]); 3] =
            [("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"600")];
        let bytes = archive(&[pax(&records), header("f", b'0', 512), padded(format!("{map:<512}").as_bytes())]);
        assert!(error(&bytes).contains("sparse map"), "{map}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(256))]
    #[test]
    fn damage_never_panics(at in 0..4000_usize, with in proptest::collection::vec(0..=255_u8, 1..4), sums in 0..2) {
        let mut bytes = small();
        let at = at % (bytes.len() - 4);
        bytes[at..at + with.len()].copy_from_slice(&with);
        if sums == 1 {
            let block = at / 512 * 512;
            let again = summed(bytes[block..block + 512].to_vec());
            bytes[block..block + 512].copy_from_slice(&again);
        }
        if let Ok(unpacked) = read(&bytes, &Limits::default()).0 {
            let _ = merge(&[unpacked.index]);
        }
        let _ = read(&gzip(&bytes)[..at.min(200)], &Limits::default());
    }
}
