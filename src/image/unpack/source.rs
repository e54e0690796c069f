//! The archive as a stream of blocks: chunks come from the thread that decompresses, are hashed, counted and handed on. Not
//! here: what the bytes mean.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender};

use sha2::{Digest, Sha256};

use super::decompress::Meter;
use super::stop::Stop;
use super::{Limits, UnpackError};

/// Blocks of archives.
pub(super) const BLOCK: usize = 512;

/// Where the archive comes from.
pub(super) struct Source<'a> {
    pub(super) chunks: Receiver<Result<Vec<u8>, UnpackError>>,
    pub(super) empty: Sender<Vec<u8>>,
    pub(super) meter: &'a Meter,
    pub(super) progress: &'a mut dyn FnMut(u64) -> ControlFlow<()>,
    pub(super) limits: &'a Limits,
    chunk: Vec<u8>,
    at: usize,
    length: u64,
    hash: Sha256,
    /// What was read too early and is still to come.
    back: Vec<u8>,
}

impl<'a> Source<'a> {
    pub(super) fn new(
        chunks: Receiver<Result<Vec<u8>, UnpackError>>,
        empty: Sender<Vec<u8>>,
        meter: &'a Meter,
        progress: &'a mut dyn FnMut(u64) -> ControlFlow<()>,
        limits: &'a Limits,
    ) -> Self {
        let (chunk, hash) = (Vec::new(), Sha256::new());
        Self { chunks, empty, meter, progress, limits, chunk, at: 0, length: 0, hash, back: Vec::new() }
    }

    /// What comes next, at least a byte; nothing where the stream ends. [`Source::pass`] goes on.
    pub(super) fn look(&mut self) -> Result<&[u8], Stop> {
        if !self.back.is_empty() {
            return Ok(&self.back);
        }
        if self.at == self.chunk.len() {
            // Where nobody decompresses any more, nothing is refilled.
            let _ = self.empty.send(std::mem::take(&mut self.chunk));
            self.at = 0;
            if let Ok(chunk) = self.chunks.recv() {
                self.take(chunk?)?;
            }
        }
        Ok(&self.chunk[self.at..])
    }

    fn take(&mut self, chunk: Vec<u8>) -> Result<(), UnpackError> {
        self.length = self.length.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        if self.length > self.limits.archive_length {
            return Err(UnpackError::Limit { limit: self.limits.archive_length, of: "bytes without compression" });
        }
        if (self.progress)(self.meter.read.load(Ordering::Relaxed)).is_break() {
            return Err(UnpackError::Left);
        }
        self.hash.update(&chunk);
        self.chunk = chunk;
        Ok(())
    }

    /// Goes on after bytes that were looked at.
    pub(super) fn pass(&mut self, length: usize) {
        if !self.back.is_empty() {
            drop(self.back.drain(..length.min(self.back.len())));
            return;
        }
        self.at = self.chunk.len().min(self.at.saturating_add(length));
    }

    /// The next block; nothing where the stream ends before its first byte.
    pub(super) fn block(&mut self) -> Result<Option<[u8; BLOCK]>, Stop> {
        if self.look()?.is_empty() {
            return Ok(None);
        }
        let mut block = [0; BLOCK];
        self.fill(&mut block)?;
        Ok(Some(block))
    }

    /// The block is the next one again.
    pub(super) fn push_back(&mut self, block: [u8; BLOCK]) {
        self.back = block.to_vec();
    }

    /// Fills a buffer to its end.
    fn fill(&mut self, mut buffer: &mut [u8]) -> Result<(), Stop> {
        while !buffer.is_empty() {
            let next = self.look()?;
            if next.is_empty() {
                return Err(Stop::End);
            }
            let length = next.len().min(buffer.len());
            let (now, later) = buffer.split_at_mut(length);
            now.copy_from_slice(&next[..length]);
            self.pass(length);
            buffer = later;
        }
        Ok(())
    }

    /// All blocks that a text of some length fills, the text of it.
    pub(super) fn text(&mut self, length: usize) -> Result<Vec<u8>, Stop> {
        let mut text = vec![0; length.next_multiple_of(BLOCK)];
        self.fill(&mut text)?;
        text.truncate(length);
        Ok(text)
    }

    /// Hands bytes on, a piece at a time.
    pub(super) fn copy(
        &mut self,
        mut length: u64,
        mut to: impl FnMut(&[u8]) -> Result<(), UnpackError>,
    ) -> Result<(), Stop> {
        while length > 0 {
            let next = self.look()?;
            if next.is_empty() {
                return Err(Stop::End);
            }
            let piece = next.len().min(usize::try_from(length).unwrap_or(usize::MAX));
            to(&next[..piece])?;
            self.pass(piece);
            length -= u64::try_from(piece).unwrap_or(length);
        }
        Ok(())
    }

    /// Passes over bytes.
    pub(super) fn skip(&mut self, length: u64) -> Result<(), Stop> {
        self.copy(length, |_| Ok(()))
    }

    /// Passes over what fills the last block of a member. Nothing of it is there where some tools end an archive, with its
    /// last byte of data; whether more is missing is told by the digest of the whole.
    pub(super) fn skip_fill(&mut self, length: u64) -> Result<(), Stop> {
        if length > 0 && self.look()?.is_empty() {
            return Ok(());
        }
        self.skip(length)
    }

    /// Reads to the end of the stream, which is padding, and gives the digest of all that was read.
    pub(super) fn finish(mut self) -> Result<[u8; 32], Stop> {
        loop {
            let rest = self.look()?;
            if rest.is_empty() {
                return Ok(self.hash.finalize().into());
            }
            if rest.iter().any(|byte| *byte != 0) {
                return Err(UnpackError::Trailing.into());
            }
            let length = rest.len();
            self.pass(length);
        }
    }
}
