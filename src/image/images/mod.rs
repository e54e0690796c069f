//! Images, brought from wherever they are and made ready for machines: the one door to `registry`, `source`, `unpack`, `store`.
//!
//! ```text
//! name ─► manifest, config ─► blobs of layers ─► packs and indexes ─► tree ─► ReadyImage
//!         (known | resolve | import)  fetch, some at a time, each unpacked as it comes
//! ```
//!
//! Whoever else wants the same at the same time, in this process or another, waits where one is at work, and takes what it
//! made. What turns out to be damaged is removed and made anew. Deliberately not here: each of these steps, and who waits
//! for them in words.

mod bring;
mod fetch;
mod known;
mod layers;
mod list;
mod prune;
mod ready;

pub use bring::Images;
pub(in crate::image) use known::Known;
pub use list::{ListedImage, PartUse, StoreUse};
pub use prune::{PruneRequest, Pruned};
