//! Empty file systems to begin with, made once by `mke2fs` and kept as the few blocks that are not zero.
//!
//! A template is compressed by zstd: for each block its number (4 bytes, little end first) and its 4096 bytes. The root
//! of each has mode 1777 and no `lost+found`. Their groups are laid out by `meta_bg`, so that the guest's kernel can make them as
//! large as it likes; checksums do not depend on the UUID (`metadata_csum_seed`), so that each copy gets its own here.
//! A test makes them again and compares (`template_tests`).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes of a block.
pub(super) const BLOCK_BYTES: usize = 4096;

/// Blocks of a group; some groups begin with a copy of the superblock.
const GROUP_BLOCKS: u32 = 32_768;

/// Where the first superblock is, and what is where in it (`struct ext4_super_block`).
pub(super) const SUPERBLOCK: usize = 1024;
const SUPERBLOCK_BYTES: usize = 1024;
const MAGIC: usize = 0x38;
const UUID: usize = 0x68;
const HASH_SEED: usize = 0xec;
const CHECKSUM: usize = 0x3fc;

/// A file system of a size.
#[derive(Debug)]
pub(super) struct Template {
    /// Size in MiB.
    pub(super) size_mib: u64,
    packed: &'static [u8],
}

/// Sizes to begin with, the smallest first: larger ones have a larger journal. The last is the default of disks, so that
/// those need no growth.
pub(super) const TEMPLATES: [Template; 3] = [
    Template { size_mib: 16, packed: include_bytes!("template-16.zst") },
    Template { size_mib: 256, packed: include_bytes!("template-256.zst") },
    Template { size_mib: 16 << 10, packed: include_bytes!("template-16384.zst") },
];

/// The largest template that is not larger than a size.
pub(super) fn template_for(size_mib: u64) -> &'static Template {
    TEMPLATES.iter().rev().find(|template| template.size_mib <= size_mib).unwrap_or(&TEMPLATES[0])
}

impl Template {
    /// Writes the file system into an empty file, with an identity made of these random bytes. The length of the file is
    /// not the disk's yet.
    pub(super) fn write(&self, file: &File, random: &[u8; 32]) -> io::Result<()> {
        let blocks = zstd::decode_all(self.packed)?;
        for entry in blocks.chunks_exact(4 + BLOCK_BYTES) {
            let (number, block) = entry.split_at(4);
            let number = u32::from_le_bytes(number.try_into().map_err(io::Error::other)?);
            let mut block = block.to_vec();
            if number.is_multiple_of(GROUP_BLOCKS) {
                let start = if number == 0 { SUPERBLOCK } else { 0 };
                set_identity(&mut block[start..start + SUPERBLOCK_BYTES], random);
            }
            file.write_all_at(&block, u64::from(number) * BLOCK_BYTES as u64)?;
        }
        Ok(())
    }
}

/// Gives a superblock a UUID and a seed for its hashes. What is none is left alone.
fn set_identity(superblock: &mut [u8], random: &[u8; 32]) {
    if !is_superblock(superblock) {
        return;
    }
    let mut uuid = random[..16].to_vec();
    // RFC 9562, 5.4: a random one.
    uuid[6] = uuid[6] & 0x0f | 0x40;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    superblock[UUID..UUID + 16].copy_from_slice(&uuid);
    superblock[HASH_SEED..HASH_SEED + 16].copy_from_slice(&random[16..]);
    let checksum = crc32c(&superblock[..CHECKSUM]);
    superblock[CHECKSUM..].copy_from_slice(&checksum.to_le_bytes());
}

/// Whether these bytes begin a superblock.
pub(super) fn is_superblock(bytes: &[u8]) -> bool {
    bytes.get(MAGIC..MAGIC + 2) == Some(&[0x53, 0xef])
}

/// As the kernel takes it: from all ones, and not inverted at the end.
fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_is_that_of_the_kernel() {
        // RFC 3720, B.4, without the inversion at the end.
        assert_eq!(!crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(!crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn largest_template_that_fits_is_taken() {
        let sizes = [16, 255, 256, 16_383, 16_384, 1 << 30].map(|size| template_for(size).size_mib);
        assert_eq!(sizes, [16, 16, 256, 256, 16_384, 16_384]);
        assert_eq!(template_for(1).size_mib, 16);
    }
}
