//! Terminals: how large one is, whose it is at the moment, and the mode in which every key is passed on.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use rustix::process::getpgrp;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr};

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

/// A terminal that can pass every key on as it is, and be given back as it was.
pub struct Keys {
    terminal: OwnedFd,
    /// The settings to give back, while they are others.
    before: Mutex<Option<Termios>>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Keys").field("terminal", &self.terminal).finish_non_exhaustive()
    }
}

impl Keys {
    /// The keys of a terminal; nothing changes yet.
    ///
    /// # Errors
    /// Where the descriptor cannot be doubled.
    pub fn of(terminal: impl AsFd) -> io::Result<Self> {
        Ok(Self { terminal: terminal.as_fd().try_clone_to_owned()?, before: Mutex::new(None) })
    }

    /// From now on every key is passed on as it is, and output is written as it is. See `cfmakeraw(3)`.
    ///
    /// # Errors
    /// Where it is no terminal, or not ours any more.
    pub fn pass_on(&self) -> io::Result<()> {
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        let now = tcgetattr(&self.terminal)?;
        let mut raw = now.clone();
        raw.make_raw();
        tcsetattr(&self.terminal, OptionalActions::Now, &raw)?;
        before.get_or_insert(now);
        Ok(())
    }

    /// Gives the terminal back as it was; nothing happens where it is that already.
    pub fn give_back(&self) {
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = before.take() {
            // A terminal that is gone needs nothing back.
            let _ = tcsetattr(&self.terminal, OptionalActions::Drain, &before);
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.give_back();
    }
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
    fn keys_are_passed_on_and_given_back() {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

        let outer = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&outer).unwrap();
        unlockpt(&outer).unwrap();
        let name = ptsname(&outer, Vec::new()).unwrap();
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
        let inner = rustix::fs::open(name, flags, rustix::fs::Mode::empty()).unwrap();
        let modes = || format!("{:?}", tcgetattr(&inner).unwrap());
        let usual = modes();
        let keys = Keys::of(&inner).unwrap();
        keys.give_back();
        assert_eq!(modes(), usual);
        keys.pass_on().unwrap();
        assert!(!tcgetattr(&inner).unwrap().local_modes.contains(rustix::termios::LocalModes::ISIG));
        keys.pass_on().unwrap();
        drop(keys);
        assert_eq!(modes(), usual);
        assert!(Keys::of(tempfile::tempfile().unwrap()).unwrap().pass_on().is_err());
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
