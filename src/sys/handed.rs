//! Descriptors that a parent hands to a process of ours under agreed numbers.

#![expect(unsafe_code, reason = "ownership of a descriptor by its number")]

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

/// Takes the descriptor with this number, 3 or more, which must be open and may be taken only once, before anything
/// else was opened. It is closed on exec from then on.
pub fn take(number: RawFd) -> io::Result<OwnedFd> {
    if number < 3 {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: the number is not -1; the borrow ends with the next statement, which fails where it is not open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    if fcntl_getfd(borrowed)?.contains(FdFlags::CLOEXEC) {
        // Nothing that was handed over by exec has the flag: this one is someone else's.
        return Err(io::Error::from(io::ErrorKind::NotFound));
    }
    fcntl_setfd(borrowed, FdFlags::CLOEXEC)?;
    // SAFETY: it is open, and by the flag above it was neither opened in this process nor taken before.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
