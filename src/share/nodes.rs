//! Which file of the tree each of the guest's node ids means.
//!
//! A guest remembers as many files as its memory holds, a process may have far fewer descriptors open. So a node is its
//! place, the name in a parent node, and the key by which the file is known again. Descriptors are a cache of bounded
//! size, but for files that have no name any more, which only their descriptor still reaches.
//!
//! ```text
//! lookup ─► named, closed ◄─evict, open─► named, open ─unlink─► nameless, open ─last forget─► gone
//! ```
//!
//! No system call is made here.

use std::collections::{HashMap, VecDeque};
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use virtiofsd::filesystem::ROOT_ID;

use super::rules::errno;

/// More files than a guest of sane size remembers; each takes some two hundred bytes here.
const NODES_MAX: usize = 4_000_000;

/// What tells a file from all others as long as it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FileKey {
    pub(super) device: u64,
    pub(super) inode: u64,
    /// The mount through which it is seen: a folder that is mounted twice is two folders to the guest.
    pub(super) mount: u64,
    /// When it was made, in nanoseconds, where the file system tells: numbers of inodes are given out again.
    pub(super) birth: i128,
}

/// How to reach a node's file.
#[derive(Debug)]
pub(super) enum Reach {
    /// By a descriptor opened with `O_PATH`.
    Open(Arc<OwnedFd>),
    /// By a name in a folder; the key tells whether it is still that file.
    Named { folder: u64, name: Arc<CStr>, key: FileKey },
}

#[derive(Debug)]
struct Node {
    key: FileKey,
    /// The type bits of its mode.
    kind: u32,
    /// Look-ups that the guest has not forgotten.
    references: u64,
    /// Nodes whose place is in this one.
    children: u64,
    place: Option<(u64, Arc<CStr>)>,
    fd: Option<Arc<OwnedFd>>,
    /// Used since the cache last looked at it.
    is_recent: bool,
}

/// All nodes of a share.
#[derive(Debug)]
pub(super) struct Nodes {
    by_id: HashMap<u64, Node>,
    by_key: HashMap<FileKey, u64>,
    next_id: u64,
    /// Named nodes with a descriptor, the next to be closed first. May hold ids that are gone or nameless.
    open: VecDeque<u64>,
    open_max: usize,
    /// Nameless nodes with a descriptor, but for the root.
    nameless: usize,
}

impl Nodes {
    /// The root alone. At most `open_max` descriptors are cached, and as many nameless files kept.
    pub(super) fn new(root: Arc<OwnedFd>, key: FileKey, open_max: usize) -> Self {
        let node = Node {
            key,
            kind: libc::S_IFDIR,
            references: 1,
            children: 0,
            place: None,
            fd: Some(root),
            is_recent: false,
        };
        Self {
            by_id: HashMap::from([(ROOT_ID, node)]),
            by_key: HashMap::from([(key, ROOT_ID)]),
            next_id: ROOT_ID + 1,
            open: VecDeque::new(),
            open_max,
            nameless: 0,
        }
    }

    /// Counts one look-up of the file at this place, and returns its id.
    pub(super) fn remember(&mut self, folder: u64, name: &CStr, key: FileKey, kind: u32) -> io::Result<u64> {
        if let Some(&id) = self.by_key.get(&key) {
            let node = self.by_id.get_mut(&id).ok_or_else(|| errno(libc::EBADF))?;
            node.references = node.references.saturating_add(1);
            if id != ROOT_ID {
                self.place(id, folder, name);
            }
            return Ok(id);
        }
        if self.by_id.len() >= NODES_MAX {
            return Err(errno(libc::ENFILE));
        }
        let parent = self.by_id.get_mut(&folder).ok_or_else(|| errno(libc::EBADF))?;
        parent.children += 1;
        let id = self.next_id;
        self.next_id += 1;
        let place = Some((folder, Arc::from(CString::from(name))));
        let node = Node { key, kind, references: 1, children: 0, place, fd: None, is_recent: false };
        self.by_id.insert(id, node);
        self.by_key.insert(key, id);
        Ok(id)
    }

    /// Takes back look-ups. The root is never forgotten, a folder not before what is in it.
    pub(super) fn forget(&mut self, id: u64, count: u64) {
        if id == ROOT_ID {
            return;
        }
        if let Some(node) = self.by_id.get_mut(&id) {
            node.references = node.references.saturating_sub(count);
            self.drop_if_unused(id);
        }
    }

    fn drop_if_unused(&mut self, id: u64) {
        let mut id = id;
        while id != ROOT_ID && self.by_id.get(&id).is_some_and(|node| node.references == 0 && node.children == 0) {
            let Some(node) = self.by_id.remove(&id) else { return };
            if self.by_key.get(&node.key) == Some(&id) {
                self.by_key.remove(&node.key);
            }
            let Some((folder, _)) = node.place else {
                self.nameless -= usize::from(node.fd.is_some());
                return;
            };
            let Some(parent) = self.by_id.get_mut(&folder) else { return };
            parent.children = parent.children.saturating_sub(1);
            id = folder;
        }
    }

    /// How to reach a node.
    pub(super) fn reach(&mut self, id: u64) -> io::Result<Reach> {
        let node = self.by_id.get_mut(&id).ok_or_else(|| errno(libc::EBADF))?;
        if let Some(fd) = &node.fd {
            node.is_recent = true;
            return Ok(Reach::Open(Arc::clone(fd)));
        }
        let (folder, name) = node.place.as_ref().ok_or_else(|| errno(libc::ESTALE))?;
        Ok(Reach::Named { folder: *folder, name: Arc::clone(name), key: node.key })
    }

    /// The type bits of a node's mode.
    pub(super) fn kind(&self, id: u64) -> io::Result<u32> {
        self.by_id.get(&id).map(|node| node.kind).ok_or_else(|| errno(libc::EBADF))
    }

    /// What tells the file of a node from others.
    pub(super) fn key(&self, id: u64) -> Option<FileKey> {
        self.by_id.get(&id).map(|node| node.key)
    }

    /// The node of a file, where the guest knows it.
    pub(super) fn find(&self, key: FileKey) -> Option<u64> {
        self.by_key.get(&key).copied()
    }

    /// Of each device that the guest knows a file or folder of, the node of one.
    pub(super) fn one_of_each_device(&self) -> Vec<u64> {
        let can_open = |node: &Node| matches!(node.kind, libc::S_IFREG | libc::S_IFDIR);
        let known = self.by_id.iter().filter(|(_, node)| can_open(node)).map(|(id, node)| (node.key.device, *id));
        let mut of_device: HashMap<u64, u64> = known.collect();
        if let Some(root) = self.by_id.get(&ROOT_ID) {
            of_device.insert(root.key.device, ROOT_ID);
        }
        of_device.into_values().collect()
    }

    /// Keeps a descriptor for a named node, closing those that were not used for long.
    pub(super) fn keep_open(&mut self, id: u64, fd: &Arc<OwnedFd>) {
        match self.by_id.get_mut(&id) {
            Some(node) if node.fd.is_none() && node.place.is_some() => node.fd = Some(Arc::clone(fd)),
            _ => return,
        }
        self.open.push_back(id);
        while self.open.len() > self.open_max {
            let Some(oldest) = self.open.pop_front() else { return };
            match self.by_id.get_mut(&oldest) {
                Some(node) if node.place.is_some() && node.is_recent => {
                    node.is_recent = false;
                    self.open.push_back(oldest);
                }
                Some(node) if node.place.is_some() => node.fd = None,
                _ => {}
            }
        }
    }

    /// Moves a node to another place.
    pub(super) fn place(&mut self, id: u64, folder: u64, name: &CStr) {
        if folder == id || !self.by_id.contains_key(&folder) {
            return;
        }
        let Some(node) = self.by_id.get_mut(&id) else { return };
        if node.place.as_ref().is_some_and(|(old, old_name)| *old == folder && **old_name == *name) {
            return;
        }
        let was_nameless = node.place.is_none();
        let old = node.place.replace((folder, Arc::from(CString::from(name))));
        if was_nameless && node.fd.is_some() {
            self.nameless -= 1;
            self.open.push_back(id);
        }
        if let Some(parent) = self.by_id.get_mut(&folder) {
            parent.children += 1;
        }
        self.leave(old);
    }

    /// Takes its name from a node that was at this place, and keeps its descriptor for as long as the guest knows it.
    pub(super) fn unname(&mut self, id: u64, folder: u64, name: &CStr, fd: Option<Arc<OwnedFd>>) {
        let Some(node) = self.by_id.get_mut(&id) else { return };
        if !node.place.as_ref().is_some_and(|(old, old_name)| *old == folder && **old_name == *name) {
            return;
        }
        let old = node.place.take();
        // Past the limit the guest loses the file, not the server its descriptors.
        node.fd = fd.filter(|_| self.nameless < self.open_max);
        self.nameless += usize::from(node.fd.is_some());
        if node.fd.is_none() && self.by_key.get(&node.key) == Some(&id) {
            self.by_key.remove(&node.key);
        }
        self.leave(old);
    }

    fn leave(&mut self, place: Option<(u64, Arc<CStr>)>) {
        if let Some((folder, _)) = place
            && let Some(parent) = self.by_id.get_mut(&folder)
        {
            parent.children = parent.children.saturating_sub(1);
            self.drop_if_unused(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn fd() -> Arc<OwnedFd> {
        Arc::new(File::open("/").unwrap().into())
    }

    fn key(inode: u64) -> FileKey {
        FileKey { device: 1, inode, mount: 1, birth: 0 }
    }

    fn nodes(open_max: usize) -> Nodes {
        Nodes::new(fd(), key(2), open_max)
    }

    fn is_open(nodes: &mut Nodes, id: u64) -> bool {
        let is_open = matches!(nodes.reach(id).unwrap(), Reach::Open(_));
        if let Some(node) = nodes.by_id.get_mut(&id) {
            node.is_recent = false;
        }
        is_open
    }

    #[test]
    fn a_file_has_one_node_until_it_is_forgotten_as_often_as_it_was_looked_up() {
        let mut nodes = nodes(8);
        let first = nodes.remember(ROOT_ID, c"a", key(10), libc::S_IFREG).unwrap();
        assert_eq!(nodes.remember(ROOT_ID, c"hard link", key(10), libc::S_IFREG).unwrap(), first);
        nodes.forget(first, 1);
        assert_eq!(nodes.find(key(10)), Some(first));
        nodes.forget(first, 1);
        assert_eq!(nodes.find(key(10)), None);
        assert_eq!(nodes.reach(first).unwrap_err().raw_os_error(), Some(libc::EBADF));
    }

    #[test]
    fn folder_stays_while_something_in_it_is_known() {
        let mut nodes = nodes(8);
        let folder = nodes.remember(ROOT_ID, c"d", key(10), libc::S_IFDIR).unwrap();
        let file = nodes.remember(folder, c"f", key(11), libc::S_IFREG).unwrap();
        nodes.forget(folder, 1);
        assert!(nodes.reach(folder).is_ok());
        nodes.forget(file, u64::MAX);
        assert_eq!(nodes.by_id.len(), 1);
        nodes.forget(ROOT_ID, u64::MAX);
        assert!(nodes.reach(ROOT_ID).is_ok());
    }

    #[test]
    fn descriptors_are_closed_oldest_first_and_used_ones_later() {
        let mut nodes = nodes(2);
        let ids: Vec<u64> =
            (0..3).map(|n| nodes.remember(ROOT_ID, c"x", key(10 + n), libc::S_IFDIR).unwrap()).collect();
        nodes.keep_open(ids[0], &fd());
        nodes.keep_open(ids[1], &fd());
        nodes.reach(ids[0]).unwrap();
        nodes.keep_open(ids[2], &fd());
        assert!(is_open(&mut nodes, ids[0]) && !is_open(&mut nodes, ids[1]) && is_open(&mut nodes, ids[2]));
    }

    #[test]
    fn unlinked_file_keeps_its_descriptor_within_the_limit() {
        let mut nodes = nodes(1);
        let kept = nodes.remember(ROOT_ID, c"a", key(10), libc::S_IFREG).unwrap();
        let lost = nodes.remember(ROOT_ID, c"b", key(11), libc::S_IFREG).unwrap();
        nodes.unname(kept, ROOT_ID, c"a", Some(fd()));
        nodes.unname(lost, ROOT_ID, c"b", Some(fd()));
        assert!(is_open(&mut nodes, kept));
        assert_eq!(nodes.reach(lost).unwrap_err().raw_os_error(), Some(libc::ESTALE));
        assert_ne!(nodes.remember(ROOT_ID, c"c", key(11), libc::S_IFREG).unwrap(), lost, "its inode is free again");
        nodes.forget(kept, 1);
        assert_eq!(nodes.nameless, 0);
    }

    #[test]
    fn other_name_of_an_unlinked_file_is_not_lost() {
        let mut nodes = nodes(8);
        let id = nodes.remember(ROOT_ID, c"a", key(10), libc::S_IFREG).unwrap();
        nodes.remember(ROOT_ID, c"b", key(10), libc::S_IFREG).unwrap();
        nodes.unname(id, ROOT_ID, c"a", Some(fd()));
        assert!(matches!(nodes.reach(id).unwrap(), Reach::Named { name, .. } if &*name == c"b"));
    }

    #[test]
    fn moved_folder_is_reached_by_its_new_place() {
        let mut nodes = nodes(8);
        let from = nodes.remember(ROOT_ID, c"from", key(10), libc::S_IFDIR).unwrap();
        let to = nodes.remember(ROOT_ID, c"to", key(11), libc::S_IFDIR).unwrap();
        let file = nodes.remember(from, c"f", key(12), libc::S_IFREG).unwrap();
        nodes.place(file, to, c"g");
        assert!(matches!(nodes.reach(file).unwrap(), Reach::Named { folder, .. } if folder == to));
        nodes.forget(from, 1);
        assert_eq!(nodes.find(key(10)), None);
    }
}
