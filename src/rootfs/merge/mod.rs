//! Layers, the lowest first, become one tree, with the meaning that OCI's image layers have (image-spec `layer.md`).
//!
//! Where the specification leaves something open, it is done as containerd does it: a parent that is a symbolic link leads
//! on within the image, parents that nobody declares are folders of root (0755), a later entry of a layer replaces an
//! earlier one. Whiteouts and opaque folders hide what *lower* layers put there and nothing else, whatever their place
//! between the entries of their own layer. Hard links share an inode across layers, as if all had been unpacked to one
//! disk. Not here: reading archives (`image::unpack`).

mod apply;
mod error;
mod finish;
mod nodes;
mod resolve;
#[cfg(test)]
mod tests;

use super::layer::LayerIndex;
use super::tree::RootTree;
pub use error::{MergeCause, MergeError};
use nodes::Nodes;

/// The tree that layers make together, the lowest first.
///
/// The cost is n log n in all entries, and links that lead far cannot make it more: they have a budget.
pub fn merge(layers: &[LayerIndex]) -> Result<RootTree, MergeError> {
    let entries = layers.iter().map(|layer| layer.entries.len()).sum();
    let mut nodes = Nodes::new(entries);
    for (number, layer) in layers.iter().enumerate() {
        nodes.begin_layer();
        for entry in &layer.entries {
            apply::apply(&mut nodes, entry).map_err(|cause| MergeError {
                layer: number + 1,
                path: error::shown(&entry.path),
                cause,
            })?;
        }
    }
    Ok(finish::finish(&nodes, layers.len()))
}
