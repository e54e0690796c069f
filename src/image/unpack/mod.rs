//! A layer's archive becomes a pack (the bytes of its files) and a [`LayerIndex`] (all else).
//!
//! ```text
//! compressed stream ─thread: decompress─► chunks ─► digest of the layer
//!                                           └─► tar: headers ─► LayerIndex
//!                                                    bytes  ─► blocks of 4096 ─► pack, its digest
//! ```
//!
//! Nothing of the archive becomes a file of this computer but the pack, so no name, link or device in it can do harm
//! here. All that an archive claims is limited ([`Limits`]). Not here: where the stream comes from and where the pack
//! goes (`store`), what layers mean together (`rootfs`).

mod error;
mod limits;

use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;

use crate::rootfs::{LayerIndex, PackFacts};

use super::Digest;
pub use error::{EntryFault, UnpackError};
pub use limits::Limits;

/// A layer that has been read to its end.
#[derive(Debug)]
pub struct Unpacked {
    /// What the archive says.
    pub index: LayerIndex,
    /// The digest of the archive without compression: what an image's config calls the layer. The caller compares.
    pub diff_id: Digest,
    /// Length and digest of the pack.
    pub pack: PackFacts,
}

/// Reads a layer, whatever its compression, and writes its pack to an empty file. The file is not synced.
///
/// `progress` is told now and then how many bytes of the stream (compressed) are behind; where it breaks, the work ends with
/// [`UnpackError::Left`].
pub fn unpack(
    reader: impl Read + Send,
    pack: &mut File,
    limits: &Limits,
    progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<Unpacked, UnpackError> {
    let _ = (reader, pack, limits, progress);
    Err(UnpackError::NotYet)
}
