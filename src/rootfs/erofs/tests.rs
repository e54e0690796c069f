//! Trees to disks and back, by a reader of its own and by the form's own tools.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use proptest::prelude::*;

use super::reader::{Seen, read};
use super::{ErofsError, write_metadata};
use crate::rootfs::{Attributes, Extent, Inode, InodeKind, RootTree};

/// A tree and its packs.
#[derive(Debug, Clone)]
struct Image {
    tree: RootTree,
    packs: Vec<Vec<u8>>,
}

fn attributes(mode: u16) -> Attributes {
    Attributes { mode, uid: 70_000, gid: 80_000, modified: (-5, 999_999_999), xattrs: Vec::new() }
}

impl Image {
    /// A root of which all is in two packs.
    fn empty() -> Self {
        let root = InodeKind::Folder { parent: 0, entries: Vec::new() };
        let root = Inode { kind: root, attributes: attributes(0o755), links: 2 };
        Self { tree: RootTree { inodes: vec![root], packs: 2 }, packs: vec![Vec::new(); 2] }
    }

    fn add(&mut self, folder: u32, name: &[u8], kind: InodeKind, attributes: Attributes) -> u32 {
        let number = u32::try_from(self.tree.inodes.len()).unwrap();
        let is_folder = matches!(kind, InodeKind::Folder { .. });
        self.tree.inodes.push(Inode { kind, attributes, links: if is_folder { 2 } else { 0 } });
        self.name(folder, name, number);
        number
    }

    fn add_folder(&mut self, folder: u32, name: &[u8]) -> u32 {
        let kind = InodeKind::Folder { parent: folder, entries: Vec::new() };
        self.add(folder, name, kind, attributes(0o1777))
    }

    fn name(&mut self, folder: u32, name: &[u8], inode: u32) {
        let is_folder = matches!(self.tree.inodes[inode as usize].kind, InodeKind::Folder { .. });
        let target = if is_folder { folder } else { inode };
        self.tree.inodes[target as usize].links += 1;
        let InodeKind::Folder { entries, .. } = &mut self.tree.inodes[folder as usize].kind else { panic!() };
        entries.push((name.to_vec(), inode));
        entries.sort();
    }

    /// Packs bytes as layers are packed; every piece of 4096 zeros is a hole.
    fn file(&mut self, pack: usize, content: &[u8]) -> InodeKind {
        let mut extents: Vec<Extent> = Vec::new();
        for (place, bytes) in content.chunks(4096).enumerate() {
            if bytes.iter().all(|byte| *byte == 0) {
                continue;
            }
            let bytes_before = self.packs[pack].len().next_multiple_of(4096);
            self.packs[pack].resize(bytes_before, 0);
            extents.push(Extent {
                file_offset: place as u64 * 4096,
                length: bytes.len() as u64,
                pack: u32::try_from(pack).unwrap(),
                pack_offset: bytes_before as u64,
            });
            self.packs[pack].extend(bytes);
        }
        InodeKind::File { size: content.len() as u64, extents }
    }

    fn disk(&self) -> Result<Vec<u8>, ErofsError> {
        let lengths: Vec<u64> = self.packs.iter().map(|pack| pack.len() as u64).collect();
        let mut disk = write_metadata(&self.tree, &lengths)?;
        for pack in &self.packs {
            disk.extend(pack);
            disk.resize(disk.len().next_multiple_of(4096), 0);
        }
        Ok(disk)
    }

    /// What a reader must see.
    fn expected(&self) -> Vec<Seen> {
        let mut all = Vec::new();
        self.expect_below(0, Vec::new(), &mut all);
        all
    }

    fn expect_below(&self, number: u32, path: Vec<u8>, all: &mut Vec<Seen>) {
        let inode = &self.tree.inodes[number as usize];
        let Attributes { mode, uid, gid, modified, xattrs } = inode.attributes.clone();
        let (kind, content, device) = match &inode.kind {
            InodeKind::Folder { .. } => (0o4, Vec::new(), 0),
            InodeKind::Link { target } => (0o12, target.clone(), 0),
            InodeKind::CharDevice { number: (major, minor) } => (0o2, Vec::new(), major << 8 | minor),
            InodeKind::BlockDevice { number: (major, minor) } => (0o6, Vec::new(), major << 8 | minor),
            InodeKind::Fifo => (0o1, Vec::new(), 0),
            InodeKind::File { size, extents } => {
                let mut content = vec![0; usize::try_from(*size).unwrap()];
                for extent in extents {
                    let at = |offset: u64| usize::try_from(offset).unwrap();
                    let from = &self.packs[extent.pack as usize][at(extent.pack_offset)..][..at(extent.length)];
                    content[at(extent.file_offset)..][..from.len()].copy_from_slice(from);
                }
                (0o10, content, 0)
            }
        };
        let mode = kind << 12 | mode;
        let links = inode.links;
        let seen = Seen { path: path.clone(), number: 0, mode, uid, gid, modified, links, xattrs, device, content };
        all.push(seen);
        if let InodeKind::Folder { entries, .. } = &inode.kind {
            for (name, child) in entries {
                self.expect_below(*child, [path.as_slice(), b"/", name].concat(), all);
            }
        }
    }

    fn check(&self) {
        let mut seen = read(&self.disk().unwrap());
        let mut by_number: BTreeMap<u64, Vec<Vec<u8>>> = BTreeMap::new();
        seen.iter().for_each(|seen| by_number.entry(seen.number).or_default().push(seen.path.clone()));
        for found in &seen {
            let is_folder = found.mode >> 12 == 4;
            assert!(is_folder || by_number[&found.number].len() == usize::try_from(found.links).unwrap());
        }
        seen.iter_mut().for_each(|seen| seen.number = 0);
        seen.sort_by(|one, other| one.path.cmp(&other.path));
        let mut expected = self.expected();
        expected.sort_by(|one, other| one.path.cmp(&other.path));
        assert_eq!(seen, expected);
    }
}

/// An image with one of everything, and the sizes at which forms change.
fn whole() -> Image {
    let mut image = Image::empty();
    let bin = image.add_folder(0, b"bin");
    let hello = image.file(0, b"#!/bin/sh\necho hello\n");
    let program = image.add(bin, b"hello", hello, attributes(0o4755));
    image.name(0, b"-first", program);
    let large = image.file(1, &(0..20_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>());
    let caps = (b"security.capability".to_vec(), vec![1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let user = (b"user.note".to_vec(), vec![b'x'; 6000]);
    image.add(bin, b"large", large, Attributes { xattrs: vec![caps, user], ..attributes(0o755) });
    let mut sparse = vec![0; 300_000];
    sparse[65_536..65_540].copy_from_slice(b"data");
    sparse[299_999] = 1;
    let sparse = image.file(0, &sparse);
    image.add(0, b"sparse", sparse, attributes(0o600));
    image.add(0, b"hole", InodeKind::File { size: 10_000, extents: Vec::new() }, attributes(0o600));
    image.add(0, b"empty", InodeKind::File { size: 0, extents: Vec::new() }, attributes(0o600));
    let dev = image.add_folder(0, b"dev");
    image.add(dev, b"null", InodeKind::CharDevice { number: (1, 3) }, attributes(0o666));
    image.add(dev, b"vda", InodeKind::BlockDevice { number: (254, 0) }, attributes(0o660));
    image.add(dev, b"pipe", InodeKind::Fifo, attributes(0o644));
    for length in [1, 100, 4031, 4032, 4033, 4095] {
        let target = vec![b'a'; length];
        image.add(0, format!("link{length}").as_bytes(), InodeKind::Link { target }, attributes(0o777));
    }
    let many = image.add_folder(0, b"many");
    for number in 0..2000 {
        let name = format!("{number:04}-{}", "n".repeat(number % 250));
        let kind = image.file(1, format!("{number}").as_bytes());
        image.add(many, name.as_bytes(), kind, attributes(0o644));
    }
    let few = image.add_folder(0, "fünf".as_bytes());
    for number in 0..150 {
        image.add_folder(few, format!("folder {number}").as_bytes());
    }
    image
}

#[test]
fn every_kind_of_file_is_read_back_as_it_was() {
    whole().check();
    Image::empty().check();
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    assert!(whole().disk().unwrap() == whole().disk().unwrap());
}

#[test]
fn the_tools_of_the_form_find_no_fault() {
    if Command::new("fsck.erofs").arg("-V").output().is_err() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, image) in [("whole", whole()), ("empty", Image::empty())] {
        let path = folder.path().join(name);
        fs::write(&path, image.disk().unwrap()).unwrap();
        let checked = Command::new("fsck.erofs").arg(&path).output().unwrap();
        assert!(checked.status.success(), "{name}: {}", String::from_utf8_lossy(&checked.stderr));
    }
}

#[test]
fn the_first_bytes_of_an_empty_tree() {
    let disk = Image::empty().disk().unwrap();
    assert_eq!(disk.len(), 4096);
    assert_eq!(disk[1024..1028], [0xe2, 0xe1, 0xf5, 0xe0]);
    // Number 36 is byte 1152; one inode; one block; no feature that a kernel must know.
    assert_eq!(disk[1024 + 12..1024 + 24], [12, 0, 36, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!((disk[1024 + 36], disk[1024 + 80]), (1, 0));
    // Extended and inline, a folder of mode 755 and 27 bytes.
    assert_eq!(disk[1152..1168], [5, 0, 0, 0, 0xed, 0x41, 0, 0, 27, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(disk[1152 + 64 + 24..1152 + 64 + 27], *b"...");
}

#[test]
fn trees_that_contradict_themselves_are_refused() {
    let is_damage = |image: &Image| matches!(image.disk(), Err(ErofsError::Damaged { .. }));
    let mut image = Image::empty();
    let folder = image.add_folder(0, b"a");
    image.name(0, b"b", folder);
    assert!(is_damage(&image), "a folder with two names");
    let mut image = Image::empty();
    image.name(0, b"b", 0);
    assert!(is_damage(&image), "the root in itself");
    let mut image = Image::empty();
    let InodeKind::Folder { entries, .. } = &mut image.tree.inodes[0].kind else { panic!() };
    entries.push((b"a".to_vec(), 7));
    assert!(is_damage(&image), "an inode that is not there");
    let mut image = Image::empty();
    image.tree.packs = 3;
    assert!(is_damage(&image), "a pack that is not there");
    let none = RootTree { inodes: Vec::new(), packs: 0 };
    assert!(matches!(write_metadata(&none, &[]), Err(ErofsError::Damaged { .. })));
    let lengths = [u64::from(u32::MAX) * 4096, 0];
    assert!(matches!(write_metadata(&Image::empty().tree, &lengths), Err(ErofsError::TooLarge { .. })));
}

prop_compose! {
    fn any_attributes()(
        mode in 0_u16..0o10_000,
        uid: u32,
        gid: u32,
        seconds: i64,
        nanoseconds in 0_u32..1_000_000_000,
        xattrs in prop::collection::btree_map("(user|security|trusted)\\.[a-z]{1,40}", prop::collection::vec(any::<u8>(), 0..300), 0..4),
    ) -> Attributes {
        let xattrs = xattrs.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect();
        Attributes { mode, uid, gid, modified: (seconds, nanoseconds), xattrs }
    }
}

/// What is added to a tree, and to which of its folders.
#[derive(Debug, Clone)]
enum Step {
    Folder,
    File { pack: usize, pieces: Vec<(bool, u16)> },
    Link { target: Vec<u8> },
    Device { number: (u32, u32), is_block: bool },
    Fifo,
    Again { which: prop::sample::Index },
}

fn any_step() -> impl Strategy<Value = Step> {
    let piece = (any::<bool>(), 1_u16..=4096);
    prop_oneof![
        2 => Just(Step::Folder),
        4 => (0..2_usize, prop::collection::vec(piece, 0..12)).prop_map(|(pack, pieces)| Step::File { pack, pieces }),
        2 => prop::collection::vec(1_u8.., 1..4096).prop_map(|target| Step::Link { target }),
        1 => ((0..256_u32, 0..256_u32), any::<bool>()).prop_map(|(number, is_block)| Step::Device { number, is_block }),
        1 => Just(Step::Fifo),
        1 => any::<prop::sample::Index>().prop_map(|which| Step::Again { which }),
    ]
}

fn any_image() -> impl Strategy<Value = Image> {
    let name = prop_oneof!["[!-.0-~]{1,12}", "[a-c]{1,2}", "[x]{200,255}"];
    let step = (any_step(), any::<prop::sample::Index>(), name, any_attributes());
    prop::collection::vec(step, 0..120).prop_map(|steps| {
        let mut image = Image::empty();
        let (mut folders, mut others): (Vec<u32>, Vec<u32>) = (vec![0], Vec::new());
        let mut names = std::collections::BTreeSet::new();
        for (step, folder, name, attributes) in steps {
            let folder = folders[folder.index(folders.len())];
            let name = name.into_bytes();
            if matches!(name.as_slice(), b"." | b"..") || !names.insert((folder, name.clone())) {
                continue;
            }
            let kind = match step {
                Step::Folder => {
                    folders.push(image.add_folder(folder, &name));
                    continue;
                }
                Step::Again { which } => {
                    if !others.is_empty() {
                        image.name(folder, &name, others[which.index(others.len())]);
                    }
                    continue;
                }
                Step::File { pack, pieces } => {
                    let mut content = Vec::new();
                    for (is_hole, length) in pieces {
                        content.resize(content.len().next_multiple_of(4096), 0);
                        content.extend(
                            (0..length).map(|at| if is_hole { 0 } else { u8::try_from(at % 251).unwrap() + 1 }),
                        );
                    }
                    image.file(pack, &content)
                }
                Step::Link { target } => InodeKind::Link { target },
                Step::Device { number, is_block: true } => InodeKind::BlockDevice { number },
                Step::Device { number, .. } => InodeKind::CharDevice { number },
                Step::Fifo => InodeKind::Fifo,
            };
            others.push(image.add(folder, &name, kind, attributes));
        }
        image
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_is_read_back_as_it_was(image in any_image()) {
        image.check();
    }
}
