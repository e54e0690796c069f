//! The device's configuration (Virtio 1.2, 5.2.4) and features (5.2.3), as the driver reads them.

use virtio_bindings::virtio_blk::{VIRTIO_BLK_F_BLK_SIZE, VIRTIO_BLK_F_RO, VIRTIO_BLK_F_SEG_MAX};

use super::disk::BLOCK_BYTES;

/// The unit of `capacity` and of requests.
pub(super) const SECTOR_BYTES: u64 = 512;

/// Most buffers of a request: a queue of 256 without those of header and status.
const SEGMENTS_MAX: u32 = 254;

/// Length of the structure.
const BYTES: usize = 60;

/// More than any driver reads at once.
const READ_MAX: usize = 256;

/// The features of a disk of this kind: it is only read, its blocks have 4096 bytes.
pub(super) const FEATURES: u64 = 1 << VIRTIO_BLK_F_RO | 1 << VIRTIO_BLK_F_BLK_SIZE | 1 << VIRTIO_BLK_F_SEG_MAX;

/// Part of the configuration of a disk of this length in bytes; what is behind its end is zero.
pub(super) fn read(disk_bytes: u64, offset: u32, size: u32) -> Vec<u8> {
    let mut config = [0; BYTES];
    let mut put = |at: usize, bytes: &[u8]| config[at..][..bytes.len()].copy_from_slice(bytes);
    put(0, &(disk_bytes / SECTOR_BYTES).to_le_bytes());
    put(12, &SEGMENTS_MAX.to_le_bytes());
    put(20, &u32::try_from(BLOCK_BYTES).unwrap_or(u32::MAX).to_le_bytes());
    // One queue.
    put(34, &1_u16.to_le_bytes());
    let (Ok(offset), Ok(size)) = (usize::try_from(offset), usize::try_from(size)) else { return Vec::new() };
    config.iter().copied().skip(offset).chain(std::iter::repeat(0)).take(size.min(READ_MAX)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_driver_reads_capacity_buffers_block_size_and_queues() {
        let config = read(3 << 20, 0, 60);
        assert_eq!(config.len(), 60);
        assert_eq!(config[..8], 6144_u64.to_le_bytes());
        assert_eq!(config[12..16], 254_u32.to_le_bytes());
        assert_eq!(config[20..24], 4096_u32.to_le_bytes());
        assert_eq!(config[34..36], 1_u16.to_le_bytes());
    }

    #[test]
    fn what_is_asked_behind_the_end_is_zero_and_bounded() {
        assert_eq!(read(512, 56, 8), [0; 8]);
        assert_eq!(read(512, u32::MAX, u32::MAX), [0; 256]);
    }
}
