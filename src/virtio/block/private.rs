//! A file that is only read, as a disk that takes what its guest must write to read it: a journal that is played back.
//!
//! What is written stays in memory, is seen by this guest alone, and goes with the server. There is room for what a
//! journal of ours can hold and no more, so that a hostile guest cannot make us hold what it likes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use virtiofsd::descriptor_utils::{Reader, Writer};

use super::disk::{BLOCK_BYTES, fill};

/// Most blocks that are kept: 96 MiB. The largest journal has 64 MiB, and each of its blocks has one place.
pub(super) const BLOCKS_MAX: usize = 24 << 10;

/// [`BLOCK_BYTES`] as the length of what is kept.
const BLOCK: usize = 4096;

/// A file below what was written.
#[derive(Debug)]
pub(super) struct PrivateDisk {
    file: File,
    length: u64,
    /// By the number of the block.
    written: Mutex<BTreeMap<u64, Box<[u8; BLOCK]>>>,
}

impl PrivateDisk {
    /// A disk of the first `length` bytes of a file.
    pub(super) fn new(file: File, length: u64) -> Self {
        Self { file, length, written: Mutex::default() }
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    fn written(&self) -> MutexGuard<'_, BTreeMap<u64, Box<[u8; BLOCK]>>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills all that the writer has room for with what is from this offset on.
    pub(super) fn read(&self, mut offset: u64, mut to: Writer<'_>) -> io::Result<()> {
        let written = self.written();
        loop {
            let room = to.available_bytes();
            if room == 0 {
                return Ok(());
            }
            let (block, within) = place(offset);
            let count = match written.get(&block) {
                Some(_) => room.min(BLOCK - within),
                None => {
                    let next = written.range(block..).next().map_or(u64::MAX, |(next, _)| next * BLOCK_BYTES);
                    room.min(usize::try_from(next - offset).unwrap_or(usize::MAX))
                }
            };
            let rest = to.split_at(count).map_err(|error| io::Error::other(error.to_string()))?;
            match written.get(&block) {
                Some(bytes) => to.write_all(&bytes[within..within + count])?,
                None => fill(&mut to, &self.file, offset)?,
            }
            offset = offset.saturating_add(count as u64);
            to = rest;
        }
    }

    /// Takes all that the reader has left for this offset.
    pub(super) fn write(&self, mut offset: u64, mut from: Reader<'_>) -> io::Result<()> {
        let mut written = self.written();
        loop {
            let left = from.available_bytes();
            if left == 0 {
                return Ok(());
            }
            let (block, within) = place(offset);
            let count = left.min(BLOCK - within);
            if !written.contains_key(&block) {
                if written.len() >= BLOCKS_MAX {
                    return Err(io::Error::other("a disk that is only read takes no more"));
                }
                let mut bytes = Box::new([0; BLOCK]);
                if count < BLOCK {
                    self.file.read_exact_at(&mut bytes[..], block * BLOCK_BYTES)?;
                }
                written.insert(block, bytes);
            }
            if let Some(bytes) = written.get_mut(&block) {
                from.read_exact(&mut bytes[within..within + count])?;
            }
            offset = offset.saturating_add(count as u64);
        }
    }
}

/// Number of the block that an offset lies in, and where in it.
fn place(offset: u64) -> (u64, usize) {
    (offset / BLOCK_BYTES, usize::try_from(offset % BLOCK_BYTES).unwrap_or(0))
}
