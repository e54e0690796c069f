//! The tree as others read it: inodes numbered folder by folder from the root on, the contents of a folder together. Not
//! here: which nodes there are.

use super::super::tree::{Attributes, Extent, Inode, InodeKind, RootTree};
use super::nodes::{Folder, Node, Nodes, ROOT, What};

/// Numbers what can be reached.
pub(super) fn finish(nodes: &Nodes<'_>, packs: usize) -> RootTree {
    let mut numbers = Numbers { order: vec![ROOT], of_node: vec![None; nodes.count()], names: vec![0] };
    numbers.of_node[ROOT] = Some(0);
    let mut inodes = Vec::new();
    let mut place = 0;
    while let Some(node) = numbers.order.get(place).copied() {
        inodes.push(inode(nodes, node, &mut numbers));
        place += 1;
    }
    for (inode, names) in inodes.iter_mut().zip(numbers.names) {
        inode.links += names;
    }
    RootTree { inodes, packs: u32::try_from(packs).unwrap_or(u32::MAX) }
}

/// Who has which number.
struct Numbers {
    order: Vec<usize>,
    of_node: Vec<Option<u32>>,
    /// Names of each, by number; a folder's are counted otherwise.
    names: Vec<u32>,
}

impl Numbers {
    fn of(&mut self, node: usize, is_folder: bool) -> u32 {
        let next = self.order.len();
        let number = *self.of_node[node].get_or_insert_with(|| {
            self.order.push(node);
            self.names.push(0);
            u32::try_from(next).expect("nodes are no more than numbers")
        });
        if let Some(names) = usize::try_from(number).ok().and_then(|place| self.names.get_mut(place)) {
            *names += u32::from(!is_folder);
        }
        number
    }
}

fn inode(nodes: &Nodes<'_>, number: usize, numbers: &mut Numbers) -> Inode {
    let Node { what, attributes } = nodes.node(number);
    let mut links = 0;
    let kind = match what {
        What::Folder(folder) => {
            let kind = entries(nodes, folder, numbers);
            let folders = folder.entries.values().filter(|slot| nodes.is_folder(slot.node)).count();
            links = u32::try_from(folders + 2).unwrap_or(u32::MAX);
            kind
        }
        What::File { size, extents, pack } => {
            let extent = |&(file_offset, length, pack_offset): &(u64, u64, u64)| Extent {
                file_offset,
                length,
                pack: *pack,
                pack_offset,
            };
            InodeKind::File { size: *size, extents: extents.iter().map(extent).collect() }
        }
        What::Link { target } => InodeKind::Link { target: target.to_vec() },
        What::CharDevice { number } => InodeKind::CharDevice { number: *number },
        What::BlockDevice { number } => InodeKind::BlockDevice { number: *number },
        What::Fifo => InodeKind::Fifo,
    };
    let undeclared = || Attributes { mode: 0o755, ..Attributes::default() };
    Inode { kind, attributes: attributes.cloned().unwrap_or_else(undeclared), links }
}

fn entries(nodes: &Nodes<'_>, folder: &Folder<'_>, numbers: &mut Numbers) -> InodeKind {
    let parent = numbers.of_node[folder.parent].expect("a folder is numbered before what is in it");
    let entries = folder.entries.iter();
    let entries = entries.map(|(name, slot)| (name.to_vec(), numbers.of(slot.node, nodes.is_folder(slot.node))));
    InodeKind::Folder { parent, entries: entries.collect() }
}
