//! The device's configuration (Virtio 1.2, 5.2.4) and features (5.2.3), as the driver reads them.

use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_F_BLK_SIZE, VIRTIO_BLK_F_DISCARD, VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_RO, VIRTIO_BLK_F_SEG_MAX,
    VIRTIO_BLK_F_WRITE_ZEROES,
};

use super::disk::BLOCK_BYTES;

/// The unit of `capacity` and of requests.
pub(super) const SECTOR_BYTES: u64 = 512;

/// Most buffers of a request: a queue of 256 without those of header and status.
const SEGMENTS_MAX: u32 = 254;

/// Most ranges of a request that discards or clears.
pub(super) const RANGES_MAX: u32 = 64;

/// Most sectors of such a range: 2 GiB, of which nothing is read or written where the file can have holes.
const RANGE_SECTORS_MAX: u32 = 1 << 22;

/// Length of the structure.
const BYTES: usize = 60;

/// More than any driver reads at once.
const READ_MAX: usize = 256;

/// The features of every disk: its blocks have 4096 bytes.
const COMMON: u64 = 1 << VIRTIO_BLK_F_BLK_SIZE | 1 << VIRTIO_BLK_F_SEG_MAX;

/// A driver that takes this one says when what it wrote must last; for any other each write must.
pub(super) const FLUSH: u64 = 1 << VIRTIO_BLK_F_FLUSH;

/// What a driver may ask of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Reads.
    Read,
    /// Writes too.
    Write,
    /// Also to forget and to clear ranges.
    Full,
}

/// The features of a disk.
pub(super) const fn features(access: Access) -> u64 {
    match access {
        Access::Read => COMMON | 1 << VIRTIO_BLK_F_RO,
        Access::Write => COMMON | FLUSH,
        Access::Full => COMMON | FLUSH | 1 << VIRTIO_BLK_F_DISCARD | 1 << VIRTIO_BLK_F_WRITE_ZEROES,
    }
}

/// Part of the configuration of a disk of this length in bytes; what is behind its end is zero.
pub(super) fn read(disk_bytes: u64, access: Access, offset: u32, size: u32) -> Vec<u8> {
    let mut config = [0; BYTES];
    let mut put = |at: usize, bytes: &[u8]| config[at..][..bytes.len()].copy_from_slice(bytes);
    put(0, &(disk_bytes / SECTOR_BYTES).to_le_bytes());
    put(12, &SEGMENTS_MAX.to_le_bytes());
    put(20, &u32::try_from(BLOCK_BYTES).unwrap_or(u32::MAX).to_le_bytes());
    // One queue.
    put(34, &1_u16.to_le_bytes());
    if access == Access::Full {
        let block_sectors = u32::try_from(BLOCK_BYTES / SECTOR_BYTES).unwrap_or(u32::MAX);
        for (at, number) in [(36, RANGE_SECTORS_MAX), (40, RANGES_MAX), (44, block_sectors)] {
            put(at, &number.to_le_bytes());
        }
        for (at, number) in [(48, RANGE_SECTORS_MAX), (52, RANGES_MAX)] {
            put(at, &number.to_le_bytes());
        }
        // Clearing makes a hole.
        put(56, &[1]);
    }
    let (Ok(offset), Ok(size)) = (usize::try_from(offset), usize::try_from(size)) else { return Vec::new() };
    config.iter().copied().skip(offset).chain(std::iter::repeat(0)).take(size.min(READ_MAX)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_driver_reads_capacity_buffers_block_size_and_queues() {
        let config = read(3 << 20, Access::Read, 0, 60);
        assert_eq!(config.len(), 60);
        assert_eq!(config[..8], 6144_u64.to_le_bytes());
        assert_eq!(config[12..16], 254_u32.to_le_bytes());
        assert_eq!(config[20..24], 4096_u32.to_le_bytes());
        assert_eq!(config[34..36], 1_u16.to_le_bytes());
        assert_eq!(config[36..], [0; 24]);
    }

    #[test]
    fn what_can_be_written_tells_how_it_is_discarded_and_cleared() {
        let config = read(3 << 20, Access::Full, 0, 60);
        assert_eq!(config[40..44], 64_u32.to_le_bytes());
        assert_eq!(config[44..48], 8_u32.to_le_bytes());
        assert_eq!(config[52..60], [64, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(features(Access::Full) & features(Access::Read), COMMON);
    }

    #[test]
    fn what_is_asked_behind_the_end_is_zero_and_bounded() {
        assert_eq!(read(512, Access::Write, 56, 8), [0; 8]);
        assert_eq!(read(512, Access::Full, u32::MAX, u32::MAX), [0; 256]);
    }
}
