//! Files as one linear disk, read-only.
//!
//! Bytes go from the page cache to the guest's memory without a stop between. Where the host cannot give them, or a file
//! is shorter than it was said to be, the request fails; nothing is made up.

use std::fs::File;
use std::io::{self, Write};

use virtiofsd::descriptor_utils::Writer;

/// What a segment is filled up to, and the size of the disk's blocks in bytes.
pub(super) const BLOCK_BYTES: u64 = 4096;

/// What is behind the end of a file in its last block.
const ZEROS: [u8; 4096] = [0; 4096];

/// A file and its place.
#[derive(Debug)]
struct Segment {
    file: File,
    start: u64,
    length: u64,
}

/// The disk.
#[derive(Debug)]
pub(super) struct Disk {
    segments: Vec<Segment>,
    length: u64,
}

impl Disk {
    /// A disk of these files and their lengths. Fails where it would be longer than a disk can be.
    pub(super) fn new(files: impl IntoIterator<Item = (File, u64)>) -> io::Result<Self> {
        let mut disk = Self { segments: Vec::new(), length: 0 };
        for (file, length) in files {
            let padded = length.checked_next_multiple_of(BLOCK_BYTES);
            let end = padded.and_then(|padded| disk.length.checked_add(padded));
            // Offsets of files have a sign.
            let end = end.filter(|end| i64::try_from(*end).is_ok()).ok_or(io::ErrorKind::FileTooLarge)?;
            if length > 0 {
                disk.segments.push(Segment { file, start: disk.length, length });
            }
            disk.length = end;
        }
        Ok(disk)
    }

    /// Length in bytes, a multiple of [`BLOCK_BYTES`].
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Fills all that the writer has room for with what is from this offset on.
    pub(super) fn read(&self, mut offset: u64, mut to: Writer<'_>) -> io::Result<()> {
        loop {
            let room = to.available_bytes();
            if room == 0 {
                return Ok(());
            }
            let (file, left) = self.part_at(offset).ok_or(io::ErrorKind::UnexpectedEof)?;
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(room);
            let rest = to.split_at(count).map_err(|error| io::Error::other(error.to_string()))?;
            match file {
                Some((file, at)) => fill(&mut to, file, at)?,
                None => to.write_all(&ZEROS[..count])?,
            }
            // Less than the room, which has 64 bits at most.
            offset = offset.saturating_add(count as u64);
            to = rest;
        }
    }

    /// What is at an offset: a file and where in it, or zeros; and how many bytes of it are left.
    fn part_at(&self, offset: u64) -> Option<(Option<(&File, u64)>, u64)> {
        let place = self.segments.partition_point(|segment| segment.start <= offset).checked_sub(1)?;
        let segment = &self.segments[place];
        let at = offset - segment.start;
        if at < segment.length {
            return Some((Some((&segment.file, at)), segment.length - at));
        }
        let end = segment.length.next_multiple_of(BLOCK_BYTES);
        (at < end).then(|| (None, end - at))
    }
}

/// Fills all room with what a file has from this place on.
pub(super) fn fill(to: &mut Writer<'_>, file: &File, mut at: u64) -> io::Result<()> {
    loop {
        let room = to.available_bytes();
        if room == 0 {
            return Ok(());
        }
        match to.read_from_file_at(file, room, at, None) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => at = at.saturating_add(count as u64),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
