//! The thread that decompresses: a stream of whatever compression in, chunks of the archive out.
//!
//! What the compression is, the first bytes say; media types of registries lie at times. Not here: what is in the archive.

use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};

use super::UnpackError;

/// Bytes of a chunk: large enough that threads seldom meet, small enough for the cache of a CPU.
pub(super) const CHUNK: usize = 256 * 1024;
/// Bytes of the compressed stream that are read together.
const READ: usize = 128 * 1024;
/// What compressed streams that no layer is begin with.
const FOREIGN: [(&[u8], &str); 4] =
    [(b"\xfd7zXZ\0", "xz"), (b"BZh", "bzip2"), (b"\x04\x22\x4d\x18", "lz4"), (b"LZIP", "lzip")];

/// What both threads know of the compressed stream.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// Bytes that were read of it.
    pub(super) read: AtomicU64,
    /// Reading it failed, and what the decoder says is only what came of that.
    failed: AtomicBool,
}

/// Sends the archive's chunks until it ends, something fails, or nobody takes them. Chunks that were taken come back empty to
/// be filled again.
pub(super) fn decompress(
    reader: impl Read,
    meter: &Meter,
    chunks: &SyncSender<Result<Vec<u8>, UnpackError>>,
    empty: &Receiver<Vec<u8>>,
) {
    let mut decoder = match open(reader, meter) {
        Ok(decoder) => decoder,
        Err(error) => return drop(chunks.send(Err(error))),
    };
    loop {
        let mut chunk = empty.try_recv().unwrap_or_default();
        chunk.resize(CHUNK, 0);
        match fill(&mut decoder, &mut chunk) {
            Ok(0) => return,
            Ok(length) => chunk.truncate(length),
            Err(error) => return drop(chunks.send(Err(told(meter, error)))),
        }
        if chunks.send(Ok(chunk)).is_err() {
            return;
        }
    }
}

fn told(meter: &Meter, error: io::Error) -> UnpackError {
    if meter.failed.load(Ordering::Relaxed) { UnpackError::Read(error) } else { UnpackError::Decompress(error) }
}

/// Reads until a chunk is full or the archive ends.
fn fill(decoder: &mut impl Read, chunk: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = chunk.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match decoder.read(rest) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

type Whole<'a, R> = BufReader<Chain<Cursor<Vec<u8>>, Counted<'a, R>>>;

/// A decoder for each compression.
enum Decoder<'a, R: Read> {
    Plain(Whole<'a, R>),
    Gzip(Box<flate2::bufread::MultiGzDecoder<Whole<'a, R>>>),
    Zstd(zstd::stream::read::Decoder<'static, Whole<'a, R>>),
}

impl<R: Read> Read for Decoder<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Gzip(stream) => stream.read(buffer),
            Self::Zstd(stream) => stream.read(buffer),
        }
    }
}

fn open<R: Read>(reader: R, meter: &Meter) -> Result<Decoder<'_, R>, UnpackError> {
    let mut counted = Counted { reader, meter };
    let mut first = Vec::new();
    counted.by_ref().take(6).read_to_end(&mut first).map_err(UnpackError::Read)?;
    if let Some((_, name)) = FOREIGN.iter().find(|(magic, _)| first.starts_with(magic)) {
        return Err(UnpackError::Compression(name));
    }
    let is_gzip = first.starts_with(b"\x1f\x8b");
    // A frame with bytes, or one to be passed over (RFC 8878, 3.1.2).
    let is_zstd = first.starts_with(b"\x28\xb5\x2f\xfd")
        || matches!(first.as_slice(), [low, 0x2a, 0x4d, 0x18, ..] if low & 0xf0 == 0x50);
    let mut whole = BufReader::with_capacity(READ, Cursor::new(first).chain(counted));
    if is_gzip {
        return Ok(Decoder::Gzip(Box::new(flate2::bufread::MultiGzDecoder::new(whole))));
    }
    if is_zstd {
        let decoder = zstd::stream::read::Decoder::with_buffer(whole).map_err(UnpackError::Decompress)?;
        return Ok(Decoder::Zstd(decoder));
    }
    whole.fill_buf().map_err(UnpackError::Read)?;
    Ok(Decoder::Plain(whole))
}

/// Counts, and knows whose an error is.
struct Counted<'a, R> {
    reader: R,
    meter: &'a Meter,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = self.reader.read(buffer);
        match &result {
            Ok(read) => {
                let read = u64::try_from(*read).unwrap_or(u64::MAX);
                self.meter.read.fetch_add(read, Ordering::Relaxed);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.meter.failed.store(true, Ordering::Relaxed),
        }
        result
    }
}
