//! One request of the driver (Virtio 1.2, 5.2.6): header, data, and a byte for the answer.
//!
//! Everything in it is the guest's word. A request whose answer has no place goes back unanswered; any other is
//! answered, and what it asks of the disk is checked against the disk.

use std::io::{self, Read, Write};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};

use vhost_user_backend::bitmap::BitmapMmapRegion;
use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK, VIRTIO_BLK_S_UNSUPP, VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_FLUSH,
    VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_WRITE_ZEROES,
    VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP,
};
use virtio_queue::DescriptorChain;
use virtiofsd::descriptor_utils::{Reader, Writer};
use vm_memory::{GuestMemory, GuestMemoryMmap};

use super::config::{Access, RANGES_MAX, SECTOR_BYTES};
use super::disk::Disk;
use super::private::PrivateDisk;
use super::spec::SERIAL_MAX;
use super::writable::WritableDisk;

/// What a disk is.
#[derive(Debug)]
pub(super) enum Medium {
    /// Files that are read.
    Fixed(Disk),
    /// A file that is also written.
    Writable(WritableDisk),
    /// A file that is read, with what this guest writes kept apart.
    Private(PrivateDisk),
}

impl Medium {
    /// Length in bytes.
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Fixed(disk) => disk.length(),
            Self::Writable(disk) => disk.length(),
            Self::Private(disk) => disk.length(),
        }
    }

    /// What the driver may ask of it.
    pub(super) fn access(&self) -> Access {
        match self {
            Self::Fixed(_) => Access::Read,
            Self::Writable(_) => Access::Full,
            Self::Private(_) => Access::Write,
        }
    }

    /// The disk, where its file can be written.
    pub(super) fn writable(&self) -> Option<&WritableDisk> {
        match self {
            Self::Fixed(_) | Self::Private(_) => None,
            Self::Writable(disk) => Some(disk),
        }
    }
}

/// A disk, what it is called, and who hears of a host that has no room for it.
pub(super) struct Target {
    pub(super) medium: Medium,
    pub(super) serial: String,
    /// Called once, at the first write for which the host has no room.
    pub(super) tell_full: Box<dyn Fn() + Send + Sync>,
    pub(super) is_full_told: AtomicBool,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Target").field("serial", &self.serial).finish_non_exhaustive()
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Ok,
    /// It could not be done, or may not.
    Failed,
    /// No such request.
    Unknown,
}

impl Status {
    fn byte(self) -> u8 {
        let number = match self {
            Self::Ok => VIRTIO_BLK_S_OK,
            Self::Failed => VIRTIO_BLK_S_IOERR,
            Self::Unknown => VIRTIO_BLK_S_UNSUPP,
        };
        u8::try_from(number).unwrap_or(u8::MAX)
    }
}

impl Target {
    /// Answers a request; how many bytes were written to it.
    pub(super) fn answer<M>(&self, memory: &GuestMemoryMmap<BitmapMmapRegion>, chain: DescriptorChain<M>) -> u32
    where
        M: Deref + Clone,
        M::Target: GuestMemory + Sized,
    {
        let Ok(mut reader) = Reader::new(memory, chain.clone()) else { return 0 };
        let Ok(mut data) = Writer::new(memory, chain) else { return 0 };
        // The last byte is for the answer.
        let Some(data_bytes) = data.available_bytes().checked_sub(1) else { return 0 };
        let Ok(mut answer) = data.split_at(data_bytes) else { return 0 };
        let (status, written) = match read_header(&mut reader) {
            Ok((kind, sector)) => self.carry_out(kind, sector, reader, data),
            Err(_) => (Status::Failed, 0),
        };
        match answer.write_all(&[status.byte()]) {
            Ok(()) => u32::try_from(written).unwrap_or(u32::MAX).saturating_add(1),
            Err(_) => 0,
        }
    }

    /// `given` is what is behind the header, `data` the room for what comes back.
    fn carry_out(&self, kind: u32, sector: u64, given: Reader<'_>, data: Writer<'_>) -> (Status, usize) {
        let room = data.available_bytes();
        let done = match (kind, self.medium.writable()) {
            (VIRTIO_BLK_T_IN, _) => self.read(sector, data).map(|()| room),
            (VIRTIO_BLK_T_GET_ID, _) => self.tell_serial(data),
            (VIRTIO_BLK_T_OUT, _) => self.write(sector, given).map(|()| 0),
            (VIRTIO_BLK_T_FLUSH, Some(disk)) => disk.flush().map(|()| 0),
            // Nothing is ever written that is to last.
            (VIRTIO_BLK_T_FLUSH, None) => Ok(0),
            (VIRTIO_BLK_T_DISCARD | VIRTIO_BLK_T_WRITE_ZEROES, Some(disk)) => match self.ranges(kind, given) {
                Ok(Some(ranges)) => change_ranges(disk, kind, &ranges).map(|()| 0),
                Ok(None) => return (Status::Unknown, 0),
                Err(error) => Err(error),
            },
            _ => return (Status::Unknown, 0),
        };
        match done {
            Ok(written) => (Status::Ok, written),
            Err(error) => {
                self.note_full(&error);
                (Status::Failed, 0)
            }
        }
    }

    fn note_full(&self, error: &io::Error) {
        let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        if is_full && !self.is_full_told.swap(true, Ordering::Relaxed) {
            (self.tell_full)();
        }
    }

    /// Where a request of so many bytes begins; an error where it is not of sectors of this disk.
    fn start(&self, sector: u64, bytes: u64) -> io::Result<u64> {
        let start = sector.checked_mul(SECTOR_BYTES).ok_or(io::ErrorKind::InvalidInput)?;
        let end = start.checked_add(bytes).ok_or(io::ErrorKind::InvalidInput)?;
        if !bytes.is_multiple_of(SECTOR_BYTES) || end > self.medium.length() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(start)
    }

    fn read(&self, sector: u64, data: Writer<'_>) -> io::Result<()> {
        let start = self.start(sector, data.available_bytes() as u64)?;
        match &self.medium {
            Medium::Fixed(disk) => disk.read(start, data),
            Medium::Writable(disk) => disk.read(start, data),
            Medium::Private(disk) => disk.read(start, data),
        }
    }

    fn write(&self, sector: u64, given: Reader<'_>) -> io::Result<()> {
        let start = self.start(sector, given.available_bytes() as u64)?;
        match &self.medium {
            Medium::Fixed(_) => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            Medium::Writable(disk) => disk.write(start, given),
            Medium::Private(disk) => disk.write(start, given),
        }
    }

    /// Offsets and lengths of a request that discards or clears; `None` where it has a flag that means nothing.
    fn ranges(&self, kind: u32, mut given: Reader<'_>) -> io::Result<Option<Vec<(u64, u64)>>> {
        let count = given.available_bytes() / RANGE_BYTES;
        let is_whole = given.available_bytes().is_multiple_of(RANGE_BYTES);
        if !is_whole || count == 0 || count as u64 > u64::from(RANGES_MAX) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let known = if kind == VIRTIO_BLK_T_WRITE_ZEROES { VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP } else { 0 };
        let mut ranges = Vec::with_capacity(count);
        for _ in 0..count {
            let mut bytes = [0; RANGE_BYTES];
            given.read_exact(&mut bytes)?;
            let [low, high, sectors, flags] = bytes.as_chunks::<4>().0 else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            if u32::from_le_bytes(*flags) & !known != 0 {
                return Ok(None);
            }
            let sector = u64::from(u32::from_le_bytes(*low)) | u64::from(u32::from_le_bytes(*high)) << 32;
            let length = u64::from(u32::from_le_bytes(*sectors)) * SECTOR_BYTES;
            ranges.push((self.start(sector, length)?, length));
        }
        Ok(Some(ranges))
    }

    /// The serial number, ended by a zero where it is shorter than its field.
    fn tell_serial(&self, mut data: Writer<'_>) -> io::Result<usize> {
        let mut serial = [0; SERIAL_MAX];
        let length = self.serial.len().min(SERIAL_MAX);
        serial[..length].copy_from_slice(&self.serial.as_bytes()[..length]);
        let told = data.available_bytes().min(SERIAL_MAX);
        data.write_all(&serial[..told])?;
        Ok(told)
    }
}

/// Length of a range of a request that discards or clears.
const RANGE_BYTES: usize = 16;

fn change_ranges(disk: &WritableDisk, kind: u32, ranges: &[(u64, u64)]) -> io::Result<()> {
    for (offset, length) in ranges.iter().filter(|(_, length)| *length > 0) {
        match kind {
            VIRTIO_BLK_T_DISCARD => disk.discard(*offset, *length)?,
            _ => disk.clear(*offset, *length)?,
        }
    }
    Ok(())
}

/// Type and sector.
fn read_header(reader: &mut impl io::Read) -> io::Result<(u32, u64)> {
    let mut bytes = [0; 16];
    reader.read_exact(&mut bytes)?;
    let [kind, _, low, high] = *bytes.as_chunks::<4>().0 else { return Err(io::ErrorKind::InvalidData.into()) };
    let sector = u64::from(u32::from_le_bytes(low)) | u64::from(u32::from_le_bytes(high)) << 32;
    Ok((u32::from_le_bytes(kind), sector))
}
