//! One request of the driver (Virtio 1.2, 5.2.6): header, data, and a byte for the answer.
//!
//! Everything in it is the guest's word. A request whose answer has no place goes back unanswered; any other is
//! answered, and what it asks of the disk is checked against the disk.

use std::io::{self, Write};
use std::ops::Deref;

use vhost_user_backend::bitmap::BitmapMmapRegion;
use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK, VIRTIO_BLK_S_UNSUPP, VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_IN,
    VIRTIO_BLK_T_OUT,
};
use virtio_queue::DescriptorChain;
use virtiofsd::descriptor_utils::{Reader, Writer};
use vm_memory::{GuestMemory, GuestMemoryMmap};

use super::config::SECTOR_BYTES;
use super::disk::Disk;
use super::spec::SERIAL_MAX;

/// A disk and what it is called.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) disk: Disk,
    pub(super) serial: String,
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
            Ok((kind, sector)) => self.carry_out(kind, sector, data),
            Err(_) => (Status::Failed, 0),
        };
        match answer.write_all(&[status.byte()]) {
            Ok(()) => u32::try_from(written).unwrap_or(u32::MAX).saturating_add(1),
            Err(_) => 0,
        }
    }

    fn carry_out(&self, kind: u32, sector: u64, data: Writer<'_>) -> (Status, usize) {
        let room = data.available_bytes();
        let done = match kind {
            VIRTIO_BLK_T_IN => self.read(sector, data).map(|()| room),
            VIRTIO_BLK_T_GET_ID => self.tell_serial(data),
            // Nothing is ever written that could be lost.
            VIRTIO_BLK_T_FLUSH => Ok(0),
            VIRTIO_BLK_T_OUT => return (Status::Failed, 0),
            _ => return (Status::Unknown, 0),
        };
        match done {
            Ok(written) => (Status::Ok, written),
            Err(_) => (Status::Failed, 0),
        }
    }

    fn read(&self, sector: u64, data: Writer<'_>) -> io::Result<()> {
        let room = data.available_bytes() as u64;
        let start = sector.checked_mul(SECTOR_BYTES).ok_or(io::ErrorKind::InvalidInput)?;
        let end = start.checked_add(room).ok_or(io::ErrorKind::InvalidInput)?;
        if !room.is_multiple_of(SECTOR_BYTES) || end > self.disk.length() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.disk.read(start, data)
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

/// Type and sector.
fn read_header(reader: &mut impl io::Read) -> io::Result<(u32, u64)> {
    let mut bytes = [0; 16];
    reader.read_exact(&mut bytes)?;
    let [kind, _, low, high] = *bytes.as_chunks::<4>().0 else { return Err(io::ErrorKind::InvalidData.into()) };
    let sector = u64::from(u32::from_le_bytes(low)) | u64::from(u32::from_le_bytes(high)) << 32;
    Ok((u32::from_le_bytes(kind), sector))
}
