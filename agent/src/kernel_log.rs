//! Warnings of the kernel, among them whom it killed for want of memory, into the machine's log; at a bounded rate.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::time::Instant;

use crate::wire::Reports;

/// Records that may come at once, and each second after that.
const BURST: f64 = 200.0;
const PER_SECOND: f64 = 20.0;

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
                    reports.log(&[b"kernel: ", line, b"\n"].concat());
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
    fn flood_is_cut() {
        let mut rate = Rate { left: 2.0, since: Instant::now() };
        let allowed = (0..100).filter(|_| rate.is_allowed()).count();
        assert!((2..10).contains(&allowed), "{allowed}");
    }
}
