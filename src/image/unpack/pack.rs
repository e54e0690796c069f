//! A pack while it is written: the bytes of files one after another, each run of them from a multiple of 4096 on. Not here:
//! what the runs are of.

use std::fs::File;
use std::io::Write;

use sha2::{Digest, Sha256};

use crate::rootfs::{BLOCK, PackFacts};

use super::UnpackError;

/// Bytes that are written together.
const BUFFER: usize = 1 << 20;

/// Extents as an index has them: offset in the file, length, offset in the pack.
type Extents = Vec<(u64, u64, u64)>;

/// A pack, of which the end is written.
pub(super) struct Pack<'a> {
    file: &'a mut File,
    buffer: Vec<u8>,
    hash: Sha256,
    length: u64,
    limit: u64,
}

impl<'a> Pack<'a> {
    /// An empty pack that may become so long.
    pub(super) fn new(file: &'a mut File, limit: u64) -> Self {
        Self { file, buffer: Vec::with_capacity(BUFFER), hash: Sha256::new(), length: 0, limit }
    }

    /// Where the next byte goes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Writes bytes.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), UnpackError> {
        self.length = self.length.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if self.length > self.limit {
            return Err(UnpackError::Limit { limit: self.limit, of: "bytes of files" });
        }
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BUFFER - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            if self.buffer.len() == BUFFER {
                self.flush()?;
            }
            bytes = later;
        }
        Ok(())
    }

    fn zeros(&mut self, mut length: u64) -> Result<(), UnpackError> {
        const ZEROS: [u8; 4096] = [0; 4096];
        while length > 0 {
            let piece = usize::try_from(length).unwrap_or(usize::MAX).min(ZEROS.len());
            self.write(&ZEROS[..piece])?;
            length -= u64::try_from(piece).unwrap_or(length);
        }
        Ok(())
    }

    /// Fills the block that is begun.
    pub(super) fn align(&mut self) -> Result<(), UnpackError> {
        self.zeros(self.length.next_multiple_of(BLOCK) - self.length)
    }

    /// Makes ready for bytes of a file that belong at an offset: they go on where the file's last run ends or nearly so, or
    /// begin a new one.
    pub(super) fn begin(&mut self, extents: &mut Extents, offset: u64, length: u64) -> Result<(), UnpackError> {
        let block = offset - offset % BLOCK;
        if let Some((start, before, _)) = extents.last_mut() {
            let end = *start + *before;
            if block <= end.next_multiple_of(BLOCK) {
                self.zeros(offset - end)?;
                *before = offset + length - *start;
                return Ok(());
            }
        }
        self.align()?;
        extents.push((block, offset + length - block, self.length()));
        self.zeros(offset - block)
    }

    fn flush(&mut self) -> Result<(), UnpackError> {
        self.hash.update(&self.buffer);
        self.file.write_all(&self.buffer).map_err(UnpackError::Write)?;
        self.buffer.clear();
        Ok(())
    }

    /// Writes what is left.
    pub(super) fn finish(mut self) -> Result<PackFacts, UnpackError> {
        self.flush()?;
        Ok(PackFacts { length: self.length, digest: self.hash.finalize().into() })
    }
}
