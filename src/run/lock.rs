//! The lock of a project: an open file description that holds `flock(2)`, so the kernel frees it however we end.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::sys::identity::Actor;

/// The longest note of a holder that is read, in bytes.
const NOTE_MAX_BYTES: u64 = 64 << 10;

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// Its command line.
    pub command: String,
    /// Since when, as RFC 3339.
    pub since: String,
}

/// The word that makes this program the supervisor of a project, as it stands in a command line.
const SUPERVISOR: &str = " __supervise";

impl Holder {
    /// Whether it holds machines that stay, with nobody who waits for it.
    pub fn is_in_background(&self) -> bool {
        self.command.contains(SUPERVISOR)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pid == 0 {
            return write!(formatter, "another process");
        }
        let place = if self.is_in_background() { " in the background" } else { "" };
        let command = self.command.replacen(SUPERVISOR, "", 1);
        write!(formatter, "process {}{place} (`{command}`), since {}", self.pid, self.since)
    }
}

/// Why a project cannot be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Someone else holds it.
    #[error("the project is held by {holder}")]
    Held {
        /// Who; pid 0 where it has not said so yet.
        holder: Holder,
        /// The lock's file.
        path: PathBuf,
    },
    /// The file cannot be made, locked or written.
    #[error("cannot lock `{path}`")]
    Unusable {
        /// The lock's file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The lock of a project, held until it is dropped.
#[derive(Debug)]
pub struct ProjectLock {
    file: File,
}

impl Drop for ProjectLock {
    fn drop(&mut self) {
        // So that a process which gets our number some day is not taken for us. Who cannot be told is still seen to be gone.
        let _ = self.file.set_len(0);
    }
}

/// Takes the lock and notes who holds it.
pub(super) fn take(path: &Path, actor: &Actor, command: &str, wait: bool) -> Result<ProjectLock, LockError> {
    let unusable = |source: io::Error| LockError::Unusable { path: path.to_owned(), source };
    let open = || File::options().read(true).write(true).create(true).truncate(false).open(path);
    let mut file = actor.act(open).map_err(unusable)?;
    let operation = if wait { FlockOperation::LockExclusive } else { FlockOperation::NonBlockingLockExclusive };
    match rustix::io::retry_on_intr(|| flock(&file, operation)) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            return Err(LockError::Held { holder: read_holder(&mut file), path: path.to_owned() });
        }
        Err(error) => return Err(unusable(error.into())),
    }
    let since = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let holder = Holder { pid: std::process::id(), command: command.to_owned(), since };
    write_holder(&mut file, &holder).map_err(unusable)?;
    Ok(ProjectLock { file })
}

/// Who has noted that it holds the lock, where that process is there.
pub(super) fn holder(path: &Path, actor: &Actor) -> Option<Holder> {
    let mut file = actor.act(|| File::open(path)).ok()?;
    let holder = read_holder(&mut file);
    let pid = rustix::process::Pid::from_raw(i32::try_from(holder.pid).ok()?)?;
    // Of another user's process one is told that one may not ask it.
    let is_there = !matches!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH));
    is_there.then_some(holder)
}

fn write_holder(file: &mut File, holder: &Holder) -> io::Result<()> {
    let note = serde_json::to_vec(holder)?;
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(&note)
}

fn read_holder(file: &mut File) -> Holder {
    let mut note = Vec::new();
    let read = file.take(NOTE_MAX_BYTES).read_to_end(&mut note);
    let unknown = || Holder { pid: 0, command: String::new(), since: String::new() };
    read.ok().and_then(|_| serde_json::from_slice(&note).ok()).unwrap_or_else(unknown)
}
