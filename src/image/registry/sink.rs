//! Where fetched bytes go: what a store gives to a registry. Not here: a store.

use std::fmt;
use std::io;

use crate::image::Digest;
use crate::image::manifest::Descriptor;

/// A store, as the one who fetches sees it. It is asked on several threads at once.
pub trait BlobPlaces: Sync {
    /// The place of a blob, when its turn has come.
    ///
    /// # Errors
    /// Where no place can be had; then all fetching ends.
    fn open(&self, blob: &Descriptor) -> io::Result<Place<'_>>;
}

/// What a store has for a blob.
pub enum Place<'a> {
    /// The blob itself, whole.
    Here,
    /// Another writer at work: asked again soon.
    Busy,
    /// A place to write it.
    Open(Box<dyn BlobSink + 'a>),
}

impl fmt::Debug for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Here => "Here",
            Self::Busy => "Busy",
            Self::Open(_) => "Open",
        })
    }
}

/// A blob being written. Dropped before it is committed it keeps what it has, to be gone on with.
pub trait BlobSink: Send {
    /// Bytes that are here, from the first on; never more than the blob has.
    fn offset(&self) -> u64;

    /// Adds bytes.
    ///
    /// # Errors
    /// Where they cannot be written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Throws away what is here.
    ///
    /// # Errors
    /// Where that cannot be done.
    fn restart(&mut self) -> io::Result<()>;

    /// Ends it: all bytes are here. Where they have another digest than they should they are thrown away.
    ///
    /// # Errors
    /// Where the blob cannot be kept.
    fn commit(&mut self) -> io::Result<Commit>;
}

/// What came of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Commit {
    /// It is kept.
    Kept,
    /// It was another one, of this digest.
    Wrong(Digest),
}

/// Someone who waits for a fetch. Is called on the thread that fetches, every 50 ms or so.
pub trait FetchWatch {
    /// Is told in words what takes long: a registry that is tried again.
    fn tell(&mut self, words: &str);

    /// Is told how many bytes of a blob are here; fewer than before where it begins anew.
    fn fetched(&mut self, blob: &Descriptor, done: u64);

    /// Is told that a blob is here, whole and verified.
    fn finished(&mut self, blob: &Descriptor);

    /// Whether the result is no longer wanted.
    fn has_left(&self) -> bool;
}

/// Waits in silence.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl FetchWatch for Silent {
    fn tell(&mut self, _: &str) {}
    fn fetched(&mut self, _: &Descriptor, _: u64) {}
    fn finished(&mut self, _: &Descriptor) {}
    fn has_left(&self) -> bool {
        false
    }
}
