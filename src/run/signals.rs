//! The signals that end a run, as values. A SIGHUP that the caller ignores stays ignored (`nohup`); the others are heard
//! even then, because shells start what runs in the background of a script with SIGINT ignored.

use std::io;

use rustix::process::Signal as Number;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::sys::signal::is_ignored;

/// A signal that ends a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT, Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGHUP, the terminal is gone.
    Hangup,
}

impl Signal {
    /// All of them.
    const ALL: [Self; 3] = [Self::Interrupt, Self::Terminate, Self::Hangup];

    /// The signal of this number, if it ends a run.
    pub fn of_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| signal.number() == number)
    }

    /// Its number.
    pub fn number(self) -> i32 {
        match self {
            Self::Interrupt => Number::INT.as_raw(),
            Self::Terminate => Number::TERM.as_raw(),
            Self::Hangup => Number::HUP.as_raw(),
        }
    }

    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
            Self::Hangup => "SIGHUP",
        }
    }

    /// The exit code of a run that it ended.
    pub fn exit_code(self) -> u8 {
        u8::try_from(128 + self.number()).unwrap_or(u8::MAX)
    }
}

/// From now on these signals no longer end the process but arrive here. Must be called within a tokio runtime.
///
/// # Errors
/// Where a handler cannot be set.
pub fn signals() -> io::Result<mpsc::UnboundedReceiver<Signal>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    for kind in Signal::ALL {
        if kind == Signal::Hangup && is_ignored(kind.number())? {
            continue;
        }
        let mut arrivals = signal(SignalKind::from_raw(kind.number()))?;
        let sender = sender.clone();
        tokio::spawn(async move { while arrivals.recv().await.is_some() && sender.send(kind).is_ok() {} });
    }
    Ok(receiver)
}
