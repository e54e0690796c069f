//! Terminals: how large one is, whose it is at the moment. Their modes are left alone.

use std::os::fd::AsFd;

use rustix::process::getpgrp;
use rustix::termios::{tcgetpgrp, tcgetwinsize};

/// Columns and rows; nothing where the terminal does not know them, or is none. See `TIOCGWINSZ`.
pub fn size(terminal: impl AsFd) -> Option<(u16, u16)> {
    let size = tcgetwinsize(terminal).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

/// Whether another process group is in the foreground, as after `bg`. It is not where nobody can tell, because this is
/// not the terminal that controls us. See `tcgetpgrp(3)`.
pub fn is_lent(terminal: impl AsFd) -> bool {
    tcgetpgrp(terminal).is_ok_and(|group| group != getpgrp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_terminal_has_no_size_and_no_owner() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(size(&file), None);
        assert!(!is_lent(&file));
    }

    #[test]
    fn a_terminal_that_does_not_know_its_size_has_none() {
        let terminal = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY).unwrap();
        assert_eq!(size(&terminal), None);
        let known = rustix::termios::Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&terminal, known).unwrap();
        assert_eq!(size(&terminal), Some((80, 24)));
    }
}
