//! Images with a kernel, and images without one.

use std::os::unix::fs::MetadataExt;

use super::super::bzimage::tests::bzimage;
use super::super::list::in_cache;
use super::*;
use crate::rootfs::{Attributes, Inode};

/// An image with one kernel and a folder of modules, which may hold more.
struct World {
    folder: tempfile::TempDir,
    tree: RootTree,
    cache: Cache,
}

fn inode(kind: InodeKind) -> Inode {
    Inode { kind, attributes: Attributes::default(), links: 1 }
}

fn folder(parent: u32, entries: &[(&str, u32)]) -> Inode {
    let entries = entries.iter().map(|(name, number)| (name.as_bytes().to_vec(), *number)).collect();
    inode(InodeKind::Folder { parent, entries })
}

fn file(size: u64, length: u64, pack_offset: u64) -> Inode {
    inode(InodeKind::File { size, extents: vec![Extent { file_offset: 0, length, pack: 0, pack_offset }] })
}

impl World {
    /// `more` lies as `more` in the folder of the modules.
    fn new(kernel: &[u8], more: Inode) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let mut pack = b"a module".to_vec();
        pack.resize(4096, 0);
        pack.extend(kernel);
        fs::write(scratch.path().join("pack"), &pack).unwrap();
        let length = kernel.len() as u64;
        let inodes = vec![
            folder(0, &[("boot", 1), ("lib", 3)]),
            folder(0, &[("vmlinuz-9.8.7-made", 2)]),
            file(length, length, 4096),
            folder(0, &[("modules", 4)]),
            folder(3, &[("9.8.7-made", 5)]),
            folder(4, &[("build", 6), ("kernel", 7), ("more", 9)]),
            inode(InodeKind::Link { target: b"/etc".to_vec() }),
            folder(5, &[("a.ko", 8)]),
            file(10_000, 8, 0),
            more,
        ];
        let cache = Cache::open(scratch.path()).unwrap();
        Self { tree: RootTree { inodes, packs: 1 }, folder: scratch, cache }
    }

    fn copy(&self) -> Result<PathBuf, KernelError> {
        let made = self.cache.path("image-0");
        let packs = vec![File::open(self.folder.path().join("pack")).unwrap()];
        let mut waiter = |_: &str| {};
        let copier = Copier { name: "kernels.test/k:1", tree: self.tree.clone(), packs, waiter: &mut waiter };
        copier.copy(&made, &self.cache)?;
        Ok(made)
    }
}

#[test]
fn kernel_and_modules_are_copied_and_links_and_devices_are_not() {
    let world = World::new(&bzimage(b"", true), inode(InodeKind::CharDevice { number: (1, 3) }));
    let made = world.copy().unwrap();
    let files = stored::files_in(&made).unwrap();
    let kernel = finish(&files, None, &world.cache).unwrap();
    assert_eq!((kernel.version.as_str(), kernel.origin.as_str()), ("9.8.7-made", "image kernels.test/k:1"));
    let modules = kernel.modules.unwrap();
    let mut names: Vec<_> = fs::read_dir(&modules).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["kernel"]);
    let module = modules.join("kernel/a.ko");
    assert_eq!(fs::metadata(&module).unwrap().size(), 10_000);
    assert!(fs::read(module).unwrap().starts_with(b"a module\0"));
    assert_eq!(in_cache(world.folder.path()).kernels[0].version.as_deref(), Some("9.8.7-made"));
}

#[test]
fn what_is_too_large_or_no_kernel_is_named_with_its_image() {
    let huge = World::new(&bzimage(b"", true), file(MODULES_MAX, 8, 0));
    assert_eq!(
        huge.copy().unwrap_err().to_string(),
        "`lib/modules/9.8.7-made/more` of image `kernels.test/k:1` cannot be used as a kernel: it is too large"
    );
    let text = World::new(b"#!/bin/sh", folder(5, &[]));
    let said = text.copy().unwrap_err().to_string();
    assert!(said.contains("`boot/vmlinuz-9.8.7-made` of image") && said.contains("neither a bzImage"), "{said}");
}

#[test]
fn an_image_without_a_kernel_says_where_was_looked() {
    let mut world = World::new(b"", folder(5, &[]));
    world.tree.inodes.truncate(1);
    world.tree.inodes[0] = folder(0, &[]);
    let said = world.copy().unwrap_err();
    assert!(said.to_string().starts_with("image `kernels.test/k:1` holds no kernel (looked for `boot/vmlinuz*`"));
    assert!(said.help().is_some());
}

#[test]
fn names_that_lead_out_are_refused() {
    let mut world = World::new(&bzimage(b"", true), folder(5, &[]));
    world.tree.inodes[7] = folder(5, &[("../../out", 8)]);
    assert!(world.copy().unwrap_err().to_string().contains("a name in it is none"));
}
