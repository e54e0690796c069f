//! `mounts` of several files: a mount takes the place of those of earlier files that have its target.
//!
//! Two of one file with one target are left as they are: a rule tells of them (0101). So are those that only links of
//! the guest make one, since its image is not known here.

use std::collections::HashMap;

use super::interpolate::{Variables, interpolate};
use super::model::GuestPath;
use super::tree::{Content, NodeId, Tree};

/// Joins the lists of the files in the order in which they count.
pub(super) fn merge_mounts(tree: &Tree, variables: &dyn Variables, lists: Vec<Vec<NodeId>>) -> Vec<NodeId> {
    let mut joined: Vec<Option<NodeId>> = Vec::new();
    let mut known: HashMap<GuestPath, Vec<usize>> = HashMap::new();
    for list in lists {
        let mut own: Vec<(GuestPath, usize)> = Vec::new();
        for item in list {
            let Some(target) = target(tree, item, variables) else {
                joined.push(Some(item));
                continue;
            };
            // In the place of the first one, so that a file keeps the order in which it names its mounts.
            let earlier = known.remove(&target).unwrap_or_default();
            earlier.iter().for_each(|index| joined[*index] = None);
            let index = earlier.first().copied().unwrap_or(joined.len());
            if index == joined.len() {
                joined.push(None);
            }
            joined[index] = Some(item);
            own.push((target, index));
        }
        for (target, index) in own {
            known.entry(target).or_default().push(index);
        }
    }
    joined.into_iter().flatten().collect()
}

/// The mount point of an entry in either form; none where it cannot be read, or is not known yet.
fn target(tree: &Tree, item: NodeId, variables: &dyn Variables) -> Option<GuestPath> {
    let text = |id: NodeId| match &tree.node(tree.resolve(id).0).content {
        // What is known per machine of a matrix only is the same where it is written the same.
        Content::Scalar(scalar) => {
            Some(interpolate(&scalar.text, variables).ok()?.unwrap_or_else(|| scalar.text.clone()))
        }
        _ => None,
    };
    match &tree.node(tree.resolve(item).0).content {
        Content::Map(map) => {
            let entry = map.entries.iter().find(|entry| entry.key == "target")?;
            GuestPath::parse(&text(entry.value)?)
        }
        Content::Scalar(_) => GuestPath::parse(text(item)?.split(':').nth(1)?),
        _ => None,
    }
}
