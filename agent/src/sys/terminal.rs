//! Pseudo terminals.

#![expect(unsafe_code, reason = "ioctl(2) and fchown(2) on terminals")]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use smolvm_agent::TerminalSize;

use super::check;

/// A fresh terminal: the end of who sits at it (which does not block), and the end of who runs in it.
pub(crate) fn open_terminal(size: TerminalSize) -> io::Result<(File, File)> {
    let flags = libc::O_NOCTTY | libc::O_CLOEXEC | libc::O_NONBLOCK;
    let outer = OpenOptions::new().read(true).write(true).custom_flags(flags).open("/dev/ptmx")?;
    let locked: libc::c_int = 0;
    // SAFETY: TIOCSPTLCK reads one `int`, which lives over the call.
    check(unsafe { libc::ioctl(outer.as_raw_fd(), libc::TIOCSPTLCK, &raw const locked) })?;
    set_terminal_size(&outer, size)?;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: TIOCGPTPEER takes flags of open(2), no pointer.
    let raw = check(unsafe { libc::ioctl(outer.as_raw_fd(), libc::TIOCGPTPEER, flags) })?;
    // SAFETY: the kernel just returned `raw`, and nothing else owns it.
    let inner = unsafe { OwnedFd::from_raw_fd(raw) };
    Ok((outer, File::from(inner)))
}

/// Changes the size; who runs in the terminal hears of it.
pub(crate) fn set_terminal_size(outer: &File, size: TerminalSize) -> io::Result<()> {
    let size = libc::winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads one `winsize`, which lives over the call.
    check(unsafe { libc::ioctl(outer.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) }).map(drop)
}

/// The character that means the end of input, where the terminal has one now.
pub(crate) fn end_of_input(outer: &File) -> Option<u8> {
    let mut settings = std::mem::MaybeUninit::<libc::termios>::uninit();
    // SAFETY: the call fills the structure in where it succeeds.
    check(unsafe { libc::tcgetattr(outer.as_raw_fd(), settings.as_mut_ptr()) }).ok()?;
    // SAFETY: it was filled in above.
    let settings = unsafe { settings.assume_init() };
    let is_by_line = settings.c_lflag & libc::ICANON != 0;
    is_by_line.then_some(settings.c_cc[libc::VEOF]).filter(|character| *character != 0)
}
