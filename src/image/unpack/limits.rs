//! What an archive may claim. Not here: what single names and attributes may be, which `rootfs` says.

/// Limits of one layer. The defaults let pass what real images have, by far, and keep a hostile archive from filling memory;
/// what it may fill of the disk is a choice of whoever calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the archive without compression, so that what is small when it is fetched (a bomb) ends somewhere.
    pub archive_length: u64,
    /// Bytes of the pack.
    pub pack_length: u64,
    /// Entries, and parts of sparse files.
    pub entries: usize,
    /// Bytes that names, targets and attributes may take in memory, roughly.
    pub memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const GIB: u64 = 1 << 30;
        Self { archive_length: 100 * GIB, pack_length: 100 * GIB, entries: 10_000_000, memory: 2 << 30 }
    }
}
