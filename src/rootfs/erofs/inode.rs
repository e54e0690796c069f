//! One inode on the disk: 64 bytes, its extended attributes, and what fits beside them.
//!
//! | data | layout | where |
//! |---|---|---|
//! | folder, link | `FLAT_INLINE`, or `FLAT_PLAIN` where its last block does not fit beside the inode | metadata |
//! | file whose bytes lie together | `FLAT_PLAIN` | a pack |
//! | file with holes, or in several pieces | `CHUNK_BASED`: a block number a chunk, all ones for a hole | packs |

use super::error::{ErofsError, damaged};
use super::folder::Folder;
use super::{BLOCK, BLOCK_BYTES, xattrs};
use crate::rootfs::{Extent, Inode, InodeKind};

/// Size of an extended inode.
pub(super) const INODE_BYTES: usize = 64;

const EXTENDED: u16 = 1;
const FLAT_PLAIN: u16 = 0;
const FLAT_INLINE: u16 = 2;
const CHUNK_BASED: u16 = 4;

/// No block: a hole.
const NO_BLOCK: u32 = u32::MAX;

/// Largest logarithm of blocks a chunk (`EROFS_CHUNK_FORMAT_BLKBITS_MASK`).
const CHUNK_BITS_MAX: u32 = 31;

/// Most chunks of a file: 64 MiB of map.
const CHUNKS_MAX: u64 = 1 << 24;

/// Blocks of a file that lie together in a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    file_block: u64,
    blocks: u64,
    pack: u32,
    pack_block: u64,
}

/// A file as a map of chunks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunks {
    runs: Vec<Run>,
    /// Logarithm of the blocks of a chunk.
    bits: u32,
    count: usize,
}

/// What an inode holds.
pub(super) enum Data<'a> {
    None,
    Folder(Folder<'a>),
    Link(&'a [u8]),
    /// A file that is one run from its first block to its last.
    Run(Run),
    Chunks(Chunks),
}

/// What of an inode's data is beside it, and how much elsewhere in the metadata.
pub(super) struct Beside {
    pub(super) bytes: usize,
    /// The kernel reads inode and inline data from one block.
    pub(super) is_in_one_block: bool,
    pub(super) blocks: usize,
}

impl Data<'_> {
    /// How the data is split, given what comes before it.
    pub(super) fn beside(&self, head: usize) -> Beside {
        let length = match self {
            Data::None | Data::Run(_) => return Beside { bytes: 0, is_in_one_block: false, blocks: 0 },
            Data::Chunks(chunks) => {
                return Beside { bytes: chunks.count * size_of::<u32>(), is_in_one_block: false, blocks: 0 };
            }
            Data::Folder(folder) => usize::try_from(folder.length()).unwrap_or(usize::MAX),
            Data::Link(target) => target.len(),
        };
        let tail = length % BLOCK;
        if tail > 0 && head + tail <= BLOCK {
            Beside { bytes: tail, is_in_one_block: true, blocks: length / BLOCK }
        } else {
            Beside { bytes: 0, is_in_one_block: false, blocks: length.div_ceil(BLOCK) }
        }
    }
}

/// Finds the form of a file.
pub(super) fn file_data(size: u64, extents: &[Extent]) -> Result<Data<'static>, ErofsError> {
    let what = "a file of that size";
    if i64::try_from(size).is_err() {
        return Err(ErofsError::TooLarge { what });
    }
    let blocks = size.div_ceil(BLOCK_BYTES);
    let runs = runs_of(size, extents)?;
    match runs.as_slice() {
        _ if blocks == 0 => return Ok(Data::None),
        [run] if run.file_block == 0 && run.blocks == blocks => return Ok(Data::Run(*run)),
        _ => {}
    }
    // A chunk is whole in a run or whole in a hole, but for the last, which may be short.
    let whole = blocks.next_power_of_two().trailing_zeros();
    let edges = runs.iter().flat_map(|run| [run.file_block, run.file_block + run.blocks]);
    let inner = edges.filter(|edge| *edge > 0 && *edge < blocks);
    let bits = inner.map(u64::trailing_zeros).fold(whole.min(CHUNK_BITS_MAX), u32::min);
    let count = blocks.div_ceil(1 << bits);
    if count > CHUNKS_MAX {
        return Err(ErofsError::TooLarge { what: "a file with that many pieces" });
    }
    let count = usize::try_from(count).map_err(|_| ErofsError::TooLarge { what })?;
    Ok(Data::Chunks(Chunks { runs, bits, count }))
}

/// The extents in blocks, neighbours as one.
fn runs_of(size: u64, extents: &[Extent]) -> Result<Vec<Run>, ErofsError> {
    let mut runs: Vec<Run> = Vec::new();
    let mut free_from = 0;
    for extent in extents {
        let end = extent.file_offset.checked_add(extent.length).filter(|end| *end <= size);
        let is_aligned =
            extent.file_offset.is_multiple_of(BLOCK_BYTES) && extent.pack_offset.is_multiple_of(BLOCK_BYTES);
        if end.is_none() || !is_aligned || extent.length == 0 {
            return Err(damaged("a piece of a file is not in it"));
        }
        let run = Run {
            file_block: extent.file_offset / BLOCK_BYTES,
            blocks: extent.length.div_ceil(BLOCK_BYTES),
            pack: extent.pack,
            pack_block: extent.pack_offset / BLOCK_BYTES,
        };
        if run.file_block < free_from {
            return Err(damaged("pieces of a file are one over the other"));
        }
        free_from = run.file_block + run.blocks;
        match runs.last_mut() {
            Some(last) if last.is_followed_by(&run) => last.blocks += run.blocks,
            _ => runs.push(run),
        }
    }
    Ok(runs)
}

impl Run {
    fn is_followed_by(&self, other: &Run) -> bool {
        self.pack == other.pack
            && self.file_block + self.blocks == other.file_block
            && self.pack_block.checked_add(self.blocks) == Some(other.pack_block)
    }

    /// Its first block of the disk, where it is in its pack.
    fn disk_block(&self, packs: &[u64]) -> Result<u32, ErofsError> {
        let outside = damaged("a piece of a file is not in its pack");
        let [start, end] = packs.get(self.pack as usize..).and_then(|packs| packs.get(..2)).unwrap_or_default() else {
            return Err(outside);
        };
        let first = start.checked_add(self.pack_block);
        match first.filter(|first| first.checked_add(self.blocks).is_some_and(|last| last <= *end)) {
            Some(first) => u32::try_from(first).map_err(|_| outside),
            None => Err(outside),
        }
    }
}

/// All that an inode is made of.
pub(super) struct Parts<'a> {
    pub(super) inode: &'a Inode,
    /// What 32-bit programs are told.
    pub(super) number: u32,
    pub(super) xattrs: &'a [u8],
    pub(super) data: &'a Data<'a>,
    /// Of its own blocks in the metadata.
    pub(super) first_block: u32,
    /// Block of the disk at which each pack begins, and the end.
    pub(super) packs: &'a [u64],
}

/// The bytes of an inode with what is beside it, and of its blocks.
pub(super) struct Rendered {
    pub(super) head: Vec<u8>,
    pub(super) blocks: Vec<u8>,
}

impl Parts<'_> {
    /// `look_up` gives number and type of an inode that a folder names.
    pub(super) fn render(&self, look_up: &dyn Fn(u32) -> Option<(u64, u8)>) -> Result<Rendered, ErofsError> {
        let beside = self.data.beside(INODE_BYTES + self.xattrs.len());
        let own = match self.data {
            Data::None | Data::Run(_) => Vec::new(),
            Data::Folder(folder) => folder.render(look_up)?,
            Data::Link(target) => target.to_vec(),
            Data::Chunks(chunks) => {
                let map = chunks.map(self.packs)?;
                return Ok(Rendered { head: self.head(CHUNK_BASED, chunks.bits, &map)?, blocks: Vec::new() });
            }
        };
        let (blocks, tail) = own.split_at(own.len() - beside.bytes);
        let layout = if beside.is_in_one_block { FLAT_INLINE } else { FLAT_PLAIN };
        let place = match (self.data, &self.inode.kind) {
            (Data::Run(run), _) => run.disk_block(self.packs)?,
            (_, InodeKind::CharDevice { number } | InodeKind::BlockDevice { number }) => device(*number)?,
            _ if blocks.is_empty() => 0,
            _ => self.first_block,
        };
        Ok(Rendered { head: self.head(layout, place, tail)?, blocks: blocks.to_vec() })
    }

    /// The inode (`erofs_inode_extended`), its attributes and what is beside them.
    fn head(&self, layout: u16, place: u32, beside: &[u8]) -> Result<Vec<u8>, ErofsError> {
        let attributes = &self.inode.attributes;
        let (seconds, nanoseconds) = attributes.modified;
        let what = "that many extended attributes of one file";
        let xattrs = xattrs::count(self.xattrs.len()).ok_or(ErofsError::TooLarge { what })?;
        let size = match (&self.inode.kind, self.data) {
            (InodeKind::File { size, .. }, _) => *size,
            (_, Data::Folder(folder)) => folder.length(),
            (_, Data::Link(target)) => target.len() as u64,
            _ => 0,
        };
        let mut head = Vec::with_capacity(INODE_BYTES + self.xattrs.len() + beside.len());
        head.extend((EXTENDED | layout << 1).to_le_bytes());
        head.extend(xattrs.to_le_bytes());
        head.extend((format_bits(&self.inode.kind) | attributes.mode & 0o7777).to_le_bytes());
        head.extend([0; 2]);
        head.extend(size.to_le_bytes());
        head.extend(place.to_le_bytes());
        head.extend(self.number.to_le_bytes());
        head.extend(attributes.uid.to_le_bytes());
        head.extend(attributes.gid.to_le_bytes());
        head.extend(seconds.to_le_bytes());
        head.extend(nanoseconds.min(999_999_999).to_le_bytes());
        head.extend(self.inode.links.to_le_bytes());
        head.extend([0; 16]);
        head.extend(self.xattrs);
        head.extend(beside);
        Ok(head)
    }
}

impl Chunks {
    fn map(&self, packs: &[u64]) -> Result<Vec<u8>, ErofsError> {
        let mut map = vec![NO_BLOCK; self.count];
        for run in &self.runs {
            let first = run.disk_block(packs)?;
            let chunks = run.blocks.div_ceil(1 << self.bits);
            for chunk in 0..chunks {
                // Both are below the end of the run, which is on the disk.
                let block = u64::from(first) + (chunk << self.bits);
                let place = usize::try_from((run.file_block >> self.bits) + chunk).unwrap_or(usize::MAX);
                let outside = || damaged("a piece of a file is not in it");
                *map.get_mut(place).ok_or_else(outside)? = u32::try_from(block).map_err(|_| outside())?;
            }
        }
        Ok(map.into_iter().flat_map(u32::to_le_bytes).collect())
    }
}

/// A device number as the kernel packs it (`new_encode_dev`): 12 bits and 20.
fn device((major, minor): (u32, u32)) -> Result<u32, ErofsError> {
    if major >= 1 << 12 || minor >= 1 << 20 {
        return Err(ErofsError::TooLarge { what: "a device of that number" });
    }
    Ok((minor & 0xff) | major << 8 | (minor & !0xff) << 12)
}

/// The upper bits of `st_mode`.
fn format_bits(kind: &InodeKind) -> u16 {
    match kind {
        InodeKind::Fifo => 0o010_000,
        InodeKind::CharDevice { .. } => 0o020_000,
        InodeKind::Folder { .. } => 0o040_000,
        InodeKind::BlockDevice { .. } => 0o060_000,
        InodeKind::File { .. } => 0o100_000,
        InodeKind::Link { .. } => 0o120_000,
    }
}

/// `EROFS_FT_*`.
pub(super) fn file_type(kind: &InodeKind) -> u8 {
    match kind {
        InodeKind::File { .. } => 1,
        InodeKind::Folder { .. } => 2,
        InodeKind::CharDevice { .. } => 3,
        InodeKind::BlockDevice { .. } => 4,
        InodeKind::Fifo => 5,
        InodeKind::Link { .. } => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(file_block: u64, length: u64, pack_block: u64) -> Extent {
        Extent { file_offset: file_block * 4096, length, pack: 0, pack_offset: pack_block * 4096 }
    }

    fn chunks(size: u64, extents: &[Extent]) -> Chunks {
        match file_data(size, extents) {
            Ok(Data::Chunks(chunks)) => chunks,
            _ => panic!("no map of chunks"),
        }
    }

    fn numbers(map: &[u8]) -> Vec<u32> {
        map.chunks(4).map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap())).collect()
    }

    #[test]
    fn a_file_whose_bytes_lie_together_is_flat() {
        assert!(matches!(file_data(0, &[]), Ok(Data::None)));
        assert!(matches!(file_data(5000, &[extent(0, 5000, 3)]), Ok(Data::Run(Run { blocks: 2, pack_block: 3, .. }))));
        let pieces = [extent(0, 4096, 7), extent(1, 904, 8)];
        assert!(matches!(file_data(5000, &pieces), Ok(Data::Run(Run { blocks: 2, pack_block: 7, .. }))));
    }

    #[test]
    fn holes_and_pieces_make_the_largest_chunks_that_fit() {
        let sparse = chunks(64 * 4096 + 1, &[extent(16, 8 * 4096, 0), extent(64, 1, 20)]);
        assert_eq!((sparse.bits, sparse.count), (3, 9));
        let map = numbers(&sparse.map(&[100, 130]).unwrap());
        assert_eq!(map, [NO_BLOCK, NO_BLOCK, 100, NO_BLOCK, NO_BLOCK, NO_BLOCK, NO_BLOCK, NO_BLOCK, 120]);
        let hole = chunks(1 << 40, &[]);
        assert_eq!((hole.bits, hole.count), (28, 1));
        assert_eq!(numbers(&hole.map(&[]).unwrap()), [NO_BLOCK]);
        let largest = chunks(i64::MAX.cast_unsigned(), &[]);
        assert_eq!((largest.bits, largest.count), (31, 1 << 20));
    }

    #[test]
    fn a_file_of_too_many_pieces_has_no_form() {
        let size = (CHUNKS_MAX + 2) * 4096;
        assert!(matches!(file_data(size, &[extent(1, 4096, 0)]), Err(ErofsError::TooLarge { .. })));
        assert!(matches!(file_data(u64::MAX, &[]), Err(ErofsError::TooLarge { .. })));
    }

    #[test]
    fn pieces_that_cannot_be_are_damage() {
        for (size, extents) in [
            (4096, vec![extent(0, 4097, 0)]),
            (8192, vec![Extent { file_offset: 1, ..extent(0, 1, 0) }]),
            (8192, vec![Extent { pack_offset: 1, ..extent(0, 1, 0) }]),
            (8192, vec![extent(1, 1, 0), extent(0, 1, 0)]),
            (8192, vec![extent(0, 0, 0)]),
            (8192, vec![Extent { file_offset: u64::MAX - 4095, ..extent(0, 8192, 0) }]),
        ] {
            assert!(matches!(file_data(size, &extents), Err(ErofsError::Damaged { .. })), "{extents:?}");
        }
        let outside = chunks(3 * 4096, &[extent(1, 4096, 30)]);
        assert!(matches!(outside.map(&[100, 130]), Err(ErofsError::Damaged { .. })));
        assert!(matches!(outside.map(&[100]), Err(ErofsError::Damaged { .. })));
    }

    #[test]
    fn a_device_number_has_32_bits_in_two_parts() {
        assert_eq!(device((8, 0x123)), Ok(0x0010_0823));
        assert_eq!(device((0xfff, 0xf_ffff)), Ok(0xffff_ffff));
        assert!(device((0x1000, 0)).is_err() && device((0, 0x10_0000)).is_err());
    }
}
