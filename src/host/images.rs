//! Images that were brought here, as the rules see them: the tree as data, bytes of small files from the packs.
//!
//! Where an image is, someone else knows ([`FindImage`]): a trait, so that nothing here needs a store. Deliberately not
//! here: anything that fetches.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::config::model::Image;
use crate::config::{FolderContents, ImageNode, ImageRoot};
use crate::rootfs::{Extent, Inode, InodeKind, RootTree};

/// More bytes than the tree of any image that people make.
const TREE_MAX_BYTES: u64 = 512 << 20;
/// So many names of a folder are given.
const NAMES_MAX: usize = 1000;

/// Who knows which images are here.
pub trait FindImage: fmt::Debug + Send + Sync {
    /// An image that is here and ready, without asking anybody; `lock` is the digest that the lock file gives.
    fn find(&self, image: &Image, lock: Option<&str>) -> Option<StoredImage>;
}

/// Where the parts of an image are.
pub struct StoredImage {
    /// The file of its tree.
    pub tree: PathBuf,
    /// The packs that the tree refers to, that of the lowest layer first.
    pub packs: Vec<PathBuf>,
    /// Their lengths in bytes.
    pub pack_lengths: Vec<u64>,
    /// What keeps all that in its place.
    pub lease: Box<dyn Any + Send + Sync>,
}

impl fmt::Debug for StoredImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredImage").field("tree", &self.tree).finish_non_exhaustive()
    }
}

/// An image and the digest that it is locked to, and its root where it is here.
type Found = HashMap<(Image, Option<String>), Option<Arc<TreeRoot>>>;

/// Images that were asked for, each found and read once.
#[derive(Debug)]
pub(super) struct KnownImages {
    finder: Arc<dyn FindImage>,
    found: Mutex<Found>,
}

impl KnownImages {
    pub(super) fn new(finder: Arc<dyn FindImage>) -> Self {
        Self { finder, found: Mutex::default() }
    }

    /// The root of an image, where it is here.
    pub(super) fn root(&self, image: &Image, lock: Option<&str>) -> Option<Arc<dyn ImageRoot>> {
        let key = (image.clone(), lock.map(str::to_owned));
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let root = found.entry(key).or_insert_with(|| {
            let stored = self.finder.find(image, lock)?;
            Some(Arc::new(TreeRoot { stored, tree: OnceLock::new() }))
        });
        root.clone().map(|root| root as Arc<dyn ImageRoot>)
    }
}

/// The root of an image. Its tree is read when it is first asked; one that cannot be read has nothing.
#[derive(Debug)]
struct TreeRoot {
    stored: StoredImage,
    tree: OnceLock<Option<RootTree>>,
}

impl TreeRoot {
    fn tree(&self) -> Option<&RootTree> {
        let read = || {
            let length = std::fs::metadata(&self.stored.tree).ok()?.len();
            let bytes = if length <= TREE_MAX_BYTES { std::fs::read(&self.stored.tree).ok()? } else { return None };
            RootTree::decode(&bytes, &self.stored.pack_lengths).ok()
        };
        self.tree.get_or_init(read).as_ref()
    }

    /// What is at a path, no link followed.
    fn inode(&self, path: &str) -> Option<(u32, &Inode)> {
        let tree = self.tree()?;
        let mut here = crate::rootfs::ROOT;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            here = tree.child(here, name.as_bytes())?;
        }
        Some((here, tree.inode(here)?))
    }

    fn bytes(&self, size: u64, extents: &[Extent]) -> Option<Vec<u8>> {
        let mut content = vec![0; usize::try_from(size).ok()?];
        for extent in extents {
            let start = usize::try_from(extent.file_offset).ok()?;
            let end = start.checked_add(usize::try_from(extent.length).ok()?)?;
            let pack = self.stored.packs.get(usize::try_from(extent.pack).ok()?)?;
            File::open(pack).ok()?.read_exact_at(content.get_mut(start..end)?, extent.pack_offset).ok()?;
        }
        Some(content)
    }
}

impl ImageRoot for TreeRoot {
    fn at(&self, path: &str) -> Option<ImageNode> {
        Some(match &self.inode(path)?.1.kind {
            InodeKind::Folder { .. } => ImageNode::Folder,
            InodeKind::File { .. } => ImageNode::File,
            InodeKind::Link { target } => String::from_utf8(target.clone()).map_or(ImageNode::Other, ImageNode::Link),
            InodeKind::CharDevice { .. } | InodeKind::BlockDevice { .. } | InodeKind::Fifo => ImageNode::Other,
        })
    }

    /// The shallow folders come first, as with folders of this computer: what is counted before the limit is what one
    /// sees first.
    fn contents(&self, path: &str, limit: usize) -> Option<FolderContents> {
        let tree = self.tree()?;
        let (folder, inode) = self.inode(path)?;
        if !matches!(inode.kind, InodeKind::Folder { .. }) {
            return None;
        }
        let is_folder =
            |number: u32| tree.inode(number).is_some_and(|one| matches!(one.kind, InodeKind::Folder { .. }));
        let mut found = FolderContents::default();
        let mut waiting = VecDeque::new();
        for (name, number) in tree.entries(folder) {
            if found.looked_at >= NAMES_MAX {
                found.is_more = true;
                break;
            }
            found.looked_at += 1;
            found.entries += 1;
            found.names.push(String::from_utf8_lossy(name).into_owned());
            if is_folder(*number) { waiting.push_back(*number) } else { found.files += 1 }
        }
        while let Some(folder) = waiting.pop_front() {
            for (_, number) in tree.entries(folder) {
                if found.looked_at >= limit {
                    found.is_more = true;
                    return Some(found);
                }
                found.looked_at += 1;
                if is_folder(*number) { waiting.push_back(*number) } else { found.files += 1 }
            }
        }
        Some(found)
    }

    fn read(&self, path: &str, limit: usize) -> Option<Vec<u8>> {
        match &self.inode(path)?.1.kind {
            InodeKind::File { size, extents } if *size <= limit as u64 => self.bytes(*size, extents),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::{Attributes, LayerEntry, LayerIndex, LayerNode, merge};

    /// An image with `/etc/passwd`, `/opt/app` with two files, and the link `/data`.
    #[derive(Debug)]
    struct One(PathBuf);

    fn entry(path: &str, node: LayerNode) -> LayerEntry {
        let path = path.split('/').filter(|name| !name.is_empty()).map(|name| name.as_bytes().to_vec()).collect();
        LayerEntry { path, node, attributes: Attributes { mode: 0o755, ..Attributes::default() } }
    }

    impl One {
        fn make(folder: &std::path::Path) -> Self {
            let file = |size, extents| LayerNode::File { size, extents };
            let entries = vec![
                entry("etc", LayerNode::Folder),
                entry("etc/passwd", file(6, vec![(0, 6, 0)])),
                entry("opt", LayerNode::Folder),
                entry("opt/app", LayerNode::Folder),
                entry("opt/app/one", file(5000, Vec::new())),
                entry("opt/app/two", file(0, Vec::new())),
                entry("data", LayerNode::Link { target: b"opt/app".to_vec() }),
                entry("null", LayerNode::CharDevice { number: (1, 3) }),
            ];
            let tree = merge(&[LayerIndex { entries }]).unwrap();
            std::fs::write(folder.join("tree"), tree.encode()).unwrap();
            let mut pack = b"root:x".to_vec();
            pack.resize(4096, 0);
            std::fs::write(folder.join("pack"), pack).unwrap();
            Self(folder.to_path_buf())
        }
    }

    impl FindImage for One {
        fn find(&self, image: &Image, lock: Option<&str>) -> Option<StoredImage> {
            let is_it = *image == Image::Oci(PathBuf::from("/image")) && lock.is_none();
            let stored = StoredImage {
                tree: self.0.join("tree"),
                packs: vec![self.0.join("pack")],
                pack_lengths: vec![4096],
                lease: Box::new(()),
            };
            is_it.then_some(stored)
        }
    }

    #[test]
    fn an_image_is_seen_as_its_tree_says_and_its_files_are_read_from_packs() {
        let folder = tempfile::tempdir().unwrap();
        let known = KnownImages::new(Arc::new(One::make(folder.path())));
        let image = Image::Oci(PathBuf::from("/image"));
        let root = known.root(&image, None).unwrap();
        assert_eq!(root.at("/"), Some(ImageNode::Folder));
        assert_eq!(root.at("/data"), Some(ImageNode::Link("opt/app".to_owned())));
        assert_eq!(root.at("/null"), Some(ImageNode::Other));
        assert_eq!([root.at("/none"), root.at("/data/one"), root.at("/etc/passwd/x")], [None, None, None]);
        assert_eq!(root.read("/etc/passwd", 10).as_deref(), Some(&b"root:x"[..]));
        assert_eq!(root.read("/opt/app/one", 5000).map(|bytes| bytes.len()), Some(5000));
        assert_eq!([root.read("/etc/passwd", 5), root.read("/opt", 10)], [None, None]);
        let found = root.contents("/opt", 10).unwrap();
        assert_eq!((found.names, found.entries, found.files, found.is_more), (vec!["app".to_owned()], 1, 2, false));
        assert!(root.contents("/opt", 2).unwrap().is_more);
        assert!(root.contents("/etc/passwd", 10).is_none());
        assert!(known.root(&image, Some("sha256:ab")).is_none());
    }

    #[test]
    fn a_tree_that_cannot_be_read_has_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let one = One::make(folder.path());
        std::fs::write(folder.path().join("tree"), "damaged").unwrap();
        let root = KnownImages::new(Arc::new(one)).root(&Image::Oci(PathBuf::from("/image")), None).unwrap();
        assert_eq!((root.at("/"), root.read("/etc/passwd", 10)), (None, None));
    }
}
