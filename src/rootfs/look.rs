//! What is where in a tree. Not here: bytes of files, which lie in packs.

use super::{Inode, InodeKind, Name, RootTree};

/// Number of the root's inode.
pub const ROOT: u32 = 0;

/// Links that one path may lead through, as many as Linux allows.
const MAX_LINKS: u32 = 40;
/// Names that one path may lead over, those of links included.
const MAX_NAMES: usize = 10_000;

/// Whether a link at the end of a path is meant itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// What a link leads to is meant.
    All,
    /// A link at the end is meant itself; those on the way are followed.
    Parents,
}

/// Why a path leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LookError {
    /// A name on the way is not there.
    #[error("there is no such file")]
    Missing,
    /// A name on the way is a file, and more names follow.
    #[error("a part of the path is no folder")]
    NotAFolder,
    /// Links lead in a circle, or too far.
    #[error("the path leads through too many links")]
    Links,
}

impl RootTree {
    /// An inode by its number.
    pub fn inode(&self, number: u32) -> Option<&Inode> {
        self.inodes.get(usize::try_from(number).ok()?)
    }

    /// What a folder holds, sorted by name; nothing where it is no folder.
    pub fn entries(&self, folder: u32) -> &[(Name, u32)] {
        match self.inode(folder).map(|inode| &inode.kind) {
            Some(InodeKind::Folder { entries, .. }) => entries,
            _ => &[],
        }
    }

    /// What has a name in a folder.
    pub fn child(&self, folder: u32, name: &[u8]) -> Option<u32> {
        let entries = self.entries(folder);
        let place = entries.binary_search_by(|(other, _)| other.as_slice().cmp(name)).ok()?;
        entries.get(place).map(|(_, number)| *number)
    }

    /// Where a symbolic link leads, as it is written.
    pub fn read_link(&self, number: u32) -> Option<&[u8]> {
        match &self.inode(number)?.kind {
            InodeKind::Link { target } => Some(target),
            _ => None,
        }
    }

    /// The inode at a path, from the root on whether it begins with a slash or not. Links are followed as in a machine
    /// whose root this is: never out of it.
    pub fn lookup(&self, path: &[u8], follow: Follow) -> Result<u32, LookError> {
        let mut here = ROOT;
        let mut links = 0;
        // Names that are still to go, the next one last.
        let mut ahead: Vec<&[u8]> = Vec::new();
        push_names(&mut ahead, path);
        while let Some(name) = ahead.pop() {
            let inode = self.inode(here).ok_or(LookError::Missing)?;
            let InodeKind::Folder { parent, .. } = &inode.kind else { return Err(LookError::NotAFolder) };
            here = match name {
                b"." => here,
                b".." => *parent,
                name => {
                    let child = self.child(here, name).ok_or(LookError::Missing)?;
                    match self.read_link(child) {
                        Some(target) if !ahead.is_empty() || follow == Follow::All => {
                            links += 1;
                            if links > MAX_LINKS || ahead.len() + target.len() / 2 > MAX_NAMES {
                                return Err(LookError::Links);
                            }
                            push_names(&mut ahead, target);
                            if target.starts_with(b"/") { ROOT } else { here }
                        }
                        _ => child,
                    }
                }
            };
        }
        Ok(here)
    }

    /// Every name of the tree with its path, folders before what they hold, names of a folder in order. Paths have no
    /// leading slash; the root's is empty.
    pub fn walk(&self) -> Walk<'_> {
        Walk { tree: self, ahead: vec![(0, b"", ROOT)], path: Vec::new() }
    }
}

/// Puts the names of a path on top, the first one uppermost. A path that ends with a slash must lead to a folder.
fn push_names<'a>(ahead: &mut Vec<&'a [u8]>, path: &'a [u8]) {
    if path.ends_with(b"/") {
        ahead.push(b".");
    }
    ahead.extend(path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).rev());
}

/// What [`RootTree::walk`] gives: path and number of the inode.
#[derive(Debug)]
pub struct Walk<'a> {
    tree: &'a RootTree,
    /// Length of the folder's path, name and inode, the next one last.
    ahead: Vec<(usize, &'a [u8], u32)>,
    path: Vec<u8>,
}

impl Iterator for Walk<'_> {
    type Item = (Vec<u8>, u32);

    fn next(&mut self) -> Option<Self::Item> {
        let (folder, name, number) = self.ahead.pop()?;
        self.path.truncate(folder);
        if folder > 0 {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name);
        let length = self.path.len();
        let entries = self.tree.entries(number).iter().rev();
        self.ahead.extend(entries.map(|(name, number)| (length, name.as_slice(), *number)));
        Some((self.path.clone(), number))
    }
}
