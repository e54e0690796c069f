//! What a guest gets from an image, asked as its kernel, or a hostile one, would ask.

use std::io::Write;
use std::os::unix::fs::FileExt;

use proptest::prelude::*;
use virtiofsd::filesystem::{
    DirectoryIterator, Extensions, FileSystem, GetxattrReply, ListxattrReply, ROOT_ID, SetattrValid, SetxattrFlags,
};
use virtiofsd::fuse::SetattrIn;

use super::super::asked::{Bytes, guest, number};
use super::super::reads::{ReadFile, Room};
use super::*;
use crate::rootfs::{Attributes, Extent};

/// Bytes that come one after the other.
#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    room: usize,
}

impl Room for Buffer {
    fn fill(&mut self, file: &File, offset: u64, length: usize) -> io::Result<()> {
        if length > self.room - self.bytes.len() {
            return Err(errno(libc::EIO));
        }
        let mut part = vec![0xee; length];
        file.read_exact_at(&mut part, offset).map_err(|_| errno(libc::EIO))?;
        self.bytes.extend_from_slice(&part);
        Ok(())
    }
}

fn inode(kind: InodeKind, mode: u16, links: u32) -> Inode {
    let attributes = Attributes { mode, uid: 100_000, gid: 7, modified: (-1, 5), xattrs: Vec::new() };
    Inode { kind, attributes, links }
}

fn folder(parent: u32, entries: &[(&[u8], u32)], links: u32) -> Inode {
    let entries = entries.iter().map(|(name, number)| (name.to_vec(), *number)).collect();
    inode(InodeKind::Folder { parent, entries }, 0o1755, links)
}

fn pack(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// A pack of blocks: one byte value each.
fn blocks(values: &[u8]) -> File {
    pack(&values.iter().flat_map(|value| [*value; 4096]).collect::<Vec<u8>>())
}

fn extent(file_offset: u64, length: u64, pack: u32, pack_offset: u64) -> Extent {
    Extent { file_offset: file_offset * 4096, length, pack, pack_offset: pack_offset * 4096 }
}

const LONG_NAME: [u8; 255] = [b'n'; 255];

/// Number 4 is a file: a hole, a block of `c`, 100 bytes of `b` of the other pack, a hole, and 10 bytes of `a`.
fn image() -> ImageFs {
    let extents = vec![extent(1, 4096, 1, 0), extent(2, 100, 0, 1), extent(4, 10, 0, 0)];
    let mut file = inode(InodeKind::File { size: 4 * 4096 + 10, extents }, 0o4755, 2);
    file.attributes.xattrs = vec![
        (b"security.capability".to_vec(), vec![1, 0, 0, 2]),
        (b"trusted.overlay.opaque".to_vec(), b"y".to_vec()),
        (b"user.empty".to_vec(), Vec::new()),
    ];
    let root: &[(&[u8], u32)] =
        &[(b"a", 4), (b"dev", 1), (b"link", 2), (&LONG_NAME, 3), (b"pipe", 6), (b"\xff\xfe", 5)];
    let tree = RootTree {
        inodes: vec![
            folder(0, root, 3),
            folder(0, &[(b"again", 4)], 2),
            inode(InodeKind::Link { target: b"../\xff".to_vec() }, 0o777, 1),
            inode(InodeKind::File { size: 0, extents: Vec::new() }, 0o600, 1),
            file,
            inode(InodeKind::BlockDevice { number: (259, 300) }, 0o660, 1),
            inode(InodeKind::Fifo, 0o644, 1),
        ],
        packs: 2,
    };
    let (packs, zeros) = (vec![blocks(b"ab"), blocks(b"c")], open_zeros().unwrap());
    let lengths: Vec<u64> = packs.iter().map(|pack| pack.metadata().unwrap().len()).collect();
    // It is one that a server would take.
    let tree = RootTree::decode(&tree.encode(), &lengths).unwrap();
    ImageFs::of(tree, packs, zeros)
}

const FILE: u64 = 5;

fn whole_file() -> Vec<u8> {
    let mut all = vec![0; 4096];
    all.extend([b'c'; 4096]);
    all.extend([b'b'; 100]);
    all.resize(4 * 4096, 0);
    all.extend([b'a'; 10]);
    all
}

fn read(image: &ImageFs, node: u64, count: u32, offset: u64) -> io::Result<Vec<u8>> {
    let mut buffer = Buffer { room: usize::try_from(count).unwrap(), ..Buffer::default() };
    let length = image.content.read_file(node, count, offset, &mut buffer)?;
    assert_eq!(usize::try_from(length).unwrap(), buffer.bytes.len());
    Ok(buffer.bytes)
}

fn names(image: &ImageFs, node: u64, offset: u64) -> Vec<(Vec<u8>, u64, u32, u64)> {
    let mut entries = image.readdir(guest(), node, 0, 4096, offset).unwrap();
    let mut all = Vec::new();
    while let Some(entry) = entries.next() {
        all.push((entry.name.to_bytes().to_vec(), entry.ino, entry.type_, entry.offset));
    }
    all
}

#[test]
fn attributes_are_those_of_the_tree() {
    let image = image();
    let entry = image.lookup(guest(), ROOT_ID, c"a").unwrap();
    let attr = entry.attr;
    assert_eq!((entry.inode, attr.ino, attr.nlink), (FILE, FILE, 2));
    assert_eq!((attr.mode, attr.uid, attr.gid), (libc::S_IFREG | 0o4755, 100_000.into(), 7.into()));
    assert_eq!((attr.size, attr.blocks), (4 * 4096 + 10, 3 * 8));
    assert_eq!((attr.mtime.cast_signed(), attr.mtimensec), (-1, 5));
    assert_eq!(image.lookup(guest(), 2, c"again").unwrap().inode, FILE, "another name of one inode");
    let device = image.lookup(guest(), ROOT_ID, c"\xff\xfe").unwrap().attr;
    assert_eq!((device.mode, device.rdev), (libc::S_IFBLK | 0o660, (300 & 0xff) | (259 << 8) | (256 << 12)));
    assert_eq!(image.lookup(guest(), ROOT_ID, c"pipe").unwrap().attr.mode, libc::S_IFIFO | 0o644);
    assert_eq!(image.readlink(guest(), 3).unwrap(), b"../\xff");
    assert_eq!(image.getattr(guest(), 3, None).unwrap().0.size, 4);
    let root = image.getattr(guest(), ROOT_ID, Some(77)).unwrap().0;
    assert_eq!((root.ino, root.mode, root.nlink), (1, libc::S_IFDIR | 0o1755, 3));
    let space = image.statfs(guest(), ROOT_ID).unwrap();
    assert_eq!((space.f_blocks, space.f_bfree, space.f_files, space.f_namemax), (3, 0, 7, 255));
}

#[test]
fn absent_names_may_be_remembered_and_what_is_no_name_is_refused() {
    let image = image();
    let entry = image.lookup(guest(), ROOT_ID, c"b").unwrap();
    assert!(entry.inode == 0 && entry.entry_timeout > std::time::Duration::from_secs(3600));
    for name in [c"", c".", c"..", c"a/b", c"/"] {
        assert_eq!(number(image.lookup(guest(), ROOT_ID, name)), Some(libc::EINVAL), "{name:?}");
    }
    let long = std::ffi::CString::new([b'n'; 256]).unwrap();
    assert_eq!(number(image.lookup(guest(), ROOT_ID, &long)), Some(libc::ENAMETOOLONG));
    assert_eq!(number(image.lookup(guest(), FILE, c"a")), Some(libc::ENOTDIR));
}

#[test]
fn folders_are_read_from_every_offset() {
    const FOLDER: u32 = libc::DT_DIR as u32;
    let image = image();
    let all = names(&image, ROOT_ID, 0);
    assert_eq!(all[0], (b".".to_vec(), 1, FOLDER, 1));
    assert_eq!(all[1], (b"..".to_vec(), 1, FOLDER, 2));
    let kinds: Vec<u32> = all[2..].iter().map(|entry| entry.2).collect();
    let expected = [libc::DT_REG, libc::DT_DIR, libc::DT_LNK, libc::DT_REG, libc::DT_FIFO, libc::DT_BLK];
    assert_eq!(kinds, expected.map(u32::from));
    for (place, entry) in all.iter().enumerate() {
        let offset = u64::try_from(place).unwrap();
        assert_eq!(entry.3, offset + 1);
        assert_eq!(names(&image, ROOT_ID, offset), all[place..]);
    }
    for offset in [8, 9, u64::MAX - 1, u64::MAX] {
        assert_eq!(names(&image, ROOT_ID, offset), []);
    }
    assert_eq!(names(&image, 2, 1)[0], (b"..".to_vec(), 1, FOLDER, 2));
    assert_eq!(number(image.readdir(guest(), FILE, 0, 4096, 0)), Some(libc::ENOTDIR));
}

#[test]
fn bytes_come_from_packs_and_holes_are_zeros() {
    let image = image();
    let all = whole_file();
    assert_eq!(read(&image, FILE, 1 << 20, 0).unwrap(), all);
    for (count, offset) in [(1, 4095), (2, 4095), (5000, 4000), (4096, 8192), (20, 4 * 4096), (0, 3)] {
        let from = usize::try_from(offset).unwrap();
        let until = all.len().min(from + usize::try_from(count).unwrap());
        assert_eq!(read(&image, FILE, count, offset).unwrap(), all[from..until], "{count} at {offset}");
    }
    for offset in [4 * 4096 + 10, 4 * 4096 + 11, u64::MAX - 1, u64::MAX] {
        assert_eq!(read(&image, FILE, u32::MAX >> 12, offset).unwrap(), b"");
    }
    assert_eq!(read(&image, 4, 100, 0).unwrap(), b"", "an empty file");
    assert_eq!(number(read(&image, ROOT_ID, 1, 0)), Some(libc::EISDIR));
    assert_eq!(number(read(&image, 3, 1, 0)), Some(libc::EINVAL));
}

#[test]
fn a_pack_that_became_shorter_is_an_error_and_not_the_end_of_the_file() {
    let image = image();
    image.content.packs[0].set_len(4096 + 50).unwrap();
    assert_eq!(read(&image, FILE, 8192, 0).unwrap().len(), 8192);
    assert_eq!(number(read(&image, FILE, 1 << 20, 0)), Some(libc::EIO));
    let mut small = Buffer { room: 10, ..Buffer::default() };
    let asked = image.content.read_file(FILE, 100, 0, &mut small);
    assert_eq!(number(asked), Some(libc::EIO), "a guest that gives less room than it asks for");
}

#[test]
fn holes_and_data_are_found() {
    let image = image();
    let seek = |offset, whence: i32| image.lseek(guest(), FILE, 0, offset, whence.cast_unsigned());
    for (offset, data, hole) in
        [(0, 4096, 0), (5000, 5000, 8292), (8292, 4 * 4096, 8292), (4 * 4096 + 9, 4 * 4096 + 9, 4 * 4096 + 10)]
    {
        assert_eq!(seek(offset, libc::SEEK_DATA).unwrap(), data, "data from {offset}");
        assert_eq!(seek(offset, libc::SEEK_HOLE).unwrap(), hole, "hole from {offset}");
    }
    for whence in [libc::SEEK_DATA, libc::SEEK_HOLE] {
        assert_eq!(number(seek(4 * 4096 + 10, whence)), Some(libc::ENXIO));
        assert_eq!(number(seek(u64::MAX, whence)), Some(libc::ENXIO));
    }
    assert_eq!(number(seek(0, libc::SEEK_SET)), Some(libc::EINVAL));
}

#[test]
fn capabilities_reach_the_guest_and_what_would_steer_its_overlay_does_not() {
    let image = image();
    let get = |name, size| image.getxattr(guest(), FILE, name, size);
    assert!(matches!(get(c"security.capability", 64).unwrap(), GetxattrReply::Value(value) if value == [1, 0, 0, 2]));
    assert!(matches!(get(c"security.capability", 0).unwrap(), GetxattrReply::Count(4)));
    assert_eq!(number(get(c"security.capability", 3)), Some(libc::ERANGE));
    assert!(matches!(get(c"user.empty", 1).unwrap(), GetxattrReply::Value(value) if value.is_empty()));
    for name in [c"trusted.overlay.opaque", c"system.posix_acl_access", c""] {
        assert_eq!(number(get(name, 64)), Some(libc::ENODATA), "{name:?}");
    }
    let list = image.listxattr(guest(), FILE, 100).unwrap();
    assert!(matches!(list, ListxattrReply::Names(names) if names == b"security.capability\0user.empty\0"));
    assert!(matches!(image.listxattr(guest(), FILE, 0).unwrap(), ListxattrReply::Count(31)));
    assert_eq!(number(image.listxattr(guest(), FILE, 30)), Some(libc::ERANGE));
    let mut plain = image;
    plain.has_xattrs = false;
    assert_eq!(number(plain.getxattr(guest(), FILE, c"x", 0)), Some(libc::ENOSYS), "asked no more");
}

#[test]
fn nothing_is_changed() {
    let fs = image();
    let (who, name, extra) = (guest(), c"new", Extensions::default);
    let refused = [
        number(fs.setattr(who, FILE, SetattrIn::default(), None, SetattrValid::MODE)),
        number(fs.symlink(who, c"x", ROOT_ID, name, extra())),
        number(fs.mknod(who, ROOT_ID, name, 0o600, 0, 0, extra())),
        number(fs.mkdir(who, ROOT_ID, name, 0o700, 0, extra())),
        number(fs.unlink(who, ROOT_ID, c"a")),
        number(fs.rmdir(who, ROOT_ID, c"dev")),
        number(fs.rename(who, ROOT_ID, c"a", ROOT_ID, name, 0)),
        number(fs.link(who, FILE, ROOT_ID, name)),
        number(fs.create(who, ROOT_ID, name, 0o600, false, 0, 0, extra())),
        number(fs.write(who, FILE, 0, Bytes(vec![1]), 1, 0, None, false, false, 0)),
        number(fs.fallocate(who, FILE, 0, 0, 0, 1)),
        number(fs.setxattr(who, FILE, c"user.x", b"y", 0, SetxattrFlags::empty())),
        number(fs.removexattr(who, FILE, c"user.empty")),
        number(fs.copyfilerange(who, FILE, 0, 0, FILE, 0, 0, 1, 0)),
    ];
    assert_eq!(refused, [Some(libc::EROFS); 14]);
    assert_eq!(number(fs.open(who, FILE, false, 0)), Some(libc::ENOSYS), "opened without asking");
}

#[test]
fn a_tree_that_is_none_or_of_other_packs_is_not_served() {
    let image = image();
    let encoded = image.content.tree.encode();
    let serve = |tree: &[u8], packs: Vec<File>| {
        let mut file = pack(tree);
        std::io::Seek::rewind(&mut file).unwrap();
        ImageFs::new(ImageFiles { tree: file, packs, zeros: open_zeros().unwrap() })
            .err()
            .map(|error| error.to_string())
    };
    assert_eq!(serve(&encoded, vec![blocks(b"ab"), blocks(b"c")]), None);
    let said = serve(&encoded[..encoded.len() - 1], vec![blocks(b"ab"), blocks(b"c")]).unwrap();
    assert!(said.starts_with("the tree of the image cannot be used: "), "{said}");
    assert!(serve(&encoded, vec![blocks(b"a"), blocks(b"c")]).is_some(), "a pack that is too short");
    assert!(serve(&encoded, vec![blocks(b"ab")]).is_some(), "a pack that is missing");
    assert!(serve(b"", Vec::new()).is_some());
}

proptest! {
    /// Whatever node, offset and size a guest names, it gets bytes of the image or an error.
    #[test]
    fn hostile_numbers_reach_nothing_else(
        node in prop_oneof![0..12_u64, any::<u64>()],
        offset in prop_oneof![0..40_000_u64, any::<u64>()],
        size in 0..100_000_u32,
        whence in 0..9_u32,
    ) {
        let image = image();
        let is_known = (1..=7).contains(&node);
        prop_assert_eq!(image.getattr(guest(), node, None).is_ok(), is_known);
        prop_assert_eq!(image.readdir(guest(), node, offset, size, offset).is_ok(), matches!(node, 1 | 2));
        let _ = (image.readlink(guest(), node), image.lookup(guest(), node, c"a"), image.statfs(guest(), node));
        let _ = (image.listxattr(guest(), node, size), image.lseek(guest(), node, 0, offset, whence));
        image.forget(guest(), node, offset);
        match (node, read(&image, node, size, offset)) {
            (FILE, got) => {
                let all = whole_file();
                let from = usize::try_from(offset).unwrap_or(usize::MAX).min(all.len());
                let until = all.len().min(from.saturating_add(usize::try_from(size).unwrap()));
                prop_assert_eq!(got.unwrap(), &all[from..until]);
            }
            (4, got) => prop_assert_eq!(got.unwrap(), b""),
            (_, got) => prop_assert!(got.is_err()),
        }
    }
}
