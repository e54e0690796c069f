//! The superblock: at byte 1024 of the first block, with a checksum over the rest of that block.

use super::BLOCK;
use super::layout::Layout;

/// Where it is.
pub(super) const OFFSET: usize = 1024;
/// How long it is; the first inode may follow.
pub(super) const BYTES: usize = 128;

const MAGIC: u32 = 0xE0F5_E1E2;
/// `EROFS_FEATURE_COMPAT_SB_CHKSUM` and `_MTIME`.
const COMPATIBLE: u32 = 1 | 2;
/// `EROFS_FEATURE_INCOMPAT_CHUNKED_FILE`, of which kernels before 5.15 know nothing.
const CHUNKED_FILE: u32 = 4;
/// Logarithm of the size of a block.
const BLOCK_BITS: u8 = 12;

/// Writes it into metadata that is otherwise complete.
pub(super) fn write(metadata: &mut [u8], layout: &Layout<'_>) {
    let mut put = |offset: usize, bytes: &[u8]| {
        metadata[OFFSET + offset..][..bytes.len()].copy_from_slice(bytes);
    };
    put(0, &MAGIC.to_le_bytes());
    put(8, &COMPATIBLE.to_le_bytes());
    put(12, &[BLOCK_BITS]);
    put(14, &layout.root_number().to_le_bytes());
    put(16, &layout.inode_count().to_le_bytes());
    put(36, &layout.disk_blocks().to_le_bytes());
    let features = if layout.has_chunks() { CHUNKED_FILE } else { 0 };
    put(80, &features.to_le_bytes());
    let checksum = crc32c(&metadata[OFFSET..BLOCK]);
    metadata[OFFSET + 4..][..4].copy_from_slice(&checksum.to_le_bytes());
}

/// The sum of Castagnoli as the kernel begins and ends it here: from all ones, without the last turning of the bits.
fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82F6_3B78;
    bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { (sum >> 1) ^ POLYNOMIAL } else { sum >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_that_of_castagnoli() {
        // The check value of CRC-32C, its bits turned back.
        assert_eq!(crc32c(b"123456789"), !0xE306_9283);
    }
}
