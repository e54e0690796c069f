//! Who has a disk: a lock on the disk's own open file, which its server holds too, so that it is free when nothing can
//! write to it any more, however smolvm ended.
//!
//! A note beside the disk says who took it last; it is for people only.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

/// The longest note that is read, in bytes.
const NOTE_MAX_BYTES: u64 = 16 << 10;

/// Who has a disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id of smolvm; 0 where it is not known.
    pub pid: u32,
    /// Name of the machine.
    pub machine: String,
    /// Since when, as RFC 3339.
    pub since: String,
}

impl Holder {
    /// This process, for a machine.
    pub(super) fn now(machine: &str) -> Self {
        let since = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        Self { pid: std::process::id(), machine: machine.to_owned(), since }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            0 => write!(formatter, "another machine"),
            pid => write!(formatter, "machine `{}` (process {pid}, since {})", self.machine, self.since),
        }
    }
}

/// How long a disk is waited for whose holder is gone: its server ends a moment later.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long one is waited for otherwise: of this process a child that is about to begin has a copy of all that is open, and
/// who lists disks has each for a moment, which is a long one where the host is busy.
const SHORT_PATIENCE: Duration = Duration::from_secs(2);

/// Between two looks at such a disk.
const PAUSE: Duration = Duration::from_millis(10);

/// Takes a disk, as [`take`] does, and waits a little where whoever has it is about to let go of it.
pub(super) fn take_patiently(file: &File, disk: &Path, is_read_only: bool) -> io::Result<bool> {
    let start = Instant::now();
    loop {
        if take(file, is_read_only)? {
            return Ok(true);
        }
        let holder = read_holder(disk);
        let patience = match holder.pid {
            pid if Path::new("/proc").join(pid.to_string()).exists() => SHORT_PATIENCE,
            _ => PATIENCE,
        };
        if start.elapsed() >= patience {
            return Ok(false);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Takes a disk; whether it could be had. Many may read it, or one write.
pub(super) fn take(file: &File, is_read_only: bool) -> io::Result<bool> {
    let how = match is_read_only {
        true => FlockOperation::NonBlockingLockShared,
        false => FlockOperation::NonBlockingLockExclusive,
    };
    match rustix::io::retry_on_intr(|| flock(file, how)) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Where the note of a disk is.
fn note(disk: &Path) -> PathBuf {
    disk.with_extension("holder")
}

/// Notes who has a disk. Without a note a later error is less clear, and nothing else.
pub(super) fn write_holder(disk: &Path, holder: &Holder) {
    if let Ok(text) = serde_json::to_vec(holder) {
        let _ = std::fs::write(note(disk), text);
    }
}

/// Who took a disk last, as far as it is known.
pub(super) fn read_holder(disk: &Path) -> Holder {
    let mut text = Vec::new();
    let read = File::open(note(disk)).and_then(|file| file.take(NOTE_MAX_BYTES).read_to_end(&mut text));
    read.ok().and_then(|_| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// Removes the note of a disk that is no more.
pub(super) fn remove_note(disk: &Path) {
    // It says nothing about a disk that is not there.
    let _ = std::fs::remove_file(note(disk));
}
