//! Signals of this process: how one is handled now, and one that is not wanted.

#![expect(unsafe_code, reason = "`sigaction(2)` has no safe wrapper that only reads, nor `signal(2)` one that ignores")]

use std::io;
use std::mem::MaybeUninit;
use std::ptr;

/// Whether a signal is ignored, as `nohup` leaves SIGHUP. See `sigaction(2)`.
///
/// # Errors
/// Where there is no such signal.
pub fn is_ignored(signal: i32) -> io::Result<bool> {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a null new action changes nothing, and `action` is valid for one write.
    let result = unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it has filled `action`.
    let action = unsafe { action.assume_init() };
    Ok(action.sa_sigaction == libc::SIG_IGN)
}

/// Makes a write past the limit of file sizes (RLIMIT_FSIZE) an error (EFBIG) rather than the end of the process, for
/// this process and all that it starts.
pub fn report_file_size_limits() {
    // SAFETY: ignoring needs no handler; the call fails for unknown signals only.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_nobody_touched_is_not_ignored() {
        assert!(!is_ignored(libc::SIGUSR2).unwrap());
    }

    #[test]
    fn a_number_without_signal_is_an_error() {
        assert!(is_ignored(12_345).is_err());
    }
}
