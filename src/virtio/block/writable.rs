//! A file as a disk that can be written to.
//!
//! What a guest wrote is in the host's page cache, so that the death of its VM or of this server loses nothing of it;
//! what it flushed is on the host's disk. What a flush could not bring there is lost, and the kernel says so once: from
//! then on nothing is written or flushed any more, so that the guest cannot take for safe what is not.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FallocateFlags, fallocate};
use virtiofsd::descriptor_utils::{Reader, Writer};

use super::disk::fill;

/// How much is cleared at once where no hole can be made.
const CLEAR_BYTES: u64 = 64 << 10;

/// A sparse file as a disk.
#[derive(Debug)]
pub(super) struct WritableDisk {
    file: File,
    length: u64,
    /// Whether something was lost that could not be written back.
    is_broken: AtomicBool,
    /// Whether each write must last when it is answered.
    is_written_through: AtomicBool,
}

impl WritableDisk {
    /// A disk of the first `length` bytes of a file.
    pub(super) fn new(file: File, length: u64) -> Self {
        Self { file, length, is_broken: AtomicBool::new(false), is_written_through: AtomicBool::new(true) }
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Whether the driver says by itself when what it wrote must last.
    pub(super) fn set_flushed_by_driver(&self, is_flushed: bool) {
        self.is_written_through.store(!is_flushed, Ordering::Relaxed);
    }

    /// Fills all that the writer has room for with what is from this offset on.
    pub(super) fn read(&self, offset: u64, mut to: Writer<'_>) -> io::Result<()> {
        fill(&mut to, &self.file, offset)
    }

    /// Writes all that the reader has left to this offset.
    pub(super) fn write(&self, mut offset: u64, mut from: Reader<'_>) -> io::Result<()> {
        self.check()?;
        loop {
            let left = from.available_bytes();
            if left == 0 {
                return self.wrote();
            }
            match from.write_to_file_at(&self.file, left, offset, None) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => offset = offset.saturating_add(count as u64),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Brings all that was written to the host's disk.
    pub(super) fn flush(&self) -> io::Result<()> {
        self.check()?;
        self.file.sync_data().inspect_err(|_| self.is_broken.store(true, Ordering::Relaxed))
    }

    /// Forgets a range. That a host cannot make holes loses nothing but its room.
    pub(super) fn discard(&self, offset: u64, length: u64) -> io::Result<()> {
        self.check()?;
        match self.punch(offset, length) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => Err(error),
            _ => self.wrote(),
        }
    }

    /// Clears a range.
    pub(super) fn clear(&self, offset: u64, length: u64) -> io::Result<()> {
        self.check()?;
        if self.punch(offset, length).is_err() {
            self.write_zeros(offset, length)?;
        }
        self.wrote()
    }

    fn check(&self) -> io::Result<()> {
        match self.is_broken.load(Ordering::Relaxed) {
            true => Err(io::Error::other("an earlier write was lost")),
            false => Ok(()),
        }
    }

    fn wrote(&self) -> io::Result<()> {
        if self.is_written_through.load(Ordering::Relaxed) { self.flush() } else { Ok(()) }
    }

    fn punch(&self, offset: u64, length: u64) -> io::Result<()> {
        let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(rustix::io::retry_on_intr(|| fallocate(self.file.as_fd(), how, offset, length))?)
    }

    fn write_zeros(&self, mut offset: u64, mut left: u64) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        let zeros = vec![0; usize::try_from(CLEAR_BYTES.min(left)).unwrap_or(0)];
        while left > 0 {
            let count = left.min(zeros.len() as u64);
            self.file.write_all_at(&zeros[..usize::try_from(count).unwrap_or(0)], offset)?;
            (offset, left) = (offset.saturating_add(count), left - count);
        }
        Ok(())
    }
}
