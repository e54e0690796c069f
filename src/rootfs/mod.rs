//! The form of an unpacked image: what its layers say, the tree that they make together, where the bytes lie.
//!
//! ```text
//! layer (tar) ─► pack (the files' bytes) + LayerIndex        one each a layer, shared by all images that have it
//!                        LayerIndex, LayerIndex, … ─merge─► RootTree          one an image
//! ```
//!
//! Owners, modes, devices and attributes are data here, never those of a file of this computer: whoever runs smolvm, the
//! guest sees what the image says, and nothing of an image can name a file of the host. Pure: no input or output. Not
//! here: where packs come from (`image`), who serves them to a guest (`share`, `virtio`).

mod check;
pub mod erofs;
mod form;
mod layer;
mod look;
mod merge;
mod tree;

pub use check::{BLOCK, Fault, MAX_FILE, MAX_NAME, MAX_PATH, MAX_XATTRS, is_device, is_name, is_target};
pub use form::{FORMAT_VERSION, FormError, PackFacts, is_whole_tree};
pub use layer::{LayerEntry, LayerIndex, LayerNode};
pub use look::{Follow, LookError, ROOT, Walk};
pub use merge::{MergeCause, MergeError, merge};
pub use tree::{Attributes, Extent, Inode, InodeKind, Name, RootTree};
