//! What every layer index and every tree must fulfil, whoever wrote it. Readers of a checked tree may rely on all of it.
//! Not here: whether it is what an archive says.

use super::layer::{LayerIndex, LayerNode};
use super::tree::{Attributes, Extent, InodeKind, Name, RootTree};

/// Blocks of packs.
pub const BLOCK: u64 = 4096;
/// Longest name in a folder.
pub const MAX_NAME: usize = 255;
/// Longest path and longest target of a link, as Linux takes them.
pub const MAX_PATH: usize = 4095;
/// All names and values of the extended attributes of an inode.
pub const MAX_XATTRS: usize = 65_536;
/// Longest file: what file systems of guests take.
pub const MAX_FILE: u64 = 1 << 44;

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// An entry of a layer.
    #[error("entry {entry}: {what}")]
    Entry {
        /// Its place, from 0.
        entry: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// An inode of a tree.
    #[error("inode {inode}: {what}")]
    Inode {
        /// Its number.
        inode: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// The whole.
    #[error("{0}")]
    Whole(&'static str),
}

/// Whether a name may stand in a folder.
pub fn is_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME
        && name != b"."
        && name != b".."
        && !name.iter().any(|byte| *byte == 0 || *byte == b'/')
}

/// Whether bytes can be the target of a symbolic link.
pub fn is_target(target: &[u8]) -> bool {
    !target.is_empty() && target.len() <= MAX_PATH && !target.contains(&0)
}

/// Whether a device number is one that Linux can have.
pub fn is_device((major, minor): (u32, u32)) -> bool {
    major < 1 << 12 && minor < 1 << 20
}

fn is_path(path: &[Name]) -> bool {
    path.iter().all(|name| is_name(name)) && path.iter().map(|name| name.len() + 1).sum::<usize>() <= MAX_PATH + 1
}

fn check_attributes(attributes: &Attributes) -> Result<(), &'static str> {
    let xattrs = &attributes.xattrs;
    if attributes.mode > 0o7777 {
        Err("its mode has more than 12 bits")
    } else if attributes.modified.1 >= 1_000_000_000 {
        Err("its time has a second or more of nanoseconds")
    } else if !xattrs.is_sorted_by(|one, two| one.0 < two.0) {
        Err("its extended attributes are not sorted")
    } else if xattrs.iter().any(|(name, _)| name.is_empty() || name.len() > MAX_NAME || name.contains(&0)) {
        Err("an extended attribute has a wrong name")
    } else if xattrs.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > MAX_XATTRS {
        Err("its extended attributes are too long")
    } else {
        Ok(())
    }
}

fn check_extents(size: u64, extents: impl Iterator<Item = Extent>, pack_lengths: &[u64]) -> Result<(), &'static str> {
    if size > MAX_FILE {
        return Err("it is too long");
    }
    let mut free = 0;
    for extent in extents {
        let pack = usize::try_from(extent.pack).ok().and_then(|pack| pack_lengths.get(pack));
        let pack = *pack.ok_or("an extent names a pack that is not there")?;
        if extent.length == 0 || extent.file_offset % BLOCK != 0 || extent.pack_offset % BLOCK != 0 {
            return Err("an extent is empty or begins within a block");
        }
        if extent.file_offset < free {
            return Err("its extents overlap or are not in order");
        }
        let end = extent.file_offset.checked_add(extent.length).filter(|end| *end <= size);
        free = end.ok_or("an extent ends after the file")?;
        // The last block is whole in the pack.
        let pack_end =
            extent.pack_offset.checked_add(extent.length).and_then(|end| end.checked_next_multiple_of(BLOCK));
        if pack_end.is_none_or(|end| end > pack) {
            return Err("an extent ends after its pack");
        }
    }
    Ok(())
}

/// Checks a layer against the length of its pack.
pub(super) fn check_layer(index: &LayerIndex, pack_length: u64) -> Result<(), Fault> {
    for (entry, found) in index.entries.iter().enumerate() {
        let fault = |what| Fault::Entry { entry, what };
        if !is_path(&found.path) {
            return Err(fault("its path is none"));
        }
        check_attributes(&found.attributes).map_err(fault)?;
        match &found.node {
            LayerNode::File { size, extents } => {
                let extents = extents.iter().map(|&(file_offset, length, pack_offset)| Extent {
                    file_offset,
                    length,
                    pack: 0,
                    pack_offset,
                });
                check_extents(*size, extents, &[pack_length]).map_err(fault)?;
            }
            LayerNode::Link { target } if !is_target(target) => return Err(fault("its target is none")),
            LayerNode::HardLink { target } if !is_path(target) => return Err(fault("its target is none")),
            LayerNode::CharDevice { number } | LayerNode::BlockDevice { number } if !is_device(*number) => {
                return Err(fault("its device number is none"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Checks a tree against the lengths of its packs.
pub(super) fn check_tree(tree: &RootTree, pack_lengths: &[u64]) -> Result<(), Fault> {
    if usize::try_from(tree.packs) != Ok(pack_lengths.len()) {
        return Err(Fault::Whole("it is made for another number of packs"));
    }
    if !matches!(tree.inodes.first(), Some(root) if matches!(root.kind, InodeKind::Folder { parent: 0, .. })) {
        return Err(Fault::Whole("its root is no folder"));
    }
    let links = count_links(tree)?;
    for (inode, (found, links)) in tree.inodes.iter().zip(links).enumerate() {
        let fault = |what| Fault::Inode { inode, what };
        check_attributes(&found.attributes).map_err(fault)?;
        if found.links != links || links == 0 {
            return Err(fault("it has another number of names than it says"));
        }
        match &found.kind {
            InodeKind::File { size, extents } => {
                check_extents(*size, extents.iter().copied(), pack_lengths).map_err(fault)?;
            }
            InodeKind::Link { target } if !is_target(target) => return Err(fault("its target is none")),
            InodeKind::CharDevice { number } | InodeKind::BlockDevice { number } if !is_device(*number) => {
                return Err(fault("its device number is none"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Counts names, while it looks that every folder but the root lies in exactly one other, which it knows, and that the way up
/// from each leads to the root.
fn count_links(tree: &RootTree) -> Result<Vec<u32>, Fault> {
    let mut links = vec![0_u32; tree.inodes.len()];
    let mut is_reached = vec![false; tree.inodes.len()];
    let mut ahead = vec![0_u32];
    links[0] = 2;
    is_reached[0] = true;
    while let Some(folder) = ahead.pop() {
        let here = index(folder);
        let fault = |what| Fault::Inode { inode: here, what };
        let entries = tree.entries(folder);
        if !entries.is_sorted_by(|one, two| one.0 < two.0) {
            return Err(fault("its entries are not sorted"));
        }
        for (name, number) in entries {
            let child = tree.inode(*number).ok_or_else(|| fault("an entry names an inode that is not there"))?;
            let place = index(*number);
            if !is_name(name) {
                return Err(fault("an entry's name is none"));
            }
            if let InodeKind::Folder { parent, .. } = &child.kind {
                if is_reached[place] || *parent != folder {
                    return Err(fault("a folder in it lies in another one too"));
                }
                is_reached[place] = true;
                links[place] = 2;
                links[here] = links[here].checked_add(1).ok_or_else(|| fault("it holds too many folders"))?;
                ahead.push(*number);
            } else {
                links[place] = links[place].checked_add(1).ok_or_else(|| fault("it has too many names"))?;
            }
        }
    }
    Ok(links)
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
