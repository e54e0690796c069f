//! Kernels and modules come compressed: gzip, xz, zstd, or lz4 in its legacy form, told apart by their first bytes.
//!
//! Output goes to a writer in pieces and stops at a limit, so that no input makes us hold or write more than that.

use std::io::{self, Read, Write};

/// Most memory that the xz decoder may take: the largest dictionary of its presets, with room.
const XZ_MEMORY: u64 = 256 << 20;
/// Largest window of a zstd stream, as a power of two: what kernels are made with (`--ultra -22`).
const ZSTD_WINDOW_LOG: u32 = 27;
/// Size of an uncompressed block of the legacy lz4 form; only the last one is smaller.
const LZ4_BLOCK: usize = 8 << 20;
const LZ4_MAGIC: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];

/// How some bytes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    Xz,
    Zstd,
    Lz4,
}

impl Compression {
    /// All of them, with the bytes that they begin with.
    const MAGICS: [(&'static [u8], Compression); 4] = [
        (&[0x1f, 0x8b, 0x08], Compression::Gzip),
        (&[0xfd, b'7', b'z', b'X', b'Z', 0x00], Compression::Xz),
        (&[0x28, 0xb5, 0x2f, 0xfd], Compression::Zstd),
        (&LZ4_MAGIC, Compression::Lz4),
    ];

    /// What these bytes begin with.
    pub(crate) fn of(bytes: &[u8]) -> Option<Compression> {
        Self::MAGICS.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, kind)| *kind)
    }

    /// Every place where a compressed stream may begin.
    pub(crate) fn scan(bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
        (0..bytes.len()).filter(|at| Self::of(&bytes[*at..]).is_some())
    }
}

/// Decompresses the one stream at the start of `bytes`; what follows it is left alone. Returns the size written.
pub(crate) fn decompress(bytes: &[u8], limit: u64, out: &mut dyn Write) -> io::Result<u64> {
    match Compression::of(bytes) {
        Some(Compression::Gzip) => copy(flate2::bufread::GzDecoder::new(bytes), limit, out),
        Some(Compression::Xz) => {
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, 0).map_err(io::Error::other)?;
            copy(liblzma::bufread::XzDecoder::new_stream(bytes, stream), limit, out)
        }
        Some(Compression::Zstd) => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes)?.single_frame();
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            copy(decoder, limit, out)
        }
        Some(Compression::Lz4) => lz4_legacy(&bytes[LZ4_MAGIC.len()..], limit, out),
        None => Err(io::Error::new(io::ErrorKind::InvalidData, "not compressed in a way that is known here")),
    }
}

fn copy(decoder: impl Read, limit: u64, out: &mut dyn Write) -> io::Result<u64> {
    let written = io::copy(&mut decoder.take(limit.saturating_add(1)), out)?;
    if written > limit { Err(too_large(limit)) } else { Ok(written) }
}

/// Blocks, each after its length; the end is the end of the input or a length that cannot be one.
fn lz4_legacy(mut bytes: &[u8], limit: u64, out: &mut dyn Write) -> io::Result<u64> {
    let mut block = vec![0; LZ4_BLOCK];
    let mut written = 0_u64;
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        let Some((packed, rest)) = (length > 0).then(|| rest.split_at_checked(length)).flatten() else { break };
        let size = lz4_flex::block::decompress_into(packed, &mut block).map_err(io::Error::other)?;
        written += size as u64;
        if written > limit {
            return Err(too_large(limit));
        }
        out.write_all(&block[..size])?;
        bytes = rest;
        if size < LZ4_BLOCK {
            break;
        }
    }
    Ok(written)
}

fn too_large(limit: u64) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("more than {limit} bytes when decompressed"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// `bytes` in each of the four forms.
    pub(crate) fn forms(bytes: &[u8]) -> Vec<(Compression, Vec<u8>)> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(bytes).unwrap();
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(bytes).unwrap();
        let mut lz4 = LZ4_MAGIC.to_vec();
        for block in bytes.chunks(LZ4_BLOCK) {
            let packed = lz4_flex::block::compress(block);
            lz4.extend(u32::try_from(packed.len()).unwrap().to_le_bytes());
            lz4.extend(packed);
        }
        vec![
            (Compression::Gzip, gzip.finish().unwrap()),
            (Compression::Xz, xz.finish().unwrap()),
            (Compression::Zstd, zstd::encode_all(bytes, 1).unwrap()),
            (Compression::Lz4, lz4),
        ]
    }

    #[test]
    fn each_form_gives_back_what_went_in_whatever_follows_it() {
        let bytes: Vec<u8> = (0..9_000_000_u32).map(|i| u8::try_from(i / 7 % 251).unwrap()).collect();
        for (kind, mut packed) in forms(&bytes) {
            assert_eq!(Compression::of(&packed), Some(kind));
            packed.extend(9_000_000_u32.to_le_bytes());
            let mut out = Vec::new();
            assert_eq!(decompress(&packed, 1 << 30, &mut out).unwrap(), 9_000_000, "{kind:?}");
            assert!(out == bytes, "{kind:?}");
        }
    }

    #[test]
    fn output_beyond_the_limit_is_an_error() {
        for (kind, packed) in forms(&[7; 100_000]) {
            let mut out = Vec::new();
            decompress(&packed, 99_999, &mut out).unwrap_err();
            assert!(out.len() <= 100_000, "{kind:?}");
            decompress(&packed, 100_000, &mut Vec::new()).unwrap();
        }
    }

    #[test]
    fn unknown_bytes_are_an_error() {
        decompress(b"plain text", 100, &mut Vec::new()).unwrap_err();
        decompress(b"", 100, &mut Vec::new()).unwrap_err();
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
        #[test]
        fn damaged_input_never_panics(at in 0..200_usize, with in 0..=255_u8) {
            for (_, mut packed) in forms(b"some text that is long enough, long enough, long enough to be packed") {
                let at = at % packed.len();
                packed[at] = with;
                let _ = decompress(&packed, 1 << 20, &mut Vec::new());
                let _ = decompress(&packed[..at], 1 << 20, &mut Vec::new());
            }
        }
    }
}
