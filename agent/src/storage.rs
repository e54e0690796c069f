//! Disks with an ext4 file system: mounted, and made as large as the disk.
//!
//! The kernel plays the journal back by itself when the machine was killed the last time. What it finds damaged makes it
//! refuse writes (`errors=remount-ro`); what was marked as damaged is checked first (`checker`). Not here: how the disk is found (`disk`), and what is on it at the beginning, which
//! the host decides.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::checker;
use crate::disk::find_disk_and_size;
use crate::sys::{self, MountFlags};

/// The file system's name in the kernel.
pub(crate) const EXT4: &str = "ext4";

/// What the guest frees is free on the host too. Nothing is cleared in the background: the disk was all holes.
const OPTIONS: &str = "errors=remount-ro,discard,noinit_itable";

/// Options of a disk that cannot be written, which takes none of the others.
const READ_ONLY_OPTIONS: &str = "errors=remount-ro";

/// `struct ext4_super_block`: where it is on the disk, and where in it are the number of blocks (low half, high half) and
/// the size of a block.
const SUPERBLOCK: u64 = 1024;
const BLOCKS_LOW: usize = 0x4;
const BLOCK_SIZE: usize = 0x18;
const BLOCKS_HIGH: usize = 0x150;

/// Mounts the disk of this serial number.
pub(crate) fn mount_disk(serial: &str, target: &Path, is_read_only: bool) -> Result<(), String> {
    let (device, bytes) = find_disk_and_size(serial).map_err(|error| format!("its disk is not there: {error}"))?;
    let name = device.to_str().ok_or("the disk has no name")?;
    if !is_read_only {
        checker::check(&device)?;
    }
    let (writes, options) = match is_read_only {
        true => (MountFlags::READ_ONLY, READ_ONLY_OPTIONS),
        false => (MountFlags::NONE, OPTIONS),
    };
    sys::mount(name, target, EXT4, MountFlags::NO_DEV.and(writes), options)
        .map_err(|error| format!("its disk cannot be mounted: {error}; the console of the machine says more"))?;
    if is_read_only {
        return Ok(());
    }
    grow(&device, bytes, target).map_err(|error| format!("its file system cannot be made larger: {error}"))
}

/// Makes a mounted file system as large as its disk, where it is smaller.
fn grow(device: &Path, bytes: u64, target: &Path) -> io::Result<()> {
    let mut superblock = [0; 1024];
    File::open(device)?.read_exact_at(&mut superblock, SUPERBLOCK)?;
    let (blocks, block_bytes) = size(&superblock).ok_or(io::ErrorKind::InvalidData)?;
    let wanted = bytes / block_bytes;
    if wanted > blocks { sys::resize_ext4(&File::open(target)?, wanted) } else { Ok(()) }
}

/// Blocks of a file system, and bytes of a block.
fn size(superblock: &[u8; 1024]) -> Option<(u64, u64)> {
    let number = |at: usize| superblock.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    let blocks = u64::from(number(BLOCKS_LOW)?) | u64::from(number(BLOCKS_HIGH)?) << 32;
    let block_bytes = 1024_u64.checked_shl(number(BLOCK_SIZE)?).filter(|bytes| (1024..=65_536).contains(bytes))?;
    Some((blocks, block_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_of_a_file_system_is_read_from_both_halves() {
        let mut superblock = [0; 1024];
        superblock[BLOCKS_LOW..BLOCKS_LOW + 4].copy_from_slice(&7_u32.to_le_bytes());
        superblock[BLOCKS_HIGH] = 1;
        superblock[BLOCK_SIZE] = 2;
        assert_eq!(size(&superblock), Some(((1 << 32) + 7, 4096)));
        superblock[BLOCK_SIZE] = 99;
        assert_eq!(size(&superblock), None);
    }
}
