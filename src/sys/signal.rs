//! Signals of this process: how one is handled now, one that is not wanted, and being stopped by one that is handled.

#![expect(
    unsafe_code,
    reason = "`sigaction(2)` has no safe wrapper that only reads or restores, nor `signal(2)` one that ignores"
)]

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

/// Is stopped by SIGTSTP as a process that does not handle it, and returns when it is continued. A process whom nobody
/// could continue (its group is orphaned) is not stopped.
///
/// # Errors
/// Where the handler cannot be changed for the while.
pub fn stop() -> io::Result<()> {
    // SAFETY: a `sigaction` of zeros is the default action with no flags and no other signal blocked.
    let default = unsafe { MaybeUninit::<libc::sigaction>::zeroed().assume_init() };
    let mut before = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: `default` is a valid action and `before` is valid for one write.
    if unsafe { libc::sigaction(libc::SIGTSTP, &raw const default, before.as_mut_ptr()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `raise` has no memory of ours in it; the default action stops the process and runs none of its code.
    unsafe { libc::raise(libc::SIGTSTP) };
    // SAFETY: `before` was filled by the call that succeeded, and is the action that was valid until now.
    if unsafe { libc::sigaction(libc::SIGTSTP, before.as_ptr(), ptr::null_mut()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
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
