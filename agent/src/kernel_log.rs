//! Warnings of the kernel, among them whom it killed for want of memory, into the machine's log; at a bounded rate.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::time::Instant;

use crate::wire::Reports;

/// Records that may come at once, and each second after that.
const BURST: f64 = 200.0;
const PER_SECOND: f64 = 20.0;

/// Largest table of mounts that is read.
const MOUNTS_MAX: u64 = 1 << 20;

/// Priorities up to this one are forwarded: warning.
const WARNING: u32 = 4;

/// Forwards for ever, from now on.
pub(crate) fn forward(reports: &Reports) -> io::Result<()> {
    let mut log = File::open("/dev/kmsg")?;
    log.seek(SeekFrom::End(0))?;
    let mut record = [0; 8192];
    let mut rate = Rate { left: BURST, since: Instant::now() };
    loop {
        match log.read(&mut record) {
            Ok(0) => return Ok(()),
            Ok(length) => {
                if let Some(line) = warning(&record[..length])
                    && rate.is_allowed()
                {
                    let place = disk_of(line).and_then(|disk| place_of(disk, &mounts())).unwrap_or_default();
                    reports.log(&[b"kernel: ", line, place.as_bytes(), b"\n"].concat());
                }
            }
            // Records were overwritten before they were read, or a signal came.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EPIPE | libc::EINTR)) => {}
            Err(error) => return Err(error),
        }
    }
}

struct Rate {
    left: f64,
    since: Instant,
}

impl Rate {
    fn is_allowed(&mut self) -> bool {
        let now = Instant::now();
        self.left = (self.left + now.duration_since(self.since).as_secs_f64() * PER_SECOND).min(BURST);
        self.since = now;
        let is_allowed = self.left >= 1.0;
        if is_allowed {
            self.left -= 1.0;
        }
        is_allowed
    }
}

/// The kernel's table of mounts, as much of it as can be read.
fn mounts() -> String {
    let mut table = Vec::new();
    let read = File::open("/proc/self/mounts").and_then(|file| file.take(MOUNTS_MAX).read_to_end(&mut table));
    if read.is_ok() { String::from_utf8_lossy(&table).into_owned() } else { String::new() }
}

/// The disk of which a line of ext4 speaks: `EXT4-fs (vda): …`, `EXT4-fs error (device vda): …`.
fn disk_of(line: &[u8]) -> Option<&str> {
    let rest = std::str::from_utf8(line).ok()?.strip_prefix("EXT4-fs")?;
    let inside = rest.split_once('(')?.1.split_once(')')?.0;
    Some(inside.strip_prefix("device ").unwrap_or(inside))
}

/// Where a disk is mounted, to go behind a line about it: people do not know its name.
fn place_of(disk: &str, mounts: &str) -> Option<String> {
    let mut entries = mounts.lines().map(|line| line.split(' '));
    let target = entries.find_map(|mut words| {
        let device = words.next()?.strip_prefix("/dev/")?;
        words.next().filter(|_| device == disk)
    })?;
    Some(format!(" [{target}]"))
}

/// The text of a record `priority,number,time,flags;text`, if it is a warning or worse of the kernel.
fn warning(record: &[u8]) -> Option<&[u8]> {
    let split = record.iter().position(|byte| *byte == b';')?;
    let head = std::str::from_utf8(&record[..split]).ok()?;
    let priority: u32 = head.split(',').next()?.parse().ok()?;
    let text = &record[split + 1..];
    let end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
    // The bits above the lowest three are the facility; the kernel's is 0.
    (priority <= WARNING).then_some(&text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_of_the_kernel_pass_and_nothing_else() {
        assert_eq!(
            warning(b"3,812,77,-;Out of memory: Killed process 9\n SUBSYSTEM=x\n"),
            Some(&b"Out of memory: Killed process 9"[..])
        );
        assert_eq!(warning(b"6,812,77,-;fine\n"), None);
        assert_eq!(warning(b"11,812,77,-;a program's own\n"), None);
        assert_eq!(warning(b"nonsense"), None);
        assert_eq!(warning(b"3;x"), Some(&b"x"[..]));
    }

    #[test]
    fn a_line_about_a_disk_says_where_it_is() {
        let mounts = "root / overlay rw 0 0\n/dev/vda /workspace ext4 rw 0 0\n/dev/vdb /data ext4 ro 0 0\n";
        let place = |line: &[u8]| disk_of(line).and_then(|disk| place_of(disk, mounts));
        let told = place(b"EXT4-fs error (device vdb): ext4_lookup:1: deleted inode referenced: 12");
        assert_eq!(told.as_deref(), Some(" [/data]"));
        assert_eq!(place(b"EXT4-fs (vda): Remounting filesystem read-only").as_deref(), Some(" [/workspace]"));
        assert_eq!(place(b"EXT4-fs (vdc): Remounting filesystem read-only"), None);
        assert_eq!(place(b"Buffer I/O error on dev vda, logical block 1, async page read"), None);
    }

    #[test]
    fn flood_is_cut() {
        let mut rate = Rate { left: 2.0, since: Instant::now() };
        let allowed = (0..100).filter(|_| rate.is_allowed()).count();
        assert!((2..10).contains(&allowed), "{allowed}");
    }
}
