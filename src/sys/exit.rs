//! Ends of this process that run no destructors, for a server in a pid namespace of its own.

#![expect(unsafe_code, reason = "a signal handler, and an exit without destructors")]

use std::io;
use std::mem::MaybeUninit;
use std::ptr;

/// Ends the process at once, whatever its other threads do.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: takes an integer and does not return; nothing of ours is in use after it.
    unsafe { libc::_exit(code) }
}

/// Makes a signal end the process. As process 1 of a pid namespace it would otherwise be ignored.
pub fn exit_on_signal(signal: i32) -> io::Result<()> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: all-zero bytes are a valid `sigaction`: no flags, an empty mask, the default action.
    let action = unsafe { action.assume_init_mut() };
    action.sa_sigaction = on_signal as *const () as libc::sighandler_t;
    // SAFETY: `action` is valid and its handler calls only `_exit`, which is async-signal-safe.
    let result = unsafe { libc::sigaction(signal, action, ptr::null_mut()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

extern "C" fn on_signal(signal: libc::c_int) {
    exit_now(128_i32.saturating_add(signal));
}
