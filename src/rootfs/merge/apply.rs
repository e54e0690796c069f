//! One entry of a layer, applied to what is there. Not here: in which order.

use super::super::layer::{LayerEntry, LayerNode};
use super::super::tree::Name;
use super::error::{self, MergeCause};
use super::nodes::{self, Nodes, What};

/// Does what an entry says.
pub(super) fn apply<'a>(nodes: &mut Nodes<'a>, entry: &'a LayerEntry) -> Result<(), MergeCause> {
    let what = match &entry.node {
        LayerNode::Whiteout => return hide(nodes, &entry.path),
        LayerNode::Opaque => {
            let folder = nodes.make_folders(&entry.path)?;
            nodes.hide_lower(folder);
            return Ok(());
        }
        LayerNode::HardLink { target } => return link(nodes, &entry.path, target),
        LayerNode::Folder => return folder(nodes, entry),
        LayerNode::File { size, extents } => What::File { size: *size, extents, pack: nodes.pack() },
        LayerNode::Link { target } => What::Link { target },
        LayerNode::CharDevice { number } => What::CharDevice { number: *number },
        LayerNode::BlockDevice { number } => What::BlockDevice { number: *number },
        LayerNode::Fifo => What::Fifo,
    };
    let (name, parents) = entry.path.split_last().ok_or(MergeCause::Root)?;
    let parent = nodes.make_folders(parents)?;
    let node = nodes.add(what, Some(&entry.attributes))?;
    nodes.put(parent, name, node);
    Ok(())
}

/// A whiteout: what lower layers have under the path is gone.
fn hide<'a>(nodes: &mut Nodes<'a>, path: &'a [Name]) -> Result<(), MergeCause> {
    let (name, parents) = path.split_last().ok_or(MergeCause::Root)?;
    if let Some(parent) = nodes.find_folder(parents)? {
        nodes.hide_lower_name(parent, name);
    }
    Ok(())
}

/// A folder: over another folder it only changes what that one is like.
fn folder<'a>(nodes: &mut Nodes<'a>, entry: &'a LayerEntry) -> Result<(), MergeCause> {
    let Some((name, parents)) = entry.path.split_last() else {
        nodes.declare(nodes::ROOT, &entry.attributes);
        return Ok(());
    };
    let parent = nodes.make_folders(parents)?;
    match nodes.child(parent, name) {
        Some(there) if nodes.is_folder(there) => {
            nodes.declare(there, &entry.attributes);
            nodes.claim(parent, name);
        }
        _ => {
            let made = nodes.add_folder(parent, Some(&entry.attributes))?;
            nodes.put(parent, name, made);
        }
    }
    Ok(())
}

/// A hard link: one more name of an inode that is there, a symbolic link's too.
fn link<'a>(nodes: &mut Nodes<'a>, path: &'a [Name], target: &'a [Name]) -> Result<(), MergeCause> {
    let missing = || MergeCause::LinkToNothing { target: error::shown(target) };
    let (target_name, target_parents) =
        target.split_last().ok_or(MergeCause::LinkToFolder { target: "/".to_owned() })?;
    let folder = nodes.find_folder(target_parents)?.ok_or_else(missing)?;
    let node = nodes.child(folder, target_name).ok_or_else(missing)?;
    if nodes.is_folder(node) {
        return Err(MergeCause::LinkToFolder { target: error::shown(target) });
    }
    let (name, parents) = path.split_last().ok_or(MergeCause::Root)?;
    let parent = nodes.make_folders(parents)?;
    if nodes.child(parent, name) == Some(node) {
        nodes.claim(parent, name);
        return Ok(());
    }
    nodes.put(parent, name, node);
    Ok(())
}
