//! Children and signals.

#![expect(unsafe_code, reason = "waitpid(2) and kill(2)")]

use std::io;

use super::check;

/// A child that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChildEnd {
    pub(crate) pid: i32,
    /// As waitpid(2) gives it.
    pub(crate) wait_status: i32,
}

/// Waits for the end of any child; `None` when there is none.
pub(crate) fn wait_any_child() -> io::Result<Option<ChildEnd>> {
    let mut wait_status = 0;
    // SAFETY: the call writes one `int`, which lives over it.
    match check(unsafe { libc::waitpid(-1, &raw mut wait_status, 0) }) {
        Ok(pid) => Ok(Some(ChildEnd { pid, wait_status })),
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Sends a signal to one process.
pub(crate) fn kill_process(pid: i32, signal: i32) -> io::Result<()> {
    if pid <= 1 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: no pointers; the check above keeps the special meanings of small numbers out.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// Sends a signal to the process group of `leader`.
pub(crate) fn kill_process_group(leader: i32, signal: i32) -> io::Result<()> {
    if leader <= 1 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: no pointers; the check above keeps the special meanings of small numbers out.
    check(unsafe { libc::kill(-leader, signal) }).map(drop)
}

/// Sends a signal to every process but the agent. It is for PID 1 only, and does nothing elsewhere.
pub(crate) fn kill_all(signal: i32) {
    if std::process::id() == 1 {
        // SAFETY: no pointers; it fails only where there is no other process.
        unsafe { libc::kill(-1, signal) };
    }
}
