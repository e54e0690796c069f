//! What a machine has used, as its kernel counts it. It is what the guest says: for people, and for nothing that is decided.

use serde::{Deserialize, Serialize};

/// Counted from the boot of the machine on, but for what is used now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestStats {
    /// Time that commands and what they left behind have run, on all CPUs together, in microseconds.
    pub cpu_us: u64,
    /// Memory that these have now, in bytes, without pages of files that can be dropped.
    pub memory: u64,
    /// Memory of the machine, in bytes.
    pub memory_total: u64,
    /// Processes and threads of commands now.
    pub tasks: u64,
    /// Bytes read from disks.
    pub disk_read: u64,
    /// Bytes written to disks.
    pub disk_written: u64,
    /// Bytes that came by the network interface.
    pub net_received: u64,
    /// Bytes that went by it.
    pub net_sent: u64,
}
