//! Which form the root of a machine takes: served file by file, or as an erofs disk of the same bytes.
//!
//! Only images have the second form; `docs/decisions/0014-root-form.md` says why it is taken where it can be had. Not
//! here: how an image comes to be on this computer.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::wish::RootWish;
use crate::image::initramfs::DISK_ROOT_MODULES;
use crate::image::kernel::Kernel;
use crate::image::{DiskFormError, disk_metadata};
use crate::share::ShareTree;
use crate::virtio::block::{DiskContent, DiskSegment, DiskSpec};

/// Serial number of the disk of the root.
pub(super) const ROOT_SERIAL: &str = "root";

/// A root and its form.
#[derive(Debug)]
pub(super) enum Root {
    /// A share.
    Share(ShareTree),
    /// A disk, and modules that a machine needs for it.
    Disk(DiskSpec),
}

impl Root {
    /// Modules that are needed for it besides those of every machine.
    pub(super) fn modules(&self) -> &'static [&'static str] {
        match self {
            Self::Share(_) => &[],
            Self::Disk(_) => &DISK_ROOT_MODULES,
        }
    }
}

/// Why an image has not the form that was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum RootError {
    /// The kernel cannot mount it.
    #[error("kernel `{version}` has no erofs or no virtio disks, and `SMOLVM_ROOT_FORM` asks for `erofs`")]
    Kernel {
        /// Its version.
        version: String,
    },
    /// The image has none.
    #[error("the root cannot be a disk, and `SMOLVM_ROOT_FORM` asks for `erofs`")]
    Form(#[source] DiskFormError),
    /// A file of the image is gone.
    #[error("cannot open `{path}`")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Gives a tree its form. What cannot be a disk is a share, unless a disk is asked for.
pub(super) fn choose(tree: ShareTree, wanted: RootWish, kernel: &Kernel, cache: &Path) -> Result<Root, RootError> {
    let (ShareTree::Image { tree: file, packs }, RootWish::Auto | RootWish::Erofs) = (&tree, wanted) else {
        return Ok(Root::Share(tree));
    };
    let is_forced = wanted == RootWish::Erofs;
    if !kernel.has(&DISK_ROOT_MODULES, cache) {
        return match is_forced {
            true => Err(RootError::Kernel { version: kernel.version.clone() }),
            false => Ok(Root::Share(tree)),
        };
    }
    match disk_of(file, packs) {
        Ok(disk) => Ok(Root::Disk(disk)),
        Err(RootError::Form(_)) if !is_forced => Ok(Root::Share(tree)),
        Err(error) => Err(error),
    }
}

fn disk_of(tree: &Path, packs: &[PathBuf]) -> Result<DiskSpec, RootError> {
    let mut opened = Vec::with_capacity(packs.len());
    for path in packs {
        let open = File::open(path).and_then(|file| file.metadata().map(|facts| (file, facts.len())));
        opened.push(open.map_err(|source| RootError::Open { path: path.clone(), source })?);
    }
    let lengths: Vec<u64> = opened.iter().map(|(_, length)| *length).collect();
    let metadata = disk_metadata(tree, &lengths).map_err(RootError::Form)?;
    let first = DiskSegment { file: metadata.file.into(), length: metadata.length };
    let rest = opened.into_iter().map(|(file, length)| DiskSegment { file: file.into(), length });
    let content = DiskContent::Fixed(std::iter::once(first).chain(rest).collect());
    Ok(DiskSpec { serial: ROOT_SERIAL.to_owned(), content })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::rootfs::{Attributes, Inode, InodeKind, RootTree};

    /// A kernel with or without what a disk needs, a tree with one pack, and the folder of them.
    fn stage(builtin: &str) -> (tempfile::TempDir, Kernel, ShareTree) {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("modules.builtin"), builtin).unwrap();
        let inode = Inode {
            kind: InodeKind::Folder { parent: 0, entries: Vec::new() },
            attributes: Attributes::default(),
            links: 2,
        };
        fs::write(path("tree"), RootTree { inodes: vec![inode], packs: 1 }.encode()).unwrap();
        fs::write(path("pack"), [1; 8192]).unwrap();
        let kernel = Kernel {
            version: "9.9".to_owned(),
            boot_file: path("vmlinux"),
            modules: Some(folder.path().to_owned()),
            origin: String::new(),
        };
        let tree = ShareTree::Image { tree: path("tree"), packs: vec![path("pack")] };
        (folder, kernel, tree)
    }

    const BOTH: &str = "kernel/virtio_blk.ko\nkernel/erofs.ko\n";

    fn is_share(root: &Root) -> bool {
        matches!(root, Root::Share(_))
    }

    #[test]
    fn an_image_is_a_disk_where_the_kernel_can_mount_it() {
        let (folder, kernel, tree) = stage(BOTH);
        let Root::Disk(disk) = choose(tree.clone(), RootWish::Erofs, &kernel, folder.path()).unwrap() else { panic!() };
        let DiskContent::Fixed(segments) = disk.content else { panic!() };
        let lengths: Vec<u64> = segments.iter().map(|segment| segment.length).collect();
        assert_eq!((disk.serial.as_str(), lengths), ("root", vec![4096, 8192]));
        assert!(is_share(&choose(tree, RootWish::Virtiofs, &kernel, folder.path()).unwrap()));
        assert!(is_share(&choose(ShareTree::HostRoot, RootWish::Erofs, &kernel, folder.path()).unwrap()));
    }

    #[test]
    fn a_kernel_without_it_gets_a_share_unless_a_disk_is_asked_for() {
        let (folder, kernel, tree) = stage("kernel/erofs.ko\n");
        assert!(is_share(&choose(tree.clone(), RootWish::Auto, &kernel, folder.path()).unwrap()));
        let error = choose(tree, RootWish::Erofs, &kernel, folder.path()).unwrap_err().to_string();
        let expected = "kernel `9.9` has no erofs or no virtio disks, and `SMOLVM_ROOT_FORM` asks for `erofs`";
        assert_eq!(error, expected);
    }

    #[test]
    fn a_pack_that_is_gone_is_named() {
        let (folder, kernel, tree) = stage(BOTH);
        fs::remove_file(folder.path().join("pack")).unwrap();
        let error = choose(tree, RootWish::Erofs, &kernel, folder.path()).unwrap_err();
        assert!(matches!(error, RootError::Open { path, .. } if path.ends_with("pack")));
    }
}
