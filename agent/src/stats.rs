//! What the machine has used: read from the group of all commands, from `/proc/diskstats` (iostats.rst of the kernel) and
//! `/proc/net/dev` (proc_pid_net(5)).
//!
//! Root of the machine can put anything over these files. So what is read is bounded and does not wait, and where something
//! waits all the same, it is one thread that does.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use smolvm_agent::GuestStats;

use crate::cgroups::{PARENT, counter};
use crate::network::INTERFACE;

/// Longest file that is read, in bytes.
const FILE_MAX: u64 = 256 << 10;

/// Bytes of a sector in `/proc/diskstats`, whatever the disk's own are.
const SECTOR: u64 = 512;

/// Whether the files are being read.
static IS_READING: AtomicBool = AtomicBool::new(false);

/// Reads it; what the kernel does not count is 0.
pub(crate) fn read() -> Result<GuestStats, String> {
    if IS_READING.swap(true, Ordering::Acquire) {
        return Err("what the machine uses is being read".to_owned());
    }
    let (disk_read, disk_written) = disks(&text(Path::new("/proc/diskstats")));
    let (net_received, net_sent) = interface(&text(Path::new("/proc/net/dev")), INTERFACE);
    let stats = GuestStats {
        cpu_us: counter(&of_commands("cpu.stat"), "usage_usec").unwrap_or(0),
        memory: number(&of_commands("memory.current"))
            .saturating_sub(counter(&of_commands("memory.stat"), "inactive_file").unwrap_or(0)),
        memory_total: memory_total(&text(Path::new("/proc/meminfo"))),
        tasks: number(&of_commands("pids.current")),
        disk_read,
        disk_written,
        net_received,
        net_sent,
    };
    IS_READING.store(false, Ordering::Release);
    Ok(stats)
}

fn of_commands(name: &str) -> String {
    text(&Path::new(PARENT).join(name))
}

fn text(path: &Path) -> String {
    let mut text = String::new();
    if let Ok(file) = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path) {
        // What is cut or no text counts as far as it goes.
        let _ = file.take(FILE_MAX).read_to_string(&mut text);
    }
    text
}

fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or(0)
}

fn memory_total(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    line.and_then(|line| line.trim().strip_suffix("kB")).map_or(0, |kibibytes| number(kibibytes).saturating_mul(1024))
}

/// Bytes read and written of all virtio disks; a partition is a part of its disk.
fn disks(text: &str) -> (u64, u64) {
    text.lines().fold((0, 0), |(read, written): (u64, u64), line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let is_disk = |name: &str| name.starts_with("vd") && name.bytes().all(|byte| byte.is_ascii_lowercase());
        match fields[..] {
            [_, _, name, _, _, in_read, _, _, _, in_written, ..] if is_disk(name) => {
                let bytes = |sectors| number(sectors).saturating_mul(SECTOR);
                (read.saturating_add(bytes(in_read)), written.saturating_add(bytes(in_written)))
            }
            _ => (read, written),
        }
    })
}

/// Bytes that came and went by an interface.
fn interface(text: &str, name: &str) -> (u64, u64) {
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix(name)?.strip_prefix(':'));
    let mut fields = line.unwrap_or_default().split_ascii_whitespace();
    let received = fields.next().map_or(0, number);
    (received, fields.nth(7).map_or(0, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_count_once_and_in_sectors_of_512_bytes() {
        let text = " 253       0 vda 10 0 80 5 3 1 16 2 0 7 7 0 0 0 0 0 0\n 253       1 vda1 9 0 72 5 3 1 16 2 0 7 7\n   7       0 \
                    loop0 1 0 2 0 0 0 0 0 0 0 0\n 253      16 vdb 1 0 2 0 0 0 4 0 0 0 0\n";
        assert_eq!(disks(text), (82 * 512, 20 * 512));
        assert_eq!(disks("vda\n 1 2 vda x x 99999999999999999999 x x x 1 x\n"), (0, 512));
    }

    #[test]
    fn an_interface_is_found_by_its_whole_name() {
        let text = "Inter-|   Receive  |  Transmit\n face |bytes packets\n    lo: 7 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0\n\
                    eth01: 1 1 0 0 0 0 0 0 2 1 0 0 0 0 0 0\n  eth0:123 4 0 0 0 0 0 0 456 5 0 0 0 0 0 0\n";
        assert_eq!(interface(text, "eth0"), (123, 456));
        assert_eq!(interface(text, "eth1"), (0, 0));
    }

    #[test]
    fn memory_is_told_in_bytes() {
        assert_eq!(memory_total("MemFree: 1 kB\nMemTotal:         496500 kB\n"), 496_500 * 1024);
        assert_eq!(memory_total("MemTotal: many kB\n"), 0);
    }
}
