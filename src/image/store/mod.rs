//! The store of images, `images/` below the user's cache: what it holds, and how it stays whole.
//!
//! ```text
//! oci-layout  index.json      an OCI layout (image-spec, `image-layout.md`): names and platforms → manifests
//! blobs/sha256/HEX            manifests, configs, packed layers: verified, never changed
//! partial/                    what is being made: blobs (resumable), layers, files that get their name when they are whole
//! layers/HEX/{pack,index}     a layer unpacked, by its digest without compression
//! roots/HEX  roots/HEX.layers the tree of an image, and the layers that it is made of
//! lock                        shared by who adds, exclusive for who removes
//! ```
//!
//! - **All or nothing.** What has its final name is whole: it was written in `partial/`, synced, renamed, and the folder synced.
//!   A process that is killed leaves nothing but something in `partial/`, which the next one goes on with or clears.
//! - **Once.** Who makes something holds a lock of its name (`flock`); who wants the same waits, and takes what was made.
//! - **Nobody loses what they use.** [`Store::share`] is held while something is added and looked up; a [`Lease`] on a tree as
//!   long as a machine runs from it. What removes holds the store alone, and passes over what is leased with its layers.
//! - **Nothing is believed for ever.** At each use sizes are compared, and small files by digest; [`Store::verify`] reads all.
//!
//! Deliberately not here: registries, archives, what an image is made from what (`images`).

mod blobs;
mod error;
mod files;
mod layers;
mod locks;
mod names;
mod prune;
mod roots;
mod usage;
mod verify;

pub use blobs::{Begun, PartialBlob};
pub use error::StoreError;
pub use files::Store;
pub use layers::{LayerBegun, LayerWork};
pub use locks::{Lease, Shared};
pub use names::ImageEntry;
pub(in crate::image) use prune::Keep;
pub use roots::{LeasedRoot, RootBegun, RootKey, RootWork};
pub(in crate::image) use usage::Item;
pub use usage::Part;
pub use verify::Damage;
