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

mod decompress;
mod error;
mod layer;
mod limits;
mod pack;
mod path;
mod source;
mod stop;
mod tar;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::sync::mpsc::{channel, sync_channel};
use std::thread;

use crate::rootfs::{LayerIndex, PackFacts};

use super::Digest;
pub use error::{EntryFault, UnpackError};
pub use limits::Limits;

/// Chunks that wait for being read.
const AHEAD: usize = 4;

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
/// [`UnpackError::Left`]. It is looked at when bytes come: a stream that may wait for long must end by itself.
pub fn unpack(
    reader: impl Read + Send,
    pack: &mut File,
    limits: &Limits,
    progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<Unpacked, UnpackError> {
    let meter = decompress::Meter::default();
    thread::scope(|scope| {
        let (chunks, received) = sync_channel(AHEAD);
        let (give_back, empty) = channel();
        let other = &meter;
        scope.spawn(move || decompress::decompress(reader, other, &chunks, &empty));
        let source = source::Source::new(received, give_back, &meter, progress, limits);
        let (index, diff_id, pack) =
            layer::Layer::new(source, pack::Pack::new(pack, limits.pack_length), limits).read()?;
        Ok(Unpacked { index, diff_id: Digest::from_sha256(&diff_id), pack })
    })
}
