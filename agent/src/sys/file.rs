//! Descriptors: pipes, readiness, how much is unread.

#![expect(unsafe_code, reason = "poll(2), pipe2(2), fcntl(2) and ioctl(2)")]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use super::check;

/// A pipe, close-on-exec: read end, write end.
pub(crate) fn pipe() -> io::Result<(File, File)> {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for the two descriptors that the call writes.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    let [read, write] = ends;
    // SAFETY: the kernel just returned `read`, and nothing else owns it.
    let read = unsafe { OwnedFd::from_raw_fd(read) };
    // SAFETY: the kernel just returned `write`, and nothing else owns it.
    let write = unsafe { OwnedFd::from_raw_fd(write) };
    Ok((File::from(read), File::from(write)))
}

/// Makes reading and writing of a descriptor fail where it would have to wait.
pub(crate) fn set_nonblocking(file: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: no pointers.
    let flags = check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) })?;
    // SAFETY: no pointers.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) }).map(drop)
}

/// `/dev/null`, for reading.
pub(crate) fn open_null() -> io::Result<File> {
    OpenOptions::new().read(true).open("/dev/null")
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Bytes, or the end of the file.
    Input,
    /// A change of a file of a kernel file system.
    Change,
    /// Room to write, or nobody who reads.
    Room,
}

/// Waits until a descriptor is ready or the time is over (`None`: for ever); tells which are ready.
/// A descriptor that is `None` is passed over.
pub(crate) fn poll<const N: usize>(
    fds: [Option<BorrowedFd<'_>>; N],
    readiness: Readiness,
    limit: Option<Duration>,
) -> io::Result<[bool; N]> {
    let events = match readiness {
        Readiness::Input => libc::POLLIN,
        Readiness::Change => libc::POLLPRI,
        Readiness::Room => libc::POLLOUT,
    };
    let mut set = fds.map(|fd| libc::pollfd { fd: fd.map_or(-1, |fd| fd.as_raw_fd()), events, revents: 0 });
    let limit = match limit {
        // Rounded up, so that a short wait does not become a busy one.
        Some(limit) => i32::try_from(limit.as_micros().div_ceil(1000)).unwrap_or(i32::MAX),
        None => -1,
    };
    let count = libc::nfds_t::try_from(N).unwrap_or(libc::nfds_t::MAX);
    // SAFETY: `set` holds `count` entries and lives over the call.
    match check(unsafe { libc::poll(set.as_mut_ptr(), count, limit) }) {
        Ok(_) => Ok(set.map(|entry| entry.revents != 0)),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok([false; N]),
        Err(error) => Err(error),
    }
}

/// How many bytes can be read from a pipe at once.
pub(crate) fn unread_bytes(pipe: BorrowedFd<'_>) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes one `int`, and `count` is one that lives over the call.
    check(unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &raw mut count) })?;
    Ok(usize::try_from(count).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsFd;

    #[test]
    fn pipe_tells_what_is_unread() {
        let (read, mut write) = pipe().expect("a pipe");
        assert_eq!(poll([Some(read.as_fd())], Readiness::Input, Some(Duration::ZERO)).expect("poll works"), [false]);
        write.write_all(b"seven..").expect("the pipe has room");
        assert_eq!(unread_bytes(read.as_fd()).expect("a pipe knows"), 7);
        assert_eq!(poll([Some(read.as_fd()), None], Readiness::Input, None).expect("poll works"), [true, false]);
    }
}
