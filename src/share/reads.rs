//! Reads that are put together from several places, each exactly as long as it is asked to be.
//!
//! The library's own way into the guest's buffers reads as much as the buffers hold, and takes more than was asked for as
//! an error: right where a reply ends with its file. Here the buffers are cut first. Not here: what is read
//! ([`ReadFile`]).

use std::fs::File;
use std::io::{self, Write};
use std::mem;

use virtiofsd::descriptor_utils::{Reader, Writer};
use virtiofsd::fuse::{InHeader, OutHeader, ReadIn};
use vm_memory::ByteValued;

use super::rules::errno;

/// Answers reads by itself.
pub(super) trait ReadFile: Send + Sync {
    /// Puts at most `count` bytes of a node from an offset on into `room`, and says how many.
    fn read_file(&self, node: u64, count: u32, offset: u64, room: &mut dyn Room) -> io::Result<u32>;
}

/// Where bytes go, one part after the other.
pub(super) trait Room {
    /// Appends bytes of a file: all of them, or it fails.
    fn fill(&mut self, file: &File, offset: u64, length: usize) -> io::Result<()>;
}

/// Buffers of a guest.
struct Buffers<'a>(Writer<'a>);

impl Room for Buffers<'_> {
    fn fill(&mut self, file: &File, offset: u64, length: usize) -> io::Result<()> {
        // A guest that gave less room than it asks for.
        let rest = self.0.split_at(length).map_err(|_| errno(libc::EIO))?;
        let mut part = mem::replace(&mut self.0, rest);
        let (mut at, mut left) = (offset, length);
        while left > 0 {
            let count = part.read_from_file_at(file, left, at, None)?;
            if count == 0 || count > left {
                return Err(errno(libc::EIO));
            }
            left -= count;
            at += u64::try_from(count).map_err(io::Error::other)?;
        }
        Ok(())
    }
}

/// Answers a request to read whose header is still to be read; how much was written.
pub(super) fn answer_read(from: &dyn ReadFile, mut reader: Reader<'_>, mut writer: Writer<'_>) -> io::Result<usize> {
    let header: InHeader = reader.read_obj()?;
    let asked: ReadIn = reader.read_obj()?;
    let room = writer.split_at(size_of::<OutHeader>()).map_err(|error| io::Error::other(error.to_string()))?;
    let read = from.read_file(header.nodeid, asked.size, asked.offset, &mut Buffers(room));
    let (count, error) = match read {
        Ok(count) => (count, 0),
        Err(error) => (0, -error.raw_os_error().unwrap_or(libc::EIO)),
    };
    let own = u32::try_from(size_of::<OutHeader>()).map_err(io::Error::other)?;
    let len = own.checked_add(count).ok_or_else(|| errno(libc::EINVAL))?;
    writer.write_all(OutHeader { len, error, unique: header.unique }.as_slice())?;
    usize::try_from(len).map_err(io::Error::other)
}
