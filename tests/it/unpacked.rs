//! Layers as `image::unpack` and `rootfs::merge` make them of an image, beside what `umoci unpack` makes on a disk: every
//! path with type, owner, mode, time, size, content, extended attributes and links.
//!
//! Needs root, for owners and devices. `SMOLVM_TEST_IMAGE=LAYOUT:TAG` compares another image too.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::Write as _;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, makedev, mknodat};
use smolvm::image::Digest;
use smolvm::image::unpack::{Limits, Unpacked, unpack};
use smolvm::rootfs::{InodeKind, RootTree, merge};

/// What is known of a path, but who shares its inode.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    what: String,
    owner_and_mode: (u32, u32, u32),
    modified: (i64, i64),
    links: u64,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// First path with the same inode.
    group: Vec<u8>,
}

type Listing = BTreeMap<Vec<u8>, Line>;

#[test]
fn tree_of_an_image_is_what_umoci_unpacks() {
    if !rustix::process::geteuid().is_root() {
        let _ = writeln!(std::io::stderr(), "skipped: owners and devices need root");
        return;
    }
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let image = made_image(scratch.path());
    compare(&image, scratch.path());
    if let Some(image) = std::env::var_os("SMOLVM_TEST_IMAGE") {
        compare(image.to_str().unwrap(), scratch.path());
    }
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn compare(image: &str, scratch: &Path) {
    let (tree, packs) = unpacked(image);
    let bundle = scratch.join("bundle");
    run(Command::new("umoci").args(["unpack", "--image", image]).arg(&bundle));
    let expected = on_disk(&bundle.join("rootfs"));
    let found = in_tree(&tree, &packs);
    fs::remove_dir_all(bundle).unwrap();
    let mut differences = Vec::new();
    for path in expected.keys().chain(found.keys().filter(|path| !expected.contains_key(*path))) {
        if expected.get(path) != found.get(path) {
            let name = path.escape_ascii();
            differences.push(format!("{name}\n  umoci  {:?}\n  smolvm {:?}", expected.get(path), found.get(path)));
        }
    }
    assert!(!expected.is_empty() && !packs.is_empty(), "{image} is empty");
    let shown: Vec<_> = differences.iter().take(20).map(String::as_str).collect();
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), shown.join("\n"));
}

/// All layers of an image, unpacked and merged.
fn unpacked(image: &str) -> (RootTree, Vec<File>) {
    let (layout, tag) = image.rsplit_once(':').unwrap();
    let layout = Path::new(layout);
    let json = |path: &Path| serde_json::from_slice::<serde_json::Value>(&fs::read(path).unwrap()).unwrap();
    let blob = |entry: &serde_json::Value| -> PathBuf {
        layout.join("blobs").join(entry["digest"].as_str().unwrap().replace(':', "/"))
    };
    let index = json(&layout.join("index.json"));
    let is_it = |entry: &&serde_json::Value| entry["annotations"]["org.opencontainers.image.ref.name"] == tag;
    let manifest = json(&blob(index["manifests"].as_array().unwrap().iter().find(is_it).unwrap()));
    let config = json(&blob(&manifest["config"]));
    let diff_ids = config["rootfs"]["diff_ids"].as_array().unwrap();
    let (mut layers, mut packs) = (Vec::new(), Vec::new());
    for (layer, diff_id) in manifest["layers"].as_array().unwrap().iter().zip(diff_ids) {
        let mut pack = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let archive = File::open(blob(layer)).unwrap();
        let mut going_on = |_| ControlFlow::Continue(());
        let Unpacked { index, diff_id: found, .. } =
            unpack(archive, &mut pack, &Limits::default(), &mut going_on).unwrap();
        assert_eq!(*diff_id, found.as_str());
        layers.push(index);
        packs.push(pack);
    }
    let tree = merge(&layers).unwrap();
    let lengths: Vec<u64> = packs.iter().map(|pack| pack.metadata().unwrap().len()).collect();
    (RootTree::decode(&tree.encode(), &lengths).unwrap(), packs)
}

fn in_tree(tree: &RootTree, packs: &[File]) -> Listing {
    let mut groups = BTreeMap::new();
    let line = |(path, number): (Vec<u8>, u32)| {
        let inode = tree.inode(number).unwrap();
        let what = match &inode.kind {
            InodeKind::Folder { .. } => "folder".to_owned(),
            InodeKind::Link { target } => format!("link to {}", target.escape_ascii()),
            InodeKind::File { size, extents } => {
                let mut bytes = vec![0; usize::try_from(*size).unwrap()];
                for extent in extents {
                    let start = usize::try_from(extent.file_offset).unwrap();
                    let part = &mut bytes[start..][..usize::try_from(extent.length).unwrap()];
                    let pack = &packs[usize::try_from(extent.pack).unwrap()];
                    pack.read_exact_at(part, extent.pack_offset).unwrap();
                }
                format!("file of {size} {}", Digest::of(&bytes))
            }
            InodeKind::CharDevice { number: (major, minor) } => format!("character device {major} {minor}"),
            InodeKind::BlockDevice { number: (major, minor) } => format!("block device {major} {minor}"),
            InodeKind::Fifo => "pipe".to_owned(),
        };
        let attributes = &inode.attributes;
        let group = groups.entry(number).or_insert_with(|| path.clone()).clone();
        let line = Line {
            what,
            owner_and_mode: (attributes.uid, attributes.gid, u32::from(attributes.mode)),
            modified: (attributes.modified.0, i64::from(attributes.modified.1)),
            links: u64::from(inode.links),
            xattrs: attributes.xattrs.clone(),
            group,
        };
        (path, line)
    };
    let mut all: Vec<_> = tree.walk().collect();
    all.sort();
    all.into_iter().map(line).collect()
}

fn on_disk(root: &Path) -> Listing {
    let (mut paths, mut ahead) = (Vec::new(), vec![root.to_owned()]);
    while let Some(path) = ahead.pop() {
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            ahead.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        paths.push((path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec(), path));
    }
    paths.sort();
    let mut groups = BTreeMap::new();
    let line = |(name, path): (Vec<u8>, PathBuf)| {
        let data = fs::symlink_metadata(&path).unwrap();
        let device = format!("{} {}", rustix::fs::major(data.rdev()), rustix::fs::minor(data.rdev()));
        let what = match FileType::from_raw_mode(data.mode()) {
            FileType::Directory => "folder".to_owned(),
            FileType::Symlink => {
                format!("link to {}", fs::read_link(&path).unwrap().as_os_str().as_bytes().escape_ascii())
            }
            FileType::RegularFile => format!("file of {} {}", data.len(), Digest::of(&fs::read(&path).unwrap())),
            FileType::CharacterDevice => format!("character device {device}"),
            FileType::BlockDevice => format!("block device {device}"),
            _ => "pipe".to_owned(),
        };
        let group = groups.entry(data.ino()).or_insert_with(|| name.clone()).clone();
        let line = Line {
            what,
            owner_and_mode: (data.uid(), data.gid(), data.mode() & 0o7777),
            modified: (data.mtime(), data.mtime_nsec()),
            links: data.nlink(),
            xattrs: xattrs(&path),
            group,
        };
        (name, line)
    };
    paths.into_iter().map(line).collect()
}

fn xattrs(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut names = vec![0; 65_536];
    let length = rustix::fs::llistxattr(path, &mut names).unwrap();
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let mut value = vec![0; 65_536];
        let length = rustix::fs::lgetxattr(path, CString::new(name).unwrap().as_c_str(), &mut value).unwrap();
        (name.to_vec(), value[..length].to_vec())
    };
    let mut found: Vec<_> = names.map(value).collect();
    found.sort();
    found
}

/// An image of three layers with all that layers can hold.
fn made_image(scratch: &Path) -> String {
    let layout = scratch.join("layout");
    run(Command::new("umoci").args(["init", "--layout"]).arg(&layout));
    let image = format!("{}:odd", layout.display());
    run(Command::new("umoci").args(["new", "--image", &image]));
    for layer in [lowest(scratch), hiding(scratch), linking(scratch)] {
        run(Command::new("umoci").args(["raw", "add-layer", "--image", &image]).arg(layer));
    }
    image
}

fn tar(root: &Path, words: &[&str]) -> PathBuf {
    let archive = root.with_extension("tar");
    let form = ["--format=pax", "--sparse", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-cf"];
    run(Command::new("tar").arg("-C").arg(root).args(form).arg(&archive).args(words));
    archive
}

fn node(path: PathBuf, kind: FileType, mode: u32, device: (u32, u32)) {
    mknodat(CWD, path, kind, Mode::from_raw_mode(mode), makedev(device.0, device.1)).unwrap();
}

fn lowest(scratch: &Path) -> PathBuf {
    let root = scratch.join("lowest");
    for folder in ["usr/lib", "hidden/deep", "emptied/deep", "becomes a file", "service", "kept", "dev"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    let files =
        ["gone", "hidden/deep/x", "emptied/deep/x", "emptied/y", "becomes a file/x", "becomes a folder", "kept/x"];
    for file in files {
        fs::write(root.join(file), file).unwrap();
    }
    fs::write(root.join("usr/lib/large"), vec![5; 1_234_567]).unwrap();
    symlink("usr/lib", root.join("lib")).unwrap();
    symlink("/../../usr/../usr/lib", root.join("way out")).unwrap();
    symlink("l".repeat(200), root.join("long")).unwrap();
    fs::hard_link(root.join("kept/x"), root.join("kept/y")).unwrap();
    fs::hard_link(root.join("long"), root.join("long too")).unwrap();
    fs::write(root.join(std::ffi::OsStr::from_bytes(&[b'\xf0'; 255])), "long name").unwrap();
    node(root.join("dev/console"), FileType::CharacterDevice, 0o620, (5, 1));
    node(root.join("dev/loop7"), FileType::BlockDevice, 0o660, (7, 300));
    node(root.join("dev/pipe"), FileType::Fifo, 0o604, (0, 0));
    lchown(root.join("service"), Some(70_000), Some(3_000_000)).unwrap();
    lchown(root.join("lib"), Some(33), Some(34)).unwrap();
    for (name, mode) in [("usr/setuid", 0o4755), ("usr/setgid", 0o2711), ("usr/capable", 0o755), ("usr/secret", 0)] {
        fs::write(root.join(name), name).unwrap();
        lchown(root.join(name), Some(0), Some(42)).unwrap();
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::set_permissions(root.join("kept"), fs::Permissions::from_mode(0o1777)).unwrap();
    // The capability to open raw sockets, as `setcap cap_net_raw+ep` writes it.
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    rustix::fs::setxattr(root.join("usr/capable"), "security.capability", &capability, XattrFlags::empty()).unwrap();
    for name in ["usr/capable", "kept"] {
        rustix::fs::setxattr(root.join(name), "user.a note", b"a\0value\n", XattrFlags::empty()).unwrap();
    }
    let sparse = File::create(root.join("sparse")).unwrap();
    sparse.set_len(20_000_000).unwrap();
    (0..40).for_each(|at| sparse.write_all_at(b"data", at * 400_000 + 100).unwrap());
    let old = SystemTime::UNIX_EPOCH - Duration::from_millis(5500);
    sparse.set_modified(old).unwrap();
    tar(&root, &["."])
}

/// Whiteouts, an opaque folder, files for folders and the reverse, a way through a link.
fn hiding(scratch: &Path) -> PathBuf {
    let root = scratch.join("hiding");
    for folder in ["emptied", "becomes a folder", "kept", "lib"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    for file in [".wh.gone", ".wh.hidden", "emptied/.wh..wh..opq", "emptied/a", "emptied/new", ".wh..wh.aufs"] {
        fs::write(root.join(file), "").unwrap();
    }
    for file in ["becomes a file", "becomes a folder/x", "lib/through a link"] {
        fs::write(root.join(file), file).unwrap();
    }
    let words = "./.wh.gone ./.wh.hidden ./.wh..wh.aufs ./emptied ./kept".split(' ').collect::<Vec<_>>();
    tar(&root, &[&words[..], &["./becomes a file", "./becomes a folder", "lib/through a link"]].concat())
}

/// Hard links to files of lower layers, one of which is replaced.
fn linking(scratch: &Path) -> PathBuf {
    let root = scratch.join("linking");
    fs::create_dir_all(root.join("usr/lib")).unwrap();
    fs::write(root.join("usr/lib/large"), "").unwrap();
    fs::hard_link(root.join("usr/lib/large"), root.join("z link")).unwrap();
    fs::write(root.join("new x"), "another x").unwrap();
    let archive = tar(&root, &["./usr/lib/large", "./z link"]);
    run(Command::new("tar").arg("--delete").arg("-f").arg(&archive).arg("./usr/lib/large"));
    let words = ["--transform=s,new x,kept/x,", "--format=pax", "-rf"];
    run(Command::new("tar").arg("-C").arg(&root).args(words).arg(&archive).arg("./new x"));
    archive
}
