//! Machines whose root is an erofs disk: what the guest sees is what the tree says, and a disk's server that dies.

use std::fs::{self, File};
use std::io::Write;

use smolvm::rootfs::erofs::write_metadata;
use smolvm::rootfs::{Attributes, Extent, Inode, InodeKind, RootTree};
use smolvm::share::ShareTree;
use smolvm::virtio::block::{DiskContent, DiskSegment, DiskSpec, spawn_disk_from};

use crate::machine::{Machine, Root};

/// A tree that is being made, and its packs.
pub(crate) struct Image {
    pub(crate) tree: RootTree,
    pub(crate) packs: Vec<Vec<u8>>,
}

pub(crate) fn attributes(mode: u16, uid: u32, gid: u32) -> Attributes {
    Attributes { mode, uid, gid, modified: (1_234_567_890 + i64::from(mode), 123_456_789), xattrs: Vec::new() }
}

impl Image {
    /// A busybox, the folders that a machine mounts on, and two packs.
    pub(crate) fn with_shell() -> Self {
        let root = InodeKind::Folder { parent: 0, entries: Vec::new() };
        let root = Inode { kind: root, attributes: attributes(0o755, 0, 0), links: 2 };
        let mut image = Self { tree: RootTree { inodes: vec![root], packs: 2 }, packs: vec![Vec::new(); 2] };
        let bin = image.add_folder(0, "bin", attributes(0o755, 0, 0));
        let busybox = fs::read("/bin/busybox").unwrap();
        image.add_file(bin, "busybox", &busybox, attributes(0o755, 0, 0));
        for name in ["sh", "find", "stat", "sha256sum", "cat", "env", "ls", "readlink", "sort", "dd", "id"] {
            image.add(bin, name, InodeKind::Link { target: b"busybox".to_vec() }, attributes(0o777, 0, 0));
        }
        for name in ["dev", "proc", "sys", "tmp", "run", "root"] {
            image.add_folder(0, name, attributes(0o755, 0, 0));
        }
        let etc = image.add_folder(0, "etc", attributes(0o755, 0, 0));
        image.add_file(etc, "passwd", b"root:x:0:0:root:/root:/bin/sh\n", attributes(0o644, 0, 0));
        image
    }

    pub(crate) fn add(&mut self, folder: u32, name: &str, kind: InodeKind, attributes: Attributes) -> u32 {
        let number = u32::try_from(self.tree.inodes.len()).unwrap();
        let links = if matches!(kind, InodeKind::Folder { .. }) { 2 } else { 0 };
        self.tree.inodes.push(Inode { kind, attributes, links });
        self.name(folder, name, number);
        number
    }

    pub(crate) fn name(&mut self, folder: u32, name: &str, inode: u32) {
        let is_folder = matches!(self.tree.inodes[inode as usize].kind, InodeKind::Folder { .. });
        self.tree.inodes[if is_folder { folder } else { inode } as usize].links += 1;
        let InodeKind::Folder { entries, .. } = &mut self.tree.inodes[folder as usize].kind else { panic!() };
        entries.push((name.as_bytes().to_vec(), inode));
        entries.sort();
    }

    pub(crate) fn add_folder(&mut self, folder: u32, name: &str, attributes: Attributes) -> u32 {
        self.add(folder, name, InodeKind::Folder { parent: folder, entries: Vec::new() }, attributes)
    }

    /// A file whose blocks of zeros are holes.
    pub(crate) fn add_file(&mut self, folder: u32, name: &str, content: &[u8], attributes: Attributes) -> u32 {
        let number = self.tree.inodes.len() % 2;
        let pack = &mut self.packs[number];
        let mut extents: Vec<Extent> = Vec::new();
        for (place, bytes) in content.chunks(4096).enumerate().filter(|(_, bytes)| bytes.iter().any(|byte| *byte != 0))
        {
            extents.push(Extent {
                file_offset: place as u64 * 4096,
                length: bytes.len() as u64,
                pack: u32::try_from(number).unwrap(),
                pack_offset: pack.len() as u64,
            });
            pack.extend(bytes);
            pack.resize(pack.len().next_multiple_of(4096), 0);
        }
        self.add(folder, name, InodeKind::File { size: content.len() as u64, extents }, attributes)
    }

    /// The disk's segments.
    pub(crate) fn segments(&self) -> Vec<DiskSegment> {
        let lengths: Vec<u64> = self.packs.iter().map(|pack| pack.len() as u64).collect();
        let metadata = write_metadata(&self.tree, &lengths).unwrap();
        std::iter::once(&metadata).chain(&self.packs).map(|bytes| segment(bytes)).collect()
    }
}

fn segment(bytes: &[u8]) -> DiskSegment {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    DiskSegment { file: file.into(), length: bytes.len() as u64 }
}

fn in_runtime(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test);
}

const PROGRAM: &[u8] = b"#!/bin/sh\nid\n";

/// Holes with something in the middle.
fn sparse() -> Vec<u8> {
    let mut content = vec![0; 3 << 20];
    content[1 << 20..(1 << 20) + 5].copy_from_slice(b"hello");
    content
}

/// What a machine must see below `/image`, as the script of the test prints it.
fn wonders(image: &mut Image) -> Vec<String> {
    let mut expected = Vec::new();
    let folder = image.add_folder(0, "image", attributes(0o2751, 1000, 65_534));
    let mut tell = |line: String| expected.push(line);
    tell("2751 1000 65534 1234569403 directory /image".to_owned());
    image.add_file(folder, "setuid", PROGRAM, attributes(0o4755, 0, 70_000));
    tell("4755 0 70000 1234570431 1 13 regular file /image/setuid".to_owned());
    let linked = image.add_file(folder, "sparse", &sparse(), attributes(0o600, 100_000, 100_001));
    image.name(folder, "-another name", linked);
    for name in ["-another name", "sparse"] {
        tell(format!("600 100000 100001 1234568274 2 3145728 regular file /image/{name}"));
    }
    image.add_file(folder, "empty", b"", attributes(0o400, 1, 2));
    tell("400 1 2 1234568146 1 0 regular empty file /image/empty".to_owned());
    image.add(folder, "null", InodeKind::CharDevice { number: (1, 3) }, attributes(0o666, 0, 0));
    tell("666 0 0 1234568328 1 1:3 character special file /image/null".to_owned());
    image.add(folder, "disk", InodeKind::BlockDevice { number: (259, 1000) }, attributes(0o660, 0, 6));
    tell("660 0 6 1234568322 1 103:3e8 block special file /image/disk".to_owned());
    image.add(folder, "pipe", InodeKind::Fifo, attributes(0o644, 3, 3));
    tell("644 3 3 1234568310 1 0:0 fifo /image/pipe".to_owned());
    let target = "x".repeat(4000);
    image.add(folder, "long link", InodeKind::Link { target: target.into_bytes() }, attributes(0o777, 0, 0));
    tell("777 0 0 1234568401 1 4000 symbolic link /image/long link".to_owned());
    let caps = (b"security.capability".to_vec(), [&[1, 0, 0, 2, 0, 4][..], &[0; 14]].concat());
    let with = Attributes { xattrs: vec![caps, (b"user.note".to_vec(), b"kept".to_vec())], ..attributes(0o755, 0, 0) };
    image.add_file(folder, "caps", b"capable", with);
    tell("755 0 0 1234568383 1 7 regular file /image/caps".to_owned());
    let many = image.add_folder(folder, "many", attributes(0o755, 0, 0));
    tell("755 0 0 1234568383 directory /image/many".to_owned());
    for number in 0..600 {
        let name = format!("{number:03} {}", "ü".repeat(number % 120));
        image.add_file(many, &name, name.as_bytes(), attributes(0o644, 0, 0));
        tell(format!("644 0 0 1234568310 1 {} regular file /image/many/{name}", name.len()));
    }
    expected.sort();
    expected
}

/// Prints each name below `/image` with all that is known of it, but for the number of names of a folder.
const LIST: &str = "find /image -type d -exec stat -c '%a %u %g %Y %F %n' {} + ; \
    find /image -type f -exec stat -c '%a %u %g %Y %h %s %F %n' {} + ; \
    find /image -type l -exec stat -c '%a %u %g %Y %h %s %F %n' {} + ; \
    find /image ! -type d ! -type f ! -type l -exec stat -c '%a %u %g %Y %h %t:%T %F %n' {} +";

/// Compares what a machine sees with what the tree says.
async fn see(root: Root, expected: &[String], sums: &[String]) {
    let mut machine = Machine::ready_from(root, 256, Vec::new()).await;
    let listed = machine.sh(LIST).await;
    let mut listed: Vec<&str> = listed.lines().collect();
    listed.sort_unstable();
    let differ = listed.iter().zip(expected).find(|(one, other)| one != other);
    assert_eq!((differ, listed.len()), (None, expected.len()));
    let seen = machine.sh(&format!("sha256sum '{}'", NAMES.join("' '"))).await;
    assert_eq!(seen.lines().collect::<Vec<_>>(), sums);
    // Each small file holds its own name; nothing of a neighbour.
    machine.sh("cd /image/many; for name in *; do test \"$(cat \"$name\")\" = \"$name\"; done").await;
    machine.sh("test \"$(readlink '/image/long link' | dd bs=1 count=3 2>/dev/null)\" = xxx").await;
    machine.sh("echo new > /image/caps; test \"$(cat /image/caps)\" = new; test -e /etc/hostname").await;
    machine.power_off().await;
}

const NAMES: [&str; 5] = ["/image/sparse", "/image/-another name", "/image/setuid", "/image/empty", "/bin/busybox"];

#[test]
fn both_forms_of_an_image_are_what_its_tree_says() {
    in_runtime(async {
        let mut image = Image::with_shell();
        let expected = wonders(&mut image);
        let host = tempfile::tempdir().unwrap();
        let sum = |content: &[u8]| {
            let path = host.path().join("content");
            fs::write(&path, content).unwrap();
            let output = std::process::Command::new("sha256sum").arg(path).output().unwrap();
            String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
        };
        let contents: [&[u8]; 5] = [&sparse(), &sparse(), PROGRAM, b"", &fs::read("/bin/busybox").unwrap()];
        let sums: Vec<String> =
            contents.iter().zip(NAMES).map(|(content, name)| format!("{}  {name}", sum(content))).collect();
        see(Root::Disk(image.segments()), &expected, &sums).await;
        let tree = host.path().join("tree");
        fs::write(&tree, image.tree.encode()).unwrap();
        let packs = ["pack0", "pack1"].map(|name| host.path().join(name));
        image.packs.iter().zip(&packs).for_each(|(bytes, path)| fs::write(path, bytes).unwrap());
        see(Root::Share(ShareTree::Image { tree, packs: packs.to_vec() }), &expected, &sums).await;
    });
}

#[test]
fn the_server_of_a_disk_is_alone_with_its_files_and_its_death_is_told() {
    let (tell, told) = std::sync::mpsc::channel();
    let spec =
        DiskSpec { serial: "root".into(), content: DiskContent::Fixed(vec![segment(&[1; 4096]), segment(&[2; 100])]) };
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_smolvm"));
    let on_death = Box::new(move |how: String| tell.send(how).unwrap());
    let (disk, _front_end) = spawn_disk_from(program, spec, on_death, None).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", disk.pid())).unwrap();
    let said = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim().to_owned();
    assert_eq!(said("Seccomp:"), "2");
    assert_eq!(said("NoNewPrivs:"), "1");
    assert_eq!(said("CapPrm:"), "0000000000000000");
    if rustix::process::geteuid().is_root() {
        assert!(said("Uid:").starts_with("65534\t65534\t65534\t65534"), "{status}");
        assert_eq!(said("Groups:"), "");
    }
    let pid = rustix::process::Pid::from_raw(i32::try_from(disk.pid()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let how = told.recv_timeout(std::time::Duration::from_secs(20)).unwrap();
    assert_eq!(how, "it was ended by signal 9");
}

#[test]
fn a_server_of_a_disk_ends_with_its_handle() {
    let spec = DiskSpec { serial: "root".into(), content: DiskContent::Fixed(vec![segment(&[1; 4096])]) };
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_smolvm"));
    let on_death = Box::new(|how: String| panic!("{how}"));
    let (disk, _front_end) = spawn_disk_from(program, spec, on_death, None).unwrap();
    let folder = format!("/proc/{}", disk.pid());
    assert!(File::open(&folder).is_ok());
    drop(disk);
    assert!(File::open(&folder).is_err());
}
