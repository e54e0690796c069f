//! A small reader of the form, for tests: written from the kernel's description, it shares nothing with the writer.

/// What a disk says, each name with what it names, in the order of the folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) path: Vec<u8>,
    pub(super) number: u64,
    /// Type and permissions.
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) modified: (i64, u32),
    pub(super) links: u32,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) device: u32,
    /// Of a file or link.
    pub(super) content: Vec<u8>,
}

struct Node {
    number: u64,
    layout: u16,
    mode: u16,
    size: u64,
    place: u32,
    beside: usize,
    seen: Seen,
}

fn u16_at(disk: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(disk[at..at + 2].try_into().unwrap())
}

fn u32_at(disk: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(disk[at..at + 4].try_into().unwrap())
}

fn u64_at(disk: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(disk[at..at + 8].try_into().unwrap())
}

/// Reads all that the root leads to.
pub(super) fn read(disk: &[u8]) -> Vec<Seen> {
    assert_eq!(u32_at(disk, 1024), 0xE0F5_E1E2);
    assert_eq!(usize::try_from(u32_at(disk, 1024 + 36)).unwrap() * 4096, disk.len());
    let root = node(disk, u64::from(u16_at(disk, 1024 + 14)));
    let mut all = Vec::new();
    let number = root.number;
    walk(disk, root, Vec::new(), number, &mut all);
    all
}

fn walk(disk: &[u8], folder: Node, path: Vec<u8>, parent: u64, all: &mut Vec<Seen>) {
    let own = folder.number;
    let content = content(disk, &folder);
    all.push(Seen { path: path.clone(), ..folder.seen });
    let mut last: Option<Vec<u8>> = None;
    for block in content.chunks(4096) {
        let count = usize::from(u16_at(block, 8)) / 12;
        for place in 0..count {
            let entry = &block[place * 12..];
            let start = usize::from(u16_at(entry, 8));
            let end = if place + 1 < count { usize::from(u16_at(entry, 20)) } else { block.len() };
            let name: Vec<u8> = block[start..end].iter().copied().take_while(|byte| *byte != 0).collect();
            assert!(last.as_ref().is_none_or(|last| *last < name), "in order");
            last = Some(name.clone());
            match name.as_slice() {
                b"." => assert_eq!(u64_at(entry, 0), own),
                b".." => assert_eq!(u64_at(entry, 0), parent),
                _ => {
                    let child = node(disk, u64_at(entry, 0));
                    let path = [path.as_slice(), b"/", &name].concat();
                    let kind = [0, 5, 3, 0, 2, 0, 4, 0, 1, 0, 7][usize::from(child.mode >> 12)];
                    assert_eq!(entry[10], kind);
                    if kind == 2 {
                        walk(disk, child, path, own, all);
                    } else {
                        let content = self::content(disk, &child);
                        all.push(Seen { path, content, ..child.seen });
                    }
                }
            }
        }
    }
}

fn node(disk: &[u8], number: u64) -> Node {
    let at = usize::try_from(number * 32).unwrap();
    let format = u16_at(disk, at);
    assert_eq!(format & 1, 1, "extended");
    let xattr_bytes = match usize::from(u16_at(disk, at + 2)) {
        0 => 0,
        count => 12 + (count - 1) * 4,
    };
    let (mode, place) = (u16_at(disk, at + 4), u32_at(disk, at + 16));
    let is_device = matches!(mode >> 12, 2 | 6);
    let seen = Seen {
        path: Vec::new(),
        number,
        mode,
        uid: u32_at(disk, at + 24),
        gid: u32_at(disk, at + 28),
        modified: (u64_at(disk, at + 32).cast_signed(), u32_at(disk, at + 40)),
        links: u32_at(disk, at + 44),
        xattrs: xattrs(&disk[at + 64..at + 64 + xattr_bytes]),
        device: if is_device { place } else { 0 },
        content: Vec::new(),
    };
    Node { number, layout: format >> 1, mode, size: u64_at(disk, at + 8), place, beside: at + 64 + xattr_bytes, seen }
}

fn xattrs(bytes: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    let mut at = 12;
    while at < bytes.len() {
        let (name, value) = (usize::from(bytes[at]), usize::from(u16_at(bytes, at + 2)));
        let prefix = ["", "user.", "system.posix_acl_access", "system.posix_acl_default", "trusted.", "", "security."];
        let rest = &bytes[at + 4..at + 4 + name];
        let full = [prefix[usize::from(bytes[at + 1])].as_bytes(), rest].concat();
        found.push((full, bytes[at + 4 + name..at + 4 + name + value].to_vec()));
        at += (4 + name + value).next_multiple_of(4);
    }
    found
}

fn content(disk: &[u8], node: &Node) -> Vec<u8> {
    let size = usize::try_from(node.size).unwrap();
    let block = |number: u32| usize::try_from(number).unwrap() * 4096;
    match (node.mode >> 12, node.layout) {
        (1 | 2 | 6, _) => Vec::new(),
        (_, 0) => disk[block(node.place)..][..size].to_vec(),
        (_, 2) => {
            let (whole, tail) = (size / 4096 * 4096, size % 4096);
            let start = node.number * 32;
            let end = node.beside + tail;
            assert_eq!(usize::try_from(start).unwrap() / 4096, (end - 1) / 4096, "inline data is in the inode's block");
            [&disk[block(node.place)..][..whole], &disk[node.beside..end]].concat()
        }
        (_, 4) => {
            let chunk = 4096 << (node.place & 0x1f);
            let numbers = (0..size.div_ceil(chunk)).map(|place| u32_at(disk, node.beside + place * 4));
            let mut bytes = Vec::new();
            for number in numbers {
                let length = chunk.min(size - bytes.len());
                match number {
                    u32::MAX => bytes.resize(bytes.len() + length, 0),
                    number => bytes.extend(&disk[block(number)..][..length]),
                }
            }
            bytes
        }
        (_, layout) => panic!("layout {layout}"),
    }
}
