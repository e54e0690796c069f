//! The terminal on which a run is shown: which one it is, its size and signs, and when a frame is due.
//!
//! A frame follows an event, but no sooner than a tenth of a second after the last one; where no event comes one is
//! drawn as often for the time. A changed size is seen at once. Ctrl-Z takes the block off before the process stops,
//! and the next frame brings it back; in the background there is none. Deliberately not here: what is drawn (`report`).

use std::ffi::OsStr;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::panic;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep_until};

use crate::report::{LEAVE, Painted, Screen, Signs, Sink, Size};
use crate::sys;

/// Shortest time between two frames.
const FRAME: Duration = Duration::from_millis(100);

/// The size of a screen that does not tell its own.
const USUAL_SIZE: Size = Size { columns: 80, rows: 24 };

/// The stream on which a run is shown: standard error, or standard output where only that is a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Terminal {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Terminal {
    /// The one of this process. Where none of the two is a terminal and one was asked for, standard error is taken for
    /// one, as docker compose does: whoever asks so records what a terminal would be sent.
    pub(crate) fn find() -> Self {
        if !io::stderr().is_terminal() && io::stdout().is_terminal() { Self::Stdout } else { Self::Stderr }
    }

    /// The screen as it is now.
    pub(crate) fn screen(self) -> Screen {
        let terminal = match self {
            Self::Stdout => Sink::stdout(),
            Self::Stderr => Sink::stderr(),
        };
        Screen { signs: signs(std::env::var_os("TERM").as_deref()), size: self.size(), terminal }
    }

    fn size(self) -> Size {
        let own = self
            .with(|terminal| sys::terminal::size(terminal))
            .map(|(columns, rows)| (usize::from(columns), usize::from(rows)));
        let told = |name: &str| std::env::var(name).ok()?.parse::<usize>().ok().filter(|count| *count > 0);
        let (columns, rows) = own.unwrap_or_else(|| {
            (told("COLUMNS").unwrap_or(USUAL_SIZE.columns), told("LINES").unwrap_or(USUAL_SIZE.rows))
        });
        Size { columns, rows }
    }

    fn is_ours(self) -> bool {
        !self.with(|terminal| sys::terminal::is_lent(terminal))
    }

    fn with<T>(self, ask: impl FnOnce(BorrowedFd<'_>) -> T) -> T {
        match self {
            Self::Stdout => ask(io::stdout().as_fd()),
            Self::Stderr => ask(io::stderr().as_fd()),
        }
    }

    /// From now on a panic, of whatever thread, first takes the block off, so that its message can be read.
    pub(crate) fn clear_on_panic(self, reporter: &mut impl Painted) {
        let is_drawn = reporter.is_drawn();
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if is_drawn.swap(false, Ordering::Relaxed) {
                // Nobody is left to be told where the terminal is gone.
                let _ = match self {
                    Self::Stdout => io::stdout().lock().write_all(LEAVE.as_bytes()),
                    Self::Stderr => io::stderr().lock().write_all(LEAVE.as_bytes()),
                };
            }
            before(panic);
        }));
    }
}

/// The signs that a terminal has: the console of a Linux host has few.
fn signs(term: Option<&OsStr>) -> Signs {
    if term.is_some_and(|term| term == "linux") { Signs::Ascii } else { Signs::Unicode }
}

/// What a terminal tells by signals. Must be made within a runtime.
#[derive(Debug)]
pub(crate) struct TerminalSignals {
    resized: Signal,
    stop: Signal,
    continued: Signal,
}

impl TerminalSignals {
    /// From now on these arrive here.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            resized: signal(SignalKind::window_change())?,
            stop: signal(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw()))?,
            continued: signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?,
        })
    }
}

/// The time of a run, from the times of its events.
#[derive(Debug)]
struct Clock {
    told: Duration,
    when: Instant,
}

impl Clock {
    fn now(&self) -> Duration {
        self.told.saturating_add(self.when.elapsed())
    }
}

/// Shows something until its facts end. Each fact is first given to `note`, which may change it.
pub(crate) async fn follow<P: Painted>(
    terminal: Terminal,
    mut reporter: P,
    mut events: Receiver<P::Fact>,
    mut signals: TerminalSignals,
    mut note: impl FnMut(&mut P::Fact),
) {
    let mut clock = Clock { told: Duration::ZERO, when: Instant::now() };
    let mut due = Instant::now();
    loop {
        let mut is_due = false;
        tokio::select! {
            biased;
            Some(()) = signals.stop.recv() => {
                reporter.leave();
                // Where it cannot be stopped it goes on.
                let _ = sys::signal::stop();
                is_due = true;
            }
            Some(()) = signals.resized.recv() => {
                reporter.resize(terminal.size());
                is_due = true;
            }
            Some(()) = signals.continued.recv() => {
                // The screen may have another size than when we were stopped.
                reporter.resize(terminal.size());
                is_due = true;
            }
            () = sleep_until(due) => is_due = true,
            event = events.recv() => {
                let Some(mut timed) = event else { break };
                note(&mut timed);
                clock = Clock { told: P::time_of(&timed).max(clock.told), when: Instant::now() };
                reporter.take(&timed);
            }
        }
        if is_due || reporter.is_urgent() {
            reporter.draw(clock.now(), terminal.is_ours());
            due = Instant::now() + FRAME;
        }
    }
    // A run that ended without its last event leaves no block behind.
    reporter.leave();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_of_a_host_gets_signs_that_it_has() {
        assert_eq!(signs(Some(OsStr::new("linux"))), Signs::Ascii);
        assert_eq!(signs(Some(OsStr::new("xterm-256color"))), Signs::Unicode);
        assert_eq!(signs(None), Signs::Unicode);
    }
}
